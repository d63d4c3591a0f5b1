"""Semantic Kernel: agents over chat completions and over responses."""

from openai import AsyncOpenAI
from pydantic import BaseModel
from semantic_kernel.agents import ChatCompletionAgent, OpenAIResponsesAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion, OpenAIChatPromptExecutionSettings
from semantic_kernel.functions import KernelArguments, kernel_function

from checks import (ADA, API_KEY, ASK_WEATHER, BASE_URL, SENTENCE, TELL, TELL_ADA, check, cities, get_weather, is_stream, same,
                    weather_was_asked)


class Person(BaseModel):
    name: str
    age: int


class WeatherPlugin:
    """The tools of an agent."""

    @kernel_function(name="get_weather", description="The weather of a city.")
    def weather(self, city: str) -> str:
        return get_weather(city)


def client():
    return AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)


def chat_agent(**options):
    service = OpenAIChatCompletion(ai_model_id="sonnet", async_client=client())
    return ChatCompletionAgent(service=service, name="helper", **options)


def responses_agent(**options):
    return OpenAIResponsesAgent(ai_model_id="sonnet", client=client(), name="helper", **options)


PLUGINS = {"plugins": [WeatherPlugin()]}
# Function names are prefixed with the name of their plugin.
ASK_PLUGIN = ASK_WEATHER.replace("get_weather", "WeatherPlugin-get_weather")


async def answer_of(agent, prompt):
    return str((await agent.get_response(messages=prompt)).content)


@check("chat")
async def chat():
    for agent in (chat_agent(), responses_agent()):
        same(await answer_of(agent, TELL), SENTENCE)


@check("stream")
async def stream():
    for agent in (chat_agent(), responses_agent()):
        is_stream([str(piece.content) async for piece in agent.invoke_stream(messages=TELL)])


@check("tools")
async def tools():
    weather_was_asked(await answer_of(chat_agent(**PLUGINS), ASK_PLUGIN))
    # This agent repeats its prompt beside the result, so the model calls again; the second result ends the run.
    await answer_of(responses_agent(**PLUGINS), ASK_PLUGIN)
    same(set(cities), {"Paris"})


@check("structured")
async def structured():
    settings = OpenAIChatPromptExecutionSettings(response_format=Person)
    told = await answer_of(chat_agent(arguments=KernelArguments(settings=settings)), TELL_ADA)
    same(Person.model_validate_json(told), Person(**ADA))
