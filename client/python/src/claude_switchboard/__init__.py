"""Client of claude-switchboard: answers of Claude, budgets, batches, sessions and agents."""

from .async_client import AsyncSwitchboard
from .client import Switchboard
from .errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    BudgetError,
    ConflictError,
    HookRefusedError,
    InvalidAnswerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    StreamInterruptedError,
    SwitchboardError,
)
from .models.chat import Completion
from .version import __version__

__all__ = [
    "APIConnectionError",
    "APIError",
    "APITimeoutError",
    "AsyncSwitchboard",
    "AuthenticationError",
    "BadRequestError",
    "BudgetError",
    "Completion",
    "ConflictError",
    "HookRefusedError",
    "InvalidAnswerError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "ServerError",
    "StreamInterruptedError",
    "Switchboard",
    "SwitchboardError",
    "__version__",
]
