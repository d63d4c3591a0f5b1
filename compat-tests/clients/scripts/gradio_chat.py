"""Gradio's chat page for a server with OpenAI's API."""

import inspect

import gradio

from checks import API_KEY, BASE_URL, SENTENCE, TELL, check, same


async def answers(page, words):
    """Returns the successive states of the page."""
    shown = page.fn(words, [])
    if inspect.isasyncgen(shown):
        return [state async for state in shown]
    if inspect.isgenerator(shown):
        return list(shown)
    return [await shown if inspect.isawaitable(shown) else shown]


@check("chat")
async def chat():
    page = gradio.load_chat(BASE_URL, model="sonnet", token=API_KEY, streaming=False)
    same(await answers(page, TELL), [SENTENCE])


@check("stream")
async def stream():
    page = gradio.load_chat(BASE_URL, model="sonnet", token=API_KEY, streaming=True)
    states = await answers(page, TELL)
    same(states[-1], SENTENCE)
    assert len(set(states)) > 1, states
