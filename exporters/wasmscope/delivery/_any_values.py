"""Attributes in OTLP's form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

__all__ = ["key_values"]


def key_values(attributes: Mapping[str, object]) -> Iterator[KeyValue]:
    """Encode attributes.

    Args:
        attributes: Values are what OpenTelemetry's AnyValue can be; integers are within i64.

    Raises:
        TypeError: If one is anything else.
    """
    for key, value in attributes.items():
        yield KeyValue(key=key, value=_any_value(value))


def _any_value(value: object) -> AnyValue:
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case Mapping():
            entries = cast("Mapping[str, object]", value)
            return AnyValue(kvlist_value=KeyValueList(values=key_values(entries)))
        case Sequence():
            items = cast("Sequence[object]", value)
            return AnyValue(array_value=ArrayValue(values=map(_any_value, items)))
        case _:
            raise TypeError(f"{type(value).__name__} is no attribute value")
