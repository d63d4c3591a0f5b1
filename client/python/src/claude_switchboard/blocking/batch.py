"""Several answers at once, by threads."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from .._core.batching import BatchRun
from .._core.chat import complete_call
from ..errors import SwitchboardError
from ..models.chat import Completion
from ..results import BatchResult
from .transport import Transport


def run_batch(transport: Transport, run: BatchRun, parallel: int) -> BatchResult:
    """Runs the requests of a batch, `parallel` at a time.

    After an exception those that run are finished and kept before it is raised.
    """
    reports = threading.Lock()

    def work() -> None:
        while (taken := run.take()) is not None:
            index, body = taken
            outcome = outcome_of(transport, body)
            # The states are reported in the order in which they come about.
            with reports:
                finish(run, index, outcome)

    with ThreadPoolExecutor(parallel, "switchboard-batch") as pool:
        try:
            ended, _ = wait([pool.submit(work) for _ in range(parallel)], return_when=FIRST_EXCEPTION)
        finally:
            run.stop()
        for worker in ended:
            worker.result()
    return run.result()


def outcome_of(transport: Transport, body: Mapping[str, object]) -> Completion | SwitchboardError:
    """Answer to a request, or its error."""
    try:
        return transport.send(complete_call(body))
    except SwitchboardError as error:
        return error


def finish(run: BatchRun, index: int, outcome: Completion | SwitchboardError) -> None:
    """Keeps an outcome and reports the progress; stops the run if that fails."""
    try:
        state = run.finish(index, outcome)
        if run.progress is not None:
            run.progress(state)
    except BaseException:
        run.stop()
        raise
