"""The WebSocket endpoint `/v1/stream`, used by a Python program without an SDK."""

import asyncio
import itertools
import json
import socket as sockets
import uuid
from urllib.parse import urlsplit

import httpx
import pytest
import websockets
from conftest import API_KEY, BASE_URL, TIMEOUT, call, eventually, say

URL = BASE_URL.replace("http", "ws", 1) + "/stream"
KEY = {"Authorization": f"Bearer {API_KEY}"}


class Turns:
    """Turns over one WebSocket, whose answers can be awaited separately."""

    def __init__(self, socket):
        self.socket = socket
        self.queues = {}

    async def listen(self):
        async for text in self.socket:
            message = json.loads(text)
            self.queues[message["id"]].put_nowait(message)

    async def send(self, **message):
        await self.socket.send(json.dumps(message))

    async def chat(self, prompt, **options):
        turn = uuid.uuid4().hex
        self.queues[turn] = asyncio.Queue()
        messages = [{"role": "user", "content": prompt}]
        await self.send(**{"type": "chat", "id": turn, "model": "haiku", "messages": messages, **options})
        return turn

    async def messages(self, turn):
        """Returns all messages of a turn, including the last."""
        messages = []
        while not messages or messages[-1]["type"] not in ("done", "error"):
            messages.append(await asyncio.wait_for(self.queues[turn].get(), TIMEOUT))
        return messages

    async def answer(self, turn):
        messages = await self.messages(turn)
        return "".join(message["content"] for message in messages if message["type"] == "token"), messages[-1]


@pytest.fixture
async def turns():
    async with websockets.connect(URL, additional_headers=KEY) as socket:
        turns = Turns(socket)
        listening = asyncio.create_task(turns.listen())
        yield turns
        listening.cancel()


async def read(socket):
    return json.loads(await asyncio.wait_for(socket.recv(), 30))


def runs(messages):
    """Returns the message types without consecutive repetitions."""
    return [kind for kind, _ in itertools.groupby(messages, lambda message: message["type"])]


async def test_turn_has_started_token_and_done_messages(turns):
    turn = await turns.chat("[[tokens=12 gap_ms=10]]", user="ann", verbosity="low")
    messages = await turns.messages(turn)
    assert runs(messages) == ["started", "token", "done"]
    assert messages[0] == {"type": "started", "id": turn, "model": "haiku", "ignored": ["verbosity"]}
    tokens = messages[1:-1]
    assert all(set(token) == {"type", "id", "content"} for token in tokens)
    assert len(tokens) > 6, "they come as they are made"
    assert "".join(token["content"] for token in tokens) == " ".join(f"w{n}" for n in range(1, 13))
    done = messages[-1]
    assert (done["finish_reason"], done["usage"]["completion_tokens"]) == ("stop", 12)
    assert done["model"].startswith("claude-haiku")


async def test_thinking_comes_before_the_answer(turns):
    turn = await turns.chat('[[thinking="Let me look." say="Here it is."]]', reasoning_effort="medium")
    messages = await turns.messages(turn)
    assert runs(messages) == ["started", "reasoning", "token", "done"]
    thoughts = "".join(message["content"] for message in messages if message["type"] == "reasoning")
    assert thoughts == "Let me look."


