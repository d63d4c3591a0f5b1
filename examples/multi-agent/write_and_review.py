#!/usr/bin/env python3
"""Three agents of claude-switchboard that do one job: a manager plans, a writer writes, a reviewer reviews.

    write_and_review.py --workspace /srv/work/site --job "Write a page about our opening hours"

Each agent is a task of /v1/tasks. When one has ended, its task is handed over to the next, which gets its report and works in
the same folder. All share the budget of the first, so together they cost at most --max-cost. What needs approval is decided by
`decide` below, not by a person. The answer of the reviewer ends the work or begins another round.

The exit status is 0 if the reviewer has approved, 3 if it has not, and 1 after an error. Python's standard library is
enough. README.md beside this file says how to set up the server, docs/api/tasks.md what the requests mean.
"""

import argparse
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

PROMPTS = Path(__file__).parent / "prompts"
# What each agent may do. The writer asks before it changes a file or runs a command.
ROLES = {
    "manager": {"preset": "read_only", "max_turns": 20},
    "writer": {
        "tools": {"allow": ["Read", "Glob", "Grep", "Write", "Edit", "Bash"]},
        "permission_mode": "default",
        "max_turns": 40,
    },
    "reviewer": {"preset": "read_only", "max_turns": 20},
}
# The server sends a comment every few seconds, so a silence of a minute is a lost connection.
SILENCE_SECONDS = 60
RETRY_SECONDS = 1
MAX_LOST_CONNECTIONS = 30


class Failed(Exception):
    """End of the work without a verdict; the text says why."""


class ApiError(Failed):
    """Refusal of a request by the server."""

    def __init__(self, status: int, error: dict) -> None:
        super().__init__(f"{error.get('code') or status}: {error.get('message')}")
        self.code = error.get("code")


