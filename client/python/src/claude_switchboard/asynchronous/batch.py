"""Several answers at once, by asynchronous tasks."""

from __future__ import annotations

import asyncio

from .._core.batching import BatchRun
from .._core.chat import complete_call
from ..errors import SwitchboardError
from ..results import BatchResult
from .transport import AsyncTransport, settled


async def run_batch(transport: AsyncTransport, run: BatchRun, parallel: int) -> BatchResult:
    """Runs the requests of a batch, `parallel` at a time."""

    async def work() -> None:
        while (taken := run.take()) is not None:
            index, body = taken
            try:
                answer = await transport.send(complete_call(body))
                state = run.finish(index, answer)
            except SwitchboardError as error:
                state = run.finish(index, error)
            if run.progress is not None:
                await settled(run.progress(state))

    workers = [asyncio.ensure_future(work()) for _ in range(parallel)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
    return run.result()
