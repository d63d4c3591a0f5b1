"""Installs clients, each into a separate folder below .cache/clients."""

import json
import platform
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

from catalogue import FOLDER, split_pin

ROOT = FOLDER.parent.parent
CACHE = ROOT / ".cache" / "clients"
# Oldest Node version for all clients, and the package that provides it where the machine's is older.
NODE_MAJOR = 22
NODE_VERSION = "24.21.0"
# Timeout of the installation of one client, in seconds.
INSTALL_SECONDS = 900


class InstallError(Exception):
    """Error with the last output of the package manager."""


def folder_of(client):
    return CACHE / client.slug


def install(client, until, newest):
    """Installs a client if necessary, without packages released after the day `until`, and returns its version."""
    folder = folder_of(client)
    requirements = client.requirements(newest)
    until = date.today().isoformat() if newest else until
    stamp = folder / "stamp.json"
    wanted = json.dumps([requirements, until, client.install_scripts, NODE_VERSION, sys.version_info[:2]])
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        by_registry = {"pypi": install_from_pypi, "npm": install_from_npm}
        by_registry[client.registry](client, requirements, None if newest else until)
        stamp.write_text(wanted)
    return installed_version(client)


def install_from_pypi(client, requirements, until):
    environment = folder_of(client) / "venv"
    run(uv(), "venv", "--quiet", "--python", sys.executable, environment)
    bound = ["--exclude-newer", f"{until}T00:00:00Z"] if until else []
    run(uv(), "pip", "install", "--quiet", "--python", environment / "bin" / "python", *bound, *requirements)


def install_from_npm(client, requirements, until):
    folder = folder_of(client)
    (folder / "package.json").write_text('{"private": true, "type": "module"}\n')
    bound = [f"--before={until}"] if until else []
    scripts = [] if client.install_scripts else ["--ignore-scripts"]
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    run(npm(), "install", "--prefix", folder, *scripts, *quiet, *bound, *requirements)


def installed_version(client):
    """Reads the version of the client's package from its files."""
    folder = folder_of(client)
    if client.registry == "npm":
        return json.loads((folder / "node_modules" / client.package / "package.json").read_text())["version"]
    ask = f"import importlib.metadata as m; print(m.version({split_pin(client.packages[0])[0]!r}))"
    return run(folder / "venv" / "bin" / "python", "-c", ask).strip()


def uv():
    """Returns the machine's uv, or the one of `prepare_tools`."""
    return shutil.which("uv") or str(CACHE / "uv" / "bin" / "uv")


def prepare_tools(clients):
    """Installs the required tools: uv, and a sufficiently new Node."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if any(client.registry == "pypi" for client in clients) and not Path(uv()).is_file():
        run(sys.executable, "-m", "venv", "--clear", CACHE / "uv")
        run(CACHE / "uv" / "bin" / "python", "-m", "pip", "install", "--quiet", "uv")
    if any(client.registry == "npm" for client in clients) and node_folder() is None:
        package = f"node-{platform.system().lower()}-{'arm64' if platform.machine() in ('arm64', 'aarch64') else 'x64'}"
        run(npm(), "install", "--prefix", CACHE / "node", "--no-audit", "--no-fund", "--loglevel=error",
            f"{package}@{NODE_VERSION}")
        if node_folder() is None:
            raise InstallError(f"{package} brings no Node {NODE_MAJOR} that runs here; install one")


def node_folder():
    """Returns the folder of a sufficiently new Node: the machine's, or that of `prepare_tools`; `None` without one."""
    candidates = [shutil.which("node"), *(CACHE / "node" / "node_modules").glob("node-*/bin/node")]
    for node in filter(None, candidates):
        major = run(node, "--print", "parseInt(process.versions.node)").strip()
        if int(major) >= NODE_MAJOR:
            return Path(node).parent
    return None


def npm():
    found = shutil.which("npm")
    if found is None:
        raise InstallError("npm was not found; install Node.js 22 or newer (https://nodejs.org)")
    return found


def run(*command):
    """Runs a command of an installation and returns its output."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False,
                              timeout=INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(str(error)) from error
    if done.returncode:
        raise InstallError((done.stderr or done.stdout).strip()[-2000:])
    return done.stdout
