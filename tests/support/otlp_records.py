"""Encoded spans and log records, made with OpenTelemetry's own classes: what the collector gives to a sender."""

import itertools
from collections.abc import Iterable
from typing import Any

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs
from opentelemetry.proto.metrics.v1.metrics_pb2 import Gauge, Metric, NumberDataPoint, ScopeMetrics
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

TRACE_ID = bytes(range(16))


def spans(numbers: Iterable[int], *, padding: int = 0) -> tuple[bytes, int]:
    """Encode spans whose ids are numbers.

    Args:
        numbers: Their ids; not 0.
        padding: How long their names are at least.
    """
    made = [
        Span(
            trace_id=TRACE_ID,
            span_id=number.to_bytes(8),
            name=f"span {number}".ljust(padding),
            start_time_unix_nano=number,
            end_time_unix_nano=number + 1,
        )
        for number in numbers
    ]
    return ScopeSpans(spans=made).SerializeToString(), len(made)


def logs(numbers: Iterable[int]) -> tuple[bytes, int]:
    """Encode log records whose times are numbers."""
    made = [LogRecord(time_unix_nano=number) for number in numbers]
    return ScopeLogs(log_records=made).SerializeToString(), len(made)


def metrics(name: str, values: Iterable[int]) -> bytes:
    """Encode the metrics of a scope: a gauge with some points."""
    points = [NumberDataPoint(as_int=value, time_unix_nano=1) for value in values]
    made: bytes = ScopeMetrics(metrics=[Metric(name=name, gauge=Gauge(data_points=points))]).SerializeToString()
    return made


def ids(received: Iterable[Any]) -> list[int]:
    """Give the numbers of spans that came, in order."""
    return sorted(int.from_bytes(span.span_id) for span in received)


def batches(total: int, size: int) -> Iterable[range]:
    """Cut the numbers from 1 to a total into ranges."""
    return itertools.starmap(range, ((start, min(start + size, total + 1)) for start in range(1, total + 1, size)))
