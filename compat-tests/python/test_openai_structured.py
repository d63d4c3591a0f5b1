"""Structured output with the official SDK: `parse`, its streams, JSON mode, and answers that cannot be parsed."""

import enum
import json

import openai
import pydantic
import pytest
from conftest import say

MODEL = "sonnet"


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Pet(pydantic.BaseModel):
    name: str
    color: Color


class Person(pydantic.BaseModel):
    """Somebody."""

    name: str = pydantic.Field(description="As in the passport.")
    age: int
    email: str | None
    pets: list[Pet]


ADA = Person(name='Ada "Łódź"\n👩‍👩‍👧', age=36, email=None, pets=[Pet(name="Rex", color=Color.BLUE)])
ADA_SAID = say(ADA.model_dump(mode="json"))


def user(content):
    return [{"role": "user", "content": content}]


def parse(client, prompt, **options):
    return client.chat.completions.parse(model=MODEL, messages=user(prompt), response_format=Person, **options)


def test_parse_returns_an_object_of_the_schema(client, upstream, marker):
    [choice] = parse(client, f"{marker} {ADA_SAID}").choices
    assert choice.message.parsed == ADA
    assert (choice.finish_reason, choice.message.refusal) == ("stop", None)
    asked = upstream.body()["output_config"]["format"]
    assert asked["type"] == "json_schema"
    assert asked["schema"]["properties"]["name"]["description"] == "As in the passport."
    assert asked["schema"]["required"] == ["name", "age", "email", "pets"]


def test_schema_binds_the_answer(client):
    parsed = parse(client, "Who?").choices[0].message.parsed
    assert isinstance(parsed, Person)


async def test_async_parse_returns_an_object_of_the_schema(async_client):
    assert (await parse(async_client, ADA_SAID)).choices[0].message.parsed == ADA


def test_stream_helper_parses_the_object(client):
    with client.chat.completions.stream(
        model=MODEL, messages=user(ADA_SAID), response_format=Person, stream_options={"include_usage": True}
    ) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    deltas = [event for event in events if event.type == "content.delta"]
    [done] = [event for event in events if event.type == "content.done"]
    assert len(deltas) > 3
    assert "".join(delta.delta for delta in deltas) == done.content
    assert final.choices[0].message.parsed == done.parsed == ADA
    assert final.usage.completion_tokens > 3


def test_json_schema_format_is_followed(client):
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
              "additionalProperties": False}
    response_format = {"type": "json_schema", "json_schema": {"name": "flag", "schema": schema, "strict": True}}
    answer = client.chat.completions.create(model=MODEL, messages=user("Is it?"), response_format=response_format)
    assert json.loads(answer.choices[0].message.content) == {"ok": False}


def test_json_mode_returns_json(client):
    answer = client.chat.completions.create(
        model=MODEL,
        messages=user(f"Answer in JSON. {say({'city': 'Paris'})}"),
        response_format={"type": "json_object"},
    )
    assert json.loads(answer.choices[0].message.content) == {"city": "Paris"}
    assert (answer.choices[0].finish_reason, answer.choices[0].message.tool_calls) == ("stop", None)


def test_schema_applies_to_one_request_only(client, upstream, marker):
    parse(client, ADA_SAID)
    answer = client.chat.completions.create(model=MODEL, messages=user(f"{marker} [[say=free]]"))
    assert answer.choices[0].message.content == "free"
    assert "json_schema" not in str(upstream.body().get("output_config"))


def test_token_limit_raises_length_error(client):
    with pytest.raises(openai.LengthFinishReasonError):
        parse(client, f"[[gap_ms=20]] {ADA_SAID}", max_tokens=2)


def test_invalid_schema_is_named(client):
    response_format = {"type": "json_schema", "json_schema": {"name": "flag", "strict": True}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=user("Hi."), response_format=response_format)
    assert caught.value.param == "response_format.json_schema.schema"
