"""Telemetry kept in memory, within bounds, to be shown at the end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar, cast

from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.sdk._logs import (
    LogRecordProcessor,
    ReadableLogRecord,
    ReadWriteLogRecord,
)
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

__all__ = ["Recording"]

_T = TypeVar("_T")
_OBJECT_BYTES: Final = 800  # a span or record without its text, measured with CPython 3.11
_VALUE_BYTES: Final = 80
_NO_CONTEXT: Final = Context()


class Recording:
    """What a program's telemetry was, as far as it fits.

    Attach `span_processor`, `log_record_processor` and `metric_reader` to providers.
    Where there is too much, the oldest goes first: a span ends after the spans below
    it, so what is kept are whole trees with their roots.

    Thread-safe.
    """

    def __init__(
        self,
        *,
        max_spans: int = 100_000,
        max_logs: int = 100_000,
        max_bytes: int = 128 * 1024 * 1024,
    ) -> None:
        """Keep nothing yet.

        Args:
            max_spans: How many spans are kept.
            max_logs: How many log records are kept.
            max_bytes: How much memory spans may take, and as much again log records;
                an estimate, good to a factor of two.
        """
        self._spans = _Kept[ReadableSpan](max_spans, max_bytes, _span_bytes)
        self._logs = _Kept[ReadableLogRecord](max_logs, max_bytes, _log_bytes)
        self._last_metrics: MetricsData | None = None
        self.span_processor: Final[SpanProcessor] = _KeepSpans(self._spans)
        self.log_record_processor: Final[LogRecordProcessor] = _KeepLogs(self._logs)
        self.metric_reader: Final = InMemoryMetricReader()

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The finished spans, in the order in which they ended."""
        return self._spans.items()

    @property
    def logs(self) -> tuple[ReadableLogRecord, ...]:
        """The log records, in the order in which they were emitted."""
        return self._logs.items()

    def metrics(self) -> MetricsData | None:
        """Give the totals so far; None if nothing was measured.

        Works until the meter provider is shut down, and then gives what it gave last.
        """
        data = self.metric_reader.get_metrics_data()
        if data is not None:
            self._last_metrics = data
        return self._last_metrics

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many records were not kept, by kind: ``spans`` and ``log records``."""
        return {"spans": self._spans.dropped, "log records": self._logs.dropped}


class _Kept(Generic[_T]):
    """A queue that forgets its oldest items when it gets too long or too big."""

    def __init__(self, limit: int, max_bytes: int, measure: Callable[[_T], int]) -> None:
        self._limit = limit
        self._max_bytes = max_bytes
        self._measure = measure
        self._items: deque[tuple[_T, int]] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self.dropped = 0

    def add(self, item: _T) -> None:
        size = self._measure(item)
        with self._lock:
            self._items.append((item, size))
            self._bytes += size
            while len(self._items) > self._limit or self._bytes > self._max_bytes:
                _, freed = self._items.popleft()
                self._bytes -= freed
                self.dropped += 1

    def items(self) -> tuple[_T, ...]:
        with self._lock:
            return tuple(item for item, _ in self._items)


class _KeepSpans(SpanProcessor):
    """Keeps sampled spans."""

    def __init__(self, kept: _Kept[ReadableSpan]) -> None:
        self._kept = kept

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a finished span."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._kept.add(span)


class _KeepLogs(LogRecordProcessor):
    """Keeps log records."""

    def __init__(self, kept: _Kept[ReadableLogRecord]) -> None:
        self._kept = kept

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Keep an emitted record, without the context that it was emitted in."""
        self._kept.add(
            ReadableLogRecord(
                log_record=_without_context(log_record.log_record),
                resource=log_record.resource or Resource.get_empty(),
                instrumentation_scope=log_record.instrumentation_scope,
                limits=log_record.limits,
            )
        )

    def shutdown(self) -> None:
        """Do nothing: what is kept stays readable."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: there is nothing to wait for."""
        return True


def _span_bytes(span: ReadableSpan) -> int:
    size = _OBJECT_BYTES + len(span.name) + _attributes_bytes(span.attributes)
    for event in span.events:
        size += _OBJECT_BYTES // 2 + len(event.name) + _attributes_bytes(event.attributes)
    for link in span.links:
        size += _OBJECT_BYTES // 2 + _attributes_bytes(link.attributes)
    return size


def _log_bytes(log: ReadableLogRecord) -> int:
    record = log.log_record
    return _OBJECT_BYTES + _value_bytes(record.body) + _attributes_bytes(record.attributes)


def _attributes_bytes(attributes: Mapping[str, object] | None) -> int:
    """Estimate the memory of attributes; written for speed, since every record comes by."""
    size = 0
    if attributes:
        for key in attributes:
            size += 2 * _VALUE_BYTES + len(key) + _value_bytes(attributes[key])
    return size


def _value_bytes(value: object) -> int:
    """Estimate the memory of an attribute value; of nested ones, without recursion."""
    if isinstance(value, (str, bytes)):
        return len(value)
    if value is None or isinstance(value, (bool, int, float)):
        return 0
    size = 0
    stack = [value]
    while stack:
        item = stack.pop()
        size += _VALUE_BYTES
        if isinstance(item, (str, bytes)):
            size += len(item)
        elif isinstance(item, Mapping):
            fields = cast(Mapping[object, object], item)
            stack.extend(fields.keys())
            stack.extend(fields.values())
        elif isinstance(item, Sequence):
            stack.extend(cast(Sequence[object], item))
    return size


def _without_context(record: LogRecord) -> LogRecord:
    """Copy a record without the context, which may hold anything of any size.

    This is `copy.copy` at a tenth of its time.
    """
    copied = object.__new__(type(record))
    vars(copied).update(vars(record))
    copied.context = _NO_CONTEXT
    return copied
