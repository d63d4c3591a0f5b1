"""pydantic-ai: agents over chat completions and over responses."""

import pydantic
import pytest
from conftest import API_KEY, BASE_URL, call, say
from pydantic_ai import Agent, ModelHTTPError, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider


@pytest.fixture(params=[OpenAIChatModel, OpenAIResponsesModel], ids=["chat", "responses"])
async def model(request, async_client):
    return request.param("gpt-4o", provider=OpenAIProvider(openai_client=async_client))


class Person(pydantic.BaseModel):
    """Somebody."""

    name: str
    age: int


ADA = {"name": "Ada", "age": 36}


async def test_agent_answers_with_usage(model, upstream, marker):
    agent = Agent(model, instructions="Be brief.")
    result = await agent.run(f"{marker} [[tokens=4 usage_in=10 usage_cache_read=200]]")
    assert result.output == "w1 w2 w3 w4"
    usage = result.usage
    assert (usage.requests, usage.input_tokens, usage.output_tokens) == (1, 210, 4)
    assert usage.cache_read_tokens == 200
    assert "Be brief." in upstream.system()


async def test_agent_streams_its_answer(model):
    async with Agent(model).run_stream("[[tokens=12]]") as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    assert len(pieces) > 8
    assert "".join(pieces) == " ".join(f"w{n}" for n in range(1, 13))
    assert result.usage.output_tokens == 12


async def test_agent_conversation_reaches_the_model(model, upstream, marker):
    agent = Agent(model)
    first = await agent.run('Hi. [[say="Hello."]]')
    second = await agent.run(f"{marker} [[say=Bye.]]", message_history=first.all_messages())
    assert second.output == "Bye."
    assert upstream.turns() == [
        ("user", 'Hi. [[say="Hello."]]'),
        ("assistant", "Hello."),
        ("user", f"{marker} [[say=Bye.]]"),
    ]


async def test_agent_runs_its_tools(model, upstream, marker):
    agent = Agent(model)

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"18 degrees in {city}"

    result = await agent.run(f"{marker} {call('get_weather', city='Paris')}")
    assert "18 degrees in Paris" in result.output
    assert result.usage.requests == len(upstream.calls()) == 2
    assert upstream.tools()["get_weather"]["description"] == "The weather of a city."


async def test_agent_runs_its_tools_while_streaming(model, upstream, marker):
    agent = Agent(model)
    asked = []

    @agent.tool_plain
    def get_weather(city: str) -> str:
        asked.append(city)
        return "18 degrees"

    both = '[[tool=get_weather input={"city":"Paris"} tool=get_weather input={"city":"Oslo"}]]'
    async with agent.run_stream(f"{marker} {both}") as result:
        output = await result.get_output()
    assert "18 degrees" in output
    assert sorted(asked) == ["Oslo", "Paris"]
    assert len(upstream.calls()) == 2


@pytest.mark.parametrize(
    ("kind", "prompt"),
    [
        (ToolOutput, call("final_result", **ADA)),
        (NativeOutput, say(ADA)),
        (PromptedOutput, say(ADA)),
    ],
    ids=["tool", "native", "prompted"],
)
async def test_agent_returns_a_structured_answer(model, kind, prompt):
    agent = Agent(model, output_type=kind(Person))
    assert (await agent.run(f"Who? {prompt}")).output == Person(**ADA)
    async with agent.run_stream(f"Who? {prompt}") as result:
        assert await result.get_output() == Person(**ADA)


async def test_failure_keeps_its_status(model):
    with pytest.raises(ModelHTTPError) as caught:
        await Agent(model).run("[[status=429]]")
    assert caught.value.status_code == 429


def test_agent_needs_only_a_model_name(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", BASE_URL)
    monkeypatch.setenv("OPENAI_API_KEY", API_KEY)
    assert Agent("openai-chat:gpt-4o").run_sync("[[say=ok]]").output == "ok"
