"""OpenTelemetry's SDK with everything kept in memory, and with ids and a clock that are the same in every run."""

from __future__ import annotations

import itertools

import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

__all__ = ["Recorder", "use_counting_clock"]

# Who asks for the time of a span, an event or a log record. Nobody offers to be given a clock.
_CLOCK_READERS = ("opentelemetry.sdk.trace", "opentelemetry.sdk._logs._internal", "wasmscope.host_shim._guest")


class _CountingIds(IdGenerator):
    """Ids that count from 1."""

    def __init__(self) -> None:
        self._traces = itertools.count(1)
        self._spans = itertools.count(1)

    def generate_trace_id(self) -> int:
        return next(self._traces)

    def generate_span_id(self) -> int:
        return next(self._spans)


def use_counting_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every look at the clock be a microsecond after the one before, so that all that happens has its own time."""
    ticks = itertools.count(1_700_000_000_000_000_000, 1_000)
    for module in _CLOCK_READERS:
        monkeypatch.setattr(f"{module}.time_ns", lambda: next(ticks))


class Recorder:
    """Providers of all three signals and what came of them.

    The SDK's own limits are off: the picture shows those of the bridge.
    """

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        self.logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self.metrics = InMemoryMetricReader()
        unlimited = SpanLimits.UNSET
        self.tracer_provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.get_empty(),
            shutdown_on_exit=False,
            id_generator=_CountingIds(),
            span_limits=SpanLimits(max_attributes=unlimited, max_span_attributes=unlimited),
        )
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.logger_provider = LoggerProvider(resource=Resource.get_empty(), shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self.logs))
        self.meter_provider = MeterProvider([self.metrics], resource=Resource.get_empty(), shutdown_on_exit=False)

    def close(self) -> None:
        """Shut the providers down."""
        self.tracer_provider.shutdown()
        self.logger_provider.shutdown()
        self.meter_provider.shutdown()
