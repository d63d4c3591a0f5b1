"""Client of claude-switchboard: answers of Claude, budgets, batches, sessions and agents."""

from .asynchronous.client import AsyncSwitchboard
from .blocking.client import Switchboard
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
from .models.tasks import PermissionRequest, Task, TaskEvent
from .models.usage import Budget, Usage
from .results import BatchItem, BatchProgress, BatchResult
from .version import __version__

__all__ = [
    "APIConnectionError",
    "APIError",
    "APITimeoutError",
    "AsyncSwitchboard",
    "AuthenticationError",
    "BadRequestError",
    "BatchItem",
    "BatchProgress",
    "BatchResult",
    "Budget",
    "BudgetError",
    "Completion",
    "ConflictError",
    "HookRefusedError",
    "InvalidAnswerError",
    "NotFoundError",
    "PermissionDeniedError",
    "PermissionRequest",
    "RateLimitError",
    "ServerError",
    "StreamInterruptedError",
    "Switchboard",
    "SwitchboardError",
    "Task",
    "TaskEvent",
    "Usage",
    "__version__",
]
