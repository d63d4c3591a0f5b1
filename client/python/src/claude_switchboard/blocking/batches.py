"""Batches that the server runs in the background."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Literal

from .._core.batches import (
    BATCHES_PATH,
    cancel_call,
    create_call,
    results_plan,
    retrieve_call,
    submit_plan,
    wait_plan,
)
from .._core.batching import BatchRequest, batch_bodies
from .._core.chat import CHAT_PATH, DEFAULT_MODEL
from .._core.lists import get_call
from ..models.base import Page
from ..models.batches import Batch
from ..results import BatchProgress, BatchResult
from .transport import Transport


class Batches:
    """Batches that the server runs in the background for up to 24 hours, also when it is restarted.

    >>> batch = client.batches.submit(["Task 1", "Task 2"], model="haiku")
    >>> batch = client.batches.wait(batch.id, max_cost=Decimal("0.50"))
    >>> [item.content for item in client.batches.results(batch.id).completed]
    ['Done.', 'Done as well.']
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def submit(
        self,
        requests: Sequence[BatchRequest],
        *,
        model: str = DEFAULT_MODEL,
        system: str | None = None,
        metadata: Mapping[str, str] | None = None,
        **parameters: object,
    ) -> Batch:
        """Uploads requests and creates a batch of them; keep its id to come back later."""
        bodies = batch_bodies(requests, model, system, parameters)
        return self._transport.run(submit_plan(bodies, metadata))

    def create(
        self, input_file_id: str, *, endpoint: str = CHAT_PATH, metadata: Mapping[str, str] | None = None
    ) -> Batch:
        """Creates a batch of a file with the purpose `batch`."""
        return self._transport.send(create_call(input_file_id, endpoint, metadata))

    def wait(
        self,
        batch_id: str,
        *,
        max_cost: Decimal | None = None,
        progress: Callable[[BatchProgress], object] | None = None,
    ) -> Batch:
        """Waits for the end of a batch, and cancels it when it has cost `max_cost` dollars."""
        return self._transport.run(wait_plan(batch_id, max_cost, progress))

    def results(self, batch_id: str) -> BatchResult:
        """Results of a batch of chat requests that has ended, in the order of its requests."""
        return self._transport.run(results_plan(batch_id))

    def get(self, batch_id: str) -> Batch:
        """Batch as it is now."""
        return self._transport.send(retrieve_call(batch_id))

    def list(
        self, *, limit: int | None = None, after: str | None = None, order: Literal["asc", "desc"] | None = None
    ) -> Page[Batch]:
        """Batches of the project of the key."""
        query = {"limit": limit, "after": after, "order": order}
        return self._transport.send(get_call(Page[Batch], BATCHES_PATH, query))

    def cancel(self, batch_id: str) -> Batch:
        """Cancels a batch; finished answers are kept."""
        return self._transport.send(cancel_call(batch_id))
