"""A real OpenTelemetry SDK that keeps everything in memory, with ids and a clock that repeat."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator

from wasmscope.host_shim import Bridge
from wasmscope.host_shim._control import CollectorSettings
from wasmscope.host_shim._deliveries import Deliveries, DeliveryName

__all__ = ["Point", "SequentialIds", "Telemetry", "TickingClock"]

_CLOCKS = (
    "opentelemetry.sdk.trace.time_ns",
    "opentelemetry.sdk._logs._internal.time_ns",
    "opentelemetry._logs._internal.time_ns",
    "wasmscope.host_shim._guest.time_ns",
)


class SequentialIds(IdGenerator):
    """Ids that count up from 1, so that two runs give the same."""

    def __init__(self) -> None:
        self._traces = itertools.count(1)
        self._spans = itertools.count(1)

    def generate_trace_id(self) -> int:
        """Give the next trace id."""
        return next(self._traces)

    def generate_span_id(self) -> int:
        """Give the next span id."""
        return next(self._spans)


class TickingClock:
    """A wall clock that advances by a fixed step each time it is read."""

    def __init__(self, start_ns: int = 1_700_000_000_000_000_000, step_ns: int = 1_000_000) -> None:
        self._times = itertools.count(start_ns, step_ns)

    def __call__(self) -> int:
        """Read it, in ns since 1970."""
        return next(self._times)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have the SDK and the bridge read this clock."""
        for name in _CLOCKS:
            monkeypatch.setattr(name, self, raising=False)
        settings = Deliveries.settings

        def with_clock(deliveries: Deliveries, name: DeliveryName, min_severity: int) -> CollectorSettings:
            return replace(settings(deliveries, name, min_severity), clock=self)

        monkeypatch.setattr(Deliveries, "settings", with_clock)


@dataclass(frozen=True, slots=True)
class Point:
    """A data point of a metric: what it was recorded with, and the number (a histogram's is its data point)."""

    attributes: Mapping[str, Any]
    value: Any


class Telemetry:
    """Providers of all three signals and what arrived at their ends."""

    def __init__(self) -> None:
        self.span_exporter = InMemorySpanExporter()
        self.log_exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self.metric_reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(id_generator=SequentialIds(), shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.span_exporter))
        self.logger_provider = LoggerProvider(shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self.log_exporter))
        self.meter_provider = MeterProvider([self.metric_reader], shutdown_on_exit=False)
        self._bridges: list[Bridge] = []
        self.delivery: str | None = None
        """The delivery of bridges made here that can have it, unless they are told another; None for the default."""

    def bridge(self, **options: Any) -> Bridge:
        """Make a bridge that reports here; it is closed with this."""
        if options.get("native", True) and not options.get("logs_as_span_events"):
            options.setdefault("delivery", self.delivery)
        bridge = Bridge(
            tracer_provider=self.tracer_provider,
            meter_provider=self.meter_provider,
            logger_provider=self.logger_provider,
            **options,
        )
        self._bridges.append(bridge)
        return bridge

    def close(self) -> None:
        """Close the bridges made here and shut the providers down."""
        for bridge in self._bridges:
            bridge.close()
        self.tracer_provider.shutdown()
        self.logger_provider.shutdown()
        self.meter_provider.shutdown()

    def _flush(self) -> None:
        for bridge in self._bridges:
            bridge.flush()

    # Spans.

    def spans(self) -> list[ReadableSpan]:
        """Give the finished spans, in the order they ended."""
        self._flush()
        return list(self.span_exporter.get_finished_spans())

    def span(self, name: str) -> ReadableSpan:
        """Give the one finished span of a name."""
        (found,) = [span for span in self.spans() if span.name == name]
        return found

    def span_names(self) -> list[str]:
        """Give the finished spans' names, in the order they ended."""
        return [span.name for span in self.spans()]

    # Logs.

    def records(self) -> list[ReadableLogRecord]:
        """Give the log records with their scope and resource."""
        self._flush()
        return list(self.log_exporter.get_finished_logs())

    def logs(self) -> list[Any]:
        """Give the log records."""
        return [record.log_record for record in self.records()]

    def log(self, body: str) -> Any:
        """Give the one log record of a body."""
        (found,) = [record for record in self.logs() if record.body == body]
        return found

    # Metrics.

    def metrics(self) -> dict[tuple[str, str], Any]:
        """Collect now; metrics by scope's name and name."""
        self._flush()
        data = self.metric_reader.get_metrics_data()
        if data is None:
            return {}
        return {
            (scope.scope.name, metric.name): metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, scope: str, name: str) -> list[Point]:
        """Collect now; the data points of one metric, none if it has not reported."""
        metric = self.metrics().get((scope, name))
        return [] if metric is None else list(_points(metric))


def _points(metric: Any) -> Iterator[Point]:
    for point in metric.data.data_points:
        yield Point(dict(point.attributes or {}), getattr(point, "value", point))
