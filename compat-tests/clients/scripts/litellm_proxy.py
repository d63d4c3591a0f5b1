"""LiteLLM's proxy in front of the server, with a backend for OpenAI's and one for Anthropic's API."""

import atexit
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import openai

from checks import (API_KEY, ASK_WEATHER, BASE_URL, ROOT_URL, SENTENCE, TELL, WEATHER_TOOL, check, get_weather,
                    is_stream, same, weather_was_asked)

BACKENDS = {
    "switchboard-openai": {"model": "openai/sonnet", "api_base": BASE_URL, "api_key": API_KEY},
    "switchboard-anthropic": {"model": "anthropic/claude-sonnet-5-5", "api_base": ROOT_URL, "api_key": API_KEY},
}
START_SECONDS = 240
# Key of the proxy, which must be hard to guess.
KEY = f"sk-{secrets.token_hex(32)}"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start():
    """Starts the proxy, which ends with this script, and returns its address."""
    config = {"model_list": [{"model_name": name, "litellm_params": backend} for name, backend in BACKENDS.items()]}
    Path("config.yaml").write_text(json.dumps(config))  # JSON is YAML
    port = free_port()
    proxy = subprocess.Popen([Path(sys.executable).parent / "litellm", "--config", "config.yaml", "--host", "127.0.0.1",
                              "--port", str(port)], env=os.environ | {"LITELLM_LOG": "ERROR", "LITELLM_MASTER_KEY": KEY})
    atexit.register(proxy.kill)
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and proxy.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/health/liveliness", timeout=5)
            return address
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise SystemExit("the proxy did not start")


client = openai.OpenAI(base_url=f"{start()}/v1", api_key=KEY, max_retries=0)


def ask(model, messages, **options):
    return client.chat.completions.create(model=model, messages=messages, **options)


@check("chat")
def chat():
    for model in BACKENDS:
        same(ask(model, [{"role": "user", "content": TELL}]).choices[0].message.content, SENTENCE)


@check("stream")
def stream():
    for model in BACKENDS:
        chunks = ask(model, [{"role": "user", "content": TELL}], stream=True)
        is_stream([chunk.choices[0].delta.content for chunk in chunks])


@check("tools")
def tools():
    for model in BACKENDS:
        messages = [{"role": "user", "content": ASK_WEATHER}]
        asked = ask(model, messages, tools=[WEATHER_TOOL]).choices[0].message
        result = get_weather(**json.loads(asked.tool_calls[0].function.arguments))
        messages += [asked, {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": result}]
        weather_was_asked(ask(model, messages, tools=[WEATHER_TOOL]).choices[0].message.content)


@check("responses")
def responses():
    for model in BACKENDS:
        same(client.responses.create(model=model, input=TELL).output_text, SENTENCE)
