"""LangChain's `ChatOpenAI`: typical usage."""

import openai
import pydantic
import pytest
from conftest import API_KEY, BASE_URL, TIMEOUT
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI


@pytest.fixture
def model():
    return ChatOpenAI(model="gpt-4o", base_url=BASE_URL, api_key=API_KEY, timeout=TIMEOUT, max_retries=0)


def test_invoke_has_text_metadata_and_usage(model):
    answer = model.invoke("[[tokens=4 usage_in=10 usage_cache_read=200 usage_cache_write=3000]]")
    assert answer.content == "w1 w2 w3 w4"
    assert answer.response_metadata["model_name"] == "gpt-4o"
    assert answer.response_metadata["finish_reason"] == "stop"
    usage = answer.usage_metadata
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (3210, 4, 3214)
    assert usage["input_token_details"]["cache_read"] == 200
    assert usage["input_token_details"]["cache_creation"] == 3000


def test_stream_chunks_add_up_to_the_message(model):
    chunks = list(model.stream("[[tokens=12]]", stream_usage=True))
    assert len(chunks) > 10
    whole = sum(chunks[1:], chunks[0])
    assert whole.content == " ".join(f"w{n}" for n in range(1, 13))
    assert whole.usage_metadata["output_tokens"] == 12
    assert whole.response_metadata["model_name"] == "gpt-4o"
    assert whole.response_metadata["finish_reason"] == "stop"


def test_batch_answers_keep_their_order(model):
    answers = model.batch([f'[[say="answer {number}"]]' for number in range(6)])
    assert [answer.content for answer in answers] == [f"answer {number}" for number in range(6)]


async def test_async_invoke_and_stream_have_the_text(model):
    assert (await model.ainvoke("[[say=ok]]")).content == "ok"
    assert "".join([chunk.content async for chunk in model.astream("[[tokens=3]]")]) == "w1 w2 w3"


def test_conversation_reaches_the_model(model, upstream, marker):
    messages = [SystemMessage("Be brief."), HumanMessage("Hi."), AIMessage("Hello."), HumanMessage(marker)]
    model.invoke(messages)
    assert upstream.turns() == [("user", "Hi."), ("assistant", "Hello."), ("user", marker)]
    assert "Be brief." in upstream.system()


def test_chain_passes_the_prompt_and_parses_the_answer(model):
    prompt = ChatPromptTemplate.from_messages([("system", "You say {word}."), ("human", "[[say={word}]]")])
    chain = prompt | model | StrOutputParser()
    assert chain.invoke({"word": "ahoy"}) == "ahoy"
    assert "".join(chain.stream({"word": "ahoy"})) == "ahoy"


def test_bound_limit_and_stop_end_the_answer(model):
    limited = model.bind(max_tokens=3).invoke("[[tokens=50 gap_ms=20]]")
    assert (limited.content, limited.response_metadata["finish_reason"]) == ("w1 w2 w3", "length")
    assert model.invoke('[[say="one two three"]]', stop=["three"]).content == "one two "


def test_failures_raise_their_exceptions(model):
    with pytest.raises(openai.RateLimitError):
        model.invoke("[[status=429]]")
    with pytest.raises(openai.APIError, match="overloaded"):
        list(model.stream("[[tokens=9 gap_ms=20 error_after=3]]"))


class Person(pydantic.BaseModel):
    """Somebody."""

    name: str
    age: int


def test_structured_output_by_schema_matches_the_model(model):
    person = model.with_structured_output(Person, method="json_schema").invoke("Who?")
    assert isinstance(person, Person)
