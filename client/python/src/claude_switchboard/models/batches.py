"""Files, batches in the background, and results."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from .base import Record

BatchStatus = (
    Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
    | str
)
ENDED = frozenset({"failed", "completed", "expired", "cancelled"})


class StoredFile(Record):
    """Uploaded file."""

    id: str
    filename: str
    bytes: int
    purpose: str
    created_at: datetime
    expires_at: datetime | None = None
    mime_type: str | None = None


class BatchCounts(Record):
    """Lines of a batch that are answered, that failed, and all of them."""

    completed: int = 0
    failed: int = 0
    total: int = 0


class BatchFault(Record):
    """Fault of a line of a batch, counted from 1."""

    code: str
    message: str = ""
    line: int | None = None
    param: str | None = None


class BatchFaults(Record):
    """First faults of a batch that was refused."""

    data: list[BatchFault] = Field(default_factory=lambda: [])


class Batch(Record):
    """Batch of requests that the server answers in the background."""

    id: str
    status: BatchStatus
    endpoint: str
    input_file_id: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: datetime
    expires_at: datetime | None = None
    completed_at: datetime | None = None
    errors: BatchFaults | None = None
    metadata: dict[str, str] | None = None
    request_counts: BatchCounts = BatchCounts()
    cost_usd: Decimal | None = None

    @property
    def is_over(self) -> bool:
        """True if the batch has ended."""
        return self.status in ENDED


class LineAnswer(Record):
    """Status and body with which a line was answered."""

    status_code: int
    request_id: str | None = None
    body: Any = None


class LineFault(Record):
    """Reason for which a line was not run."""

    code: str | None = None
    message: str = ""


class LineResult(Record):
    """Line of an output or error file."""

    custom_id: str
    response: LineAnswer | None = None
    error: LineFault | None = None
