"""Answers of Chat Completions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from .base import Record

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"] | str


class PromptTokens(Record):
    """Parts of the prompt that the prompt cache has read or written."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class CompletionUsage(Record):
    """Tokens and dollars of an answer; `cost_usd` is None where the cost is not known."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: PromptTokens = PromptTokens()
    cost_usd: Decimal | None = None


class FunctionCall(Record):
    """Called function; `arguments` is JSON as Claude wrote it."""

    name: str = ""
    arguments: str = ""


class ToolCall(Record):
    """Call of a tool that the request offered."""

    id: str = ""
    type: str = "function"
    function: FunctionCall | None = None


class Message(Record):
    """Message of Claude."""

    role: str = "assistant"
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] = Field(default_factory=lambda: [])


class Choice(Record):
    """One of the answers to a request."""

    index: int = 0
    message: Message = Message()
    finish_reason: FinishReason | None = None


class AnswerMeta(Record):
    """Facts in the headers of an answer."""

    request_id: str | None = None
    cache: str | None = None
    model: str | None = None
    route: str | None = None
    ignored: list[str] = Field(default_factory=lambda: [])
    repaired: list[str] = Field(default_factory=lambda: [])


class Completion(Record):
    """Whole answer; `content` is the text of its first choice."""

    id: str = ""
    model: str = ""
    created: int = 0
    choices: list[Choice] = Field(default_factory=lambda: [])
    usage: CompletionUsage | None = None
    meta: AnswerMeta = AnswerMeta()

    @property
    def content(self) -> str:
        """Text of the first choice."""
        return (self.choices[0].message.content or "") if self.choices else ""

    @property
    def text(self) -> str:
        """Same as `content`."""
        return self.content

    @property
    def tool_calls(self) -> list[ToolCall]:
        """Calls of tools in the first choice."""
        return self.choices[0].message.tool_calls if self.choices else []

    @property
    def finish_reason(self) -> FinishReason | None:
        """Reason for which the first choice ended."""
        return self.choices[0].finish_reason if self.choices else None

    @property
    def cost(self) -> Decimal | None:
        """Dollars, or None where the cost is not known."""
        return self.usage.cost_usd if self.usage else None

    @property
    def request_id(self) -> str | None:
        """Id of the request in the server's log."""
        return self.meta.request_id

    @property
    def is_cached(self) -> bool:
        """True if the answer came from the response cache and cost nothing."""
        return self.meta.cache == "hit"


class Delta(Record):
    """Piece of a message."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[dict[str, Any]] = Field(default_factory=lambda: [])


class ChunkChoice(Record):
    """Piece of one of the answers."""

    index: int = 0
    delta: Delta = Delta()
    finish_reason: FinishReason | None = None


class Chunk(Record):
    """Event of a stream."""

    id: str = ""
    model: str = ""
    created: int = 0
    choices: list[ChunkChoice] = Field(default_factory=lambda: [])
    usage: CompletionUsage | None = None

    @property
    def text(self) -> str:
        """Text of the first choice in this event."""
        pieces = [choice.delta.content or "" for choice in self.choices if choice.index == 0]
        return "".join(pieces)
