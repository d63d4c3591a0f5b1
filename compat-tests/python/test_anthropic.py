"""The Anthropic SDK with the Messages API."""

import anthropic
import pytest
from conftest import API_KEY, BASE_URL, TIMEOUT, call, eventually, say

MODEL = "sonnet"
OPTIONS = {"base_url": BASE_URL.removesuffix("/v1"), "api_key": API_KEY, "timeout": TIMEOUT, "max_retries": 0}
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
PARIS = call("get_weather", city="Paris")


@pytest.fixture
def client():
    with anthropic.Anthropic(**OPTIONS) as client:
        yield client


@pytest.fixture
async def async_client():
    async with anthropic.AsyncAnthropic(**OPTIONS) as client:
        yield client


def user(content):
    return [{"role": "user", "content": content}]


def ask(client, prompt, **options):
    messages = user(prompt) if isinstance(prompt, str) else prompt
    return client.messages.create(**{"model": MODEL, "messages": messages, "max_tokens": 4000, **options})


def test_message_has_content_stop_reason_and_usage(client):
    message = ask(client, "[[tokens=4 usage_in=10 usage_cache_read=200 usage_cache_write=3000]]")
    assert (message.type, message.role, message.model) == ("message", "assistant", MODEL)
    assert [(block.type, block.text) for block in message.content] == [("text", "w1 w2 w3 w4")]
    assert (message.stop_reason, message.stop_sequence) == ("end_turn", None)
    assert (message.usage.input_tokens, message.usage.output_tokens) == (10, 4)
    assert message.usage.cache_read_input_tokens == 200
    assert message.usage.cache_creation_input_tokens == 3000
    assert message.id
    assert message._request_id


def test_stream_helper_has_the_whole_message(client):
    with client.messages.stream(model=MODEL, messages=user("[[tokens=12]]"), max_tokens=4000) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) > 10
    assert "".join(pieces) == final.content[0].text == " ".join(f"w{n}" for n in range(1, 13))
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 12)


def test_stream_events_come_in_order(client):
    kinds = [event.type for event in ask(client, "[[tokens=2]]", stream=True) if event.type != "ping"]
    assert kinds == ["message_start", "content_block_start", "content_block_delta", "content_block_delta",
                     "content_block_stop", "message_delta", "message_stop"]


async def test_async_client_has_answer_and_stream(async_client):
    assert (await ask(async_client, "[[say=ok]]")).content[0].text == "ok"
    async with async_client.messages.stream(model=MODEL, messages=user("[[tokens=3]]"), max_tokens=9) as stream:
        assert "".join([piece async for piece in stream.text_stream]) == "w1 w2 w3"


def test_conversation_and_system_prompt_reach_the_model(client, upstream, marker):
    messages = [*user("Hi."), {"role": "assistant", "content": "Hello."}, *user(f"{marker} [[say=ok]]")]
    ask(client, messages, system=[{"type": "text", "text": "Be brief."}])
    assert upstream.turns() == [("user", "Hi."), ("assistant", "Hello."), ("user", f"{marker} [[say=ok]]")]
    assert "Be brief." in upstream.system()


def test_token_limit_and_stop_sequence_end_the_answer(client):
    limited = ask(client, "[[tokens=50 gap_ms=20]]", max_tokens=3)
    assert (limited.content[0].text, limited.stop_reason) == ("w1 w2 w3", "max_tokens")
    stopped = ask(client, say("one two three"), stop_sequences=["three"])
    assert (stopped.content[0].text, stopped.stop_reason) == ("one two ", "stop_sequence")
    assert stopped.stop_sequence == "three"


def test_sampling_reaches_the_model(client, upstream, marker):
    ask(client, f"{marker} [[say=ok]]", model="claude-haiku-4-5", extra_body={"temperature": 0.3})
    assert upstream.body()["temperature"] == 0.3


def test_thinking_is_a_signed_block(client, upstream, marker):
    budget = {"type": "enabled", "budget_tokens": 2000}
    message = ask(client, f'{marker} [[thinking="let me see" say=ok]]', thinking=budget)
    thought, text = message.content
    assert (thought.type, thought.thinking, bool(thought.signature)) == ("thinking", "let me see", True)
    assert text.text == "ok"
    assert upstream.body()["thinking"]["type"] != "disabled"


