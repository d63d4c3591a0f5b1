"""What has been paid for already: answers by request, and the batch that may still run."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path

VERSION = 1


class StateError(Exception):
    """State file that cannot be used."""


@dataclass
class OpenBatch:
    """Batch whose results have not been read; without an id until the server has told it."""

    run: str
    keys: list[str]
    batch_id: str | None = None


@dataclass
class State:
    """Contents of a state file, which is replaced as a whole, so that a process that is killed leaves no half of it."""

    path: Path
    answers: dict[str, dict[str, object]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    spent: Decimal = Decimal(0)
    open: OpenBatch | None = None

    def save(self) -> None:
        """Writes the state to the disk."""
        value = {
            "version": VERSION,
            "spent_usd": str(self.spent),
            "open": asdict(self.open) if self.open else None,
            "answers": self.answers,
            "failures": self.failures,
        }
        draft = self.path.with_name(self.path.name + ".new")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(value, file, ensure_ascii=False, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)


def read_state(path: Path) -> State:
    """State of a file, or an empty one if there is none.

    Raises StateError for a file of another program or version.
    """
    if not path.exists():
        return State(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["version"] != VERSION:
            raise StateError(f"{path} has the version {value['version']}, not {VERSION}")
        batch = OpenBatch(**value["open"]) if value["open"] else None
        return State(path, value["answers"], value["failures"], Decimal(value["spent_usd"]), batch)
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise StateError(f"{path} is no state file of this program: {error}") from error
