"""What an attribute counts for: its size in OTLP, as protobuf itself says."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from wasmscope.host_shim._encoded_size import attribute_bytes


def any_value(value: Any) -> AnyValue:
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case dict():
            entries: dict[str, Any] = value
            return AnyValue(kvlist_value=KeyValueList(values=[pair(key, item) for key, item in entries.items()]))
        case _:
            return AnyValue(array_value=ArrayValue(values=[any_value(item) for item in value]))


def pair(key: str, value: Any) -> KeyValue:
    return KeyValue(key=key, value=any_value(value))


@pytest.mark.parametrize("key", ["k", "\u20ac\N{CRAB}", "k" * 127, "k" * 128, "k" * 5_000])
@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, 1, 127, 128, 2**63 - 1, -1, -(2**63), 0.0, -1.5, "", "text", "\u20ac" * 50, "x" * 16_400,
        b"", b"\0" * 200, (), (None,), (1, -1, 300), ("a", ""), (("x" * 130,), ()), {}, {"a": None},
        {"a": {"b": [1.5, {"c": b"x" * 20_000}]}, "\N{CRAB}": "y" * 100},
    ],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_size(key: str, value: Any) -> None:
    """It is the size of a span with this attribute and nothing else."""
    assert attribute_bytes(key, value) == Span(attributes=[pair(key, value)]).ByteSize()
