"""Haystack: its generators for chat completions and responses, and an agent."""

import json

from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator, OpenAIResponsesChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import create_tool_from_function
from haystack.utils import Secret
from pydantic import BaseModel

from checks import (ADA, API_KEY, ASK_WEATHER, BASE_URL, SENTENCE, TELL, TELL_ADA, check, get_weather, is_stream, same,
                    weather_was_asked)


class Person(BaseModel):
    name: str
    age: int


GENERATORS = {OpenAIChatGenerator: "response_format", OpenAIResponsesChatGenerator: "text_format"}


def make(Generator, **options):
    return Generator(model="sonnet", api_base_url=BASE_URL, api_key=Secret.from_token(API_KEY), **options)


def reply(generator, prompt):
    return generator.run([ChatMessage.from_user(prompt)])["replies"][0].text


@check("chat")
def chat():
    for Generator in GENERATORS:
        same(reply(make(Generator), TELL), SENTENCE)


@check("stream")
def stream():
    for Generator in GENERATORS:
        pieces = []
        reply(make(Generator, streaming_callback=lambda chunk: pieces.append(chunk.content)), TELL)
        is_stream(pieces)


@check("tools")
def tools():
    for Generator in GENERATORS:
        agent = Agent(chat_generator=make(Generator), tools=[create_tool_from_function(get_weather)])
        agent.warm_up()
        weather_was_asked(agent.run(messages=[ChatMessage.from_user(ASK_WEATHER)])["messages"][-1].text)


@check("structured")
def structured():
    for Generator, option in GENERATORS.items():
        same(json.loads(reply(make(Generator, generation_kwargs={option: Person}), TELL_ADA)), ADA)
