"""Keys, projects and the state of a server, for its operator."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from pydantic import Field

from .base import Record


class Cap(Record):
    """Most tokens and dollars of a day or a month; None for no limit."""

    tokens: int | None = None
    money: Decimal | None = None


class BudgetCaps(Record):
    """Caps of a key or project."""

    daily: Cap = Cap()
    monthly: Cap = Cap()


class ApiKey(Record):
    """Key of a caller; `key` is its text, which is shown only when it is made or rotated."""

    id: str
    name: str
    key: str | None = Field(default=None, repr=False)
    prefix: str = ""
    project_id: str = ""
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    models: list[str] | None = None
    permissions: list[str] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    weight: int | None = None
    budget: BudgetCaps = BudgetCaps()


class Project(Record):
    """Project whose keys share usage, budgets, files and batches."""

    id: str
    name: str
    created_at: datetime
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    weight: int | None = None
    budget: BudgetCaps = BudgetCaps()


class Workers(Record):
    """Worker processes by what they do."""

    max: int = 0
    starting: int = 0
    idle: int = 0
    busy: int = 0
    resetting: int = 0


class Today(Record):
    """Usage of the present day in UTC."""

    requests: int = 0
    total_tokens: int = 0
    cost_usd: Decimal = Decimal(0)


class ServerStatus(Record):
    """State of a server since its start."""

    version: str
    now: datetime
    started_at: datetime
    ready: bool
    sign_in: str | None = None
    problems: list[str] = Field(default_factory=lambda: [])
    workers: Workers = Workers()
    waiting: int = 0
    turns: dict[str, int] = Field(default_factory=lambda: {})
    tokens: dict[str, int] = Field(default_factory=lambda: {})
    tasks: dict[str, int] = Field(default_factory=lambda: {})
    batches: dict[str, int] = Field(default_factory=lambda: {})
    cost_usd: Decimal = Decimal(0)
    today: Today = Today()


class Circuit(Record):
    """Circuit of a circuit breaker; `model` is None for the one that all models share."""

    model: str | None = None
    state: str


class PlanWindow(Record):
    """Window of a plan, as Anthropic last told it."""

    window: str
    used_percent: int
    left_percent: int
    resets_at: datetime


class SignIn(Record):
    """Sign-in of a server to Claude."""

    name: str
    kind: str
    ready: bool
    problems: list[str] = Field(default_factory=lambda: [])
    workers: Workers = Workers()
    waiting: int = 0
    breaker: list[Circuit] = Field(default_factory=lambda: [])
    refused_until: datetime | None = None
    plan_windows: list[PlanWindow] = Field(default_factory=lambda: [])


class DashboardLink(Record):
    """Address that signs in to the dashboard, once and within a minute."""

    url: str = Field(repr=False)
    read_only: bool = False
    expires_at: datetime
