"""Programs and ports that the Python tools here share; tools/shared.sh has the same for shell scripts."""

import os
import socket
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class MissingProgram(Exception):
    """A program that is named and is not there, or that cannot be built."""


def program(variable: str, name: str) -> Path:
    """Returns the program of this workspace that the variable names, or else the debug build."""
    named = os.environ.get(variable)
    if not named:
        if subprocess.run(["cargo", "build", "--quiet", "--package", name, "--bin", name], cwd=ROOT, check=False).returncode:
            raise MissingProgram(f"{name} was not built: look at the errors above, or name a built one as {variable}")
        named = str(Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / name)
    if not (Path(named).is_file() and os.access(named, os.X_OK)):
        raise MissingProgram(f"{named} is no program: name a built {name} as {variable}")
    return Path(named).resolve()


def claude_program() -> Path:
    """Returns the Claude CLI that CLAUDE_BIN names, or else the pinned one."""
    named = os.environ.get("CLAUDE_BIN")
    if named:
        return Path(named).resolve()
    if subprocess.run([ROOT / "tools/install-cli"], check=False).returncode:
        raise MissingProgram("the Claude CLI was not installed: look at the errors above, or name one as CLAUDE_BIN")
    return ROOT / ".cache/cli/node_modules/@anthropic-ai/claude-code/bin/claude.exe"


def free_port() -> int:
    """Returns a port of the loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
