"""Strict validation of every body and chunk against the SDK's types.

The SDK accepts unknown fields, missing fields and wrong types. Here types are strict, unknown fields are errors, and
fields that OpenAI always sends are required.
"""

import json
import os
import time

import pydantic
import pytest
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.shared import ErrorObject

HEARTBEAT_SECONDS = float(os.environ.get("HEARTBEAT_SECONDS", 0))
CHAT = "/chat/completions"


class ModelList(pydantic.BaseModel):
    object: str
    data: list[Model]


class ErrorResponse(pydantic.BaseModel):
    error: ErrorObject


def strictly(kind, text):
    return kind.model_validate_json(without_extensions(text), strict=True, extra="forbid")


def without_extensions(text):
    """Removes the extensions that docs/API.md lists: reasoning, a text, the cost, limits of models."""
    body = json.loads(text)
    cost = (body.get("usage") or {}).pop("cost_usd", 0)
    assert isinstance(cost, int | float) and cost >= 0
    for choice in body.get("choices", []):
        for part in ("message", "delta"):
            thinking = choice.get(part, {}).pop("reasoning_content", "text")
            assert isinstance(thinking, str) and thinking
    for model in [body, *body.get("data", [])]:
        if model.get("object") == "model":
            for limit in ("context_length", "max_output_tokens"):
                assert model.pop(limit, 1) >= 1
    return json.dumps(body)


def chat(prompt, **options):
    return {"model": "sonnet", "messages": [{"role": "user", "content": prompt}], **options}


WEATHER = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
TOOLS = {"tools": [{"type": "function", "function": WEATHER}]}
PARIS = '[[tool=get_weather input={"city":"Paris"}]]'
BOTH = '[[say=Well. tool=get_weather input={"city":"Paris"} tool=get_weather input={"city":"Oslo"}]]'
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"],
          "additionalProperties": False}
