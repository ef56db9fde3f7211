"""OTLP's attribute values as Python's.

Source: opentelemetry/proto/common/v1/common.proto of https://github.com/open-telemetry/opentelemetry-proto
"""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.proto.common.v1.common_pb2 import AnyValue as OtlpValue
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.util.types import AnyValue

__all__ = ["read_attributes", "read_value"]


def read_attributes(pairs: Iterable[KeyValue]) -> dict[str, AnyValue]:
    """Read a list of attributes; of the same key, the last one holds."""
    attributes: dict[str, AnyValue] = {}
    for pair in pairs:
        value = pair.value
        # Most are texts, and asking which one is set costs as much as reading it.
        attributes[pair.key] = value.string_value or read_value(value)
    return attributes


def read_value(value: OtlpValue) -> AnyValue:
    """Read a value. Recursion is bounded by protobuf, which refuses bytes nested deeper than 100."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return tuple(read_value(item) for item in value.array_value.values)
    if kind == "kvlist_value":
        return {pair.key: read_value(pair.value) for pair in value.kvlist_value.values}
    scalar: str | bool | int | float | bytes = getattr(value, kind)
    return scalar
