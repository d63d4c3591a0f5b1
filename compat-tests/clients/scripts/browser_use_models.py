"""browser-use: the models of its agents, without a browser."""

from browser_use.llm.messages import UserMessage
from browser_use.llm import ChatAnthropic, ChatOpenAI
from pydantic import BaseModel

from checks import ADA, API_KEY, BASE_URL, ROOT_URL, SENTENCE, TELL, TELL_ADA, check, same


class Person(BaseModel):
    name: str
    age: int


def models():
    yield ChatOpenAI(model="gpt-4.1", base_url=BASE_URL, api_key=API_KEY)
    yield ChatAnthropic(model="claude-sonnet-5-5", base_url=ROOT_URL, api_key=API_KEY)


@check("chat")
async def chat():
    for model in models():
        same((await model.ainvoke([UserMessage(content=TELL)])).completion, SENTENCE)


@check("structured")
async def structured():
    for model in models():
        same((await model.ainvoke([UserMessage(content=TELL_ADA)], Person)).completion, Person(**ADA))
