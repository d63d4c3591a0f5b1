"""Settings, requests, errors and retries, without any network."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal

import httpx2
import pytest

from claude_switchboard import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    BudgetError,
    HookRefusedError,
    InvalidAnswerError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    SwitchboardError,
)
from claude_switchboard._core.call import Answer, Request, complete_request, encode, encode_query, validated
from claude_switchboard._core.faults import error_of_answer, error_of_event
from claude_switchboard._core.retries import Attempts
from claude_switchboard._core.settings import Settings, read_settings
from claude_switchboard._core.tasks import EventCursor
from claude_switchboard.models.chat import Completion
from claude_switchboard.models.usage import Usage

PAID = Request("POST", "/v1/chat/completions", body={})
FREE = Request("GET", "/v1/usage", is_repeatable=True)
BUDGET_MESSAGE = (
    "The daily budget of this key has no room for this request, which may take $0.05. Of $1.00 $0.0200 are left: $0.98 "
    "are spent, and $0.00 are held by requests that still run. It begins anew on 2026-12-01 at 00:00 UTC"
)


def refusal(status: int, code: str | None = None, message: str = "no", **headers: str) -> Answer:
    error = {"message": message, "type": "t", "param": None, "code": code}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, names, json.dumps({"error": error}).encode())


def settings(**changes: str) -> Settings:
    return read_settings(**changes)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BASE_URL", "API_KEY", "ADMIN_KEY"):
        monkeypatch.delenv(f"SWITCHBOARD_{name}", raising=False)
        monkeypatch.delenv(f"OPENAI_{name}", raising=False)


def test_settings_come_from_arguments_then_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().base_url == "http://127.0.0.1:8080"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://a/v1/")
    assert settings().base_url == "http://a"
    monkeypatch.setenv("SWITCHBOARD_BASE_URL", "http://b")
    assert settings().base_url == "http://b"
    assert settings(base_url="http://c/v1").base_url == "http://c"


@pytest.mark.parametrize(
    ("variables", "url", "key"),
    [
        ("OPENAI_BASE_URL OPENAI_API_KEY", "http://OPENAI_BASE_URL", "http://OPENAI_API_KEY"),
        ("OPENAI_BASE_URL SWITCHBOARD_API_KEY", "http://127.0.0.1:8080", "http://SWITCHBOARD_API_KEY"),
        ("SWITCHBOARD_BASE_URL OPENAI_API_KEY", "http://SWITCHBOARD_BASE_URL", None),
        ("OPENAI_API_KEY", "http://127.0.0.1:8080", None),
        (
            "OPENAI_BASE_URL OPENAI_API_KEY SWITCHBOARD_BASE_URL SWITCHBOARD_API_KEY",
            "http://SWITCHBOARD_BASE_URL",
            "http://SWITCHBOARD_API_KEY",
        ),
    ],
)
def test_address_and_key_are_of_one_family(
    monkeypatch: pytest.MonkeyPatch, variables: str, url: str, key: str | None
) -> None:
    for name in variables.split():
        monkeypatch.setenv(name, f"http://{name}")
    assert (settings().base_url, settings().api_key) == (url, key)
    assert settings(api_key="mine").base_url == url
    assert settings(api_key="mine").api_key == "mine"


def test_given_address_takes_no_key_of_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://a")
    monkeypatch.setenv("OPENAI_API_KEY", "foreign")
    assert settings(base_url="http://b").api_key is None
    monkeypatch.setenv("SWITCHBOARD_API_KEY", "own")
    assert settings(base_url="http://b").api_key == "own"


def test_admin_key_is_not_sent_to_the_address_of_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request("GET", "/admin/status", is_admin=True)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://a")
    monkeypatch.setenv("SWITCHBOARD_ADMIN_KEY", "admin")
    with pytest.raises(SwitchboardError, match="admin_url="):
        complete_request(request, settings())
    assert complete_request(request, settings(base_url="http://b")).url == "http://b/admin/status"
    assert complete_request(request, settings(admin_url="http://c")).url == "http://c/admin/status"
    monkeypatch.setenv("SWITCHBOARD_BASE_URL", "http://d")
    assert complete_request(request, settings()).url == "http://d/admin/status"


def test_settings_show_no_key() -> None:
    assert "secret" not in repr(settings(api_key="secret-1", admin_key="secret-2"))


def test_request_carries_key_project_and_idempotency_key() -> None:
    mine = settings(api_key="k", project_id="p")
    headers = complete_request(PAID, mine).headers
    assert (headers["authorization"], headers["openai-project"]) == ("Bearer k", "p")
    assert headers["idempotency-key"]
    assert "idempotency-key" not in complete_request(FREE, mine).headers


def test_admin_request_takes_admin_key_alone() -> None:
    request = Request("GET", "/admin/status", is_admin=True)
    with pytest.raises(SwitchboardError, match="SWITCHBOARD_ADMIN_KEY"):
        complete_request(request, settings(api_key="k"))
    complete = complete_request(request, settings(api_key="k", admin_key="a", admin_url="http://admin"))
    assert complete.headers["authorization"] == "Bearer a"
    assert complete.url == "http://admin/admin/status"


def test_money_is_sent_as_text_and_queries_are_escaped() -> None:
    assert encode({"max_budget_usd": Decimal("1E-7")}) == b'{"max_budget_usd": "0.0000001"}'
    assert encode_query({"after": "a b&c", "cascade": True, "limit": None}) == "?after=a%20b%26c&cascade=true"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "invalid_value", BadRequestError),
        (401, "invalid_api_key", AuthenticationError),
        (403, "model_not_found", PermissionDeniedError),
        (403, "hook_refused", HookRefusedError),
        (418, None, BadRequestError),
        (429, "server_busy", RateLimitError),
        (502, "worker_failed", ServerError),
    ],
)
def test_error_has_kind_of_its_status_and_code(status: int, code: str | None, kind: type[Exception]) -> None:
    error = error_of_answer(refusal(status, code, x_request_id="req_1"))
    assert type(error) is kind
    assert (error.status, error.code, error.request_id) == (status, code, "req_1")


def test_error_of_body_without_json_quotes_it() -> None:
    assert error_of_answer(Answer(502, {}, b"<h1>Bad Gateway</h1>")).message == "<h1>Bad Gateway</h1>"


def test_budget_error_says_what_is_left_and_when_it_begins_anew() -> None:
    error = error_of_answer(refusal(429, "insufficient_quota", BUDGET_MESSAGE))
    assert isinstance(error, BudgetError) and error.budget is not None
    assert (error.left, error.budget.cap, error.budget.wanted) == (Decimal("0.02"), Decimal(1), Decimal("0.05"))
    assert (error.budget.scope, error.budget.window, error.budget.unit) == ("key", "daily", "usd")
    assert error.resets_at == datetime(2026, 12, 1, tzinfo=timezone.utc)


def test_budget_error_with_unknown_words_has_no_figures() -> None:
    error = error_of_answer(refusal(429, "insufficient_quota", "Nothing is left."))
    assert isinstance(error, BudgetError)
    assert (error.left, error.resets_at) == (None, None)


def test_rate_limit_error_says_what_is_left() -> None:
    answer = refusal(429, retry_after_ms="1500", retry_after="2", x_ratelimit_remaining_tokens="7")
    error = error_of_answer(answer)
    assert isinstance(error, RateLimitError)
    assert (error.retry_after, error.limits.remaining_tokens, error.limits.limit_requests) == (1.5, 7, None)


def test_error_event_has_kind_of_its_type() -> None:
    error = error_of_event({"message": "m", "type": "server_error", "code": "timeout"}, "req_1")
    assert isinstance(error, ServerError)
    assert (error.status, str(error)) == (None, "timeout: m (request req_1)")


def test_request_that_is_paid_once_is_repeated_after_any_failure() -> None:
    assert Attempts(PAID, 2).wait_after_answer(refusal(429, retry_after="3")) == 3.0
    assert Attempts(PAID, 2).wait_after_failure(httpx2.ConnectError("refused")) > 0
    for status in (500, 502, 504):
        assert Attempts(PAID, 2).wait_after_answer(refusal(status)) > 0
    assert Attempts(PAID, 2).wait_after_failure(httpx2.ReadError("broke off")) > 0
    with pytest.raises(ServerError):
        Attempts(PAID, 2).wait_after_answer(refusal(502, x_should_retry="false"))


@pytest.mark.parametrize("path", ["/v1/files", "/v1/sessions", "/v1/tasks/task_1/interrupt"])
def test_request_that_the_server_may_run_twice_is_not_repeated(path: str) -> None:
    request = Request("POST", path)
    assert Attempts(request, 2).wait_after_failure(httpx2.ConnectError("refused")) > 0
    with pytest.raises(ServerError):
        Attempts(request, 2).wait_after_answer(refusal(502))
    with pytest.raises(APIConnectionError):
        Attempts(request, 2).wait_after_failure(httpx2.ReadError("broke off"))


@pytest.mark.parametrize("path", ["/v1/sessions/s_1/messages", "/v1/tasks/task_1/handover", "/v1/batches"])
def test_paid_paths_may_be_sent_again(path: str) -> None:
    assert Request("POST", path).may_be_sent_again
    assert not Request("GET", path).may_be_sent_again


def test_free_request_is_repeated_until_retries_are_used_up() -> None:
    attempts = Attempts(FREE, 2)
    assert 0.3 < attempts.wait_after_answer(refusal(502)) <= 0.5
    assert 0.7 < attempts.wait_after_failure(httpx2.ReadTimeout("slow")) <= 1.0
    with pytest.raises(APITimeoutError):
        attempts.wait_after_failure(httpx2.ReadTimeout("slow"))


def test_server_decides_whether_to_repeat() -> None:
    with pytest.raises(RateLimitError):
        Attempts(PAID, 2).wait_after_answer(refusal(429, x_should_retry="false"))
    with pytest.raises(RateLimitError) as caught:
        Attempts(PAID, 2).wait_after_answer(refusal(429, retry_after="3600"))
    assert caught.value.retry_after == 3600.0
    assert Attempts(PAID, 2).wait_after_answer(refusal(500, x_should_retry="true")) > 0


def test_events_are_asked_for_again_for_about_two_minutes() -> None:
    cursor = EventCursor("task_1", None)
    busy = error_of_answer(refusal(503, retry_after="0"))
    waits = [cursor.wait_after_break(busy) for _ in range(30)]
    assert (waits[0] <= 0.5, max(waits) <= 5.0, 90 < sum(waits) < 150) == (True, True, True)
    with pytest.raises(ServerError):
        cursor.wait_after_break(busy)
    with pytest.raises(APIConnectionError, match="broke off"):
        cursor.wait_after_break(httpx2.ReadError("cut"))


def test_events_wait_as_long_as_the_server_asks_within_the_limit() -> None:
    cursor = EventCursor("task_1", None)
    assert cursor.wait_after_break(error_of_answer(refusal(429, retry_after="60"))) == 60.0
    assert cursor.wait_after_break(error_of_answer(refusal(429, retry_after="3600"))) == 90.0
    with pytest.raises(RateLimitError):
        cursor.wait_after_break(error_of_answer(refusal(429)))


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_events_are_not_asked_for_again_after_a_refusal_for_good(status: int) -> None:
    with pytest.raises(APIError):
        EventCursor("task_1", None).wait_after_break(error_of_answer(refusal(status)))


def test_money_is_exact_and_unknown_fields_are_kept() -> None:
    totals = {"cost_nano_usd": 1_234_567_891, "news": 1}
    usage = validated(Usage, {"period": "day", "to": "x", "totals": totals, "total_cost": 0.1, "budgets": []})
    assert usage.totals.cost == Decimal("1.234567891")
    assert usage.total_cost == Decimal("0.1")
    assert usage.totals.model_extra == {"news": 1}


def test_unknown_words_of_newer_servers_are_accepted() -> None:
    answer = validated(Completion, {"choices": [{"message": {"content": "x"}, "finish_reason": "a_new_one"}]})
    assert answer.finish_reason == "a_new_one"


def test_answer_of_another_form_is_an_error_of_this_package() -> None:
    with pytest.raises(InvalidAnswerError):
        validated(Completion, {"choices": 3})
    with pytest.raises(InvalidAnswerError, match="base_url"):
        Answer(200, {}, b"<html>").json()
