"""Examples of examples/client run against the real server, and use every operation of docs/openapi.json."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import pytest
from documented import (
    EXAMPLES,
    README,
    WITHOUT_CURL,
    Operation,
    operation_of,
    read_operations,
    render_table,
    with_table,
)
from recording_proxy import RecordedRequest, RecordingProxy, recording_proxy
from running import METRICS_TOKEN, Server, started_server
from scripted_upstream import scripted_upstream

# In the order in which they are named as the example of an operation.
CURL = [
    "health",
    "models",
    "chat",
    "completions",
    "messages",
    "message-batches",
    "responses",
    "conversations",
    "sessions",
    "files",
    "batches",
    "usage",
    "other-servers",
    "tasks",
    "admin",
    "operations",
]
PYTHON = [
    "answers",
    "usage",
    "sessions",
    "files",
    "batches",
    "tasks",
    "admin",
    "openai_apis",
    "other_servers",
    "sockets",
    "other_endpoints",
]
FILES = [EXAMPLES / "curl" / f"{name}.sh" for name in CURL] + [EXAMPLES / "python" / f"{name}.py" for name in PYTHON]
NOT_RUN_ALONE = {"settings.sh", "run-all.sh"}
# The stand-in of the tests calls this tool, as Claude would for the prompt of the example.
TOUCH = '[[tool=Bash input={"command": "touch done.txt"}]]'
EXAMPLE_SECONDS = 240


@dataclass(frozen=True)
class Example:
    """Outcome of an example."""

    status: int
    stdout: str
    stderr: str
    requests: list[RecordedRequest]


class Bench:
    """A server behind the proxy, on which each example runs once."""

    def __init__(self, server: Server, proxy: RecordingProxy, folder: Path) -> None:
        self.server = server
        self._proxy = proxy
        self._folder = folder
        self._outcomes: dict[Path, Example] = {}
        body = {"name": "examples", "permissions": ["inference", "responses", "usage", "tasks"]}
        self.key = str(server.admin("POST", "/admin/keys", body)["key"])

    def outcome_of(self, path: Path) -> Example:
        if path not in self._outcomes:
            self._outcomes[path] = self.run(path)
        return self._outcomes[path]

    def run(self, path: Path, stdin: str = "", **variables: str) -> Example:
        """Runs an example, or another program of the folder, with what its README says."""
        command = [sys.executable, "-B", str(path)] if path.suffix == ".py" else [str(path)]
        first = len(self._proxy.requests)
        environment = self._environment() | variables
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=EXAMPLE_SECONDS,
            cwd=self._folder,
            env=environment,
            check=False,
        )
        return Example(done.returncode, done.stdout, done.stderr, self._proxy.requests[first:])

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder),
            "LANG": "C.UTF-8",
            "NO_PROXY": "127.0.0.1",
            "SWITCHBOARD_BASE_URL": self._proxy.url,
            "SWITCHBOARD_API_KEY": self.key,
            "SWITCHBOARD_ADMIN_KEY": self.server.admin_key,
            "METRICS_TOKEN": METRICS_TOKEN,
            "WORKSPACE": str(self.server.work),
            "PROMPT": TOUCH,
            # A receiver that answers, though with an error.
            "WEBHOOK_URL": f"{self.server.url}/health",
            "SIGN_OUT": self._signed_in(),
        }

    def _signed_in(self) -> str:
        """Session of the dashboard, begun as its page does."""
        link = self.server.admin("POST", "/admin/dashboard/links", {"read_only": True})
        code = str(link["url"]).partition("#enter=")[2]
        headers = {"origin": self.server.url, "x-switchboard-dashboard": "1"}
        answer = httpx2.post(f"{self.server.url}/dashboard/api/session", headers=headers, json={"code": code})
        answer.raise_for_status()
        listed = self.server.admin("GET", "/admin/dashboard/sessions")["data"]
        assert isinstance(listed, list)
        return str(listed[0]["id"])


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with scripted_upstream() as setting, started_bench(SWITCHBOARD_UPSTREAMS=setting) as bench:
        yield bench


@contextmanager
def started_bench(**settings: str) -> Iterator[Bench]:
    """Bench whose server has further variables."""
    programs = [os.environ.get(name) for name in ("SERVER_BIN", "STAND_IN_BIN", "CLAUDE_BIN")]
    if not all(programs):
        pytest.skip("SERVER_BIN, STAND_IN_BIN and CLAUDE_BIN are not set")
    server_bin, stand_in_bin, claude_bin = (Path(program or "") for program in programs)
    with (
        TemporaryDirectory() as path,
        TemporaryDirectory() as home,
        started_server(Path(path), server_bin, stand_in_bin, claude_bin, **settings) as server,
    ):
        host, _, port = server.url.removeprefix("http://").partition(":")
        with recording_proxy(host, int(port)) as proxy:
            yield Bench(server, proxy, Path(home))


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}/{path.name}" for path in FILES])
def test_example_runs_and_no_request_of_it_is_refused(path: Path, bench: Bench) -> None:
    example = bench.outcome_of(path)
    assert example.status == 0, example.stderr[-3000:] + example.stdout[-3000:]
    refused = [request for request in example.requests if request.status >= 400]
    assert (refused, example.requests != []) == ([], True), example.stdout[-3000:]
    assert example.stdout.strip()


def test_every_file_of_the_folders_is_tested() -> None:
    found = {path for folder in ("curl", "python") for path in (EXAMPLES / folder).iterdir() if path.is_file()}
    assert {path for path in found if path.name not in NOT_RUN_ALONE} == set(FILES)


def test_every_operation_has_an_example_and_is_in_the_table(bench: Bench) -> None:
    operations = read_operations()
    examples = used_by(operations, bench)
    without = [
        f"{operation.method} {operation.path}" for operation in operations if not has_example(operation, examples)
    ]
    assert without == [], "operations of docs/openapi.json without an example in both folders of examples/client"
    wanted = with_table(README.read_text(encoding="utf-8"), render_table(operations, examples))
    if os.environ.get("UPDATE_DOCS"):
        README.write_text(wanted, encoding="utf-8")
    assert README.read_text(encoding="utf-8") == wanted, "update it: UPDATE_DOCS=1 compat-tests/run client endpoints"


def used_by(operations: list[Operation], bench: Bench) -> dict[str, list[Path]]:
    """Examples that use each operation with success; fails if one asks for something that is not documented."""
    examples: dict[str, list[Path]] = {operation.name: [] for operation in operations}
    for path in FILES:
        for request in bench.outcome_of(path).requests:
            operation = operation_of(operations, request.method, request.path)
            assert operation is not None, f"{path.name}: {request} is no operation of docs/openapi.json"
            if request.status < 400 and path not in examples[operation.name]:
                examples[operation.name].append(path)
    return examples


def has_example(operation: Operation, examples: dict[str, list[Path]]) -> bool:
    """True if there is an example in both languages, or in Python alone where curl cannot."""
    wanted = {".py"} if operation.name in WITHOUT_CURL else {".py", ".sh"}
    return {path.suffix for path in examples[operation.name]} == wanted


def test_all_examples_of_curl_run_in_a_row() -> None:
    script = (EXAMPLES / "curl" / "run-all.sh").read_text(encoding="utf-8")
    lists = re.findall(r"examples\+?=\((.*)\)", script)
    names = " ".join(lists).split()
    assert sorted(names) == sorted(CURL)


def test_refused_example_says_so_and_fails(bench: Bench) -> None:
    example = bench.run(EXAMPLES / "curl" / "chat.sh", SWITCHBOARD_API_KEY="no-key")
    assert example.status != 0
    assert [request.status for request in example.requests] == [401]
    assert "401" in example.stderr


OTHER_SERVERS = [EXAMPLES / "curl" / "other-servers.sh", EXAMPLES / "python" / "other_servers.py"]


def test_examples_of_other_servers_are_left_out_on_a_server_without_one() -> None:
    with started_bench() as bench:
        for path in OTHER_SERVERS:
            example = bench.run(path)
            assert example.status == 0, example.stderr
            assert {request.status for request in example.requests} == {404}
            assert example.stdout.count("left out: ") == len(example.requests) == 4, example.stdout


@pytest.mark.parametrize("path", OTHER_SERVERS, ids=["curl", "python"])
def test_other_server_without_a_model_leaves_out_what_needs_it(path: Path, bench: Bench) -> None:
    example = bench.run(path, EMBEDDING_MODEL="no-such-model")
    assert example.status == 0, example.stderr
    refused = [(request.path, request.status) for request in example.requests if request.status >= 400]
    assert refused == [("/v1/embeddings", 404)]
    assert example.stdout.count("left out: ") == 1


@pytest.mark.parametrize("path", OTHER_SERVERS, ids=["curl", "python"])
def test_example_of_other_servers_fails_when_it_is_refused(path: Path, bench: Bench) -> None:
    example = bench.run(path, SWITCHBOARD_API_KEY="no-key")
    assert example.status != 0
    assert [request.status for request in example.requests] == [401]
    assert "401" in example.stderr


CHAT = EXAMPLES / "bash" / "chat.sh"


def test_chat_in_the_terminal_remembers_and_names_its_cost(bench: Bench) -> None:
    example = bench.run(CHAT, 'I live on the "Danube".\n\n[[echo_request]]\n', MAX_TOKENS="4000")
    assert example.status == 0, example.stderr
    assert "stand-in" in example.stdout
    assert 'I live on the \\"Danube\\".' in example.stdout, "the second question comes with the first"
    assert len(re.findall(r"\[[0-9.e-]+ dollars, [0-9.e-]+ so far\]", example.stderr)) == 2


def test_chat_in_the_terminal_stops_at_its_limit_of_cost(bench: Bench) -> None:
    example = bench.run(CHAT, "Hello.\nAgain.\n", MAX_COST="0.000001")
    assert (example.status, len(example.requests)) == (1, 1)
    assert "0.000001 dollars are spent" in example.stderr


@pytest.mark.parametrize(
    ("question", "variables", "told"),
    [
        ("Hello.", {"SWITCHBOARD_API_KEY": "no-key"}, "Incorrect API key"),
        ("[[tokens=5 error_after=2]]", {}, "the answer broke off"),
    ],
    ids=["refused", "broken off"],
)
def test_chat_in_the_terminal_names_an_error(question: str, variables: dict[str, str], told: str, bench: Bench) -> None:
    example = bench.run(CHAT, f"{question}\n", **variables)
    assert example.status == 1
    assert told in example.stderr
