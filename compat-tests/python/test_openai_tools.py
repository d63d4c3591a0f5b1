"""Function calling with the official SDK: calls, results and every `tool_choice`."""

import json

import openai
import pydantic
import pytest
from conftest import call

MODEL = "sonnet"


def user(content):
    return [{"role": "user", "content": content}]


def function(name, description=None, **properties):
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"name": name, "description": description or name, "parameters": parameters}


WEATHER = function("get_weather", "The weather of a city.", city={"type": "string"})
TIME = function("get_time", "The time of a zone.", zone={"type": "string", "description": "As in Europe/Paris."})
TOOLS = [{"type": "function", "function": of} for of in (WEATHER, TIME)]
PARIS = call("get_weather", city="Paris")
BOTH = '[[tool=get_weather input={"city":"Paris"} tool=get_time input={"zone":"CET"}]]'


def ask(client, messages, **options):
    messages = user(messages) if isinstance(messages, str) else messages
    return client.chat.completions.create(**{"model": MODEL, "messages": messages, "tools": TOOLS, **options})


def called(message):
    return [(of.type, of.function.name, json.loads(of.function.arguments)) for of in message.tool_calls]


def result(of, content):
    return {"role": "tool", "tool_call_id": of.id, "content": content}


def test_tool_call_has_name_and_arguments(client, upstream, marker):
    [choice] = ask(client, f"{marker} {PARIS}").choices
    assert choice.finish_reason == "tool_calls"
    assert (choice.message.role, choice.message.content) == ("assistant", None)
    assert called(choice.message) == [("function", "get_weather", {"city": "Paris"})]
    assert choice.message.tool_calls[0].id
    assert upstream.tools().keys() == {"get_weather", "get_time"}
    weather = upstream.tools()["get_weather"]
    assert weather["description"] == WEATHER["description"]
    assert weather["input_schema"]["properties"] == WEATHER["parameters"]["properties"]
    assert weather["input_schema"]["required"] == ["city"]
    assert len(upstream.calls()) == 1


def test_tool_result_takes_one_more_call(client, upstream, marker):
    messages = user(f"{marker} {PARIS}")
    message = ask(client, messages).choices[0].message
    messages += [message, result(message.tool_calls[0], "18 degrees")]
    [choice] = ask(client, messages).choices
    assert (choice.message.content, choice.finish_reason) == ("Tool results: 18 degrees", "stop")
    assert choice.message.tool_calls is None
    assert len(upstream.calls()) == 2
    assert upstream.blocks() == [
        ("text", f"{marker} {PARIS}"),
        ("call", "get_weather", {"city": "Paris"}),
        ("result", "18 degrees"),
    ]


def test_parallel_results_may_come_in_any_order(client, upstream, marker):
    messages = user(f"{marker} {BOTH}")
    message = ask(client, messages).choices[0].message
    assert [name for _, name, _ in called(message)] == ["get_weather", "get_time"]
    weather, time = message.tool_calls
    assert weather.id != time.id
    answer = ask(client, [*messages, message, result(time, "noon"), result(weather, "18 degrees")])
    assert {"18 degrees", "noon"} == set(answer.choices[0].message.content.removeprefix("Tool results: ").split("; "))
    assert upstream.results() == {"get_weather": "18 degrees", "get_time": "noon"}


def test_successive_tool_calls_keep_their_history(client, upstream, marker):
    messages = user(f"{marker} {PARIS}")
    for step in ["one", "two", "three"]:
        message = ask(client, messages).choices[0].message
        messages += [message, result(message.tool_calls[0], step)]
        messages += user(f"{step} {call('get_weather', city=step)}")
    assert called(ask(client, messages).choices[0].message) == [("function", "get_weather", {"city": "three"})]
    assert len(upstream.calls()) == 4
    assert [block[0] for block in upstream.blocks()] == ["text", "call", "result"] * 3 + ["text"]


