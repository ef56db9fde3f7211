"""Data points: what one instrument measured with one set of attributes, and its form in OTLP.

The arithmetic is that of https://opentelemetry.io/docs/specs/otel/metrics/data-model/.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from wasmscope.delivery._metric_records import ExponentialRecord, GaugeRecord, HistogramRecord, SumRecord

__all__ = ["DataPoint", "ExponentialPoint", "GaugePoint", "HistogramPoint", "Message", "SumPoint", "point_of"]

Message = pb.NumberDataPoint | pb.HistogramDataPoint | pb.ExponentialHistogramDataPoint

_I64_MIN: Final = -(2**63)
_I64_MAX: Final = 2**63 - 1
# As the collector's limit, and the SDK's: "Base2 Exponential Bucket Histogram Aggregation" in the specification.
_MAX_BUCKETS: Final = 160


class DataPoint(Protocol):
    """A data point of any type. Those of one metric are of one type."""

    def absorb(self, later: Any) -> None:
        """Take in what another point of the type recorded after this."""
        ...

    def message(self, attributes: Iterable[KeyValue], start_ns: int, time_ns: int) -> Message:
        """Give the point in OTLP.

        Args:
            attributes: Of the point.
            start_ns: Begin of the time that it covers, in ns since 1970.
            time_ns: End of that.
        """
        ...


class SumPoint:
    """What was added."""

    __slots__ = ("value",)

    def __init__(self, value: int | float) -> None:
        self.value = value

    def absorb(self, later: SumPoint) -> None:
        """Take in what was recorded after this."""
        self.value += later.value

    def message(self, attributes: Iterable[KeyValue], start_ns: int, time_ns: int) -> pb.NumberDataPoint:
        """Give the point in OTLP."""
        message = pb.NumberDataPoint(attributes=attributes, start_time_unix_nano=start_ns, time_unix_nano=time_ns)
        _set_number(message, self.value)
        return message


class GaugePoint:
    """What was set last."""

    __slots__ = ("value",)

    def __init__(self, value: int | float) -> None:
        self.value = value

    def absorb(self, later: GaugePoint) -> None:
        """Take in what was recorded after this."""
        self.value = later.value

    def message(self, attributes: Iterable[KeyValue], start_ns: int, time_ns: int) -> pb.NumberDataPoint:
        """Give the point in OTLP; a gauge has no start."""
        message = pb.NumberDataPoint(attributes=attributes, time_unix_nano=time_ns)
        _set_number(message, self.value)
        return message


class HistogramPoint:
    """What was recorded, counted in buckets with explicit boundaries."""

    __slots__ = ("buckets", "least", "most", "total")

    def __init__(self, total: float, least: float, most: float, buckets: Sequence[int]) -> None:
        self.total = total
        self.least = least
        self.most = most
        self.buckets = list(buckets)

    def absorb(self, later: HistogramPoint) -> None:
        """Take in what was recorded after this, with the same boundaries."""
        self.total += later.total
        self.least = min(self.least, later.least)
        self.most = max(self.most, later.most)
        self.buckets = [a + b for a, b in zip(self.buckets, later.buckets, strict=True)]

    def message(self, attributes: Iterable[KeyValue], start_ns: int, time_ns: int) -> pb.HistogramDataPoint:
        """Give the point in OTLP; the boundaries are the caller's to add."""
        return pb.HistogramDataPoint(
            attributes=attributes,
            start_time_unix_nano=start_ns,
            time_unix_nano=time_ns,
            count=sum(self.buckets),
            sum=self.total,
            min=self.least,
            max=self.most,
            bucket_counts=self.buckets,
        )


class ExponentialPoint:
    """What was recorded, counted in buckets that grow exponentially; nothing of it is negative."""

    __slots__ = ("buckets", "count", "least", "most", "offset", "scale", "total", "zero_count")

    def __init__(self, record: ExponentialRecord) -> None:
        self.count = record.count
        self.total = record.total
        self.least = record.least
        self.most = record.most
        self.scale = record.scale
        self.zero_count = record.zero_count
        self.offset = record.offset
        self.buckets: Sequence[int] = record.buckets

    def absorb(self, later: ExponentialPoint) -> None:
        """Take in what was recorded after this, at any scale."""
        self.count += later.count
        self.total += later.total
        self.least = min(self.least, later.least)
        self.most = max(self.most, later.most)
        self.zero_count += later.zero_count
        if not later.buckets:
            return
        if not self.buckets:
            self.scale, self.offset, self.buckets = later.scale, later.offset, later.buckets
            return
        scale = min(self.scale, later.scale)
        low = min(self.offset >> self.scale - scale, later.offset >> later.scale - scale)
        high = max(self._end() >> self.scale - scale, later._end() >> later.scale - scale)
        while high - low >= _MAX_BUCKETS:
            low, high, scale = low >> 1, high >> 1, scale - 1
        buckets = [0] * (high - low + 1)
        for point in (self, later):
            shift = point.scale - scale
            for index, count in enumerate(point.buckets, point.offset):
                buckets[(index >> shift) - low] += count
        self.scale, self.offset, self.buckets = scale, low, buckets

    def _end(self) -> int:
        """The last bucket's index."""
        return self.offset + len(self.buckets) - 1

    def message(self, attributes: Iterable[KeyValue], start_ns: int, time_ns: int) -> pb.ExponentialHistogramDataPoint:
        """Give the point in OTLP."""
        positive = pb.ExponentialHistogramDataPoint.Buckets(offset=self.offset, bucket_counts=self.buckets)
        return pb.ExponentialHistogramDataPoint(
            attributes=attributes,
            start_time_unix_nano=start_ns,
            time_unix_nano=time_ns,
            count=self.count,
            sum=self.total,
            min=self.least,
            max=self.most,
            # Where there are no buckets, there is nothing to be scaled: as the SDK has it.
            scale=self.scale if self.buckets else 0,
            zero_count=self.zero_count,
            positive=positive if self.buckets else None,
        )


def point_of(record: SumRecord | GaugeRecord | HistogramRecord | ExponentialRecord) -> DataPoint:
    """Make the data point that a record alone amounts to."""
    match record:
        case SumRecord():
            return SumPoint(record.value)
        case GaugeRecord():
            return GaugePoint(record.value)
        case HistogramRecord():
            return HistogramPoint(record.total, record.least, record.most, record.buckets)
        case ExponentialRecord():
            return ExponentialPoint(record)


def _set_number(message: pb.NumberDataPoint, value: int | float) -> None:
    if isinstance(value, int) and _I64_MIN <= value <= _I64_MAX:
        message.as_int = value
    else:
        # OTLP has no larger integers: a sum that has outgrown them is near enough rather than wrong.
        message.as_double = value
