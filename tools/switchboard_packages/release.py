"""What belongs to all packages of a release: checksums, the Homebrew formula, the check of the tag."""

import hashlib
import os
import re
from pathlib import Path

from .archive import archive_name
from .error import PackageError
from .project import NAME, ROOT, changes, description, repository, version

SUMS = "SHA256SUMS"
FORMULA = ROOT / "packages" / "homebrew" / f"{NAME}.rb.in"


def write_checksums(out: Path) -> Path:
    """Writes SHA256SUMS of all files in `out`, in the format that `sha256sum --check` reads."""
    files = sorted(path for path in out.iterdir() if path.is_file() and path.name != SUMS)
    if not files:
        raise PackageError(f"{out} is empty", "make the packages first: tools/package all")
    (out / SUMS).write_text("".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files))
    return out / SUMS


def write_formula(out: Path) -> Path:
    """Fills the Homebrew formula from SHA256SUMS."""
    base = os.environ.get("DOWNLOAD_URL", "").rstrip("/")
    if not base or not repository():
        raise PackageError(
            "the formula needs addresses",
            "set REPOSITORY_URL=https://HOST/OWNER/NAME and DOWNLOAD_URL=, the folder of this release's files",
        )
    lines = (out / SUMS).read_text().splitlines() if (out / SUMS).exists() else []
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    values = {"VERSION": version(), "DESCRIPTION": description(), "HOMEPAGE": repository()}
    for target in re.findall(r"@URL:([a-z0-9_-]+)@", FORMULA.read_text()):
        archive = archive_name(target)
        if archive not in sums:
            raise PackageError(f"{SUMS} has no {archive}", "put the archives of all targets into the folder, then run tools/package checksums")
        values |= {f"URL:{target}": f"{base}/{archive}", f"SHA256:{target}": sums[archive]}
    text = re.sub(r"@([A-Z0-9]+(?::[a-z0-9_-]+)?)@", lambda found: values[found[1]], FORMULA.read_text())
    path = out / f"{NAME}.rb"
    path.write_text(text)
    return path


def check_tag(tag: str, out: Path) -> Path:
    """Checks that a tag is that of this version, and writes the notes of the release."""
    if tag != f"v{version()}":
        raise PackageError(f"the tag {tag} is not v{version()}", "set the version in Cargo.toml first, or another tag")
    path = out / "release-notes.md"
    path.write_text(changes(version()))
    return path
