"""Strict validation of every response and event against the SDK's types, like `test_strict.py` for chat completions."""

import json
import typing

import pydantic
import pytest
from conftest import call, say
from openai.types.responses import Response, ResponseItem, ResponseStreamEvent
from test_strict import refused, strictly

EVENTS = {name: kind for kind in typing.get_args(typing.get_args(ResponseStreamEvent)[0])
          for name in typing.get_args(kind.model_fields["type"].annotation)}
# Fields in OpenAI's documentation that the SDK lacks.
BEYOND = {"response": "store", "response.function_call_arguments.done": "name"}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
                   "additionalProperties": False},
    "strict": True,
}
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"],
          "additionalProperties": False}
THOUGHTFUL = {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
# Required fields of a response, and those that OpenAI sends in addition.
ALWAYS = {
    "id", "object", "created_at", "status", "error", "incomplete_details", "instructions", "metadata", "model", "output",
    "parallel_tool_calls", "temperature", "tool_choice", "tools", "top_p", "background", "max_output_tokens",
    "previous_response_id", "reasoning", "service_tier", "store", "text", "truncation", "usage", "user",
}

PROMPTS = [
    pytest.param("[[tokens=5]]", {}, id="plain"),
    pytest.param("[[tokens=50 gap_ms=20]]", {"max_output_tokens": 16}, id="limited"),
    pytest.param("[[thinking=hm say=ok]]", THOUGHTFUL, id="thinking"),
    pytest.param('[[say="no" stop_reason=refusal]]', {}, id="refused"),
    pytest.param(call("get_weather", city="Paris"), {"tools": [WEATHER]}, id="call"),
    pytest.param('[[say="Let me look." tool=get_weather input={"city":"Paris"} tool=get_weather input={"city":"Oslo"}]]',
                 {"tools": [WEATHER], "tool_choice": "auto"}, id="text and calls"),
    pytest.param(say({"age": 36}), {"text": {"format": {"type": "json_schema", "name": "p", "schema": SCHEMA}}},
                 id="object"),
    pytest.param(say({"age": 36}), {"text": {"format": {"type": "json_object"}}}, id="JSON"),
    pytest.param("[[say=ok]]", {"user": "u", "metadata": {"a": "b"}, "instructions": "Be brief.", "temperature": 0.5,
                                "top_p": 0.9, "store": False, "truncation": "disabled"}, id="echoed"),
]
# Fields of the Open Responses specification, which the SDK lacks.
PENALTIES = ("presence_penalty", "frequency_penalty")
ENDS = {"completed", "incomplete", "failed"}


def declared(body):
    """Removes the fields that the SDK lacks from a body and from a response in an event."""
    beyond = BEYOND.get(body.get("type") or body.get("object"))
    assert beyond is None or isinstance(body[beyond], bool | str)
    nested = {"response": declared(body["response"])} if "response" in body else {}
    penalties = PENALTIES if body.get("object") == "response" else ()
    assert all(body[name] == 0.0 for name in penalties)
    return {name: value for name, value in {**body, **nested}.items() if name != beyond and name not in penalties}


def checked(response):
    assert response.keys() >= ALWAYS
    return strictly(Response, json.dumps(declared(response)))


def checked_event(event):
    if "response" in event:
        checked(event["response"])
    return strictly(EVENTS[event["type"]], json.dumps(declared(event)))


def events_of(raw, body):
    with raw.stream("POST", "/responses", json={**body, "stream": True}) as response:
        text = response.read().decode()
    assert response.status_code == 200, text
    assert response.headers["content-type"].split(";")[0] == "text/event-stream"
    assert text.endswith("\n\n")
    pairs = [event.split("\n") for event in text.removesuffix("\n\n").split("\n\n") if not event.startswith(":")]
    events = [json.loads(data.removeprefix("data: ")) for _, data in pairs]
    assert [name for name, _ in pairs] == [f"event: {event['type']}" for event in events]
    return events


def without_ids(item):
    """Removes the fields of an item that differ between two answers to the same request."""
    return {name: value for name, value in item.items() if name not in ("id", "call_id", "encrypted_content")}


@pytest.mark.parametrize(("prompt", "options"), PROMPTS)
def test_response_matches_the_sdk_type(raw, prompt, options):
    response = raw.post("/responses", json={"model": "sonnet", "input": prompt, **options})
    assert response.status_code == 200, response.text
    assert checked(response.json()).status in ENDS


@pytest.mark.parametrize("wrong", [{"extra": 1}, {"status": "other"}, {"text": 1}], ids=lambda wrong: next(iter(wrong)))
def test_strict_check_rejects_wrong_fields(raw, wrong):
    body = raw.post("/responses", json={"model": "sonnet", "input": "[[say=ok]]"}).json()
    body["output"][0] |= wrong
    with pytest.raises(pydantic.ValidationError):
        checked(body)


@pytest.mark.parametrize(("prompt", "options"), PROMPTS)
def test_stream_events_match_the_sdk_types(raw, prompt, options):
    body = {"model": "sonnet", "input": prompt, **options}
    events = events_of(raw, body)
    for event in events:
        checked_event(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    last = events[-1]["response"]
    assert events[-1]["type"] == f"response.{last['status']}"
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == last["output"]
    whole = raw.post("/responses", json=body).json()
    assert [*map(without_ids, last["output"])] == [*map(without_ids, whole["output"])]
    assert (last["status"], last["usage"]) == (whole["status"], whole["usage"])


def test_late_failure_events_match_the_sdk_types(raw):
    events = events_of(raw, {"model": "sonnet", "input": "[[tokens=20 gap_ms=20 error_after=5]]"})
    for event in events:
        checked_event(event)
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]


def test_stored_response_matches_the_sdk_type(raw):
    made = raw.post("/responses", json={"model": "sonnet", "input": call("get_weather", city="Oslo"),
                                        "tools": [WEATHER]}).json()
    kept = raw.get(f"/responses/{made['id']}").json()
    checked(kept)
    assert kept == made
    result = {"type": "function_call_output", "call_id": made["output"][0]["call_id"], "output": "18 degrees"}
    said = {"role": "user", "content": "Thanks. [[say=ok]]"}
    body = {"model": "sonnet", "input": [result, said], "tools": [WEATHER], "previous_response_id": made["id"]}
    second = checked(raw.post("/responses", json=body).json())
    page = raw.get(f"/responses/{second.id}/input_items").json()
    assert page.keys() == {"object", "data", "first_id", "last_id", "has_more"}
    assert [item["type"] for item in page["data"]][:2] == ["message", "function_call_output"]
    for item in page["data"]:
        pydantic.TypeAdapter(ResponseItem).validate_json(json.dumps(item), strict=True, extra="forbid")
    assert raw.delete(f"/responses/{made['id']}").json() == {"id": made["id"], "object": "response", "deleted": True}
    assert refused(raw.get(f"/responses/{made['id']}"), 404).code == "response_not_found"


def test_background_response_matches_the_sdk_type(raw):
    made = raw.post("/responses", json={"model": "sonnet", "input": "[[tokens=5000 gap_ms=50]]", "background": True})
    assert checked(made.json()).status == "queued"
    cancelled = raw.post(f"/responses/{made.json()['id']}/cancel")
    assert checked(cancelled.json()).status == "cancelled"


@pytest.mark.parametrize(
    ("options", "status", "code", "param"),
    [
        ({"input": None}, 400, None, "input"),
        ({"model": "gemini-9"}, 404, "model_not_found", "model"),
        ({"temperature": 3}, 400, "invalid_value", "temperature"),
        ({"conversation": "conv_1"}, 404, "conversation_not_found", "conversation"),
        ({"previous_response_id": "resp_1"}, 400, "previous_response_not_found", "previous_response_id"),
        ({"input": "[[status=429]]"}, 429, "rate_limit_exceeded", None),
        ({"input": "[[status=529]]"}, 503, "overloaded", None),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
@pytest.mark.parametrize("stream", [False, True])
def test_refusal_matches_the_sdk_type(raw, options, status, code, param, stream):
    body = {"model": "sonnet", "input": "Hi.", "stream": stream, **options}
    error = refused(raw.post("/responses", json=body), status)
    assert error.param == param
    assert error.code == code or code is None
