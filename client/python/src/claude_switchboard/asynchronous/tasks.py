"""Agents that work in folders of the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Literal

import httpx2

from .._core.lists import delete_call, get_call
from .._core.tasks import (
    TASKS_PATH,
    EventCursor,
    PermissionAnswer,
    answer_call,
    create_task_call,
    decision_call,
    interrupt_call,
    pending_request,
    task_path,
)
from ..errors import APIConnectionError, APIError, NotFoundError, SwitchboardError
from ..models.base import Deleted, Page
from ..models.tasks import Decision, PermissionRequest, Task, TaskEvent, TaskPermission
from .stream import server_events
from .transport import AsyncTransport, settled

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..options import AgentOptions, TaskOptions

OnPermission = Callable[[PermissionRequest], PermissionAnswer | Awaitable[PermissionAnswer]]
"""Decision on a request: True allows, False denies, a text denies with that message to the agent."""
OnEvent = Callable[[TaskEvent], object]
"""Function that is told each event; what it returns is awaited if it can be."""


class AsyncTasks:
    """Agents that work in folders of the server; the key needs the permission `tasks`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def run(
        self,
        prompt: str,
        workspace: str,
        *,
        on_permission: OnPermission | None = None,
        on_event: OnEvent | None = None,
        **options: Unpack[TaskOptions],
    ) -> Task:
        """Starts a task and waits for its end, over connections that break and a server that restarts.

        An exception, also of a function that was passed, interrupts the task.
        """
        task = await self.create(prompt, workspace, **options)
        try:
            return await self.follow(task.id, on_permission=on_permission, on_event=on_event)
        except BaseException:
            with suppress(SwitchboardError):
                await self.interrupt(task.id)
            raise

    async def create(self, prompt: str, workspace: str, **options: Unpack[TaskOptions]) -> Task:
        """Starts a task, or puts it into the queue of the server."""
        return await self._transport.send(
            create_task_call(TASKS_PATH, {"prompt": prompt, "workspace": workspace, **options})
        )

    async def hand_over(self, ended_task_id: str, prompt: str, **options: Unpack[AgentOptions]) -> Task:
        """Starts another agent below a task that has ended, with its report and in its folder."""
        return await self._transport.send(
            create_task_call(task_path(ended_task_id, "/handover"), {"prompt": prompt, **options})
        )

    async def follow(
        self, task_id: str, *, on_permission: OnPermission | None = None, on_event: OnEvent | None = None
    ) -> Task:
        """Waits for the end of a task, and answers what its agent asks meanwhile."""
        async with aclosing(self.events(task_id)) as events:
            async for event in events:
                if on_event is not None:
                    await settled(on_event(event))
                if on_permission is not None and event.type == "permission_request":
                    await self._decide(event, on_permission)
        return await self.get(task_id)

    async def events(self, task_id: str, starting_after: int | None = None) -> AsyncGenerator[TaskEvent, None]:
        """Events of a task until its end; a connection that breaks is opened again where it broke."""
        cursor = EventCursor(task_id, starting_after)
        while not cursor.is_over:
            try:
                response, answer = await self._transport.open(cursor.request())
                async with aclosing(server_events(response)) as events:
                    async for event in events:
                        yield cursor.take(event)
            except (httpx2.TransportError, APIConnectionError, APIError) as failure:
                wait = cursor.wait_after_break(failure)
            else:
                wait = cursor.wait_after_end(answer.status)
            await asyncio.sleep(wait)

    async def get(self, task_id: str) -> Task:
        """Task as it is now."""
        return await self._transport.send(get_call(Task, task_path(task_id)))

    async def list(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        order: Literal["asc", "desc"] | None = None,
        parent_task_id: str | None = None,
    ) -> Page[Task]:
        """Tasks of the key, the newest first; with `parent_task_id` those directly below that one."""
        query = {"limit": limit, "after": after, "order": order, "parent_task_id": parent_task_id}
        return await self._transport.send(get_call(Page[Task], TASKS_PATH, query))

    async def answer_permission(
        self, task_id: str, request_id: str, decision: Decision, message: str | None = None
    ) -> TaskPermission:
        """Allows or denies what an agent asks for; `message` tells it why."""
        return await self._transport.send(answer_call(task_id, request_id, decision, message))

    async def interrupt(self, task_id: str, *, cascade: bool = False) -> Task:
        """Ends a task early; with `cascade` all tasks below it too."""
        return await self._transport.send(interrupt_call(task_id, cascade))

    async def delete(self, task_id: str) -> Deleted:
        """Deletes a task with its events; one that runs is stopped."""
        return await self._transport.send(delete_call(task_path(task_id)))

    async def _decide(self, event: TaskEvent, on_permission: OnPermission) -> None:
        request = pending_request(await self.get(event.task_id), event)
        if request is None:
            return
        # Another client may have answered meanwhile, or the agent asks no longer.
        with suppress(NotFoundError):
            answer: PermissionAnswer = await settled(on_permission(request))
            await self._transport.send(decision_call(event, answer))
