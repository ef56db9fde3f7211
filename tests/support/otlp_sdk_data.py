"""OTLP requests as the SDK's data, so that tests compare what came over the wire with what the SDK was told.

Slow and literal on purpose: nothing here is shared with the code under test.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Buckets,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from tests.support.otlp_receiver import Request

__all__ = ["logs_of", "metrics_of", "spans_of"]

_KINDS = (
    SpanKind.INTERNAL,
    SpanKind.INTERNAL,
    SpanKind.SERVER,
    SpanKind.CLIENT,
    SpanKind.PRODUCER,
    SpanKind.CONSUMER,
)
_IS_REMOTE = 0x200


def spans_of(requests: Iterable[Request]) -> list[ReadableSpan]:
    """Give all spans, in the order in which they came."""
    return [
        _span(span, _resource(resource), _scope(scope))
        for request in requests
        if request.signal == "traces"
        for resource in request.message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def logs_of(requests: Iterable[Request]) -> list[ReadableLogRecord]:
    """Give all log records, in the order in which they came."""
    return [
        _log(record, _resource(resource), _scope(scope))
        for request in requests
        if request.signal == "logs"
        for resource in request.message.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    ]


def metrics_of(requests: Iterable[Request]) -> list[ResourceMetrics]:
    """Give the metrics of each request."""
    return [
        ResourceMetrics(
            resource=_resource(resource),
            scope_metrics=[
                ScopeMetrics(_scope(scope), [_metric(metric) for metric in scope.metrics], scope.schema_url)
                for scope in resource.scope_metrics
            ],
            schema_url=resource.schema_url,
        )
        for request in requests
        if request.signal == "metrics"
        for resource in request.message.resource_metrics
    ]


def _resource(of: Any) -> Resource:
    return Resource(_attributes(of.resource.attributes), of.schema_url)


def _scope(of: Any) -> InstrumentationScope:
    return InstrumentationScope(of.scope.name, of.scope.version, of.schema_url, _attributes(of.scope.attributes))


def _attributes(pairs: Any) -> dict[str, Any]:
    # Keys have to be unique, says common.proto.
    assert len({pair.key for pair in pairs}) == len(pairs), pairs
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return tuple(_value(item) for item in value.array_value.values)
        case "kvlist_value":
            return _attributes(value.kvlist_value.values)
        case name:
            return getattr(value, name)


def _context(of: Any, span_id: bytes, *, is_remote: bool, state: str) -> SpanContext:
    assert len(of.trace_id) == 16 and len(span_id) == 8
    return SpanContext(
        int.from_bytes(of.trace_id),
        int.from_bytes(span_id),
        is_remote=is_remote,
        trace_flags=TraceFlags(of.flags & 0xFF),
        trace_state=TraceState.from_header([state]),
    )


def _span(span: Any, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    parent = None
    if span.parent_span_id:
        is_remote = bool(span.flags & _IS_REMOTE)
        parent = _context(span, span.parent_span_id, is_remote=is_remote, state=span.trace_state)
    code = StatusCode(span.status.code)
    return ReadableSpan(
        name=span.name,
        context=_context(span, span.span_id, is_remote=False, state=span.trace_state),
        parent=parent,
        resource=resource,
        attributes=_attributes(span.attributes),
        events=[Event(event.name, _attributes(event.attributes), event.time_unix_nano) for event in span.events],
        links=[_link(link) for link in span.links],
        kind=_KINDS[span.kind],
        status=Status(code, span.status.message or None) if code is StatusCode.ERROR else Status(code),
        start_time=span.start_time_unix_nano,
        end_time=span.end_time_unix_nano,
        instrumentation_scope=scope,
    )


def _link(link: Any) -> Link:
    context = _context(link, link.span_id, is_remote=bool(link.flags & _IS_REMOTE), state=link.trace_state)
    return Link(context, _attributes(link.attributes))


def _log(record: Any, resource: Resource, scope: InstrumentationScope) -> ReadableLogRecord:
    span = INVALID_SPAN
    if record.span_id:
        span = NonRecordingSpan(_context(record, record.span_id, is_remote=False, state=""))
    else:
        assert not record.trace_id
    return ReadableLogRecord(
        LogRecord(
            timestamp=record.time_unix_nano,
            observed_timestamp=record.observed_time_unix_nano,
            context=set_span_in_context(span, Context()),
            severity_text=record.severity_text or None,
            severity_number=SeverityNumber(record.severity_number) if record.severity_number else None,
            body=_value(record.body),
            attributes=_attributes(record.attributes),
            event_name=record.event_name or None,
        ),
        resource,
        scope,
    )


def _metric(metric: Any) -> Metric:
    name = metric.WhichOneof("data")
    data = getattr(metric, name)
    points: Any = data.data_points
    made: Any
    match name:
        case "gauge":
            made = Gauge([_number(point) for point in points])
        case "sum":
            made = Sum([_number(point) for point in points], _temporality(data), data.is_monotonic)
        case "histogram":
            made = Histogram([_histogram(point) for point in points], _temporality(data))
        case "exponential_histogram":
            made = ExponentialHistogram([_exponential(point) for point in points], _temporality(data))
        case _:
            raise AssertionError(f"no instrument of the ABI makes a {name}")
    return Metric(metric.name, metric.description, metric.unit, made)


def _temporality(data: Any) -> AggregationTemporality:
    return AggregationTemporality(data.aggregation_temporality)


def _number(point: Any) -> NumberDataPoint:
    return NumberDataPoint(
        attributes=_attributes(point.attributes),
        start_time_unix_nano=point.start_time_unix_nano,
        time_unix_nano=point.time_unix_nano,
        value=getattr(point, point.WhichOneof("value")),
    )


def _histogram(point: Any) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=_attributes(point.attributes),
        start_time_unix_nano=point.start_time_unix_nano,
        time_unix_nano=point.time_unix_nano,
        count=point.count,
        sum=point.sum,
        bucket_counts=tuple(point.bucket_counts),
        explicit_bounds=tuple(point.explicit_bounds),
        min=point.min,
        max=point.max,
    )


def _exponential(point: Any) -> ExponentialHistogramDataPoint:
    return ExponentialHistogramDataPoint(
        attributes=_attributes(point.attributes),
        start_time_unix_nano=point.start_time_unix_nano,
        time_unix_nano=point.time_unix_nano,
        count=point.count,
        sum=point.sum,
        scale=point.scale,
        zero_count=point.zero_count,
        positive=Buckets(point.positive.offset, tuple(point.positive.bucket_counts)),
        negative=Buckets(point.negative.offset, tuple(point.negative.bucket_counts)),
        flags=point.flags,
        min=point.min,
        max=point.max,
    )
