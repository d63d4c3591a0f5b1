"""agno: agents over chat completions, over responses and over Anthropic's API."""

from agno.agent import Agent
from agno.models.anthropic import Claude
from agno.models.openai import OpenAIChat, OpenAIResponses
from agno.models.openai.like import OpenAILike
from pydantic import BaseModel

from checks import (ADA, API_KEY, ASK_WEATHER, BASE_URL, ROOT_URL, SENTENCE, TELL, TELL_ADA, check, get_weather,
                    is_stream, same, weather_was_asked)


class Person(BaseModel):
    name: str
    age: int


def models():
    for Model in (OpenAIChat, OpenAILike, OpenAIResponses):
        yield Model(id="sonnet", base_url=BASE_URL, api_key=API_KEY)
    yield Claude(id="claude-sonnet-5-5", api_key=API_KEY, client_params={"base_url": ROOT_URL})


@check("chat")
def chat():
    for model in models():
        same(Agent(model=model, telemetry=False).run(TELL).content, SENTENCE)


@check("stream")
def stream():
    for model in models():
        events = Agent(model=model, telemetry=False).run(TELL, stream=True)
        is_stream([event.content for event in events if event.event == "RunContent"])


@check("tools")
def tools():
    for model in models():
        weather_was_asked(Agent(model=model, tools=[get_weather], telemetry=False).run(ASK_WEATHER).content)


@check("structured")
def structured():
    for model in models():
        for options in ({}, {"use_json_mode": True}):
            agent = Agent(model=model, output_schema=Person, telemetry=False, **options)
            same(agent.run(TELL_ADA).content, Person(**ADA))
