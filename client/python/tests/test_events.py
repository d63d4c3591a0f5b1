"""Decoder of server-sent events, without any network."""

from __future__ import annotations

import random

import pytest

from claude_switchboard._core.sse import EventDecoder, ServerEvent

STREAM = (
    "\ufeff: hello\n\ndata: ä€😀\r\n\r\nid: 7\revent: tool\rdata:a\rdata: b\r\rdata\n\nretry: 5\n\ndata: [DONE]\n\n"
)
EVENTS = [
    ServerEvent("ä€😀", "message", None),
    ServerEvent("a\nb", "tool", "7"),
    ServerEvent("", "message", "7"),
    ServerEvent("[DONE]", "message", "7"),
]


def decode(pieces: list[bytes]) -> list[ServerEvent]:
    decoder = EventDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)]


def test_events_are_decoded_with_all_ends_of_lines() -> None:
    assert decode([STREAM.encode()]) == EVENTS


def test_events_are_decoded_byte_by_byte() -> None:
    assert decode([bytes([byte]) for byte in STREAM.encode()]) == EVENTS


@pytest.mark.parametrize("seed", range(50))
def test_events_are_decoded_from_pieces_of_any_size(seed: int) -> None:
    chance = random.Random(seed)
    rest, pieces = STREAM.encode(), list[bytes]()
    while rest:
        size = chance.randint(0, 6)
        pieces.append(rest[:size])
        rest = rest[size:]
    assert decode(pieces) == EVENTS


def test_event_without_end_is_dropped() -> None:
    assert decode([b"data: half\n"]) == []
