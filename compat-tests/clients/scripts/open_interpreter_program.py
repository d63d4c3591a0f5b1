"""open-interpreter: an answer, and code that it runs."""

from pathlib import Path

from interpreter import interpreter

from checks import API_KEY, BASE_URL, SENTENCE, TELL, call, check

interpreter.offline = True
interpreter.auto_run = True
interpreter.disable_telemetry = True
interpreter.llm.model = "openai/sonnet"
interpreter.llm.api_base = BASE_URL
interpreter.llm.api_key = API_KEY
interpreter.llm.context_window = 200_000
interpreter.llm.max_tokens = 4000
interpreter.llm.supports_functions = True


@check("chat")
def chat():
    interpreter.messages = []
    assert interpreter.chat(TELL, display=False)[-1]["content"] == SENTENCE


@check("stream")
def stream():
    interpreter.messages = []
    pieces = [piece.get("content") for piece in interpreter.chat(TELL, display=False, stream=True)
              if piece.get("type") == "message"]
    pieces = [piece for piece in pieces if isinstance(piece, str) and piece]
    assert "".join(pieces) == SENTENCE and len(pieces) > 1, pieces


@check("tools")
def tools():
    interpreter.messages = []
    interpreter.chat(call("execute", language="shell", code="echo made >made.txt"), display=False)
    assert Path("made.txt").read_text() == "made\n"
