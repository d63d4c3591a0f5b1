"""Results of batches, in the order of their requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import overload

from .errors import SwitchboardError
from .models.chat import Completion


@dataclass(frozen=True)
class BatchProgress:
    """Number of requests that are done, that failed among them, and that there are; dollars so far."""

    done: int
    failed: int
    total: int
    cost: Decimal


@dataclass(frozen=True)
class BatchItem:
    """Outcome of a request: a completion, an error, or neither if it was not run."""

    index: int
    custom_id: str
    completion: Completion | None = None
    error: SwitchboardError | None = None

    @property
    def status(self) -> str:
        """`completed`, `failed` or `not_run`."""
        if self.completion is not None:
            return "completed"
        return "not_run" if self.error is None else "failed"

    @property
    def content(self) -> str:
        """Text of the answer.

        Raises the error of a request that failed, or SwitchboardError for one that was not run.
        """
        if self.completion is not None:
            return self.completion.content
        raise self.error or SwitchboardError(f"Request {self.custom_id} was not run")


class BatchResult(Sequence[BatchItem]):
    """Results in the order of the requests."""

    def __init__(self, items: Sequence[BatchItem]) -> None:
        self._items = list(items)

    @overload
    def __getitem__(self, index: int) -> BatchItem: ...

    @overload
    def __getitem__(self, index: slice) -> list[BatchItem]: ...

    def __getitem__(self, index: int | slice) -> BatchItem | list[BatchItem]:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[BatchItem]:
        return iter(self._items)

    def __repr__(self) -> str:
        counts = f"completed={len(self.completed)}, failed={len(self.failed)}, not_run={len(self.not_run)}"
        return f"BatchResult({counts}, cost={self.cost})"

    @property
    def completed(self) -> list[BatchItem]:
        """Requests that were answered."""
        return [item for item in self if item.status == "completed"]

    @property
    def failed(self) -> list[BatchItem]:
        """Requests that failed."""
        return [item for item in self if item.status == "failed"]

    @property
    def not_run(self) -> list[BatchItem]:
        """Requests that were not run, because a limit was reached before."""
        return [item for item in self if item.status == "not_run"]

    @property
    def cost(self) -> Decimal:
        """Dollars of all answers whose cost is known."""
        costs = (item.completion.cost or Decimal(0) for item in self if item.completion is not None)
        return sum(costs, Decimal(0))

    @property
    def total_tokens(self) -> int:
        """Tokens of all answers."""
        usages = (item.completion.usage for item in self if item.completion is not None)
        return sum(usage.total_tokens for usage in usages if usage is not None)
