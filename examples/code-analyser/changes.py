"""Files that have changed since a revision of a Git repository."""

from __future__ import annotations

import subprocess
from pathlib import Path


class GitError(Exception):
    """Git that could not tell what has changed."""


def changed_files(folder: Path, revision: str) -> frozenset[str]:
    """Files below a folder that differ from a revision and still exist, untracked ones too; relative to the folder.

    Raises GitError if the folder is in no repository or the revision is unknown.
    """
    # A revision that begins with a dash would be an option of Git.
    if revision.startswith("-"):
        raise GitError(f"{revision} is no revision")
    differing = ["diff", "--no-ext-diff", "--name-only", "--relative", "--diff-filter=d", "-z", revision, "--", "."]
    untracked = ["ls-files", "--others", "--exclude-standard", "-z", "--", "."]
    names = git(folder, differing) + git(folder, untracked)
    return frozenset(name for name in names if (folder / name).is_file())


def git(folder: Path, arguments: list[str]) -> list[str]:
    """Names that a command of Git prints."""
    # No program that the configuration of the repository names.
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise GitError("git is not installed") from None
    if done.returncode != 0:
        raise GitError(done.stderr.decode(errors="replace").strip() or f"git ended with status {done.returncode}")
    return [name.decode(errors="surrogateescape") for name in done.stdout.split(b"\0") if name]
