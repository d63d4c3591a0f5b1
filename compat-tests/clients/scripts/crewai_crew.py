"""CrewAI: its LLM over OpenAI's and Anthropic's API, and a crew of one agent."""

import os

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
from pydantic import BaseModel

from checks import (ADA, API_KEY, ASK_WEATHER, BASE_URL, OPENAI, ROOT_URL, SENTENCE, TELL, TELL_ADA, check, get_weather,
                    same, weather_was_asked)


# With LiteLLM, instructor requests typed answers and reads these variables.
os.environ |= OPENAI


class Person(BaseModel):
    name: str
    age: int


@tool("get_weather")
def weather(city: str) -> str:
    """The weather of a city."""
    return get_weather(city)


def models():
    yield LLM(model="openai/gpt-4o", base_url=BASE_URL, api_key=API_KEY)
    yield LLM(model="openai/gpt-4o", base_url=BASE_URL, api_key=API_KEY, is_litellm=True)
    yield LLM(model="anthropic/claude-sonnet-5-5", base_url=ROOT_URL, api_key=API_KEY)


def crew_of(model, prompt, tools=(), **options):
    agent = Agent(role="helper", goal="to help", backstory="none", llm=model, tools=list(tools), verbose=False)
    task = Task(description="{prompt}", expected_output="a sentence", agent=agent, **options)
    return Crew(agents=[agent], tasks=[task], verbose=False).kickoff(inputs={"prompt": prompt})


@check("chat")
def chat():
    for model in models():
        same(model.call(TELL), SENTENCE)
        same(crew_of(model, TELL).raw, SENTENCE)


@check("tools")
def tools():
    for model in models():
        weather_was_asked(crew_of(model, ASK_WEATHER, [weather]).raw)


@check("structured")
def structured():
    for model in models():
        same(crew_of(model, TELL_ADA, output_pydantic=Person).pydantic, Person(**ADA))
