"""Spans and log records made directly, where the SDK would be in the way of a test."""

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

TRACE_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736
RESOURCE = Resource({})


def context_of(span_id: int, trace_id: int = TRACE_ID, *, remote: bool = False) -> SpanContext:
    """Give the context of a sampled span."""
    return SpanContext(trace_id, span_id, remote, TraceFlags(TraceFlags.SAMPLED))


def span(
    span_id: int,
    parent: int | SpanContext | None,
    start_ns: int,
    end_ns: int,
    *,
    name: str = "work",
    trace_id: int = TRACE_ID,
    error: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    events: Sequence[Event] = (),
    links: Sequence[Link] = (),
    scope: str = "test",
    service: str | None = None,
) -> ReadableSpan:
    """Make a finished span."""
    if isinstance(parent, int):
        parent = context_of(parent, trace_id)
    return ReadableSpan(
        name,
        context_of(span_id, trace_id),
        parent,
        RESOURCE if service is None else Resource({"service.name": service}),
        attributes,
        events,
        links,
        start_time=start_ns,
        end_time=end_ns,
        status=Status() if error is None else Status(StatusCode.ERROR, error),
        instrumentation_scope=InstrumentationScope(scope),
    )


def log(
    body: Any,
    time_ns: int,
    span_id: int | None = None,
    *,
    trace_id: int = TRACE_ID,
    severity: SeverityNumber | None = SeverityNumber.INFO,
    attributes: Mapping[str, Any] | None = None,
    scope: str = "test",
) -> ReadableLogRecord:
    """Make a log record."""
    context = INVALID_SPAN_CONTEXT if span_id is None else context_of(span_id, trace_id)
    record = LogRecord(
        timestamp=time_ns,
        context=set_span_in_context(NonRecordingSpan(context)),
        severity_number=severity,
        body=body,
        attributes=attributes,
    )
    return ReadableLogRecord(record, RESOURCE, InstrumentationScope(scope))
