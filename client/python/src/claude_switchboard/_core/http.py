"""Conversions between this package's requests and answers and those of httpx2."""

from __future__ import annotations

from typing import Any

import httpx2

from .call import Answer, HttpRequest
from .settings import CONNECT_TIMEOUT_SECONDS

MAX_CONNECTIONS = 1000
MAX_IDLE_CONNECTIONS = 100


def connection_limits() -> httpx2.Limits:
    """Limits of the connections of a client."""
    return httpx2.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_IDLE_CONNECTIONS)


def request_arguments(request: HttpRequest) -> dict[str, Any]:
    """Arguments of `build_request` for a request."""
    arguments: dict[str, Any] = {
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "timeout": httpx2.Timeout(request.timeout, connect=min(request.timeout, CONNECT_TIMEOUT_SECONDS)),
    }
    if request.upload is not None:
        arguments["files"] = {"file": (request.upload.filename, request.upload.content)}
        arguments["data"] = dict(request.upload.fields)
    else:
        arguments["content"] = request.content
    return arguments


def answer_of(response: httpx2.Response, body: bytes) -> Answer:
    """Answer of a response with this body."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, body)
