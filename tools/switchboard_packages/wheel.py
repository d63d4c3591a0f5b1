"""The wheel `claude-switchboard-server`, which carries the binary as a script of its environment."""

import base64
import hashlib
import io
import time
import zipfile
from pathlib import Path

from .project import NAME, ROOT, description, release_time, version
from .staging import Staging

DISTRIBUTION = "claude_switchboard_server"
README = ROOT / "packages" / "wheel" / "README.md"


def build(staging: Staging, out: Path, *, fast: bool) -> Path:
    """Writes the wheel into `out`."""
    tag = f"py3-none-{staging.needs.wheel_platform}"
    about, data = f"{DISTRIBUTION}-{version()}.dist-info", f"{DISTRIBUTION}-{version()}.data"
    # Pip runs no code of the package: it puts scripts and data where the environment has them.
    files = {f"{data}/scripts/{NAME}": (staging.binary.read_bytes(), 0o755)}
    for page in staging.pages():
        files[f"{data}/data/share/man/man1/{page.name}"] = (page.read_bytes(), 0o644)
    files[f"{about}/licenses/LICENSE"] = ((ROOT / "LICENSE").read_bytes(), 0o644)
    files[f"{about}/METADATA"] = (metadata().encode(), 0o644)
    files[f"{about}/WHEEL"] = (f"Wheel-Version: 1.0\nGenerator: {NAME}\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(), 0o644)
    record = "".join(f"{name},sha256={_digest(content)},{len(content)}\n" for name, (content, _) in files.items())
    files[f"{about}/RECORD"] = (f"{record}{about}/RECORD,,\n".encode(), 0o644)

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1 if fast else 9) as archive:
        for name, (content, mode) in files.items():
            # Zip has no earlier year than 1980.
            entry = zipfile.ZipInfo(name, time.gmtime(max(release_time(), 315532800))[:6])
            entry.create_system, entry.external_attr = 3, (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content, compresslevel=1 if fast else 9)
    path = out / f"{DISTRIBUTION}-{version()}-{tag}.whl"
    path.write_bytes(packed.getvalue())
    return path


def metadata() -> str:
    """Returns the metadata of the distribution, version 2.4 of the format."""
    return (
        f"Metadata-Version: 2.4\nName: {DISTRIBUTION.replace('_', '-')}\nVersion: {version()}\nSummary: {description()}\n"
        "License-Expression: MIT\nLicense-File: LICENSE\nKeywords: claude,anthropic,openai,llm,server\n"
        "Classifier: Development Status :: 4 - Beta\nClassifier: Intended Audience :: Developers\n"
        "Classifier: Operating System :: POSIX :: Linux\nClassifier: Operating System :: MacOS\n"
        "Classifier: Programming Language :: Rust\nRequires-Python: >=3.8\n"
        f"Description-Content-Type: text/markdown\n\n{README.read_text()}"
    )


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
