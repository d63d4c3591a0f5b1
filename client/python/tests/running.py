"""A server and its stand-in as processes of a test run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

ADMIN_KEY = "a-made-up-admin-key"
METRICS_TOKEN = "a-made-up-metrics-token"
START_SECONDS = 60.0
POLL_SECONDS = 0.05
ADDRESS = re.compile(r'listening on (http:[^ "\n]+)|server listening.*?address[":=]+([0-9.:]+)')


@dataclass(frozen=True)
class Server:
    """Address and keys of a running server, and the folder for its agents."""

    url: str
    key: str
    admin_key: str
    work: Path

    def admin(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """Asks the admin API without the client that is tested."""
        headers = {"authorization": f"Bearer {self.admin_key}"}
        answer = httpx2.request(method, self.url + path, headers=headers, json=body)
        answer.raise_for_status()
        value: dict[str, object] = answer.json()
        return value

    def is_settled(self) -> bool:
        """True if no worker is in use and nothing waits."""
        state = httpx2.get(f"{self.url}/ready").json()
        workers = state["workers"]
        return (state["waiting"], workers["busy"], workers["resetting"]) == (0, 0, 0)


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Waits until a condition holds, and fails if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(POLL_SECONDS)


@contextmanager
def started_server(
    folder: Path, server_bin: Path, stand_in_bin: Path, claude_bin: Path, **settings: str
) -> Generator[Server, None, None]:
    """Server with further variables and a stand-in in a private home, both ended at the end."""
    work = folder / "work"
    for path in (folder / "home", work):
        path.mkdir()
    plain = {"PATH": os.environ["PATH"], "HOME": str(folder / "home"), "LANG": "C.UTF-8", "NO_PROXY": "127.0.0.1"}
    with process([str(stand_in_bin), "--quiet", "--exit-with-stdin"], plain, folder / "stand-in.log") as upstream:
        variables = {**plain, **server_settings(folder, work), **settings, "ANTHROPIC_BASE_URL": upstream}
        command = [str(server_bin), "serve", "--listen", "127.0.0.1:0", "--claude-bin", str(claude_bin)]
        command += ["--data-dir", str(folder / "data")]
        with process(command, variables, folder / "server.log") as url:
            wait_until(lambda: httpx2.get(f"{url}/ready").is_success, START_SECONDS)
            unkeyed = Server(url, "", ADMIN_KEY, work)
            made = unkeyed.admin(
                "POST", "/admin/keys", {"name": "tests", "permissions": ["inference", "usage", "tasks"]}
            )
            yield Server(url, str(made["key"]), ADMIN_KEY, work)


def server_settings(folder: Path, work: Path) -> dict[str, str]:
    """Variables of the server under test."""
    return {
        "CLAUDE_CONFIG_DIR": str(folder / "home"),
        "ANTHROPIC_API_KEY": "sk-made-up",
        "SWITCHBOARD_ADMIN_KEY": ADMIN_KEY,
        "SWITCHBOARD_METRICS__TOKEN": METRICS_TOKEN,
        "SWITCHBOARD_AUTH__KEYS": '["a-configured-key"]',
        "SWITCHBOARD_TASKS__ROOTS": json.dumps([str(work)]),
        "SWITCHBOARD_SERVER__HEARTBEAT_SECONDS": "1",
        "SWITCHBOARD_CLAUDE__BREAKER_FAILURES": "0",
        "SWITCHBOARD_LOG__FORMAT": "json",
    }


@contextmanager
def process(command: list[str], variables: dict[str, str], log: Path) -> Generator[str, None, None]:
    """Process until the end of the block; gives the address that its log announces."""
    with log.open("wb") as output:
        running = subprocess.Popen(command, env=variables, stdin=subprocess.PIPE, stdout=output, stderr=output)
    try:
        wait_until(lambda: running.poll() is not None or announced(log) is not None, START_SECONDS)
        address = announced(log)
        assert address is not None, log.read_text()
        yield address
    finally:
        running.terminate()
        running.wait(timeout=40)


def announced(log: Path) -> str | None:
    """Address in a log, or None as long as there is none."""
    found = ADDRESS.search(log.read_text())
    if found is None:
        return None
    return found[1] or f"http://{found[2]}"
