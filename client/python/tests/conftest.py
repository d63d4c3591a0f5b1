"""Fixtures: a server with the stand-in for Anthropic, and clients of it.

The server is started from SERVER_BIN, STAND_IN_BIN and CLAUDE_BIN. Without them only the tests run that need none.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from running import Server, started_server

from claude_switchboard import AsyncSwitchboard, Switchboard

# Seconds without an answer after which a test fails instead of hanging.
TIMEOUT = 30.0


@pytest.fixture
def folder() -> Iterator[Path]:
    # The folders of pytest's own fixture outlive the tests.
    with TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    programs = [os.environ.get(name) for name in ("SERVER_BIN", "STAND_IN_BIN", "CLAUDE_BIN")]
    if not all(programs):
        pytest.skip("SERVER_BIN, STAND_IN_BIN and CLAUDE_BIN are not set")
    server_bin, stand_in_bin, claude_bin = (Path(program or "") for program in programs)
    with (
        TemporaryDirectory() as path,
        started_server(Path(path), server_bin, stand_in_bin, claude_bin) as server,
    ):
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Switchboard]:
    with Switchboard(server.url, server.key, admin_key=server.admin_key, timeout=TIMEOUT, max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(server: Server) -> AsyncIterator[AsyncSwitchboard]:
    key = server.admin_key
    async with AsyncSwitchboard(server.url, server.key, admin_key=key, timeout=TIMEOUT, max_retries=0) as client:
        yield client
