"""What counts as a broken promise between two versions."""

from .schemas import Entry

Areas = dict[str, dict[str, Entry]]


def find_change(old: Entry, new: Entry) -> str | None:
    """Returns what a user of `old` cannot cope with in `new`."""
    if old.get("type") != new.get("type"):
        return f"was {old.get('type')} and is {new.get('type')}"
    lost = [value for value in old.get("values", []) if value not in new.get("values", [])]
    if lost:
        return f"has lost {', '.join(lost)}"
    use = old.get("use")
    if use in ("request", "both"):
        if new.get("required") and not old.get("required"):
            return "is required now"
        # A constant may become any string.
        lost = [kind for kind in old["kinds"] if kind not in new["kinds"] and not (kind.startswith("=") and "string" in new["kinds"])]
        if lost:
            return f"takes no {', '.join(lost)} any more"
    if use in ("response", "both"):
        if old.get("required") and not new.get("required"):
            return "may be left out now"
        # Constants are open sets: clients have to expect new ones, docs/COMPATIBILITY.md.
        kinds = [kind for kind in new["kinds"] if kind not in old["kinds"] and not kind.startswith("=")]
        if kinds and old["kinds"]:
            return f"may be {', '.join(kinds)} now"
    return None


def compare(old: Areas, new: Areas) -> list[tuple[str, str, str]]:
    """Returns the broken promises: area, name and what happened."""
    broken = []
    for area in [area for area in old if area in new]:
        for name, entry in old[area].items():
            present = new[area].get(name)
            problem = "is gone" if present is None else find_change(entry, present)
            if problem:
                broken.append((area, name, problem))
        for name, entry in new[area].items():
            owner = name.rpartition(".")[0]
            if name not in old[area] and owner in old[area] and entry.get("required") and entry.get("use") == "request":
                broken.append((area, name, "is new and required"))
    return broken
