"""Whole answers and streams of the real server."""

from __future__ import annotations

from decimal import Decimal

import pytest
from running import Server, wait_until

from claude_switchboard import AsyncSwitchboard, BadRequestError, NotFoundError, Switchboard
from claude_switchboard.errors import APIError

SLOW = "[[tokens=2000 gap_ms=20]]"
STREAMS_LEFT = 50


def test_complete_answers_text_with_usage_and_cost(client: Switchboard) -> None:
    answer = client.complete('[[say="Hello there."]]', model="haiku", system="Be brief.")
    assert answer.content == answer.text == "Hello there."
    assert answer.usage is not None and answer.usage.total_tokens > 0
    assert isinstance(answer.cost, Decimal) and answer.cost > 0
    assert answer.finish_reason == "stop"
    assert answer.request_id
    assert answer.meta.model is not None and "haiku" in answer.meta.model


def test_complete_takes_messages_and_tools(client: Switchboard) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    messages = [{"role": "user", "content": '[[tool=look input={"at":"sky"}]]'}]
    answer = client.complete(messages, model="haiku", tools=[tool])
    call = answer.tool_calls[0]
    assert call.function is not None
    assert (call.function.name, call.function.arguments) == ("look", '{"at":"sky"}')


def test_complete_of_unknown_model_raises_not_found(client: Switchboard) -> None:
    with pytest.raises(NotFoundError) as caught:
        client.complete("hello", model="no-such-model")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")
    assert str(caught.value.request_id) in str(caught.value)


def test_complete_with_bad_parameter_names_it(client: Switchboard) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.complete("hello", model="haiku", temperature="hot")
    assert caught.value.param == "temperature"


def test_stream_gives_pieces_and_whole_answer(client: Switchboard) -> None:
    with client.stream("[[tokens=5]]", model="haiku") as stream:
        pieces = list(stream)
    whole = stream.final()
    assert "".join(pieces) == whole.content == stream.text == "w1 w2 w3 w4 w5"
    assert whole.usage is not None and whole.cost is not None
    assert whole.finish_reason == "stop"


def test_stream_without_reading_pieces_ends_with_calls_of_tools(client: Switchboard) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    stream = client.stream('[[tool=look input={"at":"sky"}]]', model="haiku", tools=[tool])
    call = stream.final().tool_calls[0]
    assert call.function is not None
    assert (call.function.name, call.function.arguments) == ("look", '{"at":"sky"}')


def test_stream_of_refused_request_raises_before_first_piece(client: Switchboard) -> None:
    with pytest.raises(NotFoundError):
        list(client.stream("hello", model="no-such-model"))


def test_stream_that_fails_midway_raises_and_keeps_text(client: Switchboard) -> None:
    stream = client.stream("[[tokens=9 error_after=3]]", model="haiku")
    with pytest.raises(APIError):
        list(stream)
    assert stream.text.startswith("w1")


def test_streams_left_early_leave_nothing_running(client: Switchboard, server: Server) -> None:
    for _ in range(STREAMS_LEFT):
        for piece in client.stream(SLOW, model="haiku"):
            assert piece
            break
    wait_until(server.is_settled)
    assert client.complete('[[say="still here"]]', model="haiku").content == "still here"


async def test_async_streams_left_early_leave_nothing_running(async_client: AsyncSwitchboard, server: Server) -> None:
    for number in range(STREAMS_LEFT):
        stream = async_client.stream(SLOW, model="haiku")
        if number % 2:
            async with stream:
                async for _ in stream:
                    break
        else:
            async for _ in stream:
                break
    wait_until(server.is_settled)


async def test_async_complete_and_stream_answer(async_client: AsyncSwitchboard) -> None:
    answer = await async_client.complete('[[say="Hello there."]]', model="haiku")
    assert answer.content == "Hello there."
    stream = async_client.stream("[[tokens=3]]", model="haiku")
    assert [piece async for piece in stream]
    assert (await stream.final()).content == "w1 w2 w3"


def test_openai_client_has_same_settings(client: Switchboard) -> None:
    openai = pytest.importorskip("openai")
    other = client.openai()
    assert isinstance(other, openai.OpenAI)
    chat = other.chat.completions.create(model="haiku", messages=[{"role": "user", "content": '[[say="Hi"]]'}])
    assert chat.choices[0].message.content == "Hi"
