"""Where a guest's signals go: the OpenTelemetry API, scoped to the module."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import _logs, metrics, propagate, trace
from opentelemetry._logs import Logger, LoggerProvider, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.metrics import Meter, MeterProvider
from opentelemetry.propagators.textmap import TextMapPropagator, default_setter
from opentelemetry.trace import Tracer, TracerProvider

from wasmscope.host_shim._descriptors import Instrument, InstrumentKind
from wasmscope.host_shim._packed import Attributes
from wasmscope.host_shim.attributes import WASM_TENANT

__all__ = [
    "SEVERITIES",
    "Inject",
    "ModuleIdentity",
    "ModuleSignals",
    "Recorder",
    "Signals",
    "inject_global",
    "inject_with",
]

Inject = Callable[[dict[str, str], Context | None], None]
"""Writes the headers of outgoing requests made in a context, or in the current one."""

SEVERITIES: Final[tuple[tuple[SeverityNumber | None, str | None], ...]] = (
    (None, None),
    *((SeverityNumber(number), SeverityNumber(number).name) for number in range(1, 25)),
)
"""Severity numbers and their texts, by value; 0 is none."""


@dataclass(frozen=True, slots=True)
class ModuleIdentity:
    """Who a guest is, as its host says.

    Attributes:
        name: Name of the module: instrumentation scope of all its signals.
        version: Version of the module, or None.
        tenant: On whose behalf the instance runs, or None.
    """

    name: str
    version: str | None = None
    tenant: str | None = None

    def attributes(self) -> Attributes:
        """Give what every record of this guest carries besides its scope."""
        return {} if self.tenant is None else {WASM_TENANT: self.tenant}


class Recorder:
    """One instrument, whatever its kind: `record` adds, records or sets."""

    __slots__ = ("is_float", "is_monotonic", "record")

    def __init__(self, meter: Meter, instrument: Instrument) -> None:
        name, unit, text = instrument.name, instrument.unit, instrument.description
        self.is_float = instrument.is_float
        self.is_monotonic = instrument.kind in {InstrumentKind.COUNTER, InstrumentKind.HISTOGRAM}
        match instrument.kind:
            case InstrumentKind.COUNTER:
                self.record = meter.create_counter(name, unit, text).add
            case InstrumentKind.UP_DOWN_COUNTER:
                self.record = meter.create_up_down_counter(name, unit, text).add
            case InstrumentKind.HISTOGRAM:
                self.record = meter.create_histogram(
                    name, unit, text, explicit_bucket_boundaries_advisory=instrument.boundaries
                ).record
            case InstrumentKind.GAUGE:
                self.record = meter.create_gauge(name, unit, text).set


class ModuleSignals:
    """Tracer, logger and instruments of one module, shared by its instances. Thread-safe."""

    def __init__(self, tracer: Tracer, meter: Meter, logger: Logger) -> None:
        self.tracer = tracer
        self.logger = logger
        self._meter = meter
        self._lock = threading.Lock()
        self._recorders: dict[Instrument, Recorder] = {}

    def recorder(self, instrument: Instrument, limit: int) -> Recorder | None:
        """Find or make an instrument; the SDK warns about one that is made twice.

        Args:
            instrument: Its description.
            limit: How many the module may have, over all its instances.

        Returns:
            The instrument, or None if the module has too many.
        """
        with self._lock:
            recorder = self._recorders.get(instrument)
            if recorder is None:
                if len(self._recorders) >= limit:
                    return None
                recorder = self._recorders[instrument] = Recorder(self._meter, instrument)
            return recorder


class Signals:
    """The providers of a bridge: given ones, or the global ones.

    Global providers are resolved late: a guest made before ``set_tracer_provider`` reports to what is set afterwards
    (OpenTelemetry's API hands out proxies until then).
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        logger_provider: LoggerProvider | None,
    ) -> None:
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._logger_provider = logger_provider
        self._lock = threading.Lock()
        self._modules: dict[tuple[str, str | None], ModuleSignals] = {}

    def tracer(self, name: str, version: str | None) -> Tracer:
        """Give a tracer for a scope."""
        return trace.get_tracer(name, version, tracer_provider=self._tracer_provider)

    def meter(self, name: str, version: str | None) -> Meter:
        """Give a meter for a scope."""
        return metrics.get_meter(name, version or "", meter_provider=self._meter_provider)

    def module(self, identity: ModuleIdentity) -> ModuleSignals:
        """Give what a module's guests report to."""
        key = (identity.name, identity.version)
        with self._lock:
            signals = self._modules.get(key)
            if signals is None:
                signals = self._modules[key] = ModuleSignals(
                    self.tracer(*key),
                    self.meter(*key),
                    _logs.get_logger(identity.name, identity.version or "", logger_provider=self._logger_provider),
                )
            return signals

    def providers(self) -> tuple[object, ...]:
        """Give the providers in use now, the global ones where none was given."""
        return (
            self._tracer_provider or trace.get_tracer_provider(),
            self._meter_provider or metrics.get_meter_provider(),
            self._logger_provider or _logs.get_logger_provider(),
        )


def inject_global(carrier: dict[str, str], context: Context | None) -> None:
    """Write headers by the global propagator."""
    # Looked up when it is used: the application may set it after it made the bridge.
    propagate.inject(carrier, context)


def inject_with(propagator: TextMapPropagator, carrier: dict[str, str], context: Context | None) -> None:
    """Write headers by a propagator."""
    # The default setter's type is for any mutable mapping, which the parameter's type does not say.
    setter: Any = default_setter
    propagator.inject(carrier, context, setter)
