"""Several answers at once, by asynchronous tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from .._core.batching import BatchRun
from .._core.chat import complete_call
from ..errors import SwitchboardError
from ..models.chat import Completion
from ..results import BatchResult
from .transport import AsyncTransport, settled


async def run_batch(transport: AsyncTransport, run: BatchRun, parallel: int) -> BatchResult:
    """Runs the requests of a batch, `parallel` at a time.

    After an exception those that run are finished and kept before it is raised; only a cancellation breaks them off.
    """

    async def work() -> None:
        while (taken := run.take()) is not None:
            index, body = taken
            await finish(run, index, await outcome_of(transport, body))

    workers = [asyncio.ensure_future(work()) for _ in range(parallel)]
    try:
        ended, _ = await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        run.stop()
        await asyncio.wait(workers)
    finally:
        run.stop()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    for worker in ended:
        worker.result()
    return run.result()


async def outcome_of(transport: AsyncTransport, body: Mapping[str, object]) -> Completion | SwitchboardError:
    """Answer to a request, or its error."""
    try:
        return await transport.send(complete_call(body))
    except SwitchboardError as error:
        return error


async def finish(run: BatchRun, index: int, outcome: Completion | SwitchboardError) -> None:
    """Keeps an outcome and reports the progress; stops the run if that fails."""
    try:
        state = run.finish(index, outcome)
        if run.progress is not None:
            await settled(run.progress(state))
    except BaseException:
        run.stop()
        raise
