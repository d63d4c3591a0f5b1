"""Message Batches and files with the Anthropic SDK."""

import anthropic
import pytest
from conftest import API_KEY, BASE_URL, TIMEOUT, eventually

OPTIONS = {"base_url": BASE_URL.removesuffix("/v1"), "api_key": API_KEY, "timeout": TIMEOUT, "max_retries": 0}
PDF = b"%PDF-1.4\n%%EOF\n"


@pytest.fixture
def client():
    with anthropic.Anthropic(**OPTIONS) as client:
        yield client


def request(custom_id, prompt, **params):
    messages = [{"role": "user", "content": prompt}]
    return {"custom_id": custom_id, "params": {"model": "sonnet", "max_tokens": 100, "messages": messages, **params}}


def ended(client, batch):
    assert eventually(lambda: client.messages.batches.retrieve(batch.id).processing_status == "ended", within=30)
    return client.messages.batches.retrieve(batch.id)


def test_batch_ends_with_a_result_for_each_request(client):
    requests = [request("one", "[[tokens=2]]"), request("two", '[[say="Hi."]]'), request("bad", "x", temperature="hot")]
    batch = client.messages.batches.create(requests=requests)
    assert (batch.type, batch.processing_status, batch.request_counts.processing) == ("message_batch", "in_progress", 3)
    batch = ended(client, batch)
    assert (batch.request_counts.succeeded, batch.request_counts.errored) == (2, 1)
    assert batch.created_at <= batch.ended_at < batch.expires_at
    results = {line.custom_id: line.result for line in client.messages.batches.results(batch.id)}
    assert results["one"].message.content[0].text == "w1 w2"
    assert results["two"].message.usage.output_tokens > 0
    assert results["bad"].error.error.type == "invalid_request_error"
    assert client.messages.batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(batch.id)


def test_batch_list_pages_in_both_directions(client):
    made = [client.messages.batches.create(requests=[request("a", "[[tokens=1]]")]).id for _ in range(3)]
    listed = []
    for batch in client.messages.batches.list(limit=2):
        listed.append(batch.id)
        if len(listed) == 3:
            break
    assert listed == made[::-1]
    before = client.messages.batches.list(before_id=made[0], limit=1)
    assert [batch.id for batch in before.data] == [made[1]]
    for batch in made:
        ended(client, client.messages.batches.retrieve(batch))


def test_cancelled_batch_ends_with_results(client):
    batch = client.messages.batches.create(requests=[request("slow", "[[delay_ms=20000 tokens=1]]"), request("next", "x")])
    assert client.messages.batches.cancel(batch.id).cancel_initiated_at
    batch = ended(client, batch)
    kinds = [line.result.type for line in client.messages.batches.results(batch.id)]
    assert len(kinds) == 2 and "canceled" in kinds


def test_duplicate_custom_id_is_refused(client):
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.messages.batches.create(requests=[request("a", "x"), request("a", "x")])
    assert refused.value.body["error"]["type"] == "invalid_request_error"
    assert "requests[1].custom_id" in refused.value.body["error"]["message"]


def test_file_is_uploaded_read_and_deleted(client, upstream, marker):
    files = client.beta.files
    uploaded = files.upload(file=("notes.txt", b"Some words.", "text/plain"))
    assert (uploaded.type, uploaded.filename, uploaded.mime_type) == ("file", "notes.txt", "text/plain")
    assert (uploaded.size_bytes, uploaded.downloadable) == (11, True)
    assert files.retrieve_metadata(uploaded.id) == uploaded
    assert files.download(uploaded.id).read() == b"Some words."
    second = files.upload(file=("a.pdf", PDF, "application/pdf"))
    listed = []
    for file in files.list(limit=1):
        listed.append(file)
        if len(listed) == 2:
            break
    assert listed == [second, uploaded]
    document = {"type": "document", "source": {"type": "file", "file_id": second.id}, "cache_control": {"type": "ephemeral"}}
    client.beta.messages.create(
        model="sonnet",
        max_tokens=100,
        betas=["files-api-2025-04-14"],
        messages=[{"role": "user", "content": [document, {"type": "text", "text": f"{marker} [[tokens=1]]"}]}],
    )
    source = next(block["source"] for block in upstream.raw_blocks() if block["type"] == "document")
    assert (source["type"], source["media_type"]) == ("base64", "application/pdf")
    for file in [uploaded, second]:
        assert files.delete(file.id).type == "file_deleted"
    with pytest.raises(anthropic.NotFoundError):
        files.retrieve_metadata(uploaded.id)
