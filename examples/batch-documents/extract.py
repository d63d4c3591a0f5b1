#!/usr/bin/env python3
"""Reads each text of a folder by Claude, and writes a table with a row for each: CSV, or JSON lines.

    extract.py FOLDER --output FILE.csv|FILE.jsonl [--schema FILE] [--model haiku|sonnet|opus] [--max-cost USD]
               [--estimate]

The work is a batch of the server. A state file beside the output keeps what has been paid for: the same command goes
on after it was killed, sends only new, changed and failed documents, and never one that was answered. The exit status
is 0 if each document has its row, 1 if some have none, and 2 after an error. README.md says more.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import cast

from claude_switchboard import BatchItem, BatchProgress, NotFoundError, Switchboard, SwitchboardError
from claude_switchboard.models.batches import Batch

from documents import INSTRUCTIONS, PRICES, Document, Job, read_documents
from state import OpenBatch, State, StateError, read_state

SCHEMA = Path(__file__).parent / "schema.json"
EXIT_ALL, EXIT_SOME, EXIT_ERROR, EXIT_INTERRUPTED = 0, 1, 2, 130
# Tokens that an answer is expected to have, for the estimate.
EXPECTED_TOKENS = 120
BAR_WIDTH = 30
MAX_BATCH_LINES = 10_000
RUN_LABEL = "batch-documents-run"


class ExtractionError(Exception):
    """End of the work without a table; the text says why."""


def say(text: str) -> None:
    """Tells progress, which is no part of the output."""
    print(text, file=sys.stderr, flush=True)


def show(state: BatchProgress) -> None:
    """Draws the progress bar, anew in its line on a terminal."""
    filled = BAR_WIDTH * state.done // max(state.total, 1)
    bar = "#" * filled + "." * (BAR_WIDTH - filled)
    failed = f", {state.failed} failed" if state.failed else ""
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"[{bar}] {state.done} of {state.total}{failed}, ${state.cost:.6f}", end=end, file=sys.stderr, flush=True)


class Extraction:
    """Work on the documents of a folder."""

    def __init__(self, client: Switchboard, job: Job, state: State, max_cost: Decimal) -> None:
        self.client = client
        self.job = job
        self.state = state
        self.max_cost = max_cost

    def run(self, documents: Sequence[Document]) -> None:
        """Answers all documents that fit the cost, batch by batch; a document that failed is tried once in each run."""
        self.collect()
        tried: set[str] = set()
        while True:
            waiting = [document for document in self.missing(documents) if self.job.key(document.text) not in tried]
            fitting = self.fitting(waiting)
            if not fitting:
                break
            tried.update(self.job.key(document.text) for document in fitting)
            self.submit(fitting)
            self.collect()

    def missing(self, documents: Sequence[Document]) -> list[Document]:
        """Documents without an answer; of equal ones the first."""
        first = {self.job.key(document.text): document for document in reversed(documents)}
        return [document for key, document in reversed(first.items()) if key not in self.state.answers]

    def fitting(self, documents: Sequence[Document]) -> list[Document]:
        """Documents from the first on that cannot exceed the cost, even if each answer is as long as it may be.

        What the batch has not needed of this is there for the next one. So the limit holds also while nobody watches.
        """
        left = self.max_cost - self.state.spent
        fitting: list[Document] = []
        for document in documents[:MAX_BATCH_LINES]:
            left -= self.job.most(document.text)
            if left < 0:
                break
            fitting.append(document)
        return fitting

    def submit(self, documents: Sequence[Document]) -> None:
        """Starts a batch. It is noted before, so that one is found again whose id could not be noted."""
        keys = [self.job.key(document.text) for document in documents]
        self.state.open = OpenBatch(run=uuid.uuid4().hex, keys=keys)
        self.state.save()
        requests = [self.job.request(document.text) for document in documents]
        batch = self.client.batches.submit(requests, metadata={RUN_LABEL: self.state.open.run})
        self.state.open.batch_id = batch.id
        self.state.save()

    def collect(self) -> None:
        """Waits for the batch that is noted, and keeps its answers."""
        noted = self.state.open
        if noted is None:
            return
        batch_id = noted.batch_id or self.find(noted.run)
        if batch_id is not None:
            try:
                batch = self.client.batches.wait(batch_id, progress=show)
                self.take(noted.keys, batch)
            except NotFoundError:
                say(f"the batch {batch_id} is no longer at the server; its documents are sent again")
        self.state.open = None
        self.state.save()

    def take(self, keys: Sequence[str], batch: Batch) -> None:
        """Keeps the outcomes of a batch that has ended."""
        if sys.stderr.isatty():
            say("")
        self.state.spent += batch.cost_usd or Decimal(0)
        if batch.status == "failed" and batch.output_file_id is None and batch.error_file_id is None:
            faults = batch.errors.data if batch.errors else []
            reason = faults[0].message if faults else "the server gives no reason"
            self.state.failures.update(dict.fromkeys(keys, f"the batch was refused: {reason}"))
            return
        for key, item in zip(keys, self.client.batches.results(batch.id), strict=True):
            self.keep(key, item)

    def find(self, run: str) -> str | None:
        """Id of the batch of a run, or None if the server has none."""
        after: str | None = None
        while True:
            page = self.client.batches.list(limit=100, after=after)
            for batch in page.data:
                if (batch.metadata or {}).get(RUN_LABEL) == run:
                    return batch.id
            if not page.has_more:
                return None
            after = page.last_id

    def keep(self, key: str, item: BatchItem) -> None:
        """Keeps the outcome of a document."""
        try:
            fields = json.loads(item.content)
            if not isinstance(fields, dict):
                raise ValueError("the answer is no JSON object")
        except (SwitchboardError, ValueError) as error:
            self.state.failures[key] = str(error)
            return
        self.state.answers[key] = cast("dict[str, object]", fields)
        self.state.failures.pop(key, None)

    def estimate(self, documents: Sequence[Document]) -> str:
        """Words about what the documents will cost."""
        expected = sum((self.job.cost(document.text, EXPECTED_TOKENS) for document in documents), Decimal(0))
        most = sum((self.job.most(document.text) for document in documents), Decimal(0))
        return f"{len(documents)} documents, about ${expected:.6f}, at most ${most:.6f}"


def write_table(path: Path, columns: Sequence[str], rows: Sequence[tuple[str, Mapping[str, object]]]) -> None:
    """Writes rows in the form that the name of the file asks for."""
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            file.writelines(json.dumps({"file": name, **fields}, ensure_ascii=False) + "\n" for name, fields in rows)
            return
        table = csv.writer(file)
        table.writerow(["file", *columns])
        for name, fields in rows:
            table.writerow([cell(value) for value in (name, *(fields.get(column) for column in columns))])


def cell(value: object) -> str:
    """Value as a cell. One that a spreadsheet would take for a formula begins with an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
    return json.dumps(value, ensure_ascii=False)


