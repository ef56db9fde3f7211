"""What is measured: a bridge, a naive one, and OpenTelemetry without any guest."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import time_ns
from typing import Any, Literal

import wasmtime
from _naive import Naive
from opentelemetry._logs import LoggerProvider, NoOpLoggerProvider, SeverityNumber
from opentelemetry.context import attach, detach
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.metrics import MeterProvider, NoOpMeterProvider
from opentelemetry.sdk._logs import LoggerProvider as SdkLoggerProvider
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import NoOpTracerProvider, TracerProvider, set_span_in_context
from opentelemetry.util.types import AnyValue

from wasmscope.host_shim import Bridge, GuestInstance

__all__ = ["Bench", "Providers", "alone"]

_WAT = Path(__file__).with_name("bridge.wat").read_text(encoding="utf-8")
# What the guest says, for those who say it without a guest.
_BODY = "order 4711 of customer 42 was put into the queue"
_TWO: dict[str, AnyValue] = {"tenant": "acme", "retry": 3}
_FOUR: dict[str, AnyValue] = {"method": "GET", "route": "/orders", "status": 200, "cached": True}


@dataclass(slots=True)
class _Out:
    """What came out of the SDK."""

    is_encoded: bool
    records: int = 0
    size: int = 0


class _DropSpans(SpanExporter):
    def __init__(self, out: _Out) -> None:
        self._out = out

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self._out.records += len(spans)
        if self._out.is_encoded:
            self._out.size += len(encode_spans(spans).SerializeToString())
        return SpanExportResult.SUCCESS


class _DropLogs(LogRecordExporter):
    def __init__(self, out: _Out) -> None:
        self._out = out

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        self._out.records += len(batch)
        if self._out.is_encoded:
            self._out.size += len(encode_logs(batch).SerializeToString())
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class Providers:
    """OpenTelemetry's providers: of the API alone, which do nothing, or the SDK's.

    Args:
        sdk: The SDK's. They export nothing.
        encode: They make OTLP bytes of what they do not export.
        sampler: The SDK's sampler, if not all is to be kept.
    """

    def __init__(self, *, sdk: bool, encode: bool = False, sampler: Sampler = ALWAYS_ON) -> None:
        self._out = _Out(encode)
        self.tracer: TracerProvider = NoOpTracerProvider()
        self.meter: MeterProvider = NoOpMeterProvider()
        self.logger: LoggerProvider = NoOpLoggerProvider()
        self._processors: list[BatchSpanProcessor | BatchLogRecordProcessor] = []
        if not sdk:
            return
        # Nothing is exported and nothing dropped while a run is timed: queues hold it, and are emptied after it.
        queue: dict[str, Any] = {
            "max_queue_size": 1 << 17,
            "max_export_batch_size": 1 << 17,
            "schedule_delay_millis": 3_600_000,
        }
        tracer = SdkTracerProvider(sampler, shutdown_on_exit=False)
        logger = SdkLoggerProvider(shutdown_on_exit=False)
        spans = BatchSpanProcessor(_DropSpans(self._out), **queue)
        logs = BatchLogRecordProcessor(_DropLogs(self._out), **queue)
        tracer.add_span_processor(spans)
        logger.add_log_record_processor(logs)
        self._processors = [spans, logs]
        self.tracer, self.logger = tracer, logger
        self.meter = SdkMeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)

    def empty(self) -> int:
        """Empty the queues, in this thread, and say how many records came out since the last time."""
        for processor in self._processors:
            processor.force_flush()
        records, self._out.records = self._out.records, 0
        return records

    def close(self) -> None:
        """Stop the processors' threads."""
        for processor in self._processors:
            processor.shutdown()  # type: ignore[no-untyped-call]


class Bench:
    """A bridge and a naive one, with the same guest and the same providers."""

    def __init__(self, *, sdk: bool, delivery: Literal["live", "sdk"] = "live") -> None:
        self.providers = Providers(sdk=sdk)
        self.engine = wasmtime.Engine()
        self.module = wasmtime.Module(self.engine, _WAT)
        self.bridge = Bridge(
            delivery=delivery,
            tracer_provider=self.providers.tracer,
            meter_provider=self.providers.meter,
            logger_provider=self.providers.logger,
        )
        self.linker = wasmtime.Linker(self.engine)
        self.store = wasmtime.Store(self.engine)
        self.ours = self.instantiate(self.store)
        self.naive = Naive(self.engine, self.providers.tracer, self.providers.meter, self.providers.logger)
        self._naive_store = wasmtime.Store(self.engine)
        self._naive_exports = self.naive.linker.instantiate(self._naive_store, self.module).exports(self._naive_store)
        self.naive_call("prepare")()

    def instantiate(self, store: wasmtime.Store | None = None) -> GuestInstance:
        """Make an instance, in a store of its own if none is given."""
        store = store or wasmtime.Store(self.engine)
        instance = self.bridge.instantiate(self.linker, store, self.module, name="bench")
        instance.call("prepare")
        return instance

    def our_call(self, export: str) -> Callable[..., Any]:
        """Give an export of the bridge's instance."""
        return functools.partial(self.ours.call, export)

    def naive_call(self, export: str) -> Callable[..., Any]:
        """Give an export of the naive one."""
        found = self._naive_exports[export]
        assert isinstance(found, wasmtime.Func)
        return functools.partial(found, self._naive_store)

    def close(self) -> None:
        """End it."""
        self.bridge.close()
        self.providers.close()


def alone(providers: Providers) -> dict[str, Callable[[int], object]]:
    """The same operations in Python, without any guest; inside a span, as a guest's are inside that of the call."""
    tracer = providers.tracer.get_tracer("alone")
    logger = providers.logger.get_logger("alone")
    counter = providers.meter.get_meter("alone").create_counter("requests")
    volume = providers.meter.get_meter("alone").create_counter("volume")
    duration = providers.meter.get_meter("alone").create_histogram("duration")
    info = SeverityNumber.INFO
    open_span = tracer.start_span("open")

    def log(count: int) -> None:
        for _ in range(count):
            logger.emit(timestamp=time_ns(), severity_number=info, severity_text="INFO", body=_BODY, attributes=_TWO)

    def log_varying(count: int) -> None:
        for number in range(count):
            logger.emit(
                timestamp=time_ns(),
                severity_number=info,
                severity_text="INFO",
                body=_BODY,
                attributes={"tenant": "acme", "retry": number},
            )

    def measure_i64(count: int) -> None:
        for _ in range(count):
            counter.add(1, _TWO)

    def measure_f64(count: int) -> None:
        for _ in range(count):
            volume.add(1.5, _TWO)

    def histogram(count: int) -> None:
        for _ in range(count):
            duration.record(30, _TWO)

    def span(count: int) -> None:
        for _ in range(count):
            tracer.start_span("GET /orders").end()

    def span_attributes(count: int) -> None:
        for _ in range(count):
            tracer.start_span("GET /orders", attributes=_FOUR).end()

    def enter_exit(count: int) -> None:
        for _ in range(count):
            detach(attach(set_span_in_context(open_span)))

    def inside(function: Callable[[int], None]) -> Callable[[int], None]:
        def loop(count: int) -> None:
            with tracer.start_as_current_span("host"):
                function(count)

        return loop

    functions = (log, log_varying, measure_i64, measure_f64, histogram, span, span_attributes, enter_exit)
    return {function.__name__: inside(function) for function in functions}
