"""mem0: its model, which extracts memories."""

import json

from mem0.configs.llms.openai import OpenAIConfig
from mem0.llms.openai import OpenAILLM

from checks import ADA, API_KEY, BASE_URL, SENTENCE, TELL, TELL_ADA, check, same

model = OpenAILLM(OpenAIConfig(model="sonnet", openai_base_url=BASE_URL, api_key=API_KEY))


@check("chat")
def chat():
    same(model.generate_response([{"role": "user", "content": TELL}]), SENTENCE)


@check("structured")
def structured():
    messages = [{"role": "user", "content": f"JSON: {TELL_ADA}"}]
    same(json.loads(model.generate_response(messages, response_format={"type": "json_object"})), ADA)
