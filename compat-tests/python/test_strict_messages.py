"""Strict validation of every message and event against the Anthropic SDK's types, like `test_strict.py` for OpenAI's."""

import json
import typing

import anthropic.types
import pytest
from test_strict import PARIS, strictly

WEATHER = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
EVENTS = {name: kind for kind in typing.get_args(typing.get_args(anthropic.types.RawMessageStreamEvent)[0])
          for name in typing.get_args(kind.model_fields["type"].annotation)}

PROMPTS = [
    pytest.param("[[tokens=5]]", {}, id="plain"),
    pytest.param("[[tokens=50 gap_ms=20]]", {"max_tokens": 3}, id="limited"),
    pytest.param('[[say="one two three"]]', {"stop_sequences": ["two"]}, id="stopped"),
    pytest.param('[[say="no" stop_reason=refusal]]', {}, id="refused"),
    pytest.param("[[thinking=hm say=ok]]", {"thinking": {"type": "enabled", "budget_tokens": 2000}}, id="thinking"),
    pytest.param(PARIS, {"tools": [WEATHER]}, id="call"),
]


def message(prompt, options):
    messages = [{"role": "user", "content": prompt}]
    return {"model": "sonnet", "max_tokens": 4000, "messages": messages, **options}


@pytest.mark.parametrize(("prompt", "options"), PROMPTS)
def test_message_matches_the_sdk_type(raw, prompt, options):
    response = raw.post("/messages", json=message(prompt, options))
    assert response.status_code == 200, response.text
    strictly(anthropic.types.Message, response.text)
    assert {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"} <= response.json().keys()


@pytest.mark.parametrize(("prompt", "options"), PROMPTS)
def test_stream_events_match_the_sdk_types(raw, prompt, options):
    with raw.stream("POST", "/messages", json=message(prompt, {**options, "stream": True})) as response:
        text = response.read().decode()
    assert text.endswith("\n\n")
    pairs = [event.split("\n") for event in text.removesuffix("\n\n").split("\n\n")]
    events = [json.loads(data.removeprefix("data: ")) for _, data in pairs]
    assert [name for name, _ in pairs] == [f"event: {event['type']}" for event in events]
    for event in events:
        if event["type"] != "ping":
            strictly(EVENTS[event["type"]], json.dumps(event))


def test_token_count_matches_the_sdk_type(raw):
    body = message("Hi.", {})
    del body["max_tokens"]
    strictly(anthropic.types.MessageTokensCount, raw.post("/messages/count_tokens", json=body).text)


@pytest.mark.parametrize(("prompt", "status", "kind"), [("[[status=429]]", 429, "rate_limit_error"),
                                                        ("", 400, "invalid_request_error")])
def test_failure_matches_the_sdk_type(raw, prompt, status, kind):
    response = raw.post("/messages", json=message(prompt, {}))
    assert response.status_code == status
    assert strictly(anthropic.types.ErrorResponse, response.text).error.type == kind
