"""The files that are made for packages: stripped binary, manual pages, completions, configuration, unit."""

import gzip
import re
import shutil
import subprocess
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from .binary import Needs, read_needs
from .error import PackageError
from .project import NAME, ROOT, manifest, release_time, version

SHELLS = {"bash": NAME, "zsh": f"_{NAME}", "fish": f"{NAME}.fish"}
UNIT = ROOT / "deploy" / "systemd" / f"{NAME}.service"
# Where the unit of deploy/ expects a program that was installed by hand, and where packages put it.
BY_HAND, PACKAGED = f"/usr/local/bin/{NAME}", f"/usr/bin/{NAME}"
CONFIGURATION = f"""\
# Configuration of {NAME}. Every setting is here with its default; remove the # of a line to change it, then
#   {NAME} check-config --config /etc/{NAME}/config.toml
#   systemctl restart {NAME}
"""


@dataclass(frozen=True)
class Staging:
    """Folder with made files, and the binary that made them."""

    folder: Path
    needs: Needs

    @property
    def binary(self) -> Path:
        """Stripped binary, under its own name."""
        return self.folder / NAME

    def pages(self) -> list[Path]:
        """Manual pages, of all commands."""
        return sorted((self.folder / "man").iterdir())


def stage(binary: Path, folder: Path) -> Staging:
    """Makes the files in `folder`, by means of `binary`, which has to run on this machine."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    staging = Staging(folder, read_needs(binary))
    shutil.copyfile(binary, staging.binary)
    staging.binary.chmod(0o755)
    _strip(staging)
    found = _run(staging, "--version").split()
    if found != [NAME, version()]:
        raise PackageError(f"the binary is {' '.join(found)}, and Cargo.toml says {version()}", "build it again")
    (folder / "man").mkdir()
    _run(staging, "man", "--dir", str(folder / "man"))
    (folder / "completions").mkdir()
    for shell, name in SHELLS.items():
        (folder / "completions" / name).write_text(_run(staging, "completions", shell))
    defaults = (ROOT / "src" / "config" / "default.toml").read_text()
    (folder / "config.toml").write_text(commented(defaults))
    (folder / UNIT.name).write_text(packaged_unit(UNIT.read_text()))
    (folder / "changelog.Debian").write_text(debian_changelog())
    return staging


def commented(defaults: str) -> str:
    """Returns a configuration without effect: each key of `defaults` is a comment, and the headers of tables stay."""
    lines = defaults.splitlines()
    # The comment at the top speaks of the defaults themselves.
    first = next(index for index, line in enumerate(lines) if not line.startswith("#"))
    kept = [line if re.match(r"#|\[[^\[]|$", line) else f"#{line}" for line in lines[first:]]
    return CONFIGURATION + "\n".join(kept) + "\n"


def packaged_unit(text: str) -> str:
    """Returns the unit for a program in /usr/bin, without the comment about an installation by hand."""
    lines = text.splitlines()
    start = lines.index("[Unit]")
    unit = "\n".join(lines[start:]) + "\n"
    if BY_HAND not in unit and PACKAGED not in unit:
        raise PackageError(f"{UNIT} starts neither {BY_HAND} nor {PACKAGED}", "correct its ExecStart=")
    head = f"# {NAME} as a service. Change it by `systemctl edit {NAME}`; /usr/share/doc/{NAME}/README.Debian has the first steps.\n\n"
    return head + unit.replace(BY_HAND, PACKAGED)


def debian_changelog() -> str:
    """Returns the changelog of the Debian package, whose one entry points to that of the program."""
    maintainer = manifest()["package"]["metadata"]["deb"]["maintainer"]
    date = formatdate(release_time(), localtime=False).replace("-0000", "+0000")
    change = f"Version {version()}; changelog.gz beside this file has the changes."
    return f"{NAME} ({version()}-1) stable; urgency=medium\n\n  * {change}\n\n -- {maintainer}  {date}\n"


def compress(content: bytes) -> bytes:
    """Compresses a document as Debian wants it: without a name and a time."""
    return gzip.compress(content, 9, mtime=0)


def _strip(staging: Staging) -> None:
    if shutil.which("strip") is None:
        raise PackageError("strip was not found", "install binutils, or the command line tools of Xcode")
    subprocess.run(["strip", str(staging.binary)], check=True)
    if staging.needs.system == "macos":
        # A changed program has to be signed again before it runs on an ARM Mac.
        subprocess.run(["codesign", "--force", "--sign", "-", str(staging.binary)], check=True)


def _run(staging: Staging, *arguments: str) -> str:
    command = [str(staging.binary), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except OSError as error:
        raise PackageError(f"the binary does not run here: {error}", "make packages on a machine of its own kind") from error
    except subprocess.CalledProcessError as error:
        raise PackageError(f"`{' '.join(command)}` failed: {error.stderr}", "build the binary again") from error