class Server:
    """Requests to a claude-switchboard."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url.rstrip("/")
        self.headers = {"authorization": f"Bearer {key}"} if key else {}

    def open(self, method: str, path: str, body: dict | None = None, headers: dict | None = None):
        data = None if body is None else json.dumps(body).encode()
        headers = {**self.headers, **(headers or {}), "content-type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            return urllib.request.urlopen(request, timeout=SILENCE_SECONDS)
        except urllib.error.HTTPError as refusal:
            with refusal:
                text = refusal.read()
            try:
                error = json.loads(text)["error"]
            except (ValueError, KeyError, TypeError):
                error = {"message": text.decode(errors="replace")}
            raise ApiError(refusal.code, error) from None

    def call(self, method: str, path: str, body: dict | None = None) -> dict:
        with self.open(method, path, body) as response:
            return json.load(response)

    def events(self, task: str):
        """Yields the events of a task up to its end. A connection that breaks is opened again where it broke."""
        headers, lost = {}, 0
        while lost < MAX_LOST_CONNECTIONS:
            try:
                with self.open("GET", f"/v1/tasks/{task}/events", headers=headers) as response:
                    for line in response:
                        if not line.startswith(b"data: "):
                            continue
                        event = json.loads(line[len(b"data: ") :])
                        headers, lost = {"last-event-id": str(event["sequence_number"])}, 0
                        yield event
                        if event["type"] in ("complete", "error"):
                            return
            except (OSError, http.client.HTTPException) as error:
                print(f"the connection broke: {error}", file=sys.stderr)
            lost += 1
            time.sleep(RETRY_SECONDS)
        raise Failed(f"the events of {task} cannot be read")


def decide(request: dict, workspace: str) -> dict:
    """Decides on a permission request: files of the workspace may be written, hidden ones excepted, and nothing else."""
    tool, values = request["tool"], request["input"]
    if tool not in ("Write", "Edit", "NotebookEdit"):
        return {"decision": "deny", "message": f"{tool} is not allowed here. Do without it."}
    path = values.get("file_path") or values.get("notebook_path") or ""
    # Links are followed, so that none leads out of the workspace.
    relative = os.path.relpath(os.path.realpath(os.path.join(workspace, path)), workspace)
    if any(part.startswith(".") for part in Path(relative).parts):
        return {"decision": "deny", "message": "Only files of the workspace may be written, and no hidden ones."}
    return {"decision": "allow"}


class Team:
    """Tasks of one job, each a hand-over of the one before."""

    def __init__(self, server: Server, arguments: argparse.Namespace) -> None:
        self.server = server
        self.arguments = arguments
        self.begun = time.monotonic()
        self.tasks: list[str] = []

    def run(self) -> bool:
        """Lets the agents work, and returns true if the reviewer has approved."""
        self.work("manager")
        for _ in range(self.arguments.rounds):
            self.work("writer")
            if self.work("reviewer").lstrip().startswith("APPROVED"):
                return True
        return False

    def work(self, role: str) -> str:
        """Runs one agent to its end, and returns its result."""
        prompt = (self.arguments.prompts / f"{role}.txt").read_text()
        order = {"prompt": prompt.replace("{job}", self.arguments.job), **ROLES[role]}
        if self.arguments.model:
            order["model"] = self.arguments.model
        if self.tasks:
            # The budget is what the others have left, because none is asked for.
            task = self.server.call("POST", f"/v1/tasks/{self.tasks[-1]}/handover", order)
        else:
            order |= {"workspace": self.arguments.workspace, "max_budget_usd": self.arguments.max_cost}
            task = self.server.call("POST", "/v1/tasks", order)
        self.tasks.append(task["id"])
        for event in self.server.events(task["id"]):
            self.show(role, event)
            if event["type"] == "permission_request":
                self.answer(task, event)
        ended = self.server.call("GET", f"/v1/tasks/{task['id']}")
        if ended["status"] != "completed":
            error = ended["error"] or {"code": ended["status"], "message": "it was stopped"}
            raise Failed(f"the {role} has not completed its task: {error['code']}: {error['message']}")
        return ended["result"]

    def answer(self, task: dict, request: dict) -> None:
        path = f"/v1/tasks/{task['id']}/permissions/{request['request_id']}"
        try:
            self.server.call("POST", path, decide(request, task["workspace"]))
        except ApiError as refusal:
            # After a lost connection the event of a request comes that was answered before.
            if refusal.code != "permission_request_not_found":
                raise

    def show(self, role: str, event: dict) -> None:
        """Prints an event on the lane of its agent."""
        words = {
            "message": lambda: event["text"],
            "tool_use": lambda: f"{event['name']} {event['path'] or ''}",
            "permission_request": lambda: f"asks for {event['tool']}",
            "permission_resolved": lambda: event["decision"],
            "complete": lambda: event["status"],
            "error": lambda: f"{event['code']}: {event['message']}",
        }.get(event["type"])
        if words:
            lines = words().strip().splitlines() or [""]
            print(f"{time.monotonic() - self.begun:7.1f} s  {role:<8}  {lines[0][:100]}", flush=True)

    def report(self) -> None:
        """Prints what each task has cost, and what is left of the budget."""
        for task in self.tasks:
            shown = self.server.call("GET", f"/v1/tasks/{task}")
            cost = "unknown cost" if shown["cost_usd"] is None else f"{shown['cost_usd']:.4f} USD"
            print(f"{task}: {shown['status']}, {cost}")
            # A single task has no family.
            if shown["family"] and task == self.tasks[-1]:
                print(f"{shown['family']['left_usd']:.4f} USD of the budget are left")

    def stop(self) -> None:
        """Interrupts every task that runs."""
        try:
            if self.tasks:
                self.server.call("POST", f"/v1/tasks/{self.tasks[0]}/interrupt?cascade=true")
        except ApiError as refusal:
            # All have ended.
            if refusal.code != "task_over":
                raise


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", required=True, help="folder on the server, one of tasks.roots or under one")
    parser.add_argument("--job", required=True, help="what is to be done")
    parser.add_argument("--max-cost", default="0.50", metavar="USD", help="most that all agents may cost together (0.50)")
    parser.add_argument("--rounds", type=int, default=2, help="most reviews before the work ends (2)")
    parser.add_argument("--model", help="model of all agents; by default that of tasks.model")
    parser.add_argument("--prompts", type=Path, default=PROMPTS, help="folder with manager.txt, writer.txt and reviewer.txt")
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the server; its key is in SWITCHBOARD_API_KEY")
    return parser.parse_args()


def main() -> int:
    arguments = read_arguments()
    team = Team(Server(arguments.url, os.environ.get("SWITCHBOARD_API_KEY")), arguments)
    status = 1
    try:
        try:
            status = 0 if team.run() else 3
        finally:
            team.report()
    except (Failed, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted: the agents are stopped", file=sys.stderr)
        team.stop()
        status = 130
    print({0: "approved", 3: f"not approved after {arguments.rounds} rounds"}.get(status, "ended without a verdict"))
    return status


if __name__ == "__main__":
    sys.exit(main())
