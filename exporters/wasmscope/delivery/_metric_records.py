"""The records of the collector's metrics buffer.

All numbers are little-endian and unaligned; a record is a u8 that says what it is and the fields below. ``times`` is
u64 first, u64 last: when the values were recorded, in ns since 1970. ::

    1   u32 instrument, u8 kind, u8 number, u32 n, n bytes     a descriptor ("Packed data" in docs/abi.md), before use
    2   u32 set, u32 n, n bytes                                an attribute list, before use; n = 2^32-1: overflow set
    3   u32 instrument, u32 set, i64 sum, times                of a counter or an up-down counter
    4   u32 instrument, u32 set, f64 sum, times
    5   u32 instrument, u32 set, i64 last, times               of a gauge
    6   u32 instrument, u32 set, f64 last, times
    7   u32 instrument, u32 set, u64 count, f64 sum, f64 min, f64 max, u32 n, n u64 buckets, times
    8   u32 instrument, u32 set, u64 count, f64 sum, f64 min, f64 max, i32 scale, u64 zero count, i32 offset,
        u32 n, n u64 buckets, times
    9   u32 instrument, u32 set, i64 value, times              one measurement of a histogram
    10  u32 instrument, u32 set, f64 value, times
    11  u32 instrument, u32 set, u64 low, i64 high, times      a sum that does not fit into 3: high * 2^64 + low

Values are since the last record of the same instrument and set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import Any, Final, cast

__all__ = [
    "ExponentialRecord",
    "GaugeRecord",
    "HistogramRecord",
    "Instrument",
    "InstrumentKind",
    "InstrumentRecord",
    "MalformedMetricsError",
    "MeasurementRecord",
    "MetricRecord",
    "SetRecord",
    "SumRecord",
    "plain",
    "read_metrics",
]

_OVERFLOW: Final = 0xFFFF_FFFF
_SCALARS: Final = (str, bool, int, float)
_U16: Final = Struct("<H")
_INSTRUMENT: Final = Struct("<IBBI")
_SET: Final = Struct("<II")
_POINT: Final = Struct("<II")
_I64: Final = Struct("<q")
_F64: Final = Struct("<d")
_WIDE: Final = Struct("<Qq")
_HISTOGRAM: Final = Struct("<QdddI")
_EXPONENTIAL: Final = Struct("<QdddiQiI")
_TIMES: Final = Struct("<QQ")
# A record that is larger than this does not come from a collector with sane limits.
_MAX_BUCKETS: Final = 65_536


class MalformedMetricsError(Exception):
    """Bytes are not what a collector writes: a defect of ours, never a guest's doing."""


class InstrumentKind(IntEnum):
    """The ABI's instrument kinds."""

    COUNTER = 1
    UP_DOWN_COUNTER = 2
    HISTOGRAM = 3
    GAUGE = 4


@dataclass(frozen=True, slots=True)
class Instrument:
    """A metric instrument as its guest describes it.

    Attributes:
        kind: Counter, up-down counter, histogram or gauge.
        is_float: Whether it takes f64 (else i64).
        name: Its name, within OpenTelemetry's syntax.
        unit: UCUM unit; may be empty.
        description: For people; may be empty.
        boundaries: Advice for explicit histogram buckets, or None.
    """

    kind: InstrumentKind
    is_float: bool
    name: str
    unit: str
    description: str
    boundaries: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class InstrumentRecord:
    """An instrument that later records refer to."""

    number: int
    instrument: Instrument


@dataclass(frozen=True, slots=True)
class SetRecord:
    """An attribute set that later records refer to.

    Attributes:
        number: How they do.
        packed: The attribute list as the guest gave it, or None for the set that says that there were too many. What is
            not `plain` in it is not meant.
    """

    number: int
    packed: bytes | None


@dataclass(frozen=True, slots=True)
class _Values:
    """What was recorded with an instrument and an attribute set."""

    instrument: int
    attribute_set: int
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class SumRecord(_Values):
    """What a counter or an up-down counter grew by."""

    value: int | float


@dataclass(frozen=True, slots=True)
class GaugeRecord(_Values):
    """What a gauge was set to last."""

    value: int | float


@dataclass(frozen=True, slots=True)
class MeasurementRecord(_Values):
    """One measurement of a histogram."""

    value: int | float


@dataclass(frozen=True, slots=True)
class HistogramRecord(_Values):
    """What a histogram with explicit boundaries recorded.

    Attributes:
        count: How many measurements.
        total: Their sum.
        least: The smallest.
        most: The largest.
        buckets: One count more than there are boundaries; a boundary belongs to the bucket that it ends.
    """

    count: int
    total: float
    least: float
    most: float
    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExponentialRecord(_Values):
    """What an exponential histogram recorded.

    https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram

    Attributes:
        count: How many measurements.
        total: Their sum.
        least: The smallest.
        most: The largest.
        scale: The base of the buckets is 2^(2^-scale).
        zero_count: How many were 0.
        offset: The first bucket's index.
        buckets: Bucket i holds what is above base^i and not above base^(i+1).
    """

    count: int
    total: float
    least: float
    most: float
    scale: int
    zero_count: int
    offset: int
    buckets: tuple[int, ...]


