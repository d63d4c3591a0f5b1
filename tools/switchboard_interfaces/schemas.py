"""Fields of JSON schemas as flat entries: path, kinds of values, and whether they are required."""

from typing import Any

Entry = dict[str, Any]
Schema = dict[str, Any]


def flatten(name: str, schema: Schema, found: dict[str, Entry]) -> None:
    """Adds the fields of `schema` to `found`, as `Name.field`, `Name.field[].inner`."""
    found[name] = {"kinds": sorted(_kinds(schema))}
    _fields(name, schema, found)


def _fields(path: str, schema: Schema, found: dict[str, Entry]) -> None:
    for part in _alternatives(schema):
        required = part.get("required", [])
        for field, inner in part.get("properties", {}).items():
            if not isinstance(inner, dict):
                continue
            place = f"{path}.{field}"
            kinds = _kinds(inner)
            before = found.get(place)
            if before:
                # In several alternatives: all kinds count, and it is required if each of them requires it.
                kinds |= set(before["kinds"])
            entry: Entry = {"kinds": sorted(kinds)}
            if field in required and (before is None or before.get("required")):
                entry["required"] = True
            found[place] = entry
            _fields(place, inner, found)
        items = part.get("items")
        if isinstance(items, dict):
            place = f"{path}[]"
            found[place] = {"kinds": sorted(_kinds(items) | set(found.get(place, {"kinds": []})["kinds"]))}
            _fields(place, items, found)


def _alternatives(schema: Schema) -> list[Schema]:
    """Returns the schema and those that it combines, without what they refer to by name."""
    parts = [schema]
    for word in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(word, []):
            parts += _alternatives(part)
    return parts


def _kinds(schema: Schema) -> set[str]:
    """Returns types of JSON, `=value` for constants and `#Name` for what has a schema of its own."""
    if "$ref" in schema:
        return {"#" + schema["$ref"].rsplit("/", 1)[1]}
    if "const" in schema:
        return {f"={schema['const']}"}
    if "enum" in schema:
        return {"null" if value is None else f"={value}" for value in schema["enum"]}
    kinds = set[str]()
    for word in ("anyOf", "oneOf", "allOf"):
        for part in schema.get(word, []):
            kinds |= _kinds(part)
    named = schema.get("type", [])
    if not kinds:
        kinds = {named} if isinstance(named, str) else set(named)
    return kinds


def references(value: Any, schemas: dict[str, Schema]) -> set[str]:
    """Returns the names of all schemas that `value` refers to, directly and through others."""
    reached, waiting = set[str](), [value]
    while waiting:
        piece = waiting.pop()
        if isinstance(piece, dict):
            name = str(piece.get("$ref", "")).removeprefix("#/components/schemas/")
            if name in schemas and name not in reached:
                reached.add(name)
                waiting.append(schemas[name])
            waiting.extend(piece.values())
        elif isinstance(piece, list):
            waiting.extend(piece)
    return reached
