"""Calls for tasks, and the place in their events."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from ..errors import APIConnectionError, APIError
from ..models.tasks import Decision, PermissionRequest, Task, TaskEvent, TaskPermission
from .call import Call, Request, decoded, given, path_part, read_model, validated
from .lists import post_call
from .retries import backoff
from .sse import ServerEvent

PermissionAnswer = bool | str
"""True allows, False denies, a text denies with that message to the agent."""

TASKS_PATH = "/v1/tasks"
# Connections in a row that bring no event, and seconds between them; the CLI of the server has these limits too.
MAX_RECONNECTIONS = 30
MAX_RECONNECTION_WAIT_SECONDS = 5.0
MAX_RECONNECTING_SECONDS = 150.0
# A server that is busy or restarts; so is one of 500 and above.
PASSING = frozenset({408, 429})
# The server sends a comment every few seconds, so a silence of a minute is a lost connection.
SILENCE_SECONDS = 60.0
NO_CONTENT = 204


def create_task_call(path: str, fields: Mapping[str, object]) -> Call[Task]:
    """Call that starts a task, which its chosen id makes safe to send again."""
    body = given(**fields)
    body.setdefault("task_id", f"py-{uuid.uuid4().hex}")
    return Call(Request("POST", path, body=body, is_repeatable=True), read_model(Task))


def task_path(task_id: str, ending: str = "") -> str:
    """Path of a task."""
    return f"{TASKS_PATH}/{path_part(task_id)}{ending}"


def answer_call(task_id: str, request_id: str, decision: Decision, message: str | None) -> Call[TaskPermission]:
    """Call that answers a permission request."""
    path = task_path(task_id, f"/permissions/{path_part(request_id)}")
    return post_call(TaskPermission, path, given(decision=decision, message=message))


def interrupt_call(task_id: str, cascade: bool) -> Call[Task]:
    """Call that interrupts a task, and with `cascade` those below it."""
    query = {"cascade": True} if cascade else {}
    return Call(Request("POST", task_path(task_id, "/interrupt"), query), read_model(Task))


def pending_request(task: Task, event: TaskEvent) -> PermissionRequest | None:
    """Permission request of an event if the agent still waits for its answer."""
    requests = (request for request in task.permission_requests if request.request_id == event.request_id)
    return next(requests, None)


def decision_call(event: TaskEvent, answer: PermissionAnswer) -> Call[TaskPermission]:
    """Call that answers the permission request of an event."""
    decision: Decision = "allow" if answer is True else "deny"
    message = answer if isinstance(answer, str) else None
    return answer_call(event.task_id, event.request_id or "", decision, message)


class EventCursor:
    """Place in the events of a task, from which a broken connection goes on."""

    def __init__(self, task_id: str, after: int | None) -> None:
        self._path = task_path(task_id, "/events")
        self._after = after
        self._failures = 0
        self._waited = 0.0
        self.is_over = False

    def request(self) -> Request:
        """Request for the events that have not come yet."""
        query = {"starting_after": self._after}
        headers = {"accept": "text/event-stream"}
        # The cursor counts the attempts itself.
        return Request("GET", self._path, query, headers=headers, timeout=SILENCE_SECONDS, max_retries=0)

    def take(self, event: ServerEvent) -> TaskEvent:
        """Event of the task; the place moves behind it."""
        taken = validated(TaskEvent, decoded(event.data))
        self._after = taken.sequence_number
        self._failures = 0
        self._waited = 0.0
        self.is_over = self.is_over or taken.is_end
        return taken

    def wait_after_break(self, failure: Exception) -> float:
        """Seconds until the next connection after one that broke, or that the server refused.

        Raises APIConnectionError after too many in a row that brought no event. A refusal is raised as it is, at once
        if it will not pass.
        """
        if isinstance(failure, APIError) and not may_pass(failure):
            raise failure
        if self.is_over:
            return 0.0
        self._failures += 1
        left = MAX_RECONNECTING_SECONDS - self._waited
        if self._failures > MAX_RECONNECTIONS or left <= 0:
            if isinstance(failure, APIError):
                raise failure
            raise APIConnectionError(f"GET {self._path} broke off {self._failures} times: {failure}") from failure
        wait = min(max(backoff(self._failures, MAX_RECONNECTION_WAIT_SECONDS), asked_wait(failure)), left)
        self._waited += wait
        return wait

    def wait_after_end(self, status: int) -> float:
        """Seconds until the next connection after one that ended in good order, if the task goes on."""
        self.is_over = self.is_over or status == NO_CONTENT
        return self.wait_after_break(EOFError("the events ended before the task"))


def may_pass(refusal: APIError) -> bool:
    """True if the server may answer the same request later."""
    return refusal.status is not None and (refusal.status in PASSING or refusal.status >= 500)


def asked_wait(failure: Exception) -> float:
    """Seconds that the server asks to wait, or 0."""
    return (failure.retry_after or 0.0) if isinstance(failure, APIError) else 0.0
