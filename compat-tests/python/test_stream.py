"""The WebSocket of many turns, as a Python program without an SDK drives it."""

import asyncio
import json
import uuid

import pytest
import websockets
from conftest import API_KEY, BASE_URL, say

URL = BASE_URL.replace("http", "ws", 1) + "/stream"
KEY = {"Authorization": f"Bearer {API_KEY}"}


class Turns:
    """Turns over one socket, each waited for where it is wanted."""

    def __init__(self, socket):
        self.socket = socket
        self.queues = {}

    async def listen(self):
        async for text in self.socket:
            message = json.loads(text)
            self.queues[message["id"]].put_nowait(message)

    async def send(self, **message):
        await self.socket.send(json.dumps(message))

    async def chat(self, prompt):
        turn = uuid.uuid4().hex
        self.queues[turn] = asyncio.Queue()
        messages = [{"role": "user", "content": prompt}]
        await self.send(type="chat", id=turn, model="haiku", messages=messages)
        return turn

    async def answer(self, turn):
        words = ""
        while (message := await asyncio.wait_for(self.queues[turn].get(), 30))["type"] not in ("done", "error"):
            words += message.get("content", "")
        return words, message


@pytest.fixture
async def turns():
    async with websockets.connect(URL, additional_headers=KEY) as socket:
        turns = Turns(socket)
        listening = asyncio.create_task(turns.listen())
        yield turns
        listening.cancel()


async def read(socket):
    return json.loads(await asyncio.wait_for(socket.recv(), 30))


async def test_several_turns_at_once(turns):
    asked = [await turns.chat(say(f"answer {number}")) for number in range(6)]
    answers = await asyncio.gather(*(turns.answer(turn) for turn in asked))
    assert [words for words, _ in answers] == [f"answer {number}" for number in range(6)]
    assert all(done["finish_reason"] == "stop" and done["usage"]["total_tokens"] for _, done in answers)


async def test_a_cancelled_turn_leaves_the_others_alone(turns):
    long = await turns.chat("[[tokens=2000 gap_ms=20]]")
    while (await turns.queues[long].get())["type"] != "token":
        pass
    short = await turns.chat(say("short"))
    assert (await turns.answer(short))[0] == "short"
    await turns.send(type="cancel", id=long)
    assert (await turns.answer(long))[1]["finish_reason"] == "cancelled"


async def test_a_key_in_the_first_message():
    async with websockets.connect(URL) as socket:
        await socket.send(json.dumps({"type": "auth", "api_key": API_KEY}))
        assert await read(socket) == {"type": "authenticated"}
        await socket.send(json.dumps({"type": "ping"}))
        assert await read(socket) == {"type": "pong"}
        await asyncio.wait_for(await socket.ping(), 30)


async def test_a_wrong_key_in_the_first_message():
    async with websockets.connect(URL) as socket:
        await socket.send(json.dumps({"type": "auth", "api_key": "guess"}))
        error = await read(socket)
        assert (error["type"], error["error"]["code"]) == ("error", "invalid_api_key")
        with pytest.raises(websockets.ConnectionClosed):
            await read(socket)
        assert socket.close_code == 4401


async def test_a_key_among_the_protocols():
    protocols = ["realtime", f"openai-insecure-api-key.{API_KEY}"]
    async with websockets.connect(URL, subprotocols=protocols) as socket:
        assert socket.subprotocol == "realtime"
        await socket.send(json.dumps({"type": "ping"}))
        assert await read(socket) == {"type": "pong"}
