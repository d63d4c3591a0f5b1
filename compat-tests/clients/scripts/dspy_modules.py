"""DSPy: its LM over chat completions and responses, and its modules."""

import dspy

from checks import API_KEY, BASE_URL, SENTENCE, TELL, call, check, get_weather, is_stream, same, say, weather_was_asked

OPTIONS = {"api_base": BASE_URL, "api_key": API_KEY, "cache": False}
CHAT = dspy.LM("openai/sonnet", **OPTIONS)
RESPONSES = dspy.LM("openai/sonnet", model_type="responses", **OPTIONS)


class Age(dspy.Signature):
    """Tell a person's age."""

    question: str = dspy.InputField()
    age: int = dspy.OutputField()


@check("chat")
def chat():
    same(CHAT(TELL), [SENTENCE])
    same(RESPONSES(TELL)[0], {"text": SENTENCE} if isinstance(RESPONSES(TELL)[0], dict) else SENTENCE)


@check("structured")
def structured():
    for model in (CHAT, RESPONSES):
        with dspy.context(lm=model, adapter=dspy.JSONAdapter()):
            same(dspy.Predict(Age)(question=say({"age": 36})).age, 36)
