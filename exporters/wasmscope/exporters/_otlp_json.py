"""OTLP as JSON lines: one export request a line.

The format is that of
https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding as
https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/ puts it into files.
(`opentelemetry-exporter-otlp-json-file` does the same. It is a beta, and pins other
versions of packages that the OTLP exporters for gRPC and HTTP pin too.)
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, TextIO, cast

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

__all__ = ["JsonLogExporter", "JsonMetricExporter", "JsonSpanExporter", "JsonStream"]

_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})


class JsonStream:
    """A text stream that several exporters write whole lines to. Thread-safe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, request: object) -> None:
        """Write an export request as one line.

        Raises:
            OSError: If the stream cannot take it, for example a pipe nobody reads.
            ValueError: If the stream is closed.
        """
        # By name: loaded only if needed, and protobuf comes without types.
        json_format: Any = import_module("google.protobuf.json_format")
        # The protobuf JSON mapping, but enums are numbers...
        data = json_format.MessageToDict(request, use_integers_for_enums=True)
        _hex_ids(data)
        line = json.dumps(data, separators=(",", ":"))
        with self._lock:
            self._stream.write(f"{line}\n")
            self._stream.flush()


def _hex_ids(data: object) -> None:
    """...and ids are hexadecimal, while other bytes stay in base64.

    Attributes are lists of keys and values here, so no key of theirs can be mistaken
    for a field.
    """
    stack = [data]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            fields = cast(dict[str, object], item)
            for key, value in fields.items():
                if key in _IDS and isinstance(value, str):
                    fields[key] = base64.b64decode(value).hex()
                else:
                    stack.append(value)
        elif isinstance(item, list):
            stack.extend(cast(list[object], item))


class JsonSpanExporter(SpanExporter):
    """Writes spans as OTLP JSON lines."""

    def __init__(self, stream: JsonStream) -> None:
        self._stream = stream

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write one line."""
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

        self._stream.write(encode_spans(spans))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Do nothing: the stream belongs to the caller."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: every line is flushed."""
        return True


class JsonLogExporter(LogRecordExporter):
    """Writes log records as OTLP JSON lines."""

    def __init__(self, stream: JsonStream) -> None:
        self._stream = stream

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Write one line."""
        from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs

        self._stream.write(encode_logs(batch))
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None:
        """Do nothing: the stream belongs to the caller."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: every line is flushed."""
        return True


class JsonMetricExporter(MetricExporter):
    """Writes metrics as OTLP JSON lines."""

    def __init__(self, stream: JsonStream) -> None:
        super().__init__()
        self._stream = stream

    def export(
        self,
        metrics_data: MetricsData,
        timeout_millis: float = 10_000,
        **kwargs: object,
    ) -> MetricExportResult:
        """Write one line, if anything was measured."""
        from opentelemetry.exporter.otlp.proto.common.metrics_encoder import (
            encode_metrics,
        )

        if metrics_data.resource_metrics:
            self._stream.write(encode_metrics(metrics_data))
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """Do nothing: the stream belongs to the caller."""

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Do nothing: every line is flushed."""
        return True
