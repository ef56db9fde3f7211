"""Measurements of guests with instruments of OpenTelemetry's API."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from opentelemetry.context import Context
from opentelemetry.metrics import Meter
from opentelemetry.trace import INVALID_SPAN, set_span_in_context
from opentelemetry.util.types import AnyValue

from wasmscope.delivery._losses import Losses
from wasmscope.delivery._metric_records import (
    GaugeRecord,
    Instrument,
    InstrumentKind,
    InstrumentRecord,
    MeasurementRecord,
    SetRecord,
    SumRecord,
    plain,
    read_metrics,
)

__all__ = ["Instruments", "SdkMetricSource"]

_OVERFLOW: Final = "otel.metric.overflow"
# A value is not the current span's, where it is handed on: it must not become an exemplar of it. An empty context
# would be taken for the current one.
_NO_SPAN: Final = set_span_in_context(INVALID_SPAN, Context())


class _Recorder(Protocol):
    """What instruments of all kinds do, whatever they call it."""

    def __call__(self, amount: int | float, /, attributes: Mapping[str, AnyValue], context: Context) -> None: ...


class Instruments:
    """The instruments of one module, each made once, however many instances use it. Thread-safe."""

    def __init__(self, meter: Meter, limit: int) -> None:
        """Start without any.

        Args:
            meter: Makes them.
            limit: How many there may be.
        """
        self._meter = meter
        self._limit = limit
        self._lock = threading.Lock()
        self._recorders: dict[Instrument, _Recorder] = {}

    def recorder(self, instrument: Instrument) -> _Recorder | None:
        """Find or make an instrument; None if there are too many.

        Raises:
            Exception: Whatever the application's meter raises.
        """
        with self._lock:
            recorder = self._recorders.get(instrument)
            if recorder is None and len(self._recorders) < self._limit:
                recorder = self._recorders[instrument] = self._make(instrument)
            return recorder

    def _make(self, instrument: Instrument) -> _Recorder:
        name, unit, text = instrument.name, instrument.unit, instrument.description
        match instrument.kind:
            case InstrumentKind.COUNTER:
                return self._meter.create_counter(name, unit, text).add
            case InstrumentKind.UP_DOWN_COUNTER:
                return self._meter.create_up_down_counter(name, unit, text).add
            case InstrumentKind.HISTOGRAM:
                return self._meter.create_histogram(
                    name, unit, text, explicit_bucket_boundaries_advisory=instrument.boundaries
                ).record
            case InstrumentKind.GAUGE:
                return self._meter.create_gauge(name, unit, text).set


class SdkMetricSource:
    """One guest instance's measurements on their way to the application's instruments.

    Sums are added and gauges set once for all that the guest measured since the last time; histograms get each
    measurement. There are no exemplars: which span a measurement was made in is not known here.

    Not thread-safe, as a store is not. Guarantees: no `Exception` gets out; what cannot be recorded is counted.
    """

    def __init__(
        self,
        instruments: Instruments,
        losses: Losses,
        decode: Callable[[bytes], Mapping[str, Any]],
        base: Mapping[str, Any],
    ) -> None:
        """Start without any.

        Args:
            instruments: The module's.
            losses: Counts what could not be recorded.
            decode: Decodes a packed attribute list that the collector has accepted.
            base: What the host puts on each value; wins over the guest's.
        """
        self._losses = losses
        self._decode = decode
        # What the numbers in records mean.
        self._described: dict[int, Instrument] = {}
        self._packed: dict[int, bytes | None] = {0: b""}
        self._sets: dict[int, Mapping[str, AnyValue]] = {}
        self.rename(instruments, base)

    def rename(self, instruments: Instruments, base: Mapping[str, Any]) -> None:
        """Give the module other instruments and attributes, for what comes from now on.

        Args:
            instruments: As for the constructor.
            base: Likewise.
        """
        self._instruments = instruments
        self._base = dict(base)
        self._sets.clear()

    def merge(self, data: bytes) -> None:
        """Record what the collector gave out for this instance.

        Args:
            data: Whole records (see `read_metrics`), in the order in which the collector wrote them.
        """
        try:
            for record in read_metrics(data):
                match record:
                    case InstrumentRecord():
                        self._described[record.number] = record.instrument
                    case SetRecord():
                        self._packed[record.number] = record.packed
                        self._sets.pop(record.number, None)
                    case SumRecord() | GaugeRecord() | MeasurementRecord():
                        self._record(record)
                    case _:
                        self._malformed("a histogram that is summed up already")
        except Exception as error:
            self._malformed(str(error))

    def _malformed(self, detail: str) -> None:
        self._losses.add("metrics", "malformed", 1, f"{detail}; please report it")

    def _record(self, given: SumRecord | GaugeRecord | MeasurementRecord) -> None:
        instrument = self._described.get(given.instrument)
        attributes = self._attributes(given.attribute_set)
        if instrument is None or attributes is None:
            self._malformed(f"instrument {given.instrument} or attribute set {given.attribute_set} is not known")
            return
        try:
            recorder = self._instruments.recorder(instrument)
            if recorder is None:
                self._losses.add("metrics", "instrument_count", 1, f"no room for instrument {instrument.name!r}")
            else:
                recorder(given.value, attributes, _NO_SPAN)
        except Exception as error:
            self._losses.add("metrics", "failed", 1, f"instrument {instrument.name!r} raised {error!r}")

    def _attributes(self, number: int) -> Mapping[str, AnyValue] | None:
        known = self._sets.get(number)
        if known is None and number in self._packed:
            packed = self._packed[number]
            given = {_OVERFLOW: True} if packed is None else plain(self._decode(packed))
            known = self._sets[number] = {**given, **self._base}
        return known
