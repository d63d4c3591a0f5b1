"""Shared by the scripts of Python clients: the server's address, prompts, and the reporting of checks.

Prompts contain directives for the stand-in behind the server; `stand-in/src/lib.rs` lists them.
"""

import asyncio
import inspect
import json
import os
import re
import subprocess
import sys
import traceback
from pathlib import Path

BASE_URL = os.environ["BASE_URL"]
ROOT_URL = os.environ["ROOT_URL"]
API_KEY = os.environ["API_KEY"]

# The same address and key, where a client reads the variables of OpenAI's and Anthropic's own SDKs.
OPENAI = {"OPENAI_BASE_URL": BASE_URL, "OPENAI_API_BASE": BASE_URL, "OPENAI_API_KEY": API_KEY}
ANTHROPIC = {"ANTHROPIC_BASE_URL": ROOT_URL, "ANTHROPIC_API_KEY": API_KEY}

FAULT_CHARS = 600


def say(answer):
    """Returns the directive that makes the model answer a text, or a value as JSON."""
    return f"[[say={json.dumps(answer if isinstance(answer, str) else json.dumps(answer))}]]"


def call(tool, **arguments):
    """Returns the directive that makes the model call a tool."""
    return f"[[tool={tool} input={json.dumps(arguments)}]]"


SENTENCE = "Paris lies on the Seine."
TELL = say(SENTENCE)
ADA = {"name": "Ada", "age": 36}
TELL_ADA = say(ADA)
# Result of `get_weather`, and the model's answer to it.
WEATHER = "18 degrees in Paris"
ASK_WEATHER = call("get_weather", city="Paris")
AFTER_RESULTS = "Tool results:"


def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: the city's name
    """
    cities.append(city)
    return f"18 degrees in {city}"


# `get_weather` as a tool of the chat API.
WEATHER_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

# Arguments of the calls of `get_weather` since the last `weather_was_asked` or the start of the check.
cities = []


def check(name):
    """Runs the decorated function at once and prints whether it passed."""

    def decide(function):
        cities.clear()
        fault = ""
        try:
            outcome = function()
            if inspect.isawaitable(outcome):
                asyncio.run(outcome)
        except BaseException as error:  # a client may end the process, as command-line programs do
            traceback.print_exc()
            fault = f"{type(error).__name__}: {error}"[:FAULT_CHARS] or "failed"
        print("CHECK " + json.dumps({"name": name, "fault": fault}), flush=True)
        return function

    return decide


def same(found, wanted):
    assert found == wanted, f"expected {wanted!r}, got {found!r}"


def is_stream(pieces):
    """Checks that the sentence arrived in more than one piece."""
    pieces = [piece for piece in pieces if piece]
    same("".join(pieces), SENTENCE)
    assert len(pieces) > 1, f"the answer came in one piece: {pieces}"


def weather_was_asked(answer):
    """Checks that the tool was called with the model's argument and that its result reached the model."""
    asked, cities[:] = list(cities), []
    same(asked, ["Paris"])
    assert AFTER_RESULTS in answer and WEATHER in answer, f"expected {AFTER_RESULTS!r} and {WEATHER!r} in {answer!r}"


def recipe_blocks(name, language):
    """Returns the blocks of a page of docs/recipes, with the address and the key of this server."""
    page = (Path(os.environ["RECIPES"]) / f"{name}.md").read_text()
    blocks = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    assert blocks, f"{name}.md has no block of {language}"
    return [block.replace("http://127.0.0.1:8080", ROOT_URL).replace("sk-sb-...", API_KEY) for block in blocks]


def run_recipe(name):
    """Runs the Python program of a page and returns its stdout."""
    return run(sys.executable, "-c", "\n".join(recipe_blocks(name, "python")))


def run(*command, variables=None, stdin="", seconds=120, folder=None):
    """Runs a program and returns its stdout; fails with its stderr."""
    done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True, text=True, check=False,
                          timeout=seconds, cwd=folder, env=os.environ | (variables or {}))
    print(done.stdout, done.stderr, flush=True)
    assert done.returncode == 0, f"status {done.returncode}: {(done.stderr or done.stdout)[-FAULT_CHARS:]}"
    return done.stdout
