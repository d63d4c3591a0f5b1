"""Tasks of agents on the real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
from running import Server, wait_until

from claude_switchboard import AsyncSwitchboard, NotFoundError, PermissionRequest, Switchboard, Task, TaskEvent

NO_ENDING = "[[tokens=2000 gap_ms=50]]"


class BreakingStream(httpx2.SyncByteStream):
    """Body that breaks off after its first bytes."""

    def __init__(self, inner: Iterator[bytes]) -> None:
        self._inner = inner

    def __iter__(self) -> Iterator[bytes]:
        yield next(self._inner)
        raise httpx2.ReadError("broken by the test")


class BreakingTransport(httpx2.HTTPTransport):
    """Connections of which the first ones break off."""

    def __init__(self, breaks: int) -> None:
        super().__init__()
        self.breaks = breaks

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        if self.breaks == 0:
            return response
        self.breaks -= 1
        assert isinstance(response.stream, httpx2.SyncByteStream)
        return httpx2.Response(
            response.status_code, headers=response.headers, stream=BreakingStream(iter(response.stream))
        )


def call_tool(name: str, **fields: str) -> str:
    return f"[[tool={name} input={json.dumps(fields)}]]"


@pytest.fixture
def work(server: Server) -> Path:
    path = server.work / uuid4().hex
    path.mkdir()
    return path


def test_task_asks_and_is_allowed_or_denied_by_a_function(client: Switchboard, work: Path) -> None:
    asked: list[PermissionRequest] = []
    events: list[TaskEvent] = []

    def decide(request: PermissionRequest) -> bool | str:
        asked.append(request)
        return True if request.tool == "Bash" and "allowed" in str(request.input) else "Not that one."

    prompt = call_tool("Bash", command=f"touch {work}/allowed") + call_tool("Bash", command=f"touch {work}/denied")
    task = client.tasks.run(
        prompt,
        str(work),
        on_permission=decide,
        on_event=events.append,
        tools={"allow": ["Bash"]},
        permission_mode="default",
        max_budget_usd="0.50",
    )
    assert (task.status, task.is_over, task.error) == ("completed", True, None)
    assert task.cost_usd is not None and task.cost_usd > 0
    assert len(asked) == 2
    assert ((work / "allowed").exists(), (work / "denied").exists()) == (True, False)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert {"tool_use", "permission_request", "permission_resolved", "complete"} <= {event.type for event in events}
    assert "Not that one." in "".join(event.content or "" for event in events)


def test_events_go_on_after_broken_connections(client: Switchboard, server: Server, work: Path) -> None:
    task = client.tasks.create(call_tool("Read", file_path=f"{work}/nothing"), str(work))
    breaking = BreakingTransport(breaks=2)
    with Switchboard(server.url, server.key, http_client=httpx2.Client(transport=breaking)) as other:
        events = list(other.tasks.events(task.id))
    assert breaking.breaks == 0
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "complete"


def test_task_is_started_once_with_its_id(client: Switchboard, work: Path) -> None:
    first = client.tasks.create('[[say="done"]]', str(work), task_id=f"mine-{work.name}")
    again = client.tasks.create('[[say="done"]]', str(work), task_id=f"mine-{work.name}")
    assert first.id == again.id
    assert client.tasks.follow(first.id).result == "done"


def test_task_is_interrupted_listed_and_deleted(client: Switchboard, work: Path) -> None:
    task = client.tasks.create(NO_ENDING, str(work))
    wait_until(lambda: client.tasks.get(task.id).status == "running")
    client.tasks.interrupt(task.id)
    assert client.tasks.follow(task.id).status == "interrupted"
    assert task.id in [listed.id for listed in client.tasks.list(limit=50).data]
    assert client.tasks.delete(task.id).deleted
    with pytest.raises(NotFoundError):
        client.tasks.get(task.id)


def test_exception_of_a_function_interrupts_the_task(client: Switchboard, work: Path) -> None:
    started: list[str] = []

    def fail(event: TaskEvent) -> None:
        started.append(event.task_id)
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError):
        client.tasks.run(NO_ENDING, str(work), on_event=fail)
    assert client.tasks.follow(started[0]).status in ("interrupted", "cancelled")


def test_task_is_handed_over_below_the_first(client: Switchboard, work: Path) -> None:
    first = client.tasks.run('[[say="written"]]', str(work), max_budget_usd="1.00")
    second = client.tasks.hand_over(first.id, '[[say="read"]]')
    ended: Task = client.tasks.follow(second.id)
    assert (ended.parent_task_id, ended.result) == (first.id, "read")
    assert ended.family is not None and 0 < ended.family.left_usd < 1
    assert [task.id for task in client.tasks.list(parent_task_id=first.id).data] == [second.id]
    assert list(client.tasks.events(first.id))[-1].to_task_id == second.id


async def test_async_task_awaits_its_functions(async_client: AsyncSwitchboard, work: Path) -> None:
    seen: list[str] = []

    async def decide(request: PermissionRequest) -> bool | str:
        return request.tool == "Bash"

    async def note(event: TaskEvent) -> None:
        seen.append(event.type)

    task = await async_client.tasks.run(
        call_tool("Bash", command=f"touch {work}/allowed"),
        str(work),
        on_permission=decide,
        on_event=note,
        tools={"allow": ["Bash"]},
        permission_mode="default",
    )
    assert (task.status, (work / "allowed").exists(), seen[-1]) == ("completed", True, "complete")
    again = [event.type async for event in async_client.tasks.events(task.id)]
    assert again == seen
