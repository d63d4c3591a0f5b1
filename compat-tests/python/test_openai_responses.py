"""The Responses API with the official SDK: answers, events, tools, objects and stored conversations."""

import json

import openai
import pydantic
import pytest
from conftest import call, eventually, say

MODEL = "sonnet"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
                   "additionalProperties": False},
    "strict": True,
}
PARIS = call("get_weather", city="Paris")
TWELVE = " ".join(f"w{n}" for n in range(1, 13))


def ask(client, asked, **options):
    return client.responses.create(**{"model": MODEL, "input": asked, **options})


def user(content):
    return [{"role": "user", "content": content}]


def calls(response):
    return [(item.name, json.loads(item.arguments)) for item in response.output if item.type == "function_call"]


# Answers


def test_response_has_text_status_and_usage(client):
    response = ask(client, "[[tokens=4 usage_in=10 usage_cache_read=200 usage_cache_write=3000]]")
    assert (response.object, response.status, response.model) == ("response", "completed", MODEL)
    assert response.output_text == "w1 w2 w3 w4"
    [message] = response.output
    assert (message.type, message.role, message.status) == ("message", "assistant", "completed")
    assert response.id.startswith("resp_")
    assert (response.error, response.incomplete_details) == (None, None)
    usage = response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (3210, 4, 3214)
    assert usage.input_tokens_details.cached_tokens == 200


def test_instructions_and_conversation_reach_the_model(client, upstream, marker):
    asked = [
        {"role": "developer", "content": "Speak French."},
        *user("Hi."),
        {"role": "assistant", "content": "Salut."},
        {"role": "user", "content": [{"type": "input_text", "text": f"{marker} [[say=ok]]"}]},
    ]
    options = {"model": "claude-haiku-4-5", "temperature": 0.3, "max_output_tokens": 77}
    response = ask(client, asked, instructions="Be brief.", **options)
    assert response.output_text == "ok"
    assert response.instructions == "Be brief."
    assert upstream.turns() == [("user", "Hi."), ("assistant", "Salut."), ("user", f"{marker} [[say=ok]]")]
    assert "Be brief." in upstream.system()
    assert "Speak French." in upstream.system()
    assert (upstream.body()["temperature"], upstream.body()["max_tokens"]) == (0.3, 77)


def test_image_reaches_the_model(client, upstream, marker):
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg=="
    content = [
        {"type": "input_text", "text": f"{marker} [[say=red]]"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{pixel}", "detail": "auto"},
    ]
    assert ask(client, user(content)).output_text == "red"
    assert pixel in str(upstream.body())


def test_token_limit_makes_the_response_incomplete(client):
    response = ask(client, "[[tokens=50 gap_ms=20]]", max_output_tokens=16)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert response.output_text == " ".join(f"w{n}" for n in range(1, 17))


def test_thinking_is_a_reasoning_item(client):
    response = ask(client, '[[thinking="let me see" say=ok]]', reasoning={"effort": "low", "summary": "auto"})
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert "let me see" in response.output[0].model_dump_json()
    assert response.output_text == "ok"


async def test_async_client_has_answer_and_stream(async_client):
    assert (await ask(async_client, "[[say=ok]]")).output_text == "ok"
    stream = await ask(async_client, "[[tokens=12]]", stream=True)
    deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
    assert "".join(deltas) == TWELVE


# Streams


def test_stream_events_come_in_order(client):
    events = list(ask(client, "[[tokens=12]]", stream=True))
    kinds = [event.type for event in events]
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert kinds[:4] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    ]
    assert kinds[4:-4] == ["response.output_text.delta"] * len(deltas)
    assert kinds[-4:] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert len(deltas) > 10
    assert "".join(delta.delta for delta in deltas) == events[-4].text == events[-1].response.output_text == TWELVE
    assert len({events[0].response.id, events[-1].response.id}) == 1
    assert len({event.item_id for event in events[3:-2]}) == 1
    assert events[-1].response.usage.output_tokens == 12


def test_stream_helper_has_the_final_response(client):
    with client.responses.stream(model=MODEL, input="[[tokens=12]]") as stream:
        pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(pieces) == final.output_text == TWELVE
    assert (final.status, final.usage.output_tokens) == ("completed", 12)


