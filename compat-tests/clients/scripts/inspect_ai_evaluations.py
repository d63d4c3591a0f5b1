"""Inspect: evaluations over OpenAI's and Anthropic's API."""

import os

os.environ |= {"INSPECT_DISPLAY": "none", "SWITCHBOARD_API_KEY": os.environ["API_KEY"],
               "SWITCHBOARD_BASE_URL": os.environ["BASE_URL"], "OPENAI_API_KEY": os.environ["API_KEY"],
               "ANTHROPIC_API_KEY": os.environ["API_KEY"]}

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import tool

from checks import AFTER_RESULTS, ASK_WEATHER, BASE_URL, ROOT_URL, SENTENCE, TELL, WEATHER, check, get_weather, same

MODELS = {"openai/gpt-5": BASE_URL, "openai-api/switchboard/sonnet": BASE_URL, "anthropic/claude-sonnet-5-5": ROOT_URL}


@tool(name="get_weather")
def weather_tool():
    async def execute(city: str):
        """The weather of a city.

        Args:
            city: the city's name
        """
        return get_weather(city)

    return execute


def is_right(prompt, target, solvers, **options):
    for model, address in MODELS.items():
        task = Task(dataset=[Sample(input=prompt, target=target)], solver=solvers, scorer=includes())
        (log,) = eval(task, model=model, model_base_url=address, log_dir="logs", **options)
        same((model, log.status, log.error and log.error.message), (model, "success", None))
        same(log.results.scores[0].metrics["accuracy"].value, 1.0)


@check("chat")
def chat():
    is_right(TELL, SENTENCE, [generate()])
    is_right(TELL, SENTENCE, [generate()], temperature=0, max_tokens=100)


@check("tools")
def tools():
    is_right(ASK_WEATHER, f"{AFTER_RESULTS} {WEATHER}", [use_tools(weather_tool()), generate()])
