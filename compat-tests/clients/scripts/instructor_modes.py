"""instructor in its modes for OpenAI's and Anthropic's SDKs."""

import anthropic
import instructor
import openai
from instructor import Mode
from pydantic import BaseModel, Field

from checks import ADA, API_KEY, BASE_URL, ROOT_URL, TELL_ADA, check, same


class Person(BaseModel):
    """A person."""

    name: str
    age: int = Field(ge=0, le=150)


OPENAI_MODES = [Mode.TOOLS, Mode.TOOLS_STRICT, Mode.JSON, Mode.MD_JSON, Mode.JSON_SCHEMA, Mode.RESPONSES_TOOLS]
ANTHROPIC_MODES = [Mode.ANTHROPIC_TOOLS, Mode.ANTHROPIC_JSON]
OPENAI = openai.OpenAI(base_url=BASE_URL, api_key=API_KEY, max_retries=0)
ANTHROPIC = anthropic.Anthropic(base_url=ROOT_URL, api_key=API_KEY, max_retries=0)
MESSAGES = [{"role": "user", "content": TELL_ADA}]


@check("structured")
def structured():
    for mode in OPENAI_MODES:
        client = instructor.from_openai(OPENAI, mode=mode)
        found = client.chat.completions.create(model="sonnet", response_model=Person, max_retries=0, messages=MESSAGES)
        same((mode, found.model_dump()), (mode, ADA))
    for mode in ANTHROPIC_MODES:
        client = instructor.from_anthropic(ANTHROPIC, mode=mode)
        found = client.chat.completions.create(
            model="claude-sonnet-5-5", max_tokens=1000, response_model=Person, max_retries=0, messages=MESSAGES
        )
        same((mode, found.model_dump()), (mode, ADA))


@check("stream")
def stream():
    partial = instructor.from_openai(OPENAI).chat.completions.create_partial(
        model="sonnet", response_model=Person, messages=MESSAGES
    )
    pieces = list(partial)
    assert len(pieces) > 1
    same((pieces[-1].name, pieces[-1].age), ("Ada", 36))
