"""Programs of the checks: found, installed, built, started and ended."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from local_programs import ROOT

DEPLOY = ROOT / "deploy"
NAME = "switchboard.example.com"
KEY = "a-made-up-key"


class CheckFailed(Exception):
    """A check that failed, in words for the operator."""


class Skipped(Exception):
    """A part that cannot be checked on this machine."""


def say(text: str) -> None:
    print(f"check-deploy: {text}", file=sys.stderr, flush=True)


def require(condition: bool, text: str) -> None:
    if not condition:
        raise CheckFailed(text)


def run(*command: str | Path, **options: str) -> str:
    """Runs a program and returns what it prints; its failure is a failed check."""
    done = subprocess.run(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, input=options.get("stdin"), check=False
    )
    require(done.returncode == 0, f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def wait_for(what: str, condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        require(time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)


def find_or_install(program: str, package: str) -> Path:
    """Finds a program, or installs its package by apt-get without starting its service."""
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = shutil.which(program, path=search)
    if not found:
        subprocess.run([ROOT / "tools/apt-install", package], check=False)
        found = shutil.which(program, path=search)
    if not found:
        raise Skipped(f"there is no {program}; install the package {package}")
    return Path(found)


class Programs:
    """Programs started for the checks; all are ended at the end, by their ids."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.started: list[subprocess.Popen[bytes]] = []
        for folder in ("home", "tmp"):
            (work / folder).mkdir()

    def __enter__(self) -> "Programs":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for program in reversed(self.started):
            program.terminate()
        for program in self.started:
            try:
                program.wait(20)
            except subprocess.TimeoutExpired:
                program.kill()

    def start(self, name: str, command: list[str | Path], **variables: str) -> Path:
        """Starts a program with an environment of its own, and returns the file of its output."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.work / "home"), "TMPDIR": str(self.work / "tmp"), "NO_PROXY": "127.0.0.1"}
        log = self.work / f"{name}.log"
        with log.open("wb") as output:
            program = subprocess.Popen([str(part) for part in command], env={**environment, **variables}, stdout=output, stderr=output)
        self.started.append(program)
        return log


def address_in(log: Path) -> str:
    found = re.search(r"listening on http://([0-9.:]+)|server listening.*address=([0-9.:]+)", log.read_text())
    return (found[1] or found[2]) if found else ""
