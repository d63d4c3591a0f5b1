"""Requests of clients, directly or through nginx with TLS."""

import http.client
import json
import socket
import ssl

from deploy_checks.running import KEY, NAME


def connect(address: str, context: ssl.SSLContext | None, source: str = "127.0.0.1") -> socket.socket:
    host, port = address.rsplit(":", 1)
    plain = socket.create_connection((host, int(port)), timeout=60, source_address=(source, 0))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname=NAME) if context else plain


def open_request(
    address: str, context: ssl.SSLContext | None, method: str, path: str, body: bytes | None = None, source: str = "127.0.0.1", **headers: str
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(NAME)
    connection.sock = connect(address, context, source)
    sent = {"Authorization": f"Bearer {KEY}", "Connection": "close", **headers}
    connection.request(method, path, body, sent)
    return connection.getresponse()


def ask(
    address: str, context: ssl.SSLContext | None, method: str, path: str, body: bytes | None = None, source: str = "127.0.0.1", **headers: str
) -> tuple[int, bytes]:
    """Sends a request and returns status and body; status 0 if nobody answers."""
    try:
        answer = open_request(address, context, method, path, body, source, **headers)
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error).encode()


def chat(prompt: str, stream: bool) -> bytes:
    return json.dumps({"model": "haiku", "stream": stream, "messages": [{"role": "user", "content": prompt}]}).encode()
