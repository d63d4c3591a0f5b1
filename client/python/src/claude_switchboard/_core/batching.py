"""Several answers at once: which request is next, what it may cost, and what is kept of earlier runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import AuthenticationError, BudgetError, SwitchboardError
from ..models.chat import Completion
from ..results import BatchItem, BatchProgress, BatchResult
from .call import encode, validated
from .chat import Prompt, chat_body

BatchRequest = Prompt | Mapping[str, object]
"""Text, messages, or the body of a chat request."""
Progress = Callable[[BatchProgress], object]

DEFAULT_PARALLEL = 4
MAX_PARALLEL = 16
# After these every further request fails in the same way.
HOPELESS = (AuthenticationError, BudgetError)


def batch_bodies(
    requests: Sequence[BatchRequest], model: str, system: str | None, parameters: Mapping[str, object]
) -> list[dict[str, object]]:
    """Bodies of the requests; a body of its own keeps its fields, and gets those that it lacks.

    Raises TypeError for a single request, which would be taken apart into many.
    """
    if isinstance(requests, (str, bytes, Mapping)):
        raise TypeError("requests is a list with one entry for each request; put a single request into [ ]")
    shared = {"model": model, **parameters}
    bodies: list[dict[str, object]] = []
    for request in requests:
        if isinstance(request, Mapping):
            bodies.append({**shared, **request})
        else:
            bodies.append(chat_body(request, model, system, parameters))
    return bodies


def parallel_runs(parallel: bool | int) -> int:
    """Number of requests that run at a time."""
    if parallel is True:
        return MAX_PARALLEL
    return max(1, int(parallel))


class BatchRun:
    """State of a batch that this process runs; safe for threads.

    With `max_cost` a request begins only if the dearest answer so far, for it and for each that runs, still fits.
    """

    def __init__(
        self,
        bodies: Sequence[Mapping[str, object]],
        max_cost: Decimal | None,
        progress: Progress | None,
        journal: Journal | None,
    ) -> None:
        self._bodies = bodies
        self._max_cost = max_cost
        self._progress = progress
        self._journal = journal
        self._lock = threading.Lock()
        self._items: dict[int, BatchItem] = {}
        self._running = 0
        self._dearest = Decimal(0)
        self._cost = Decimal(0)
        self._is_stopped = False
        self._is_left = False
        self._take_journal()
        self._waiting = [index for index in range(len(bodies)) if index not in self._items]
        self._waiting.reverse()

    def take(self) -> tuple[int, Mapping[str, object]] | None:
        """Index and body of the next request, or None if no further one is to begin."""
        with self._lock:
            if self._is_stopped or not self._waiting or not self._has_room():
                return None
            self._running += 1
            index = self._waiting.pop()
            return index, self._bodies[index]

    def finish(self, index: int, outcome: Completion | SwitchboardError) -> BatchProgress:
        """Keeps the outcome of a request and returns how far the batch is."""
        with self._lock:
            self._running -= 1
            self._keep(index, outcome)
            if isinstance(outcome, HOPELESS):
                self._is_stopped = True
            elif isinstance(outcome, Completion) and self._journal is not None:
                self._journal.append(self._bodies[index], outcome)
            return self._state()

    def stop(self) -> None:
        """Lets no further request begin, and reports no more progress."""
        self._is_stopped = True
        self._is_left = True

    @property
    def progress(self) -> Progress | None:
        """Function of the caller that is told how far the batch is, until the batch is stopped."""
        return None if self._is_left else self._progress

    def result(self) -> BatchResult:
        """Results in the order of the requests."""
        missing = [BatchItem(index=index, custom_id=str(index)) for index in range(len(self._bodies))]
        return BatchResult([self._items.get(item.index, item) for item in missing])

    def _has_room(self) -> bool:
        if self._max_cost is None:
            return True
        return self._cost + self._dearest * (self._running + 1) <= self._max_cost and self._cost < self._max_cost

    def _keep(self, index: int, outcome: Completion | SwitchboardError) -> None:
        if isinstance(outcome, SwitchboardError):
            self._items[index] = BatchItem(index=index, custom_id=str(index), error=outcome)
            return
        self._items[index] = BatchItem(index=index, custom_id=str(index), completion=outcome)
        cost = outcome.cost or Decimal(0)
        self._cost += cost
        self._dearest = max(self._dearest, cost)

    def _take_journal(self) -> None:
        for index, body in enumerate(self._bodies):
            completion = self._journal.find(body) if self._journal is not None else None
            if completion is not None:
                self._keep(index, completion)

    def _state(self) -> BatchProgress:
        failed = sum(item.error is not None for item in self._items.values())
        return BatchProgress(len(self._items), failed, len(self._bodies), self._cost)


class Journal:
    """File of finished answers, by which a batch that was broken off goes on."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self._path = Path(path)
        self._answers: dict[str, list[Completion]] = {}
        self._is_torn = False
        if self._path.exists():
            self._read()

    def find(self, body: Mapping[str, object]) -> Completion | None:
        """Answer to this body; each one that is kept is given once."""
        answers = self._answers.get(digest(body))
        return answers.pop(0) if answers else None

    def append(self, body: Mapping[str, object], completion: Completion) -> None:
        """Keeps an answer."""
        line = {"request": digest(body), "completion": completion.model_dump(mode="json")}
        beginning = "\n" if self._is_torn else ""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(beginning + json.dumps(line) + "\n")
        self._is_torn = False

    def _read(self) -> None:
        text = self._path.read_text(encoding="utf-8")
        self._is_torn = text != "" and not text.endswith("\n")
        for line in text.splitlines():
            try:
                value: dict[str, Any] = json.loads(line)
            except ValueError:
                # The last line of a process that was killed.
                continue
            answers = self._answers.setdefault(value["request"], [])
            answers.append(validated(Completion, value["completion"]))


def digest(body: Mapping[str, object]) -> str:
    """Short text that tells bodies apart."""
    ordered = {name: body[name] for name in sorted(body)}
    return sha256(encode(ordered)).hexdigest()
