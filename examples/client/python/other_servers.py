"""Embeddings, moderations, audio and images, which another server answers: docs/UPSTREAMS.md.

What it does not have is left out. By the official package, with the settings of this client.
Needs `pip install "./client/python[openai]"`.
"""

import base64
import os

from claude_switchboard import Switchboard
from openai import NotFoundError, OpenAI
from openai.types import ImagesResponse

# Names of models that the operator has given the other server.
EMBEDDING_MODEL = os.environ.get("EMBEDDING_MODEL", "text-embedding-3-small")
MODERATION_MODEL = os.environ.get("MODERATION_MODEL", "omni-moderation-latest")
SPEECH_MODEL = os.environ.get("SPEECH_MODEL", "tts-1")
TRANSCRIPTION_MODEL = os.environ.get("TRANSCRIPTION_MODEL", "whisper-1")
IMAGE_MODEL = os.environ.get("IMAGE_MODEL", "gpt-image-1")
VARIATION_MODEL = os.environ.get("VARIATION_MODEL", "dall-e-2")
NOT_OFFERED = ("unsupported_endpoint", "model_not_found")


def embed(openai: OpenAI) -> None:
    """Vectors of two texts."""
    answer = openai.embeddings.create(model=EMBEDDING_MODEL, input=["the Danube", "a river"])
    print([len(vector.embedding) for vector in answer.data], answer.usage.total_tokens)


def moderate(openai: OpenAI) -> None:
    """Asks if a text is harmful."""
    print(openai.moderations.create(model=MODERATION_MODEL, input="The Danube is long.").results[0].flagged)


def speak(openai: OpenAI) -> None:
    """A spoken text, which is then written down, and translated into English."""
    speech = openai.audio.speech.create(model=SPEECH_MODEL, voice="alloy", input="Guten Morgen, Donau!").read()
    print(len(speech), "bytes")
    recording = ("speech.mp3", speech)
    print(openai.audio.transcriptions.create(model=TRANSCRIPTION_MODEL, file=recording).text)
    print(openai.audio.translations.create(model=TRANSCRIPTION_MODEL, file=recording).text)


def draw(openai: OpenAI) -> None:
    """A picture, an edited copy of it, and a variation."""
    drawn = openai.images.generate(model=IMAGE_MODEL, prompt="A river.", quality="low", size="1024x1024")
    picture = ("river.png", content(drawn))
    edited = openai.images.edit(model=IMAGE_MODEL, prompt="Add a boat.", quality="low", image=picture)
    print(len(picture[1]), len(content(edited)), "bytes")
    variation = openai.images.create_variation(
        model=VARIATION_MODEL, image=picture, size="256x256", response_format="b64_json"
    )
    print(len(content(variation)), "bytes")


def content(answer: ImagesResponse) -> bytes:
    """Bytes of the first picture."""
    return base64.b64decode((answer.data or [])[0].b64_json or "")


with Switchboard() as client:
    for part in (embed, moderate, speak, draw):
        try:
            part(client.openai())
        except NotFoundError as error:
            if error.code not in NOT_OFFERED:
                raise
            print("left out:", error.message)
