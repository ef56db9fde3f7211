"""Exporters, chosen by the environment and by switches, with their processors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TextIO

from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk._logs.export import LogRecordExporter
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter

from wasmscope.delivery import OtlpProtocol, OtlpTarget, SignalName, otlp_target
from wasmscope.errors import ConfigurationError
from wasmscope.exporters._delivery import (
    CountedLogs,
    CountedSpans,
    Destination,
    FailureLog,
)
from wasmscope.exporters._plugins import listed, load, one_line

__all__ = ["Wiring"]

_JSON_QUEUE: Final = 1 << 17
"""Records that wait to be written as JSON: a stream is slower than a fast guest."""
_OTLP_NAMES: Final[dict[str, OtlpProtocol | None]] = {
    "otlp": None,
    "otlp_proto_grpc": "grpc",
    "otlp_proto_http": "http/protobuf",
}
_ENTRY_POINTS: Final[dict[OtlpProtocol, str]] = {
    "grpc": "otlp_proto_grpc",
    "http/protobuf": "otlp_proto_http",
}


class Wiring:
    """What is to be attached to the providers.

    First exporters are added, which may fail; then `start` puts them behind processors.

    Attributes:
        span_processors: For the tracer provider.
        log_record_processors: For the logger provider.
        metric_readers: For the meter provider.
        failure_log: Who listens to the exporters' log.
        otlp_targets: Where the signals go whose only exporter is an OTLP one.
        elsewhere: What else signals go to, in words.
    """

    def __init__(self) -> None:
        self._exporters: list[tuple[object, Destination, int | None]] = []
        self.span_processors: list[SpanProcessor] = []
        self.log_record_processors: list[LogRecordProcessor] = []
        self.metric_readers: list[MetricReader] = []
        self.failure_log = FailureLog()
        self.otlp_targets: dict[SignalName, OtlpTarget] = {}
        self.elsewhere: list[str] = []
        self._destinations: dict[tuple[str, str | None], Destination] = {}

    @property
    def destinations(self) -> tuple[Destination, ...]:
        """Where telemetry is delivered to."""
        return tuple(self._destinations.values())

    @property
    def otlp_destinations(self) -> dict[SignalName, Destination]:
        """The destinations of `otlp_targets`."""
        return {signal: self._destination(target.name, target.protocol) for signal, target in self.otlp_targets.items()}

    def add_from_environment(self, signal: SignalName, otlp: str | bool) -> None:
        """Add the exporters that ``OTEL_TRACES_EXPORTER`` and its sisters name.

        Args:
            signal: Which signal.
            otlp: An OTLP endpoint, or whether to add OTLP even if it is not named.

        Raises:
            ConfigurationError: If one cannot be made.
        """
        variable = f"OTEL_{signal.upper()}_EXPORTER"
        group = f"opentelemetry_{signal}_exporter"
        names = list(dict.fromkeys(listed(variable)))
        targets: list[OtlpTarget] = []
        if otlp:
            targets.append(otlp_target(signal, otlp))
            names = [name for name in names if name != "otlp"]
        for name in names:
            if name in _OTLP_NAMES:
                targets.append(otlp_target(signal, protocol=_OTLP_NAMES[name]))
            else:
                self._add(load(variable, group, name), {}, self._destination(name))
        others = [name for name in names if name not in _OTLP_NAMES]
        if len(targets) == 1 and not others:
            self.otlp_targets[signal] = targets[0]
        elif targets or others:
            self.elsewhere.append(f"{signal} to {' and '.join([*(target.name for target in targets), *others])}")
        for target in targets:
            arguments = {"endpoint": target.url} if target.is_given else {}
            destination = self._destination(target.name, target.protocol)
            self._add(load(variable, group, _ENTRY_POINTS[target.protocol]), arguments, destination)

    def add_json(self, stream: TextIO) -> None:
        """Add exporters that write OTLP as JSON lines."""
        from wasmscope.exporters import _otlp_json as to

        lines = to.JsonStream(stream)
        destination = self._destination("the JSON stream")
        for exporter in (
            to.JsonSpanExporter(lines),
            to.JsonLogExporter(lines),
            to.JsonMetricExporter(lines),
        ):
            self._exporters.append((exporter, destination, _JSON_QUEUE))

    def _destination(self, name: str, protocol: str | None = None) -> Destination:
        key = (name, protocol)
        return self._destinations.setdefault(key, Destination(name, protocol))

    def _add(
        self,
        factory: Callable[..., object],
        arguments: dict[str, str],
        destination: Destination,
    ) -> None:
        try:
            made = factory(**arguments)
        except Exception as error:
            reason = f"{type(error).__name__}: {one_line(error)}"
            raise ConfigurationError(
                f"the exporter to {destination.name} cannot be made ({reason}); check the OTEL_EXPORTER_* variables"
            ) from error
        self._exporters.append((made, destination, None))

    def start(self) -> None:
        """Put exporters behind batch processors, whose threads start now.

        Raises:
            ConfigurationError: If something is no exporter.
            ValueError: If a processor's setting cannot be used.
        """
        try:
            for exporter, destination, queue in self._exporters:
                self._attach(exporter, destination, queue)
        except Exception:
            for span_processor in self.span_processors:
                span_processor.shutdown()
            for log_processor in self.log_record_processors:
                log_processor.shutdown()
            raise

    def _attach(self, made: object, destination: Destination, queue: int | None) -> None:
        log = self.failure_log
        if isinstance(made, SpanExporter):
            destination.watch("span", made, log)
            self.span_processors.append(CountedSpans(made, destination, queue))
        elif isinstance(made, LogRecordExporter):
            destination.watch("log record", made, log)
            self.log_record_processors.append(CountedLogs(made, destination, queue))
        elif isinstance(made, MetricExporter):
            destination.watch("metric point", made, log)
            self.metric_readers.append(PeriodicExportingMetricReader(made))
        elif isinstance(made, MetricReader):
            self.metric_readers.append(made)
        else:
            raise ConfigurationError(
                f"{destination.name!r} is no exporter but {type(made).__name__}; "
                "its package is perhaps for another version of OpenTelemetry"
            )
