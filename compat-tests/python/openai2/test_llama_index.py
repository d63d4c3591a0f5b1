"""LlamaIndex's `OpenAILike`, and agents on it."""

import pydantic
import pytest
from conftest import API_KEY, BASE_URL, TIMEOUT, call, say
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAIResponses
from llama_index.llms.openai_like import OpenAILike

OPTIONS = {"model": "gpt-4o", "api_base": BASE_URL, "api_key": API_KEY, "timeout": TIMEOUT, "max_retries": 0}


@pytest.fixture
def llm():
    return OpenAILike(is_chat_model=True, is_function_calling_model=True, **OPTIONS)


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"18 degrees in {city}"


WEATHER = FunctionTool.from_defaults(get_weather)
PARIS = call("get_weather", city="Paris")
TWELVE = " ".join(f"w{n}" for n in range(1, 13))


def test_chat_has_text_usage_and_system_prompt(llm, upstream, marker):
    answer = llm.chat([
        ChatMessage(role=MessageRole.SYSTEM, content="Be brief."),
        ChatMessage(role=MessageRole.USER, content=f"{marker} [[tokens=4]]"),
    ])
    assert answer.message.content == "w1 w2 w3 w4"
    assert answer.raw.usage.completion_tokens == 4
    assert "Be brief." in upstream.system()


def test_chat_stream_has_the_whole_text(llm):
    pieces = list(llm.stream_chat([ChatMessage(content="[[tokens=12]]")]))
    assert "".join(piece.delta for piece in pieces) == pieces[-1].message.content == TWELVE
    assert len(pieces) > 10


async def test_async_chat_and_stream_have_the_text(llm):
    assert (await llm.achat([ChatMessage(content="[[say=ok]]")])).message.content == "ok"
    pieces = await llm.astream_chat([ChatMessage(content="[[tokens=12]]")])
    assert "".join([piece.delta async for piece in pieces]) == TWELVE


def test_default_llm_uses_completions():
    llm = OpenAILike(**OPTIONS)
    assert llm.complete("[[say=ok]]").text == "ok"
    assert "".join(piece.delta for piece in llm.stream_complete("[[tokens=12]]")) == TWELVE


def test_tool_call_has_name_and_arguments(llm, upstream, marker):
    answer = llm.chat_with_tools([WEATHER], user_msg=f"{marker} {PARIS}")
    [made] = llm.get_tool_calls_from_response(answer)
    assert (made.tool_name, made.tool_kwargs) == ("get_weather", {"city": "Paris"})
    assert upstream.tools()["get_weather"]["input_schema"]["required"] == ["city"]


def test_predict_and_call_runs_the_tool(llm):
    answer = llm.predict_and_call([WEATHER], user_msg=PARIS)
    assert answer.response == "18 degrees in Paris"


async def test_agent_runs_its_tool_and_streams(llm, upstream, marker):
    agent = FunctionAgent(tools=[WEATHER], llm=llm, system_prompt="Be brief.")
    run = agent.run(user_msg=f"{marker} {PARIS}")
    pieces = [event.delta async for event in run.stream_events() if isinstance(event, AgentStream)]
    answer = await run
    assert str(answer) == "".join(pieces) == "Tool results: 18 degrees in Paris"
    assert [made.tool_name for made in answer.tool_calls] == ["get_weather"]
    assert len(upstream.calls()) == 2


class Person(pydantic.BaseModel):
    """Somebody."""

    name: str
    age: int


ADA = {"name": "Ada", "age": 36}


def test_structured_predict_by_tool_matches_the_model(llm):
    prompt = PromptTemplate("{asked}")
    assert llm.structured_predict(Person, prompt, asked=f"Who? {call('Person', **ADA)}") == Person(**ADA)


def test_structured_llm_by_schema_matches_the_model():
    llm = OpenAILike(is_chat_model=True, should_use_structured_outputs=True, **OPTIONS)
    answer = llm.as_structured_llm(Person).complete(f"Who? {say(ADA)}")
    assert answer.raw == Person(**ADA)


def test_responses_llm_calls_tools_and_streams(upstream, marker):
    llm = OpenAIResponses(**OPTIONS)
    answer = llm.chat_with_tools([WEATHER], user_msg=f"{marker} {PARIS}")
    [made] = llm.get_tool_calls_from_response(answer)
    assert (made.tool_name, made.tool_kwargs) == ("get_weather", {"city": "Paris"})
    pieces = list(llm.stream_chat([ChatMessage(content="[[tokens=12]]")]))
    assert "".join(piece.delta for piece in pieces) == TWELVE
    assert len(upstream.calls()) == 1
