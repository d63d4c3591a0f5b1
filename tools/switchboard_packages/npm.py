"""The npm packages: one for each platform with the binary, and one that finds and starts it."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from .error import PackageError
from .project import NAME, ROOT, description, repository, version
from .staging import Staging

TEMPLATE = ROOT / "packages" / "npm"
SCOPE = f"@{NAME}"


def build(staging: Staging, out: Path) -> list[Path]:
    """Writes the package of the binary's platform and the main package into `out`, as `npm pack` makes them."""
    if shutil.which("npm") is None:
        raise PackageError("npm was not found", "install Node.js 20 or newer (https://nodejs.org)")
    with tempfile.TemporaryDirectory() as folder:
        return [_pack(_platform_package(staging, Path(folder) / "platform"), out), _pack(_main_package(Path(folder) / "main"), out)]


def _platform_package(staging: Staging, folder: Path) -> Path:
    system, processor = staging.needs.node_platform.split("-")
    about = _about(f"{SCOPE}/{staging.needs.node_platform}", f"The program of {NAME} for {system} on {processor}")
    # `preferUnplugged`: a program inside of a zip file of Yarn could not be started.
    about |= {"os": [system], "cpu": [processor], "files": ["bin"], "preferUnplugged": True}
    if system == "linux":
        about["libc"] = ["glibc"]
    (folder / "bin").mkdir(parents=True)
    shutil.copy(staging.binary, folder / "bin" / NAME)
    text = f"# {about['name']}\n\nThe program of [{NAME}](https://www.npmjs.com/package/{NAME}); install that package.\n"
    return _complete(folder, about, text)


def _main_package(folder: Path) -> Path:
    shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("test", "node_modules"))
    about = json.loads((folder / "package.json").read_text()) | _about(NAME, description())
    about["optionalDependencies"] = dict.fromkeys(about["optionalDependencies"], version())
    return _complete(folder, about, (TEMPLATE / "README.md").read_text())


def _about(name: str, text: str) -> dict[str, Any]:
    about: dict[str, Any] = {"name": name, "version": version(), "description": text, "license": "MIT"}
    about["publishConfig"] = {"access": "public"}
    if repository():
        about["repository"] = {"type": "git", "url": f"git+{repository()}.git"}
    return about


def _complete(folder: Path, about: dict[str, Any], text: str) -> Path:
    about.pop("private", None)
    (folder / "package.json").write_text(json.dumps(about, indent=2) + "\n")
    (folder / "README.md").write_text(text)
    shutil.copy(ROOT / "LICENSE", folder)
    return folder


def _pack(folder: Path, out: Path) -> Path:
    command = ["npm", "pack", "--json", "--ignore-scripts", "--pack-destination", str(out)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PackageError(f"npm pack failed: {done.stderr.strip()}", "look at npm's message")
    # Newer versions of npm give an object by package, and older ones a list.
    packed = json.loads(done.stdout)
    entry = packed[0] if isinstance(packed, list) else next(iter(packed.values()))
    return out / str(entry["filename"]).replace("@", "").replace("/", "-")
