"""How many bytes an attribute has in OTLP: what it counts for where a span's attributes are bounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

__all__ = ["attribute_bytes"]

_INT_MASK = (1 << 64) - 1


def attribute_bytes(key: str, value: object) -> int:
    """Give the size of an attribute as an element of ``Span.attributes``.

    The format is ``KeyValue`` of
    https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/common/v1/common.proto.

    Args:
        key: Its key.
        value: Its value, as `Packed.decode` gives it.
    """
    return _field(_field(len(key.encode())) + _field(_value_bytes(value)))


def _value_bytes(value: object) -> int:
    match value:
        case None:
            return 0
        case bool():
            return 2
        case int():
            return 1 + _varint_bytes(value & _INT_MASK)
        case float():
            return 9
        case str():
            return _field(len(value.encode()))
        case bytes():
            return _field(len(value))
        case Mapping():
            entries = cast("Mapping[str, object]", value)
            return _field(sum(attribute_bytes(key, item) for key, item in entries.items()))
        case _:
            return _field(sum(_field(_value_bytes(item)) for item in cast("Sequence[object]", value)))


def _field(size: int) -> int:
    """Give the size of a field with so many bytes: its tag and its length come before them."""
    return 1 + _varint_bytes(size) + size


def _varint_bytes(number: int) -> int:
    return max(1, (number.bit_length() + 6) // 7)
