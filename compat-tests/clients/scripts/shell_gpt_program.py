"""shell-gpt: answers, code and chats."""

from checks import API_KEY, BASE_URL, SENTENCE, TELL, check, run, say

VARIABLES = {"API_BASE_URL": BASE_URL, "OPENAI_API_KEY": API_KEY, "DEFAULT_MODEL": "sonnet", "PRETTIFY_MARKDOWN": "false",
             "OPENAI_USE_FUNCTIONS": "false", "USE_LITELLM": "false"}


def sgpt(*words):
    return run("sgpt", *words, variables=VARIABLES)


@check("chat")
def chat():
    assert SENTENCE in sgpt("--no-cache", TELL)


@check("stream")
def stream():
    # shell-gpt streams every answer.
    assert "print(1)" in sgpt("--no-cache", "--code", say("print(1)"))


@check("conversation")
def conversation():
    for _ in range(2):
        assert SENTENCE in sgpt("--chat", "checks", TELL)
