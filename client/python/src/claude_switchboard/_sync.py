"""Blocking shell around the core: sends requests, waits between attempts, and reads streams."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from types import TracebackType
from typing import Any, TypeVar

import httpx2

from ._core.call import Answer, Call, HttpRequest, Request, complete_request
from ._core.chat import StreamedAnswer, read_meta
from ._core.http import answer_of, connection_limits, request_arguments
from ._core.plan import Notify, Plan, Step, Wait
from ._core.retries import Attempts
from ._core.settings import Settings
from ._core.sse import EventDecoder, ServerEvent
from .models.chat import Chunk, Completion

T = TypeVar("T")
log = logging.getLogger("claude_switchboard")


class Transport:
    """Connections to the server, with retries."""

    def __init__(self, settings: Settings, http: httpx2.Client | None = None) -> None:
        self.settings = settings
        self.http = http or httpx2.Client(limits=connection_limits())

    def send(self, call: Call[T]) -> T:
        """Sends a request and reads its answer."""
        _, answer = self._exchange(call.request, is_stream=False)
        return call.read(answer)

    def open(self, request: Request) -> httpx2.Response:
        """Sends a request and returns the response with its body still to be read."""
        response, _ = self._exchange(request, is_stream=True)
        return response

    def run(self, plan: Plan[T]) -> T:
        """Carries out the steps of a plan."""
        result: Any = None
        while True:
            try:
                step = plan.send(result)
            except StopIteration as end:
                value: T = end.value
                return value
            result = self._carry_out(step)

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
        arguments = request_arguments(request, self.settings.timeout)
        response = self.http.send(self.http.build_request(**arguments), stream=True)
        log.debug("%s %s: %s", request.method, request.url, response.status_code)
        return response


def server_events(response: httpx2.Response) -> Generator[ServerEvent, None, None]:
    """Events of a response, which is closed at the end or when the reader leaves."""
    decoder = EventDecoder()
    with closing(response):
        for piece in response.iter_bytes():
            yield from decoder.feed(piece)


class Stream:
    """Answer as it is made: iterating gives its text piece by piece.

    The request is sent when the first piece is asked for. Leaving the loop ends the run on the server, so that nothing
    more is charged than was made until then.

    >>> for piece in client.stream("Tell me a story."):          # doctest: +SKIP
    ...     print(piece, end="", flush=True)
    """

    def __init__(self, transport: Transport, request: Request) -> None:
        self._transport = transport
        self._request = request
        self._response: httpx2.Response | None = None
        self._answer: StreamedAnswer | None = None

    def __enter__(self) -> Stream:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[str]:
        with closing(self.chunks()) as chunks:
            for chunk in chunks:
                if chunk.text:
                    yield chunk.text

    def chunks(self) -> Generator[Chunk, None, None]:
        """Events with all they hold: calls of tools, thinking, other choices, usage."""
        response, answer = self._open()
        answer.begin()
        try:
            with closing(server_events(response)) as events:
                for event in events:
                    chunk = answer.add(event)
                    if chunk is not None:
                        yield chunk
        except httpx2.TransportError as failure:
            raise answer.interruption(str(failure)) from failure
        if not answer.is_complete:
            raise answer.interruption("its end is missing")

    def final(self) -> Completion:
        """Reads what is left, if nothing was read before, and returns the whole answer.

        Raises SwitchboardError if the stream was left before its end.
        """
        _, answer = self._open()
        if not answer.has_begun:
            for _ in self.chunks():
                pass
        return answer.whole()

    @property
    def text(self) -> str:
        """Text that has come so far."""
        return self._answer.text if self._answer else ""

    def close(self) -> None:
        """Ends the run on the server if it still goes on."""
        if self._response is not None:
            self._response.close()

    def _open(self) -> tuple[httpx2.Response, StreamedAnswer]:
        if self._response is None or self._answer is None:
            self._response = self._transport.open(self._request)
            self._answer = StreamedAnswer(read_meta(answer_of(self._response, b"").headers))
        return self._response, self._answer
