"""Examples of the README and of the docstrings run against the real server; their output is only an illustration."""

from __future__ import annotations

import doctest
import importlib
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from running import Server

from claude_switchboard import Switchboard

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
PACKAGE = "claude_switchboard.blocking"
MODULES = [f"{PACKAGE}.{name}" for name in ("admin", "batches", "client", "files", "sessions", "stream", "tasks")]
FINDER = doctest.DocTestFinder()
EXAMPLES = [
    example
    for name in [*MODULES, "claude_code_api"]
    for example in FINDER.find(importlib.import_module(name))
    if example.examples
]


class AnyOutput(doctest.OutputChecker):
    """Checker that accepts any output: the model of the tests says other things than Claude."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return True


@pytest.fixture
def in_place(
    client: Switchboard, server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """Function that replaces addresses, keys, folders and ids of an example by those of this test."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SWITCHBOARD_BASE_URL", server.url)
    monkeypatch.setenv("SWITCHBOARD_API_KEY", server.key)
    monkeypatch.setenv("SWITCHBOARD_ADMIN_KEY", server.admin_key)
    (folder / "report.pdf").write_bytes(b"roses")
    # An example names its project.
    client.admin.projects.change("default", name="my-app")
    words = {"http://127.0.0.1:8080": server.url, "sk-sb-...": server.key, "/srv/work": str(server.work)}

    def replace(text: str) -> str:
        for word, place in words.items():
            text = text.replace(word, place)
        if "task_..." in text:
            text = text.replace("task_...", client.tasks.create("Look around.", str(server.work)).id)
        return text

    return replace


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[-1].strip()[:30] for block in BLOCKS])
def test_example_of_readme_runs(block: str, in_place: Callable[[str], str]) -> None:
    exec(compile(in_place(block), "README.md", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.name for example in EXAMPLES])
def test_example_of_docstring_runs(
    example: doctest.DocTest,
    client: Switchboard,
    in_place: Callable[[str], str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    for step in example.examples:
        step.source = in_place(step.source)
    example.globs = {"client": client, "Decimal": Decimal}
    failed, attempted = doctest.DocTestRunner(AnyOutput()).run(example)
    assert (failed, attempted > 0) == (0, True), capsys.readouterr().out
