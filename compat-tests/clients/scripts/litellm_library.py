"""LiteLLM as a library, over chat completions, text completions, responses and Anthropic's API."""

import json

import litellm
from pydantic import BaseModel

from checks import (ADA, API_KEY, ASK_WEATHER, BASE_URL, ROOT_URL, SENTENCE, TELL, TELL_ADA, WEATHER_TOOL, check,
                    get_weather, is_stream, same, weather_was_asked)


class Person(BaseModel):
    name: str
    age: int


OPENAI = {"model": "openai/sonnet", "api_base": BASE_URL, "api_key": API_KEY}
ANTHROPIC = {"model": "anthropic/claude-sonnet-5-5", "api_base": ROOT_URL, "api_key": API_KEY}


def messages(prompt):
    return [{"role": "user", "content": prompt}]


@check("chat")
def chat():
    for backend in (OPENAI, ANTHROPIC):
        same(litellm.completion(messages=messages(TELL), **backend).choices[0].message.content, SENTENCE)


@check("stream")
def stream():
    for backend in (OPENAI, ANTHROPIC):
        chunks = litellm.completion(messages=messages(TELL), stream=True, **backend)
        is_stream([chunk.choices[0].delta.content for chunk in chunks])


@check("tools")
def tools():


    for backend in (OPENAI, ANTHROPIC):
        said = messages(ASK_WEATHER)
        asked = litellm.completion(messages=said, tools=[WEATHER_TOOL], **backend).choices[0].message
        (tool_call,) = asked.tool_calls
        result = get_weather(**json.loads(tool_call.function.arguments))
        said += [asked, {"role": "tool", "tool_call_id": tool_call.id, "content": result}]
        answer = litellm.completion(messages=said, tools=[WEATHER_TOOL], **backend)
        weather_was_asked(answer.choices[0].message.content)


@check("structured")
def structured():
    for backend in (OPENAI, ANTHROPIC):
        answer = litellm.completion(messages=messages(TELL_ADA), response_format=Person, **backend)
        same(json.loads(answer.choices[0].message.content), ADA)


@check("responses")
def responses():
    same(litellm.responses(input=TELL, **OPENAI).output[0].content[0].text, SENTENCE)


@check("messages")
async def anthropic_messages():
    answer = await litellm.anthropic.messages.acreate(messages=messages(TELL), max_tokens=100, **ANTHROPIC)
    same(answer["content"][0]["text"], SENTENCE)


@check("completions")
def completions():
    backend = OPENAI | {"model": "text-completion-openai/sonnet"}
    same(litellm.text_completion(prompt=TELL, max_tokens=100, **backend).choices[0].text, SENTENCE)
