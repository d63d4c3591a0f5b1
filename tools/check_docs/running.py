"""One page with its folder, home and server, in which its blocks are run."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

from local_programs import ROOT, free_port

from .pages import Block, Page, Trouble, indented
from .programs import Programs

PAGE_SECONDS = 90
ADMIN_KEY = "sk-sb-admin-made-up-for-the-docs"
FOLDERS = ("/srv", "/etc/claude-switchboard", "/etc/prometheus", "/var/lib/claude-switchboard", "/var/log", "/mnt", "/run")

DRIVER = """
set -eo pipefail
begin() { printf 'begin %s\\n' "$1" >&9; exec >"$LOGS/$1.out" 2>&1; }
within() { for _ in $(seq 300); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; echo "error: $* did not succeed" >&2; return 1; }
trap 'status=$?; printf "end %s\\n" "$status" >&9' EXIT
"""


# Leaders of all process groups that were started, for the end of an interrupted run.
started: list[subprocess.Popen[bytes]] = []


def kill_all() -> None:
    """Kills every process group, so that the pages that run end at once."""
    for process in started.copy():
        if group_exists(process):
            os.killpg(process.pid, signal.SIGKILL)


class PageRun:
    """One page with its folder, home and server."""

    def __init__(self, programs: Programs, page: Page) -> None:
        self.programs, self.page = programs, page
        self.base = programs.work / re.sub(r"\W+", "-", page.name)
        self.home, self.logs, self.folder = self.base / "home", self.base / "logs", self.base / "folder"
        self.port = free_port()
        self.key = self.key_id = self.project_id = "none"
        self.processes: list[subprocess.Popen[bytes]] = []

    def prepare(self) -> None:
        for folder in (self.home / "site", self.logs, self.base / "tmp", self.base / "site"):
            folder.mkdir(parents=True)
        for name in (*FOLDERS, "/srv/work/site", "/srv/site", "/mnt/copies"):
            (self.base / "root" / name[1:]).mkdir(parents=True, exist_ok=True)
        if "errors" not in self.page.words:
            (self.home / ".curlrc").write_text("fail\nsilent\nshow-error\n")
        if "checkout" not in self.page.words:
            self.folder.mkdir()
            return
        listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                                capture_output=True, text=True)
        for path in filter(None, listed.stdout.split("\0")):
            source = ROOT / path
            if source.is_file():
                target = self.folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=False)
        (self.folder / ".cache").mkdir()
        if (ROOT / ".cache/cli").exists():
            (self.folder / ".cache/cli").symlink_to(ROOT / ".cache/cli")

    def variables(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items()
                if name.startswith(("PIP_", "npm_config_", "NPM_CONFIG_", "SSL_CERT", "NODE_EXTRA_CA", "REQUESTS_CA", "CURL_CA"))
                or name.lower() in ("http_proxy", "https_proxy", "no_proxy")}
        path = [self.programs.bin, self.home / ".cargo/bin", self.programs.python.parent, os.environ["PATH"]]
        return kept | {
            "PATH": os.pathsep.join(map(str, path)), "HOME": str(self.home), "TMPDIR": str(self.base / "tmp"), "LANG": "C.UTF-8",
            "TERM": "dumb", "NO_COLOR": "1", "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost",
            "LOGS": str(self.logs), "PORT": str(self.port), "SERVER_BIN": str(self.programs.server), "STAND_IN_BIN": str(self.programs.stand_in),
            "ANTHROPIC_API_KEY": "sk-made-up", "ANTHROPIC_BASE_URL": self.programs.upstream,
            "SWITCHBOARD_SERVER__LISTEN": f"127.0.0.1:{self.port}", "SWITCHBOARD_BASE_URL": f"http://127.0.0.1:{self.port}",
            "SWITCHBOARD_API_KEY": self.key, "SWITCHBOARD_ADMIN_KEY": ADMIN_KEY, "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": f"{self.base / 'site'}{os.pathsep}{ROOT / 'client/python/src'}",
            "DOCS_SITE": str(self.base / "site"), "DOCS_PYTHON": str(self.programs.python),
        }

    def ask(self, path: str, body: object = None) -> dict[str, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", json.dumps(body).encode() if body else None,
                                         {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            parsed: dict[str, str] = json.load(answer)
            return parsed

    def start_server(self) -> None:
        log = (self.logs / "server.out").open("wb")
        environment = self.variables() | {
            "SWITCHBOARD_METRICS__TOKEN": "a-made-up-metrics-token",
            "SWITCHBOARD_TASKS__ROOTS": json.dumps([str(self.base / "root/srv"), str(self.folder), str(self.home / "site")])}
        for name in ("SWITCHBOARD_API_KEY", "PYTHONPATH", "PORT"):
            del environment[name]
        self.add(subprocess.Popen([self.programs.server, "serve", "--max-workers", "2"], cwd=self.base, env=environment,
                                               stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True))
        deadline = time.monotonic() + 30
        while True:
            try:
                self.ask("/ready")
                break
            except (OSError, urllib.error.URLError):
                if time.monotonic() > deadline or self.processes[0].poll() is not None:
                    raise Trouble(f"{self.page.name}: the server did not start:\n{(self.logs / 'server.out').read_text()}") from None
                time.sleep(0.05)
        if "open" not in self.page.words:
            permissions = ["inference", "responses", "usage", "tasks"]
            self.key = self.ask("/admin/keys", {"name": "docs", "permissions": permissions})["key"]
            self.key_id = self.ask("/admin/keys", {"name": "spare"})["id"]
            self.project_id = self.ask("/admin/projects", {"name": "spare"})["id"]

    def adapted(self, text: str) -> str:
        root = self.base / "root"
        for old, new in (("https://switchboard.example.com", f"http://127.0.0.1:{self.port}"), ("sk-sb-admin-...", ADMIN_KEY),
                         ("sk-sb-...", self.key), ("sk-ant-...", "sk-made-up"), ("key_01kxyz...", self.key_id),
                         ("proj_01kxyz...", self.project_id), ("/path/to/", f"{ROOT}/")):
            text = text.replace(old, new)
        text = re.sub(r"(127\.0\.0\.1|localhost|0\.0\.0\.0):8080\b", rf"\1:{self.port}", text)
        return re.sub(rf"(?<![\w.\-/}}])({'|'.join(FOLDERS)})(?=[/\s\"'\]]|$)", lambda found: f"{root}{found[1]}", text)

    def script(self, blocks: list[Block]) -> str:
        lines = [DRIVER]
        for block in blocks:
            name = f"{block.line:04}"
            source = self.logs / f"{name}.{'py' if block.language == 'python' else 'sh'}"
            text = block.text
            if block.language == "console":
                text = "".join(f"{line[2:]}\n" for line in text.splitlines() if line.startswith("$ "))
            source.write_text(self.adapted(text))
            command = f'python3 "{source}"' if block.language == "python" else f'. "{source}"'
            if block.is_background:
                command = f'( {command} ) </dev/null &\nwithin curl --silent --fail "http://127.0.0.1:{self.port}/health"'
            lines.append(f"begin {name}\n{command}\n")
        return "".join(lines)

    def run(self) -> list[str]:
        """Runs the blocks, and returns what went wrong."""
        blocks = self.page.run_here()
        if not blocks:
            return []
        begun = time.monotonic()
        self.prepare()
        try:
            if "no server" not in self.page.words:
                self.start_server()
            return self.run_blocks(blocks)
        except Trouble as trouble:
            return [str(trouble)]
        finally:
            self.end()
            print(f"check-docs: {self.page.name}: {len(blocks)} blocks, {time.monotonic() - begun:.1f} s", file=sys.stderr)

    def run_blocks(self, blocks: list[Block]) -> list[str]:
        (self.logs / "page.sh").write_text(self.script(blocks))
        status_file = self.logs / "status"
        status_file.touch()
        shell = subprocess.Popen(["bash", "-c", f'exec 9>"{status_file}"; . "{self.logs}/page.sh"'], cwd=self.folder,
                                 env=self.variables(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, start_new_session=True)
        self.add(shell)
        is_late = False
        try:
            shell.wait(PAGE_SECONDS)
        except subprocess.TimeoutExpired:
            is_late = True
        words = [line.split() for line in status_file.read_text().splitlines()]
        begun = [int(value) for word, value in words if word == "begin"]
        code = next((int(value) for word, value in words if word == "end"), None)
        if code != 0 or is_late:
            line = begun[-1] if begun else 0
            output = self.output(line)
            end = f"after {PAGE_SECONDS} s" if is_late else f"with exit code {code}"
            return [f"{self.page.name}:{line}: the block ended {end}:\n{indented(output)}"]
        return [trouble for block in blocks if block.language == "console" for trouble in self.compare(block)]

    def output(self, line: int) -> str:
        file = self.logs / f"{line:04}.out"
        return file.read_text(errors="replace") if file.exists() else ""

    def compare(self, block: Block) -> list[str]:
        """Looks for the expected lines of a console block in its output, in their order."""
        lines = iter(self.output(block.line).splitlines())
        for expected in self.adapted(block.text).splitlines():
            if expected.startswith("$ ") or not expected.strip():
                continue
            pattern = re.escape(expected.strip()).replace(r"\.\.\.", ".*")
            pattern = re.sub(r"\d+", r"\\d+", re.sub(r"(\\ )+", r"\\s+", pattern))
            if not any(re.fullmatch(pattern, line.strip()) for line in lines):
                return [f"{self.page.name}:{block.line}: the output has no line `{expected}`:\n{indented(self.output(block.line))}"]
        return []

    def add(self, process: subprocess.Popen[bytes]) -> None:
        self.processes.append(process)
        started.append(process)

    def end(self) -> None:
        for process in reversed(self.processes):
            for kind in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, kind)
                except ProcessLookupError:
                    break
                deadline = time.monotonic() + 10
                while time.monotonic() < deadline and group_exists(process):
                    time.sleep(0.02)


def group_exists(process: subprocess.Popen[bytes]) -> bool:
    process.poll()
    try:
        os.killpg(process.pid, 0)
        return True
    except ProcessLookupError:
        return False
