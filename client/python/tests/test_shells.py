"""Both clients against scripted answers, without a server."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx2
import pytest

from claude_switchboard import (
    AsyncSwitchboard,
    InvalidAnswerError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    Switchboard,
    SwitchboardError,
)
from claude_switchboard._core import retries

Handler = Callable[[httpx2.Request], httpx2.Response]
BODY = {"id": "c", "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}
CHUNK = 'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
WAIT = {"retry-after-ms": "1"}


class Script:
    """Answers that are given in turn, and the requests that came."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self._answers = list(answers)
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def refused(status: int) -> httpx2.Response:
    return httpx2.Response(status, headers=WAIT, json={"error": {"message": "no", "code": None}})


def blocking(handler: Handler) -> Switchboard:
    return Switchboard("http://test", "k", http_client=httpx2.Client(transport=httpx2.MockTransport(handler)))


def asynchronous(handler: Handler) -> AsyncSwitchboard:
    http = httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
    return AsyncSwitchboard("http://test", "k", http_client=http)


def failures(kinds: list[int | None]) -> list[httpx2.Response | Exception]:
    """Answers with these statuses; None is a server that is not reached."""
    return [refused(kind) if kind else httpx2.ConnectError("down") for kind in kinds]


@pytest.mark.parametrize("kinds", [[429, 503], [None, 429]])
async def test_refused_request_is_repeated_with_the_same_key(kinds: list[int | None]) -> None:
    script = Script(*failures(kinds), httpx2.Response(200, json=BODY))
    assert blocking(script).complete("hello").content == "Hi"
    other = Script(*failures(kinds), httpx2.Response(200, json=BODY))
    assert (await asynchronous(other).complete("hello")).content == "Hi"
    for requests in (script.requests, other.requests):
        assert len(requests) == 3
        assert len({request.headers["idempotency-key"] for request in requests}) == 1


def lost(kind: str) -> httpx2.Response | Exception:
    """Failure of this kind of a request that the server may have run."""
    kinds: dict[str, httpx2.Response | Exception] = {
        "status": refused(502),
        "cut": httpx2.ReadError("cut"),
        "slow": httpx2.ReadTimeout("slow"),
    }
    return kinds[kind]


@pytest.mark.parametrize("kind", ["status", "cut", "slow"])
async def test_request_that_may_have_been_run_is_repeated_with_the_same_key(kind: str) -> None:
    script = Script(lost(kind), httpx2.Response(200, json=BODY))
    assert blocking(script).complete("hello").content == "Hi"
    other = Script(lost(kind), httpx2.Response(200, json=BODY))
    assert (await asynchronous(other).complete("hello")).content == "Hi"
    for requests in (script.requests, other.requests):
        assert len(requests) == 2
        assert len({request.headers["idempotency-key"] for request in requests}) == 1


async def test_charged_failure_is_not_repeated() -> None:
    def charged() -> httpx2.Response:
        return httpx2.Response(502, headers={"x-should-retry": "false"}, json={"error": {"message": "no"}})

    script = Script(charged(), charged())
    with pytest.raises(ServerError):
        blocking(script).complete("hello")
    with pytest.raises(ServerError):
        await asynchronous(script).complete("hello")
    assert len(script.requests) == 2


def test_retries_end() -> None:
    with pytest.raises(RateLimitError):
        blocking(Script(refused(429), refused(429))).with_options(max_retries=1).complete("hello")


async def test_stream_is_repeated_before_its_first_event_and_never_after() -> None:
    script = Script(refused(503), httpx2.Response(200, text=CHUNK))
    stream = blocking(script).stream("hello")
    with pytest.raises(StreamInterruptedError) as caught:
        list(stream)
    assert (caught.value.partial_text, len(script.requests)) == ("Hi", 2)
    other = Script(refused(503), httpx2.Response(200, text=CHUNK))
    with pytest.raises(StreamInterruptedError):
        await asynchronous(other).stream("hello").final()
    assert len(other.requests) == 2