@pytest.mark.parametrize("stream", [False, True])
def test_tool_call_and_its_result_reach_the_model(client, upstream, marker, stream):
    messages = user(f"{marker} {PARIS}")
    if stream:
        with client.messages.stream(model=MODEL, messages=messages, max_tokens=4000, tools=[WEATHER]) as events:
            message = events.get_final_message()
    else:
        message = ask(client, messages, tools=[WEATHER])
    [made] = message.content
    assert message.stop_reason == "tool_use"
    assert (made.type, made.name, made.input) == ("tool_use", "get_weather", {"city": "Paris"})
    result = {"type": "tool_result", "tool_use_id": made.id, "content": "18 degrees"}
    messages += [{"role": "assistant", "content": message.content}, *user([result])]
    answer = ask(client, messages, tools=[WEATHER])
    assert (answer.content[0].text, answer.stop_reason) == ("Tool results: 18 degrees", "end_turn")
    assert len(upstream.calls()) == 2
    assert upstream.results() == {"get_weather": "18 degrees"}
    assert upstream.tools()["get_weather"]["input_schema"]["required"] == ["city"]


def test_tool_choice_forces_the_tool(client, upstream, marker):
    choice = {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": True}
    message = ask(client, f"{marker} Hi.", tools=[WEATHER], tool_choice=choice, model="haiku")
    assert [block.name for block in message.content] == ["get_weather"]
    assert upstream.last()["tool_choice"]["type"] == "tool"


def test_tool_runner_runs_to_the_final_answer(client, upstream, marker):
    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather of a city.

        Args:
            city: Its name.
        """
        return f"18 degrees in {city}"

    runner = client.beta.messages.tool_runner(
        model=MODEL, max_tokens=4000, tools=[get_weather], messages=user(f"{marker} {PARIS}")
    )
    final = runner.until_done()
    assert final.content[0].text == "Tool results: 18 degrees in Paris"
    assert len(upstream.calls()) == 2


def test_count_tokens_grows_with_the_request(client):
    short = client.messages.count_tokens(model=MODEL, messages=user("Hi."))
    long = client.messages.count_tokens(model=MODEL, messages=user("Hi. " * 100), system="Be brief.", tools=[WEATHER])
    assert long.input_tokens > short.input_tokens > 0


@pytest.mark.parametrize(
    ("prompt", "options", "kind", "name"),
    [
        ("[[status=429]]", {}, anthropic.RateLimitError, "rate_limit_error"),
        ("[[status=529]]", {}, anthropic.APIStatusError, "overloaded_error"),
        ("Hi.", {"extra_body": {"temperature": 3}}, anthropic.BadRequestError, "invalid_request_error"),
        ("Hi.", {"model": "no-such-model"}, anthropic.NotFoundError, "not_found_error"),
    ],
    ids=["limit", "overloaded", "mistake", "no model"],
)
def test_failure_raises_its_exception(client, prompt, options, kind, name):
    with pytest.raises(kind) as caught:
        ask(client, prompt, **options)
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["type"] == name
    assert caught.value.request_id


def test_wrong_key_raises_authentication_error(client):
    with pytest.raises(anthropic.AuthenticationError):
        ask(client.with_options(api_key="wrong"), "Hi.")


def test_late_failure_raises_after_the_first_pieces(client):
    pieces = []
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        client.messages.stream(
            model=MODEL, messages=user("[[tokens=20 gap_ms=20 error_after=5]]"), max_tokens=99
        ) as stream,
    ):
        pieces += stream.text_stream
    assert caught.value.body["error"]["type"] in ("overloaded_error", "api_error")
    assert "".join(pieces).startswith("w1 w2 w3")


def test_client_disconnect_ends_the_call_upstream(client, upstream, marker):
    with client.messages.stream(
        model=MODEL, messages=user(f"{marker} [[tokens=500 gap_ms=50]]"), max_tokens=4000
    ) as stream:
        for _, piece in zip(range(4), stream.text_stream):
            assert piece
    assert eventually(lambda: upstream.call()["outcome"] == "client_gone")


def test_model_list_has_the_aliases(client):
    assert "sonnet" in [model.id for model in client.models.list()]
