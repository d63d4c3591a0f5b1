"""Sessions on the real server."""

from __future__ import annotations

import pytest
from running import Server, wait_until

from claude_switchboard import AsyncSwitchboard, NotFoundError, Switchboard, SwitchboardError


def test_session_remembers_what_was_said(client: Switchboard) -> None:
    session = client.sessions.create(model="haiku", instructions="Be brief.", metadata={"for": "tests"})
    client.sessions.send(session.id, '[[say="Hello Ann."]]')
    answer = client.sessions.send(session.id, "[[echo_request]]", max_tokens=2000)
    assert "Hello Ann." in answer.content
    now = client.sessions.get(session.id)
    assert (now.message_count, now.metadata, now.instructions) == (4, {"for": "tests"}, "Be brief.")
    assert now.usage.cost_usd > 0
    messages = client.sessions.messages(session.id, order="asc").data
    assert [message.role for message in messages] == ["user", "assistant", "user", "assistant"]
    assert session.id in [listed.id for listed in client.sessions.list().data]
    assert client.sessions.delete(session.id).deleted
    with pytest.raises(NotFoundError):
        client.sessions.get(session.id)


def test_session_streams_and_a_left_stream_leaves_it_as_it_was(client: Switchboard, server: Server) -> None:
    session = client.sessions.create(model="haiku")
    for _ in client.sessions.stream(session.id, "[[tokens=2000 gap_ms=20]]"):
        break
    wait_until(server.is_settled)
    assert client.sessions.get(session.id).message_count == 0
    stream = client.sessions.stream(session.id, "[[tokens=3]]")
    assert "".join(stream) == "w1 w2 w3"
    assert stream.final().cost is not None
    assert client.sessions.get(session.id).message_count == 2


def test_message_without_content_is_refused_here(client: Switchboard) -> None:
    with pytest.raises(SwitchboardError, match="content"):
        client.sessions.send("sess_1")


async def test_async_session_answers_and_streams(async_client: AsyncSwitchboard) -> None:
    session = await async_client.sessions.create(model="haiku")
    assert (await async_client.sessions.send(session.id, '[[say="Hello."]]')).content == "Hello."
    stream = async_client.sessions.stream(session.id, "[[tokens=3]]")
    assert "".join([piece async for piece in stream]) == "w1 w2 w3"
    assert (await async_client.sessions.get(session.id)).message_count == 4
    await async_client.sessions.delete(session.id)