async def test_tool_calls_and_results_pass_the_socket(turns):
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    tool = {"type": "function", "function": {"name": "weather", "parameters": parameters}}
    prompt = f"{say('Looking.')} {call('weather', city='Paris')} {call('weather', city='Rome')}"
    turn = await turns.chat(prompt, tools=[tool])
    messages = await turns.messages(turn)
    assert runs(messages) == ["started", "token", "tool_call", "done"]
    assert messages[-1]["finish_reason"] == "tool_calls"
    pieces = [message for message in messages if message["type"] == "tool_call"]
    calls = {}
    for piece in pieces:
        if "name" in piece:
            calls[piece["index"]] = {"id": piece["call_id"], "name": piece["name"], "arguments": ""}
        calls[piece["index"]]["arguments"] += piece["arguments"]
    assert len(pieces) > len(calls), "arguments stream"
    assert [(call["name"], json.loads(call["arguments"])["city"]) for call in calls.values()] == [
        ("weather", "Paris"),
        ("weather", "Rome"),
    ]
    made = [
        {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
        for call in calls.values()
    ]
    conversation = [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": "Looking.", "tool_calls": made},
        *({"role": "tool", "tool_call_id": call["id"], "content": "sunny"} for call in made),
    ]
    words, done = await turns.answer(await turns.chat("", messages=conversation, tools=[tool]))
    assert (words, done["finish_reason"]) == ("Tool results: sunny; sunny", "stop")


async def test_errors_leave_the_socket_open(turns):
    refused = (await turns.messages(await turns.chat("hi", temperature=3)))[-1]
    assert (refused["status"], refused["error"]["code"], refused["error"]["param"]) == (400, "invalid_value", "temperature")
    failed = await turns.messages(await turns.chat("[[tokens=20 gap_ms=20 error_after=5]]"))
    assert runs(failed) == ["started", "token", "error"]
    assert (failed[-1]["status"], failed[-1]["error"]["code"]) == (503, "overloaded")
    assert failed[-1]["retry_after_ms"] > 0
    assert (await turns.answer(await turns.chat(say("Fine."))))[0] == "Fine."


async def test_concurrent_turns_get_their_own_answers(turns):
    asked = [await turns.chat(say(f"answer {number}")) for number in range(6)]
    answers = await asyncio.gather(*(turns.answer(turn) for turn in asked))
    assert [words for words, _ in answers] == [f"answer {number}" for number in range(6)]
    assert all(done["finish_reason"] == "stop" and done["usage"]["total_tokens"] for _, done in answers)


async def test_cancelled_turn_leaves_the_others_alone(turns, upstream, marker):
    long = await turns.chat(f"{marker} [[tokens=2000 gap_ms=20]]")
    while (await turns.queues[long].get())["type"] != "token":
        pass
    short = await turns.chat(say("short"))
    assert (await turns.answer(short))[0] == "short"
    await turns.send(type="cancel", id=long)
    done = (await turns.answer(long))[1]
    assert (done["finish_reason"], "usage" in done) == ("cancelled", False)
    assert eventually(lambda: upstream.call()["outcome"] == "client_gone")


async def test_key_in_the_first_message_authenticates():
    async with websockets.connect(URL) as socket:
        await socket.send(json.dumps({"type": "auth", "api_key": API_KEY}))
        assert await read(socket) == {"type": "authenticated"}
        await socket.send(json.dumps({"type": "ping"}))
        assert await read(socket) == {"type": "pong"}
        await asyncio.wait_for(await socket.ping(), 30)


async def test_wrong_key_in_the_first_message_closes_the_socket():
    async with websockets.connect(URL) as socket:
        await socket.send(json.dumps({"type": "auth", "api_key": "guess"}))
        error = await read(socket)
        assert (error["type"], error["error"]["code"]) == ("error", "invalid_api_key")
        with pytest.raises(websockets.ConnectionClosed):
            await read(socket)
        assert socket.close_code == 4401


async def test_key_among_the_protocols_authenticates():
    protocols = ["realtime", f"openai-insecure-api-key.{API_KEY}"]
    async with websockets.connect(URL, subprotocols=protocols) as socket:
        assert socket.subprotocol == "realtime"
        await socket.send(json.dumps({"type": "ping"}))
        assert await read(socket) == {"type": "pong"}


def busy():
    """Returns the number of busy workers."""
    ready = urlsplit(BASE_URL)._replace(path="/ready").geturl()
    return httpx.get(ready).json()["workers"]["busy"]


def slow_socket():
    """Creates a socket with a small receive buffer."""
    address = urlsplit(BASE_URL)
    connection = sockets.socket()
    connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 32 * 1024)
    connection.connect((address.hostname, address.port))
    return connection


async def ping(socket):
    """Sends pings, because the server closes the connection of a silent client."""
    while True:
        await socket.send(json.dumps({"type": "ping"}))
        await asyncio.sleep(0.3)


async def test_unread_socket_delays_its_own_turn_only(turns):
    """Backpressure: the answer exceeds all buffers, so the worker of the unread turn stays busy."""
    count = 8_000
    prompt = f"[[tokens={count}]]"
    before = busy()
    options = {"additional_headers": KEY, "max_queue": 1, "ping_interval": None}
    async with websockets.connect(URL, sock=slow_socket(), **options) as deaf:
        messages = [{"role": "user", "content": prompt}]
        await deaf.send(json.dumps({"type": "chat", "id": "much", "model": "haiku", "messages": messages}))
        assert (await read(deaf))["type"] == "started"
        pinging = asyncio.create_task(ping(deaf))
        words, done = await turns.answer(await turns.chat(prompt))
        assert (len(words.split()), done["finish_reason"]) == (count, "stop")
        # Longer than the same answer took for the client that reads.
        await asyncio.sleep(1)
        assert busy() == before + 1
        pinging.cancel()
        words = ""
        while (message := await read(deaf))["type"] in ("token", "pong"):
            words += message.get("content", "")
        assert (message["type"], len(words.split())) == ("done", count)
        assert words.startswith("w1 w2 ") and words.endswith(f" w{count}"), "nothing is lost"
    assert eventually(lambda: busy() == before)
