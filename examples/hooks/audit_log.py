#!/usr/bin/env python3
"""Hook of claude-switchboard that appends a JSON line to a file for each answer, error and event.

    audit_log.py FILE                  a hook of the kind `program`, started by the server
    audit_log.py FILE --socket PATH    a hook of the kind `http` on a Unix socket, started by you

A line has the fields that the server sent, after the time. The server leaves out prompts, answers and users unless the
configuration grants them (`prompt`, `answer`, `user`), so the grants decide what is logged. The file and the socket are
open to their owner only. Python's standard library is enough.
"""

import argparse
import json
import os
import signal
import socket
import sys
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn, UnixStreamServer

# Members that say how the server calls a hook, not what has happened.
PROTOCOL = ("v", "id", "op", "hook")


class AuditLog:
    """File that is only appended to. A line is one write, so threads and processes may share the file."""

    def __init__(self, path: str) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def append(self, request: dict) -> None:
        record = {"time": datetime.now(timezone.utc).isoformat(timespec="milliseconds")}
        record.update((name, value) for name, value in request.items() if name not in PROTOCOL)
        line = json.dumps(record, ensure_ascii=False) + "\n"
        os.write(self.file, line.encode())


class HookServer(ThreadingMixIn, UnixStreamServer):
    """HTTP server on a Unix socket; each connection, which the switchboard keeps open, has a thread."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path: str, log: AuditLog) -> None:
        self.log = log
        super().__init__(path, HookHandler)


class HookHandler(BaseHTTPRequestHandler):
    """Answers each POST with `pass`, after its line is written."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        self.server.log.append(json.loads(self.rfile.read(length)))
        answer = b'{"action": "pass"}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_) -> None:
        """Writes no line for each request: the audit log is the log."""


def remove_stale_socket(path: str) -> None:
    """Removes the socket of a server that is gone. One that answers is another server's, and stays."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            os.unlink(path)
            return
    sys.exit(f"error: another program listens on {path}")


def serve_socket(path: str, log: AuditLog) -> None:
    remove_stale_socket(path)
    os.umask(0o077)
    with HookServer(path, log) as server:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        finally:
            os.unlink(path)


def serve_lines(log: AuditLog) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        log.append(request)
        print(json.dumps({"id": request["id"], "action": "pass"}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="file to append to")
    parser.add_argument("--socket", metavar="PATH", help="serve HTTP on this Unix socket, instead of lines on standard input")
    arguments = parser.parse_args()
    log = AuditLog(arguments.file)
    if arguments.socket:
        serve_socket(arguments.socket, log)
    else:
        serve_lines(log)


if __name__ == "__main__":
    main()
