"""Endpoints that the client has no method for, by httpx2, which it brings along.

Messages and Message Batches are those of the official package `anthropic` too: Anthropic(base_url=..., api_key=...).
"""

import os
import time
from typing import Any

import httpx2

URL = os.environ.get("SWITCHBOARD_BASE_URL", "http://127.0.0.1:8080")
KEY = {"Authorization": f"Bearer {os.environ.get('SWITCHBOARD_API_KEY', 'unused')}"}
ANTHROPIC = {**KEY, "anthropic-version": "2023-06-01"}
MESSAGE = {"model": "haiku", "max_tokens": 100, "messages": [{"role": "user", "content": "Name a river."}]}
TIMEOUT_SECONDS = 300


def ask(method: str, path: str, headers: dict[str, str], body: object = None) -> httpx2.Response:
    """Sends a request; an error is raised with what the server says."""
    response = httpx2.request(method, URL + path, headers=headers, json=body, timeout=TIMEOUT_SECONDS)
    if response.is_error:
        raise SystemExit(f"error: {method} {path}: {response.text}")
    return response


def send(method: str, path: str, body: object = None, headers: dict[str, str] = KEY) -> dict[str, Any]:
    answer: dict[str, Any] = ask(method, path, headers, body).json()
    return answer


def show_the_server() -> None:
    """State and description; they need no key, except the metrics."""
    print(send("GET", "/")["name"], send("GET", "/health"), send("GET", "/ready")["status"])
    with httpx2.stream("GET", f"{URL}/health/stream?n=3") as response:
        print([line for line in response.iter_lines() if line])
    print(send("GET", "/openapi.json")["info"]["title"], send("GET", "/v1/models/haiku")["id"])
    print([len(ask("GET", path, KEY).content) for path in ("/docs", "/docs/docs.css", "/docs/docs.js")])
    if token := os.environ.get("METRICS_TOKEN"):
        print(ask("GET", "/metrics", {"Authorization": f"Bearer {token}"}).text.partition("\n")[0])


def ask_by_messages() -> None:
    """Anthropic's Messages, and several chat requests in one body."""
    prompt = {"model": MESSAGE["model"], "messages": MESSAGE["messages"]}
    print(send("POST", "/v1/messages/count_tokens", prompt, ANTHROPIC)["input_tokens"])
    print(send("POST", "/v1/messages", MESSAGE, ANTHROPIC)["content"][-1]["text"])
    requests = [{"model": "haiku", "max_tokens": 100, "prompt": f"Name a {thing}."} for thing in ("lake", "desert")]
    print(send("POST", "/v1/batch", {"requests": requests, "parallel": True})["total_cost"])


def run_message_batches() -> None:
    """A batch that is waited for, and one that is cancelled."""
    path = "/v1/messages/batches"
    body = {"requests": [{"custom_id": f"river-{number}", "params": MESSAGE} for number in range(10)]}
    batch = send("POST", path, {"requests": body["requests"][:2]}, ANTHROPIC)
    while batch["processing_status"] != "ended":
        time.sleep(0.5)
        batch = send("GET", f"{path}/{batch['id']}", headers=ANTHROPIC)
    print(ask("GET", f"{path}/{batch['id']}/results", ANTHROPIC).text.count("\n"), "results")
    print(send("DELETE", f"{path}/{batch['id']}", headers=ANTHROPIC)["type"])
    other = send("POST", path, body, ANTHROPIC)
    print(send("POST", f"{path}/{other['id']}/cancel", headers=ANTHROPIC)["processing_status"])
    print(len(send("GET", f"{path}?limit=5", headers=ANTHROPIC)["data"]))


def operate(key: str) -> None:
    """Checks, backups, cache and webhooks, for the operator of the server."""
    admin = {"Authorization": f"Bearer {key}"}
    print(send("GET", "/admin/doctor?quick=true", headers=admin)["status"])
    print([sign_in["name"] for sign_in in send("GET", "/admin/sign-ins", headers=admin)["data"]])
    print(send("GET", "/admin/cache", headers=admin)["hits"])
    print(send("DELETE", "/admin/cache?project_id=default", headers=admin)["cleared"])
    print(send("GET", "/admin/ledger/verify", headers=admin)["problems"])
    print(len(ask("GET", "/admin/ledger/backup", admin).content))
    print(send("GET", "/admin/store/verify", headers=admin)["records"])
    print(send("POST", "/admin/store/backup", headers=admin)["path"])
    print(len(send("GET", "/admin/dashboard/sessions", headers=admin)["data"]))
    if session := os.environ.get("SIGN_OUT"):
        send("DELETE", f"/admin/dashboard/sessions/{session}", headers=admin)
    if url := os.environ.get("WEBHOOK_URL"):
        project = send("POST", "/admin/projects", {"name": "webhook", "webhook": {"url": url}}, admin)["id"]
        print(send("POST", f"/admin/projects/{project}/webhook/test", headers=admin)["delivered"])
        send("DELETE", f"/admin/projects/{project}", headers=admin)


show_the_server()
ask_by_messages()
run_message_batches()
if "SWITCHBOARD_ADMIN_KEY" in os.environ:
    operate(os.environ["SWITCHBOARD_ADMIN_KEY"])
