"""DeepEval: the model of its metrics."""

from deepeval.models import GPTModel
from pydantic import BaseModel

from checks import ADA, API_KEY, BASE_URL, SENTENCE, TELL, TELL_ADA, check, same


class Person(BaseModel):
    name: str
    age: int


model = GPTModel(model="gpt-4.1", base_url=BASE_URL, api_key=API_KEY)


@check("chat")
def chat():
    same(model.generate(TELL)[0], SENTENCE)


@check("structured")
def structured():
    same(model.generate(TELL_ADA, schema=Person)[0], Person(**ADA))
