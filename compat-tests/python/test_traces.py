"""Traces, received by a real receiver of OTLP: decoded with the messages of `opentelemetry-proto`.

Each test has a server of its own, because the export is set at the start.
"""

import contextlib
import http.server
import json
import os
import signal
import socket as sockets
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import httpx
import pytest
import websockets.sync.client
from conftest import STAND_IN_URL, TIMEOUT, call, eventually, say
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SERVER_BIN = os.environ.get("SERVER_BIN")
CLAUDE_BIN = os.environ.get("CLAUDE_BIN")
KEY = "traced-key"
ADMIN_KEY = "traced-admin-key-0"
METRICS_TOKEN = "traced-metrics-token"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
# Longest wait for a server to start, in seconds: it checks the CLI first.
START_SECONDS = 60

pytestmark = pytest.mark.skipif(
    not (SERVER_BIN and CLAUDE_BIN and STAND_IN_URL), reason="SERVER_BIN, CLAUDE_BIN or STAND_IN_URL is not set"
)


class Receiver(http.server.ThreadingHTTPServer):
    """Decodes and records exports. `statuses` are given first, then 200; `None` is an answer that never comes."""

    daemon_threads = True

    def __init__(self, statuses=()):
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses = list(statuses)
        self.attempts = []
        self.exports = []
        self.released = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self):
        resources = [resource for export in list(self.exports) for resource in export.resource_spans]
        return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]

    def named(self, name):
        return [span for span in self.spans() if span.name == name]

    def wait_for(self, *names):
        """Waits until there is a span with each name, and returns the first of each."""
        assert eventually(lambda: all(self.named(name) for name in names), 10), [span.name for span in self.spans()]
        return [self.named(name)[0] for name in names]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.attempts.append((time.monotonic(), self.path, dict(self.headers), body))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        if status is None:
            self.server.released.wait(60)
            return
        if status == 200:
            self.server.exports.append(ExportTraceServiceRequest.FromString(body))
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(status)
        if status == 429:
            self.send_header("retry-after", "1")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def receiving(statuses=()):
    with Receiver(statuses) as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            receiver.released.set()
            receiver.shutdown()
            thread.join()


class Server:
    """A server with its own data directory, and the stand-in as upstream."""

    def __init__(self, folder, variables):
        self.folder = Path(folder)
        self.log_path = self.folder / "server.log"
        (self.folder / "home").mkdir()
        (self.folder / "work").mkdir()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder),
            "LANG": "C.UTF-8",
            "NO_PROXY": "127.0.0.1",
            "ANTHROPIC_API_KEY": "sk-made-up",
            "ANTHROPIC_BASE_URL": STAND_IN_URL,
            "SWITCHBOARD_AUTH__KEYS": json.dumps([KEY]),
            "SWITCHBOARD_ADMIN_KEY": ADMIN_KEY,
            "SWITCHBOARD_METRICS__TOKEN": METRICS_TOKEN,
            "SWITCHBOARD_LOG__FORMAT": "json",
            "SWITCHBOARD_TASKS__ROOTS": json.dumps([str(self.folder / "work")]),
            **variables,
        }
        command = [SERVER_BIN, "serve", "--listen", "127.0.0.1:0", "--data-dir", self.folder / "data"]
        with self.log_path.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--claude-bin", CLAUDE_BIN],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        assert eventually(lambda: self.address() or self.process.poll() is not None, START_SECONDS), self.log()
        assert self.process.poll() is None, self.log()
        headers = {"authorization": f"Bearer {KEY}"}
        self.http = httpx.Client(base_url=self.address(), headers=headers, timeout=TIMEOUT)
        assert eventually(lambda: self.http.get("/ready").status_code == 200, START_SECONDS), self.log()

    def log(self):
        return self.log_path.read_text()

    def lines(self, message):
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in lines if message in (line.get("message"), line.get("fields", {}).get("message"))]

    def address(self):
        lines = [line for line in self.log().splitlines() if '"server listening"' in line]
        if not lines:
            return None
        line = json.loads(lines[0])
        return f"http://{line.get('address') or line['fields']['address']}"

    def chat(self, prompt, model="haiku", **headers):
        body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
        return self.http.post("/v1/chat/completions", json=body, headers=headers)

    def metric(self, outcome):
        headers = {"authorization": f"Bearer {METRICS_TOKEN}"}
        text = self.http.get("/metrics", headers=headers).text
        series = f'switchboard_trace_spans_total{{outcome="{outcome}"}} '
        return int(float(next(line for line in text.splitlines() if line.startswith(series)).removeprefix(series)))

    def stop(self):
        """Stops the server and returns the seconds that it took."""
        self.http.close()
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(TIMEOUT) == 0, self.log()
        return time.monotonic() - began