def test_token_limit_makes_the_stream_incomplete(client):
    [*_, last] = ask(client, "[[tokens=50 gap_ms=20]]", max_output_tokens=16, stream=True)
    assert (last.type, last.response.status) == ("response.incomplete", "incomplete")


def test_late_failure_is_reported_by_events(client):
    events = list(ask(client, "[[tokens=20 gap_ms=20 error_after=5]]", stream=True))
    assert [event.type for event in events[-2:]] == ["error", "response.failed"]
    assert events[-1].response.status == "failed"
    assert len(events[-1].response.error.message) > 20


# Tools


def test_tool_call_and_its_result_reach_the_model(client, upstream, marker):
    asked = user(f"{marker} {PARIS}")
    response = ask(client, asked, tools=[WEATHER])
    [made] = response.output
    assert (made.type, made.status, response.status) == ("function_call", "completed", "completed")
    assert calls(response) == [("get_weather", {"city": "Paris"})]
    assert made.call_id
    assert upstream.tools()["get_weather"]["description"] == "The weather of a city."
    asked += [*response.output, {"type": "function_call_output", "call_id": made.call_id, "output": "18 degrees"}]
    assert ask(client, asked, tools=[WEATHER]).output_text == "Tool results: 18 degrees"
    assert len(upstream.calls()) == 2
    assert upstream.results() == {"get_weather": "18 degrees"}


def test_tool_result_follows_a_stored_response(client, upstream, marker):
    first = ask(client, f"{marker} {PARIS}", tools=[WEATHER])
    result = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "18 degrees"}
    second = ask(client, [result], tools=[WEATHER], previous_response_id=first.id)
    assert second.output_text == "Tool results: 18 degrees"
    assert second.previous_response_id == first.id
    assert len(upstream.calls()) == 2