OBJECT = {"response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}}

PROMPTS = [
    pytest.param("[[tokens=5]]", {}, id="plain"),
    pytest.param("[[tokens=50 gap_ms=20]]", {"max_tokens": 3}, id="limited"),
    pytest.param('[[say="one two three"]]', {"stop": "two"}, id="stopped"),
    pytest.param("[[thinking=hm say=ok]]", {}, id="thinking"),
    pytest.param('[[say="no" stop_reason=refusal]]', {}, id="refused"),
    pytest.param("[[say=ok]]", {"seed": 1, "user": "u", "metadata": {"a": "b"}, "n": 1, "tools": []}, id="ignored"),
    pytest.param(PARIS, TOOLS, id="call"),
    pytest.param(BOTH, TOOLS, id="text and calls"),
    pytest.param(PARIS, {"functions": [WEATHER]}, id="function of old"),
    pytest.param("Who?", OBJECT, id="object"),
    pytest.param('[[say="{\\"age\\":36}"]]', {"response_format": {"type": "json_object"}}, id="JSON"),
]


@pytest.mark.parametrize(("prompt", "options"), PROMPTS)
def test_completion_matches_the_sdk_type(raw, prompt, options):
    response = raw.post(CHAT, json=chat(prompt, **options))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    completion = strictly(ChatCompletion, response.text)
    assert completion.id.startswith("chatcmpl-")
    assert abs(completion.created - time.time()) < 60
    body = response.json()
    assert {"id", "object", "created", "model", "choices", "usage"} <= body.keys()
    [choice] = body["choices"]
    assert {"index", "message", "logprobs", "finish_reason"} <= choice.keys()
    assert {"role", "content", "refusal"} <= choice["message"].keys()


class Stream:
    """Parses a raw stream strictly, with its comments separate."""

    def __init__(self, raw, body):
        with raw.stream("POST", CHAT, json={**body, "stream": True}) as response:
            text = response.read().decode()
            self.status, self.headers = response.status_code, response.headers
        assert self.status == 200, text
        assert text.endswith("\n\n")
        events = text.removesuffix("\n\n").split("\n\n")
        self.comments = [event for event in events if event.startswith(":")]
        payloads = [event for event in events if not event.startswith(":")]
        assert all("\n" not in event for event in events)
        assert all(payload.startswith("data: ") for payload in payloads)
        *self.payloads, self.last = [payload.removeprefix("data: ") for payload in payloads]

    def chunks(self):
        return [strictly(ChatCompletionChunk, payload) for payload in self.payloads]


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize(("prompt", "options"), PROMPTS)
def test_stream_chunks_match_the_sdk_type(raw, prompt, options, include_usage):
    extra = {"stream_options": {"include_usage": True}} if include_usage else {}
    stream = Stream(raw, chat(prompt, **options, **extra))
    assert stream.last == "[DONE]"
    chunks = stream.chunks()
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    if include_usage:
        usage = chunks.pop()
        assert usage.choices == []
        assert usage.usage.total_tokens == usage.usage.prompt_tokens + usage.usage.completion_tokens
        bodies = map(json.loads, stream.payloads[:-1])
        assert all(body.get("usage", "absent") is None for body in bodies)
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert len(choices) == len(chunks)
    assert [choice.delta.role for choice in choices] == ["assistant"] + [None] * (len(choices) - 1)
    assert [choice.finish_reason is None for choice in choices] == [True] * (len(choices) - 1) + [False]
    assert not choices[-1].delta.content


def test_body_and_stream_agree(raw):
    prompt = chat("[[tokens=9]]")
    body = raw.post(CHAT, json=prompt).json()
    stream = Stream(raw, {**prompt, "stream_options": {"include_usage": True}})
    chunks = stream.chunks()
    content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert content == body["choices"][0]["message"]["content"]
    assert chunks[-2].choices[0].finish_reason == body["choices"][0]["finish_reason"]
    assert json.loads(stream.payloads[-1])["usage"] == body["usage"]
    assert body["usage"]["cost_usd"] > 0


def test_thinking_is_apart_from_content(raw):
    prompt = chat('[[thinking="let me see" say=ok]]')
    message = raw.post(CHAT, json=prompt).json()["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("let me see", "ok")
    deltas = [json.loads(payload)["choices"][0]["delta"] for payload in Stream(raw, prompt).payloads]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "let me see"
    assert "".join(delta.get("content", "") for delta in deltas) == "ok"


def test_stream_headers_forbid_caching_and_buffering(raw):
    headers = Stream(raw, chat("[[tokens=2]]")).headers
    assert headers["content-type"].split(";")[0] == "text/event-stream"
    assert "no-cache" in headers["cache-control"]
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-request-id"]
    assert "content-encoding" not in headers


@pytest.mark.skipif(not HEARTBEAT_SECONDS, reason="HEARTBEAT_SECONDS is not set")
def test_heartbeats_are_comments(raw):
    silence = int(HEARTBEAT_SECONDS * 2500)
    stream = Stream(raw, chat(f"[[say=late ttft_ms={silence}]]"))
    assert len(stream.comments) == 2
    assert (len(stream.chunks()), stream.last) == (3, "[DONE]")


@pytest.mark.parametrize("fault", ["error_after", "cut_after"])
def test_late_failure_ends_the_stream_with_an_error(raw, fault):
    stream = Stream(raw, chat(f"[[tokens=9 gap_ms=20 {fault}=3]]"))
    error = strictly(ErrorResponse, stream.last).error
    assert error.type == "server_error"
    assert set(json.loads(stream.last)["error"]) == {"message", "type", "param", "code"}
    assert all(choice.finish_reason is None for chunk in stream.chunks() for choice in chunk.choices)


def test_models_match_the_sdk_type(raw):
    response = raw.get("/models")
    models = strictly(ModelList, response.text)
    assert models.object == "list"
    for model in models.data:
        assert strictly(Model, raw.get(f"/models/{model.id}").text) == model


HI = [{"role": "user", "content": "Hi."}]

REFUSALS = [
    # name, status, code, param, request
    ("no JSON", 400, None, None, {"content": "{", "headers": {"content-type": "application/json"}}),
    ("no object", 400, None, None, {"json": []}),
    ("no model", 400, "missing_required_parameter", "model", {"json": {"messages": HI}}),
    ("no messages", 400, "missing_required_parameter", "messages", {"json": {"model": "sonnet"}}),
    ("wrong type", 400, "invalid_type", "messages", {"json": {"model": "sonnet", "messages": "Hi."}}),
    ("wrong type of stream", 400, "invalid_type", "stream", {"json": chat("Hi.", stream="yes")}),
    ("too hot", 400, "invalid_value", "temperature", {"json": chat("Hi.", temperature=2.1)}),
    ("no answers", 400, "invalid_value", "n", {"json": chat("Hi.", n=0)}),
    ("not supported", 400, "unsupported_parameter", "logprobs", {"json": chat("Hi.", logprobs=True)}),
    ("unknown model", 404, "model_not_found", "model", {"json": {"model": "gemini-9", "messages": HI}}),
    ("wrong key", 401, "invalid_api_key", None, {"json": chat("Hi."), "headers": {"authorization": "Bearer no"}}),
    ("no key", 401, "invalid_api_key", None, {"json": chat("Hi."), "headers": {"authorization": ""}}),
    ("rate limit", 429, "rate_limit_exceeded", None, {"json": chat("[[status=429]]")}),
    ("overloaded", 503, "overloaded", None, {"json": chat("[[status=529]]")}),
    ("broken upstream", 502, "upstream_error", None, {"json": chat("[[status=500]]")}),
    ("refused upstream", 400, None, None, {"json": chat("[[status=400]]")}),
    ("too long", 400, "context_length_exceeded", "messages",
     {"json": chat('[[status=400 message="prompt is too long: 210000 tokens > 200000 maximum"]]')}),
]


def refused(response, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    error = strictly(ErrorResponse, response.text).error
    assert error.message
    return error


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "code", "param", "ask"), [pytest.param(*r[1:], id=r[0]) for r in REFUSALS])
def test_refusal_matches_the_sdk_type(raw, status, code, param, ask, stream):
    if stream and isinstance(ask.get("json"), dict):
        ask = {**ask, "json": {"stream": True, **ask["json"]}}
    error = refused(raw.post(CHAT, **ask), status)
    assert (error.code, error.param) == (code, param)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/no/such/path", 404, "unknown_url"),
        ("POST", "/embeddings", 404, "unsupported_endpoint"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("DELETE", "/models", 405, "method_not_allowed"),
        ("GET", "/models/no-such-model", 404, "model_not_found"),
    ],
)
def test_wrong_path_or_method_is_refused(raw, method, path, status, code):
    assert refused(raw.request(method, path), status).code == code


