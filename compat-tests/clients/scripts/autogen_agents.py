"""AutoGen: an assistant over chat completions."""

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import ModelClientStreamingChunkEvent
from autogen_ext.models.openai import OpenAIChatCompletionClient
from pydantic import BaseModel

from checks import (ADA, API_KEY, ASK_WEATHER, BASE_URL, SENTENCE, TELL, TELL_ADA, check, get_weather, is_stream, same,
                    weather_was_asked)


class Person(BaseModel):
    name: str
    age: int


ABILITIES = {"vision": True, "function_calling": True, "json_output": True, "family": "unknown",
             "structured_output": True, "multiple_system_messages": True}


def models():
    yield OpenAIChatCompletionClient(model="gpt-4o", base_url=BASE_URL, api_key=API_KEY)
    yield OpenAIChatCompletionClient(model="sonnet", base_url=BASE_URL, api_key=API_KEY, model_info=ABILITIES)


async def last(agent, prompt):
    return (await agent.run(task=prompt)).messages[-1].content


@check("chat")
async def chat():
    for model in models():
        same(await last(AssistantAgent("helper", model), TELL), SENTENCE)


@check("stream")
async def stream():
    for model in models():
        events = AssistantAgent("helper", model, model_client_stream=True).run_stream(task=TELL)
        is_stream([event.content async for event in events if isinstance(event, ModelClientStreamingChunkEvent)])


@check("tools")
async def tools():
    for model in models():
        agent = AssistantAgent("helper", model, tools=[get_weather], reflect_on_tool_use=True)
        weather_was_asked(await last(agent, ASK_WEATHER))


@check("structured")
async def structured():
    for model in models():
        same(await last(AssistantAgent("helper", model, output_content_type=Person), TELL_ADA), Person(**ADA))
