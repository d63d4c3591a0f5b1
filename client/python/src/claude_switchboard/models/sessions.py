"""Conversations that the server stores."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import Field

from .base import Record


class SessionUsage(Record):
    """Tokens and dollars of a session."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cost_usd: Decimal = Decimal(0)


class Session(Record):
    """Conversation that the server stores."""

    id: str
    created_at: datetime
    last_active_at: datetime
    expires_at: datetime
    model: str | None = None
    instructions: str | None = None
    metadata: dict[str, str] = Field(default_factory=lambda: {})
    project_id: str = ""
    message_count: int = 0
    usage: SessionUsage = SessionUsage()


class SessionMessage(Record):
    """Message of a session; `content` is text or a list of parts."""

    id: str
    role: str
    created_at: datetime
    content: Any = None
