"""The Debian package, from the list of files in Cargo.toml that cargo-deb reads too."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from .binary import Needs
from .error import PackageError
from .project import NAME, ROOT, description, manifest, release_time, version
from .staging import Staging, compress

# Packages of Debian with the libraries that a Rust program may need beside glibc.
LIBRARIES = {"libgcc_s.so.1": "libgcc-s1 (>= 4.2)"}
STAGED, BUILT = "target/staging/", f"target/release/{NAME}"
SCRIPTS = ("postinst", "prerm", "postrm")


def build(staging: Staging, out: Path, *, fast: bool) -> Path:
    """Writes the package into `out`."""
    if shutil.which("dpkg-deb") is None:
        raise PackageError("dpkg-deb was not found", "make the package on Debian or Ubuntu, or install dpkg")
    settings = manifest()["package"]["metadata"]["deb"]
    architecture = staging.needs.debian_architecture
    package = out / f"{NAME}_{version()}-1_{architecture}.deb"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        for source, target, mode in settings["assets"]:
            _install(staging, root, source, target, int(mode, 8))
        documents = root / "usr" / "share" / "doc" / NAME
        _write(documents / "copyright", copyright_text(settings), 0o644)
        _write(documents / "changelog.Debian.gz", compress((staging.folder / "changelog.Debian").read_bytes()), 0o644)
        _describe(root, settings, staging.needs)
        _set_times(root)
        command = ["dpkg-deb", "--root-owner-group", *(["-Zgzip", "-z1"] if fast else ["-Zxz"]), "--build", str(root), str(package)]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(release_time())}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return package


def sources(staging: Staging, pattern: str) -> list[Path]:
    """Returns the files of a source in the list, which is a path in the checkout or a made file."""
    if pattern == BUILT:
        return [staging.binary]
    folder, rest = (staging.folder, pattern.removeprefix(STAGED)) if pattern.startswith(STAGED) else (ROOT, pattern)
    found = sorted(folder.glob(rest))
    if not found:
        raise PackageError(f"{pattern} matches no file", "correct `assets` of [package.metadata.deb] in Cargo.toml")
    return found


def depends(settings: dict[str, Any], needs: Needs) -> str:
    """Returns the packages that the binary needs, in place of `$auto`, with those of the list."""
    unknown = [library for library in needs.libraries if library not in LIBRARIES]
    if unknown:
        raise PackageError(f"the binary needs {', '.join(unknown)}", "add the Debian package with it to LIBRARIES in deb.py")
    found = [f"libc6 (>= {needs.version[0]}.{needs.version[1]})", *(LIBRARIES[library] for library in needs.libraries)]
    return str(settings["depends"]).replace("$auto", ", ".join(found))


def copyright_text(settings: dict[str, Any]) -> bytes:
    """Returns the copyright file in Debian's machine-readable format."""
    holder, *terms = (ROOT / "LICENSE").read_text().split("\n\n", 2)[1:]
    body = "\n".join(f" {line}" if line else " ." for line in terms[0].rstrip().splitlines())
    return (
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
        f"Upstream-Name: {NAME}\nUpstream-Contact: {settings['maintainer']}\n\n"
        f"Files: *\nCopyright: {holder.removeprefix('Copyright (c) ')}\nLicense: Expat\n\nLicense: Expat\n{body}\n"
    ).encode()


def _install(staging: Staging, root: Path, source: str, target: str, mode: int) -> None:
    for path in sources(staging, source):
        destination = root / target / path.name if target.endswith("/") else root / target
        content = path.read_bytes()
        if "usr/share/man/" in target or (target.startswith("usr/share/doc/") and path.name == "CHANGELOG.md"):
            destination, content = destination.with_name(destination.name + ".gz"), compress(content)
        _write(destination, content, mode)


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def _describe(root: Path, settings: dict[str, Any], needs: Needs) -> None:
    """Writes DEBIAN/: control file, conffiles, checksums and maintainer scripts."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    sums = "".join(f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(root)}\n" for path in files)
    size = sum(path.stat().st_size for path in files) // 1024 + 1
    text = "\n".join(f" {line}" if line else " ." for line in settings["extended-description"].strip().splitlines())
    control = (
        f"Package: {NAME}\nVersion: {version()}-1\nArchitecture: {needs.debian_architecture}\n"
        f"Maintainer: {settings['maintainer']}\nInstalled-Size: {size}\nDepends: {depends(settings, needs)}\n"
        f"Recommends: {settings['recommends']}\nSection: {settings['section']}\nPriority: {settings['priority']}\n"
        f"Description: {description()}\n{text}\n"
    )
    about = root / "DEBIAN"
    _write(about / "control", control.encode(), 0o644)
    _write(about / "md5sums", sums.encode(), 0o644)
    _write(about / "conffiles", "".join(f"{path}\n" for path in settings["conf-files"]).encode(), 0o644)
    for name in SCRIPTS:
        _write(about / name, (ROOT / settings["maintainer-scripts"] / name).read_bytes(), 0o755)


def _set_times(root: Path) -> None:
    """Gives all files and folders one time and modes that do not depend on the umask."""
    for path in [root, *root.rglob("*")]:
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (release_time(), release_time()))
