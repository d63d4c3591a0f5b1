"""The WebSockets of the server, which curl cannot speak: /v1/stream, /v1/responses and /v1/tasks/{id}/ws.

Needs `pip install websockets`. The last one wants WORKSPACE, as tasks.py, and is left out without it.
"""

import json
import os
from typing import Any

from claude_switchboard import Switchboard
from websockets.sync.client import ClientConnection, connect

HTTP = os.environ.get("SWITCHBOARD_BASE_URL", "http://127.0.0.1:8080").rstrip("/")
ADDRESS = "ws" + HTTP.removeprefix("http")
HEADERS = {"Authorization": f"Bearer {os.environ.get('SWITCHBOARD_API_KEY', 'unused')}"}
MAX_TOKENS = 100
MAX_USD = "0.10"
PROMPT = os.environ.get("PROMPT", "Run the command `touch done.txt` with the tool Bash, and say when it is done.")


def opened(path: str) -> ClientConnection:
    return connect(ADDRESS + path, additional_headers=HEADERS)


def receive(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(socket.recv())
    if message["type"] == "error":
        raise SystemExit(f"error: {message['error']['message']}")
    return message


def ask_two_questions_at_once() -> None:
    """Two turns over one connection; `id` tells whose each piece is."""
    with opened("/v1/stream") as socket:
        questions = {"river": "Name a river.", "lake": "Name a lake."}
        for name, text in questions.items():
            message = {"role": "user", "content": text}
            chat = {"type": "chat", "id": name, "model": "haiku", "max_tokens": MAX_TOKENS, "messages": [message]}
            socket.send(json.dumps(chat))
        answers = dict.fromkeys(questions, "")
        ended: set[str] = set()
        while ended < questions.keys():
            message = receive(socket)
            if message["type"] == "token":
                answers[message["id"]] += message["content"]
            elif message["type"] == "done":
                ended.add(message["id"])
        print(answers)


def continue_a_response() -> None:
    """Responses one after the other, the second in the conversation of the first."""
    with opened("/v1/responses") as socket:
        previous = None
        for text in ("Name a river.", "And another one."):
            request = {"type": "response.create", "model": "haiku", "max_output_tokens": MAX_TOKENS, "input": text}
            socket.send(json.dumps(request | ({"previous_response_id": previous} if previous else {})))
            while (event := receive(socket))["type"] not in ("response.completed", "response.incomplete"):
                if event["type"] == "response.output_text.delta":
                    print(event["delta"], end="", flush=True)
            print()
            previous = event["response"]["id"]


def follow_a_task(workspace: str) -> None:
    """Events of a task, and the answer to what its agent asks."""
    with Switchboard() as client:
        task = client.tasks.create(
            PROMPT,
            workspace,
            model="haiku",
            tools={"allow": ["Bash"]},
            permission_mode="default",
            max_turns=5,
            max_budget_usd=MAX_USD,
        )
        with opened(f"/v1/tasks/{task.id}/ws") as socket:
            # The server closes the connection after the last event.
            for text in socket:
                event = json.loads(text)
                print(event["type"])
                if event["type"] == "permission_request":
                    answer = {"type": "permission", "request_id": event["request_id"], "decision": "allow"}
                    socket.send(json.dumps(answer))
        client.tasks.delete(task.id)


ask_two_questions_at_once()
continue_a_response()
if "WORKSPACE" in os.environ:
    follow_a_task(os.environ["WORKSPACE"])
