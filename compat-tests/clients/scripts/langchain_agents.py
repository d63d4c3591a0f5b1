"""LangChain and LangGraph, over chat completions, over responses and over Anthropic's API."""

from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from checks import (ADA, API_KEY, ASK_WEATHER, BASE_URL, ROOT_URL, SENTENCE, TELL, TELL_ADA, call, check, get_weather,
                    is_stream, run_recipe, same, weather_was_asked)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


MODELS = [
    ChatOpenAI(model="sonnet", base_url=BASE_URL, api_key=API_KEY, temperature=0),
    ChatOpenAI(model="sonnet", base_url=BASE_URL, api_key=API_KEY, use_responses_api=True),
    ChatAnthropic(model="claude-sonnet-5-5", base_url=ROOT_URL, api_key=API_KEY),
]


@check("chat")
def chat():
    for model in MODELS:
        same(model.invoke(TELL).text, SENTENCE)


@check("stream")
def stream():
    for model in MODELS:
        is_stream([chunk.text for chunk in model.stream(TELL)])


@check("tools")
def tools():


    for model in MODELS:
        state = create_agent(model, tools=[get_weather]).invoke({"messages": [("user", ASK_WEATHER)]})
        weather_was_asked(state["messages"][-1].text)


@check("structured")
def structured():
    for model in MODELS:
        same(model.with_structured_output(Person, method="json_schema").invoke(TELL_ADA), Person(**ADA))
    # LangChain does not force a call with the newest models.
    same(MODELS[2].with_structured_output(Person).invoke(call("Person", **ADA)), Person(**ADA))
    for method in ("function_calling", "json_schema", "json_mode"):
        structured = MODELS[0].with_structured_output(Person, method=method)
        same(structured.invoke(f"A JSON object. {TELL_ADA}"), Person(**ADA))


@check("agent with a response format")
def agent_with_a_response_format():
    for model in MODELS:
        agent = create_agent(model, tools=[get_weather], response_format=ProviderStrategy(Person))
        state = agent.invoke({"messages": [("user", TELL_ADA)]})
        same(state["structured_response"], Person(**ADA))


@check("recipe")
def recipe():
    told = run_recipe("langchain")
    assert "Name a river." in told and "Name three rivers." in told and "River(" not in told
    assert "name=" in told and "How high is the Danube?" in told
