"""The example that makes a table of documents, run as its README says."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from claude_switchboard import Switchboard
from running import Server, wait_until

from conftest import ROOT, Program

EXAMPLE = ROOT / "examples/batch-documents/extract.py"
SETTINGS = ROOT / "src/config/default.toml"
FIELDS = {"kind": "order", "sender": "Ann", "date": "2026-11-03", "amount": 12.5, "summary": "Ann orders."}


@pytest.fixture
def program(server: Server) -> Program:
    return Program(EXAMPLE, server)


@pytest.fixture
def documents(folder: Path) -> Path:
    path = folder / "documents"
    path.mkdir()
    return path


def document(path: Path, directives: str = "", **changes: object) -> None:
    """Writes a document about which the stand-in answers this."""
    answer = json.dumps(json.dumps({**FIELDS, **changes}))
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"Document {path}. [[say={answer} {directives}]]")


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def state_of(output: Path) -> dict[str, object]:
    value: dict[str, object] = json.loads((output.parent / f"{output.name}.state.json").read_text())
    return value


def batches(client: Switchboard) -> int:
    return len(client.batches.list(limit=100).data)


def test_table_has_a_row_for_each_document(program: Program, documents: Path, folder: Path) -> None:
    document(documents / "a.txt", sender="=1+1")
    document(documents / "below/b.md", amount=0)
    (documents / "notes.pdf").write_text("no text")
    (documents / "empty.txt").write_text("\n")
    output = folder / "table.csv"
    done = program.run(documents, "--output", output)
    assert done.returncode == 0, done.stderr
    assert rows_of(output) == [
        ["file", *FIELDS],
        ["a.txt", "order", "'=1+1", "2026-11-03", "12.5", "Ann orders."],
        ["below/b.md", "order", "Ann", "2026-11-03", "0", "Ann orders."],
    ]
    assert done.stderr.startswith("2 documents, about $0.")
    assert f"] 2 of 2, ${Decimal(str(state_of(output)['spent_usd'])):.6f}" in done.stderr
    lines = folder / "table.jsonl"
    again = program.run(documents, "--output", lines)
    assert again.returncode == 0, again.stderr
    assert [json.loads(line)["file"] for line in lines.read_text().splitlines()] == ["a.txt", "below/b.md"]


def test_estimate_is_above_the_cost_and_sends_nothing(
    program: Program, documents: Path, folder: Path, client: Switchboard
) -> None:
    document(documents / "a.txt")
    before = batches(client)
    estimated = program.run(documents, "--output", folder / "t.csv", "--estimate")
    found = re.search(r"about \$(\S+), at most \$(\S+)", estimated.stderr)
    assert estimated.returncode == 0 and found is not None, estimated.stderr
    assert (batches(client), (folder / "t.csv").exists()) == (before, False)
    program.run(documents, "--output", folder / "t.csv")
    spent = Decimal(str(state_of(folder / "t.csv")["spent_usd"]))
    assert 0 < spent < Decimal(found[1]) < Decimal(found[2])


@pytest.mark.parametrize("is_id_noted", [True, False])
def test_killed_run_goes_on_without_paying_twice(
    program: Program, documents: Path, folder: Path, client: Switchboard, is_id_noted: bool
) -> None:
    for name in "abc":
        document(documents / f"{name}.txt", "ttft_ms=1500", sender=name)
    output = folder / "table.csv"
    path = folder / "table.csv.state.json"
    before = batches(client)
    command = program.command(documents, "--output", output)
    first = subprocess.Popen(command, env=program.environment, stderr=subprocess.DEVNULL)
    wait_until(lambda: path.exists() and bool(json.loads(path.read_text())["open"]["batch_id"]))
    first.send_signal(signal.SIGKILL)
    first.wait()
    if not is_id_noted:
        state = state_of(output)
        assert isinstance(state["open"], dict)
        path.write_text(json.dumps({**state, "open": {**state["open"], "batch_id": None}}))
    done = program.run(documents, "--output", output)
    assert done.returncode == 0, done.stderr
    assert [row[2] for row in rows_of(output)] == ["sender", "a", "b", "c"]
    assert batches(client) == before + 1
    again = program.run(documents, "--output", output)
    assert again.returncode == 0 and "this run cost $0.000000" in again.stderr, again.stderr
    assert batches(client) == before + 1


def test_failed_and_changed_documents_alone_are_sent_again(program: Program, documents: Path, folder: Path) -> None:
    document(documents / "good.txt", sender="good")
    document(documents / "failing.txt", "status=400 times=2 message=no", sender="failing")
    output = folder / "table.csv"
    first = program.run(documents, "--output", output)
    assert first.returncode == 1 and "no row for failing.txt: 400" in first.stderr, first.stderr
    assert [row[2] for row in rows_of(output)] == ["sender", "good"]
    second = program.run(documents, "--output", output)
    assert second.returncode == 0 and second.stderr.startswith("1 documents, about"), second.stderr
    assert [row[2] for row in rows_of(output)] == ["sender", "failing", "good"]
    document(documents / "good.txt", sender="better")
    third = program.run(documents, "--output", output)
    assert third.stderr.startswith("1 documents, about"), third.stderr
    assert [row[2] for row in rows_of(output)] == ["sender", "failing", "better"]


def test_cost_cap_is_never_exceeded(program: Program, documents: Path, folder: Path, client: Switchboard) -> None:
    for name in "abc":
        document(documents / f"{name}.txt", sender=name)
    output = folder / "table.csv"
    before = batches(client)
    refused = program.run(documents, "--output", output, "--max-cost", "0.0001")
    assert refused.returncode == 1 and refused.stderr.count("no room within --max-cost") == 3, refused.stderr
    assert batches(client) == before
    # Each answer is shorter than it may be, so that there is room for another batch.
    found = re.search(r"at most \$(\S+)", refused.stderr)
    assert found is not None
    cap = Decimal(found[1]) / 3 * Decimal("1.3")
    done = program.run(documents, "--output", output, "--max-cost", cap)
    assert done.returncode == 0, done.stderr
    assert batches(client) == before + 3
    assert Decimal(str(state_of(output)["spent_usd"])) <= cap


def test_batch_that_is_gone_is_sent_again(program: Program, documents: Path, folder: Path) -> None:
    document(documents / "a.txt")
    output = folder / "table.csv"
    opened = {"run": "none", "keys": ["k"], "batch_id": "batch_00000000000000000000000000000000"}
    state = {"version": 1, "spent_usd": "0", "open": opened, "answers": {}, "failures": {}}
    (folder / "table.csv.state.json").write_text(json.dumps(state))
    done = program.run(documents, "--output", output)
    assert done.returncode == 0 and "no longer at the server" in done.stderr, done.stderr
    assert len(rows_of(output)) == 2


def test_foreign_state_file_is_left_alone(program: Program, documents: Path, folder: Path) -> None:
    document(documents / "a.txt")
    state = folder / "table.csv.state.json"
    state.write_text("{}")
    done = program.run(documents, "--output", folder / "table.csv")
    assert (done.returncode, state.read_text()) == (2, "{}")
    assert "is no state file of this program" in done.stderr


def test_prices_are_those_of_the_server() -> None:
    names: dict[str, object] = {}
    exec(compile((EXAMPLE.parent / "documents.py").read_text(), "documents.py", "exec"), names)
    prices = names["PRICES"]
    assert isinstance(prices, dict)
    for model, (prompt, answer) in prices.items():
        found = re.search(rf'^"{model}" = "input \S+, output (\S+), cache write ([^,;]+),', SETTINGS.read_text(), re.M)
        assert found is not None, model
        assert (Decimal(found[2]), Decimal(found[1])) == (prompt, answer), model
