"""The packed encoding of ``docs/abi.md``, written a second time: an encoder for tests, and a decoder to compare with.

Slow and literal on purpose: nothing here is shared with the code under test.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Decoded", "Field", "attributes", "callsite", "decode", "instrument", "value"]


@dataclass(frozen=True, slots=True)
class Field:
    """A key that refers to a field of the call site."""

    index: int


def value(item: Any) -> bytes:
    """Encode a value by its Python type."""
    match item:
        case None:
            return b"\x00"
        case bool():
            return b"\x02" + bytes([item])
        case str():
            raw = item.encode()
            return b"\x01" + struct.pack("<I", len(raw)) + raw
        case int():
            return b"\x03" + struct.pack("<q", item)
        case float():
            return b"\x04" + struct.pack("<d", item)
        case bytes():
            return b"\x05" + struct.pack("<I", len(item)) + item
        case Mapping():
            entries: Mapping[str, Any] = item
            return b"\x07" + struct.pack("<I", len(entries)) + b"".join(
                _text(k) + value(v) for k, v in entries.items()
            )  # fmt: skip
        case Sequence():
            items: Sequence[Any] = item
            return b"\x06" + struct.pack("<I", len(items)) + b"".join(map(value, items))
    raise TypeError(item)


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<H", len(raw)) + raw


def attributes(items: Mapping[str, Any] | Iterable[tuple[str | Field, Any]] = ()) -> bytes:
    """Encode an attribute list."""
    pairs: Iterable[Any] = items.items() if isinstance(items, Mapping) else items
    out = b""
    key: Any
    for key, item in pairs:
        out += struct.pack("<H", 0x8000 | key.index) if isinstance(key, Field) else _text(key)
        out += value(item)
    return out


def callsite(
    kind: int = 1,
    *,
    severity: int = 0,
    name: str = "",
    target: str = "",
    file: str = "",
    line: int = 0,
    fields: Sequence[str] = (),
    constants: Mapping[str, Any] | None = None,
) -> bytes:
    """Encode a call site descriptor; kind 1 is a log, 2 a span."""
    head = struct.pack("<BBHI", kind, severity, len(fields), line)
    return head + b"".join(map(_text, (name, target, file, *fields))) + attributes(constants or {})


def instrument(name: str, *, unit: str = "", description: str = "", boundaries: Sequence[float] = ()) -> bytes:
    """Encode an instrument descriptor."""
    texts = b"".join(map(_text, (name, unit, description)))
    return texts + struct.pack(f"<H{len(boundaries)}d", len(boundaries), *boundaries)


@dataclass
class Decoded:
    """What a list means, and what is counted as unusable in it (each reason once for each time)."""

    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    reasons: list[str] = field(default_factory=list[str])


class _Stop(Exception):
    """The rest cannot be used; its argument is the reason."""


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def bytes(self, size: int) -> bytes:
        if size > len(self.data):
            raise _Stop("attribute")
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    def number(self, form: str) -> Any:
        return struct.unpack("<" + form, self.bytes(struct.calcsize("<" + form)))[0]


@dataclass
class _State:
    decoded: Decoded
    value_bytes: int
    key_bytes: int
    elements_left: int
    depth: int
    cut: list[str] = field(default_factory=list[str])


def decode(
    data: bytes,
    fields: Sequence[str] = (),
    *,
    count: int = 128,
    value_bytes: int = 16_384,
    key_bytes: int = 256,
    elements: int = 1_024,
    depth: int = 8,
) -> Decoded:
    """Decode an attribute list as ``docs/abi.md`` says, with its default limits."""
    decoded = Decoded()
    cursor = _Cursor(data)
    state = _State(decoded, value_bytes, key_bytes, elements, depth)
    notes: dict[str, list[str]] = {}
    try:
        for seen in range(1 << 30):
            if not cursor.data:
                break
            if seen == count:
                raise _Stop("attribute_count")
            key = _key(cursor, fields, state)
            state.cut = []
            item = _value(cursor, key or "", 0, state)
            if key is not None:
                decoded.attributes[key] = item
                notes[key] = state.cut
    except _Stop as stop:
        decoded.reasons.append(str(stop))
    cut = [note for of_key in notes.values() for note in of_key]
    if cut:
        decoded.attributes["wasmscope.truncated"] = tuple(cut)
    return decoded


def _key(cursor: _Cursor, fields: Sequence[str], state: _State) -> str | None:
    size: int = cursor.number("H")
    if size < 0x8000:
        return _name(cursor, size, state, may_be_reserved=False)
    if size - 0x8000 < len(fields):
        return fields[size - 0x8000]
    state.decoded.reasons.append("attribute_field")
    return None


def _name(cursor: _Cursor, size: int, state: _State, *, may_be_reserved: bool) -> str | None:
    raw = cursor.bytes(size)
    if size == 0 or size > state.key_bytes:
        state.decoded.reasons.append("attribute_key")
        return None
    text = _decoded_text(raw, state)
    if not may_be_reserved and (text.startswith("wasm.") or text.startswith("wasmscope.")):
        state.decoded.reasons.append("attribute_reserved")
        return None
    return text


def _decoded_text(raw: bytes, state: _State) -> str:
    text = raw.decode("utf-8", "replace")
    if text.encode() != raw:
        state.decoded.reasons.append("utf8")
    return text


def _shortened(raw: bytes, limit: int) -> bytes:
    """Cut between characters: a byte 10xxxxxx belongs to the character before it, which has at most four bytes."""
    for end in range(limit, max(-1, limit - 4), -1):
        if raw[end] >> 6 != 0b10:
            return raw[:end]
    return raw[: max(0, limit - 3)]


def _value(cursor: _Cursor, key: str, level: int, state: _State) -> Any:
    tag = cursor.number("B")
    match tag:
        case 0:
            return None
        case 1 | 5:
            raw = cursor.bytes(cursor.number("I"))
            if len(raw) > state.value_bytes:
                state.cut.append(f"{key}={len(raw)}")
                raw = _shortened(raw, state.value_bytes) if tag == 1 else raw[: state.value_bytes]
            return _decoded_text(raw, state) if tag == 1 else raw
        case 2:
            return cursor.number("B") != 0
        case 3:
            return cursor.number("q")
        case 4:
            return cursor.number("d")
        case 6 | 7:
            if level >= state.depth:
                raise _Stop("attribute_depth")
            size = cursor.number("I")
            if size > len(cursor.data):
                raise _Stop("attribute")
            state.elements_left -= size
            if state.elements_left < 0:
                raise _Stop("attribute_elements")
            if tag == 6:
                return tuple(_value(cursor, key, level + 1, state) for _ in range(size))
            entries: dict[str, Any] = {}
            for _ in range(size):
                name = _name(cursor, cursor.number("H"), state, may_be_reserved=True)
                item = _value(cursor, key, level + 1, state)
                if name is not None:
                    entries[name] = item
            return entries
        case _:
            raise _Stop("attribute")
