"""Settings of a client, from arguments and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

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
    admin_url: str | None
    """Address of the admin API, or None if only OPENAI_BASE_URL is known, which is not given the admin key."""
    project_id: str | None
    timeout: float
    max_retries: int
    headers: Mapping[str, str] = field(repr=False)

    def with_limits(self, timeout: float | None, max_retries: int | None) -> Settings:
        """Settings with other limits; None keeps one."""
        return replace(
            self,
            timeout=self.timeout if timeout is None else timeout,
            max_retries=self.max_retries if max_retries is None else max_retries,
        )

    def openai_arguments(self) -> dict[str, Any]:
        """Arguments for a client of the official package `openai`."""
        return {
            "base_url": self.base_url + "/v1",
            "api_key": self.api_key or "unused",
            "project": self.project_id,
            "timeout": self.timeout,
            "max_retries": self.max_retries,
            "default_headers": dict(self.headers),
        }


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
    found = read_address(base_url)
    own_url = None if found.is_of_openai else found.url
    admin = admin_url or own_url
    return Settings(
        base_url=plain_address(found.url),
        api_key=api_key or found.key,
        admin_key=admin_key or variable("SWITCHBOARD_ADMIN_KEY"),
        admin_url=plain_address(admin) if admin else None,
        project_id=project_id,
        timeout=timeout,
        max_retries=max_retries,
        headers=dict(headers or {}),
    )


@dataclass(frozen=True)
class Address:
    """Address of a server and the key that belongs to it."""

    url: str
    key: str | None = field(repr=False)
    is_of_openai: bool = False


def read_address(base_url: str | None) -> Address:
    """Given address or that of the environment, with a key of the same family of variables.

    A key is not sent to the address of the other family: either may be the server of somebody else.
    """
    url = base_url or variable("SWITCHBOARD_BASE_URL")
    key = variable("SWITCHBOARD_API_KEY")
    other_url = variable("OPENAI_BASE_URL")
    if url or key or not other_url:
        return Address(url or DEFAULT_BASE_URL, key)
    return Address(other_url, variable("OPENAI_API_KEY"), is_of_openai=True)


def variable(name: str) -> str | None:
    """Value of a variable of the environment, or None if it is not set or empty."""
    return os.environ.get(name) or None


def plain_address(url: str) -> str:
    """Address of the server without the `/v1` that other clients want behind it."""
    return url.rstrip("/").removesuffix("/v1").rstrip("/")
