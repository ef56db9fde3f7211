"""What became of guests' telemetry, in a form that is the same whatever ids and times it had.

Ids are called by the place of their span among all that ended; those that came from outside stay as they are. Of times
only the order is kept. What is left is texts that can be compared.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import (
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

__all__ = ["Names", "logs_by_scope", "metrics_by_scope", "spans_by_scope", "value"]

_MEASURED = ("wasm.call.cpu_time_ns", "wasm.call.host_time_ns")
_TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def value(item: Any) -> str:
    """Write a value so that all types and numbers differ that OTLP tells apart; the order of keys does not count."""
    if isinstance(item, Mapping):
        return "{" + ", ".join(f"{key!r}: {value(item[key])}" for key in sorted(item)) + "}"
    if isinstance(item, (list, tuple)):
        return "[" + ", ".join(map(value, item)) + "]"
    return repr(item)


def _attributes(attributes: Mapping[str, Any] | None) -> str:
    """Write attributes without what is not the same twice."""
    known = {key: item for key, item in (attributes or {}).items() if key not in _MEASURED}
    stack = known.get("exception.stacktrace")
    if isinstance(stack, str) and stack.startswith("Traceback"):
        # Of Python's, which shows the way through the bridge.
        known["exception.stacktrace"] = stack.splitlines()[-1]
    return value(known)


def _scope(scope: InstrumentationScope | None) -> str:
    return "" if scope is None else scope.name


class Names:
    """Names for the ids in one outcome."""

    def __init__(
        self, spans: Iterable[ReadableSpan], remote_spans: Iterable[int], remote_traces: Iterable[int]
    ) -> None:
        """Name all ids.

        Args:
            spans: All spans, in an order that is the same for all outcomes.
            remote_spans: Ids that came from outside.
            remote_traces: Likewise.
        """
        self._spans = {span_id: f"{span_id:016x}" for span_id in remote_spans}
        self._traces = {trace_id: f"{trace_id:032x}" for trace_id in remote_traces}
        counts: dict[str, int] = defaultdict(int)
        for span in spans:
            context = span.get_span_context()
            assert context is not None
            scope = _scope(span.instrumentation_scope)
            counts[scope] += 1
            assert context.span_id not in self._spans, "the same span twice"
            self._spans[context.span_id] = f"{scope} #{counts[scope]}"
            self._traces.setdefault(context.trace_id, f"trace of {scope} #{counts[scope]}")

    def span(self, span_id: int) -> str:
        """Name a span; ``unseen`` is one that did not end up anywhere, such as one that was not sampled."""
        return self._spans.get(span_id, "unseen" if span_id else "none")

    def trace(self, trace_id: int) -> str:
        """Name a trace."""
        return self._traces.get(trace_id, "unseen" if trace_id else "none")

    def context(self, context: SpanContext | None) -> str:
        """Name all that is in a span context."""
        return "none" if context is None else f"{self.parent(context)} flags {context.trace_flags:02x}"

    def parent(self, context: SpanContext | None) -> str:
        """Name what OTLP has of a parent: all but its flags."""
        if context is None:
            return "none"
        remote = " remote" if context.is_remote else ""
        state = context.trace_state.to_header()
        return f"{self.span(context.span_id)} of {self.trace(context.trace_id)}{remote} state {state!r}"

    def link(self, context: SpanContext) -> str:
        """Name what the SDK's OTLP encoder has of a link's target: all but its trace state."""
        return self.context(SpanContext(*context[:4]))

    def written(self, function: str, raw: bytes) -> str:
        """Name the ids in what a function wrote into the guest's memory."""
        if function == "span_context":
            trace_id, span_id = int.from_bytes(raw[:16]), int.from_bytes(raw[16:24])
            return f"{self.span(span_id)} of {self.trace(trace_id)} {raw[24:].hex()}"
        found = _TRACEPARENT.match(raw)
        if function == "inject" and found:
            trace_id, span_id = int(found[1], 16), int(found[2], 16)
            return f"{self.span(span_id)} of {self.trace(trace_id)} {found[3].decode()}{raw[found.end() :]!r}"
        return repr(raw.rstrip(b"\0"))


