"""What a scenario told OpenTelemetry, as plain JSON: names instead of ids, an order instead of times.

What is empty is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, format_span_id, format_trace_id

from tests.conformance.recorder import Recorder

__all__ = ["Json", "picture_of"]

Json = dict[str, Any]
LeaveOut = Callable[[str, str, str], bool]
_LONG = 200
_TRACEPARENT = re.compile(r"(00-[0-9a-f]{32}-)([0-9a-f]{16})(-[0-9a-f]{2})")


def picture_of(recorder: Recorder, *, guest: str, host: str, leave_out: LeaveOut) -> Json:
    """Draw what was recorded.

    Args:
        recorder: What was recorded.
        guest: The guest's instrumentation scope: metrics of others are not drawn.
        host: The host program's instrumentation scope: its spans are only named.
        leave_out: Which attributes to leave out, by signal (``span`` or ``log``), scope and key.
    """
    spans = sorted(recorder.spans(), key=lambda span: span.start_time or 0)
    drawn = [span for span in spans if _scope_name(span.instrumentation_scope) != host]
    logs = recorder.logs()
    return _compact(
        {
            "order": _order(drawn, logs),
            "spans": _Spans(spans, leave_out).draw(drawn),
            "logs": [_log(record, _names(spans), leave_out) for record in logs],
            "metrics": _metrics(recorder, guest),
        }
    )


def _order(spans: Sequence[ReadableSpan], logs: Sequence[ReadableLogRecord]) -> list[str]:
    moments: list[tuple[int, str]] = []
    for span in spans:
        assert span.start_time is not None and span.end_time is not None
        moments += [(span.start_time, f"start {span.name}"), (span.end_time, f"end {span.name}")]
        moments += [(event.timestamp, f"event {event.name}") for event in span.events]
    moments += [(record.log_record.timestamp or 0, f"log {_text(record.log_record.body)}") for record in logs]
    return [what for _, what in sorted(moments)]


def _text(body: object) -> str:
    text = str(body)
    return text if len(text) <= _LONG else f"of {len(text)} characters"


def _names(spans: Sequence[ReadableSpan]) -> dict[int, str]:
    return {_context(span).span_id: span.name for span in spans}


def _context(span: ReadableSpan) -> SpanContext:
    context = span.get_span_context()
    assert context is not None
    return context


class _Spans:
    """Draws spans that refer to each other."""

    def __init__(self, spans: Sequence[ReadableSpan], leave_out: LeaveOut) -> None:
        self._leave_out = leave_out
        self._names = _names(spans)
        # A trace is called after its first span, if that is here.
        self._traces = {_context(span).trace_id: span.name for span in spans if span.parent is None}

    def draw(self, spans: Sequence[ReadableSpan]) -> list[Json]:
        return [self._draw(span) for span in spans]

    def _draw(self, span: ReadableSpan) -> Json:
        own = _context(span)
        scope = _scope_name(span.instrumentation_scope)

        def attributes(given: Mapping[str, Any] | None) -> Json:
            drawn = _attributes(given, lambda key: self._leave_out("span", scope, key))
            return {key: self._with_names(value) for key, value in drawn.items()}

        return _compact(
            {
                "name": span.name,
                "kind": span.kind.name.lower(),
                "parent": None
                if span.parent is None
                else self._names.get(span.parent.span_id, f"remote {format_span_id(span.parent.span_id)}"),
                "trace": self._traces.get(own.trace_id, format_trace_id(own.trace_id)),
                "trace_state": own.trace_state.to_header(),
                "scope": _scope(span.instrumentation_scope),
                "attributes": attributes(span.attributes),
                "events": [
                    _compact({"name": event.name, "attributes": attributes(event.attributes)}) for event in span.events
                ],
                "links": [
                    _compact({"to": self._names[link.context.span_id], "attributes": attributes(link.attributes)})
                    for link in span.links
                ],
                "status": "" if span.status.is_unset else span.status.status_code.name.lower(),
                "status_description": span.status.description,
            }
        )

    def _with_names(self, value: Any) -> Any:
        """Name the span that a ``traceparent`` header is about."""
        found = _TRACEPARENT.fullmatch(value) if isinstance(value, str) else None
        name = None if found is None else self._names.get(int(found[2], 16))
        return value if found is None or name is None else f"{found[1]}<{name}>{found[3]}"


def _log(record: ReadableLogRecord, names: Mapping[int, str], leave_out: LeaveOut) -> Json:
    log = record.log_record
    scope = _scope_name(record.instrumentation_scope)
    return _compact(
        {
            "severity": None if log.severity_number is None else log.severity_number.value,
            "severity_text": log.severity_text,
            "body": _value(log.body),
            "event_name": log.event_name,
            "span": names[log.span_id] if log.span_id else None,
            "scope": _scope(record.instrumentation_scope),
            "attributes": _attributes(log.attributes, lambda key: leave_out("log", scope, key)),
        }
    )


def _metrics(recorder: Recorder, scope: str) -> list[Json]:
    drawn = [_metric(metric) | {"scope": _scope(of)} for of, metric in recorder.metrics() if of.name == scope]
    return sorted(drawn, key=lambda metric: str(metric["name"]))


def _metric(metric: Metric) -> Json:
    data = metric.data
    match data:
        case Sum():
            kind = "counter" if data.is_monotonic else "up-down counter"
        case Gauge():
            kind = "gauge"
        case Histogram():
            kind = "histogram"
        case _:
            raise AssertionError(f"no instrument of the ABI makes {data}")
    points = [_point(point) for point in data.data_points]
    return _compact(
        {
            "name": metric.name,
            "unit": metric.unit,
            "description": metric.description,
            "kind": kind,
            "points": sorted(points, key=lambda point: (len(point.get("attributes", {})), str(point))),
        }
    )


def _point(point: object) -> Json:
    assert isinstance(point, NumberDataPoint | HistogramDataPoint), f"no instrument of the ABI makes {point}"
    drawn = _compact({"attributes": _attributes(point.attributes, lambda key: False)})
    if isinstance(point, NumberDataPoint):
        return drawn | {"value": point.value}
    return drawn | {
        "boundaries": list(point.explicit_bounds),
        "counts": list(point.bucket_counts),
        "sum": point.sum,
        "min": point.min,
        "max": point.max,
    }


def _attributes(given: Mapping[str, Any] | None, leave_out: Callable[[str], bool]) -> Json:
    return {key: _value(value) for key, value in (given or {}).items() if not leave_out(key)}


def _value(value: object) -> Any:
    """Give what JSON has no word for a form: bytes, and long texts of one character."""
    if isinstance(value, bytes):
        return {"<bytes>": value.hex()}
    if isinstance(value, str) and len(value) > _LONG and len(set(value)) == 1:
        return {"<repeat>": value[0], "times": len(value)}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: _value(item) for key, item in cast("Mapping[str, object]", value).items()}
    assert isinstance(value, Sequence), f"an attribute value cannot be {value!r}"
    return [_value(item) for item in cast("Sequence[object]", value)]


def _scope(scope: InstrumentationScope | None) -> str:
    return "" if scope is None else f"{scope.name} {scope.version}"


def _scope_name(scope: InstrumentationScope | None) -> str:
    return "" if scope is None else scope.name


def _compact(drawn: Json) -> Json:
    return {key: value for key, value in drawn.items() if value is not None and value not in ("", [], {})}