def extract(client: Switchboard, arguments: argparse.Namespace) -> int:
    """Does the work and returns the exit status."""
    documents = read_documents(arguments.folder)
    if not documents:
        raise ExtractionError(f"{arguments.folder} has no texts that end in .txt or .md")
    schema = json.loads(arguments.schema.read_text(encoding="utf-8"))
    prices = arguments.prices or PRICES[arguments.model]
    job = Job(arguments.model, schema, arguments.instructions, arguments.max_tokens, prices)
    state = read_state(arguments.state or arguments.output.with_name(arguments.output.name + ".state.json"))
    before = state.spent
    extraction = Extraction(client, job, state, arguments.max_cost)
    say(extraction.estimate(extraction.missing(documents)))
    if before:
        say(f"${before:.6f} of ${arguments.max_cost} were spent by earlier runs")
    if arguments.estimate:
        return EXIT_ALL
    extraction.run(documents)
    answers = [(document, state.answers.get(job.key(document.text))) for document in documents]
    rows = [(document.name, fields) for document, fields in answers if fields is not None]
    write_table(arguments.output, job.columns, rows)
    for document, fields in answers:
        if fields is None:
            reason = state.failures.get(job.key(document.text), f"no room within --max-cost {arguments.max_cost}")
            say(f"no row for {document.name}: {reason}")
    say(f"{len(rows)} of {len(documents)} rows in {arguments.output}")
    say(f"this run cost ${state.spent - before:.6f}, all runs ${state.spent:.6f}")
    return EXIT_ALL if len(rows) == len(documents) else EXIT_SOME


def dollars(text: str) -> Decimal:
    """Amount of an option."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text} is no amount in dollars") from None
    if not amount.is_finite() or amount < 0:
        raise argparse.ArgumentTypeError("the amount has to be 0 or above")
    return amount


def price_pair(text: str) -> tuple[Decimal, Decimal]:
    """Prices of an option."""
    prompt, comma, answer = text.partition(",")
    if not comma:
        raise argparse.ArgumentTypeError("two prices with a comma between them are expected")
    return dollars(prompt), dollars(answer)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with texts (.txt, .md), also in folders below it")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the table, a .csv or a .jsonl file")
    parser.add_argument(
        "--schema", type=Path, default=SCHEMA, help="JSON schema of an object, whose properties are the columns"
    )
    parser.add_argument("--instructions", default=INSTRUCTIONS, help="what Claude is told about the documents")
    parser.add_argument("--model", default="haiku", help="haiku, sonnet, opus, or with --prices any (haiku)")
    parser.add_argument(
        "--prices", type=price_pair, metavar="IN,OUT", help="dollars for a million tokens of prompt and answer"
    )
    parser.add_argument("--max-tokens", type=int, default=1000, help="longest answer in tokens (1000)")
    parser.add_argument(
        "--max-cost", type=dollars, default=Decimal("0.50"), metavar="USD", help="most that all runs may cost (0.50)"
    )
    parser.add_argument("--state", type=Path, metavar="FILE", help="the state file; by default OUTPUT.state.json")
    parser.add_argument("--estimate", action="store_true", help="tell the cost and send nothing")
    arguments = parser.parse_args()
    if arguments.output.suffix not in (".csv", ".jsonl"):
        parser.error("the name of the output has to end in .csv or .jsonl")
    if arguments.prices is None and arguments.model not in PRICES:
        parser.error(f"the prices of {arguments.model} are not known; give them with --prices")
    return arguments


def main() -> int:
    """Runs the command and returns its exit status."""
    arguments = read_arguments()
    with Switchboard() as client:
        try:
            return extract(client, arguments)
        except (ExtractionError, StateError, SwitchboardError, OSError, ValueError) as error:
            say(f"error: {error}")
            return EXIT_ERROR
        except KeyboardInterrupt:
            say("interrupted: the batch goes on at the server; the same command collects its answers")
            return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
