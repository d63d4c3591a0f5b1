"""OpenAI's Agents SDK for Python, over responses, chat completions and a WebSocket."""

from agents import (Agent, OpenAIChatCompletionsModel, OpenAIConversationsSession, OpenAIResponsesModel,
                    OpenAIResponsesWSModel, Runner, WebSearchTool, function_tool, set_default_openai_client,
                    set_tracing_disabled)
from openai import AsyncOpenAI
from pydantic import BaseModel

from checks import (ADA, API_KEY, ASK_WEATHER, BASE_URL, SENTENCE, TELL, TELL_ADA, check, get_weather, is_stream,
                    same, weather_was_asked)

set_tracing_disabled(True)


class Person(BaseModel):
    name: str
    age: int


def client():
    return AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)


def models():
    """Created for each check, because connections belong to its event loop."""
    return [OpenAIResponsesModel("sonnet", client()), OpenAIChatCompletionsModel("sonnet", client())]


async def answer_of(agent, prompt, **options):
    return (await Runner.run(agent, prompt, **options)).final_output


@check("chat")
async def chat():
    for model in models():
        same(await answer_of(Agent("Helper", model=model), TELL), SENTENCE)


@check("stream")
async def stream():
    for model in models():
        pieces = []
        streamed = Runner.run_streamed(Agent("Helper", model=model), TELL)
        async for event in streamed.stream_events():
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
                pieces.append(event.data.delta)
        is_stream(pieces)


@check("tools")
async def tools():
    for model in models():
        agent = Agent("Helper", model=model, tools=[function_tool(get_weather)])
        weather_was_asked(await answer_of(agent, ASK_WEATHER))


@check("structured")
async def structured():
    for model in models():
        same(await answer_of(Agent("Helper", model=model, output_type=Person), TELL_ADA), Person(**ADA))


@check("default model")
async def default_model():
    set_default_openai_client(client(), use_for_tracing=False)
    same(await answer_of(Agent("Helper"), TELL), SENTENCE)


@check("WebSocket")
async def websocket():
    model = OpenAIResponsesWSModel("sonnet", client())
    weather_was_asked(await answer_of(Agent("Helper", model=model, tools=[function_tool(get_weather)]), ASK_WEATHER))


@check("web search offered")
async def web_search_offered():
    agent = Agent("Helper", model=models()[0], tools=[WebSearchTool()])
    same(await answer_of(agent, TELL), SENTENCE)


@check("previous_response_id")
async def previous_response_id():
    agent = Agent("Helper", model=models()[0])
    first = await Runner.run(agent, TELL)
    same(await answer_of(agent, TELL, previous_response_id=first.last_response_id), SENTENCE)


@check("conversations")
async def conversations():
    session = OpenAIConversationsSession(openai_client=client())
    agent = Agent("Helper", model=models()[0])
    same(await answer_of(agent, TELL, session=session), SENTENCE)
    same(await answer_of(agent, TELL, session=session), SENTENCE)
    assert len(await session.get_items()) == 4
