"""Agents that work in folders of the server."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
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
from .transport import Transport

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..options import AgentOptions, TaskOptions

OnPermission = Callable[[PermissionRequest], PermissionAnswer]
"""Decision on a request: True allows, False denies, a text denies with that message to the agent."""
OnEvent = Callable[[TaskEvent], object]
"""Function that is told each event."""


class Tasks:
    """Agents that work in folders of the server; the key needs the permission `tasks`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def run(
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

        >>> def decide(request):
        ...     return request.tool == "Write" or "Only files may be written."
        >>> task = client.tasks.run("Write a page.", "/srv/work", on_permission=decide)
        >>> task.status, task.result, task.cost_usd
        ('completed', 'I have written index.html.', Decimal('0.0123'))
        """
        task = self.create(prompt, workspace, **options)
        try:
            return self.follow(task.id, on_permission=on_permission, on_event=on_event)
        except BaseException:
            with suppress(SwitchboardError):
                self.interrupt(task.id)
            raise

    def create(self, prompt: str, workspace: str, **options: Unpack[TaskOptions]) -> Task:
        """Starts a task, or puts it into the queue of the server."""
        return self._transport.send(create_task_call(TASKS_PATH, {"prompt": prompt, "workspace": workspace, **options}))

    def hand_over(self, ended_task_id: str, prompt: str, **options: Unpack[AgentOptions]) -> Task:
        """Starts another agent below a task that has ended, with its report and in its folder."""
        return self._transport.send(
            create_task_call(task_path(ended_task_id, "/handover"), {"prompt": prompt, **options})
        )

    def follow(
        self, task_id: str, *, on_permission: OnPermission | None = None, on_event: OnEvent | None = None
    ) -> Task:
        """Waits for the end of a task, and answers what its agent asks meanwhile."""
        with closing(self.events(task_id)) as events:
            for event in events:
                if on_event is not None:
                    on_event(event)
                if on_permission is not None and event.type == "permission_request":
                    self._decide(event, on_permission)
        return self.get(task_id)

    def events(self, task_id: str, starting_after: int | None = None) -> Generator[TaskEvent, None, None]:
        """Events of a task until its end; a connection that breaks is opened again where it broke.

        >>> for event in client.tasks.events("task_..."):
        ...     print(event.type, event.text or event.name or "")
        """
        cursor = EventCursor(task_id, starting_after)
        while not cursor.is_over:
            try:
                response, answer = self._transport.open(cursor.request())
                with closing(server_events(response)) as events:
                    for event in events:
                        yield cursor.take(event)
            except (httpx2.TransportError, APIConnectionError, APIError) as failure:
                wait = cursor.wait_after_break(failure)
            else:
                wait = cursor.wait_after_end(answer.status)
            time.sleep(wait)

    def get(self, task_id: str) -> Task:
        """Task as it is now."""
        return self._transport.send(get_call(Task, task_path(task_id)))

    def list(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        order: Literal["asc", "desc"] | None = None,
        parent_task_id: str | None = None,
    ) -> Page[Task]:
        """Tasks of the key, the newest first; with `parent_task_id` those directly below that one."""
        query = {"limit": limit, "after": after, "order": order, "parent_task_id": parent_task_id}
        return self._transport.send(get_call(Page[Task], TASKS_PATH, query))

    def answer_permission(
        self, task_id: str, request_id: str, decision: Decision, message: str | None = None
    ) -> TaskPermission:
        """Allows or denies what an agent asks for; `message` tells it why."""
        return self._transport.send(answer_call(task_id, request_id, decision, message))

    def interrupt(self, task_id: str, *, cascade: bool = False) -> Task:
        """Ends a task early; with `cascade` all tasks below it too."""
        return self._transport.send(interrupt_call(task_id, cascade))

    def delete(self, task_id: str) -> Deleted:
        """Deletes a task with its events; one that runs is stopped."""
        return self._transport.send(delete_call(task_path(task_id)))

    def _decide(self, event: TaskEvent, on_permission: OnPermission) -> None:
        request = pending_request(self.get(event.task_id), event)
        if request is None:
            return
        # Another client may have answered meanwhile, or the agent asks no longer.
        with suppress(NotFoundError):
            self._transport.send(decision_call(event, on_permission(request)))
