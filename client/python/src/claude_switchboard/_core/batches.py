"""Batches that the server runs in the background: requests as a file, and results in their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from ..errors import APIError, BadRequestError, ErrorFacts, SwitchboardError
from ..models.batches import Batch, LineResult, StoredFile
from ..models.chat import Completion
from ..results import BatchItem, BatchProgress, BatchResult
from .call import Answer, Call, decoded, encode, given, path_part, validated
from .chat import CHAT_PATH
from .faults import error_of_answer
from .files import content_call, upload_call
from .lists import get_call, post_call
from .plan import Notify, Plan, Wait

BATCHES_PATH = "/v1/batches"
WINDOW = "24h"
FIRST_POLL_SECONDS = 0.5
MAX_POLL_SECONDS = 30.0
POLL_GROWTH = 1.5
CANCELLABLE = frozenset({"validating", "in_progress"})


def batch_path(batch_id: str, ending: str = "") -> str:
    """Path of a batch."""
    return f"{BATCHES_PATH}/{path_part(batch_id)}{ending}"


def create_call(input_file_id: str, endpoint: str, metadata: Mapping[str, str] | None) -> Call[Batch]:
    """Call that creates a batch of an uploaded file."""
    fields = given(input_file_id=input_file_id, endpoint=endpoint, completion_window=WINDOW, metadata=metadata)
    return post_call(Batch, BATCHES_PATH, fields)


def retrieve_call(batch_id: str) -> Call[Batch]:
    """Call for a batch as it is now."""
    return get_call(Batch, batch_path(batch_id))


def cancel_call(batch_id: str) -> Call[Batch]:
    """Call that cancels a batch."""
    return post_call(Batch, batch_path(batch_id, "/cancel"))


def submit_plan(bodies: Sequence[Mapping[str, object]], metadata: Mapping[str, str] | None) -> Plan[Batch]:
    """Steps that upload chat requests and create a batch of them."""
    lines = [
        encode({"custom_id": str(index), "method": "POST", "url": CHAT_PATH, "body": body})
        for index, body in enumerate(bodies)
    ]
    file: StoredFile = yield upload_call("requests.jsonl", b"\n".join(lines), "batch", None)
    batch: Batch = yield create_call(file.id, CHAT_PATH, metadata)
    return batch


def wait_plan(
    batch_id: str, max_cost: Decimal | None, progress: Callable[[BatchProgress], object] | None
) -> Plan[Batch]:
    """Steps that wait for the end of a batch, and cancel it when it has cost too much."""
    seconds = FIRST_POLL_SECONDS
    refused: BadRequestError | None = None
    while True:
        batch: Batch = yield retrieve_call(batch_id)
        if progress is not None:
            yield Notify(progress, state_of(batch))
        if batch.is_over:
            return batch
        if batch.status in CANCELLABLE and max_cost is not None and (batch.cost_usd or Decimal(0)) >= max_cost:
            if refused is not None:
                raise refused
            try:
                yield cancel_call(batch_id)
            except BadRequestError as error:
                # A batch that has left these statuses meanwhile cannot be cancelled.
                refused = error
            continue
        yield Wait(seconds)
        seconds = min(seconds * POLL_GROWTH, MAX_POLL_SECONDS)


def state_of(batch: Batch) -> BatchProgress:
    """How far a batch is."""
    counts = batch.request_counts
    return BatchProgress(counts.completed + counts.failed, counts.failed, counts.total, batch.cost_usd or Decimal(0))


def results_plan(batch_id: str) -> Plan[BatchResult]:
    """Steps that load the results of a batch that has ended, and put them into the order of its requests."""
    batch: Batch = yield retrieve_call(batch_id)
    if not batch.is_over:
        raise SwitchboardError(f"The batch {batch_id} is {batch.status}; wait for its end before you read its results")
    if batch.status == "failed" and batch.output_file_id is None and batch.error_file_id is None:
        raise SwitchboardError(refusal(batch))
    outcomes: dict[str, LineResult] = {}
    for file_id in (batch.output_file_id, batch.error_file_id):
        if file_id is not None:
            content: bytes = yield content_call(file_id)
            results = [validated(LineResult, decoded(line)) for line in lines_of(content)]
            outcomes.update({result.custom_id: result for result in results})
    requests: bytes = yield content_call(batch.input_file_id)
    ids = [str(decoded(line)["custom_id"]) for line in lines_of(requests)]
    return BatchResult([item_of(index, name, outcomes.get(name)) for index, name in enumerate(ids)])


def refusal(batch: Batch) -> str:
    """Text with the first faults of a batch whose file was refused."""
    faults = batch.errors.data if batch.errors else []
    texts = [f"line {fault.line}: {fault.message}" if fault.line else fault.message for fault in faults[:3]]
    return f"The batch {batch.id} was refused: " + "; ".join(texts)


def lines_of(content: bytes) -> list[bytes]:
    """Lines of a file that are not blank."""
    return [line for line in content.split(b"\n") if line.strip()]


def item_of(index: int, custom_id: str, line: LineResult | None) -> BatchItem:
    """Outcome of a line."""
    if line is None:
        return BatchItem(index, custom_id)
    if line.response is None:
        fault = line.error
        facts = ErrorFacts(fault.message if fault else "The line has no outcome", code=fault.code if fault else None)
        return BatchItem(index, custom_id, error=APIError(facts))
    answer = Answer(line.response.status_code, headers_of(line), encode(line.response.body))
    if not answer.is_good:
        return BatchItem(index, custom_id, error=error_of_answer(answer))
    return BatchItem(index, custom_id, completion=validated(Completion, line.response.body))


def headers_of(line: LineResult) -> dict[str, str]:
    """Headers that the answer to a line would have had."""
    request_id = line.response.request_id if line.response else None
    return {"x-request-id": request_id} if request_id else {}
