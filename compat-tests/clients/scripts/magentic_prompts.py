"""magentic: functions whose bodies are prompts."""

from magentic import OpenaiChatModel, StreamedStr, prompt, prompt_chain
from pydantic import BaseModel

from checks import (ADA, API_KEY, ASK_WEATHER, BASE_URL, SENTENCE, TELL, TELL_ADA, check, get_weather, is_stream, same,
                    weather_was_asked)


class Person(BaseModel):
    name: str
    age: int


MODEL = OpenaiChatModel("sonnet", base_url=BASE_URL, api_key=API_KEY)


@prompt("{words}", model=MODEL)
def tell(words: str) -> str: ...


@prompt("{words}", model=MODEL)
def tell_in_pieces(words: str) -> StreamedStr: ...


@prompt("{words}", model=MODEL)
def tell_of_person(words: str) -> Person: ...


@prompt_chain("{words}", model=MODEL, functions=[get_weather])
def tell_with_tools(words: str) -> str: ...


@check("chat")
def chat():
    same(tell(TELL), SENTENCE)


@check("stream")
def stream():
    is_stream(list(tell_in_pieces(TELL)))


@check("tools")
def tools():
    weather_was_asked(tell_with_tools(ASK_WEATHER))


@check("structured")
def structured():
    # magentic requests a function call whose parameters are the fields.
    same(tell_of_person(TELL_ADA), Person(**ADA))
