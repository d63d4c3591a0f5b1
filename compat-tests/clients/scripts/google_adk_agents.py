"""Google's Agent Development Kit, through its LiteLLM model."""

from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig, StreamingMode
from google.adk.models.lite_llm import LiteLlm
from google.adk.runners import InMemoryRunner
from google.genai import types
from pydantic import BaseModel

from checks import (ADA, API_KEY, ASK_WEATHER, BASE_URL, SENTENCE, TELL, TELL_ADA, check, get_weather, is_stream, same,
                    weather_was_asked)


class Person(BaseModel):
    name: str
    age: int


async def texts(prompt, streaming=StreamingMode.NONE, **options):
    """Returns the texts of the events of a run, each with a flag for partial texts."""
    model = LiteLlm(model="openai/sonnet", api_base=BASE_URL, api_key=API_KEY)
    runner = InMemoryRunner(agent=LlmAgent(name="helper", model=model, **options), app_name="checks")
    session = await runner.session_service.create_session(app_name="checks", user_id="user")
    content = types.Content(role="user", parts=[types.Part(text=prompt)])
    events = runner.run_async(user_id="user", session_id=session.id, new_message=content,
                              run_config=RunConfig(streaming_mode=streaming))
    return [(part.text, bool(event.partial)) async for event in events
            for part in (event.content.parts if event.content else []) if part.text]


@check("chat")
async def chat():
    same(await texts(TELL), [(SENTENCE, False)])


@check("stream")
async def stream():
    is_stream([text for text, is_piece in await texts(TELL, StreamingMode.SSE) if is_piece])


@check("tools")
async def tools():
    weather_was_asked((await texts(ASK_WEATHER, tools=[get_weather]))[-1][0])


@check("structured")
async def structured():
    same(Person.model_validate_json((await texts(TELL_ADA, output_schema=Person))[-1][0]), Person(**ADA))
