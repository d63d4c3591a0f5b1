"""aider: edits of a file, as a whole and as a diff, over OpenAI's and Anthropic's API."""

from pathlib import Path

from checks import ANTHROPIC, OPENAI, SENTENCE, TELL, check, recipe_blocks, run, say

FLAGS = ["--yes-always", "--no-git", "--no-check-update", "--no-show-model-warnings", "--no-analytics",
         "--no-show-release-notes", "--no-pretty", "--map-tokens", "0", "--no-gitignore"]


def aider(*words, model="openai/sonnet"):
    return run("aider", *FLAGS, "--model", model, *words, variables=OPENAI | ANTHROPIC)


def edit(answer, edit_format, model="openai/sonnet", before="x = 1\n"):
    """Lets aider apply the answer to a file and returns the file's content."""
    path = Path("number.py")
    path.write_text(before)
    aider("--edit-format", edit_format, "--message", say(answer), path, model=model)
    return path.read_text()


@check("chat")
def chat():
    assert SENTENCE in aider("--no-stream", "--chat-mode", "ask", "--message", TELL)


@check("stream")
def stream():
    assert SENTENCE in aider("--stream", "--chat-mode", "ask", "--message", TELL, model="anthropic/claude-sonnet-5-5")


@check("edits of files")
def edits_of_files():
    whole = "number.py\n```\nx = 2\n```\n"
    assert edit(whole, "whole") == "x = 2\n"
    diff = "number.py\n```python\n<<<<<<< SEARCH\nx = 1\n=======\nx = 3\n>>>>>>> REPLACE\n```\n"
    assert edit(diff, "diff", "openai/gpt-5.5") == "x = 3\n"


@check("recipe")
def recipe():
    settings, program = recipe_blocks("aider", "yaml"), recipe_blocks("aider", "sh")
    (Path.home() / ".aider.conf.yml").write_text(settings[0])
    assert "stand-in" in run("bash", "-euc", program[0])