def test_foreign_conversation_reaches_the_model_unchanged(client, upstream, marker):
    calls = [{"id": "call_of:another.server/1", "type": "function",
              "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}]
    answer = ask(client, [
        *user(f"Oslo? {marker}"),
        {"role": "assistant", "content": "Let me look.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": calls[0]["id"], "content": [{"type": "text", "text": "rain"}]},
        {"role": "assistant", "content": "It rains."},
        *user("And now? [[say=Snow.]]"),
    ])
    assert answer.choices[0].message.content == "Snow."
    assert upstream.blocks() == [
        ("text", f"Oslo? {marker}"),
        ("text", "Let me look."),
        ("call", "get_weather", {"city": "Oslo"}),
        ("result", "rain"),
        ("text", "It rains."),
        ("text", "And now? [[say=Snow.]]"),
    ]


def test_text_before_a_tool_call_is_kept(client):
    prompt = '[[say="Let me look." tool=get_weather input={"city":"Paris"}]]'
    [choice] = ask(client, prompt).choices
    assert (choice.message.content, choice.finish_reason) == ("Let me look.", "tool_calls")
    assert len(choice.message.tool_calls) == 1


def test_tool_arguments_of_any_json_are_unchanged(client):
    arguments = {"city": 'Łódź "\\ \n 👩‍👩‍👧', "deep": {"list": [1, 2.5, None, True, {"a": []}]}, "empty": ""}
    [choice] = ask(client, call("get_weather", **arguments)).choices
    assert called(choice.message) == [("function", "get_weather", arguments)]


def test_tool_call_without_arguments_has_an_empty_object(client):
    [choice] = ask(client, "[[tool=now]]", tools=[{"type": "function", "function": {"name": "now"}}]).choices
    assert called(choice.message) == [("function", "now", {})]


def streamed(client, prompt, **options):
    """Assembles the calls of a stream and returns them with the finish reason."""
    calls, finish = [], None
    for chunk in ask(client, prompt, stream=True, **options):
        [choice] = chunk.choices
        finish = choice.finish_reason or finish
        for delta in choice.delta.tool_calls or []:
            if delta.index == len(calls):
                assert (delta.type, bool(delta.id)) == ("function", True)
                calls.append([delta.function.name, ""])
            else:
                assert (delta.index, delta.id, delta.function.name) == (len(calls) - 1, None, None)
            calls[-1][1] += delta.function.arguments or ""
    return [(name, json.loads(arguments)) for name, arguments in calls], finish


def test_stream_has_the_tool_calls(client):
    calls = [("get_weather", {"city": "Paris"}), ("get_time", {"zone": "CET"})]
    assert streamed(client, BOTH) == (calls, "tool_calls")


def test_tool_arguments_stream_in_pieces(client):
    prompt = f"[[gap_ms=20]] {call('get_weather', city='x' * 200)}"
    deltas = [chunk for chunk in ask(client, prompt, stream=True) if chunk.choices[0].delta.tool_calls]
    assert len(deltas) > 5


def test_stream_helper_has_the_tool_calls(client):
    events = []
    with client.chat.completions.stream(model=MODEL, messages=user(BOTH), tools=TOOLS) as stream:
        events = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    assert [(event.index, event.name, json.loads(event.arguments)) for event in events] == [
        (0, "get_weather", {"city": "Paris"}),
        (1, "get_time", {"zone": "CET"}),
    ]
    assert final.choices[0].finish_reason == "tool_calls"
    assert [name for _, name, _ in called(final.choices[0].message)] == ["get_weather", "get_time"]


def test_streamed_tool_call_continues_with_its_result(client, upstream, marker):
    messages = user(f"{marker} {PARIS}")
    with client.chat.completions.stream(model=MODEL, messages=messages, tools=TOOLS) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls
    answer = "".join(
        chunk.choices[0].delta.content or ""
        for chunk in ask(client, [*messages, message, result(message.tool_calls[0], "18 degrees")], stream=True)
    )
    assert answer == "Tool results: 18 degrees"
    assert len(upstream.calls()) == 2


# Choices

NAMED = {"type": "function", "function": {"name": "get_time"}}


@pytest.mark.parametrize(
    ("choice", "name", "sent"),
    [(NAMED, "get_time", "tool"), ("required", "get_weather", "any")],
    ids=["named", "required"],
)
def test_required_tool_is_called(client, upstream, marker, choice, name, sent):
    [answer] = ask(client, f"{marker} Hi.", tool_choice=choice, model="haiku").choices
    assert [name for _, name, _ in called(answer.message)] == [name]
    assert upstream.last()["tool_choice"]["type"] == sent
    assert answer.finish_reason == "tool_calls"


def test_forbidden_tool_is_not_called(client, upstream, marker):
    [answer] = ask(client, f"{marker} [[say=no]]", tool_choice="none").choices
    assert (answer.message.content, answer.message.tool_calls) == ("no", None)
    body = upstream.last()
    assert not body.get("tools") or body["tool_choice"]["type"] == "none"


def test_allowed_tools_limit_the_tools(client, upstream, marker):
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_time"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    [answer] = ask(client, f"{marker} Hi.", tool_choice=choice).choices
    assert [name for _, name, _ in called(answer.message)] == ["get_time"]


def test_parallel_calls_can_be_switched_off(client, upstream, marker):
    ask(client, f"{marker} {PARIS}", parallel_tool_calls=False)
    assert upstream.last()["tool_choice"]["disable_parallel_tool_use"] is True


def test_tools_apply_to_one_request_only(client, upstream, marker):
    ask(client, PARIS)
    client.chat.completions.create(model=MODEL, messages=user(f"{marker} [[say=ok]]"))
    assert "get_weather" not in str(upstream.body())


# Classes as tools


class Search(pydantic.BaseModel):
    """Looks something up."""

    query: str
    limit: int


def test_parse_returns_arguments_as_objects(client, upstream, marker):
    prompt = f"{marker} {call('Search', query='cats', limit=3)}"
    tools = [openai.pydantic_function_tool(Search)]
    completion = client.chat.completions.parse(model=MODEL, messages=user(prompt), tools=tools)
    [made] = completion.choices[0].message.tool_calls
    assert made.function.parsed_arguments == Search(query="cats", limit=3)
    assert upstream.tools()["Search"]["description"] == "Looks something up."


# Functions: the predecessor of tools


def test_legacy_functions_are_called(client, upstream, marker):
    messages = user(f"{marker} {PARIS}")
    options = {"tools": openai.NOT_GIVEN, "functions": [WEATHER, TIME]}
    [choice] = ask(client, messages, **options).choices
    assert choice.finish_reason == "function_call"
    made = choice.message.function_call
    assert (made.name, json.loads(made.arguments)) == ("get_weather", {"city": "Paris"})
    messages += [choice.message, {"role": "function", "name": "get_weather", "content": "18 degrees"}]
    assert ask(client, messages, **options).choices[0].message.content == "Tool results: 18 degrees"
    assert len(upstream.calls()) == 2


# Errors


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "tools[0].function.name"),
        ({"tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tools": openai.NOT_GIVEN, "tool_choice": "required"}, "tool_choice"),
    ],
    ids=["name", "choice", "none to choose from"],
)
def test_invalid_tool_parameter_is_named(client, options, param):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "Hi.", **options)
    assert caught.value.param.startswith(param)


def test_unmatched_tool_result_is_repaired(client):
    messages = [*user("Hi."), {"role": "tool", "tool_call_id": "call_x", "content": "18 degrees"}]
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=messages)
    assert raw.headers["x-switchboard-repaired"] == "results_without_calls"
    assert raw.parse().choices[0].message.content


async def test_async_tool_call_has_name_and_arguments(async_client):
    answer = await ask(async_client, PARIS)
    assert called(answer.choices[0].message) == [("function", "get_weather", {"city": "Paris"})]
