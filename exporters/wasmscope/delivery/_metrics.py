"""Metrics of all guests, merged and given out as OTLP."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope, KeyValue
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

from wasmscope.delivery._any_values import key_values
from wasmscope.delivery._metric_points import DataPoint, ExponentialPoint, HistogramPoint, Message, point_of
from wasmscope.delivery._metric_records import (
    ExponentialRecord,
    GaugeRecord,
    HistogramRecord,
    Instrument,
    InstrumentKind,
    InstrumentRecord,
    MalformedMetricsError,
    MeasurementRecord,
    SetRecord,
    SumRecord,
    plain,
    read_metrics,
)

__all__ = ["MetricChunk", "MetricSource", "MetricStreams"]

# "Explicit Bucket Histogram Aggregation" in OpenTelemetry's metrics SDK specification.
_DEFAULT_BOUNDARIES: Final = (0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1e3, 2.5e3, 5e3, 7.5e3, 1e4)
_RECORDS: Final = {
    InstrumentKind.COUNTER: (SumRecord,),
    InstrumentKind.UP_DOWN_COUNTER: (SumRecord,),
    InstrumentKind.HISTOGRAM: (HistogramRecord, ExponentialRecord),
    InstrumentKind.GAUGE: (GaugeRecord,),
}
_OVERFLOW_NAME: Final = "otel.metric.overflow"
_DELTA: Final = pb.AGGREGATION_TEMPORALITY_DELTA
_CUMULATIVE: Final = pb.AGGREGATION_TEMPORALITY_CUMULATIVE


@dataclass(frozen=True, slots=True)
class _Attributes:
    """Attributes of a data point.

    Attributes:
        key: The same for the same attributes in any order; 1, 1.0 and true are different.
        values: In OTLP's form.
    """

    key: bytes
    values: tuple[KeyValue, ...]

    @classmethod
    def of(cls, attributes: Mapping[str, object]) -> _Attributes:
        values = tuple(key_values(attributes))
        ordered = pb.NumberDataPoint(attributes=sorted(values, key=lambda value: str(value.key)))
        return cls(ordered.SerializeToString(), values)


_OVERFLOW: Final = _Attributes.of({_OVERFLOW_NAME: True})


@dataclass(slots=True)
class _Held:
    """A data point, whose it is, and since when it counts."""

    attributes: _Attributes
    data: DataPoint
    since_ns: int


class _Stream:
    """One metric of a module: the data points of an instrument by their attributes."""

    __slots__ = ("boundaries", "instrument", "is_delta", "is_exponential", "points")

    def __init__(
        self, instrument: Instrument, boundaries: tuple[float, ...], like: DataPoint, prefers_delta: bool
    ) -> None:
        self.instrument = instrument
        self.boundaries = boundaries
        self.is_exponential = isinstance(like, ExponentialPoint)
        is_growing = instrument.kind in (InstrumentKind.COUNTER, InstrumentKind.HISTOGRAM)
        self.is_delta = prefers_delta and is_growing
        self.points: dict[bytes, _Held] = {}

    def absorb(self, attributes: _Attributes, data: DataPoint, since_ns: int, limit: int) -> None:
        """Add to the point with these attributes, or where there are too many, to that of all others."""
        held = self.points.get(attributes.key)
        if held is None and len(self.points) >= limit:
            attributes = _OVERFLOW
            held = self.points.get(attributes.key)
        if held is None:
            self.points[attributes.key] = _Held(attributes, data, since_ns)
        else:
            held.data.absorb(data)
            if self.is_delta:  # what was given back is older
                held.since_ns = min(held.since_ns, since_ns)

    def message(self, held: _Held, since_ns: int, now_ns: int) -> Message:
        start_ns = min(since_ns, held.since_ns, now_ns) if self.is_delta else min(held.since_ns, now_ns)
        message = held.data.message(held.attributes.values, start_ns, now_ns)
        if isinstance(message, pb.HistogramDataPoint):
            message.explicit_bounds.extend(self.boundaries)
        return message

    def metric(self, points: list[Any]) -> pb.Metric:
        instrument = self.instrument
        metric = pb.Metric(name=instrument.name.lower(), unit=instrument.unit, description=instrument.description)
        temporality = _DELTA if self.is_delta else _CUMULATIVE
        if instrument.kind is InstrumentKind.GAUGE:
            metric.gauge.data_points.extend(points)
        elif instrument.kind is not InstrumentKind.HISTOGRAM:
            metric.sum.is_monotonic = instrument.kind is InstrumentKind.COUNTER
            metric.sum.aggregation_temporality = temporality
            metric.sum.data_points.extend(points)
        elif self.is_exponential:
            metric.exponential_histogram.aggregation_temporality = temporality
            metric.exponential_histogram.data_points.extend(points)
        else:
            metric.histogram.aggregation_temporality = temporality
            metric.histogram.data_points.extend(points)
        return metric


@dataclass(slots=True)
class _Module:
    """The metrics of one instrumentation scope."""

    name: str
    version: str | None
    streams: dict[tuple[object, ...], _Stream] = field(default_factory=dict[tuple[object, ...], _Stream])


@dataclass(frozen=True, slots=True)
class MetricChunk:
    """Metrics of one module to be exported.

    Attributes:
        scope_metrics: A serialized OTLP ``ScopeMetrics``.
        points: How many data points it holds.
    """

    scope_metrics: bytes
    points: int
    _deltas: tuple[tuple[_Stream, _Held], ...] = field(repr=False)


class MetricStreams:
    """What all instances of all modules measured, by module, instrument and attributes. Thread-safe.

    As in the SDK, instruments of a module are the same if name (in lower case), kind, unit and description are; a
    histogram's boundaries have to be the same, too, since counts in other buckets cannot be added. Of a gauge that
    several instances set, the value that is merged last holds.

    A data point's time is that of the collection; it starts, if it is a delta, at the collection before, else at the
    last collection before its first value.
    """

    def __init__(
        self,
        started_ns: int,
        *,
        prefers_delta: bool = False,
        instruments: int = 1_000,
        attribute_sets: int = 2_000,
        chunk_bytes: int = 1_048_576,
    ) -> None:
        """Start without any.

        Args:
            started_ns: When, in ns since 1970; no value is older.
            prefers_delta: Whether counters and histograms are given out as deltas.
            instruments: How many a module may have; values of further ones are dropped.
            attribute_sets: With how many an instrument is kept apart; beyond, ``otel.metric.overflow`` stands for all.
            chunk_bytes: Size from which on a chunk is ended.
        """
        self._since_ns = started_ns
        self._prefers_delta = prefers_delta
        self._instruments = instruments
        self._attribute_sets = attribute_sets
        self._chunk_bytes = chunk_bytes
        self._lock = threading.Lock()
        self._modules: dict[tuple[str, str | None], _Module] = {}
        self._dropped = 0

    @property
    def dropped(self) -> int:
        """How many records were dropped, because their module has too many instruments."""
        return self._dropped

    def collect(self, now_ns: int) -> list[MetricChunk]:
        """Give out all metrics.

        A chunk that could not be exported is to be given to `give_back` before the next collection, so that the next
        delta covers its time, too.

        Args:
            now_ns: The time, in ns since 1970.
        """
        with self._lock:
            since_ns, self._since_ns = self._since_ns, now_ns
            modules = [(module, list(module.streams.values())) for module in self._modules.values()]
        return [
            chunk for module, streams in modules for chunk in self._module_chunks(module, streams, since_ns, now_ns)
        ]

    def give_back(self, chunk: MetricChunk) -> None:
        """Take back what could not be exported; only deltas need it, and what is cumulative is kept anyway."""
        with self._lock:
            for stream, held in chunk._deltas:
                stream.absorb(held.attributes, held.data, held.since_ns, self._attribute_sets)

    def _module_chunks(
        self, module: _Module, streams: list[_Stream], since_ns: int, now_ns: int
    ) -> Iterator[MetricChunk]:
        metrics: list[pb.Metric] = []
        deltas: list[tuple[_Stream, _Held]] = []
        size = count = 0

        def chunk() -> MetricChunk:
            scope = InstrumentationScope(name=module.name, version=module.version or "")
            data = pb.ScopeMetrics(scope=scope, metrics=metrics).SerializeToString()
            return MetricChunk(data, count, tuple(deltas))

        for stream in streams:
            with self._lock:
                taken = list(stream.points.values())
                if stream.is_delta:
                    stream.points = {}
                messages = [stream.message(held, since_ns, now_ns) for held in taken]
            points: list[Any] = []
            for held, message in zip(taken, messages, strict=True):
                points.append(message)
                count += 1
                size += message.ByteSize()
                if stream.is_delta:
                    deltas.append((stream, held))
                if size >= self._chunk_bytes:
                    metrics.append(stream.metric(points))
                    yield chunk()
                    metrics, deltas, points = [], [], []
                    size = count = 0
            if points:
                metrics.append(stream.metric(points))
        if metrics:
            yield chunk()

    def _merge(self, module: tuple[str, str | None], values: list[tuple[Instrument, _Attributes, DataPoint]]) -> None:
        """Add values of an instance."""
        with self._lock:
            into = self._modules.setdefault(module, _Module(*module))
            for instrument, attributes, data in values:
                stream = self._stream(into, instrument, data)
                if stream is None:
                    self._dropped += 1
                else:
                    stream.absorb(attributes, data, self._since_ns, self._attribute_sets)

    def _stream(self, module: _Module, instrument: Instrument, data: DataPoint) -> _Stream | None:
        boundaries = _boundaries(instrument) if isinstance(data, HistogramPoint) else ()
        key = (
            instrument.name.lower(),
            instrument.kind,
            instrument.unit,
            instrument.description,
            type(data),
            boundaries,
        )
        stream = module.streams.get(key)
        if stream is None and len(module.streams) < self._instruments:
            stream = module.streams[key] = _Stream(instrument, boundaries, data, self._prefers_delta)
        return stream


class MetricSource:
    """One guest instance's measurements on their way to what all instances measured.

    Not thread-safe, as a store is not.
    """

    def __init__(
        self,
        streams: MetricStreams,
        decode: Callable[[bytes], Mapping[str, object]],
        *,
        name: str,
        version: str | None = None,
        base: Mapping[str, object] | None = None,
    ) -> None:
        """Start without any.

        Args:
            streams: Where they go.
            decode: Decodes a packed attribute list that the collector has accepted.
            name: The module's name: the instrumentation scope.
            version: The module's version, or None.
            base: What the host puts on each data point; wins over the guest's.
        """
        self._streams = streams
        self._decode = decode
        self._packed: dict[int, bytes | None] = {0: b""}
        self._instruments: dict[int, Instrument] = {}
        self._sets: dict[int, _Attributes] = {}
        self.rename(name, version, base)

    def rename(self, name: str, version: str | None = None, base: Mapping[str, object] | None = None) -> None:
        """Give the module another name and other attributes, for what is merged from now on."""
        self._module = (_unicode(name), None if version is None else _unicode(version))
        self._base = {key: _unicode(value) if isinstance(value, str) else value for key, value in (base or {}).items()}
        self._sets.clear()

    def merge(self, data: bytes) -> None:
        """Add what the collector gave out for this instance.

        Args:
            data: Whole records (see `read_metrics`), in the order in which the collector wrote them.

        Raises:
            MalformedMetricsError: If they are no such records, or refer to what was not defined; no value was added.
        """
        values: list[tuple[Instrument, _Attributes, DataPoint]] = []
        for record in read_metrics(data):
            match record:
                case InstrumentRecord():
                    self._instruments[record.number] = record.instrument
                case SetRecord():
                    self._packed[record.number] = record.packed
                    self._sets.pop(record.number, None)
                case MeasurementRecord():
                    raise MalformedMetricsError("a single measurement is not for merging")
                case _:
                    instrument = self._instruments.get(record.instrument)
                    if instrument is None:
                        raise MalformedMetricsError(f"instrument {record.instrument} was not defined")
                    if type(record) not in _RECORDS[instrument.kind]:
                        raise MalformedMetricsError(f"{type(record).__name__} of a {instrument.kind.name}")
                    point = point_of(record)
                    if isinstance(point, HistogramPoint) and len(point.buckets) != len(_boundaries(instrument)) + 1:
                        raise MalformedMetricsError(f"{len(point.buckets)} buckets for {instrument.name!r}")
                    values.append((instrument, self._attributes(record.attribute_set), point))
        self._streams._merge(self._module, values)

    def _attributes(self, number: int) -> _Attributes:
        known = self._sets.get(number)
        if known is None:
            try:
                packed = self._packed[number]
            except KeyError:
                raise MalformedMetricsError(f"attribute set {number} was not defined") from None
            given = {_OVERFLOW_NAME: True} if packed is None else plain(self._decode(packed))
            known = self._sets[number] = _Attributes.of({**given, **self._base})
        return known


def _boundaries(instrument: Instrument) -> tuple[float, ...]:
    return instrument.boundaries or _DEFAULT_BOUNDARIES


def _unicode(text: str) -> str:
    """Replace lone surrogates, which a file's name can have: protobuf refuses the whole collection for one."""
    return text.encode(errors="replace").decode()
