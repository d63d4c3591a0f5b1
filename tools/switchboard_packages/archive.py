"""The archive of one target: binary, manual pages, completions, licence. The Homebrew formula loads it."""

import gzip
import io
import tarfile
from pathlib import Path

from .project import NAME, ROOT, release_time, version
from .staging import Staging


def archive_name(target: str) -> str:
    """Returns the name of the archive for a target of Rust."""
    return f"{NAME}-{version()}-{target}.tar.gz"


def build(staging: Staging, out: Path, *, fast: bool) -> Path:
    """Writes the archive into `out`."""
    top = f"{NAME}-{version()}-{staging.needs.target}"
    files = [(staging.binary, NAME, 0o755)]
    files += [(page, f"man/{page.name}", 0o644) for page in staging.pages()]
    files += [(path, f"completions/{path.name}", 0o644) for path in sorted((staging.folder / "completions").iterdir())]
    files += [(ROOT / name, name, 0o644) for name in ("LICENSE", "README.md", "CHANGELOG.md")]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, name, mode in files:
            content = path.read_bytes()
            entry = tarfile.TarInfo(f"{top}/{name}")
            entry.size, entry.mode, entry.mtime = len(content), mode, release_time()
            archive.addfile(entry, io.BytesIO(content))
    path = out / archive_name(staging.needs.target)
    path.write_bytes(gzip.compress(packed.getvalue(), 1 if fast else 9, mtime=0))
    return path
