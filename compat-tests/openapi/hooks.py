"""Hooks of Schemathesis: keys, ids of things that exist, plausible bodies, and a count of the answers.

Every fifth request keeps what Schemathesis has made up, so that unknown ids and odd bodies are sent as well.
"""

import atexit
import functools
import itertools
import json
import os
import threading
from collections import Counter

import requests
import schemathesis

SERVER = os.environ["BASE_URL"].removesuffix("/v1")
KEY = {"Authorization": f"Bearer {os.environ['API_KEY']}"}
ADMIN_KEY = {"Authorization": f"Bearer {os.environ['ADMIN_KEY']}"}
METRICS_TOKEN = {"Authorization": f"Bearer {os.environ['METRICS_TOKEN']}"}
# A webhook that answers: the stand-in, with 404.
WEBHOOK = f"{os.environ['STAND_IN_URL']}/webhook"
PATHS = requests.get(f"{SERVER}/openapi.json", timeout=30).json()["paths"]
LINE = {
    "custom_id": "one",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {"model": "haiku", "messages": [{"role": "user", "content": "Hi"}]},
}
# Requests that change or delete what they name, which must be a thing of their own.
CHANGING = {"DELETE", "PATCH", "POST", "PUT"}

counts = Counter()
numbers = itertools.count(1)
lock = threading.Lock()


def ask(method, path, headers=KEY, **body):
    answer = requests.request(method, SERVER + path, headers=headers, timeout=30, **body)
    answer.raise_for_status()
    return answer.json()


def new_file():
    form = {"purpose": (None, "batch"), "file": ("batch.jsonl", json.dumps(LINE) + "\n")}
    return ask("POST", "/v1/files", files=form)["id"]


def new_batch():
    body = {"input_file_id": new_file(), "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return ask("POST", "/v1/batches", json=body)["id"]


def new_message_batch():
    params = {"model": "haiku", "max_tokens": 16, "messages": [{"role": "user", "content": "Hi"}]}
    batch = ask("POST", "/v1/messages/batches", json={"requests": [{"custom_id": "one", "params": params}]})
    # Results, and deletion, want a batch that has ended.
    while batch["processing_status"] != "ended":
        batch = ask("GET", f"/v1/messages/batches/{batch['id']}")
    return batch["id"]


def new_response():
    return ask("POST", "/v1/responses", json={"model": "haiku", "input": "Hi", "background": True})["id"]


def new_conversation():
    items = [{"role": "user", "content": "Hi"}]
    return ask("POST", "/v1/conversations", json={"items": items})["id"]


def new_session():
    return ask("POST", "/v1/sessions", json={"model": "haiku"})["id"]


def new_key():
    return ask("POST", "/admin/keys", ADMIN_KEY, json={"name": "schemathesis"})["id"]


def new_project():
    body = {"name": "schemathesis", "webhook": {"url": WEBHOOK}}
    return ask("POST", "/admin/projects", ADMIN_KEY, json=body)["id"]


MAKERS = {
    "/v1/messages/batches/": new_message_batch,
    "/v1/batches/": new_batch,
    "/v1/files/": new_file,
    "/v1/responses/": new_response,
    "/v1/conversations/": new_conversation,
    "/v1/sessions/": new_session,
    "/v1/models/": lambda: "haiku",
    "/admin/keys/": new_key,
    "/admin/projects/": new_project,
}


@functools.cache
def shared(make):
    """Returns a thing that requests only read."""
    return make()


def thing(path, method):
    """Returns the parameters of a path that names a thing, or nothing."""
    make = next((make for prefix, make in MAKERS.items() if path.startswith(prefix + "{")), None)
    if make is None:
        return {}
    found = {"id": make() if method in CHANGING else shared(make)}
    if "{item}" in path:
        items = ask("GET", f"/v1/conversations/{found['id']}/items")
        found["item"] = items["data"][0]["id"]
    return found


def plausible(operation, drawn, number):
    """Returns the example of the document with up to two of the fields that were drawn."""
    content = PATHS[operation.path][operation.method.lower()].get("requestBody", {}).get("content", {})
    example = content.get("application/json", {}).get("example")
    if example is None or not isinstance(drawn, dict):
        return drawn
    others = sorted(set(drawn) - set(example))
    chosen = [others[(number + index) % len(others)] for index in range(min(2, len(others)))]
    body = {**example, **{name: drawn[name] for name in chosen}}
    if operation.path == "/v1/batches":
        body["input_file_id"] = new_file()
    return body


@schemathesis.hook
def before_call(ctx, case, kwargs):
    operation = case.operation
    key = ADMIN_KEY if operation.path.startswith("/admin/") else KEY
    if operation.path == "/metrics":
        key = METRICS_TOKEN
    headers = {name: value for name, value in (case.headers or {}).items() if name.lower() != "x-api-key"}
    case.headers = {**headers, **key}
    with lock:
        number = next(numbers)
    if number % 5 == 0:
        return
    case.path_parameters = {**(case.path_parameters or {}), **thing(operation.path, operation.method.upper())}
    case.body = plausible(operation, case.body, number)


@schemathesis.hook
def after_call(ctx, case, response):
    with lock:
        counts[f"{response.status_code}"] += 1
        counts[f"{case.operation.label} {response.status_code}"] += 1


@atexit.register
def write_counts():
    with open(os.environ["COUNTS"], "w") as file:
        json.dump(counts, file, indent=1, sort_keys=True)
