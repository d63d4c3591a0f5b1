"""Programs that the pages use, and the stand-in for Anthropic that their servers share."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from local_programs import ROOT, claude_program, program

PYTHON_PACKAGES = ("openai", "langchain-openai", "httpx2", "pydantic")

CARGO = """#!/bin/sh
# Stands for cargo: puts the compiled programs where a build would.
set -eu
profile=debug
for word; do case $previous in --profile) profile=$word ;; esac; previous=$word; [ "$word" != --release ] || profile=release; done
case $1 in
    metadata) printf '{"packages":[],"target_directory":"%s/target"}\\n' "$PWD" ;;
    build) mkdir -p "target/$profile" && ln -sf "$SERVER_BIN" "target/$profile/claude-switchboard"
        ln -sf "$STAND_IN_BIN" "target/$profile/messages-stand-in" ;;
    install) mkdir -p "$HOME/.cargo/bin" && ln -sf "$SERVER_BIN" "$HOME/.cargo/bin/claude-switchboard" ;;
    --version) echo 'cargo 1.95.0 (made up)' ;;
    *) echo "cargo $* is not known to tools/check-docs" >&2; exit 1 ;;
esac
""".replace("profile=debug\n", "profile=debug previous=\n", 1)

PIP = """#!/bin/sh
# Stands for pip: installs into a folder of the page, without dependencies, which the Python of the pages has.
set -eu
[ "$1" = install ] || { echo "pip $* is not known to tools/check-docs" >&2; exit 1; }
shift
exec "$DOCS_PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps --target "$DOCS_SITE" "$@"
"""


class Programs:
    """Programs that the pages use, and the stand-in that all their servers share."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.server = program("SERVER_BIN", "claude-switchboard")
        self.stand_in = program("STAND_IN_BIN", "messages-stand-in")
        claude = claude_program()
        self.bin = work / "bin"
        self.bin.mkdir()
        for name, target in (("claude-switchboard", self.server), ("messages-stand-in", self.stand_in), ("claude", claude)):
            (self.bin / name).symlink_to(target)
        for name, text in (("cargo", CARGO), ("pip", PIP)):
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        self.python = self.find_python()
        self.sections = set(tomllib.loads((ROOT / "src/config/default.toml").read_text()))
        self.upstream = ""
        self.process: subprocess.Popen[str] | None = None

    @staticmethod
    def find_python() -> Path:
        if named := os.environ.get("DOCS_PYTHON"):
            return Path(named).absolute()
        for venv in ("compat-venv", "docs-venv"):
            if (ROOT / f".cache/{venv}/stamp").exists():
                return ROOT / f".cache/{venv}/bin/python"
        venv_folder = ROOT / ".cache/docs-venv"
        print("check-docs: installing Python packages", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv_folder], check=True)
        subprocess.run([venv_folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--constraint",
                        ROOT / "compat-tests/python/requirements.lock", *PYTHON_PACKAGES], check=True)
        (venv_folder / "stamp").touch()
        return venv_folder / "bin/python"

    def start(self) -> None:
        """Starts the stand-in, which ends when its stdin closes and so cannot outlive this script."""
        self.process = subprocess.Popen([self.stand_in, "--quiet", "--exit-with-stdin", "--prompt-cache"], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"]})
        assert self.process.stdout is not None
        self.upstream = self.process.stdout.readline().strip().removeprefix("listening on ")

    def stop(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait(20)
