"""Findings: their schema, how they are read from an answer, and which of them can be true."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

SEVERITIES = ("note", "warning", "error")
FIELDS = ("file", "line", "severity", "rule", "message")
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {
        "findings": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "file": {"type": "string"},
                    "line": {"type": "integer"},
                    "severity": {"type": "string", "enum": list(SEVERITIES)},
                    "rule": {"type": "string"},
                    "message": {"type": "string"},
                },
                "required": list(FIELDS),
                "additionalProperties": False,
            },
        }
    },
    "required": ["findings"],
    "additionalProperties": False,
}


class InvalidFindingsError(ValueError):
    """Answer that does not follow the schema."""


@dataclass(frozen=True)
class Finding:
    """Fault in a line of a file, whose path is relative to the analysed folder."""

    file: str
    line: int
    severity: str
    rule: str
    message: str

    @property
    def rank(self) -> int:
        """Severity as a number, greater for what is worse."""
        return SEVERITIES.index(self.severity)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.severity}: {self.message} [{self.rule}]"


def read_findings(answer: str) -> list[Finding]:
    """Findings of an answer, which may have words or a code fence around its JSON.

    Raises InvalidFindingsError if it does not follow the schema.
    """
    begin, end = answer.find("{"), answer.rfind("}")
    try:
        value = json.loads(answer[begin : end + 1])
        entries = value["findings"]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidFindingsError("the answer is no JSON object with `findings`") from error
    if not isinstance(entries, list):
        raise InvalidFindingsError("`findings` is no list")
    return [read_finding(index, entry) for index, entry in enumerate(cast("list[object]", entries))]


def read_finding(index: int, entry: object) -> Finding:
    """Finding of an entry of the list."""
    if not isinstance(entry, dict) or set(entry) != set(FIELDS):
        raise InvalidFindingsError(f"finding {index} does not have the fields {', '.join(FIELDS)}")
    fields = cast("Mapping[str, object]", entry)
    line = fields["line"]
    texts = {name: fields[name] for name in FIELDS if name != "line"}
    if not isinstance(line, int) or isinstance(line, bool) or not all(isinstance(text, str) for text in texts.values()):
        raise InvalidFindingsError(f"finding {index} has a value of a wrong type")
    if texts["severity"] not in SEVERITIES:
        raise InvalidFindingsError(f"finding {index} has the severity {texts['severity']!r}")
    return Finding(line=line, **cast("dict[str, str]", texts))


def doubt(finding: Finding, folder: Path, files: frozenset[str] | None) -> str | None:
    """Reason for which a finding is not reported, or None: models name files and lines that do not exist."""
    path = (folder / finding.file).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        return "there is no such file"
    if files is not None and path.relative_to(folder).as_posix() not in files:
        return "the file was not to be analysed"
    with path.open("rb") as content:
        count = sum(1 for _ in content)
    return None if 1 <= finding.line <= max(count, 1) else f"the file has {count} lines"


def rendered_json(findings: list[Finding]) -> str:
    """Findings by the schema."""
    return json.dumps({"findings": [asdict(finding) for finding in findings]}, indent=2, ensure_ascii=False)
