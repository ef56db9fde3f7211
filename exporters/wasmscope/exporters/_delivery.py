"""Counting what reaches its destination, and finding out why the rest does not.

The SDK's batch processors drop what they cannot deliver and tell the log alone. Here
records are counted when they are finished and when they are delivered; the difference
is what got lost, whatever the cause.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Sized
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, cast

from opentelemetry.sdk._logs import ReadWriteLogRecord
from opentelemetry.sdk._logs.export import (
    BatchLogRecordProcessor,
    LogRecordExporter,
    LogRecordExportResult,
)
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SpanExporter,
    SpanExportResult,
)

from wasmscope.exporters._text import clean
from wasmscope.exporters._units import counted

__all__ = ["CountedLogs", "CountedSpans", "Destination", "FailureLog", "Signal"]

_logger = logging.getLogger("wasmscope.exporters")

Signal = Literal["span", "log record", "metric point"]

_SUCCESS: Final = (
    SpanExportResult.SUCCESS,
    LogRecordExportResult.SUCCESS,
    MetricExportResult.SUCCESS,
)
_FAILURE: Final[dict[Signal, object]] = {
    "span": SpanExportResult.FAILURE,
    "log record": LogRecordExportResult.FAILURE,
    "metric point": MetricExportResult.FAILURE,
}

_EXPLANATIONS: Final = (
    (r"brokenpipe|closed file", "its reader has closed it", "no loss if that was meant, as by head"),
    (r"connection refused", "connection refused", "is a collector listening there?"),
    (
        r"name or service not known|name resolution|resolv|lookup|getaddrinfo|nodename",
        "the host's name is not known",
        "check the endpoint's spelling",
    ),
    (
        r"certificate|ssl|tls handshake|handshake",
        "no secure connection",
        "check https and OTEL_EXPORTER_OTLP_CERTIFICATE, or use http://",
    ),
    (
        r"unauthenticated|permission_denied|code: 401|code: 403",
        "access denied",
        "check OTEL_EXPORTER_OTLP_HEADERS",
    ),
    (
        r"unimplemented|code: 40[45]|http1|http2|frame|protocol|aborted|reset by|closed",
        "something else answered there",
        "check port and OTEL_EXPORTER_OTLP_PROTOCOL: usual are 4317 for grpc, 4318 for http/protobuf",
    ),
    (
        r"max_request_size|too large|larger than max|code: 413",
        "a request was too large",
        "set OTEL_BSP_MAX_EXPORT_BATCH_SIZE, OTEL_BLRP_MAX_EXPORT_BATCH_SIZE or WASMSCOPE_OTLP_REQUEST_BYTES lower",
    ),
    (
        r"timed? ?out|deadline|unreachable",
        "no answer",
        "check endpoint and firewalls",
    ),
    (
        r"code: 429|code: 50[234]|resource_exhausted|unavailable",
        "the collector is busy or not ready",
        "try again, or look into its log",
    ),
)
"""What exporters write in their log, what it means, and what to try."""

_CODE: Final = re.compile(r"code: (?:StatusCode\.)?(\w+)")
_NOT_A_REASON: Final = re.compile(r"due to timeout, max retries|shutdown", re.IGNORECASE)


@dataclass(slots=True)
class _Tally:
    """Counts of one signal.

    Attributes:
        finished: How many records were ready for delivery.
        delivered: How many the destination took.
    """

    finished: int = 0
    delivered: int = 0


class Destination:
    """Where an exporter, or one exporter a signal, delivers to. Thread-safe.

    Args:
        name: What people call it, for example the endpoint.
        protocol: The OTLP protocol; None for other exporters.
    """

    def __init__(self, name: str, protocol: str | None = None) -> None:
        self.name = name
        self.protocol = protocol
        self._lock = threading.Lock()
        self._tallies = _no_tallies()
        self._metrics: dict[int, _Tally] = {}
        self._shutdowns: list[Callable[[], object]] = []
        # Why deliveries fail now, and why the last records that got lost did: both with an advice.
        self._reason: tuple[str, str] | None = None
        self._lost_reason: tuple[str, str] | None = None
        self._took_something = False
        self._given_up = False
        self.failed_while_closing = threading.Event()
        self.closing = False

    def finish(self, signal: Signal, count: int = 1) -> None:
        """Count records that are ready for delivery."""
        with self._lock:
            self._tallies[signal].finished += count

    def begin_metrics(self, source: object, count: int) -> None:
        """Count metric points that are ready for delivery: they are totals, so a source's last export says it all."""
        with self._lock:
            self._metrics[id(source)] = _Tally(count)

    def deliver(self, signal: Signal, count: int, source: object = None) -> None:
        """Count records that were delivered.

        Args:
            signal: What they are.
            count: How many.
            source: For metric points, who exported them.
        """
        with self._lock:
            self._took_something = True
            if signal == "metric point":
                self._metrics.setdefault(id(source), _Tally()).delivered += count
            else:
                self._tallies[signal].delivered += count
            self._reason = None

    def lose(self, reason: str | None = None, advice: str = "") -> None:
        """Note that records got lost.

        Args:
            reason: Why; None if it is why deliveries fail now.
            advice: What to try.
        """
        with self._lock:
            if reason is not None:
                self._lost_reason = (reason, advice)
            elif self._reason is not None:
                self._lost_reason = self._reason
        if reason is None:
            self._note_failure()

    def note(self, message: str) -> None:
        """Take from an exporter's log why a delivery fails."""
        if self._given_up:  # and what is said now is only about that
            return
        if _NOT_A_REASON.search(message) is None or self._reason is None:
            text = clean(message, 200)
            advice = "see the log of opentelemetry.exporter"
            for pattern, meaning, suggestion in _EXPLANATIONS:
                if re.search(pattern, message, re.IGNORECASE):
                    text, advice = meaning, suggestion
                    break
            if code := _CODE.search(message):
                text += f" ({code[1]})"
            with self._lock:
                self._reason = (text, advice)
        self._note_failure()

    @property
    def failing(self) -> bool:
        """Whether everything has failed so far, and there was something."""
        return self._reason is not None and not self._took_something

    def _note_failure(self) -> None:
        if self.closing and not self._took_something:
            self.failed_while_closing.set()

    def watch(
        self,
        signal: Signal,
        exporter: SpanExporter | LogRecordExporter | MetricExporter,
        log: FailureLog,
    ) -> None:
        """Count what an exporter delivers.

        The exporter's `export` is replaced on the object. (A metric exporter that wraps
        another one would have to read the private fields in which that one keeps its
        temporality.)
        """
        watched = cast(_Exporter, exporter)
        export, shutdown = watched.export, watched.shutdown
        once = threading.Lock()

        def counted_export(batch: object, *args: object, **options: object) -> object:
            count = _count(batch)
            if signal == "metric point":
                self.begin_metrics(exporter, count)
            if self._given_up:
                return _FAILURE[signal]
            try:
                with log.listening(self):
                    result = export(batch, *args, **options)
            except Exception as error:
                _logger.debug("export to %s", self.name, exc_info=True)
                self.note(f"{type(error).__name__}: {error}")
                result = _FAILURE[signal]
            if result in _SUCCESS:
                self.deliver(signal, count, exporter)
            else:
                self.lose()
            return result

        def shutdown_once(*args: object, **options: object) -> object:
            if once.acquire(blocking=False):
                return shutdown(*args, **options)
            return None

        watched.export = counted_export
        watched.shutdown = shutdown_once
        self._shutdowns.append(shutdown_once)

    def stop_with(self, stop: Callable[[], object]) -> None:
        """Have something else stopped, too, when deliveries are given up."""
        self._shutdowns.append(stop)

    def restart(self) -> None:
        """Begin anew in a child process: what was under way is the parent's, and its threads may hold the lock."""
        self._lock = threading.Lock()
        self._tallies = _no_tallies()
        self._metrics = {}

    def give_up(self) -> None:
        """Deliver nothing more, and wake exporters that are waiting for a retry."""
        self._given_up = True
        for shutdown in self._shutdowns:
            try:
                shutdown()
            except Exception as error:
                # A stranger's exporter; there is nothing left to do with it.
                self.note(f"{type(error).__name__}: {error}")

    def report(self) -> str | None:
        """Say in one line what was not delivered, and why; None if nothing got lost."""
        with self._lock:
            tallies = dict(self._tallies)
            tallies["metric point"] = _Tally(
                sum(tally.finished for tally in self._metrics.values()),
                sum(tally.delivered for tally in self._metrics.values()),
            )
            lost = {
                signal: (tally.finished - tally.delivered, tally.finished)
                for signal, tally in tallies.items()
                if tally.finished > tally.delivered
            }
            known = self._reason or self._lost_reason
        if not lost:
            return None
        counts = ", ".join(
            counted(missing, signal) if missing == total else f"{missing:,} of {counted(total, signal)}"
            for signal, (missing, total) in lost.items()
        )
        if known is not None:
            reason, advice = known
        elif self._given_up:
            reason, advice = "no answer in time", "check endpoint and firewalls"
        else:
            reason = "more came than the queue holds"
            advice = "set OTEL_BSP_MAX_QUEUE_SIZE and OTEL_BLRP_MAX_QUEUE_SIZE higher (2048)"
        protocol = f" ({self.protocol})" if self.protocol else ""
        return f"{counts} not delivered to {self.name}{protocol}: {reason}; {advice}"


