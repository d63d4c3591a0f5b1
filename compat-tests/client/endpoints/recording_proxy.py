"""Proxy in front of the server that records each request with the status of its answer, WebSockets included."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

CHUNK_BYTES = 65536
HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class RecordedRequest:
    """Request that passed, and the status of its answer."""

    method: str
    # Without its query.
    path: str
    status: int


class RecordingProxy:
    """Proxy on a port of its own; every connection carries one request, so that none passes unseen."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self.requests: list[RecordedRequest] = []
        self.url = ""

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0, limit=CHUNK_BYTES)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    async def _pass_on(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        to_server: asyncio.StreamWriter | None = None
        # Either side may leave at any time, and a client may open a connection without using it.
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await client.readuntil(HEAD_END)
            server, to_server = await asyncio.open_connection(*self._upstream)
            to_server.write(single_use(head))
            sending = asyncio.create_task(copy(client, to_server))
            try:
                answer = await server.readuntil(HEAD_END)
                while (status := int(answer.split(b" ", 2)[1])) == 100:
                    to_client.write(answer)
                    answer = await server.readuntil(HEAD_END)
                self._record(head, status)
                to_client.write(answer)
                await copy(server, to_client)
            finally:
                sending.cancel()
        for writer in filter(None, (to_client, to_server)):
            writer.close()

    def _record(self, head: bytes, status: int) -> None:
        method, target, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
        self.requests.append(RecordedRequest(method, target.partition("?")[0], status))


def single_use(head: bytes) -> bytes:
    """Request head with which the server closes the connection after its answer; that of an upgrade stays."""
    lines = head.removesuffix(HEAD_END).split(b"\r\n")
    if any(line.lower().startswith(b"upgrade:") for line in lines):
        return head
    kept = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*kept, b"connection: close"]) + HEAD_END


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Passes bytes on as they come, until there are no more."""
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()


@contextmanager
def recording_proxy(host: str, port: int) -> Generator[RecordingProxy, None, None]:
    """Proxy on a thread of its own until the end of the block."""
    proxy = RecordingProxy(host, port)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        listening = asyncio.run_coroutine_threadsafe(proxy.listen(), loop).result(10)
        yield proxy
        asyncio.run_coroutine_threadsafe(close(listening), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def close(server: asyncio.Server) -> None:
    """Stops to listen, and ends what is under way."""
    server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
