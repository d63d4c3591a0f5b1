"""Blocking shell around the core: sends requests and waits between attempts."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import Any, TypeVar

import httpx2

from .._core.call import Answer, Call, HttpRequest, Request, complete_request
from .._core.http import answer_of, connection_limits, request_arguments
from .._core.plan import Notify, Plan, Step, Wait
from .._core.retries import Attempts
from .._core.settings import Settings
from ..errors import SwitchboardError

T = TypeVar("T")
log: logging.Logger = logging.getLogger("claude_switchboard")


class Transport:
    """Connections to the server, with retries."""

    def __init__(self, settings: Settings, http: httpx2.Client | None = None) -> None:
        self.settings: Settings = settings
        self.http: httpx2.Client = http or httpx2.Client(limits=connection_limits())

    def send(self, call: Call[T]) -> T:
        """Sends a request and reads its answer."""
        _, answer = self._exchange(call.request, is_stream=False)
        return call.read(answer)

    def open(self, request: Request) -> tuple[httpx2.Response, Answer]:
        """Sends a request and returns the response with its body still to be read, and the answer without it."""
        return self._exchange(request, is_stream=True)

    def run(self, plan: Plan[T]) -> T:
        """Carries out the steps of a plan, which is told of their errors."""
        result: Any = None
        failure: SwitchboardError | None = None
        while True:
            try:
                step = plan.send(result) if failure is None else plan.throw(failure)
            except StopIteration as end:
                value: T = end.value
                return value
            result, failure = None, None
            try:
                result = self._carry_out(step)
            except SwitchboardError as error:
                failure = error

    def _carry_out(self, step: Step) -> Any:
        if isinstance(step, Wait):
            return time.sleep(step.seconds)
        if isinstance(step, Notify):
            return step.function(step.argument)
        return self.send(step)

    def _exchange(self, request: Request, is_stream: bool) -> tuple[httpx2.Response, Answer]:
        complete = complete_request(request, self.settings)
        attempts = Attempts(request, self.settings.max_retries)
        while True:
            try:
                response = self._attempt(complete)
                if is_stream and response.is_success:
                    return response, answer_of(response, b"")
                with closing(response):
                    answer = answer_of(response, response.read())
            except httpx2.TransportError as failure:
                time.sleep(attempts.wait_after_failure(failure))
                continue
            if answer.is_good:
                return response, answer
            time.sleep(attempts.wait_after_answer(answer))

    def _attempt(self, request: HttpRequest) -> httpx2.Response:
        arguments = request_arguments(request)
        response = self.http.send(self.http.build_request(**arguments), stream=True)
        log.debug("%s %s: %s", request.method, request.url, response.status_code)
        return response
