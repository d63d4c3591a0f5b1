"""llm, Simon Willison's command line program: chat, tools, schemas, pictures and conversations."""

import base64
import json
from pathlib import Path

from checks import ADA, AFTER_RESULTS, API_KEY, ASK_WEATHER, BASE_URL, SENTENCE, TELL, TELL_ADA, WEATHER, check, run, same

HOME = Path.home() / "llm"
HOME.mkdir()
HOME.joinpath("extra-openai-models.yaml").write_text(
    f"- model_id: switchboard\n  model_name: sonnet\n  api_base: {BASE_URL}\n  vision: true\n  supports_schema: true\n"
    "  supports_tools: true\n  api_key_name: switchboard\n"
)
HOME.joinpath("keys.json").write_text(json.dumps({"switchboard": API_KEY}))
FUNCTION = 'def get_weather(city: str) -> str:\n    "The weather of a city."\n    return "18 degrees in " + city\n'
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="


def llm(*words):
    return run("llm", "-m", "switchboard", *words, variables={"LLM_USER_PATH": str(HOME)}).strip()


@check("chat")
def chat():
    same(llm("--no-stream", TELL), SENTENCE)
    same(llm("--no-stream", "-o", "temperature", "0", TELL), SENTENCE)


@check("stream")
def stream():
    same(llm(TELL), SENTENCE)


@check("tools")
def tools():
    same(llm("--functions", FUNCTION, ASK_WEATHER), f"{AFTER_RESULTS} {WEATHER}")


@check("structured")
def structured():
    same(json.loads(llm("--schema", "name, age int", TELL_ADA)), ADA)


@check("picture")
def picture():
    Path("pixel.png").write_bytes(base64.b64decode(PIXEL))
    same(llm("-a", "pixel.png", TELL), SENTENCE)


@check("conversation")
def conversation():
    same(llm("-c", TELL), SENTENCE)
