"""An encoder of source maps, written from ECMA-426; it shares nothing with the decoder."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Sequence
from typing import Any

_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"

Segment = tuple[int, ...]
"""Offset; or offset, source, line, column; or that and a name. All from 0, and none a difference."""


def vlq(number: int) -> str:
    """Base64 VLQ, https://tc39.es/ecma426/#sec-base64-vlq."""
    rest = abs(number) * 2 + (number < 0)
    text = ""
    while True:
        digit, rest = rest % 32, rest // 32
        text += _ALPHABET[digit + 32 * (rest > 0)]
        if not rest:
            return text


def mappings(segments: Sequence[Segment]) -> str:
    """One line of mappings, each field the difference to its last value."""
    last = [0, 0, 0, 0, 0]
    texts: list[str] = []
    for segment in segments:
        text = ""
        for field, value in enumerate(segment):
            text += vlq(value - last[field])
            last[field] = value
        texts.append(text)
    return ",".join(texts)


def source_map(segments: Sequence[Segment] | str, **fields: Any) -> bytes:
    """A map; fields replace or extend what it has, and None takes away."""
    text = segments if isinstance(segments, str) else mappings(segments)
    document = {"version": 3, "sources": ["a.ts", "b.ts"], "names": ["first", "second"], "mappings": text, **fields}
    return json.dumps({key: value for key, value in document.items() if value is not None}).encode()


def random_segments(count: int, seed: int) -> list[Segment]:
    """Segments in the order of their offsets, of all three kinds."""
    chance = random.Random(seed)
    found: list[Segment] = []
    offset = 0
    for _ in range(count):
        offset += chance.randrange(1, 9)
        segment = (offset, chance.randrange(2), chance.randrange(5000), chance.randrange(120), chance.randrange(2))
        found.append(segment[: chance.choice((1, 4, 4, 4, 5))])
    return found
