"""OpenTelemetry providers, set up by the environment as everywhere."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Final, Self, TextIO

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Sampler

from wasmscope.delivery import OtlpSender, SignalName
from wasmscope.errors import ConfigurationError
from wasmscope.exporters._delivery import Destination, FailureLog
from wasmscope.exporters._plugins import check_names, is_registered, listed, load, one_line
from wasmscope.exporters._recording import Recording
from wasmscope.exporters._sender_account import SenderAccount
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
_LOGGERS: Final = ("opentelemetry", "wasmscope.delivery")
"""Who complains of deliveries."""
_LIMIT: Final = re.compile(r"OTEL_\w+_LIMIT")
_CREDENTIALS: Final = re.compile(r"OTEL_PYTHON_EXPORTER_OTLP_\w*CREDENTIAL_PROVIDER")
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
        otlp_obstacle: Why telemetry that is OTLP already cannot go straight to the endpoint; None if it can.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider,
        meter_provider: MeterProvider,
        logger_provider: LoggerProvider,
        destinations: Sequence[Destination],
        failure_log: FailureLog,
        *,
        otlp_obstacle: str | None = None,
        make_sender: Callable[[], OtlpSender] | None = None,
    ) -> None:
        """Not for direct use: see `providers_from_environment`."""
        self.tracer_provider: Final = tracer_provider
        self.meter_provider: Final = meter_provider
        self.logger_provider: Final = logger_provider
        self.disabled: Final = _disabled()
        self.otlp_obstacle: Final = otlp_obstacle
        self._make_sender = make_sender
        self._sender: OtlpSender | None = None
        self._sender_lock = threading.Lock()
        self._destinations = tuple(destinations)
        self._failure_log = failure_log
        self._closing = threading.Lock()
        if destinations:
            for name in _LOGGERS:
                logging.getLogger(name).addHandler(failure_log)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_forked(weakref.ref(self)))

    def make_global(self) -> None:
        """Let code that asks OpenTelemetry for the global providers get these.

        Works once in a process, as OpenTelemetry has it.
        """
        trace.set_tracer_provider(self.tracer_provider)
        metrics.set_meter_provider(self.meter_provider)
        _logs.set_logger_provider(self.logger_provider)

    def otlp_sender(self) -> OtlpSender | None:
        """Give the sender that takes telemetry which is OTLP already straight to the endpoint.

        There is one if the environment's OTLP exporters, or none, are all that gets telemetry from these providers, and
        no setting asks for what only the SDK can do; `otlp_obstacle` says what does. Processors that are added to the
        providers later do not see what goes this way.

        The sender is made with the first call, and shut down with the providers, whose report covers it.

        Returns:
            The sender; None if there is an obstacle, or after `shutdown` began without one.

        Raises:
            ConfigurationError: If a setting of the sender alone cannot be used.
        """
        with self._sender_lock:
            if self._sender is None and self._make_sender is not None:
                self._sender = self._make_sender()
            return self._sender

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
        stops: list[Callable[[], object]] = [
            self.tracer_provider.shutdown,
            self.logger_provider.shutdown,
            # Longer, because after its timeout it breaks the connection itself.
            lambda: self.meter_provider.shutdown(timeout_s * 1_000 + 1_000),
        ]
        with self._sender_lock:
            sender, self._make_sender = self._sender, None
        if sender is not None:
            stops.append(lambda: sender.shutdown(timeout_s))
        threads = [threading.Thread(target=_quietly, args=(stop,), daemon=True) for stop in stops]
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
            for name in _LOGGERS:
                logging.getLogger(name).removeHandler(self._failure_log)

    def report(self) -> list[str]:
        """Say what was not delivered: a line a destination, none if all went well.

        Meant for after `shutdown`; before, what is still on its way counts as missing.
        """
        lines = (destination.report() for destination in self._destinations)
        return [line for line in lines if line is not None]

    def _restart(self) -> None:
        """Begin anew in a child process."""
        self._sender_lock = threading.Lock()
        for destination in self._destinations:
            destination.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()


def _forked(providers: weakref.ref[Providers]) -> Callable[[], None]:
    """Make the function that runs in a child process; it does not keep the providers alive."""

    def restart() -> None:
        known = providers()
        if known is not None:
            known._restart()

    return restart


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
    obstacle = _otlp_obstacle(
        wiring,
        listeners={
            "a recording": recording is not None,
            "a JSON stream": json_stream is not None,
            "processors": bool(span_processors or log_record_processors),
        },
        has_own_ids=id_generator is not None,
    )
    return Providers(
        tracer_provider,
        meter_provider,
        logger_provider,
        wiring.destinations,
        wiring.failure_log,
        otlp_obstacle=obstacle,
        make_sender=None if obstacle else lambda: _sender(wiring, resource),
    )


def _otlp_obstacle(wiring: Wiring, listeners: dict[str, bool], *, has_own_ids: bool) -> str | None:
    """Say what speaks against sending OTLP past the SDK."""
    if _disabled():
        return "OTEL_SDK_DISABLED is set"
    for listener, is_there in listeners.items():
        if is_there:
            return f"{listener} is to get it, too"
    if wiring.elsewhere:
        return f"the environment sends {', '.join(wiring.elsewhere)}"
    if not wiring.otlp_targets:
        return "the environment names no OTLP exporter"
    if has_own_ids or os.environ.get("OTEL_PYTHON_ID_GENERATOR", "").strip() not in {"", "random"}:
        return "ids are to come from an id generator"
    for name, value in os.environ.items():
        if value.strip() and (_LIMIT.fullmatch(name) or _CREDENTIALS.fullmatch(name)):
            return f"{name} is set"
    return None


def _sender(wiring: Wiring, resource: Resource) -> OtlpSender:
    destinations = wiring.otlp_destinations
    sender = OtlpSender.from_environment(
        resource=resource, targets=wiring.otlp_targets, listener=SenderAccount(destinations)
    )
    for signal, destination in destinations.items():
        destination.stop_with(partial(sender.give_up, signal))
    return sender


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
