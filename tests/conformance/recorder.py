"""OpenTelemetry's SDK with everything kept in memory, and with ids and a clock that are the same in every run.

What guests' records go around the SDK for, because they are sent as OTLP, is taken from where it is sent to.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from tests.support.otlp_receiver import OtlpReceiver
from tests.support.otlp_sdk_data import logs_of, metrics_of, spans_of
from wasmscope.delivery import OtlpSender, OtlpTarget, SignalName, otlp_target

__all__ = ["Recorder", "sender_to", "use_counting_clock"]

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


def sender_to(receiver: OtlpReceiver) -> OtlpSender:
    """Make a sender for a resource without attributes."""
    signals: tuple[SignalName, ...] = ("traces", "logs", "metrics")
    targets: dict[SignalName, OtlpTarget] = {
        signal: otlp_target(signal, receiver.endpoint, protocol=receiver.protocol) for signal in signals
    }
    return OtlpSender.from_environment(resource=Resource.get_empty(), targets=targets)


def use_counting_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every look at the clock be a microsecond after the one before, so that all that happens has its own time."""
    ticks = itertools.count(1_700_000_000_000_000_000, 1_000)
    for module in _CLOCK_READERS:
        monkeypatch.setattr(f"{module}.time_ns", lambda: next(ticks))


class Recorder:
    """Providers of all three signals and what came of them.

    The SDK's own limits are off: the picture shows those of the bridge.
    """

    def __init__(self, receiver: OtlpReceiver | None = None) -> None:
        """Set up.

        Args:
            receiver: Where guests' records are sent to, if they are; it must have nothing yet.
        """
        self._spans = InMemorySpanExporter()
        self._logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self._metrics = InMemoryMetricReader()
        self._receiver = receiver
        self.sender: OtlpSender | None = None
        if receiver is not None:
            self.sender = sender_to(receiver)
        unlimited = SpanLimits.UNSET
        self.tracer_provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.get_empty(),
            shutdown_on_exit=False,
            id_generator=_CountingIds(),
            span_limits=SpanLimits(max_attributes=unlimited, max_span_attributes=unlimited),
        )
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._spans))
        self.logger_provider = LoggerProvider(resource=Resource.get_empty(), shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.meter_provider = MeterProvider([self._metrics], resource=Resource.get_empty(), shutdown_on_exit=False)

    def settle(self) -> None:
        """Wait until all that is to be sent has come."""
        if self.sender is not None:
            assert self.sender.flush(10.0)
            self.sender.shutdown()

    def spans(self) -> Sequence[ReadableSpan]:
        """Give the finished spans, in the order in which they ended."""
        found = list(self._spans.get_finished_spans())
        if self._receiver is not None:
            found += spans_of(self._receiver.requests)
        return sorted(found, key=lambda span: span.end_time or 0)

    def logs(self) -> Sequence[ReadableLogRecord]:
        """Give the log records, in the order in which they were made."""
        found = list(self._logs.get_finished_logs())
        if self._receiver is not None:
            found += logs_of(self._receiver.requests)
        return sorted(found, key=lambda record: record.log_record.timestamp or 0)

    def metrics(self) -> Sequence[tuple[InstrumentationScope, Metric]]:
        """Give the metrics of all scopes, as they were reported last."""
        data = self._metrics.get_metrics_data()
        reported = [] if data is None else list(data.resource_metrics)
        if self._receiver is not None:
            reported += metrics_of(self._receiver.requests)
        last: dict[tuple[str, str], tuple[InstrumentationScope, Metric]] = {}
        for resource in reported:
            for found in resource.scope_metrics:
                for metric in found.metrics:
                    last[found.scope.name, metric.name] = (found.scope, metric)
        return list(last.values())

    def close(self) -> None:
        """Shut the providers down."""
        self.tracer_provider.shutdown()
        self.logger_provider.shutdown()
        self.meter_provider.shutdown()
