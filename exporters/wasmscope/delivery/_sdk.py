"""The ``sdk`` delivery: records of guests as data of OpenTelemetry's SDK."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry import _logs, metrics, trace
from opentelemetry._logs import Logger, LoggerProvider, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans
from opentelemetry.sdk.trace import Tracer
from opentelemetry.trace import TracerProvider

from wasmscope.delivery._contexts import Contexts
from wasmscope.delivery._losses import Losses, SdkLossReason
from wasmscope.delivery._scope import Scope
from wasmscope.delivery._sdk_metrics import Instruments, SdkMetricSource
from wasmscope.delivery._sdk_spans import SpanSink
from wasmscope.delivery._target import SignalName
from wasmscope.delivery._values import read_attributes, read_value

__all__ = ["SdkDelivery"]

_SEVERITIES = {number.value: number for number in SeverityNumber if number.value}


class SdkDelivery:
    """Hands what guests told to the application's own processors and exporters, as if it had been told just now.

    All is done in the thread that calls, before the call returns. Thread-safe.

    Guarantees: no `Exception` gets out. What a processor or exporter raises costs the record in hand, which is
    counted, and the others still go. Private attributes of the SDK are not touched.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        instruments: int = 1_000,
    ) -> None:
        """Prepare.

        Args:
            tracer_provider: Whose processors get the spans; None for the global one, resolved late.
            meter_provider: Whose instruments get the measurements; likewise.
            logger_provider: Whose processors get the log records; likewise.
            instruments: How many a module may have over all its instances; values of further ones are lost.
        """
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._logger_provider = logger_provider
        self._lock = threading.Lock()
        # The provider is kept too: the global one may be set after the first record.
        self._sinks: dict[Scope, tuple[TracerProvider, SpanSink]] = {}
        self._loggers: dict[Scope, Logger] = {}
        self._instruments: dict[Scope, Instruments] = {}
        self._instruments_limit = instruments
        self._losses = Losses()

    @staticmethod
    def can_serve(tracer_provider: TracerProvider | None) -> bool:
        """Whether a provider's tracers are exactly the SDK's own: they show their processors, and no method is changed.

        The tracers of OpenTelemetry's API before a provider is set, those that do nothing (``OTEL_SDK_DISABLED``),
        and those of other makers are not. Loggers and meters may be anybody's: nothing is asked of them but what the
        API has.

        Args:
            tracer_provider: The provider; None for the global one as it is now.
        """
        return type((tracer_provider or trace.get_tracer_provider()).get_tracer("wasmscope")) is Tracer

    def tracer(self, scope: Scope) -> Tracer | None:
        """Give the SDK's tracer of a scope, or None if the provider has none."""
        sink = self._sink(scope)
        return None if sink is None else sink.tracer

    def lost(self) -> dict[tuple[SignalName, SdkLossReason], int]:
        """Give how many records were lost, by signal and reason."""
        return self._losses.snapshot()

    def spans(self, scope: Scope, body: bytes, count: int, *, context: Context | None = None) -> None:
        """Hand on ended spans.

        Args:
            scope: Whose they are.
            body: The field ``spans`` of OTLP's ``ScopeSpans``, as often as there are spans.
            count: How many there are.
            context: What else processors find in the parent's context, such as baggage; None for what is current.
        """
        try:
            given = ScopeSpans.FromString(body).spans
        except Exception as error:
            self._losses.add("traces", "malformed", count, f"{error!r} where OTLP was expected; please report it")
            return
        sink = self._sink(scope)
        if sink is None:
            self._losses.add("traces", "no_sdk", count, "the tracer provider is not OpenTelemetry's SDK")
            return
        contexts = Contexts(context)
        for span in given:
            try:
                sink.hand_on(span, contexts)
            except Exception as error:
                self._failed("traces", error)

    def logs(self, scope: Scope, body: bytes, count: int, *, context: Context | None = None) -> None:
        """Hand on log records.

        Args:
            scope: Whose they are.
            body: The field ``log_records`` of OTLP's ``ScopeLogs``, as often as there are records.
            count: How many there are.
            context: What else processors find in a record's context; None for what is current.
        """
        try:
            given = ScopeLogs.FromString(body).log_records
        except Exception as error:
            self._losses.add("logs", "malformed", count, f"{error!r} where OTLP was expected; please report it")
            return
        logger = self._logger(scope)
        contexts = Contexts(context)
        for record in given:
            try:
                _emit(logger, record, contexts)
            except Exception as error:
                self._failed("logs", error)

    def metric_source(
        self, scope: Scope, base: Mapping[str, Any], decode: Callable[[bytes], Mapping[str, Any]]
    ) -> SdkMetricSource:
        """Make what hands on the measurements of one guest instance.

        Args:
            scope: Whose they are.
            base: What the host puts on each; wins over the guest's.
            decode: Decodes a packed attribute list that the collector has accepted.
        """
        return SdkMetricSource(self.instruments(scope), self._losses, decode, base)

    def instruments(self, scope: Scope) -> Instruments:
        """Give the instruments of a module."""
        with self._lock:
            found = self._instruments.get(scope)
            if found is None:
                # As for loggers.
                meter = metrics.get_meter(scope.name, scope.version or "", meter_provider=self._meter_provider)
                found = self._instruments[scope] = Instruments(meter, self._instruments_limit)
            return found

    def _failed(self, signal: SignalName, error: Exception) -> None:
        self._losses.add(signal, "failed", 1, f"a processor or exporter of the application raised {error!r}")

    def _sink(self, scope: Scope) -> SpanSink | None:
        provider = self._tracer_provider or trace.get_tracer_provider()
        known = self._sinks.get(scope)
        if known is not None and known[0] is provider:
            return known[1]
        tracer = provider.get_tracer(scope.name, scope.version)
        if not isinstance(tracer, Tracer):
            return None
        with self._lock:
            _, sink = self._sinks[scope] = provider, SpanSink(tracer, scope)
        return sink

    def _logger(self, scope: Scope) -> Logger:
        logger = self._loggers.get(scope)
        if logger is None:
            # The API's own late binding: what it gives before a provider is set, uses the one set afterwards.
            logger = _logs.get_logger(scope.name, scope.version or "", logger_provider=self._logger_provider)
            with self._lock:
                self._loggers[scope] = logger
        return logger


def _emit(logger: Logger, given: LogRecord, contexts: Contexts) -> None:
    _, context = contexts.of(given.trace_id, given.span_id, given.flags & 0xFF)
    logger.emit(
        timestamp=given.time_unix_nano,
        observed_timestamp=given.observed_time_unix_nano,
        context=context,
        severity_number=_SEVERITIES.get(given.severity_number),
        severity_text=given.severity_text or None,
        body=given.body.string_value or read_value(given.body),
        attributes=read_attributes(given.attributes),
        event_name=given.event_name or None,
    )
