"""instructor: structured answers by tools, by schemas and by JSON."""

import instructor
import openai
import pydantic
import pytest
from conftest import call, say
from instructor.core import InstructorRetryException


class Person(pydantic.BaseModel):
    """Somebody."""

    name: str
    age: int


ADA = {"name": "Ada", "age": 36}
MODES = {
    instructor.Mode.TOOLS: call("Person", **ADA),
    instructor.Mode.JSON_SCHEMA: say(ADA),
    instructor.Mode.JSON: say(ADA),
    instructor.Mode.RESPONSES_TOOLS: call("Person", **ADA),
    instructor.Mode.MD_JSON: say("```json\n" + '{"name": "Ada", "age": 36}' + "\n```"),
}
by_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)


def user(content):
    return [{"role": "user", "content": content}]


def asked(client, prompt, mode=instructor.Mode.TOOLS, **options):
    return instructor.from_openai(client, mode=mode).chat.completions.create(
        messages=user(prompt), **{"model": "gpt-4o", "response_model": Person, "max_retries": 0, **options}
    )


@by_mode
def test_answer_is_parsed_into_the_model(client, mode):
    assert asked(client, f"Who? {MODES[mode]}", mode).model_dump() == ADA


@by_mode
async def test_async_client_answer_is_parsed_into_the_model(async_client, mode):
    assert (await asked(async_client, f"Who? {MODES[mode]}", mode)).model_dump() == ADA


def test_tool_reaches_the_model_and_is_required(client, upstream, marker):
    asked(client, f"{marker} {call('Person', **ADA)}", model="haiku")
    assert upstream.tools()["Person"]["description"] == "Somebody."
    assert upstream.last()["tool_choice"]["type"] == "tool"
    assert len(upstream.calls()) == 1


@pytest.mark.parametrize("mode", [instructor.Mode.TOOLS, instructor.Mode.JSON], ids=lambda mode: mode.value)
def test_partial_object_streams_to_the_whole_object(client, mode):
    partial = instructor.from_openai(client, mode=mode).chat.completions.create_partial(
        model="gpt-4o", messages=user(f"[[gap_ms=5]] {MODES[mode]}"), response_model=Person, max_retries=0
    )
    seen = list(partial)
    assert len(seen) > 1
    assert seen[-1].model_dump() == ADA


def test_iterable_yields_every_object(client):
    people = {"tasks": [ADA, {"name": "Bob", "age": 9}]}
    found = instructor.from_openai(client).chat.completions.create_iterable(
        model="gpt-4o", messages=user(call("IterablePerson", **people)), response_model=Person, max_retries=0
    )
    assert [person.model_dump() for person in found] == people["tasks"]


def test_invalid_object_is_asked_for_again(client, upstream, marker):
    requests = []
    patched = instructor.from_openai(client)
    patched.on("completion:kwargs", lambda *_, **options: requests.append(options))
    messages = user(f"{marker} {call('Person', name='Ada', age='unknown')}")
    with pytest.raises(InstructorRetryException):
        patched.chat.completions.create(model="gpt-4o", messages=messages, response_model=Person, max_retries=2)
    assert len(upstream.calls()) == len(requests) > 1
    assert "unknown" in str(upstream.blocks())


def test_completion_is_returned_beside_the_object(client):
    person, completion = instructor.from_openai(client).chat.completions.create_with_completion(
        model="gpt-4o", messages=user(call("Person", **ADA)), response_model=Person, max_retries=0
    )
    assert person.model_dump() == ADA
    assert completion.usage.total_tokens > 0


def test_failure_raises_its_exception(client):
    with pytest.raises((openai.RateLimitError, InstructorRetryException), match="429|limit"):
        asked(client, "[[status=429]]")
