"""LlamaIndex with its OpenAILike, which accepts any model name."""

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

from checks import (ADA, API_KEY, ASK_WEATHER, BASE_URL, SENTENCE, TELL, TELL_ADA, check, get_weather, is_stream,
                    run_recipe, same, weather_was_asked)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def model():
    return OpenAILike(model="sonnet", api_base=BASE_URL, api_key=API_KEY, is_chat_model=True,
                      is_function_calling_model=True, context_window=200_000)


@check("chat")
def chat():
    same(model().chat([ChatMessage(role="user", content=TELL)]).message.content, SENTENCE)


@check("stream")
def stream():
    is_stream([piece.delta for piece in model().stream_chat([ChatMessage(role="user", content=TELL)])])


@check("tools")
async def tools():
    agent = FunctionAgent(tools=[get_weather], llm=model())
    weather_was_asked(str(await agent.run(ASK_WEATHER)))


@check("structured")
def structured():
    asked = model().as_structured_llm(Person).chat([ChatMessage(role="user", content=TELL_ADA)])
    same(asked.raw, Person(**ADA))


@check("completions")
def completions():
    plain = OpenAILike(model="sonnet", api_base=BASE_URL, api_key=API_KEY, max_tokens=100)
    same(plain.complete(TELL).text, SENTENCE)


@check("recipe")
def recipe():
    told = run_recipe("llamaindex")
    assert all(asked in told for asked in ("Name a river.", "Name three rivers.", "How high is the Danube?"))
