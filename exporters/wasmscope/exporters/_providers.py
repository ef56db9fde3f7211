"""OpenTelemetry providers, set up by the environment as everywhere."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self, TextIO

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler

from wasmscope.delivery._target import SignalName
from wasmscope.errors import ConfigurationError
from wasmscope.exporters._delivery import Destination, FailureLog
from wasmscope.exporters._plugins import check_names, is_registered, listed, load, one_line
from wasmscope.exporters._recording import Recording
from wasmscope.exporters._wiring import Wiring

__all__ = ["Providers", "providers_from_environment"]

_logger = logging.getLogger("wasmscope.exporters")

_SIGNALS: Final[tuple[SignalName, ...]] = ("traces", "metrics", "logs")
_SDK_SAMPLERS: Final = frozenset(
    {
        "always_off",
        "always_on",
        "parentbased_always_off",
        "parentbased_always_on",
        "parentbased_traceidratio",
        "traceidratio",
    }
)
_POLL_S: Final = 0.01
_DOUBT_S: Final = 1.0
"""How long to wait for a destination that has only ever failed."""
_GRACE_S: Final = 0.5
"""How long threads may take to notice that delivery has been given up."""


class Providers:
    """The three providers of a program, and the account of what they delivered.

    A context manager: leaving it shuts the providers down.

    Attributes:
        tracer_provider: For spans.
        meter_provider: For metrics.
        logger_provider: For log records.
        disabled: Whether ``OTEL_SDK_DISABLED`` turned telemetry off.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider,
        meter_provider: MeterProvider,
        logger_provider: LoggerProvider,
        destinations: Sequence[Destination],
        failure_log: FailureLog,
    ) -> None:
        """Not for direct use: see `providers_from_environment`."""
        self.tracer_provider: Final = tracer_provider
        self.meter_provider: Final = meter_provider
        self.logger_provider: Final = logger_provider
        self.disabled: Final = _disabled()
        self._destinations = tuple(destinations)
        self._failure_log = failure_log
        self._closing = threading.Lock()
        if destinations:
            logging.getLogger("opentelemetry").addHandler(failure_log)

    def make_global(self) -> None:
        """Let code that asks OpenTelemetry for the global providers get these.

        Works once in a process, as OpenTelemetry has it.
        """
        trace.set_tracer_provider(self.tracer_provider)
        metrics.set_meter_provider(self.meter_provider)
        _logs.set_logger_provider(self.logger_provider)

    def shutdown(self, timeout_s: float = 3.0) -> None:
        """Deliver what is left and stop; never raises, and a second call does nothing.

        Waits until all is delivered, but no longer than the timeout, and not for a
        destination that has not taken anything yet and fails again now.

        Call it while the program runs: at the interpreter's exit, when it is too late for
        new threads, the SDK's own exit handlers deliver, without these bounds.

        Args:
            timeout_s: Seconds to wait at most.
        """
        if not self._closing.acquire(blocking=False):
            return
        for destination in self._destinations:
            destination.closing = True
        threads = [
            threading.Thread(target=_quietly, args=(stop,), daemon=True)
            for stop in (
                self.tracer_provider.shutdown,
                self.logger_provider.shutdown,
                # Longer, because after its timeout it breaks the connection itself.
                lambda: self.meter_provider.shutdown(timeout_s * 1_000 + 1_000),
            )
        ]
        for thread in threads:
            thread.start()
        started = time.monotonic()
        waiting = {
            destination: min(timeout_s, _DOUBT_S) if destination.failing else timeout_s
            for destination in self._destinations
        }
        while waiting and any(thread.is_alive() for thread in threads):
            passed = time.monotonic() - started
            for destination, patience_s in list(waiting.items()):
                if destination.failed_while_closing.is_set() or passed > patience_s:
                    del waiting[destination]
                    destination.give_up()
            time.sleep(_POLL_S)
        grace_end = time.monotonic() + _GRACE_S
        for thread in threads:
            thread.join(max(grace_end - time.monotonic(), 0))
        if not any(t.is_alive() for t in threads):
            logging.getLogger("opentelemetry").removeHandler(self._failure_log)

    def report(self) -> list[str]:
        """Say what was not delivered: a line a destination, none if all went well.

        Meant for after `shutdown`; before, what is still on its way counts as missing.
        """
        lines = (destination.report() for destination in self._destinations)
        return [line for line in lines if line is not None]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()


def _quietly(stop: Callable[[], object]) -> None:
    try:
        stop()
    except Exception as error:
        _logger.debug("shutdown: %s", error)


