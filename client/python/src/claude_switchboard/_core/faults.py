"""Errors made of error answers, of error events, and of failures on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, cast

from ..errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    BudgetError,
    BudgetLeft,
    ConflictError,
    ErrorFacts,
    HookRefusedError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RateLimits,
    ServerError,
)
from .call import Answer

BY_STATUS: dict[int, type[APIError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitError,
}
# An error event in a stream has no status.
BY_TYPE: dict[str, type[APIError]] = {
    "authentication_error": AuthenticationError,
    "rate_limit_error": RateLimitError,
    "server_error": ServerError,
}
AMOUNT = r"(\$?[\d.]+)(?: tokens)?"
BUDGET = re.compile(
    rf"The (\w+) budget of this (\w+) has no room for this request, which may take {AMOUNT}\. "
    rf"Of {AMOUNT} {AMOUNT} are left: {AMOUNT} are spent, and {AMOUNT} are held .* "
    r"It begins anew on (\d{4}-\d\d-\d\d) at 00:00 UTC"
)


def error_of_answer(answer: Answer) -> APIError:
    """Error of an answer whose status is none of success."""
    error = error_object(answer.body)
    limits = rate_limits(answer.headers)
    facts = facts_of(error, answer.status, answer.headers.get("x-request-id"), retry_after(answer.headers), limits)
    return error_of_facts(facts)


def error_of_event(error: Mapping[str, Any], request_id: str | None) -> APIError:
    """Error of an event `{"error": {...}}` in a stream."""
    return error_of_facts(facts_of(error, None, request_id, None, RateLimits()))


def facts_of(
    error: Mapping[str, Any],
    status: int | None,
    request_id: str | None,
    wait: float | None,
    limits: RateLimits,
) -> ErrorFacts:
    """Facts from the fields of an error object."""
    message = str(error.get("message") or f"HTTP status {status}")
    code, kind, param = (error.get(name) for name in ("code", "type", "param"))
    return ErrorFacts(message, status, code, kind, param, request_id, wait, limits)


def error_of_facts(facts: ErrorFacts) -> APIError:
    """Error of the kind that code, status or type tell."""
    if facts.code == "insufficient_quota":
        return BudgetError(facts, budget_of_message(facts.message))
    if facts.code == "hook_refused":
        return HookRefusedError(facts)
    return kind_of(facts)(facts)


def kind_of(facts: ErrorFacts) -> type[APIError]:
    """Kind of an error by its status, or by its type where there is no status."""
    if facts.status is None:
        return BY_TYPE.get(facts.type or "", BadRequestError)
    if facts.status >= 500:
        return ServerError
    return BY_STATUS.get(facts.status, BadRequestError)


def error_object(body: bytes) -> Mapping[str, Any]:
    """Object `error` of a body; the text of a body that is no such object is its message."""
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        error = None
    if isinstance(error, dict):
        return cast("dict[str, Any]", error)
    return {"message": body[:500].decode(errors="replace").strip()}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of `retry-after-ms` or `retry-after`."""
    for name, divisor in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) / divisor)
        except (KeyError, ValueError):
            continue
    return None


def rate_limits(headers: Mapping[str, str]) -> RateLimits:
    """Limits that the headers of an answer report."""

    def number(name: str) -> int | None:
        text = headers.get(f"x-ratelimit-{name}", "")
        return int(text) if text.isdecimal() else None

    return RateLimits(
        limit_requests=number("limit-requests"),
        remaining_requests=number("remaining-requests"),
        reset_requests=headers.get("x-ratelimit-reset-requests"),
        limit_tokens=number("limit-tokens"),
        remaining_tokens=number("remaining-tokens"),
        reset_tokens=headers.get("x-ratelimit-reset-tokens"),
    )


def budget_of_message(message: str) -> BudgetLeft | None:
    """Figures of an exceeded budget, which the server tells in its message only."""
    found = BUDGET.match(message)
    if found is None:
        return None
    window, scope, *amounts, day = found.groups()
    wanted, cap, left, spent, held = (Decimal(amount.removeprefix("$")) for amount in amounts)
    return BudgetLeft(
        scope=scope,
        window=window,
        unit="usd" if amounts[0].startswith("$") else "tokens",
        wanted=wanted,
        cap=cap,
        left=left,
        spent=spent,
        held=held,
        resets_at=datetime.fromisoformat(day).replace(tzinfo=timezone.utc),
    )
