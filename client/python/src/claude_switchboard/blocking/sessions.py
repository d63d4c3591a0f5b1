"""Conversations that the server stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from .._core.call import given
from .._core.chat import complete_call, stream_request
from .._core.lists import delete_call, get_call, post_call
from .._core.sessions import SESSIONS_PATH, Content, message_body, messages_path, session_path
from ..models.base import Deleted, Page
from ..models.chat import Completion
from ..models.sessions import Session, SessionMessage
from .stream import Stream
from .transport import Transport


class Sessions:
    """Conversations that the server stores, so that only the new message is sent."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self, *, model: str | None = None, instructions: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Session:
        """Makes a session.

        >>> session = client.sessions.create(model="haiku", instructions="Be brief.")
        >>> answer = client.sessions.send(session.id, "My name is Ann.")
        >>> client.sessions.send(session.id, "What is my name?").content
        'Ann.'
        """
        body = given(model=model, instructions=instructions, metadata=metadata)
        return self._transport.send(post_call(Session, SESSIONS_PATH, body))

    def send(self, session_id: str, content: Content | None = None, **parameters: object) -> Completion:
        """Adds a message and returns its answer; `parameters` are those of Chat Completions.

        The results of tools are sent as `messages=[...]` instead of a content.
        """
        return self._transport.send(complete_call(message_body(content, parameters), messages_path(session_id)))

    def stream(self, session_id: str, content: Content | None = None, **parameters: object) -> Stream:
        """Adds a message and streams its answer; one that is left leaves the session as it was."""
        return Stream(self._transport, stream_request(message_body(content, parameters), messages_path(session_id)))

    def get(self, session_id: str) -> Session:
        """Session as it is now."""
        return self._transport.send(get_call(Session, session_path(session_id)))

    def list(
        self, *, limit: int | None = None, after: str | None = None, order: Literal["asc", "desc"] | None = None
    ) -> Page[Session]:
        """Sessions of the key."""
        query = {"limit": limit, "after": after, "order": order}
        return self._transport.send(get_call(Page[Session], SESSIONS_PATH, query))

    def messages(
        self,
        session_id: str,
        *,
        limit: int | None = None,
        after: str | None = None,
        order: Literal["asc", "desc"] | None = None,
    ) -> Page[SessionMessage]:
        """Messages of a session."""
        query = {"limit": limit, "after": after, "order": order}
        return self._transport.send(get_call(Page[SessionMessage], messages_path(session_id), query))

    def delete(self, session_id: str) -> Deleted:
        """Deletes a session with its messages."""
        return self._transport.send(delete_call(session_path(session_id)))
