#!/usr/bin/env python3
"""Analyses the code of a folder by an agent that can only read, and reports findings as text, JSON or SARIF.

    analyse.py PATH [--since REV] [--format text|json|sarif] [--output FILE] [--fail-on note|warning|error|never]
                    [--max-cost USD] [--model MODEL]

The exit status is 0 if there is no finding at or above --fail-on, 1 if there is one, and 2 after an error. The server
has to allow the folder (`tasks.roots`), and the key in SWITCHBOARD_API_KEY needs the permissions `inference` and
`tasks`. README.md says more.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path

from claude_switchboard import Switchboard, SwitchboardError, Task, TaskEvent
from claude_switchboard.options import TaskOptions

from changes import GitError, changed_files
from findings import SCHEMA, SEVERITIES, Finding, InvalidFindingsError, doubt, read_findings, rendered_json
from sarif import rendered_sarif

PROMPT = Path(__file__).parent / "prompt.txt"
EXIT_NONE, EXIT_FINDINGS, EXIT_ERROR, EXIT_INTERRUPTED = 0, 1, 2, 130
MAX_TURNS = 60
# Share of the cost that is left for bringing an answer into form.
FORM_SHARE = Decimal("0.1")
MAX_FORM_TOKENS = 4000
FORM_REQUEST = "Bring this report of a code review into the form of the schema. Change nothing else.\n\n"


class AnalysisError(Exception):
    """End of the analysis without a result; the text says why."""


def say(text: str) -> None:
    """Tells progress, which is no part of the output."""
    print(text, file=sys.stderr, flush=True)


def show(event: TaskEvent) -> None:
    """Tells what the agent does."""
    if event.type == "tool_use":
        fields = event.input if isinstance(event.input, dict) else {}
        target = fields.get("file_path") or fields.get("pattern") or fields.get("path") or ""
        say(f"  {event.name} {target}")
    elif event.type == "progress" and event.turns:
        say(f"  call {event.turns} has ended")


class Analysis:
    """One run over a folder."""

    def __init__(self, client: Switchboard, arguments: argparse.Namespace) -> None:
        self.client = client
        self.arguments = arguments
        self.folder: Path = arguments.path.resolve()
        self.cost = Decimal(0)

    def run(self) -> list[Finding]:
        """Findings that can be true, the worst first."""
        files = self.files()
        if files is not None and not files:
            say(f"nothing has changed since {self.arguments.since}")
            return []
        task = self.work(self.prompt(files))
        kept: list[Finding] = []
        for finding in self.read(task.result or ""):
            finding = replace(finding, file=self.relative(finding.file))
            reason = doubt(finding, self.folder, files)
            if reason is None:
                kept.append(finding)
            else:
                say(f"left out, because {reason}: {finding}")
        return sorted(kept, key=lambda finding: (-finding.rank, finding.file, finding.line))

    def relative(self, file: str) -> str:
        """Path of a file from the folder on, also if the agent gave it as a whole."""
        for root in (str(self.folder), self.arguments.server_path):
            if root and Path(file).is_relative_to(root):
                return Path(file).relative_to(root).as_posix()
        return Path(file).as_posix()

    def files(self) -> frozenset[str] | None:
        """Files to analyse, or None for all of the folder."""
        if self.arguments.since is None:
            return None
        try:
            return changed_files(self.folder, self.arguments.since)
        except GitError as error:
            raise AnalysisError(f"the changes since {self.arguments.since} are not known: {error}") from error

    def prompt(self, files: frozenset[str] | None) -> str:
        """Instructions for the agent."""
        if files is None:
            scope = "Analyse all files of the folder."
        else:
            scope = "Report findings in these files only; they have changed:\n\n" + "\n".join(sorted(files))
        text: str = self.arguments.prompt.read_text(encoding="utf-8")
        return text.replace("{files}", scope).replace("{schema}", json.dumps(SCHEMA))

    def work(self, prompt: str) -> Task:
        """Lets the agent work to its end."""
        budget = self.arguments.max_cost * (1 - FORM_SHARE)
        say(f"analysing {self.folder} for at most ${self.arguments.max_cost}")
        options: TaskOptions = {"preset": "read_only", "max_turns": MAX_TURNS, "max_budget_usd": budget}
        if self.arguments.model:
            options["model"] = self.arguments.model
        workspace = self.arguments.server_path or str(self.folder)
        task = self.client.tasks.run(prompt, workspace, on_event=show, **options)
        self.cost += task.cost_usd or Decimal(0)
        if task.status != "completed":
            reason = f"{task.error.code}: {task.error.message}" if task.error else "it was stopped"
            raise AnalysisError(f"the task {task.id} is {task.status} after ${self.cost:.4f}: {reason}")
        return task

    def read(self, report: str) -> list[Finding]:
        """Findings of a report. One that does not follow the schema is brought into form by a second, smaller call."""
        try:
            return read_findings(report)
        except InvalidFindingsError as error:
            say(f"the report is brought into form, because {error}")
        schema = {"name": "findings", "strict": True, "schema": SCHEMA}
        answer = self.client.complete(
            FORM_REQUEST + report,
            model=self.arguments.form_model,
            max_tokens=MAX_FORM_TOKENS,
            response_format={"type": "json_schema", "json_schema": schema},
        )
        self.cost += answer.cost or Decimal(0)
        try:
            return read_findings(answer.content)
        except InvalidFindingsError as error:
            raise AnalysisError(f"the report cannot be read: {error}") from error


def rendered(findings: list[Finding], form: str, folder: Path) -> str:
    """Findings in the form that was asked for."""
    if form == "json":
        return rendered_json(findings)
    if form == "sarif":
        return rendered_sarif(findings, folder)
    return "\n".join(str(finding) for finding in findings) or "no findings"


def dollars(text: str) -> Decimal:
    """Amount of an option."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text} is no amount in dollars") from None
    if not amount.is_finite() or amount <= 0:
        raise argparse.ArgumentTypeError("the amount has to be above 0")
    return amount


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="folder with the code, on a file system that the server sees too")
    parser.add_argument(
        "--since", metavar="REV", help="only files that differ from this revision of Git, such as origin/main"
    )
    parser.add_argument("--format", choices=("text", "json", "sarif"), default="text", help="form of the output (text)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="file for the output instead of stdout")
    parser.add_argument(
        "--fail-on", choices=(*SEVERITIES, "never"), default="warning", help="least severity for status 1 (warning)"
    )
    parser.add_argument(
        "--max-cost", type=dollars, default=Decimal("0.50"), metavar="USD", help="most that it may cost (0.50)"
    )
    parser.add_argument("--model", help="model of the agent; by default that of tasks.model")
    parser.add_argument("--form-model", default="haiku", help="model that mends the form of a report (haiku)")
    parser.add_argument("--prompt", type=Path, default=PROMPT, help="file with other instructions for the agent")
    parser.add_argument(
        "--server-path", metavar="PATH", help="the folder as the server names it, if it does so differently"
    )
    arguments = parser.parse_args()
    if not arguments.path.is_dir():
        parser.error(f"{arguments.path} is no folder")
    return arguments


def main() -> int:
    """Runs the command and returns its exit status."""
    arguments = read_arguments()
    with Switchboard() as client:
        analysis = Analysis(client, arguments)
        try:
            findings = analysis.run()
            text = rendered(findings, arguments.format, analysis.folder)
            if arguments.output:
                arguments.output.write_text(text + "\n", encoding="utf-8")
            else:
                print(text)
        except (AnalysisError, SwitchboardError, OSError) as error:
            say(f"error: {error}")
            return EXIT_ERROR
        except KeyboardInterrupt:
            # The client has interrupted the task.
            say("interrupted: the agent is stopped")
            return EXIT_INTERRUPTED
    say(f"{len(findings)} findings, ${analysis.cost:.4f}")
    if arguments.fail_on == "never":
        return EXIT_NONE
    least = SEVERITIES.index(arguments.fail_on)
    return EXIT_FINDINGS if any(finding.rank >= least for finding in findings) else EXIT_NONE


if __name__ == "__main__":
    sys.exit(main())
