"""LangChain: tools, structured output in its three ways, and agents."""

import pydantic
import pytest
from conftest import API_KEY, BASE_URL, TIMEOUT, call, say
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI


@pytest.fixture
def model():
    return ChatOpenAI(model="gpt-4o", base_url=BASE_URL, api_key=API_KEY, timeout=TIMEOUT, max_retries=0)


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"18 degrees in {city}"


@tool
def get_time(zone: str) -> str:
    """The time of a zone."""
    return f"noon in {zone}"


TOOLS = [get_weather, get_time]
PARIS = call("get_weather", city="Paris")
BOTH = '[[tool=get_weather input={"city":"Paris"} tool=get_time input={"zone":"CET"}]]'


def calls(message):
    return [(made["name"], made["args"]) for made in message.tool_calls]


def test_bound_tools_are_called_and_results_go_back(model, upstream, marker):
    question = HumanMessage(f"{marker} {BOTH}")
    answer = model.bind_tools(TOOLS).invoke([question])
    assert calls(answer) == [("get_weather", {"city": "Paris"}), ("get_time", {"zone": "CET"})]
    assert answer.invalid_tool_calls == []
    assert answer.response_metadata["finish_reason"] == "tool_calls"
    assert answer.usage_metadata["output_tokens"] > 0
    assert upstream.tools()["get_weather"]["description"] == "The weather of a city."
    results = [{"get_weather": get_weather, "get_time": get_time}[made["name"]].invoke(made)
               for made in answer.tool_calls]
    assert all(isinstance(result, ToolMessage) for result in results)
    final = model.bind_tools(TOOLS).invoke([question, answer, *results])
    assert "18 degrees in Paris" in final.content
    assert "noon in CET" in final.content
    assert len(upstream.calls()) == 2


def test_streamed_calls_add_up_to_whole_calls(model):
    chunks = list(model.bind_tools(TOOLS).stream(BOTH, stream_usage=True))
    whole = sum(chunks[1:], chunks[0])
    assert calls(whole) == [("get_weather", {"city": "Paris"}), ("get_time", {"zone": "CET"})]
    assert whole.response_metadata["finish_reason"] == "tool_calls"
    assert whole.usage_metadata["output_tokens"] > 0


@pytest.mark.parametrize(("choice", "name"), [("any", "get_weather"), ("get_time", "get_time")])
def test_tool_choice_forces_the_tool(choice, name):
    # A model that supports forced calls; others get an instruction in the prompt.
    model = ChatOpenAI(model="haiku", base_url=BASE_URL, api_key=API_KEY, timeout=TIMEOUT, max_retries=0)
    assert [made["name"] for made in model.bind_tools(TOOLS, tool_choice=choice).invoke("Hi.").tool_calls] == [name]


def test_parallel_calls_can_be_switched_off(model, upstream, marker):
    model.bind_tools(TOOLS, parallel_tool_calls=False).invoke(f"{marker} {PARIS}")
    assert upstream.last()["tool_choice"]["disable_parallel_tool_use"] is True


async def test_async_tool_call_has_name_and_arguments(model):
    bound = model.bind_tools(TOOLS)
    assert calls(await bound.ainvoke(PARIS)) == [("get_weather", {"city": "Paris"})]
    chunks = [chunk async for chunk in bound.astream(PARIS)]
    assert calls(sum(chunks[1:], chunks[0])) == [("get_weather", {"city": "Paris"})]


# Structured output


class Person(pydantic.BaseModel):
    """Somebody."""

    name: str
    age: int


ADA = {"name": "Ada", "age": 36}
METHODS = {
    "json_schema": say(ADA),
    "function_calling": call("Person", **ADA),
    "json_mode": say(ADA),
}


@pytest.mark.parametrize("method", METHODS)
def test_structured_output_matches_the_model(model, method):
    structured = model.with_structured_output(Person, method=method)
    assert structured.invoke(f"As JSON, who? {METHODS[method]}") == Person(**ADA)


@pytest.mark.parametrize("method", METHODS)
async def test_structured_output_includes_the_raw_message(model, method):
    structured = model.with_structured_output(Person, method=method, include_raw=True)
    answer = await structured.ainvoke(f"As JSON, who? {METHODS[method]}")
    assert (answer["parsed"], answer["parsing_error"]) == (Person(**ADA), None)
    assert answer["raw"].usage_metadata["total_tokens"] > 0


@pytest.mark.parametrize("method", METHODS)
def test_structured_output_streams_to_the_whole_object(model, method):
    [*_, last] = model.with_structured_output(Person, method=method).stream(f"As JSON, who? {METHODS[method]}")
    assert last == Person(**ADA)


# Agents


def test_agent_runs_its_tools_to_an_answer(model, upstream, marker):
    agent = create_agent(model, TOOLS, system_prompt="Be brief.")
    messages = agent.invoke({"messages": [HumanMessage(f"{marker} {BOTH}")]})["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "tool", "ai"]
    assert "18 degrees in Paris" in messages[-1].content
    assert "noon in CET" in messages[-1].content
    assert len(upstream.calls()) == 2
    assert "Be brief." in upstream.system_of(upstream.last())


async def test_agent_streams_its_steps(model):
    agent = create_agent(model, TOOLS)
    tokens, nodes = [], []
    async for mode, event in agent.astream({"messages": [HumanMessage(PARIS)]}, stream_mode=["messages", "updates"]):
        if mode == "updates":
            nodes += event
        elif event[0].type == "AIMessageChunk":
            tokens.append(event[0].text)
    assert nodes == ["model", "tools", "model"]
    assert "".join(tokens) == "Tool results: 18 degrees in Paris"


@pytest.mark.parametrize(("strategy", "prompt"), [
    (ProviderStrategy(Person), METHODS["json_schema"]),
    (ToolStrategy(Person), METHODS["function_calling"]),
], ids=["provider", "tool"])
def test_agent_returns_a_structured_answer(model, strategy, prompt):
    agent = create_agent(model, TOOLS, response_format=strategy)
    answer = agent.invoke({"messages": [HumanMessage(prompt)]})
    assert answer["structured_response"] == Person(**ADA)


# Over responses


def test_responses_api_has_text_and_tool_calls(model, upstream, marker):
    over_responses = model.model_copy(update={"use_responses_api": True})
    question = HumanMessage(f"{marker} {PARIS}")
    bound = over_responses.bind_tools(TOOLS)
    answer = bound.invoke([question])
    assert calls(answer) == [("get_weather", {"city": "Paris"})]
    assert answer.usage_metadata["output_tokens"] > 0
    final = bound.invoke([question, answer, get_weather.invoke(answer.tool_calls[0])])
    assert final.text == "Tool results: 18 degrees in Paris"
    assert len(upstream.calls()) == 2
    chunks = list(over_responses.stream("[[tokens=12]]"))
    assert sum(chunks[1:], chunks[0]).text == " ".join(f"w{n}" for n in range(1, 13))
    assert over_responses.with_structured_output(Person).invoke(METHODS["json_schema"]) == Person(**ADA)