@contextlib.contextmanager
def serving(receiver_url, **variables):
    with tempfile.TemporaryDirectory() as folder:
        endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver_url} if receiver_url else {}
        server = Server(folder, {**endpoint, **variables})
        try:
            yield server
        finally:
            server.http.close()
            if server.process.poll() is None:
                server.process.terminate()
                try:
                    server.process.wait(TIMEOUT)
                except subprocess.TimeoutExpired:
                    server.process.kill()
                    server.process.wait()


def attributes(span):
    """Returns the attributes of a span or a resource as Python values."""

    def value(of):
        kind = of.WhichOneof("value")
        if kind == "array_value":
            return [value(item) for item in of.array_value.values]
        return getattr(of, kind)

    return {item.key: value(item.value) for item in span.attributes}


def test_spans_of_a_turn_form_one_tree_in_the_trace_of_the_client(marker):
    named = {"OTEL_SERVICE_NAME": "gateway", "OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b"}
    with receiving() as receiver, serving(receiver.url, **named) as server:
        answer = server.chat(
            f"{marker} {say('hidden words')}",
            traceparent=f"00-{TRACE}-{PARENT}-01",
            tracestate="vendor=1",
        )
        assert answer.status_code == 200
        request, chat, *children = receiver.wait_for(
            "POST /v1/chat/completions", "chat haiku", "queue", "lease", "hold", "first token", "charge"
        )
        spans = [span for span in receiver.spans() if span.trace_id.hex() == TRACE]
        assert {request.span_id, chat.span_id} <= {span.span_id for span in spans}
        assert request.parent_span_id.hex() == PARENT
        assert chat.parent_span_id == request.span_id
        for child in children:
            [child] = [span for span in spans if span.name == child.name][:1]
            assert child.parent_span_id == chat.span_id, child.name
            assert child.start_time_unix_nano <= child.end_time_unix_nano
            assert request.start_time_unix_nano <= child.start_time_unix_nano
        assert (request.kind, chat.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
        assert {span.trace_state for span in spans} == {"vendor=1"}
        assert answer.headers["traceparent"] == f"00-{TRACE}-{request.span_id.hex()}-01"
        assert attributes(request) | {
            "http.request.method": "POST",
            "http.route": "/v1/chat/completions",
            "url.path": "/v1/chat/completions",
            "http.response.status_code": 200,
            "switchboard.request.id": answer.headers["x-request-id"],
        } == attributes(request)
        told = attributes(chat)
        usage = answer.json()["usage"]
        assert told["gen_ai.operation.name"] == "chat"
        assert told["gen_ai.provider.name"] == "anthropic"
        assert told["gen_ai.request.model"] == "haiku"
        assert told["gen_ai.response.model"] == answer.headers["x-switchboard-model"]
        assert told["gen_ai.response.finish_reasons"] == ["stop"]
        assert told["gen_ai.usage.input_tokens"] == usage["prompt_tokens"]
        assert told["gen_ai.usage.output_tokens"] == usage["completion_tokens"]
        assert "error.type" not in told
        [attempt, *_] = receiver.attempts
        assert attempt[1] == "/v1/traces"
        headers = {name.lower(): value for name, value in attempt[2].items()}
        assert (headers["content-type"], headers["x-key"]) == ("application/x-protobuf", "a b")
        resource = attributes(receiver.exports[0].resource_spans[0].resource)
        assert resource["service.name"] == "gateway" and resource["service.version"]
        sent = b"".join(body for *_, body in receiver.attempts)
        for content in (marker, "hidden words", KEY):
            assert content.encode() not in sent
        [line] = [line for line in server.lines("request completed") if "completions" in str(line)]
        assert TRACE in str(line) and answer.headers["x-request-id"] in str(line)


def test_errors_and_refusals_are_kept_by_a_sampler_that_keeps_nothing_else(marker):
    with receiving() as receiver, serving(receiver.url, OTEL_TRACES_SAMPLER="always_off") as server:
        assert server.chat(f"{marker} {say('fine')}").status_code == 200
        assert server.chat(f"{marker} {say('no')}", model="no-such-model").status_code == 404
        assert server.http.get("/v1/models", headers={"authorization": "Bearer wrong"}).status_code == 401
        refused, wrong = receiver.wait_for("POST /v1/chat/completions", "GET /v1/models")
        assert attributes(refused)["error.type"] == "model_not_found"
        assert attributes(wrong)["error.type"] == "invalid_api_key"
        # A refusal is no failure of this server.
        assert refused.status.code == Status.STATUS_CODE_UNSET
        assert len(receiver.named("POST /v1/chat/completions")) == 1
        # A caller that records its trace gets the spans.
        sampled = f"00-{TRACE}-{PARENT}-01"
        with serving(receiver.url, OTEL_TRACES_SAMPLER="parentbased_always_off") as other:
            assert other.chat(f"{marker} {say('fine')}", traceparent=sampled).status_code == 200
            assert eventually(lambda: any(span.trace_id.hex() == TRACE for span in receiver.spans()), 10)


def test_names_of_version_1_37_are_a_switch(marker):
    with receiving() as receiver, serving(receiver.url, SWITCHBOARD_TRACES__SEMCONV="1.37") as server:
        assert server.chat(f"{marker} {say('fine')}").status_code == 200
        [chat] = receiver.wait_for("chat haiku")
        told = attributes(chat)
        assert told["gen_ai.system"] == "anthropic"
        assert "gen_ai.usage.cache_creation.input_tokens" in told
        assert "gen_ai.usage.cache_write.input_tokens" not in told


def test_each_message_on_a_socket_has_a_span_refused_ones_too(marker):
    with receiving() as receiver, serving(receiver.url) as server:
        url = server.address().replace("http", "ws", 1) + "/v1/stream"
        headers = {"authorization": f"Bearer {KEY}"}
        with websockets.sync.client.connect(url, additional_headers=headers) as socket:
            for model, last in [("haiku", "done"), ("no-such-model", "error")]:
                messages = [{"role": "user", "content": f"{marker} {say('fine')}"}]
                socket.send(json.dumps({"type": "chat", "id": model, "model": model, "messages": messages}))
                while json.loads(socket.recv(TIMEOUT))["type"] != last:
                    pass
            assert eventually(lambda: len(receiver.named("message /v1/stream")) == 2, 10)
            good, refused = sorted(receiver.named("message /v1/stream"), key=lambda span: span.start_time_unix_nano)
            assert "error.type" not in attributes(good)
            assert attributes(refused)["error.type"] == "model_not_found"
            [chat] = receiver.wait_for("chat haiku")
            assert chat.parent_span_id == good.span_id
        [opened] = receiver.wait_for("GET /v1/stream")
        assert good.links[0].span_id == opened.span_id and good.trace_id != opened.trace_id


def test_background_response_is_in_the_trace_of_its_request(marker):
    with receiving() as receiver, serving(receiver.url) as server:
        body = {"model": "haiku", "input": f"{marker} {say('fine')}", "background": True}
        answer = server.http.post("/v1/responses", json=body, headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
        assert answer.status_code == 200
        request, chat = receiver.wait_for("POST /v1/responses", "chat haiku")
        assert chat.trace_id == request.trace_id == bytes.fromhex(TRACE)
        assert chat.parent_span_id == request.span_id


def test_agent_and_its_tools_continue_the_trace(marker):
    with receiving() as receiver, serving(receiver.url) as server:
        with httpx.Client(base_url=server.address(), headers={"authorization": f"Bearer {ADMIN_KEY}"}) as admin:
            made = admin.post("/admin/keys", json={"name": "agents", "permissions": ["inference", "tasks"]})
            assert made.status_code in (200, 201), made.text
        headers = {"authorization": f"Bearer {made.json()['key']}", "traceparent": f"00-{TRACE}-{PARENT}-01"}
        prompt = f"{marker} {call('Bash', command='printenv TRACEPARENT >seen')}"
        body = {"prompt": prompt, "workspace": str(server.folder / "work"), "preset": "full", "model": "haiku"}
        task = server.http.post("/v1/tasks", json=body, headers=headers)
        assert task.status_code == 201, task.text
        request, agent, tool = receiver.wait_for("POST /v1/tasks", "invoke_agent claude-code", "execute_tool Bash")
        assert agent.trace_id.hex() == TRACE
        assert agent.parent_span_id == request.span_id
        assert tool.parent_span_id == agent.span_id
        assert attributes(agent)["switchboard.task.id"] == task.json()["id"]
        seen = (server.folder / "work" / "seen").read_text().strip()
        assert seen.split("-")[1] == TRACE
        sent = b"".join(body for *_, body in receiver.attempts)
        assert b"printenv" not in sent and marker.encode() not in sent


def unused_url():
    with sockets.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("fault", ["stalls", "refuses", "gone"])
def test_faulty_receiver_costs_no_request_anything(fault, marker):
    with contextlib.ExitStack() as stack:
        if fault == "gone":
            url = unused_url()
        else:
            receiver = stack.enter_context(receiving([None if fault == "stalls" else 400] * 1000))
            url = receiver.url
        server = stack.enter_context(serving(url))
        assert server.chat(f"{marker} {say('fine')}").status_code == 200
        if fault == "stalls":
            # The exporter waits for the answer, so spans pile up in the queue.
            assert eventually(lambda: receiver.attempts, 10)
        slowest = 0
        for _ in range(2600):
            began = time.monotonic()
            assert server.http.get("/v1/models").status_code == 200
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 2
        if fault == "stalls":
            assert eventually(lambda: server.metric("dropped") > 0, 10)
        if fault == "refuses":
            assert eventually(lambda: server.metric("failed") > 0, 10)
        assert server.metric("exported") == 0
        assert server.chat(f"{marker} {say('fine')}").status_code == 200
        assert eventually(lambda: fault == "stalls" or server.lines("traces not exported"), 10)
        assert len(server.lines("traces not exported")) <= 1
        assert server.stop() < 5


def test_receiver_that_is_overloaded_is_asked_again(marker):
    with receiving([429, 503]) as receiver, serving(receiver.url) as server:
        assert server.chat(f"{marker} {say('fine')}").status_code == 200
        receiver.wait_for("chat haiku")
        [first, second, third, *_] = [at for at, *_ in receiver.attempts]
        assert second - first >= 1 and third - second >= 0.5
        assert eventually(lambda: server.metric("exported") > 0, 10)
        assert server.metric("failed") == 0


def test_stop_exports_what_is_left(marker):
    with receiving() as receiver, serving(receiver.url) as server:
        assert server.chat(f"{marker} {say('fine')}").status_code == 200
        server.stop()
        assert receiver.named("chat haiku")


def check_config(environment):
    return subprocess.run(
        [SERVER_BIN, "check-config"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def test_without_receiver_odd_variables_do_not_matter_and_with_one_they_are_refused(marker):
    odd = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_SAMPLER": "odd", "OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}
    with serving(None, **odd) as server:
        answer = server.chat(f"{marker} {say('fine')}", traceparent=f"00-{TRACE}-{PARENT}-01")
        assert answer.status_code == 200
        assert "traceparent" not in answer.headers
    with tempfile.TemporaryDirectory() as folder:
        url = "http://me:hush@127.0.0.1:4317"
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "OTEL_EXPORTER_OTLP_ENDPOINT": url}
        checked = check_config({**environment, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
        told = checked.stdout + checked.stderr
        assert checked.returncode == 64, told
        assert "OTEL_EXPORTER_OTLP_PROTOCOL" in told and "http/protobuf" in told and "hush" not in told
        shown = check_config(environment)
        assert shown.returncode == 0, shown.stderr
        assert "hush" not in shown.stdout + shown.stderr
