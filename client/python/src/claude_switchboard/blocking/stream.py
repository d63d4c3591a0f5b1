"""Streams of the blocking client."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from types import TracebackType

import httpx2

from .._core.call import Request
from .._core.chat import StreamedAnswer, read_meta
from .._core.sse import EventDecoder, ServerEvent
from ..models.chat import Chunk, Completion
from .transport import Transport


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

    >>> for piece in client.stream("Tell me a story."):
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
            self._response, answer = self._transport.open(self._request)
            self._answer = StreamedAnswer(read_meta(answer.headers))
        return self._response, self._answer
