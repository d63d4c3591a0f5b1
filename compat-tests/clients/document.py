"""The table of clients in docs/CLIENTS.md."""

from catalogue import COLUMNS, KINDS
from installing import ROOT

DOCUMENT = ROOT / "docs" / "CLIENTS.md"
BEGIN = "<!-- clients: begin -->"
END = "<!-- clients: end -->"
HEAD = "| client | version | chat | stream | tools | structured | also | set up |"
RULE = "| --- | --- | --- | --- | --- | --- | --- | --- |"


def write_table(results, clients):
    """Updates the rows of `results` in the table; rows of other listed clients stay unchanged."""
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    rows = {first_cell(line): line for line in old.splitlines() if line.startswith("| ")}
    rows |= {result.client.name: row(result) for result in results}
    rows |= {client.name: unavailable_row(client) for client in clients if client.unavailable}
    DOCUMENT.write_text(f"{before}{BEGIN}\n{tables(clients, rows)}{END}{after}")


def tables(clients, rows):
    """Formats one table for each kind of client, in the order of the list."""
    parts = []
    for kind, title in KINDS.items():
        lines = [rows[client.name] for client in clients if client.kind == kind and client.name in rows]
        if lines:
            parts.append("\n".join([f"\n### {title}\n", HEAD, RULE, *lines, ""]))
    return "".join(parts) + "\n"


def row(result):
    client = result.client
    cells = [cell(result, name) for name in COLUMNS]
    also = ", ".join(name if not reason else f"✗ {name}" for name, reason in result.checks.items() if name not in COLUMNS)
    reasons = [f"✗ {name}: {reason}" for name, reason in client.fails.items()]
    remarks = [client.note, *reasons, *client.refused.values()]
    return line([client.name, result.version, *cells, also, sentences(client.setup, *remarks)])


def unavailable_row(client):
    return line([client.name, "", *("not run" for _ in COLUMNS), "", sentences(client.setup, client.unavailable)])


def sentences(setup, *remarks):
    """Formats the setup of a client and its notes."""
    told = [remark for remark in remarks if remark]
    return " ".join([f"{setup}." if setup and told else setup, *told]).strip()


def cell(result, name):
    if name not in result.checks:
        return "–"
    return "✗" if result.checks[name] else "✓"


def line(cells):
    return "| " + " | ".join(text.replace("|", "\\|").replace("\n", " ") for text in cells) + " |"


def first_cell(line_of_table):
    return line_of_table.split("|")[1].strip()
