"""Errors by kind; each says what a caller can do about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


class SwitchboardError(Exception):
    """Any error of this package."""


class InvalidAnswerError(SwitchboardError):
    """Answer in a form that this package does not know."""


class APIConnectionError(SwitchboardError):
    """Server that was not reached, or a connection that broke before the answer."""


class APITimeoutError(APIConnectionError):
    """Answer that did not come within the timeout."""


class StreamInterruptedError(SwitchboardError):
    """Stream that broke off before its end; `partial_text` is the text until then."""

    def __init__(self, message: str, partial_text: str) -> None:
        super().__init__(message)
        self.partial_text: str = partial_text


@dataclass(frozen=True)
class RateLimits:
    """Limits of a minute and what is left of them; None for a limit that is not set."""

    limit_requests: int | None = None
    remaining_requests: int | None = None
    reset_requests: str | None = None
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens: str | None = None


@dataclass(frozen=True)
class BudgetLeft:
    """Exceeded budget: amounts in dollars (`unit` is "usd") or in tokens, and when it begins anew."""

    scope: str
    window: str
    unit: str
    wanted: Decimal
    cap: Decimal
    left: Decimal
    spent: Decimal
    held: Decimal
    resets_at: datetime


@dataclass(frozen=True)
class ErrorFacts:
    """Facts of an error answer."""

    message: str
    status: int | None = None
    code: str | None = None
    type: str | None = None
    param: str | None = None
    request_id: str | None = None
    retry_after: float | None = None
    limits: RateLimits = RateLimits()


class APIError(SwitchboardError):
    """Error answer of the server, or an error event in a stream (then `status` is None)."""

    def __init__(self, facts: ErrorFacts) -> None:
        super().__init__(facts.message)
        self.facts: ErrorFacts = facts

    @property
    def message(self) -> str:
        """Text of the server, which says what to change."""
        return self.facts.message

    @property
    def status(self) -> int | None:
        """HTTP status, or None for an error in a stream."""
        return self.facts.status

    @property
    def code(self) -> str | None:
        """Code by which programs tell errors apart, such as `session_busy`."""
        return self.facts.code

    @property
    def param(self) -> str | None:
        """Path of the faulty field of the request."""
        return self.facts.param

    @property
    def request_id(self) -> str | None:
        """Id of the request in the server's log."""
        return self.facts.request_id

    @property
    def retry_after(self) -> float | None:
        """Seconds after which another attempt can succeed, where the server says so."""
        return self.facts.retry_after

    def __str__(self) -> str:
        label = " ".join(str(part) for part in (self.status, self.code) if part is not None)
        ending = f" (request {self.request_id})" if self.request_id else ""
        return f"{label}: {self.message}{ending}" if label else self.message + ending


class BadRequestError(APIError):
    """Request that cannot be served as it stands; `param` names the faulty field."""


class AuthenticationError(APIError):
    """Missing, wrong, expired or revoked key, or a server that is not signed in."""


class PermissionDeniedError(APIError):
    """Key without the permission, model or project that the request needs."""


class HookRefusedError(PermissionDeniedError):
    """Request or answer that a hook of the server refused."""


class NotFoundError(APIError):
    """Unknown path or id."""


class ConflictError(APIError):
    """Request that conflicts with another one, such as a second message to a busy session."""


class RateLimitError(APIError):
    """Rate limit, or a server with all workers busy; try again after `retry_after` seconds."""

    @property
    def limits(self) -> RateLimits:
        """Limits of the key and what is left of them."""
        return self.facts.limits


class BudgetError(APIError):
    """Budget without room for the request; `budget` says what is left and when it begins anew."""

    def __init__(self, facts: ErrorFacts, budget: BudgetLeft | None = None) -> None:
        super().__init__(facts)
        self.budget: BudgetLeft | None = budget

    @property
    def left(self) -> Decimal | None:
        """Dollars or tokens that are left, or None where the server does not say."""
        return self.budget.left if self.budget else None

    @property
    def resets_at(self) -> datetime | None:
        """Time in UTC at which the budget begins anew, or None where the server does not say."""
        return self.budget.resets_at if self.budget else None


class ServerError(APIError):
    """Fault of the server, of a worker or at Anthropic."""
