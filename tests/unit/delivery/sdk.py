"""OTLP bytes made by hand, and an SDK that keeps what it gets."""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from wasmscope.delivery import Scope, SdkDelivery

__all__ = ["SCOPE", "SPAN_ID", "TRACE_ID", "Sdk", "log", "logs_body", "pairs", "span", "spans_body", "value"]

SCOPE = Scope("module", "1.2")
TRACE_ID = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
SPAN_ID = bytes.fromhex("00f067aa0ba902b7")


def value(item: Any) -> AnyValue:
    """Encode a value."""
    match item:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=item)
        case str():
            return AnyValue(string_value=item)
        case int():
            return AnyValue(int_value=item)
        case float():
            return AnyValue(double_value=item)
        case bytes():
            return AnyValue(bytes_value=item)
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=pairs(item)))
        case _:
            return AnyValue(array_value=ArrayValue(values=[value(one) for one in item]))


def pairs(items: dict[str, Any]) -> list[KeyValue]:
    """Encode attributes."""
    return [KeyValue(key=key, value=value(item)) for key, item in items.items()]


def span(name: str = "work", attributes: dict[str, Any] | None = None, **fields: Any) -> Span:
    """Make an OTLP span: a sampled child of a local parent."""
    usual: dict[str, Any] = {
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "parent_span_id": bytes.fromhex("00000000000000aa"),
        "flags": 0x101,
        "kind": Span.SPAN_KIND_INTERNAL,
        "start_time_unix_nano": 1_000,
        "end_time_unix_nano": 2_000,
    }
    return Span(name=name, attributes=pairs(attributes or {}), **usual | fields)


def spans_body(*spans: Span) -> bytes:
    """Encode spans as the collector does."""
    encoded: bytes = ScopeSpans(spans=spans).SerializeToString()
    return encoded


def log(body: str = "hello", attributes: dict[str, Any] | None = None, **fields: Any) -> LogRecord:
    """Make an OTLP log record."""
    usual: dict[str, Any] = {"time_unix_nano": 1_000, "observed_time_unix_nano": 1_000}
    return LogRecord(body=value(body), attributes=pairs(attributes or {}), **usual | fields)


def logs_body(*records: LogRecord) -> bytes:
    """Encode log records as the collector does."""
    encoded: bytes = ScopeLogs(log_records=records).SerializeToString()
    return encoded


class Sdk:
    """Providers that keep what their processors give on, and a delivery to them."""

    def __init__(self, *processors: SpanProcessor | LogRecordProcessor, **options: Any) -> None:
        """Set up.

        Args:
            processors: Processors that come before those that keep.
            options: For the tracer provider.
        """
        self.exporter = InMemorySpanExporter()
        self.log_exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self.resource = Resource({"service.name": "host"})
        self.tracer_provider = TracerProvider(shutdown_on_exit=False, resource=self.resource, **options)
        self.logger_provider = LoggerProvider(shutdown_on_exit=False, resource=self.resource)
        for processor in processors:
            if isinstance(processor, SpanProcessor):
                self.tracer_provider.add_span_processor(processor)
            else:
                self.logger_provider.add_log_record_processor(processor)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self.log_exporter))
        self.delivery = SdkDelivery(tracer_provider=self.tracer_provider, logger_provider=self.logger_provider)

    def spans(self, *given: Span) -> tuple[ReadableSpan, ...]:
        """Deliver spans; what came of all so far."""
        self.delivery.spans(SCOPE, spans_body(*given), len(given))
        return self.exporter.get_finished_spans()

    def span(self, given: Span) -> ReadableSpan:
        """Deliver a span; what came of it."""
        return self.spans(given)[-1]

    def logs(self, *given: LogRecord) -> tuple[ReadableLogRecord, ...]:
        """Deliver log records; what came of all so far."""
        self.delivery.logs(SCOPE, logs_body(*given), len(given))
        return self.log_exporter.get_finished_logs()

    def log(self, given: LogRecord) -> ReadableLogRecord:
        """Deliver a log record; what came of it."""
        return self.logs(given)[-1]
