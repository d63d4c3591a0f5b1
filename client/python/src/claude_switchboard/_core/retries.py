"""Decisions after a failed attempt: wait and try again, or give up."""

from __future__ import annotations

import random

import httpx2

from ..errors import APIConnectionError, APITimeoutError
from .call import Answer, Request
from .faults import error_of_answer, retry_after

FIRST_WAIT_SECONDS = 0.5
MAX_WAIT_SECONDS = 8.0
MAX_SERVER_WAIT_SECONDS = 120.0
# Failures before any byte of the request has left.
NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
# Statuses with which the server says that it has run nothing.
NOT_RUN = frozenset({429, 503})
LOST = frozenset({408, 500, 502, 504})


class Attempts:
    """Attempts of one request.

    A request that costs money carries an idempotency key, the same for each attempt, so the server runs it once.
    """

    def __init__(self, request: Request, max_retries: int) -> None:
        self._request = request
        self._left = max_retries if request.max_retries is None else request.max_retries
        self._made = 0

    def wait_after_answer(self, answer: Answer) -> float:
        """Seconds until the next attempt after an error answer.

        Raises the error of the answer if there is none.
        """
        if not self._may_repeat(answer):
            raise error_of_answer(answer)
        asked = retry_after(answer.headers)
        if asked is not None and asked > MAX_SERVER_WAIT_SECONDS:
            raise error_of_answer(answer)
        if not self._take():
            raise error_of_answer(answer)
        return backoff(self._made) if asked is None else asked

    def wait_after_failure(self, failure: httpx2.TransportError) -> float:
        """Seconds until the next attempt after a failure on the way.

        Raises APIConnectionError or APITimeoutError if there is none.
        """
        may_repeat = self._request.may_be_sent_again or isinstance(failure, NEVER_SENT)
        if may_repeat and self._take():
            return backoff(self._made)
        raise connection_error(failure, self._request) from failure

    def _may_repeat(self, answer: Answer) -> bool:
        wish = answer.headers.get("x-should-retry")
        if wish == "false":
            return False
        if wish == "true" or answer.status in NOT_RUN:
            return True
        return answer.status in LOST and self._request.may_be_sent_again

    def _take(self) -> bool:
        if self._left == 0:
            return False
        self._left -= 1
        self._made += 1
        return True


def backoff(attempt: int, max_seconds: float = MAX_WAIT_SECONDS) -> float:
    """Seconds to wait after this many failures, spread so that clients come back at different times."""
    wait = min(FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1), max_seconds)
    return wait * random.uniform(0.75, 1.0)


def connection_error(failure: httpx2.TransportError, request: Request) -> APIConnectionError:
    """Error that says where a request failed on the way."""
    what = f"{request.method} {request.path}"
    if isinstance(failure, httpx2.TimeoutException):
        return APITimeoutError(f"{what} took longer than the timeout ({type(failure).__name__}). Raise timeout=")
    return APIConnectionError(f"{what} failed: {failure or type(failure).__name__}. Is the server running at base_url?")
