"""Tasks of agents and their events."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from .base import Record

TaskStatus = Literal["queued", "running", "completed", "failed", "interrupted", "cancelled"] | str
Decision = Literal["allow", "deny"]
ENDED = frozenset({"completed", "failed", "interrupted", "cancelled"})


class TaskUsage(Record):
    """Tokens of a task."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0


class TaskProgress(Record):
    """Calls of the model, number of events, and tools that run now."""

    turns: int = 0
    events: int = 0
    tools: list[str] = Field(default_factory=lambda: [])


class TaskFiles(Record):
    """Files that the tools of a task have created and changed."""

    created: list[str] = Field(default_factory=lambda: [])
    modified: list[str] = Field(default_factory=lambda: [])


class TaskFailure(Record):
    """Reason for which a task failed."""

    code: str
    message: str = ""


class TaskFamily(Record):
    """Budget that a task shares with the tasks above and below it."""

    root_task_id: str
    max_budget_usd: Decimal
    left_usd: Decimal


class PermissionRequest(Record):
    """Action for which an agent asks approval."""

    request_id: str
    tool: str = ""
    tool_use_id: str = ""
    input: Any = None
    reason: str | None = None


class Task(Record):
    """Agent that works in a folder of the server."""

    id: str
    task_id: str
    status: TaskStatus
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    parent_task_id: str | None = None
    child_task_ids: list[str] = Field(default_factory=lambda: [])
    family: TaskFamily | None = None
    project_id: str = ""
    prompt: str = ""
    workspace: str = ""
    model: str = ""
    system_prompt: str | None = None
    tools: list[str] = Field(default_factory=lambda: [])
    permission_mode: str = ""
    max_turns: int | None = None
    max_budget_usd: Decimal | None = None
    timeout_seconds: int | None = None
    session_id: str = ""
    progress: TaskProgress = TaskProgress()
    permission_requests: list[PermissionRequest] = Field(default_factory=lambda: [])
    usage: TaskUsage = TaskUsage()
    cost_usd: Decimal | None = None
    files: TaskFiles = TaskFiles()
    result: str | None = None
    error: TaskFailure | None = None

    @property
    def is_over(self) -> bool:
        """True if the task has ended."""
        return self.status in ENDED


class TaskEvent(Record):
    """Event of a task; `type` says which of the other fields it has.

    The types are `progress`, `message`, `tool_use`, `tool_result`, `permission_request`, `permission_resolved`,
    `complete`, `error` and `handed_over`; a newer server may have more.
    """

    type: str
    task_id: str
    sequence_number: int
    created_at: datetime
    text: str | None = None
    status: TaskStatus | None = None
    turns: int | None = None
    usage: TaskUsage | None = None
    id: str | None = None
    name: str | None = None
    path: str | None = None
    input: Any = None
    tool_use_id: str | None = None
    content: str | None = None
    is_error: bool | None = None
    request_id: str | None = None
    tool: str | None = None
    reason: str | None = None
    decision: str | None = None
    result: str | None = None
    code: str | None = None
    message: str | None = None
    to_task_id: str | None = None

    @property
    def is_end(self) -> bool:
        """True for the event that ends a task."""
        return self.type in ("complete", "error")


class TaskPermission(Record):
    """Decision that was taken on a permission request."""

    request_id: str
    decision: str
