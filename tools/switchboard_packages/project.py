"""Facts of the checkout: version, licence, time of the last commit, section of the changelog."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from .error import PackageError

ROOT = Path(__file__).resolve().parent.parent.parent
NAME = "claude-switchboard"


def manifest() -> dict[str, Any]:
    """Reads Cargo.toml."""
    return tomllib.loads((ROOT / "Cargo.toml").read_text())


def version() -> str:
    """Returns the version, which all packages have."""
    return str(manifest()["workspace"]["package"]["version"])


def description() -> str:
    """Returns the description in one line."""
    return str(manifest()["package"]["description"])


def release_time() -> int:
    """Returns the Unix time that all files of a package have, so that two builds are equal."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise PackageError("the time of the last commit is unknown", "run this in a Git checkout, or set SOURCE_DATE_EPOCH")
    return int(found.stdout)


def repository() -> str:
    """Returns the URL of the repository, without a slash at the end; empty if it is not given."""
    return os.environ.get("REPOSITORY_URL", "").rstrip("/")


def changes(wanted: str) -> str:
    """Returns the section of CHANGELOG.md for a version."""
    text = (ROOT / "CHANGELOG.md").read_text()
    found = re.search(rf"^## \[{re.escape(wanted)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if not found or not found[1].strip():
        raise PackageError(
            f"CHANGELOG.md has no section for {wanted}",
            f"put `## [{wanted}] - YYYY-MM-DD` below `## [Unreleased]`, commit, and set the tag again",
        )
    return found[1].strip() + "\n"
