"""Asynchronous shell around the core: sends requests and waits between attempts."""

from __future__ import annotations

import asyncio
import inspect
import logging
from contextlib import aclosing
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


class AsyncTransport:
    """Connections to the server, with retries."""

    def __init__(self, settings: Settings, http: httpx2.AsyncClient | None = None) -> None:
        self.settings: Settings = settings
        self.http: httpx2.AsyncClient = http or httpx2.AsyncClient(limits=connection_limits())

    async def send(self, call: Call[T]) -> T:
        """Sends a request and reads its answer."""
        _, answer = await self._exchange(call.request, is_stream=False)
        return call.read(answer)

    async def open(self, request: Request) -> tuple[httpx2.Response, Answer]:
        """Sends a request and returns the response with its body still to be read, and the answer without it."""
        return await self._exchange(request, is_stream=True)

    async def run(self, plan: Plan[T]) -> T:
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
                result = await self._carry_out(step)
            except SwitchboardError as error:
                failure = error

    async def _carry_out(self, step: Step) -> Any:
        if isinstance(step, Wait):
            return await asyncio.sleep(step.seconds)
        if isinstance(step, Notify):
            return await settled(step.function(step.argument))
        return await self.send(step)

    async def _exchange(self, request: Request, is_stream: bool) -> tuple[httpx2.Response, Answer]:
        complete = complete_request(request, self.settings)
        attempts = Attempts(request, self.settings.max_retries)
        while True:
            try:
                response = await self._attempt(complete)
                if is_stream and response.is_success:
                    return response, answer_of(response, b"")
                async with aclosing(response):
                    answer = answer_of(response, await response.aread())
            except httpx2.TransportError as failure:
                await asyncio.sleep(attempts.wait_after_failure(failure))
                continue
            if answer.is_good:
                return response, answer
            await asyncio.sleep(attempts.wait_after_answer(answer))

    async def _attempt(self, request: HttpRequest) -> httpx2.Response:
        arguments = request_arguments(request)
        response = await self.http.send(self.http.build_request(**arguments), stream=True)
        log.debug("%s %s: %s", request.method, request.url, response.status_code)
        return response


async def settled(value: Any) -> Any:
    """Result of a function of the caller, which may be asynchronous."""
    return await value if inspect.isawaitable(value) else value
