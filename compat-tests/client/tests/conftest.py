"""Fixtures of the examples that use the Python client: a server with the stand-in, and programs that ask it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[3]
# The server is started as for the tests of the client.
sys.path.insert(0, str(ROOT / "client/python/tests"))

from claude_switchboard import Switchboard  # noqa: E402
from running import Server, started_server  # noqa: E402

TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Program:
    """Example that runs with the address and the key of the server."""

    path: Path
    server: Server

    @property
    def environment(self) -> dict[str, str]:
        names = {"SWITCHBOARD_BASE_URL": self.server.url, "SWITCHBOARD_API_KEY": self.server.key}
        return {
            "PATH": os.environ["PATH"],
            "NO_PROXY": "127.0.0.1",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            **names,
        }

    def command(self, *arguments: object) -> list[str]:
        return [sys.executable, str(self.path), *map(str, arguments)]

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = self.command(*arguments)
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    programs = [os.environ.get(name) for name in ("SERVER_BIN", "STAND_IN_BIN", "CLAUDE_BIN")]
    if not all(programs):
        pytest.skip("SERVER_BIN, STAND_IN_BIN and CLAUDE_BIN are not set")
    server_bin, stand_in_bin, claude_bin = (Path(program or "") for program in programs)
    with TemporaryDirectory() as path, started_server(Path(path), server_bin, stand_in_bin, claude_bin) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Switchboard]:
    with Switchboard(server.url, server.key) as client:
        yield client