def spans_by_scope(
    spans: Sequence[ReadableSpan], names: Names, earliest_ns: int, latest_ns: int
) -> dict[str, list[str]]:
    """Write spans, a line each, in their order.

    Args:
        spans: The spans.
        names: Names for their ids.
        earliest_ns: When none of them had begun; their times are checked.
        latest_ns: When all of them had ended.
    """
    drawn: dict[str, list[str]] = defaultdict(list)
    for span in spans:
        start, end = span.start_time, span.end_time
        assert start is not None and end is not None
        assert earliest_ns <= start <= end <= latest_ns, span
        moments = [start, *(event.timestamp for event in span.events), end]
        assert moments == sorted(moments), moments
        scope = span.instrumentation_scope
        drawn[_scope(scope)].append(
            " | ".join(
                (
                    span.name,
                    span.kind.name,
                    f"self {names.context(span.get_span_context())}",
                    f"parent {names.parent(span.parent)}",
                    f"attributes {_attributes(span.attributes)}",
                    *(f"event {event.name!r} {_attributes(event.attributes)}" for event in span.events),
                    *(f"link {names.link(link.context)} {value(link.attributes or {})}" for link in span.links),
                    f"status {span.status.status_code.name} {span.status.description or ''!r}",
                    f"scope {'' if scope is None else scope.version!r}",
                    f"dropped {span.dropped_attributes} {span.dropped_events} {span.dropped_links}",
                )
            )
        )
    return dict(drawn)


def logs_by_scope(
    logs: Sequence[ReadableLogRecord], names: Names, earliest_ns: int, latest_ns: int
) -> dict[str, list[str]]:
    """Write log records, a line each, in their order.

    Args:
        logs: The records.
        names: Names for their ids.
        earliest_ns: When none of them had been made; their times are checked.
        latest_ns: When all of them had.
    """
    drawn: dict[str, list[str]] = defaultdict(list)
    for readable in logs:
        log = readable.log_record
        assert log.timestamp is not None and log.observed_timestamp is not None
        assert earliest_ns <= log.timestamp <= log.observed_timestamp <= latest_ns
        scope = readable.instrumentation_scope
        number = log.severity_number
        drawn[_scope(scope)].append(
            " | ".join(
                (
                    value(log.body),
                    f"severity {None if number is None else number.value} {log.severity_text}",
                    f"event {log.event_name!r}",
                    f"in {names.span(log.span_id or 0)} of {names.trace(log.trace_id or 0)}"
                    f" flags {int(log.trace_flags or 0):02x}",
                    f"attributes {value(log.attributes or {})}",
                    f"scope {'' if scope is None else scope.version!r}",
                    f"dropped {readable.dropped_attributes}",
                )
            )
        )
    return dict(drawn)


def metrics_by_scope(metrics: Iterable[tuple[InstrumentationScope, Metric]]) -> dict[str, list[str]]:
    """Write data points, a line each, sorted."""
    drawn: dict[str, list[str]] = defaultdict(list)
    for scope, metric in metrics:
        data: Any = metric.data
        kind = f"{type(data).__name__} {getattr(data, 'is_monotonic', '')}"
        for point in data.data_points:
            assert 0 <= (point.start_time_unix_nano or 0) <= point.time_unix_nano
            drawn[scope.name].append(
                f"{metric.name} [{metric.unit}] {metric.description!r} {kind}"
                f" {value(point.attributes or {})}: {_point(point)}"
            )
    return {scope: sorted(lines) for scope, lines in drawn.items()}


def _number(number: float) -> str:
    # A sum of -0.0 and 0.0 is the one or the other.
    return repr(number + 0.0 if isinstance(number, float) else number)


def _point(point: object) -> str:
    if isinstance(point, NumberDataPoint):
        return _number(point.value)
    # OTLP has a histogram's numbers as doubles only.
    if isinstance(point, HistogramDataPoint):
        numbers = [_number(float(number)) for number in (point.sum, point.min, point.max)]
        return f"{point.count} {numbers} {list(point.bucket_counts)} {list(point.explicit_bounds)}"
    assert isinstance(point, ExponentialHistogramDataPoint), point
    numbers = [_number(float(number)) for number in (point.sum, point.min, point.max)]
    return f"{point.count} {numbers} {point.scale} {point.zero_count} {point.positive} {point.negative}"
