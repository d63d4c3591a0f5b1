"""Chat completions with the official SDK for Python: typical usage and errors."""

import asyncio
import time

import openai
import pydantic
import pytest
from conftest import API_KEY, BASE_URL, TIMEOUT, eventually

MODEL = "sonnet"


def user(content):
    return [{"role": "user", "content": content}]


def ask(client, prompt, **options):
    return client.chat.completions.create(**{"model": MODEL, "messages": user(prompt), **options})


def joined(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


# Answers


def test_completion_has_text_finish_reason_and_usage(client):
    answer = ask(client, '[[say="Hello there."]]')
    assert (answer.object, answer.model) == ("chat.completion", MODEL)
    [choice] = answer.choices
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", "Hello there.")
    assert choice.message.tool_calls is None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


TEXT = 'quotes " and \\, <tags> & {"json": [1]}, emoji 👩‍👩‍👧, 日本語, е́\u200b\n\n\tdata: [DONE]\r\nend'


def test_text_is_unchanged_both_ways(client):
    prompt = f"[[echo]] {TEXT}"
    assert ask(client, prompt).choices[0].message.content == prompt
    assert joined(ask(client, prompt, stream=True)) == prompt


def test_stream_has_the_whole_text(client):
    chunks = list(ask(client, "[[tokens=20]]", stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert joined(chunks) == " ".join(f"w{n}" for n in range(1, 21))
    assert [chunk.choices[0].finish_reason for chunk in chunks[-2:]] == [None, "stop"]
    assert len(chunks) > 15
    assert all(chunk.usage is None for chunk in chunks)


def test_stream_delivers_pieces_as_they_are_generated(client):
    stream = ask(client, "[[tokens=6 gap_ms=150]]", stream=True)
    times = [time.monotonic() for chunk in stream if chunk.choices[0].delta.content]
    assert times[-1] - times[0] > 0.5


def test_stream_helper_has_the_final_completion(client):
    pieces = []
    with client.chat.completions.stream(model=MODEL, messages=user("[[tokens=9]]")) as stream:
        for event in stream:
            if event.type == "content.delta":
                pieces.append(event.delta)
        final = stream.get_final_completion()
    assert "".join(pieces) == final.choices[0].message.content == "w1 w2 w3 w4 w5 w6 w7 w8 w9"
    assert final.choices[0].finish_reason == "stop"


def test_stream_usage_has_its_own_chunk(client):
    chunks = list(ask(client, "[[tokens=7]]", stream=True, stream_options={"include_usage": True}))
    assert [chunk.usage is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 7


def test_prompt_tokens_include_cached_tokens(client):
    counts = "[[say=ok usage_in=10 usage_cache_read=200 usage_cache_write=3000 usage_out=4]]"
    usage = ask(client, counts).usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (3210, 4, 3214)
    assert usage.prompt_tokens_details.cached_tokens == 200
    assert usage.prompt_tokens_details.cache_write_tokens == 3000


async def test_async_client_has_answer_and_stream(async_client):
    answer = await ask(async_client, '[[say="Hello there."]]')
    assert answer.choices[0].message.content == "Hello there."
    stream = await ask(async_client, "[[tokens=3]]", stream=True)
    assert joined([chunk async for chunk in stream]) == "w1 w2 w3"


async def test_concurrent_requests_get_their_own_answers(async_client):
    async def one(number):
        prompt = f'[[say="answer number {number}" ttft_ms=50]]'
        if number % 2:
            return joined([chunk async for chunk in await ask(async_client, prompt, stream=True)])
        return (await ask(async_client, prompt)).choices[0].message.content

    answers = await asyncio.gather(*map(one, range(20)))
    assert answers == [f"answer number {number}" for number in range(20)]


def test_raw_response_has_the_request_id(client):
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=user("[[say=ok]]"))
    assert raw.headers["x-request-id"]
    assert raw.parse()._request_id == raw.request_id == raw.headers["x-request-id"]


# Parameters


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("stream", [False, True])
def test_token_limit_ends_the_answer_and_bills_one_call(client, upstream, marker, name, stream):
    answer = ask(client, f"{marker} [[tokens=50 gap_ms=20]]", stream=stream, **{name: 5})
    chunks = list(answer) if stream else [answer]
    assert chunks[-1].choices[0].finish_reason == "length"
    content = joined(chunks) if stream else answer.choices[0].message.content
    assert content == "w1 w2 w3 w4 w5"
    assert stream or answer.usage.completion_tokens == 5
    assert upstream.body()["max_tokens"] == 5


@pytest.mark.parametrize("stop", ["three", ["nine", "three"]])
def test_stop_text_ends_the_answer_before_the_match(client, stop):
    prompt = '[[say="one two three four"]]'
    [choice] = ask(client, prompt, stop=stop).choices
    assert (choice.message.content, choice.finish_reason) == ("one two ", "stop")
    assert joined(ask(client, prompt, stop=stop, stream=True)) == "one two "


def test_sampling_reaches_the_model_for_one_request_only(client, upstream, marker):
    ask(client, f"{marker} [[say=ok]]", temperature=0.3, model="claude-haiku-4-5")
    ask(client, f"{marker} [[say=ok]]", top_p=0.9, model="claude-sonnet-4-20250514")
    ask(client, f"{marker} [[say=ok]]", max_tokens=77)
    plain = ask(client, f"{marker} [[say=ok]]")
    assert plain.choices[0].message.content == "ok"
    hot, top, limited, none = [call["body"] for call in upstream.calls()]
    assert hot["temperature"] == 0.3
    assert (top["top_p"], top.get("temperature") == 0.3) == (0.9, False)
    assert (limited["max_tokens"], limited.get("top_p")) == (77, None)
    assert none["max_tokens"] != 77


def test_history_reaches_the_model_as_real_turns(client, upstream, marker):
    messages = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Ahoy, Ada!"},
        {"role": "user", "content": [{"type": "text", "text": "And my dog's?"}]},
        {"role": "assistant", "content": "You have not said."},
        {"role": "user", "content": f"Rex. {marker} [[say=ok]]"},
    ]
    client.chat.completions.create(model=MODEL, messages=messages)
    assert upstream.turns() == [
        ("user", "My name is Ada."),
        ("assistant", "Ahoy, Ada!"),
        ("user", "And my dog's?"),
        ("assistant", "You have not said."),
        ("user", f"Rex. {marker} [[say=ok]]"),
    ]
    assert "You are a pirate." in upstream.system()


def test_developer_message_is_a_system_prompt(client, upstream, marker):
    messages = [{"role": "developer", "content": f"Speak French. {marker}"}, *user("Hi. [[say=Salut]]")]
    answer = client.chat.completions.create(model=MODEL, messages=messages)
    assert answer.choices[0].message.content == "Salut"
    assert f"Speak French. {marker}" in upstream.system()
    assert upstream.turns() == [("user", "Hi. [[say=Salut]]")]


def test_conversations_do_not_reach_one_another(client, upstream, marker):
    messages = [{"role": "system", "content": "The word is xyzzy."}, *user("Remember plugh. [[say=frotz]]")]
    client.chat.completions.create(model=MODEL, messages=messages)
    ask(client, f"What was the word? {marker} [[say=ok]]")
    assert not any(word in str(upstream.body()) for word in ["xyzzy", "plugh", "frotz"])


# Models


def test_model_list_has_the_aliases(client):
    names = [model.id for model in client.models.list()]
    assert {"haiku", "sonnet", "opus", "gpt-4o", "gpt-4o-mini"} <= set(names)
    assert len(names) == len(set(names))
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("no-such-model")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(("name", "family"), [("gpt-4o", "sonnet"), ("gpt-4o-mini", "haiku"), ("opus", "opus")])
def test_model_alias_is_answered_by_its_model(client, upstream, marker, name, family):
    answer = client.chat.completions.create(model=name, messages=user(f"{marker} [[say=ok]]"))
    assert answer.model == name
    assert family in upstream.body()["model"]


# Failures


def test_wrong_key_raises_authentication_error(client):
    with pytest.raises(openai.AuthenticationError) as caught:
        ask(client.with_options(api_key="wrong-key"), "Hi.")
    assert caught.value.code == "invalid_api_key"
    assert "wrong-key" not in str(caught.value)


def test_unknown_model_raises_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gemini-9", messages=user("Hi."))
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "gemini-9" in caught.value.message


@pytest.mark.parametrize(
    ("options", "param", "code"),
    [
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"n": 0}, "n", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "wizard", "content": "Hi."}]}, "messages[0].role", "invalid_value"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
    ],
)
def test_bad_request_names_the_field(client, options, param, code):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": MODEL, "messages": user("Hi."), **options})
    error = caught.value
    assert (error.param, error.code, error.type) == (param, code, "invalid_request_error")
    assert error.request_id


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (429, openai.RateLimitError, "rate_limit_exceeded"),
        (529, openai.InternalServerError, "overloaded"),
        (500, openai.InternalServerError, "upstream_error"),
    ],
)
def test_upstream_failure_raises_its_exception(client, status, kind, code, stream):
    with pytest.raises(kind) as caught:
        list(ask(client, f"[[status={status}]]", stream=stream))
    assert caught.value.code == code
    assert "API Error" not in caught.value.message


