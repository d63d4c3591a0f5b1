"""Calls for sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import SwitchboardError
from .call import given, path_part

SESSIONS_PATH = "/v1/sessions"
Content = str | Sequence[Mapping[str, Any]]
"""Text of a user, or parts of a message."""


def session_path(session_id: str) -> str:
    """Path of a session."""
    return f"{SESSIONS_PATH}/{path_part(session_id)}"


def messages_path(session_id: str) -> str:
    """Path of the messages of a session."""
    return session_path(session_id) + "/messages"


def message_body(content: Content | None, parameters: Mapping[str, object]) -> dict[str, object]:
    """Body of a message to a session: its content, or `messages` with the results of tools."""
    body = given(content=content, **parameters)
    if ("content" in body) == ("messages" in body):
        raise SwitchboardError("Pass either the content of the message or messages=, the results of tools")
    return body
