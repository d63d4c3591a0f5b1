"""LiteLLM as a client."""

import json

import litellm
import pydantic
import pytest
from conftest import API_KEY, BASE_URL, TIMEOUT, call, say

WEATHER = {"name": "get_weather", "description": "The weather of a city.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
TOOLS = [{"type": "function", "function": WEATHER}]
PARIS = call("get_weather", city="Paris")
OPTIONS = {"model": "openai/gpt-4o", "api_base": BASE_URL, "api_key": API_KEY, "timeout": TIMEOUT, "max_retries": 0}


def user(content):
    return [{"role": "user", "content": content}]


def ask(messages, **options):
    messages = user(messages) if isinstance(messages, str) else messages
    return litellm.completion(messages=messages, **OPTIONS, **options)


def test_completion_has_text_finish_reason_and_usage():
    answer = ask("[[tokens=4 usage_in=10 usage_cache_read=200 usage_cache_write=3000]]")
    assert answer.choices[0].message.content == "w1 w2 w3 w4"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3210, 4)
    assert answer.usage.prompt_tokens_details.cached_tokens == 200


def test_stream_chunks_build_the_whole_completion():
    chunks = list(ask("[[tokens=12]]", stream=True, stream_options={"include_usage": True}))
    content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert content == " ".join(f"w{n}" for n in range(1, 13))
    assert len(chunks) > 10
    whole = litellm.stream_chunk_builder(chunks)
    assert (whole.choices[0].finish_reason, whole.usage.completion_tokens) == ("stop", 12)


async def test_async_completion_and_stream_have_the_text():
    answer = await litellm.acompletion(messages=user("[[say=ok]]"), **OPTIONS)
    assert answer.choices[0].message.content == "ok"
    stream = await litellm.acompletion(messages=user("[[tokens=3]]"), stream=True, **OPTIONS)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "w1 w2 w3"


def test_thinking_is_reasoning_content():
    assert ask('[[thinking="let me see" say=ok]]').choices[0].message.reasoning_content == "let me see"


@pytest.mark.parametrize("stream", [False, True])
def test_tool_call_and_its_result_reach_the_model(upstream, marker, stream):
    messages = user(f"{marker} {PARIS}")
    answer = ask(messages, tools=TOOLS, stream=stream)
    answer = litellm.stream_chunk_builder(list(answer)) if stream else answer
    assert answer.choices[0].finish_reason == "tool_calls"
    message = answer.choices[0].message
    [made] = message.tool_calls
    assert (made.function.name, json.loads(made.function.arguments)) == ("get_weather", {"city": "Paris"})
    messages += [message.model_dump(), {"role": "tool", "tool_call_id": made.id, "content": "18 degrees"}]
    assert ask(messages, tools=TOOLS).choices[0].message.content == "Tool results: 18 degrees"
    assert len(upstream.calls()) == 2
    assert upstream.results() == {"get_weather": "18 degrees"}


class Person(pydantic.BaseModel):
    name: str
    age: int


def test_structured_output_matches_the_model():
    answer = ask(f"Who? {say({'name': 'Ada', 'age': 36})}", response_format=Person)
    assert Person.model_validate_json(answer.choices[0].message.content) == Person(name="Ada", age=36)


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("[[status=429]]", litellm.RateLimitError),
        ('[[status=400 message="prompt is too long: 210000 tokens > 200000 maximum"]]',
         litellm.ContextWindowExceededError),
        ("[[status=529]]", litellm.ServiceUnavailableError),
    ],
    ids=["limit", "too long", "overloaded"],
)
def test_failure_raises_its_exception(prompt, kind):
    with pytest.raises(kind):
        ask(prompt)


def test_wrong_key_raises_authentication_error():
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(messages=user("Hi."), **{**OPTIONS, "api_key": "wrong"})


def test_text_completion_has_the_text():
    answer = litellm.text_completion(prompt="[[say=ok]]", **{**OPTIONS, "model": "text-completion-openai/gpt-4o"})
    assert answer.choices[0].text == "ok"


def test_responses_api_has_text_and_sends_instructions(upstream, marker):
    answer = litellm.responses(input=f"{marker} [[say=ok]]", instructions="Be brief.", **OPTIONS)
    assert answer.output[-1].content[0].text == "ok"
    assert "Be brief." in upstream.system()


def test_anthropic_provider_has_the_text():
    answer = litellm.completion(messages=user("[[say=ok]]"), **{
        **OPTIONS, "model": "anthropic/sonnet", "api_base": BASE_URL.removesuffix("/v1")})
    assert answer.choices[0].message.content == "ok"
