"""Strands: agents over chat completions, over responses and over Anthropic's API."""

from pydantic import BaseModel
from strands import Agent, tool
from strands.models.anthropic import AnthropicModel
from strands.models.openai import OpenAIModel
from strands.models.openai_responses import OpenAIResponsesModel

from checks import (ADA, API_KEY, BASE_URL, ROOT_URL, ASK_WEATHER, SENTENCE, TELL, TELL_ADA, call, check, get_weather,
                    is_stream, same, weather_was_asked)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def models():
    openai = {"base_url": BASE_URL, "api_key": API_KEY}
    anthropic = {"base_url": ROOT_URL, "api_key": API_KEY}
    yield OpenAIModel(client_args=openai, model_id="sonnet")
    yield OpenAIResponsesModel(client_args=openai, model_id="sonnet")
    yield AnthropicModel(client_args=anthropic, model_id="claude-sonnet-5-5", max_tokens=1000)


def agent(model, **options):
    return Agent(model=model, callback_handler=None, **options)


@check("chat")
def chat():
    for model in models():
        same(str(agent(model)(TELL)).strip(), SENTENCE)


@check("stream")
async def stream():
    for model in models():
        is_stream([event["data"] async for event in agent(model).stream_async(TELL) if "data" in event])


@check("tools")
def tools():
    for model in models():
        weather_was_asked(str(agent(model, tools=[tool(get_weather)])(ASK_WEATHER)))


@check("structured")
def structured():
    for model in models():
        told = agent(model)(call("Person", **ADA), structured_output_model=Person)
        same(told.structured_output, Person(**ADA))
