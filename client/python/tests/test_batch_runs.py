"""Batches of both clients against scripted answers: what is kept and reported when something is raised."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from claude_switchboard import AsyncSwitchboard, BatchProgress, Switchboard

BODY = {"id": "c", "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
PROMPTS = ["first", "second", "third", "fourth"]
PATIENCE_SECONDS = 20.0
# Turns of the event loop that an answer takes after the exception.
SLOW_TURNS = 50


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def is_first(request: httpx2.Request) -> bool:
    text: str = json.loads(request.content)["messages"][0]["content"]
    return text == PROMPTS[0]


def kept(path: Path) -> int:
    return len(path.read_text().splitlines())


async def test_async_batch_keeps_running_answers_when_progress_raises(folder: Path) -> None:
    all_run, has_raised = asyncio.Event(), asyncio.Event()
    running: list[str] = []
    seen: list[int] = []

    async def answer(request: httpx2.Request) -> httpx2.Response:
        running.append("")
        if len(running) == len(PROMPTS):
            all_run.set()
        await (all_run if is_first(request) else has_raised).wait()
        for _ in range(0 if is_first(request) else SLOW_TURNS):
            await asyncio.sleep(0)
        return httpx2.Response(200, json=BODY)

    def progress(state: BatchProgress) -> None:
        seen.append(state.done)
        has_raised.set()
        raise RuntimeError("enough")

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    path = folder / "answers.jsonl"
    async with AsyncSwitchboard("http://test", "k", http_client=http) as client:
        with pytest.raises(RuntimeError, match="enough"):
            await client.batch([*PROMPTS, "fifth"], parallel=4, progress=progress, resume=path)
    assert (kept(path), seen) == (4, [1])


async def test_async_batch_that_is_cancelled_ends_its_requests() -> None:
    running: list[str] = []
    ended: list[str] = []
    all_run = asyncio.Event()

    async def answer(request: httpx2.Request) -> httpx2.Response:
        running.append("")
        if len(running) == len(PROMPTS):
            all_run.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("")
        return httpx2.Response(200, json=BODY)

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    async with AsyncSwitchboard("http://test", "k", http_client=http) as client:
        batch = asyncio.ensure_future(client.batch(PROMPTS, parallel=4))
        await asyncio.wait_for(all_run.wait(), PATIENCE_SECONDS)
        batch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await batch
    assert len(ended) == len(PROMPTS)


def test_batch_keeps_running_answers_when_progress_raises(folder: Path) -> None:
    all_run, has_raised = threading.Barrier(len(PROMPTS)), threading.Event()
    seen: list[int] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        all_run.wait(PATIENCE_SECONDS)
        assert is_first(request) or has_raised.wait(PATIENCE_SECONDS)
        return httpx2.Response(200, json=BODY)

    def progress(state: BatchProgress) -> None:
        seen.append(state.done)
        has_raised.set()
        raise RuntimeError("enough")

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    path = folder / "answers.jsonl"
    client = Switchboard("http://test", "k", http_client=http)
    with pytest.raises(RuntimeError, match="enough"):
        client.batch([*PROMPTS, "fifth"], parallel=4, progress=progress, resume=path)
    assert (kept(path), seen) == (4, [1])


def test_progress_of_many_threads_never_runs_backwards(frequent_switches: None) -> None:
    seen: list[int] = []
    http = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, json=BODY)))
    client = Switchboard("http://test", "k", http_client=http)
    client.batch(["hello"] * 200, parallel=True, progress=lambda state: seen.append(state.done))
    assert seen == list(range(1, 201))
