"""smolagents: its model, an agent that calls tools and one that writes code."""

from smolagents import ChatMessage, CodeAgent, OpenAIModel, ToolCallingAgent, tool

from checks import (API_KEY, BASE_URL, SENTENCE, TELL, call, check, cities, get_weather, is_stream, same, say)

model = OpenAIModel(model_id="sonnet", api_base=BASE_URL, api_key=API_KEY)
MESSAGES = [ChatMessage(role="user", content=[{"type": "text", "text": TELL}])]


@tool
def weather(city: str) -> str:
    """The weather of a city, and what the model is to do next.

    Args:
        city: the city's name
    """
    return get_weather(city) + " " + call("final_answer", answer="18 degrees in Paris")


@check("chat")
def chat():
    same(model.generate(MESSAGES).content, SENTENCE)


@check("stream")
def stream():
    is_stream([delta.content for delta in model.generate_stream(MESSAGES)])


@check("tools")
def tools():
    agent = ToolCallingAgent(tools=[weather], model=model, max_steps=3)
    same(agent.run(call("weather", city="Paris")), "18 degrees in Paris")
    same(cities, ["Paris"])


@check("code agent")
def code_agent():
    code = 'Thought: I ask.\n<code>\nfinal_answer(weather(city="Paris")[:19])\n</code>'
    agent = CodeAgent(tools=[weather], model=model, max_steps=2)
    same(agent.run(say(code)), "18 degrees in Paris")
    same(cities, ["Paris"])
