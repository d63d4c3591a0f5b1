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
from .transport import AsyncTransport


class AsyncBatches:
    """Batches that the server runs in the background for up to 24 hours, also when it is restarted."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def submit(
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
        return await self._transport.run(submit_plan(bodies, metadata))

    async def create(
        self, input_file_id: str, *, endpoint: str = CHAT_PATH, metadata: Mapping[str, str] | None = None
    ) -> Batch:
        """Creates a batch of a file with the purpose `batch`."""
        return await self._transport.send(create_call(input_file_id, endpoint, metadata))

    async def wait(
        self,
        batch_id: str,
        *,
        max_cost: Decimal | None = None,
        progress: Callable[[BatchProgress], object] | None = None,
    ) -> Batch:
        """Waits for the end of a batch, and cancels it when it has cost `max_cost` dollars."""
        return await self._transport.run(wait_plan(batch_id, max_cost, progress))

    async def results(self, batch_id: str) -> BatchResult:
        """Results of a batch of chat requests that has ended, in the order of its requests."""
        return await self._transport.run(results_plan(batch_id))

    async def get(self, batch_id: str) -> Batch:
        """Batch as it is now."""
        return await self._transport.send(retrieve_call(batch_id))

    async def list(
        self, *, limit: int | None = None, after: str | None = None, order: Literal["asc", "desc"] | None = None
    ) -> Page[Batch]:
        """Batches of the project of the key."""
        query = {"limit": limit, "after": after, "order": order}
        return await self._transport.send(get_call(Page[Batch], BATCHES_PATH, query))

    async def cancel(self, batch_id: str) -> Batch:
        """Cancels a batch; finished answers are kept."""
        return await self._transport.send(cancel_call(batch_id))
