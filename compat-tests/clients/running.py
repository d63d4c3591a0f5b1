"""Runs the script of a client against the server and collects the results of its checks."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import installing
from catalogue import COLUMNS, SCRIPTS

# Prefix of each result line of a script.
MARK = "CHECK "
# Timeout of all checks of a client, in seconds.
SCRIPT_SECONDS = 600
# Number of output characters at the end of a failure report.
TAIL = 3000
# Telemetry and updates are off, so that clients call this server only.
QUIET = {
    "DO_NOT_TRACK": "1",
    "ANONYMIZED_TELEMETRY": "false",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "OTEL_SDK_DISABLED": "true",
    "HF_HUB_OFFLINE": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "NO_COLOR": "1",
}


@dataclass
class Result:
    """Results of the checks of a client."""

    client: object
    version: str = ""
    # By check: "" if it passed, else the reason of the failure.
    checks: dict[str, str] = field(default_factory=dict)
    # Requests of the client answered with a 4xx, from the server's log.
    refusals: list[str] = field(default_factory=list)
    # Reason why no check was run.
    broken: str = ""
    seconds: float = 0

    def faults(self):
        """Returns the failures of the client and the mistakes in its entry of the list."""
        if self.broken:
            return [self.broken]
        known = self.client.fails
        failed = {name: reason for name, reason in self.checks.items() if reason}
        faults = [f"{name}: {reason}" for name, reason in failed.items() if name not in known]
        faults += [f"refused: {line}" for line in self.refusals if not line.startswith(tuple(self.client.refused))]
        passed = [name for name in known if not self.checks.get(name, "")]
        return faults + [f"{name}: is listed under `fails`, and did not fail" for name in passed]


@dataclass(frozen=True)
class Server:
    """Server under test: its address, admin API and log."""

    base_url: str
    admin_key: str
    # Log of the server, with a JSON object on each line.
    log: Path
    stand_in: str

    @property
    def root(self):
        return self.base_url.removesuffix("/v1")

    def make_key(self, name):
        """Creates a key for a client; returns the caller's name in the log, and the key."""
        answer = self.ask("POST", "/admin/keys", {"name": name})
        return answer["id"], answer["key"]

    def ask(self, method, path, body=None):
        headers = {"authorization": f"Bearer {self.admin_key}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.root + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    def refusals(self, caller, key):
        """Returns a caller's requests that were answered with a 4xx or an error in the stream, from the log."""
        found = []
        for line in self.log_after(key).splitlines():
            if f'"{caller}"' not in line:
                continue
            entry = json.loads(line)
            is_refused = 400 <= (entry.get("status") or 0) < 500 or entry.get("end") == "failed"
            if entry.get("target") == "access" and is_refused:
                found.append(f"{entry['status']} {entry['method']} {entry['path']}: {entry.get('error', '')}")
        return found

    def log_after(self, key):
        """Returns the log after a marker request, whose line follows those of all finished requests."""
        request = urllib.request.Request(f"{self.base_url}/models", headers={"authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=30) as response:
            last = response.headers["x-request-id"]
        deadline = time.monotonic() + 5
        while last not in (log := self.log.read_text(errors="replace")) and time.monotonic() < deadline:
            time.sleep(0.02)
        return log


def try_client(client, server, version):
    """Runs the script of an installed client in a separate home and folder."""
    started = time.monotonic()
    caller, key = server.make_key(client.slug)
    home = Path(tempfile.mkdtemp(prefix=f"{client.slug}-", dir=os.environ.get("WORK_DIR")))
    try:
        output, status = run_script(client, server, key, home)
    finally:
        end_strays(home)
        shutil.rmtree(home)
    result = Result(client, version, read_checks(output), server.refusals(caller, key))
    result.seconds = time.monotonic() - started
    if status or not result.checks:
        said = "took too long" if status is None else f"ended with status {status}"
        result.broken = f"the script {said}; its output ends with:\n{output[-TAIL:]}"
    return result


def run_script(client, server, key, home):
    """Returns the output of the script and its status, or `None` if it timed out."""
    for name in ("home", "work", "tmp"):
        (home / name).mkdir()
    environment = QUIET | {
        "PATH": os.pathsep.join(str(folder) for folder in path_of(client)),
        "HOME": str(home / "home"),
        "TMPDIR": str(home / "tmp"),
        "LANG": "C.UTF-8",
        "NO_PROXY": "127.0.0.1",
        "BASE_URL": server.base_url,
        "ROOT_URL": server.root,
        "API_KEY": key,
        "STAND_IN_URL": server.stand_in,
        "RECIPES": str(installing.ROOT / "docs" / "recipes"),
    }
    log = home / "output"
    with log.open("wb") as output:
        process = subprocess.Popen(command_of(client), cwd=home / "work", env=environment, start_new_session=True,
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            status = process.wait(SCRIPT_SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        end_group(process.pid)
        process.wait()
    return log.read_text(errors="replace"), status


def end_group(group):
    """Kills the remaining processes of the script's process group."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def end_strays(home):
    """Kills remaining processes outside of the group, such as daemons, found by the script's home in their environment."""
    strays = [environ.parent for environ in Path("/proc").glob("[0-9]*/environ") if holds(environ, home)]
    for stray in strays:
        try:
            os.kill(int(stray.name), signal.SIGKILL)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + 10
    while any(holds(stray / "environ", home) for stray in strays) and time.monotonic() < deadline:
        time.sleep(0.02)


def holds(environ, home):
    try:
        return bytes(home) in environ.read_bytes()
    except OSError:  # the process is gone or belongs to another user
        return False


def path_of(client):
    folder = installing.folder_of(client)
    own = folder / "node_modules" / ".bin" if client.registry == "npm" else folder / "venv" / "bin"
    node = [installing.node_folder()] if client.registry == "npm" else []
    return [own, *node, *os.environ["PATH"].split(os.pathsep)]


def command_of(client):
    if client.registry == "pypi":
        return [installing.folder_of(client) / "venv" / "bin" / "python", SCRIPTS / client.script]
    # Node looks for packages beside the file that imports them.
    folder = installing.folder_of(client)
    for name in ("checks.mjs", client.script):
        shutil.copyfile(SCRIPTS / name, folder / name)
    return [installing.node_folder() / "node", folder / client.script]


def read_checks(output):
    """Parses the results of a script's output, those with a table column first."""
    lines = [json.loads(line.removeprefix(MARK)) for line in output.splitlines() if line.startswith(MARK)]
    checks = {line["name"]: line["fault"] for line in lines}
    first = {name: checks[name] for name in COLUMNS if name in checks}
    return first | checks