def providers_from_environment(
    *,
    otlp: str | bool = False,
    json_stream: TextIO | None = None,
    recording: Recording | None = None,
    service_name: str | None = None,
    span_processors: Sequence[SpanProcessor] = (),
    log_record_processors: Sequence[LogRecordProcessor] = (),
    id_generator: IdGenerator | None = None,
) -> Providers:
    """Make providers as the ``OTEL_*`` environment variables say.

    They mean what they mean for every program with OpenTelemetry's Python SDK
    (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/):
    exporters, endpoints, protocols, headers, samplers, resource and service name,
    limits, intervals, ``OTEL_SDK_DISABLED``. Without ``OTEL_TRACES_EXPORTER`` and its
    sisters nothing is exported. Exporters work in threads of their own: an unreachable
    collector delays nobody, and `Providers.report` has what got lost.

    While exporters are at work, their complaints are collected for that report, by a
    handler on the logger ``opentelemetry``. They reach the terminal only through
    handlers that the program adds; set ``propagate`` of that logger to False where
    these are not to print them.

    Args:
        otlp: An OTLP endpoint for all three signals, or True for the one that the
            environment or the specification has. Port 4318 or a path means HTTP, unless
            ``OTEL_EXPORTER_OTLP_PROTOCOL`` says otherwise.
        json_stream: Where to write OTLP as JSON lines; stays open.
        recording: What is to keep everything in memory.
        service_name: The service's name, if the environment has none.
        span_processors: More processors for spans.
        log_record_processors: More processors for log records.
        id_generator: Who makes trace and span ids, instead of the environment's choice.

    Raises:
        ConfigurationError: If an argument or a variable cannot be used.
    """
    if os.environ.get("OTEL_CONFIG_FILE"):
        _logger.warning("OTEL_CONFIG_FILE is not supported here; OTEL_* variables are")
    check_names("OTEL_PROPAGATORS", "opentelemetry_propagator", listed("OTEL_PROPAGATORS"))
    wiring = Wiring()
    with _explained():
        resource = _resource(service_name)
        tracer_provider = TracerProvider(_sampler(), resource, id_generator=id_generator or _id_generator())
        logger_provider = LoggerProvider(resource)
        if not _disabled():
            for signal in _SIGNALS:
                wiring.add_from_environment(signal, otlp)
            if json_stream is not None:
                wiring.add_json(json_stream)
        wiring.start()
        if recording is not None:
            wiring.span_processors.append(recording.span_processor)
            wiring.log_record_processors.append(recording.log_record_processor)
            wiring.metric_readers.append(recording.metric_reader)
        meter_provider = MeterProvider(wiring.metric_readers, resource)
    for span_processor in (*wiring.span_processors, *span_processors):
        tracer_provider.add_span_processor(span_processor)
    for log_processor in (*wiring.log_record_processors, *log_record_processors):
        logger_provider.add_log_record_processor(log_processor)
    return Providers(
        tracer_provider,
        meter_provider,
        logger_provider,
        wiring.destinations,
        wiring.failure_log,
    )


@contextmanager
def _explained() -> Generator[None]:
    """Turn what the SDK says about bad settings into one line."""
    try:
        yield
    except ValueError as error:
        raise ConfigurationError(
            f"OpenTelemetry cannot be set up: {one_line(error)}; check the OTEL_* variables"
        ) from error


def _disabled() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def _resource(service_name: str | None) -> Resource:
    attributes = OTELResourceDetector().detect().attributes
    if service_name is None or attributes.get("service.name"):
        return Resource.create()
    return Resource.create({"service.name": service_name})


def _sampler() -> Sampler | None:
    """Make a sampler that some package registers."""
    variable, group = "OTEL_TRACES_SAMPLER", "opentelemetry_traces_sampler"
    name = os.environ.get(variable, "").strip()
    if name.lower() in _SDK_SAMPLERS or not is_registered(group, name):
        return None  # The SDK makes the usual ones itself, and warns about unknown ones.
    sampler = load(variable, group, name)(os.environ.get(f"{variable}_ARG"))
    if not isinstance(sampler, Sampler):
        raise ConfigurationError(f"{variable}={name}: that makes no sampler")
    return sampler


def _id_generator() -> IdGenerator | None:
    variable = "OTEL_PYTHON_ID_GENERATOR"
    name = os.environ.get(variable, "").strip()
    if not name:
        return None
    generator = load(variable, "opentelemetry_id_generator", name)()
    if not isinstance(generator, IdGenerator):
        raise ConfigurationError(f"{variable}={name}: that makes no id generator")
    return generator
