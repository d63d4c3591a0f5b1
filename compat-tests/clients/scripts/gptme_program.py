"""gptme: an answer, and a command that it runs."""

from pathlib import Path

from checks import OPENAI, SENTENCE, TELL, call, check, run, say

VARIABLES = OPENAI | {"MODEL": "openai/sonnet"}
FLAGS = ["--non-interactive", "--no-confirm", "--model", "openai/sonnet"]


def gptme(*words):
    return run("gptme", *FLAGS, *words, variables=VARIABLES)


@check("chat")
def chat():
    assert SENTENCE in gptme("--no-stream", TELL)


@check("stream")
def stream():
    assert SENTENCE in gptme(TELL)


@check("tools")
def tools():
    gptme("--tool-format", "tool", "--tools", "shell,complete", call("shell", command="echo 18 degrees >paris.txt"))
    assert Path("paris.txt").read_text() == "18 degrees\n"
