"""Requests of Chat Completions, and streams put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from ..errors import InvalidAnswerError, StreamInterruptedError, SwitchboardError
from ..models.chat import AnswerMeta, Chunk, Completion, CompletionUsage
from .call import Answer, Call, Request, decoded, given, validated
from .faults import error_of_event
from .sse import ServerEvent

Prompt = str | Sequence[Mapping[str, Any]]
"""Text of a user, or messages of a conversation."""

CHAT_PATH = "/v1/chat/completions"
DEFAULT_MODEL = "auto"
END_OF_STREAM = "[DONE]"


def chat_body(prompt: Prompt, model: str, system: str | None, parameters: Mapping[str, object]) -> dict[str, object]:
    """Body of a chat request."""
    messages: list[Mapping[str, Any]] = [{"role": "system", "content": system}] if system else []
    messages += [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    return {"model": model, "messages": messages, **given(**parameters)}


def complete_call(body: Mapping[str, object], path: str = CHAT_PATH) -> Call[Completion]:
    """Call for a whole answer."""
    return Call(Request("POST", path, body=body), read_completion)


def stream_request(body: Mapping[str, object], path: str = CHAT_PATH) -> Request:
    """Request for an answer as a stream that ends with its usage."""
    options = {"include_usage": True, **cast("dict[str, object]", body.get("stream_options") or {})}
    headers = {"accept": "text/event-stream"}
    return Request("POST", path, body={**body, "stream": True, "stream_options": options}, headers=headers)


def read_completion(answer: Answer) -> Completion:
    """Completion of an answer, with the facts of its headers."""
    completion = validated(Completion, answer.json())
    return completion.model_copy(update={"meta": read_meta(answer.headers)})


def read_meta(headers: Mapping[str, str]) -> AnswerMeta:
    """Facts in the headers of an answer."""

    def names(header: str) -> list[str]:
        return [name.strip() for name in headers.get(header, "").split(",") if name.strip()]

    return AnswerMeta(
        request_id=headers.get("x-request-id"),
        cache=headers.get("x-cache"),
        model=headers.get("x-switchboard-model"),
        route=headers.get("x-switchboard-route"),
        ignored=names("x-switchboard-ignored"),
        repaired=names("x-switchboard-repaired"),
    )


class ChoiceParts:
    """Pieces of one choice of a stream."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {"content": [], "refusal": [], "reasoning_content": []}
        self.calls: dict[int, dict[str, Any]] = {}
        self.finish_reason: str | None = None

    def add_call(self, piece: Mapping[str, Any]) -> None:
        """Adds a piece of a call of a tool."""
        call = self.calls.setdefault(int(piece.get("index", 0)), {"function": {"name": "", "arguments": ""}})
        call.update({name: piece[name] for name in ("id", "type") if piece.get(name)})
        function: Mapping[str, Any] = piece.get("function") or {}
        for name in ("name", "arguments"):
            call["function"][name] += function.get(name) or ""

    def choice(self, index: int) -> dict[str, Any]:
        """Choice as in a whole answer."""
        message: dict[str, Any] = {name: "".join(pieces) for name, pieces in self.texts.items() if pieces}
        message["tool_calls"] = [call for _, call in sorted(self.calls.items())]
        return {"index": index, "message": message, "finish_reason": self.finish_reason}


class StreamedAnswer:
    """Answer that is put together from the events of a stream."""

    def __init__(self, meta: AnswerMeta) -> None:
        self._meta = meta
        self._first: Chunk | None = None
        self._parts: dict[int, ChoiceParts] = {}
        self._usage: CompletionUsage | None = None
        self.has_begun = False
        self.is_complete = False

    def add(self, event: ServerEvent) -> Chunk | None:
        """Chunk of an event, or None at the end of the stream.

        Raises the error that the event tells.
        """
        if event.data == END_OF_STREAM:
            self.is_complete = True
            return None
        value = self._decode(event)
        if isinstance(value.get("error"), dict):
            raise error_of_event(value["error"], self._meta.request_id)
        chunk = validated(Chunk, value)
        self._first = self._first or chunk
        self._usage = chunk.usage or self._usage
        self._add_choices(chunk)
        return chunk

    @property
    def text(self) -> str:
        """Text of the first choice so far."""
        return "".join(self._parts[0].texts["content"]) if 0 in self._parts else ""

    def whole(self) -> Completion:
        """Whole answer.

        Raises SwitchboardError if the stream was left before its end.
        """
        if not self.is_complete:
            raise SwitchboardError("The stream was left before its end, so there is no whole answer")
        first = self._first or Chunk()
        fields = {"id": first.id, "model": first.model, "created": first.created}
        choices = [part.choice(index) for index, part in sorted(self._parts.items())]
        completion = validated(Completion, {**fields, "choices": choices})
        return completion.model_copy(update={"usage": self._usage, "meta": self._meta})

    def begin(self) -> None:
        """Notes that the stream is read, which can be done once."""
        if self.has_begun:
            raise SwitchboardError("A stream is read once; keep its pieces, or use final()")
        self.has_begun = True

    def interruption(self, reason: str) -> StreamInterruptedError:
        """Error for a stream that broke off."""
        return StreamInterruptedError(f"The stream broke off: {reason}", self.text)

    def _decode(self, event: ServerEvent) -> dict[str, Any]:
        value = decoded(event.data)
        if not isinstance(value, dict):
            raise InvalidAnswerError(f"An event is no object: {event.data[:200]!r}")
        return cast("dict[str, Any]", value)

    def _add_choices(self, chunk: Chunk) -> None:
        for choice in chunk.choices:
            parts = self._parts.setdefault(choice.index, ChoiceParts())
            for name, pieces in parts.texts.items():
                piece = getattr(choice.delta, name)
                if piece:
                    pieces.append(piece)
            for call in choice.delta.tool_calls:
                parts.add_call(call)
            parts.finish_reason = choice.finish_reason or parts.finish_reason
