"""The areas of the promise, each read from the document or source that the tests keep true."""

import ast
import hashlib
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from .schemas import Entry, flatten, references

ROOT = Path(__file__).resolve().parent.parent.parent
# Tables whose keys are the users' own names.
FREE_TABLES = ("models.aliases", "models.restrictions", "pricing.models")
METHODS = ("delete", "get", "patch", "post", "put")


def read_all(program: Path | None) -> dict[str, dict[str, Entry]]:
    """Reads all areas; `commands` only with a program."""
    areas = {
        "api": read_api(),
        "errors": read_errors(),
        "settings": read_settings(),
        "metrics": read_metrics(),
        "webhooks": read_webhooks(),
        "hooks": read_hooks(),
        "client": read_client(),
        "records": read_records(),
    }
    if program:
        areas["commands"] = read_commands(program)
    return {area: dict(sorted(entries.items())) for area, entries in areas.items()}


def _openapi() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text())
    return document


def read_api() -> dict[str, Entry]:
    """Reads operations, and the fields of their requests and responses."""
    document, found = _openapi(), dict[str, Entry]()
    schemas = document["components"]["schemas"]
    requests, responses = set[str](), set[str]()
    for path, operations in document["paths"].items():
        for method in METHODS:
            if method not in operations:
                continue
            operation, name = operations[method], f"{method.upper()} {path}"
            found[name] = {}
            for parameter in operation.get("parameters", []):
                if "name" in parameter and parameter.get("in") != "path":
                    entry: Entry = {"use": "request", "kinds": []}
                    found[f"{name} {parameter['in']} {parameter['name']}"] = entry | ({"required": True} if parameter.get("required") else {})
            for media, content in operation.get("requestBody", {}).get("content", {}).items():
                _add(found, f"{name} request {media}", content.get("schema", {}), "request")
                requests |= references(content, schemas)
            for status, response in operation["responses"].items():
                if status.startswith("2"):
                    for media, content in response.get("content", {}).items():
                        _add(found, f"{name} {status} {media}", content.get("x-event-schema", content.get("schema", {})), "response")
                        responses |= references(content, schemas)
    for name in requests | responses:
        use = "both" if name in requests and name in responses else "request" if name in requests else "response"
        _add(found, name, schemas[name], use)
    return found


def _add(found: dict[str, Entry], name: str, schema: dict[str, Any], use: str) -> None:
    fields = dict[str, Entry]()
    flatten(name, schema, fields)
    found |= {place: entry | {"use": use} for place, entry in fields.items()}


def read_errors() -> dict[str, Entry]:
    """Reads the error codes, with their statuses and types."""
    found = dict[str, Entry]()
    for error in _openapi()["x-switchboard-errors"]:
        if error["code"]:
            value = f"{error['status']} {error['type']}"
            found.setdefault(error["code"], {"values": []})["values"].append(value)
    return found


def read_settings() -> dict[str, Entry]:
    """Reads the keys of the configuration with the types of their defaults."""
    found = dict[str, Entry]()

    def walk(prefix: str, table: dict[str, Any]) -> None:
        for key, value in table.items():
            name = f"{prefix}{key}"
            if isinstance(value, dict) and name not in FREE_TABLES:
                walk(f"{name}.", value)
            else:
                found[name] = {"type": type(value).__name__}

    walk("", tomllib.loads((ROOT / "src" / "config" / "default.toml").read_text()))
    return found


def read_metrics() -> dict[str, Entry]:
    """Reads the metrics and their labels from their page, which a test compares with the server."""
    found = dict[str, Entry]()
    for line in (ROOT / "docs" / "api" / "health-and-metrics.md").read_text().splitlines():
        cell = line.split("|")[1] if line.startswith("| `") else ""
        for name, labels in re.findall(r"`((?:switchboard|process)_[a-z_]+)(?:\{([a-z_, ]*)\})?`", cell):
            found[name] = {"values": sorted(label.strip() for label in labels.split(",") if label)}
    return found


def read_webhooks() -> dict[str, Entry]:
    """Reads the types of webhook events, and the headers that come with them."""
    found = dict[str, Entry]()
    for line in (ROOT / "docs" / "api" / "webhooks.md").read_text().splitlines():
        if line.startswith("| `"):
            found |= {name: {} for name in re.findall(r"`([a-z_.-]+)`", line.split("|")[1])}
    return found


def read_hooks() -> dict[str, Entry]:
    """Reads the wire format of hooks."""
    found = dict[str, Entry]()
    for name, schema in json.loads((ROOT / "docs" / "hooks-wire.schema.json").read_text())["$defs"].items():
        fields = dict[str, Entry]()
        flatten(name, schema, fields)
        # A hook reads the input and writes the output; the parts are in both.
        use = {"Input": "response", "Output": "request"}.get(name, "both")
        found |= {place: entry | {"use": use} for place, entry in fields.items()}
    return found


def read_client() -> dict[str, Entry]:
    """Reads the public names of the Python client, and the parameters of its public methods."""
    folder = ROOT / "client" / "python" / "src"
    found = dict[str, Entry]()
    for package in ("claude_switchboard", "claude_code_api"):
        names = set[str]()
        for node in ast.parse((folder / package / "__init__.py").read_text()).body:
            if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
                names = set(ast.literal_eval(node.value))
        found |= {f"{package}.{name}": {} for name in names}
        for path in sorted((folder / package).rglob("*.py")):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and node.name in names:
                    found |= _methods(f"{package}.{node.name}", node)
    return found


def _methods(name: str, node: ast.ClassDef) -> dict[str, Entry]:
    found = dict[str, Entry]()
    for item in node.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and (not item.name.startswith("_") or item.name == "__init__"):
            arguments = [*item.args.posonlyargs, *item.args.args, *item.args.kwonlyargs]
            parameters = [argument.arg for argument in arguments if argument.arg not in ("self", "cls")]
            earlier = found.get(f"{name}.{item.name}", {"values": []})["values"]
            found[f"{name}.{item.name}"] = {"values": sorted({*earlier, *parameters})}
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and not item.target.id.startswith("_"):
            found[f"{name}.{item.target.id}"] = {}
    return found


def read_records() -> dict[str, Entry]:
    """Reads the examples of stored records, which tests read as an earlier server has written them."""
    files = sorted((ROOT / "src").rglob("fixtures/*-v*"))
    return {str(path.relative_to(ROOT)): {"type": hashlib.sha256(path.read_bytes()).hexdigest()} for path in files}


def read_commands(program: Path) -> dict[str, Entry]:
    """Reads commands and options from the completions of fish, which name all of them."""
    text = subprocess.run([str(program), "completions", "fish"], capture_output=True, text=True, check=True).stdout
    found = dict[str, Entry]()
    for line in text.splitlines():
        place = re.match(r'complete -c \S+ -n "([^"]*)"', line)
        if not place:
            continue
        condition = place[1].replace("__fish_claude_switchboard_needs_command", "")
        words = re.sub(r"; and not __fish_seen_subcommand_from .*|; and|__fish\w+", "", condition).split()
        option = re.search(r" -l ([a-z-]+)", line)
        command = re.search(r' -a "([a-z-]+)"', line)
        if option:
            found[" ".join([*words, f"--{option[1]}"])] = {}
        elif command and "help" not in (command[1], *words):
            found[" ".join([*words, command[1]])] = {}
    return found
