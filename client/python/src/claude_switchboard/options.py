"""Optional fields of requests, as docs/api of the server describes them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal, TypedDict


class AgentOptions(TypedDict, total=False):
    """Options of a task and of a hand-over."""

    model: str
    system_prompt: str
    preset: Literal["read_only", "edit", "full"]
    tools: Mapping[str, list[str]]
    permission_mode: Literal["default", "acceptEdits", "plan", "dontAsk", "bypassPermissions"]
    max_turns: int
    max_budget_usd: Decimal | str | float
    timeout_seconds: int
    task_id: str
    webhook: Mapping[str, str]


class TaskOptions(AgentOptions, total=False):
    """Options of a task."""

    session_id: str
    parent_task_id: str


class CapOptions(TypedDict, total=False):
    """Caps of a day or a month."""

    tokens: int | None
    money: Decimal | str | float | None


class BudgetOptions(TypedDict, total=False):
    """Budget of a key or project."""

    daily: CapOptions | None
    monthly: CapOptions | None


class LimitOptions(TypedDict, total=False):
    """Limits of a key or project; None removes a limit."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrent_requests: int | None
    weight: int | None
    budget: BudgetOptions | None


class KeyOptions(LimitOptions, total=False):
    """Options of a key."""

    models: list[str] | None
    permissions: list[str] | None
    expires_at: int | None


class ProjectOptions(LimitOptions, total=False):
    """Options of a project."""

    webhook: Mapping[str, str] | None


class KeyChanges(KeyOptions, total=False):
    """Changes of a key."""

    name: str


class ProjectChanges(ProjectOptions, total=False):
    """Changes of a project."""

    name: str