def test_stream_has_the_tool_calls(client):
    prompt = '[[tool=get_weather input={"city":"Paris"} tool=get_weather input={"city":"Oslo"}]]'
    events = list(ask(client, prompt, tools=[WEATHER], stream=True))
    added = [event for event in events if event.type == "response.output_item.added"]
    done = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert [(event.output_index, event.item.type, event.item.arguments) for event in added] == [
        (0, "function_call", ""),
        (1, "function_call", ""),
    ]
    for event, city in zip(done, ["Paris", "Oslo"], strict=True):
        assert json.loads(event.arguments) == {"city": city}
        deltas = [of.delta for of in events
                  if of.type == "response.function_call_arguments.delta" and of.item_id == event.item_id]
        assert "".join(deltas) == event.arguments
    assert calls(events[-1].response) == [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Oslo"})]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "get_weather"}], ids=["any", "named"])
def test_required_tool_is_called(client, choice):
    free = {**WEATHER, "strict": False}
    # The stand-in answers with the required fields of the schema, like a model with a response schema.
    assert calls(ask(client, "Hi.", tools=[free], tool_choice=choice)) == [("get_weather", {"city": "text"})]
    assert [name for name, _ in calls(ask(client, "Hi.", tools=[free], tool_choice=choice, model="haiku"))] == ["get_weather"]


def test_forbidden_tool_is_not_called(client):
    assert ask(client, "[[say=no]]", tools=[WEATHER], tool_choice="none").output_text == "no"


# Objects


class Person(pydantic.BaseModel):
    name: str
    age: int


ADA = {"name": "Ada", "age": 36}


def test_parse_returns_an_object_of_the_schema(client, upstream, marker):
    response = client.responses.parse(model=MODEL, input=f"{marker} {say(ADA)}", text_format=Person)
    assert response.output_parsed == Person(**ADA)
    assert upstream.body()["output_config"]["format"]["schema"]["required"] == ["name", "age"]


def test_stream_helper_parses_the_object(client):
    with client.responses.stream(model=MODEL, input=say(ADA), text_format=Person) as stream:
        [done] = [event for event in stream if event.type == "response.output_text.done"]
        final = stream.get_final_response()
    assert done.parsed == final.output_parsed == Person(**ADA)


class GetWeather(pydantic.BaseModel):
    """The weather of a city."""

    city: str


def test_parse_returns_arguments_as_objects(client):
    tools = [openai.pydantic_function_tool(GetWeather)]
    tools = [{"type": "function", **tool["function"]} for tool in tools]
    response = client.responses.parse(model=MODEL, input=call("GetWeather", city="Paris"), tools=tools)
    assert json.loads(response.output[0].arguments) == {"city": "Paris"}


# Stored responses


def test_previous_response_id_continues_the_conversation(client, upstream, marker):
    first = ask(client, f"{marker} My name is Ada. [[say=Hello.]]", instructions="Be brief.")
    second = ask(client, "[[say=Bye.]]", previous_response_id=first.id)
    assert second.output_text == "Bye."
    assert upstream.blocks() == [
        ("text", f"{marker} My name is Ada. [[say=Hello.]]"),
        ("text", "Hello."),
        ("text", "[[say=Bye.]]"),
    ]
    assert "Be brief." not in upstream.system_of(upstream.last())


def test_response_is_stored_and_deleted(client):
    made = ask(client, "[[say=ok]]", metadata={"topic": "demo"})
    kept = client.responses.retrieve(made.id)
    assert (kept.output_text, kept.metadata) == ("ok", {"topic": "demo"})
    assert [item.type for item in client.responses.input_items.list(made.id)] == ["message"]
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_response_with_store_false_is_not_stored(client):
    made = ask(client, "[[say=ok]]", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, "Hi.", previous_response_id=made.id)
    assert caught.value.param == "previous_response_id"


def test_background_response_completes(client):
    made = ask(client, "[[tokens=12]]", background=True)
    assert made.status == "queued"
    assert eventually(lambda: client.responses.retrieve(made.id).status == "completed")
    assert client.responses.retrieve(made.id).output_text == TWELVE


def test_background_stream_resumes_after_a_sequence_number(client):
    seen = []
    for event in ask(client, "[[tokens=12 gap_ms=20]]", background=True, stream=True):
        seen.append(event)
        if event.type == "response.output_text.delta":
            break
    rest = client.responses.retrieve(
        seen[0].response.id, stream=True, starting_after=seen[-1].sequence_number
    )
    seen += rest
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert "".join(event.delta for event in seen if event.type == "response.output_text.delta") == TWELVE


def test_background_response_is_cancelled(client, upstream, marker):
    made = ask(client, f"{marker} [[tokens=500 gap_ms=50]]", background=True)
    assert eventually(upstream.calls)
    assert client.responses.cancel(made.id).status == "cancelled"
    assert eventually(lambda: upstream.call()["outcome"] == "client_gone")


def test_input_tokens_are_counted(client):
    short = client.responses.input_tokens.count(model=MODEL, input="Hi.")
    long = client.responses.input_tokens.count(model=MODEL, input="Hi. " * 100, instructions="Be brief.")
    assert long.input_tokens > short.input_tokens > 0


def test_compacted_conversation_continues(client, upstream, marker):
    asked = [*user("Hi."), {"role": "assistant", "content": "Hello."}]
    packed = client.responses.compact(model=MODEL, input=asked)
    answer = ask(client, [*packed.output, *user(f"{marker} [[say=Bye.]]")])
    assert answer.output_text == "Bye."
    assert [text for _, text in upstream.blocks()] == ["Hi.", "Hello.", f"{marker} [[say=Bye.]]"]


def test_websocket_answers_responses(client):
    with client.responses.connect() as connection:
        for prompt in ("[[tokens=12]]", "[[say=ok]]"):
            connection.response.create(model=MODEL, input=prompt)
            for event in connection:
                if event.type == "response.completed":
                    break
            assert event.response.output_text == (TWELVE if "tokens" in prompt else "ok")


# Failures


@pytest.mark.parametrize(
    ("asked", "options", "kind", "param"),
    [
        ("Hi.", {"temperature": 3}, openai.BadRequestError, "temperature"),
        ("Hi.", {"tools": [{**WEATHER, "name": "no spaces"}]}, openai.BadRequestError, "tools[0].name"),
        ("[[status=429]]", {}, openai.RateLimitError, None),
        ("[[status=529]]", {}, openai.InternalServerError, None),
    ],
    ids=["mistake", "tool", "limit", "overloaded"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_failure_raises_its_exception(client, asked, options, kind, param, stream):
    with pytest.raises(kind) as caught:
        ask(client, asked, stream=stream, **options)
    assert caught.value.param == param
