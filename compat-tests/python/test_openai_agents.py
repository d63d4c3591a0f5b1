"""openai-agents, over responses (its default) and over chat completions."""

import agents
import pydantic
import pytest
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool
from conftest import call, say

agents.set_tracing_disabled(True)


@pytest.fixture(params=[OpenAIChatCompletionsModel, OpenAIResponsesModel], ids=["chat", "responses"])
def model(request, async_client):
    return request.param("gpt-4o", openai_client=async_client)


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"18 degrees in {city}"


class Person(pydantic.BaseModel):
    name: str
    age: int


PARIS = call("get_weather", city="Paris")


async def test_agent_answers_with_usage(model, upstream, marker):
    agent = Agent("Helper", instructions="Be brief.", model=model)
    result = await Runner.run(agent, f"{marker} [[tokens=4]]")
    assert result.final_output == "w1 w2 w3 w4"
    assert result.context_wrapper.usage.output_tokens == 4
    assert "Be brief." in upstream.system()


async def test_agent_streams_its_answer(model):
    result = Runner.run_streamed(Agent("Helper", model=model), "[[tokens=12]]")
    raw = [event.data async for event in result.stream_events() if event.type == "raw_response_event"]
    pieces = [event.delta for event in raw if event.type == "response.output_text.delta"]
    assert len(pieces) > 8
    assert "".join(pieces) == result.final_output == " ".join(f"w{n}" for n in range(1, 13))


async def test_agent_conversation_reaches_the_model(model, upstream, marker):
    agent = Agent("Helper", model=model)
    first = await Runner.run(agent, 'Hi. [[say="Hello."]]')
    second = await Runner.run(agent, [*first.to_input_list(), {"role": "user", "content": f"{marker} [[say=Bye.]]"}])
    assert second.final_output == "Bye."
    assert [role for role, _ in upstream.turns()] == ["user", "assistant", "user"]


async def test_agent_runs_its_tools(model, upstream, marker):
    agent = Agent("Helper", model=model, tools=[get_weather])
    result = await Runner.run(agent, f"{marker} {PARIS}")
    assert result.final_output == "Tool results: 18 degrees in Paris"
    assert result.context_wrapper.usage.requests == len(upstream.calls()) == 2
    assert upstream.tools()["get_weather"]["description"] == "The weather of a city."
    assert upstream.blocks()[-2:] == [("call", "get_weather", {"city": "Paris"}), ("result", "18 degrees in Paris")]


async def test_agent_runs_its_tools_while_streaming(model, upstream, marker):
    agent = Agent("Helper", model=model, tools=[get_weather])
    both = '[[tool=get_weather input={"city":"Paris"} tool=get_weather input={"city":"Oslo"}]]'
    result = Runner.run_streamed(agent, f"{marker} {both}")
    items = [event.item.type async for event in result.stream_events() if event.type == "run_item_stream_event"]
    assert items.count("tool_call_item") == items.count("tool_call_output_item") == 2
    assert "18 degrees in Paris" in result.final_output
    assert "18 degrees in Oslo" in result.final_output
    assert len(upstream.calls()) == 2


async def test_agent_runs_a_required_tool(model):
    settings = ModelSettings(tool_choice="get_weather", parallel_tool_calls=False)
    agent = Agent("Helper", model=model, tools=[get_weather], model_settings=settings,
                  tool_use_behavior="stop_on_first_tool")
    assert (await Runner.run(agent, PARIS)).final_output == "18 degrees in Paris"


async def test_agent_returns_a_structured_answer(model):
    agent = Agent("Helper", model=model, output_type=Person)
    result = await Runner.run(agent, f"Who? {say({'name': 'Ada', 'age': 36})}")
    assert result.final_output == Person(name="Ada", age=36)


async def test_agent_hands_off_to_another(model, upstream, marker):
    other = Agent("Weatherman", instructions="You are the weatherman.", model=model)
    agent = Agent("Helper", model=model, handoffs=[other])
    result = await Runner.run(agent, f"{marker} [[tool=transfer_to_weatherman]]")
    assert result.last_agent is other
    assert "You are the weatherman." in upstream.system_of(upstream.last())
    assert len(upstream.calls()) == 2


async def test_agent_continues_a_stored_response(async_client, upstream, marker):
    agent = Agent("Helper", model=OpenAIResponsesModel("gpt-4o", openai_client=async_client), tools=[get_weather])
    first = await Runner.run(agent, f"{marker} {PARIS}", auto_previous_response_id=True)
    assert first.final_output == "Tool results: 18 degrees in Paris"
    second = await Runner.run(agent, "[[say=Bye.]]", previous_response_id=first.last_response_id)
    assert second.final_output == "Bye."
    assert [block[0] for block in upstream.blocks()] == ["text", "call", "result", "text", "text"]
