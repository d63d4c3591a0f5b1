"""Settings of a client, from arguments and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_BASE_URL = "http://127.0.0.1:8080"
DEFAULT_TIMEOUT_SECONDS = 600.0
DEFAULT_MAX_RETRIES = 2
CONNECT_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class Settings:
    """Address, keys and limits of a client."""

    base_url: str
    api_key: str | None = field(repr=False)
    admin_key: str | None = field(repr=False)
    admin_url: str
    project_id: str | None
    timeout: float
    max_retries: int
    headers: Mapping[str, str] = field(repr=False)


def read_settings(
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    admin_key: str | None = None,
    admin_url: str | None = None,
    project_id: str | None = None,
    timeout: float = DEFAULT_TIMEOUT_SECONDS,
    max_retries: int = DEFAULT_MAX_RETRIES,
    headers: Mapping[str, str] | None = None,
) -> Settings:
    """Settings from arguments, else from the environment, else the defaults."""
    base = base_url or first_set("SWITCHBOARD_BASE_URL", "OPENAI_BASE_URL") or DEFAULT_BASE_URL
    base = plain_address(base)
    return Settings(
        base_url=base,
        api_key=api_key or first_set("SWITCHBOARD_API_KEY", "OPENAI_API_KEY"),
        admin_key=admin_key or first_set("SWITCHBOARD_ADMIN_KEY"),
        admin_url=plain_address(admin_url) if admin_url else base,
        project_id=project_id,
        timeout=timeout,
        max_retries=max_retries,
        headers=dict(headers or {}),
    )


def first_set(*names: str) -> str | None:
    """Value of the first of these variables that is set and not empty."""
    values = (os.environ.get(name) for name in names)
    return next((value for value in values if value), None)


def plain_address(url: str) -> str:
    """Address of the server without the `/v1` that other clients want behind it."""
    return url.rstrip("/").removesuffix("/v1").rstrip("/")
