"""Fixtures of all suites: the server's address, and a test's own calls in the stand-in's record."""

import json
import os
import time
import uuid

import httpx
import openai
import pytest

BASE_URL = os.environ["BASE_URL"]
API_KEY = os.environ["API_KEY"]
# Without it, tests that inspect upstream calls are skipped.
STAND_IN_URL = os.environ.get("STAND_IN_URL")

# Read timeout in seconds, so that a hanging server fails the test.
TIMEOUT = 30


class Upstream:
    """Upstream calls of one test, whose prompts contain the test's marker."""

    def __init__(self, marker):
        self.marker = marker

    def calls(self):
        calls = httpx.get(f"{STAND_IN_URL}/_stand_in/requests").json()
        return [call for call in calls if call["path"] == "/v1/messages" and self.marker in str(call["body"])]

    def last(self):
        return self.calls()[-1]["body"]

    def tools(self):
        """Returns the tools of the last call by the names that the client gave them."""
        return {bare(tool["name"]): tool for tool in self.last()["tools"]}

    def raw_blocks(self):
        messages = [message for message in self.last()["messages"] if message["role"] != "system"]
        return [block for message in messages for block in parts(message["content"])]

    def blocks(self):
        """Returns the conversation of the last call, in order, with tool calls and results."""
        return [told(block) for block in self.raw_blocks()]

    def results(self):
        """Returns the tool results of the last call by tool name."""
        names = {block["id"]: bare(block["name"]) for block in self.raw_blocks() if block["type"] == "tool_use"}
        results = [block for block in self.raw_blocks() if block["type"] == "tool_result"]
        return {names[block["tool_use_id"]]: text(block["content"]) for block in results}

    def call(self):
        calls = self.calls()
        assert len(calls) == 1, f"expected one call upstream, got {len(calls)}"
        return calls[0]

    def body(self):
        return self.call()["body"]

    def turns(self):
        """Returns the conversation as (role, text), without the CLI's empty system message."""
        turns = [(message["role"], text(message["content"])) for message in self.body()["messages"]]
        return [turn for turn in turns if turn != ("system", "")]

    def system(self):
        return self.system_of(self.body())

    @staticmethod
    def system_of(body):
        return text(body["system"])


def bare(name):
    """Removes the CLI's prefix from a tool name."""
    return name.rpartition("__")[2]


def parts(content):
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def told(block):
    match block["type"]:
        case "tool_use":
            return ("call", bare(block["name"]), block["input"])
        case "tool_result":
            return ("result", text(block["content"]))
        case kind:
            return (kind, block.get("text"))


def call(tool, **arguments):
    """Returns the directive that makes the model call a tool."""
    return f"[[tool={tool} input={json.dumps(arguments)}]]"


def say(answer):
    """Returns the directive that makes the model answer a text, or a value as JSON."""
    answer = answer if isinstance(answer, str) else json.dumps(answer)
    return f"[[say={json.dumps(answer, ensure_ascii=False)}]]"


def text(content):
    return content if isinstance(content, str) else "\n".join(block["text"] for block in content)


def eventually(condition, within=5):
    """Waits until `condition` holds and returns whether it did in time."""
    deadline = time.monotonic() + within
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds


@pytest.fixture
def marker():
    """A text that no other prompt contains."""
    return f"marker-{uuid.uuid4().hex}"


@pytest.fixture
def upstream(marker):
    if STAND_IN_URL is None:
        pytest.skip("STAND_IN_URL is not set")
    return Upstream(marker)


@pytest.fixture
def client():
    with openai.OpenAI(base_url=BASE_URL, api_key=API_KEY, timeout=TIMEOUT, max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client():
    async with openai.AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY, timeout=TIMEOUT, max_retries=0) as client:
        yield client


@pytest.fixture
def raw():
    """Plain HTTP client, for checks that an SDK would hide."""
    headers = {"authorization": f"Bearer {API_KEY}"}
    with httpx.Client(base_url=BASE_URL, headers=headers, timeout=TIMEOUT) as raw:
        yield raw
