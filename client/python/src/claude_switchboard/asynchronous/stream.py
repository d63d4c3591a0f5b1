"""Streams of the asynchronous client."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import TracebackType

import httpx2

from .._core.call import Request
from .._core.chat import StreamedAnswer, read_meta
from .._core.sse import EventDecoder, ServerEvent
from ..models.chat import Chunk, Completion
from .transport import AsyncTransport


async def server_events(response: httpx2.Response) -> AsyncGenerator[ServerEvent, None]:
    """Events of a response, which is closed at the end or when the reader leaves."""
    decoder = EventDecoder()
    async with aclosing(response):
        async for piece in response.aiter_bytes():
            for event in decoder.feed(piece):
                yield event


class AsyncStream:
    """Answer as it is made: iterating gives its text piece by piece.

    The request is sent when the first piece is asked for. Leaving the loop ends the run on the server, so that nothing
    more is charged than was made until then.

    In `async with` the end of the block ends the run at once, without it that happens soon after the loop.
    """

    def __init__(self, transport: AsyncTransport, request: Request) -> None:
        self._transport = transport
        self._request = request
        self._response: httpx2.Response | None = None
        self._answer: StreamedAnswer | None = None

    async def __aenter__(self) -> AsyncStream:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[str]:
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                if chunk.text:
                    yield chunk.text

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """Events with all they hold: calls of tools, thinking, other choices, usage."""
        response, answer = await self._open()
        answer.begin()
        try:
            async with aclosing(server_events(response)) as events:
                async for event in events:
                    chunk = answer.add(event)
                    if chunk is not None:
                        yield chunk
        except httpx2.TransportError as failure:
            raise answer.interruption(str(failure)) from failure
        if not answer.is_complete:
            raise answer.interruption("its end is missing")

    async def final(self) -> Completion:
        """Reads what is left, if nothing was read before, and returns the whole answer.

        Raises SwitchboardError if the stream was left before its end.
        """
        _, answer = await self._open()
        if not answer.has_begun:
            async for _ in self.chunks():
                pass
        return answer.whole()

    @property
    def text(self) -> str:
        """Text that has come so far."""
        return self._answer.text if self._answer else ""

    async def close(self) -> None:
        """Ends the run on the server if it still goes on."""
        if self._response is not None:
            await self._response.aclose()

    async def _open(self) -> tuple[httpx2.Response, StreamedAnswer]:
        if self._response is None or self._answer is None:
            self._response, answer = await self._transport.open(self._request)
            self._answer = StreamedAnswer(read_meta(answer.headers))
        return self._response, self._answer
