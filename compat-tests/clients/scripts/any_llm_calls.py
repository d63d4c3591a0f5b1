"""any-llm: completions and responses over OpenAI's API, and completions over Anthropic's."""

import any_llm

from checks import API_KEY, BASE_URL, ROOT_URL, SENTENCE, TELL, ASK_WEATHER, check, get_weather, is_stream, same
import json

OPENAI = {"provider": "openai", "model": "sonnet", "api_base": BASE_URL, "api_key": API_KEY}
ANTHROPIC = {"provider": "anthropic", "model": "claude-sonnet-5-5", "api_base": ROOT_URL, "api_key": API_KEY}


def messages(prompt):
    return [{"role": "user", "content": prompt}]


@check("chat")
def chat():
    for backend in (OPENAI, ANTHROPIC):
        same(any_llm.completion(messages=messages(TELL), **backend).choices[0].message.content, SENTENCE)


@check("stream")
def stream():
    for backend in (OPENAI, ANTHROPIC):
        chunks = any_llm.completion(messages=messages(TELL), stream=True, **backend)
        is_stream([chunk.choices[0].delta.content for chunk in chunks if chunk.choices])


@check("tools")
def tools():
    for backend in (OPENAI, ANTHROPIC):
        asked = any_llm.completion(messages=messages(ASK_WEATHER), tools=[get_weather], **backend).choices[0].message
        function = asked.tool_calls[0].function
        same((function.name, json.loads(function.arguments)), ("get_weather", {"city": "Paris"}))


@check("responses")
def responses():
    same(any_llm.responses(input_data=TELL, **OPENAI).output_text, SENTENCE)


@check("models")
def models():
    assert "sonnet" in {model.id for model in any_llm.list_models(**{k: OPENAI[k] for k in ("provider", "api_base", "api_key")})}
