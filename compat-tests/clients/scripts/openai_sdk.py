"""OpenAI's SDK for Python."""

import json

import openai
from pydantic import BaseModel

from checks import (ADA, API_KEY, ASK_WEATHER, BASE_URL, SENTENCE, TELL, TELL_ADA, WEATHER_TOOL, check, get_weather,
                    is_stream, same, weather_was_asked)


class Person(BaseModel):
    name: str
    age: int


client = openai.OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)


@check("chat")
def chat():
    completion = client.chat.completions.create(model="sonnet", messages=[{"role": "user", "content": TELL}])
    same(completion.choices[0].message.content, SENTENCE)


@check("stream")
def stream():
    chunks = client.chat.completions.create(
        model="sonnet", messages=[{"role": "user", "content": TELL}], stream=True
    )
    is_stream([chunk.choices[0].delta.content for chunk in chunks])


@check("tools")
def tools():
    messages = [{"role": "user", "content": ASK_WEATHER}]
    asked = client.chat.completions.create(model="sonnet", messages=messages, tools=[WEATHER_TOOL]).choices[0].message
    (tool_call,) = asked.tool_calls
    result = get_weather(**json.loads(tool_call.function.arguments))
    messages += [asked, {"role": "tool", "tool_call_id": tool_call.id, "content": result}]
    answer = client.chat.completions.create(model="sonnet", messages=messages, tools=[WEATHER_TOOL])
    weather_was_asked(answer.choices[0].message.content)


@check("structured")
def structured():
    completion = client.chat.completions.parse(
        model="sonnet", messages=[{"role": "user", "content": TELL_ADA}], response_format=Person
    )
    same(completion.choices[0].message.parsed, Person(**ADA))


@check("responses")
def responses():
    response = client.responses.create(model="sonnet", input=TELL)
    same(response.output_text, SENTENCE)
    following = client.responses.parse(
        model="sonnet", input=TELL_ADA, previous_response_id=response.id, text_format=Person
    )
    same(following.output_parsed, Person(**ADA))


@check("models")
def models():
    assert "sonnet" in {model.id for model in client.models.list()}
