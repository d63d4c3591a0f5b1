"""Many answers at once: by this process, and by the server in the background."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest

from claude_switchboard import (
    AsyncSwitchboard,
    AuthenticationError,
    BadRequestError,
    BatchProgress,
    Completion,
    NotFoundError,
    Switchboard,
    SwitchboardError,
)
from claude_switchboard._core.batching import BatchRequest, BatchRun, Journal, batch_bodies
from claude_switchboard._core.call import validated
from claude_switchboard.errors import ErrorFacts

PROMPTS = [f'[[say="answer {number}" ttft_ms={(5 - number) * 40}]]' for number in range(5)]
ANSWERS = [f"answer {number}" for number in range(5)]


def completion(cost: str) -> Completion:
    return validated(Completion, {"choices": [], "usage": {"total_tokens": 1, "cost_usd": cost}})


def run_of(count: int, max_cost: str | None = None, journal: Journal | None = None) -> BatchRun:
    bodies = batch_bodies([f"prompt {number}" for number in range(count)], "haiku", None, {})
    return BatchRun(bodies, Decimal(max_cost) if max_cost else None, None, journal)


def unasked(request: httpx2.Request) -> httpx2.Response:
    raise AssertionError(f"{request.url} was asked")


def take(run: BatchRun) -> int:
    taken = run.take()
    assert taken is not None
    return taken[0]


def test_request_begins_only_if_the_dearest_answer_still_fits() -> None:
    run = run_of(5, max_cost="1.00")
    assert run.finish(take(run), completion("0.40")).cost == Decimal("0.40")
    second = take(run)
    assert run.take() is None
    run.finish(second, completion("0.30"))
    assert run.take() is None
    result = run.result()
    assert (len(result.completed), len(result.not_run), result.cost) == (2, 3, Decimal("0.70"))


def test_batch_stops_when_every_further_request_would_fail() -> None:
    run = run_of(3)
    run.finish(take(run), AuthenticationError(ErrorFacts("no", 401)))
    assert run.take() is None
    result = run.result()
    assert [item.status for item in result] == ["failed", "not_run", "not_run"]
    with pytest.raises(AuthenticationError):
        _ = result[0].content
    with pytest.raises(SwitchboardError, match="was not run"):
        _ = result[1].content


def test_journal_gives_each_answer_once_and_survives_a_torn_line(folder: Path) -> None:
    path = folder / "answers.jsonl"
    first = run_of(2, journal=Journal(path))
    index = take(first)
    first.finish(index, completion("0.40"))
    with path.open("a") as file:
        file.write('{"request": "half')
    second = run_of(2, journal=Journal(path))
    assert [take(second), second.take()] == [1, None]
    assert second.result()[0].completion == completion("0.40")
    assert second.finish(1, completion("0.10")).cost == Decimal("0.50")


@pytest.mark.parametrize("lost", [1, 9])
def test_journal_with_torn_line_keeps_the_answers_after_it(folder: Path, lost: int) -> None:
    path = folder / "answers.jsonl"
    first = run_of(3, journal=Journal(path))
    for cost in ("0.40", "0.10"):
        first.finish(take(first), completion(cost))
    path.write_bytes(path.read_bytes()[:-lost])
    second = run_of(3, journal=Journal(path))
    while (taken := second.take()) is not None:
        second.finish(taken[0], completion("0.20"))
    assert run_of(3, journal=Journal(path)).take() is None


def test_body_of_a_request_overrides_what_all_share() -> None:
    body = {"messages": "none", "model": "opus"}
    bodies = batch_bodies(["text", body], "haiku", None, {"max_tokens": 5})
    assert [(body["model"], body["max_tokens"]) for body in bodies] == [("haiku", 5), ("opus", 5)]


@pytest.mark.parametrize("single", ["Summarise this.", {"messages": []}])
def test_batch_of_a_single_text_or_body_is_refused(single: Any) -> None:
    client = Switchboard("http://test", http_client=httpx2.Client(transport=httpx2.MockTransport(unasked)))
    for batch in (client.batch, client.batches.submit):
        with pytest.raises(TypeError, match="list"):
            batch(single)


def test_batch_keeps_order_and_reports_progress(client: Switchboard) -> None:
    seen: list[BatchProgress] = []
    result = client.batch(PROMPTS, model="haiku", parallel=True, progress=seen.append)
    assert [item.content for item in result] == ANSWERS
    assert [state.done for state in seen] == [1, 2, 3, 4, 5]
    assert (seen[-1].total, seen[-1].failed, seen[-1].cost) == (5, 0, result.cost)
    assert result.total_tokens > 0


def test_batch_goes_on_where_it_was_left(client: Switchboard, folder: Path) -> None:
    def leave(state: BatchProgress) -> None:
        if state.done == 2:
            raise KeyboardInterrupt

    path = folder / "answers.jsonl"
    with pytest.raises(KeyboardInterrupt):
        client.batch(PROMPTS, model="haiku", parallel=False, progress=leave, resume=path)
    kept = len(path.read_text().splitlines())
    assert kept == 2
    seen: list[BatchProgress] = []
    result = client.batch(PROMPTS, model="haiku", progress=seen.append, resume=path)
    assert [item.content for item in result] == ANSWERS
    assert len(seen) == 3


def test_batch_stops_at_its_cost(client: Switchboard) -> None:
    result = client.batch(PROMPTS, model="haiku", parallel=False, max_cost=Decimal("0.0000001"))
    assert (len(result.completed), len(result.not_run)) == (1, 4)


def test_failures_of_a_batch_are_in_its_results(client: Switchboard) -> None:
    requests: list[BatchRequest] = [PROMPTS[4], {"messages": [{"role": "user", "content": "hi"}], "temperature": "hot"}]
    result = client.batch(requests, model="haiku")
    assert [item.status for item in result] == ["completed", "failed"]
    assert isinstance(result.failed[0].error, BadRequestError)


async def test_async_batch_keeps_order_and_awaits_progress(async_client: AsyncSwitchboard) -> None:
    seen: list[int] = []

    async def progress(state: BatchProgress) -> None:
        seen.append(state.done)

    result = await async_client.batch(PROMPTS, model="haiku", parallel=5, progress=progress)
    assert [item.content for item in result] == ANSWERS
    assert sorted(seen) == [1, 2, 3, 4, 5]


def test_batch_in_background_gives_results_in_order(client: Switchboard) -> None:
    bad = {"messages": [{"role": "user", "content": "hi"}], "temperature": "hot"}
    batch = client.batches.submit([*PROMPTS, bad], model="haiku", metadata={"for": "tests"})
    seen: list[BatchProgress] = []
    ended = client.batches.wait(batch.id, progress=seen.append)
    assert (ended.status, ended.metadata, ended.is_over) == ("completed", {"for": "tests"}, True)
    assert (seen[-1].done, seen[-1].failed, seen[-1].total) == (6, 1, 6)
    result = client.batches.results(batch.id)
    assert [item.content for item in result.completed] == ANSWERS
    assert isinstance(result[5].error, BadRequestError)
    assert ended.cost_usd is not None and ended.cost_usd > 0
    assert batch.id in [listed.id for listed in client.batches.list(limit=5).data]


def test_batch_in_background_is_cancelled(client: Switchboard) -> None:
    batch = client.batches.submit(["[[tokens=2000 gap_ms=20]]"] * 3, model="haiku")
    with pytest.raises(SwitchboardError, match="wait for its end"):
        client.batches.results(batch.id)
    client.batches.cancel(batch.id)
    assert client.batches.wait(batch.id).status == "cancelled"
    result = client.batches.results(batch.id)
    # A batch that was still being checked has begun none of its lines.
    assert len(result.failed) + len(result.not_run) == 3


def test_batch_with_bad_file_says_which_line(client: Switchboard) -> None:
    file = client.files.upload(b"no JSON\n", purpose="batch", filename="bad.jsonl")
    batch = client.batches.create(file.id)
    assert client.batches.wait(batch.id).status == "failed"
    with pytest.raises(SwitchboardError, match="line 1"):
        client.batches.results(batch.id)


async def test_async_batch_in_background(async_client: AsyncSwitchboard) -> None:
    batch = await async_client.batches.submit(PROMPTS[:2], model="haiku")
    await async_client.batches.wait(batch.id)
    result = await async_client.batches.results(batch.id)
    assert [item.content for item in result] == ANSWERS[:2]


def test_files_are_uploaded_named_and_deleted(client: Switchboard, folder: Path) -> None:
    path = folder / "words.txt"
    path.write_text("roses")
    file = client.files.upload(path, expires_after_seconds=3600)
    assert (file.filename, file.bytes, file.purpose) == ("words.txt", 5, "user_data")
    assert client.files.content(file.id) == b"roses"
    assert client.files.get(file.id) == file
    assert file.id in [listed.id for listed in client.files.list(purpose="user_data").data]
    part = {"type": "file", "file": {"file_id": file.id}}
    text = {"type": "text", "text": "[[echo_request]]"}
    answer = client.complete([{"role": "user", "content": [part, text]}], model="haiku")
    assert "roses" in json.dumps(json.loads(answer.content))
    assert client.files.delete(file.id).deleted
    with pytest.raises(NotFoundError):
        client.files.get(file.id)


async def test_async_files_take_open_files(async_client: AsyncSwitchboard, folder: Path) -> None:
    path = folder / "words.txt"
    path.write_text("roses")
    with path.open("rb") as source:
        file = await async_client.files.upload(source)
    assert (file.filename, await async_client.files.content(file.id)) == ("words.txt", b"roses")
    await async_client.files.delete(file.id)
