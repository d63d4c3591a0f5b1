"""EleutherAI's lm-eval: its models for completions and chat completions, with whitespace stop sequences."""

from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model

from checks import API_KEY, BASE_URL, OPENAI, SENTENCE, TELL, check, same
import os

os.environ |= OPENAI


def answer(name, path, prompt=TELL, **options):
    model = get_model(name)(model="sonnet", base_url=BASE_URL + path, tokenizer_backend=None, num_concurrent=1, **options)
    request = (model.apply_chat_template([{"role": "user", "content": prompt}]) if "chat" in name else prompt,
               {"until": ["\n\n"], "max_gen_toks": 100, "temperature": 0})
    return model.generate_until([Instance("generate_until", {}, request, 0)])


@check("chat")
def chat():
    same(answer("local-chat-completions", "/chat/completions"), [SENTENCE])


@check("completions")
def completions():
    same(answer("local-completions", "/completions", tokenized_requests=False), [SENTENCE])
