"""Anthropic's SDK for Python."""

import anthropic
from pydantic import BaseModel

from checks import (ADA, API_KEY, ASK_WEATHER, ROOT_URL, SENTENCE, TELL, TELL_ADA, check, get_weather, is_stream, same,
                    weather_was_asked)


class Person(BaseModel):
    name: str
    age: int


client = anthropic.Anthropic(base_url=ROOT_URL, api_key=API_KEY, max_retries=0)


def request(prompt):
    return {"model": "claude-sonnet-5-5", "max_tokens": 1000, "messages": [{"role": "user", "content": prompt}]}


@check("chat")
def chat():
    same(client.messages.create(**request(TELL)).content[0].text, SENTENCE)


@check("stream")
def stream():
    with client.messages.stream(**request(TELL)) as pieces:
        is_stream(list(pieces.text_stream))


@check("tools")
def tools():
    runner = client.beta.messages.tool_runner(**request(ASK_WEATHER), tools=[anthropic.beta_tool(get_weather)])
    weather_was_asked(runner.until_done().content[-1].text)


@check("structured")
def structured():
    same(client.messages.parse(**request(TELL_ADA), output_format=Person).parsed_output, Person(**ADA))


@check("count_tokens")
def count_tokens():
    counted = client.messages.count_tokens(model="claude-sonnet-5-5", messages=[{"role": "user", "content": "Hello"}])
    assert counted.input_tokens > 0, counted


@check("models")
def models():
    assert "claude-sonnet-5-5" in {model.id for model in client.models.list()}
