"""Webhook events, verified by the official SDK for Python."""

import http.server
import os
import threading

import httpx
import openai
import pytest
from conftest import BASE_URL, TIMEOUT

ADMIN_KEY = os.environ.get("ADMIN_KEY")


class Receiver(http.server.ThreadingHTTPServer):
    """Accepts and records every event."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.events = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/hook"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.events.append((body, dict(self.headers)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def receiver():
    with Receiver() as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        yield receiver
        receiver.shutdown()
        thread.join()


@pytest.fixture
def admin():
    if ADMIN_KEY is None:
        pytest.skip("ADMIN_KEY is not set")
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    with httpx.Client(base_url=BASE_URL.removesuffix("/v1"), headers=headers, timeout=TIMEOUT) as admin:
        yield admin


def test_webhook_signature_is_verified(admin, receiver, client):
    made = admin.post("/admin/projects", json={"name": "hooked", "webhook": {"url": receiver.url}}).json()
    tried = admin.post(f"/admin/projects/{made['id']}/webhook/test").json()
    assert (tried["delivered"], tried["status"], tried["error"]) == (True, 204, None)
    [(body, headers)] = receiver.events
    secret = made["webhook"]["secret"]
    event = client.webhooks.unwrap(body, headers, secret=secret)
    assert (event.type, event.object, event.id) == ("webhook.test", "event", tried["event_id"])
    assert abs(event.created_at - int(headers["webhook-timestamp"])) < 60

    for forged in [body.replace(b"test", b"text"), body + b" "]:
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.unwrap(forged, headers, secret=secret)
    other = admin.patch(f"/admin/projects/{made['id']}", json={"webhook": {"url": receiver.url}}).json()
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(body, headers, secret=other["webhook"]["secret"])
    assert admin.delete(f"/admin/projects/{made['id']}").json()["deleted"]
