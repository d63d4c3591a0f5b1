"""mirascope: calls, streams, tools and formats."""

from mirascope import llm
from pydantic import BaseModel

from checks import (ADA, API_KEY, ASK_WEATHER, BASE_URL, SENTENCE, TELL, TELL_ADA, check, get_weather, is_stream, same,
                    weather_was_asked)


class Person(BaseModel):
    name: str
    age: int


llm.register_provider("openai", scope="openai/", base_url=BASE_URL, api_key=API_KEY)
MODELS = ["openai/sonnet:completions", "openai/sonnet:responses"]


@check("chat")
def chat():
    for name in MODELS:
        same(llm.model(name).call(TELL).text(), SENTENCE)


@check("stream")
def stream():
    for name in MODELS:
        # mirascope appends a line break to each text.
        is_stream([piece.rstrip("\n") for piece in llm.model(name).stream(TELL).text_stream()])


@check("tools")
def tools():
    for name in MODELS:
        response = llm.model(name).call(ASK_WEATHER, tools=[llm.tool(get_weather)])
        weather_was_asked(response.resume(response.execute_tools()).text())


@check("structured")
def structured():
    for name in MODELS:
        same(llm.model(name).call(TELL_ADA, format=Person).parse(), Person(**ADA))