@pytest.mark.parametrize("options", [{}, {"max_tokens": 3}, {"n": 2, "echo": True}], ids=["plain", "limited", "two"])
def test_text_completion_matches_the_sdk_type(raw, options):
    body = {"model": "sonnet", "prompt": "[[tokens=9 gap_ms=5]]", **options}
    strictly(Completion, raw.post("/completions", json=body).text)
    with raw.stream("POST", "/completions", json={**body, "stream": True}) as response:
        *payloads, last = response.read().decode().removesuffix("\n\n").split("\n\n")
    assert last == "data: [DONE]"
    for payload in payloads:
        # OpenAI sends null before the last chunk, which the SDK's type does not allow.
        ended = payload.replace('"finish_reason":null', '"finish_reason":"stop"')
        strictly(Completion, ended.removeprefix("data: "))


@pytest.mark.parametrize("wrong", [{"extra": 1}, {"finish_reason": "other"}, {"index": "0"}], ids=lambda wrong: next(iter(wrong)))
def test_strict_check_rejects_wrong_fields(raw, wrong):
    body = raw.post(CHAT, json=chat("[[say=ok]]")).json()
    strictly(ChatCompletion, json.dumps(body))
    body["choices"][0] |= wrong
    with pytest.raises(pydantic.ValidationError):
        strictly(ChatCompletion, json.dumps(body))
