"""Server with an API like OpenAI's for embeddings, moderations, audio and images, whose answers are always the same."""

from __future__ import annotations

import base64
import json
import struct
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODELS = {
    "text-embedding-3-small": "input 0.02",
    "omni-moderation-latest": "free",
    "tts-1": "characters 15",
    "whisper-1": "minute 0.006",
    "gpt-image-1": "input 5, output 40",
    "dall-e-2": "image 0.016",
}
# Fields without which a request is refused.
FIELDS = {
    "/v1/embeddings": ("model", "input"),
    "/v1/moderations": ("model", "input"),
    "/v1/audio/speech": ("model", "input", "voice"),
    "/v1/audio/transcriptions": ("model", "file"),
    "/v1/audio/translations": ("model", "file"),
    "/v1/images/generations": ("model", "prompt"),
    "/v1/images/edits": ("model", "prompt", "image"),
    "/v1/images/variations": ("model", "image"),
}
VECTOR = (0.25, -0.5, 1.0)
SPEECH = b"ID3 made-up audio"
PICTURE = b"\x89PNG made-up picture"


class ScriptedHandler(BaseHTTPRequestHandler):
    """Handler of the endpoints; a request without a field that it needs is refused."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        fields = FIELDS.get(self.path)
        if fields is None:
            self.answer_json({"error": {"message": "no such path"}}, 404)
        elif missing := [field for field in fields if not self.has_field(body, field)]:
            self.answer_json({"error": {"message": f"missing: {missing}"}}, 400)
        elif self.path == "/v1/audio/speech":
            self.answer(SPEECH, "audio/mpeg")
        else:
            self.answer_json(scripted_answer(self.path, body))

    def has_field(self, body: bytes, field: str) -> bool:
        if self.headers["content-type"].startswith("multipart/form-data"):
            return f'name="{field}"'.encode() in body
        return field in json.loads(body)

    def answer_json(self, value: object, status: int = 200) -> None:
        self.answer(json.dumps(value).encode(), "application/json", status)

    def answer(self, body: bytes, content_type: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def scripted_answer(path: str, body: bytes) -> dict[str, object]:
    """JSON of an endpoint."""
    if path == "/v1/embeddings":
        return embeddings(json.loads(body))
    if path == "/v1/moderations":
        result = {"flagged": False, "categories": {}, "category_scores": {}, "category_applied_input_types": {}}
        return {"id": "modr-1", "model": "omni-moderation-latest", "results": [result]}
    if path.startswith("/v1/audio/"):
        return {"text": "The Danube is long.", "usage": {"type": "duration", "seconds": 2}}
    usage = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    return {"created": 1, "data": [{"b64_json": base64.b64encode(PICTURE).decode()}], "usage": usage}


def embeddings(request: dict[str, object]) -> dict[str, object]:
    """The same vector for each text; as base64 if the request wants it."""
    texts = request["input"] if isinstance(request["input"], list) else [request["input"]]
    as_base64 = request.get("encoding_format") == "base64"
    vector = base64.b64encode(struct.pack(f"<{len(VECTOR)}f", *VECTOR)).decode() if as_base64 else VECTOR
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(texts))]
    usage = {"prompt_tokens": 3 * len(texts), "total_tokens": 3 * len(texts)}
    return {"object": "list", "data": data, "model": request["model"], "usage": usage}


@contextmanager
def scripted_upstream() -> Generator[str, None, None]:
    """Server on a thread of its own until the end of the block; gives the setting `upstreams` that names it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), ScriptedHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        models = ", ".join(f'"{name}" = "{price}"' for name, price in MODELS.items())
        yield (
            f'{{ scripted = {{ base_url = "http://127.0.0.1:{server.server_port}/v1", '
            f'endpoints = ["embeddings", "moderations", "audio", "images"], models = {{ {models} }} }} }}'
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