@pytest.mark.parametrize("status", [429, 529])
def test_upstream_rate_limit_has_retry_after(client, status):
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, f"[[status={status} retry_after=1]]")
    assert {"retry-after", "retry-after-ms"} & set(caught.value.response.headers)


def test_sdk_retries_succeed(client, marker):
    answer = ask(client.with_options(max_retries=2), f"[[status=529 times=2 tag={marker}]] [[say=ok]]")
    assert answer.choices[0].message.content == "ok"


@pytest.mark.parametrize("fault", ["error_after", "cut_after"])
def test_late_failure_raises_after_the_first_pieces(client, fault):
    chunks = []
    with pytest.raises(openai.APIError) as caught:
        for chunk in ask(client, f"[[tokens=20 gap_ms=20 {fault}=5]]", stream=True):
            chunks.append(chunk)
    assert joined(chunks).startswith("w1 w2 w3")
    assert len(caught.value.message) > 20
    assert caught.value.code in ("overloaded", "upstream_error")
    assert not isinstance(caught.value, openai.APIConnectionError)


def test_request_after_a_failure_is_served(client):
    for prompt in ["[[status=500]]", "[[tokens=9 cut_after=2]]"]:
        with pytest.raises(openai.APIError):
            list(ask(client, prompt, stream=True))
        assert ask(client, "[[say=ok]]").choices[0].message.content == "ok"


