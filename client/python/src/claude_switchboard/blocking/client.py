"""Blocking client."""

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
from .admin import Admin
from .batch import run_batch
from .batches import Batches
from .files import Files
from .sessions import Sessions
from .stream import Stream
from .tasks import Tasks
from .transport import Transport

if TYPE_CHECKING:
    from openai import OpenAI


class Switchboard:
    """Client of a claude-switchboard.

    Address and key come from SWITCHBOARD_BASE_URL and SWITCHBOARD_API_KEY, or, if neither is set, from OPENAI_BASE_URL
    and OPENAI_API_KEY; without an address the server is http://127.0.0.1:8080. A client may be used by many threads at
    once.

    >>> from claude_switchboard import Switchboard
    >>> client = Switchboard("http://127.0.0.1:8080", api_key="sk-sb-...")
    >>> client.complete("Say hello.", model="haiku").content
    'Hello!'
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
        http_client: httpx2.Client | None = None,
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

    def _connect(self, settings: Settings, http: httpx2.Client | None) -> None:
        self._settings = settings
        self._transport = Transport(settings, http)
        self.tasks: Tasks = Tasks(self._transport)
        self.sessions: Sessions = Sessions(self._transport)
        self.files: Files = Files(self._transport)
        self.batches: Batches = Batches(self._transport)
        self.admin: Admin = Admin(self._transport)

    def __enter__(self) -> Switchboard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._transport.http.close()

    def with_options(self, *, timeout: float | None = None, max_retries: int | None = None) -> Switchboard:
        """Client with other limits and the same connections."""
        other = Switchboard.__new__(Switchboard)
        other._connect(self._settings.with_limits(timeout, max_retries), self._transport.http)
        return other

    def complete(
        self, prompt: Prompt, *, model: str = DEFAULT_MODEL, system: str | None = None, **parameters: object
    ) -> Completion:
        """Answer to a text or to the messages of a conversation.

        `parameters` are those of Chat Completions, such as `max_tokens`, `temperature` or `tools`.

        >>> answer = client.complete("Name a river.", model="haiku", max_tokens=50)
        >>> answer.content, answer.cost
        ('The Elbe.', Decimal('0.000021'))
        """
        return self._transport.send(complete_call(chat_body(prompt, model, system, parameters)))

    def stream(
        self, prompt: Prompt, *, model: str = DEFAULT_MODEL, system: str | None = None, **parameters: object
    ) -> Stream:
        """Answer as a stream of text; the parameters are those of `complete`.

        >>> with client.stream("Tell me a story.") as stream:
        ...     for piece in stream:
        ...         print(piece, end="")
        >>> stream.final().usage.total_tokens
        312
        """
        return Stream(self._transport, stream_request(chat_body(prompt, model, system, parameters)))

    def batch(
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
        """Answers to many requests, in their order; each is a text, messages, or a body of Chat Completions.

        `parallel` is how many run at a time, False for one after the other. No request begins once the batch has cost
        `max_cost` dollars; those that run then are finished. `progress` is called after each with a `BatchProgress`.
        With `resume`, the name of a file, finished answers are kept there, and a repeated call runs only what is
        missing. Failures are in the results. Batches that may take hours are better run by the server: `batches`.

        >>> result = client.batch(["Task 1", "Task 2"], model="haiku", max_cost=Decimal("0.10"))
        >>> [item.content for item in result]
        ['Done.', 'Done as well.']
        """
        bodies = batch_bodies(requests, model, system, parameters)
        run = BatchRun(bodies, max_cost, progress, Journal(resume) if resume is not None else None)
        return run_batch(self._transport, run, parallel_runs(parallel))

    def get_usage(self, period: Period = "month", group_by: GroupBy | None = None) -> Usage:
        """Usage of the project of the key, of all its keys.

        >>> client.get_usage(period="month").total_tokens
        109
        """
        return self._transport.send(usage_call(period, group_by))

    def get_budget(self) -> list[Budget]:
        """Budgets of the key and its project that cap anything, with what is left of them."""
        return self._transport.send(budget_call())

    def get_models(self) -> list[Model]:
        """Models that the key may use."""
        return self._transport.send(models_call())

    def route(self, task: str, context_size: int = 0) -> Route:
        """Model that `auto` would choose for a task; nothing is run and nothing is charged.

        >>> client.route("Refactor the parser", context_size=50000).recommended_model
        'opus'
        """
        return self._transport.send(route_call(task, context_size))

    def openai(self) -> OpenAI:
        """Client of the official package `openai` with the same address, key and limits.

        Needs the package `openai`, which the extra `openai` installs.
        """
        from openai import OpenAI

        return OpenAI(**self._settings.openai_arguments())
