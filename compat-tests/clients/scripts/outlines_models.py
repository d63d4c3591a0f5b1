"""outlines: texts, streams and objects."""

import openai
import outlines
from pydantic import BaseModel

from checks import ADA, API_KEY, BASE_URL, SENTENCE, TELL, TELL_ADA, check, is_stream, same


class Person(BaseModel):
    name: str
    age: int


model = outlines.from_openai(openai.OpenAI(base_url=BASE_URL, api_key=API_KEY), "sonnet")


@check("chat")
def chat():
    same(model(TELL), SENTENCE)


@check("stream")
def stream():
    is_stream(list(model.stream(TELL)))


@check("structured")
def structured():
    same(Person.model_validate_json(model(TELL_ADA, Person)), Person(**ADA))
