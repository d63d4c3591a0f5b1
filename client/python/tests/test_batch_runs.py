"""Batches of both clients against scripted answers: what is kept and reported when something is raised."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest

from claude_switchboard import AsyncSwitchboard, BadRequestError, BatchProgress, Switchboard
from claude_switchboard._core import batches

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


def batch_of(status: str, cost: str = "0.60") -> httpx2.Response:
    fields = {"endpoint": "/v1/chat/completions", "input_file_id": "file_1", "created_at": 1, "cost_usd": cost}
    return httpx2.Response(200, json={"id": "batch_1", "status": status, **fields})


def no_longer() -> httpx2.Response:
    error = {"message": "A batch whose status is `finalizing` cannot be cancelled.", "code": None}
    return httpx2.Response(400, json={"error": error})


class Batches:
    """Answers about a batch that are given in turn, and the number of cancellations."""

    def __init__(self, *answers: httpx2.Response) -> None:
        self._answers = list(answers)
        self.cancellations = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.cancellations += request.url.path.endswith("/cancel")
        return self._answers.pop(0)

    def wait(self) -> str:
        http = httpx2.Client(transport=httpx2.MockTransport(self))
        with Switchboard("http://test", "k", http_client=http) as client:
            return client.batches.wait("batch_1", max_cost=Decimal("0.50")).status

    async def wait_async(self) -> str:
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(self))
        async with AsyncSwitchboard("http://test", "k", http_client=http) as client:
            return (await client.batches.wait("batch_1", max_cost=Decimal("0.50"))).status


@pytest.fixture
def no_polling_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "FIRST_POLL_SECONDS", 0.0)


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


@pytest.mark.usefixtures("no_polling_time")
@pytest.mark.parametrize(
    ("statuses", "cancellations"),
    [
        (["finalizing", "completed"], 0),
        (["in_progress", "", "finalizing", "completed"], 1),
        (["in_progress", "cancelling", "cancelling", "cancelled"], 1),
        (["validating", "cancelling", "cancelled"], 1),
    ],
)
async def test_batch_that_is_dear_is_cancelled_only_while_it_runs(statuses: list[str], cancellations: int) -> None:
    scripts = [Batches(*[batch_of(status) if status else no_longer() for status in statuses]) for _ in range(2)]
    assert (scripts[0].wait(), await scripts[1].wait_async()) == (statuses[-1], statuses[-1])
    assert [script.cancellations for script in scripts] == [cancellations, cancellations]


def test_batch_that_goes_on_after_a_refused_cancellation_is_an_error() -> None:
    with pytest.raises(BadRequestError):
        Batches(batch_of("in_progress"), no_longer(), batch_of("in_progress")).wait()
