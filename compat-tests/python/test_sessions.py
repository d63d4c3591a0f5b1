"""Sessions: stored conversations over plain HTTP."""

import pytest
from conftest import say


@pytest.fixture
def session(raw):
    session = raw.post("/sessions", json={"model": "haiku", "metadata": {"made": "by a test"}}).json()
    yield f"/sessions/{session['id']}"
    raw.delete(f"/sessions/{session['id']}")


def test_session_needs_only_the_new_message(raw, session, marker, upstream):
    for answer in ("one", "two"):
        body = raw.post(f"{session}/messages", json={"content": f"{marker} {say(answer)}"}).json()
        assert body["choices"][0]["message"]["content"] == answer
    assert raw.get(session).json()["message_count"] == 4
    said = raw.get(f"{session}/messages", params={"order": "asc"}).json()["data"]
    assert [message["role"] for message in said] == ["user", "assistant"] * 2
    last = upstream.calls()[-1]["body"]["messages"]
    assert [message["role"] for message in last if message["role"] != "system"] == ["user", "assistant", "user"]


def test_session_stores_a_stream_at_its_end(raw, session):
    with raw.stream("POST", f"{session}/messages", json={"content": say("whole"), "stream": True}) as response:
        assert response.read().endswith(b"data: [DONE]\n\n")
    assert raw.get(session).json()["message_count"] == 2


def test_deleted_session_is_not_found(raw, session):
    assert raw.delete(session).json()["deleted"]
    missing = raw.post(f"{session}/messages", json={"content": "hi"})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "session_not_found")
