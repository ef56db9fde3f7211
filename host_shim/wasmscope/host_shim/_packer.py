"""Encoder of the ABI's packed attributes, for what the host itself puts on a guest's records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Final, cast

__all__ = ["pack_attributes"]

_U16: Final = Struct("<H").pack
_U32: Final = Struct("<I").pack
_I64: Final = Struct("<Bq").pack
_F64: Final = Struct("<Bd").pack
_KEY_MAX: Final = 0x7FFF
_DEPTH_MAX: Final = 8
_I64_RANGE: Final = range(-(1 << 63), 1 << 63)


def pack_attributes(attributes: Mapping[str, object]) -> bytes:
    """Encode attributes as an attribute list ("Packed data" in ``docs/abi.md``).

    What the encoding has no form for (an integer beyond 64 bits, an object) goes in as its text, as OpenTelemetry's
    own attributes do with objects.

    Args:
        attributes: Keys and values.
    """
    parts: list[bytes] = []
    for key, value in attributes.items():
        raw = key.encode("utf-8", "replace")
        if 0 < len(raw) <= _KEY_MAX:
            parts += (_U16(len(raw)), raw, _value(value, 0))
    return b"".join(parts)


def _value(value: object, depth: int) -> bytes:
    if value is None:
        return b"\0"
    if isinstance(value, bool):
        return b"\2\1" if value else b"\2\0"
    if isinstance(value, int) and value in _I64_RANGE:
        return _I64(3, value)
    if isinstance(value, float):
        return _F64(4, value)
    if isinstance(value, bytes):
        return b"\5" + _U32(len(value)) + value
    if depth < _DEPTH_MAX and isinstance(value, Mapping):
        entries = cast("Mapping[object, object]", value)
        body = b"".join(_entry(str(key), item, depth) for key, item in entries.items())
        return b"\7" + _U32(len(entries)) + body
    if depth < _DEPTH_MAX and isinstance(value, Sequence) and not isinstance(value, str):
        items = cast("Sequence[object]", value)
        return b"\6" + _U32(len(items)) + b"".join(_value(item, depth + 1) for item in items)
    raw = str(value).encode("utf-8", "replace")
    return b"\1" + _U32(len(raw)) + raw


def _entry(key: str, item: object, depth: int) -> bytes:
    raw = key.encode("utf-8", "replace")[:_KEY_MAX]
    return _U16(len(raw)) + raw + _value(item, depth + 1)
