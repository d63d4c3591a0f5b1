"""OpenAI's files and batches with the official SDK."""

import json
import time

import openai
import pytest

MODEL = "haiku"
CHAT = "/v1/chat/completions"


def request(custom_id, prompt, url=CHAT, **options):
    body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], **options}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def upload(client, requests):
    content = "".join(json.dumps(request) + "\n" for request in requests).encode()
    return client.files.create(file=("requests.jsonl", content), purpose="batch")


def begin(client, requests, endpoint=CHAT, **options):
    file = upload(client, requests)
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **options)


def wait(client, batch, within=30):
    """Polls until the batch ends."""
    deadline = time.monotonic() + within
    while batch.status in ("validating", "in_progress", "finalizing", "cancelling"):
        assert time.monotonic() < deadline, batch
        time.sleep(0.05)
        batch = client.batches.retrieve(batch.id)
    return batch


def lines(client, file_id):
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def test_file_is_uploaded_read_and_deleted(client):
    content = b"any bytes\x00\xff" * 1000
    file = client.files.create(
        file=("notes.bin", content), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert (file.object, file.bytes, file.filename, file.purpose) == ("file", len(content), "notes.bin", "user_data")
    assert file.expires_at == file.created_at + 3600
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == content
    assert file.id in [other.id for other in client.files.list(purpose="user_data", limit=1)]
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError) as gone:
        client.files.retrieve(file.id)
    assert gone.value.code == "file_not_found"


def test_file_may_exceed_the_request_body_limit(client):
    content = b"x" * (40 << 20)
    file = client.files.create(file=("large.bin", content), purpose="user_data")
    assert file.bytes == len(content)
    with client.files.with_streaming_response.content(file.id) as response:
        assert sum(len(piece) for piece in response.iter_bytes()) == len(content)
    client.files.delete(file.id)


def test_unsupported_file_purpose_is_refused(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=("a.jsonl", b"{}"), purpose="fine-tune")
    assert refused.value.param == "purpose"


def test_batch_runs_from_upload_to_download(client):
    requests = [request(f"r{n}", f'[[say="answer {n}"]]') for n in range(5)]
    batch = begin(client, requests, metadata={"job": "nightly"})
    assert (batch.object, batch.status, batch.metadata) == ("batch", "validating", {"job": "nightly"})
    batch = wait(client, batch)
    assert batch.status == "completed" and batch.error_file_id is None
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (5, 5, 0)
    assert batch.in_progress_at <= batch.finalizing_at <= batch.completed_at < batch.expires_at
    answers = lines(client, batch.output_file_id)
    assert [line["custom_id"] for line in answers] == [f"r{n}" for n in range(5)]
    for n, line in enumerate(answers):
        completion = openai.types.chat.ChatCompletion.model_validate(line["response"]["body"])
        assert completion.choices[0].message.content == f"answer {n}"
    assert client.files.retrieve(batch.output_file_id).purpose == "batch_output"
    assert batch.id in [other.id for other in client.batches.list(limit=1)]


def test_failed_requests_are_in_the_error_file(client):
    requests = [request("good", "[[say=yes]]"), request("hot", "x", temperature="hot"), request("odd", "x", model="gemini-9")]
    batch = wait(client, begin(client, requests))
    assert (batch.status, batch.request_counts.completed, batch.request_counts.failed) == ("completed", 1, 2)
    [good] = lines(client, batch.output_file_id)
    assert good["custom_id"] == "good" and good["error"] is None
    errors = {line["custom_id"]: line["response"] for line in lines(client, batch.error_file_id)}
    assert (errors["hot"]["status_code"], errors["hot"]["body"]["error"]["param"]) == (400, "temperature")
    assert (errors["odd"]["status_code"], errors["odd"]["body"]["error"]["code"]) == (404, "model_not_found")


def test_invalid_input_file_fails_the_batch(client):
    batch = wait(client, begin(client, [request("a", "x"), request("a", "x"), request("b", "x", url="/v1/responses")]))
    assert batch.status == "failed" and batch.output_file_id is None
    faults = [(fault.line, fault.code, fault.param) for fault in batch.errors.data]
    assert faults == [(2, "duplicate_custom_id", "custom_id"), (3, "mismatched_endpoint", "url")]


def test_batch_of_responses_is_answered(client):
    url = "/v1/responses"
    line = {"custom_id": "a", "method": "POST", "url": url, "body": {"model": MODEL, "input": "[[say=made]]"}}
    batch = wait(client, begin(client, [line], endpoint=url))
    [answer] = lines(client, batch.output_file_id)
    assert openai.types.responses.Response.model_validate(answer["response"]["body"]).output_text == "made"
    assert client.responses.retrieve(answer["response"]["body"]["id"]).status == "completed"


def test_cancelled_batch_stops(client):
    batch = begin(client, [request(f"r{n}", "[[tokens=500 gap_ms=50]]") for n in range(3)])
    batch = client.batches.cancel(batch.id)
    assert batch.status in ("cancelling", "cancelled")
    batch = wait(client, batch)
    assert batch.status == "cancelled" and batch.cancelled_at >= batch.cancelling_at


def test_unsupported_completion_window_is_refused(client):
    file = upload(client, [request("a", "x")])
    with pytest.raises(openai.BadRequestError) as refused:
        client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="1h")
    assert refused.value.param == "completion_window"


def test_inline_batch_answers_every_request(raw):
    requests = [{"model": MODEL, "prompt": "[[say=one]]"}, {"model": MODEL}, {"model": MODEL, "prompt": "[[say=three]]"}]
    answer = raw.post("batch", json={"requests": requests, "parallel": 2}).raise_for_status().json()
    assert [result["status"] for result in answer["results"]] == ["completed", "failed", "completed"]
    texts = [answer["results"][n]["response"]["choices"][0]["message"]["content"] for n in (0, 2)]
    assert texts == ["one", "three"]
    assert answer["total_tokens"] > 0
