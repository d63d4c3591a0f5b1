"""Parser of the list of clients in clients.toml."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent
SCRIPTS = FOLDER / "scripts"
# Checks with a column in the table, in its order.
COLUMNS = ("chat", "stream", "tools", "structured")
KINDS = {
    "program": "Programs",
    "python": "Libraries for Python",
    "javascript": "Libraries for JavaScript",
}


class CatalogueError(Exception):
    """Mistake in the list, or an unknown client name."""


@dataclass(frozen=True)
class Client:
    """Client program or library: its source, its setup and its test script."""

    name: str
    kind: str
    # "pypi" or "npm"; empty for neither.
    registry: str = ""
    # Requirements with exact versions; the first is the client itself.
    packages: tuple[str, ...] = ()
    script: str = ""
    # Setup instructions, in Markdown.
    setup: str = ""
    # Set if .ci/run runs this client.
    in_ci: bool = False
    # Set if the packages' install scripts have to run (npm).
    install_scripts: bool = False
    # Checks known to fail, each with its reason.
    fails: dict[str, str] = field(default_factory=dict)
    # Optional requests that the server refuses, as `STATUS METHOD PATH`, each with its reason.
    refused: dict[str, str] = field(default_factory=dict)
    # Reason why the client cannot be run here.
    unavailable: str = ""
    # Further notes for the table.
    note: str = ""

    @property
    def slug(self):
        """Returns the name for folders and the command line."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @property
    def package(self):
        """Returns the name of the client's package, without its version."""
        return split_pin(self.packages[0])[0]

    def requirements(self, newest):
        """Returns the packages to install, pinned or the newest of each."""
        return [split_pin(pin)[0] + split_pin(pin)[1] if newest else pin for pin in self.packages]


def split_pin(pin):
    """Splits `name[extra]==1.2` or `@scope/name@1.2` into name, extras and version."""
    match = re.fullmatch(r"(@?[^@=\[]+)(\[[^]]*\])?(?:==|@)([0-9][^=@]*)", pin)
    if not match:
        raise CatalogueError(f"`{pin}` names no exact version; write `name==1.2` (PyPI) or `name@1.2` (npm)")
    return match[1], match[2] or "", match[3]


def read_clients(path=FOLDER / "clients.toml"):
    """Returns all clients of the list and the latest release day of their dependencies."""
    document = tomllib.loads(path.read_text())
    clients = [checked(entry) for entry in document["client"]]
    names = [client.slug for client in clients]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise CatalogueError(f"listed twice: {', '.join(sorted(twice))}")
    return clients, document["dependencies_until"]


def checked(entry):
    """Builds the client of one entry and checks it early."""
    client = Client(**entry | {"packages": tuple(entry.get("packages", ()))})
    if client.kind not in KINDS:
        raise CatalogueError(f"{client.name}: `kind` is one of {', '.join(KINDS)}")
    if client.unavailable:
        return client
    if client.registry not in ("pypi", "npm"):
        raise CatalogueError(f"{client.name}: `registry` is pypi or npm")
    for pin in client.packages:
        split_pin(pin)
    if not client.packages or not (SCRIPTS / client.script).is_file():
        raise CatalogueError(f"{client.name}: `packages` and a `script` that exists are needed")
    return client


def select(clients, only, everything):
    """Selects the clients to run: the named ones, all, or those of .ci/run."""
    known = {client.slug: client for client in clients}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise CatalogueError(f"no client is called {', '.join(unknown)}; there are: {', '.join(known)}")
    if only:
        return [known[name] for name in only]
    return [client for client in clients if everything or client.in_ci]