def _no_tallies() -> dict[Signal, _Tally]:
    return {"span": _Tally(), "log record": _Tally()}


class _Exporter(Protocol):
    """What the exporters of all signals have in common."""

    export: Callable[..., object]
    shutdown: Callable[..., object]


def _count(batch: object) -> int:
    if not isinstance(batch, MetricsData):
        return len(cast(Sized, batch))
    return sum(
        len(metric.data.data_points)
        for resource in batch.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    )


class FailureLog(logging.Handler):
    """Listens to the log of OpenTelemetry's exporters for the reasons of failures.

    Their results say only that a delivery failed. While this handler is attached (to
    the logger ``opentelemetry``), Python's handler of last resort, which would print
    these messages, is out of use; handlers of the program itself still get them.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._current = threading.local()

    def listening(self, destination: Destination) -> _Listening:
        """Give a context in which this thread's messages belong to a destination."""
        return _Listening(self._current, destination)

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a message on to the destination that it is about, if any."""
        destination: Destination | None = getattr(self._current, "destination", None)
        if destination is not None:
            destination.note(record.getMessage())


@dataclass(slots=True)
class _Listening:
    _current: threading.local
    _destination: Destination
    _before: Destination | None = field(default=None, init=False)

    def __enter__(self) -> None:
        self._before = getattr(self._current, "destination", None)
        self._current.destination = self._destination

    def __exit__(self, *_: object) -> None:
        self._current.destination = self._before


class CountedSpans(BatchSpanProcessor):
    """The SDK's batch processor, with a count of what goes in."""

    def __init__(self, exporter: SpanExporter, destination: Destination, queue: int | None = None) -> None:
        self._destination = destination
        super().__init__(exporter, max_queue_size=queue)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a finished span, if it is sampled."""
        if span.context is not None and span.context.trace_flags.sampled:
            self._destination.finish("span")
        super().on_end(span)


class CountedLogs(BatchLogRecordProcessor):
    """The SDK's batch processor, with a count of what goes in."""

    def __init__(
        self,
        exporter: LogRecordExporter,
        destination: Destination,
        queue: int | None = None,
    ) -> None:
        self._destination = destination
        super().__init__(exporter, max_queue_size=queue)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue an emitted record."""
        self._destination.finish("log record")
        super().on_emit(log_record)
