"""pydantic-ai, over chat completions, over responses and over Anthropic's API."""

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, PromptedOutput
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from checks import (ADA, API_KEY, ASK_WEATHER, BASE_URL, ROOT_URL, SENTENCE, TELL, TELL_ADA, check, get_weather,
                    is_stream, same, weather_was_asked)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def models():
    """Created for each check, because connections belong to its event loop."""
    openai = OpenAIProvider(base_url=BASE_URL, api_key=API_KEY)
    yield OpenAIChatModel("sonnet", provider=openai)
    yield OpenAIResponsesModel("gpt-5", provider=openai)
    yield AnthropicModel("claude-sonnet-5-5", provider=AnthropicProvider(base_url=ROOT_URL, api_key=API_KEY))


@check("chat")
async def chat():
    for model in models():
        same((await Agent(model).run(TELL)).output, SENTENCE)


@check("stream")
async def stream():
    for model in models():
        async with Agent(model).run_stream(TELL) as answer:
            is_stream([piece async for piece in answer.stream_text(delta=True, debounce_by=None)])


@check("tools")
async def tools():
    for model in models():
        weather_was_asked((await Agent(model, tools=[get_weather]).run(ASK_WEATHER)).output)


@check("structured")
async def structured():
    for model in models():
        for output_type in (Person, NativeOutput(Person), PromptedOutput(Person)):
            # The output tool is called with the same arguments.
            same((await Agent(model, output_type=output_type).run(TELL_ADA)).output, Person(**ADA))