def test_client_disconnect_ends_its_call_alone(client, upstream, marker):
    stream = ask(client, f"{marker} [[tokens=500 gap_ms=50]]", stream=True)
    for _, chunk in zip(range(4), stream):
        assert chunk.choices
    stream.close()
    assert eventually(lambda: upstream.call()["outcome"] == "client_gone")
    assert ask(client, "[[say=ok]]").choices[0].message.content == "ok"


def test_client_timeout_ends_the_call(upstream, marker):
    with openai.OpenAI(base_url=BASE_URL, api_key=API_KEY, timeout=TIMEOUT, max_retries=0) as client:
        with pytest.raises(openai.APITimeoutError):
            ask(client.with_options(timeout=3), f"{marker} [[say=late ttft_ms=20000]]")
    assert eventually(lambda: upstream.call()["outcome"] == "client_gone")


class Person(pydantic.BaseModel):
    name: str
    age: int


def test_parse_returns_an_object_of_the_schema(client):
    messages = [{"role": "user", "content": "Who?"}]
    completion = client.chat.completions.parse(model="sonnet", messages=messages, response_format=Person)
    assert isinstance(completion.choices[0].message.parsed, Person)


def test_image_reaches_the_model(client, marker, upstream):
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg=="
    content = [
        {"type": "text", "text": f"{marker} [[say=red]]"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{pixel}"}},
    ]
    completion = client.chat.completions.create(model="sonnet", messages=[{"role": "user", "content": content}])
    assert completion.choices[0].message.content == "red"
    assert pixel in str(upstream.body())