MetricRecord = (
    InstrumentRecord | SetRecord | SumRecord | GaugeRecord | HistogramRecord | ExponentialRecord | MeasurementRecord
)


def read_metrics(data: bytes) -> Iterator[MetricRecord]:
    """Read a metrics buffer.

    Args:
        data: Whole records, in the collector's format (see the top of this module).

    Raises:
        MalformedMetricsError: At the first record that is malformed; those before it have been given.
    """
    position = 0
    while position < len(data):
        try:
            record, position = _record(data, position)
        except (StructError, ValueError) as error:
            raise MalformedMetricsError(f"metrics record at byte {position} of {len(data)}: {error}") from None
        yield record


def plain(attributes: Mapping[str, Any]) -> dict[str, str | bool | int | float | Sequence[Any]]:
    """Leave out what cannot be an attribute of a measurement; the collector has counted it.

    Args:
        attributes: A decoded list. Strings, bools, numbers and arrays of one of these stay.
    """
    return {key: value for key, value in attributes.items() if isinstance(value, _SCALARS) or _is_plain_array(value)}


def _is_plain_array(value: object) -> bool:
    if not isinstance(value, tuple):
        return False
    kinds = {type(item) for item in cast("tuple[object, ...]", value)}
    return len(kinds) <= 1 and kinds <= set(_SCALARS)


def _record(data: bytes, start: int) -> tuple[MetricRecord, int]:
    tag = data[start]
    position = start + 1
    if tag == 1:
        number, kind, number_type, size = _INSTRUMENT.unpack_from(data, position)
        descriptor, position = _bytes(data, position + _INSTRUMENT.size, size)
        return InstrumentRecord(number, _instrument(kind, number_type, descriptor)), position
    if tag == 2:
        number, size = _SET.unpack_from(data, position)
        position += _SET.size
        if size == _OVERFLOW:
            return SetRecord(number, None), position
        packed, position = _bytes(data, position, size)
        return SetRecord(number, packed), position
    instrument, attribute_set = _POINT.unpack_from(data, position)
    position += _POINT.size
    match tag:
        case 3 | 4 | 5 | 6 | 9 | 10:
            value: int | float
            (value,) = (_I64 if tag in (3, 5, 9) else _F64).unpack_from(data, position)
            first_ns, last_ns = _TIMES.unpack_from(data, position + 8)
            of = SumRecord if tag < 5 else GaugeRecord if tag < 7 else MeasurementRecord
            return of(instrument, attribute_set, first_ns, last_ns, value), position + 24
        case 7:
            count, total, least, most, size = _HISTOGRAM.unpack_from(data, position)
            buckets, position = _buckets(data, position + _HISTOGRAM.size, size)
            first_ns, last_ns = _TIMES.unpack_from(data, position)
            _check_count(count, buckets)
            histogram = HistogramRecord(
                instrument, attribute_set, first_ns, last_ns, count, total, least, most, buckets
            )
            return histogram, position + _TIMES.size
        case 8:
            count, total, least, most, scale, zeros, offset, size = _EXPONENTIAL.unpack_from(data, position)
            buckets, position = _buckets(data, position + _EXPONENTIAL.size, size)
            first_ns, last_ns = _TIMES.unpack_from(data, position)
            _check_count(count, (zeros, *buckets))
            exponential = ExponentialRecord(
                instrument,
                attribute_set,
                first_ns,
                last_ns,
                count,
                total,
                least,
                most,
                scale,
                zeros,
                offset,
                buckets,
            )
            return exponential, position + _TIMES.size
        case 11:
            low, high = _WIDE.unpack_from(data, position)
            first_ns, last_ns = _TIMES.unpack_from(data, position + 16)
            return SumRecord(instrument, attribute_set, first_ns, last_ns, (high << 64) + low), position + 32
        case _:
            raise ValueError(f"unknown kind {tag}")


def _bytes(data: bytes, start: int, size: int) -> tuple[bytes, int]:
    end = start + size
    if end > len(data):
        raise ValueError(f"{size} bytes announced, {len(data) - start} there")
    return data[start:end], end


def _buckets(data: bytes, start: int, size: int) -> tuple[tuple[int, ...], int]:
    if size > _MAX_BUCKETS:
        raise ValueError(f"{size} buckets")
    form = Struct(f"<{size}Q")
    return form.unpack_from(data, start), start + form.size


def _check_count(count: int, parts: tuple[int, ...]) -> None:
    if sum(parts) != count:
        raise ValueError(f"a count of {count} that is {sum(parts)} in buckets")


def _instrument(kind: int, number: int, descriptor: bytes) -> Instrument:
    """Read a descriptor that the collector has accepted."""
    if number > 1:
        raise ValueError(f"number type {number}")
    texts: list[str] = []
    position = 0
    for _ in range(3):
        (size,) = _U16.unpack_from(descriptor, position)
        raw, position = _bytes(descriptor, position + 2, size)
        texts.append(raw.decode("utf-8", "replace"))
    (count,) = _U16.unpack_from(descriptor, position)
    boundaries: tuple[float, ...] = Struct(f"<{count}d").unpack_from(descriptor, position + 2)
    if not all(map(math.isfinite, boundaries)):
        raise ValueError("boundaries that are not finite")
    name, unit, description = texts
    return Instrument(InstrumentKind(kind), number == 1, name, unit, description, boundaries or None)
