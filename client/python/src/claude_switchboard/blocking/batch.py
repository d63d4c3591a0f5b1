"""Several answers at once, by threads."""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from .._core.batching import BatchRun
from .._core.chat import complete_call
from ..errors import SwitchboardError
from ..results import BatchResult
from .transport import Transport


def run_batch(transport: Transport, run: BatchRun, parallel: int) -> BatchResult:
    """Runs the requests of a batch, `parallel` at a time."""
    reports = threading.Lock()

    def work() -> None:
        while (taken := run.take()) is not None:
            index, body = taken
            try:
                answer = transport.send(complete_call(body))
                state = run.finish(index, answer)
            except SwitchboardError as error:
                state = run.finish(index, error)
            if run.progress is not None:
                with reports:
                    run.progress(state)

    with ThreadPoolExecutor(parallel, "switchboard-batch") as pool:
        try:
            ended, _ = wait([pool.submit(work) for _ in range(parallel)], return_when=FIRST_EXCEPTION)
        finally:
            run.stop()
        for worker in ended:
            worker.result()
    return run.result()
