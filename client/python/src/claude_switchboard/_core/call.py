"""Requests and answers as values, and how an answer is read."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ValidationError

from ..errors import InvalidAnswerError, SwitchboardError
from ..version import __version__
from .settings import Settings

# Paths whose POST the server runs once for each idempotency key.
IDEMPOTENT_PATHS = re.compile(
    r"/v1/(chat/completions|completions|messages|messages/batches|responses|batch|batches|sessions/[^/]+/messages"
    r"|tasks|tasks/[^/]+/handover)"
)

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Upload:
    """File of a form, with the other fields of the form."""

    filename: str
    content: bytes
    fields: Mapping[str, str]


@dataclass(frozen=True)
class Request:
    """Request to the server, before its address and keys are known."""

    method: str
    path: str
    query: Mapping[str, object] = field(default_factory=lambda: {})
    body: object = None
    upload: Upload | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: {})
    is_repeatable: bool = False
    """True if it may be sent again although the server may have served it already."""
    is_admin: bool = False
    timeout: float | None = None
    """Seconds of silence that are at most waited for, less than the timeout of the client."""
    max_retries: int | None = None
    """Number of further attempts in the place of that of the client."""

    @property
    def may_be_sent_again(self) -> bool:
        """True if a further attempt does no harm although the server may have served the request already."""
        is_paid_once = self.method == "POST" and IDEMPOTENT_PATHS.fullmatch(self.path) is not None
        return self.is_repeatable or is_paid_once


@dataclass(frozen=True)
class Answer:
    """Status, headers (with names in lower case) and body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_good(self) -> bool:
        """True for the statuses of success."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Decoded body."""
        return decoded(self.body)


@dataclass(frozen=True)
class Call(Generic[T]):
    """Request together with the function that reads its answer."""

    request: Request
    read: Callable[[Answer], T]


@dataclass(frozen=True)
class HttpRequest:
    """Request as it is sent: with address, keys and encoded body."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | None
    upload: Upload | None
    timeout: float


def complete_request(request: Request, settings: Settings) -> HttpRequest:
    """Adds the address, the key, a project and an idempotency key to a request.

    Raises SwitchboardError for a request of the admin API without an admin key, or without an address for it.
    """
    headers = {"user-agent": f"claude-switchboard-python/{__version__}", "accept": "application/json"}
    headers.update(key_header(request, settings))
    if settings.project_id and not request.is_admin:
        headers["openai-project"] = settings.project_id
    if request.method == "POST":
        headers["idempotency-key"] = f"py-{uuid.uuid4().hex}"
    content = None
    if request.body is not None:
        headers["content-type"] = "application/json"
        content = encode(request.body)
    headers.update(settings.headers)
    headers.update(request.headers)
    url = address(request, settings) + request.path + encode_query(request.query)
    timeout = min(settings.timeout, request.timeout or settings.timeout)
    return HttpRequest(request.method, url, headers, content, request.upload, timeout)


def key_header(request: Request, settings: Settings) -> dict[str, str]:
    """Header with the key that the path of a request wants."""
    if request.is_admin and not settings.admin_key:
        raise SwitchboardError("The admin API needs the admin key: set SWITCHBOARD_ADMIN_KEY or pass admin_key=")
    key = settings.admin_key if request.is_admin else settings.api_key
    return {"authorization": f"Bearer {key}"} if key else {}


def address(request: Request, settings: Settings) -> str:
    """Address of the server for a request."""
    if not request.is_admin:
        return settings.base_url
    if settings.admin_url is None:
        raise SwitchboardError(
            "The admin key is not sent to OPENAI_BASE_URL: set SWITCHBOARD_BASE_URL, or pass base_url= or admin_url="
        )
    return settings.admin_url


def encode_query(query: Mapping[str, object]) -> str:
    """Query of an address without the parameters that are None."""
    pairs = [f"{name}={quote(query_text(value), safe='')}" for name, value in query.items() if value is not None]
    return "?" + "&".join(pairs) if pairs else ""


def query_text(value: object) -> str:
    """Text of a value in a query."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def path_part(name: str) -> str:
    """Id as a part of a path."""
    return quote(name, safe="")


def encode(body: object) -> bytes:
    """JSON of a body, with money as text and without loss."""
    return json.dumps(body, default=encode_value, ensure_ascii=False).encode()


def encode_value(value: object) -> object:
    """Values that JSON does not know: money and models of this package."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")


def given(**fields: object) -> dict[str, object]:
    """Fields of a body that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def decoded(text: str | bytes) -> Any:
    """Value of a JSON text.

    Raises InvalidAnswerError if the text is no JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidAnswerError(f"No JSON: {text[:200]!r}. Is base_url that of the server?") from error


def read_model(model: type[M]) -> Callable[[Answer], M]:
    """Function that reads an answer as this model."""

    def read(answer: Answer) -> M:
        return validated(model, answer.json())

    return read


def validated(model: type[M], value: object) -> M:
    """Model of a decoded value.

    Raises InvalidAnswerError if the value does not have its form.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidAnswerError(f"The answer is no {model.__name__}: {error}") from error
