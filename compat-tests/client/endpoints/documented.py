"""Operations of docs/openapi.json, and the table of examples/client/README.md that names an example for each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples" / "client"
README = EXAMPLES / "README.md"
TABLE_BEGINS = "<!-- endpoints: begin -->\n"
TABLE_ENDS = "<!-- endpoints: end -->\n"
METHODS = ("get", "post", "put", "patch", "delete")

# Operations that curl cannot use, each with the reason.
WITHOUT_CURL = {
    "openStream": "a WebSocket",
    "openResponsesSocket": "a WebSocket",
    "openTaskSocket": "a WebSocket",
}


@dataclass(frozen=True)
class Operation:
    """Method and path of the document."""

    method: str
    path: str
    name: str
    tag: str

    def matches(self, method: str, path: str) -> bool:
        # A name of a model may contain slashes.
        pattern = re.escape(self.path)
        pattern = re.sub(r"\\\{[a-z_]+\\\}", ".+" if self.path == "/v1/models/{id}" else "[^/]+", pattern)
        return method == self.method and re.fullmatch(pattern, path) is not None


def read_operations() -> list[Operation]:
    """Operations in the order of the document."""
    document = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    return [
        Operation(method.upper(), path, operation["operationId"], operation["tags"][0])
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def operation_of(operations: Sequence[Operation], method: str, path: str) -> Operation | None:
    """Operation of a request; a path without parameters comes before one with them."""
    found = [operation for operation in operations if operation.matches(method, path)]
    return min(found, key=lambda operation: operation.path.count("{"), default=None)


def render_table(operations: Sequence[Operation], examples: Mapping[str, Sequence[Path]]) -> str:
    """Table of the README: for each operation the first example of each folder that uses it."""
    lines = ["| endpoint | curl | Python |", "| --- | --- | --- |"]
    for operation in operations:
        cells = []
        for folder in ("curl", "python"):
            used = [path for path in examples[operation.name] if path.parent.name == folder]
            cells.append(f"[{used[0].name}]({folder}/{used[0].name})" if used else "")
        cells[0] = cells[0] or WITHOUT_CURL.get(operation.name, "")
        lines.append(f"| `{operation.method} {operation.path}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def with_table(readme: str, table: str) -> str:
    """README with another table."""
    before, _, rest = readme.partition(TABLE_BEGINS)
    _, _, after = rest.partition(TABLE_ENDS)
    return f"{before}{TABLE_BEGINS}{table}{TABLE_ENDS}{after}"
