"""The example that analyses code, run as its README says."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest
from claude_switchboard import Switchboard
from running import Server

from conftest import ROOT, Program

EXAMPLE = ROOT / "examples/code-analyser/analyse.py"
CODE = "import os\n\ndef run(name):\n    os.system('ls ' + name)\n"


@pytest.fixture
def program(server: Server) -> Program:
    return Program(EXAMPLE, server)


@pytest.fixture
def work(server: Server) -> Path:
    path = server.work / uuid4().hex
    path.mkdir()
    (path / "shell.py").write_text(CODE)
    (path / "other.py").write_text("x = 1\n")
    return path


def finding(**changes: object) -> dict[str, object]:
    return {
        "file": "shell.py",
        "line": 4,
        "severity": "error",
        "rule": "injection",
        "message": "A name runs.",
        **changes,
    }


def answering(folder: Path, answer: str) -> Path:
    """File with a prompt to which the stand-in answers this."""
    path = folder / "prompt.txt"
    path.write_text(f"{{files}} [[say={json.dumps(answer)}]]")
    return path


def report(*findings: dict[str, object]) -> str:
    return json.dumps({"findings": findings})


def git(work: Path, *arguments: str) -> None:
    names = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", *names, "-C", str(work), *arguments], check=True, capture_output=True)


def test_findings_are_printed_the_worst_first_and_invented_ones_left_out(
    program: Program, work: Path, folder: Path
) -> None:
    answer = report(
        finding(severity="note", file="other.py", line=1),
        finding(file=str(work / "shell.py")),
        finding(file="missing.py"),
        finding(line=99),
        finding(file="../../etc/passwd", line=1),
    )
    done = program.run(work, "--prompt", answering(folder, answer))
    assert (done.returncode, done.stdout.splitlines()) == (
        1,
        ["shell.py:4: error: A name runs. [injection]", "other.py:1: note: A name runs. [injection]"],
    ), done.stderr
    assert done.stderr.count("left out") == 3
    assert done.stderr.splitlines()[-1].startswith("2 findings, $0.")


@pytest.mark.parametrize(
    ("severity", "fail_on", "status"),
    [("warning", "warning", 1), ("warning", "error", 0), ("note", "note", 1), ("error", "never", 0)],
)
def test_exit_status_follows_the_least_severity(
    program: Program, work: Path, folder: Path, severity: str, fail_on: str, status: int
) -> None:
    prompt = answering(folder, report(finding(severity=severity)))
    done = program.run(work, "--prompt", prompt, "--fail-on", fail_on)
    assert done.returncode == status, done.stderr


def test_sarif_names_rules_places_and_fingerprints(program: Program, work: Path, folder: Path) -> None:
    output = folder / "found.sarif"
    prompt = answering(folder, report(finding(), finding(rule="a-rule", file="other.py", line=1)))
    done = program.run(work, "--prompt", prompt, "--format", "sarif", "--output", output)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    log = json.loads(output.read_text())
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert (log["version"], rules) == ("2.1.0", ["a-rule", "injection"])
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    assert run["originalUriBaseIds"]["ROOT"]["uri"].endswith("/")
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note") and result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uriBaseId"] == "ROOT" and place["region"]["startLine"] >= 1
        assert not place["artifactLocation"]["uri"].startswith("/")
    first = run["results"][rules.index("injection")]["partialFingerprints"]
    # A line above moves the finding and not its fingerprint.
    (work / "shell.py").write_text("# A comment\n" + CODE)
    prompt = answering(folder, report(finding(line=5)))
    program.run(work, "--prompt", prompt, "--format", "sarif", "--output", output)
    assert json.loads(output.read_text())["runs"][0]["results"][0]["partialFingerprints"] == first


def test_changed_files_alone_are_analysed(program: Program, work: Path, folder: Path, client: Switchboard) -> None:
    git(work, "init", "--quiet")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "--message", "first")
    before = client.tasks.list(limit=1).data[:1]
    unchanged = program.run(work, "--since", "HEAD")
    assert (unchanged.returncode, unchanged.stdout) == (0, "no findings\n"), unchanged.stderr
    assert [task.id for task in client.tasks.list(limit=1).data] == [task.id for task in before]

    (work / "other.py").write_text("x = 2\n")
    (work / "new.py").write_text("y = 1\n")
    answer = report(finding(), finding(file="other.py", line=1), finding(file="new.py", line=1))
    done = program.run(work, "--since", "HEAD", "--prompt", answering(folder, answer), "--format", "json")
    assert [found["file"] for found in json.loads(done.stdout)["findings"]] == ["new.py", "other.py"]
    assert "new.py\nother.py [[say" in client.tasks.list(limit=1).data[0].prompt
    unknown = program.run(work, "--since", "no-such-revision")
    assert unknown.returncode == 2 and "no-such-revision" in unknown.stderr


def test_agent_reads_files_and_cannot_change_them(program: Program, work: Path, folder: Path) -> None:
    target = work / "shell.py"
    write = {"file_path": str(work / "made.py"), "content": "x"}
    target.write_text(f"# [[say={json.dumps(report(finding(line=1)))}]]\n")
    calls = [f"[[tool=Read input={json.dumps({'file_path': str(target)})}]]"]
    prompt = folder / "prompt.txt"
    prompt.write_text("".join(calls))
    done = program.run(work, "--prompt", prompt)
    assert (done.returncode, done.stdout) == (1, "shell.py:1: error: A name runs. [injection]\n"), done.stderr
    assert f"  Read {target}\n" in done.stderr
    prompt.write_text(f"[[tool=Write input={json.dumps(write)}]]")
    program.run(work, "--prompt", prompt)
    assert not (work / "made.py").exists()


def test_report_in_another_form_is_brought_into_form(program: Program, work: Path, folder: Path) -> None:
    # The stand-in answers the request for the form with the least value of the schema.
    done = program.run(work, "--prompt", answering(folder, "There is nothing to report."))
    assert (done.returncode, done.stdout) == (0, "no findings\n"), done.stderr
    assert "brought into form" in done.stderr


def test_cost_cap_ends_the_agent(program: Program, work: Path, folder: Path) -> None:
    prompt = folder / "prompt.txt"
    read = json.dumps({"file_path": str(work / "shell.py")})
    prompt.write_text(f"[[tool=Read input={read} usage_out=900000]]")
    done = program.run(work, "--prompt", prompt, "--max-cost", "0.01", "--model", "haiku")
    assert done.returncode == 2 and "max_budget" in done.stderr, done.stderr


def test_refusals_are_errors(program: Program, folder: Path) -> None:
    outside = program.run(folder)
    assert outside.returncode == 2 and outside.stderr.splitlines()[-1].startswith("error: "), outside.stderr
    assert program.run(folder / "nowhere").returncode == 2
    assert program.run(folder, "--max-cost", "0").returncode == 2
