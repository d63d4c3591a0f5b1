"""Text completions, the oldest of OpenAI's endpoints, with the official SDK."""

import openai
import pytest

MODEL = "sonnet"
TWELVE = " ".join(f"w{n}" for n in range(1, 13))


def ask(client, prompt, **options):
    return client.completions.create(model=MODEL, prompt=prompt, **options)


def test_completion_has_text_and_usage(client, upstream, marker):
    answer = ask(client, f"{marker} [[tokens=4]]")
    [choice] = answer.choices
    assert (answer.object, choice.index, choice.text, choice.finish_reason) == (
        "text_completion", 0, "w1 w2 w3 w4", "stop",
    )
    assert answer.usage.completion_tokens == 4
    assert ("user", f"{marker} [[tokens=4]]") in upstream.turns()


def test_each_prompt_has_its_choice(client):
    answer = ask(client, ["[[say=one]]", "[[say=two]]"])
    assert [(choice.index, choice.text) for choice in answer.choices] == [(0, "one"), (1, "two")]


def test_stream_has_the_whole_text(client):
    chunks = list(ask(client, "[[tokens=12]]", stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == TWELVE
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.completion_tokens == 12


def test_token_limit_and_stop_text_end_the_completion(client):
    [limited] = ask(client, "[[tokens=50 gap_ms=20]]", max_tokens=3).choices
    assert (limited.text, limited.finish_reason) == ("w1 w2 w3", "length")
    [stopped] = ask(client, '[[say="one two three"]]', stop="three").choices
    assert (stopped.text, stopped.finish_reason) == ("one two ", "stop")


def test_invalid_parameter_is_named(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "Hi.", temperature=3)
    assert caught.value.param == "temperature"
