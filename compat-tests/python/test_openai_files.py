"""Uploaded files that messages name, with the official SDK."""

import base64

import openai
import pytest
from conftest import parts, say

MODEL = "haiku"
PDF = b"%PDF-1.4\n%%EOF\n"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture
def upload(client):
    """Uploads files and deletes them after the test."""
    ids = []

    def upload(name, content, purpose="user_data"):
        ids.append(client.files.create(file=(name, content), purpose=purpose).id)
        return ids[-1]

    yield upload
    for file in ids:
        client.files.delete(file)


def blocks(upstream, kind):
    """Returns the blocks of this type in the last upstream call."""
    messages = upstream.last()["messages"]
    return [block for message in messages for block in parts(message["content"]) if block["type"] == kind]


def test_chat_message_files_reach_the_model(client, upload, upstream, marker):
    files = [upload("a.pdf", PDF), upload("b.png", PNG, "vision"), upload("c.txt", "Plain words.")]
    content = [{"type": "file", "file": {"file_id": file}} for file in files]
    content.append({"type": "text", "text": f"{marker} {say('Read.')}"})
    chat = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    assert chat.choices[0].message.content == "Read."
    (document,) = blocks(upstream, "document")
    assert (base64.b64decode(document["source"]["data"]), document["title"]) == (PDF, "a.pdf")
    (image,) = blocks(upstream, "image")
    assert image["source"]["media_type"] == "image/png"
    assert "c.txt\n\nPlain words." in [block["text"] for block in blocks(upstream, "text")]


def test_response_files_reach_the_model_and_later_responses(client, upload, upstream, marker):
    file, image = upload("a.pdf", PDF), upload("b.png", PNG, "vision")
    content = [
        {"type": "input_file", "file_id": file},
        {"type": "input_image", "file_id": image, "detail": "auto"},
        {"type": "input_text", "text": f"{marker} {say('Read.')}"},
    ]
    first = client.responses.create(model=MODEL, input=[{"role": "user", "content": content}])
    assert first.output_text == "Read."
    assert len(blocks(upstream, "document")) == len(blocks(upstream, "image")) == 1
    second = client.responses.create(model=MODEL, input=f"{marker} {say('Again.')}", previous_response_id=first.id)
    assert second.output_text == "Again."
    assert len(blocks(upstream, "document")) == len(blocks(upstream, "image")) == 1


def test_missing_file_is_refused(client):
    content = [{"type": "file", "file": {"file_id": "file-0"}}]
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    assert (missing.value.code, missing.value.param) == ("file_not_found", "messages[0].content[0].file.file_id")
    content = [{"type": "input_image", "file_id": "file-0", "detail": "auto"}]
    with pytest.raises(openai.NotFoundError) as missing:
        client.responses.create(model=MODEL, input=[{"role": "user", "content": content}], stream=True)
    assert (missing.value.code, missing.value.param) == ("file_not_found", "input[0].content[0].file_id")


def test_wrong_file_type_is_refused(client, upload):
    content = [{"type": "input_image", "file_id": upload("a.pdf", PDF), "detail": "auto"}]
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=MODEL, input=[{"role": "user", "content": content}])
    assert refused.value.param == "input[0].content[0].file_id"