def test_stream_with_error_event_raises_its_kind() -> None:
    text = CHUNK + 'data: {"error":{"message":"gone","type":"server_error","code":"timeout"}}\n\n'
    stream = blocking(Script(httpx2.Response(200, text=text))).stream("hello")
    with pytest.raises(ServerError, match="gone"):
        list(stream)
    assert stream.text == "Hi"


def test_stream_is_read_once() -> None:
    stream = blocking(Script(httpx2.Response(200, text=CHUNK + "data: [DONE]\n\n"))).stream("hello")
    assert list(stream) == ["Hi"]
    assert stream.final().content == "Hi"
    with pytest.raises(SwitchboardError, match="read once"):
        list(stream)


def test_left_stream_has_no_whole_answer() -> None:
    stream = blocking(Script(httpx2.Response(200, text=CHUNK * 3 + "data: [DONE]\n\n"))).stream("hello")
    for _ in stream:
        break
    with pytest.raises(SwitchboardError, match="left"):
        stream.final()


def test_task_has_an_id_that_makes_its_request_repeatable() -> None:
    task = {"id": "task_1", "task_id": "x", "status": "queued", "created_at": 1}
    script = Script(httpx2.ReadError("cut"), httpx2.Response(201, json=task))
    assert blocking(script).tasks.create("work", "/srv/work").id == "task_1"
    ids = [json.loads(request.content)["task_id"] for request in script.requests]
    assert ids[0] == ids[1]


TASK = {"id": "task_1", "task_id": "x", "status": "completed", "created_at": 1}
END = 'data: {"type":"complete","task_id":"task_1","sequence_number":0,"created_at":1}\n\n'


def events_of_a_task(*failures: httpx2.Response | Exception) -> Script:
    """Task whose events are refused at first."""
    created, events = httpx2.Response(201, json=TASK), httpx2.Response(200, text=END)
    return Script(created, *failures, events, httpx2.Response(200, json=TASK))


async def test_task_is_followed_past_a_server_that_is_busy_or_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_WAIT_SECONDS", 0.0)
    kinds = [502, 503, 429, None, 500]
    script = events_of_a_task(*failures(kinds))
    assert blocking(script).tasks.run("work", "/srv/work").status == "completed"
    other = events_of_a_task(*failures(kinds))
    assert (await asynchronous(other).tasks.run("work", "/srv/work")).status == "completed"
    for requests in (script.requests, other.requests):
        assert "/interrupt" not in "".join(str(request.url) for request in requests)


async def test_task_is_interrupted_if_its_events_are_refused_for_good() -> None:
    script = Script(httpx2.Response(201, json=TASK), refused(403), httpx2.Response(200, json=TASK))
    with pytest.raises(PermissionDeniedError):
        blocking(script).tasks.run("work", "/srv/work")
    other = Script(httpx2.Response(201, json=TASK), refused(403), httpx2.Response(200, json=TASK))
    with pytest.raises(PermissionDeniedError):
        await asynchronous(other).tasks.run("work", "/srv/work")
    for requests in (script.requests, other.requests):
        assert requests[-1].url.path == "/v1/tasks/task_1/interrupt"


def test_project_and_headers_are_sent() -> None:
    script = Script(httpx2.Response(200, json=BODY))
    http = httpx2.Client(transport=httpx2.MockTransport(script))
    with Switchboard("http://test/v1", "k", project_id="p", headers={"x-mine": "1"}, http_client=http) as client:
        client.complete("hello", max_tokens=5, temperature=None)
    [request] = script.requests
    assert (request.headers["openai-project"], request.headers["x-mine"]) == ("p", "1")
    assert str(request.url) == "http://test/v1/chat/completions"
    sent = json.loads(request.content)
    assert (sent["model"], sent["max_tokens"], "temperature" in sent) == ("auto", 5, False)


def test_page_of_another_server_is_told_apart() -> None:
    with pytest.raises(InvalidAnswerError, match="base_url"):
        blocking(Script(httpx2.Response(200, text="<html>"))).complete("hello")
