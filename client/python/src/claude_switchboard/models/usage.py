"""Usage, budgets and savings."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Literal

from pydantic import Field

from .base import Record

Scope = Literal["key", "project"] | str
Window = Literal["daily", "monthly"] | str
NANOS = Decimal(1_000_000_000)


class UsageTotals(Record):
    """Requests, tokens and exact dollars."""

    requests: int = 0
    input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    estimated_tokens: int = 0
    total_tokens: int = 0
    cost_nano_usd: int = 0
    unknown_requests: int = 0
    cached_answers: int = 0
    baseline_cost_usd: Decimal | None = None
    saved_usd: Decimal | None = None

    @property
    def cost(self) -> Decimal:
        """Dollars, exact."""
        return self.cost_nano_usd / NANOS


class UsageGroup(UsageTotals):
    """Usage of one model, key or day, as `name` says."""

    name: str


class FamilyUsage(Record):
    """Tokens and dollars of a family of models."""

    tokens: int = 0
    cost: Decimal = Decimal(0)


class Savings(Record):
    """Comparison of the cost with that of the baseline model."""

    baseline_cost: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    saved: Decimal = Decimal(0)
    share: Decimal | None = None
    summary: str = ""


class TokenBudget(Record):
    """Tokens of a budget."""

    left: int
    used: int
    cap: int


class MoneyBudget(Record):
    """Dollars of a budget."""

    left: Decimal
    used: Decimal
    cap: Decimal


class Budget(Record):
    """Budget of the key or its project for a day or a month; None for what is not capped."""

    scope: Scope
    window: Window
    tokens: TokenBudget | None = None
    money: MoneyBudget | None = None
    resets_at: datetime


class Usage(Record):
    """Usage of a project in a period."""

    project_id: str | None = None
    key_id: str | None = None
    period: str
    since: str | None = Field(default=None, alias="from")
    until: str = Field(alias="to")
    group_by: str | None = None
    total_tokens: int = 0
    total_cost: Decimal = Decimal(0)
    totals: UsageTotals
    by_model: dict[str, FamilyUsage] = Field(default_factory=lambda: {})
    groups: list[UsageGroup] = Field(default_factory=lambda: [])
    savings: Savings = Savings()
    budgets: list[Budget] = Field(default_factory=lambda: [])


class Route(Record):
    """Model that the rules choose, and why."""

    recommended_model: str
    reasoning: str = ""
    rule: str = ""


class Model(Record):
    """Model that a request may name."""

    id: str
    context_length: int | None = None
    max_output_tokens: int | None = None


class ModelList(Record):
    """Models that the key may use."""

    data: list[Model]
