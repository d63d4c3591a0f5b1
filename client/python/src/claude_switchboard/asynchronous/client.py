"""Asynchronous client; its methods are those of the blocking one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING

import httpx2

from .._core.accounts import GroupBy, Period, budget_call, models_call, route_call, usage_call
from .._core.batching import (
    DEFAULT_PARALLEL,
    BatchRequest,
    BatchRun,
    Journal,
    Progress,
    batch_bodies,
    parallel_runs,
)
from .._core.chat import DEFAULT_MODEL, Prompt, chat_body, complete_call, stream_request
from .._core.settings import DEFAULT_MAX_RETRIES, DEFAULT_TIMEOUT_SECONDS, Settings, read_settings
from ..models.chat import Completion
from ..models.usage import Budget, Model, Route, Usage
from ..results import BatchResult
from .admin import AsyncAdmin
from .batch import run_batch
from .batches import AsyncBatches
from .files import AsyncFiles
from .sessions import AsyncSessions
from .stream import AsyncStream
from .tasks import AsyncTasks
from .transport import AsyncTransport

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class AsyncSwitchboard:
    """Client of a claude-switchboard for asyncio, with the settings of `Switchboard`.

    Example::

        async with AsyncSwitchboard(api_key="sk-sb-...") as client:
            answer = await client.complete("Say hello.", model="haiku")
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        admin_key: str | None = None,
        admin_url: str | None = None,
        project_id: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        max_retries: int = DEFAULT_MAX_RETRIES,
        headers: Mapping[str, str] | None = None,
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        settings = read_settings(
            base_url=base_url,
            api_key=api_key,
            admin_key=admin_key,
            admin_url=admin_url,
            project_id=project_id,
            timeout=timeout,
            max_retries=max_retries,
            headers=headers,
        )
        self._connect(settings, http_client)

    def _connect(self, settings: Settings, http: httpx2.AsyncClient | None) -> None:
        self._settings = settings
        self._transport = AsyncTransport(settings, http)
        self.tasks: AsyncTasks = AsyncTasks(self._transport)
        self.sessions: AsyncSessions = AsyncSessions(self._transport)
        self.files: AsyncFiles = AsyncFiles(self._transport)
        self.batches: AsyncBatches = AsyncBatches(self._transport)
        self.admin: AsyncAdmin = AsyncAdmin(self._transport)

    async def __aenter__(self) -> AsyncSwitchboard:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._transport.http.aclose()

    def with_options(self, *, timeout: float | None = None, max_retries: int | None = None) -> AsyncSwitchboard:
        """Client with other limits and the same connections."""
        other = AsyncSwitchboard.__new__(AsyncSwitchboard)
        other._connect(self._settings.with_limits(timeout, max_retries), self._transport.http)
        return other

    async def complete(
        self, prompt: Prompt, *, model: str = DEFAULT_MODEL, system: str | None = None, **parameters: object
    ) -> Completion:
        """Answer to a text or to the messages of a conversation; see `Switchboard.complete`."""
        return await self._transport.send(complete_call(chat_body(prompt, model, system, parameters)))

    def stream(
        self, prompt: Prompt, *, model: str = DEFAULT_MODEL, system: str | None = None, **parameters: object
    ) -> AsyncStream:
        """Answer as a stream of text.

        Example::

            async with client.stream("Tell me a story.") as stream:
                async for piece in stream:
                    print(piece, end="")
        """
        return AsyncStream(self._transport, stream_request(chat_body(prompt, model, system, parameters)))

    async def batch(
        self,
        requests: Sequence[BatchRequest],
        *,
        model: str = DEFAULT_MODEL,
        system: str | None = None,
        parallel: bool | int = DEFAULT_PARALLEL,
        max_cost: Decimal | None = None,
        progress: Progress | None = None,
        resume: str | PathLike[str] | None = None,
        **parameters: object,
    ) -> BatchResult:
        """Answers to many requests, in their order; see `Switchboard.batch`."""
        bodies = batch_bodies(requests, model, system, parameters)
        run = BatchRun(bodies, max_cost, progress, Journal(resume) if resume is not None else None)
        return await run_batch(self._transport, run, parallel_runs(parallel))

    async def get_usage(self, period: Period = "month", group_by: GroupBy | None = None) -> Usage:
        """Usage of the project of the key, of all its keys."""
        return await self._transport.send(usage_call(period, group_by))

    async def get_budget(self) -> list[Budget]:
        """Budgets of the key and its project that cap anything, with what is left of them."""
        return await self._transport.send(budget_call())

    async def get_models(self) -> list[Model]:
        """Models that the key may use."""
        return await self._transport.send(models_call())

    async def route(self, task: str, context_size: int = 0) -> Route:
        """Model that `auto` would choose for a task; nothing is run and nothing is charged."""
        return await self._transport.send(route_call(task, context_size))

    def openai(self) -> AsyncOpenAI:
        """Asynchronous client of the official package `openai` with the same address, key and limits."""
        from openai import AsyncOpenAI

        return AsyncOpenAI(**self._settings.openai_arguments())
