"""Metrics of many instances merged, against the OpenTelemetry SDK and its OTLP encoder."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from tests.support import packing
from tests.support.metering import COUNTER, EXPONENTIAL, F64, GAUGE, HISTOGRAM, I64, UP_DOWN, Metering
from wasmscope.delivery import (
    MalformedMetricsError,
    MetricChunk,
    MetricSource,
    MetricStreams,
    prefers_delta,
    prefers_exponential,
)

TEMPORALITY = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
AGGREGATION = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
CUMULATIVE, DELTA = pb.AGGREGATION_TEMPORALITY_CUMULATIVE, pb.AGGREGATION_TEMPORALITY_DELTA


def decode(packed: bytes) -> Mapping[str, Any]:
    return packing.decode(packed).attributes


def source(streams: MetricStreams, name: str = "m", version: str | None = None, **base: object) -> MetricSource:
    return MetricSource(streams, decode, name=name, version=version, base=base)


# Records by hand.

TIMES = struct.pack("<QQ", 0, 0)


def instrument(number: int, kind: int, name: str, *, is_float: bool = False, **options: Any) -> bytes:
    data = packing.instrument(name, **options)
    return struct.pack("<BIBBI", 1, number, kind, is_float, len(data)) + data


def attribute_set(number: int, items: Mapping[str, Any]) -> bytes:
    data = packing.attributes(items)
    return struct.pack("<BII", 2, number, len(data)) + data


def added(number: int, value: int, of: int = 0) -> bytes:
    return struct.pack("<BIIq", 3, number, of, value) + TIMES


def was_set(number: int, value: float, of: int = 0) -> bytes:
    return struct.pack("<BIId", 6, number, of, value) + TIMES


def recorded(number: int, value: float, buckets: Sequence[int], of: int = 0) -> bytes:
    count = sum(buckets)
    head = struct.pack("<BIIQdddI", 7, number, of, count, value * count, value, value, len(buckets))
    return head + struct.pack(f"<{len(buckets)}Q", *buckets) + TIMES


def scaled(number: int, scale: int, offset: int, buckets: Sequence[int], zeros: int = 0) -> bytes:
    count = sum(buckets) + zeros
    head = struct.pack("<BIIQdddiQiI", 8, number, 0, count, 1.0, 0.0, 1.0, scale, zeros, offset, len(buckets))
    return head + struct.pack(f"<{len(buckets)}Q", *buckets) + TIMES


# What comes out.


def scopes(chunks: Iterable[MetricChunk]) -> list[pb.ScopeMetrics]:
    return [pb.ScopeMetrics.FromString(chunk.scope_metrics) for chunk in chunks]


def metrics(chunks: Iterable[MetricChunk]) -> list[pb.Metric]:
    return [metric for scope in scopes(chunks) for metric in scope.metrics]


def points_of(metric: pb.Metric) -> list[Any]:
    kind: Any = metric.WhichOneof("data")
    return list(getattr(metric, kind).data_points)


def only(chunks: Iterable[MetricChunk]) -> Any:
    (point,) = [point for metric in metrics(chunks) for point in points_of(metric)]
    return point


def times(point: Any) -> tuple[int, int]:
    return point.start_time_unix_nano, point.time_unix_nano


class TestTemporality:
    def test_cumulative(self) -> None:
        """A cumulative point keeps its start and grows, also while nothing is measured."""
        streams = MetricStreams(100)
        one = source(streams)
        one.merge(instrument(1, COUNTER, "c") + added(1, 5))

        first = streams.collect(200)
        assert (only(first).as_int, times(only(first))) == (5, (100, 200))
        one.merge(added(1, 7))
        second = streams.collect(300)
        assert (only(second).as_int, times(only(second))) == (12, (100, 300))
        assert metrics(second)[0].sum.aggregation_temporality == CUMULATIVE
        assert metrics(second)[0].sum.is_monotonic
        assert times(only(streams.collect(400))) == (100, 400)

    def test_cumulative_starts_with_its_attributes(self) -> None:
        """The points of a metric start each when its attributes came: after the last collection without it."""
        streams = MetricStreams(100)
        one = source(streams)
        one.merge(instrument(1, UP_DOWN, "u") + added(1, 5))
        streams.collect(200)
        one.merge(attribute_set(1, {"a": 1}) + added(1, -1, of=1))

        (metric,) = metrics(streams.collect(300))
        assert [(point.as_int, times(point)) for point in metric.sum.data_points] == [
            (5, (100, 300)),
            (-1, (200, 300)),
        ]
        assert not metric.sum.is_monotonic

    def test_delta(self) -> None:
        """A delta reaches from one collection to the next, and is there only if something was measured."""
        streams = MetricStreams(100, prefers_delta=True)
        one = source(streams)
        one.merge(instrument(1, COUNTER, "c") + added(1, 5))

        first = streams.collect(200)
        assert (only(first).as_int, times(only(first))) == (5, (100, 200))
        assert metrics(first)[0].sum.aggregation_temporality == DELTA
        assert streams.collect(300) == []
        one.merge(added(1, 7) + added(1, 1))
        third = streams.collect(400)
        assert (only(third).as_int, times(only(third))) == (8, (300, 400))

    def test_delta_does_not_reach_all(self) -> None:
        """Where deltas are preferred, up-down counters are cumulative and gauges are there each time."""
        streams = MetricStreams(100, prefers_delta=True)
        one = source(streams)
        one.merge(instrument(1, UP_DOWN, "u") + added(1, 5))
        one.merge(instrument(2, GAUGE, "g", is_float=True) + was_set(2, 1.5))

        streams.collect(200)
        one.merge(added(1, -2))
        up_down, gauge = metrics(streams.collect(300))

        assert up_down.sum.aggregation_temporality == CUMULATIVE
        assert [(point.as_int, times(point)) for point in up_down.sum.data_points] == [(3, (100, 300))]
        assert [(point.as_double, times(point)) for point in gauge.gauge.data_points] == [(1.5, (0, 300))]

    def test_clock_goes_back(self) -> None:
        """A point never starts after its time."""
        streams = MetricStreams(100, prefers_delta=True)
        source(streams).merge(instrument(1, COUNTER, "c") + added(1, 5))

        assert times(only(streams.collect(50))) == (50, 50)


class TestGivingBack:
    def test_delta(self) -> None:
        """What could not be exported is in the next delta, which then starts where it did."""
        streams = MetricStreams(100, prefers_delta=True)
        one = source(streams)
        definitions = instrument(1, COUNTER, "c") + instrument(2, HISTOGRAM, "h", boundaries=[1.0])
        one.merge(definitions + added(1, 5) + recorded(2, 0.5, [2, 0]))

        for chunk in streams.collect(200):
            streams.give_back(chunk)
        one.merge(added(1, 7) + recorded(2, 9.0, [0, 1]))
        counter, histogram = metrics(streams.collect(300))

        assert [(p.as_int, times(p)) for p in counter.sum.data_points] == [(12, (100, 300))]
        (point,) = histogram.histogram.data_points
        assert (list(point.bucket_counts), point.count, point.sum, point.min, point.max) == ([2, 1], 3, 10.0, 0.5, 9.0)
        assert times(point) == (100, 300)
        one.merge(added(1, 1))
        last = only(streams.collect(400))
        assert (last.as_int, times(last)) == (1, (300, 400))

    def test_cumulative(self) -> None:
        """What is cumulative is not counted twice."""
        streams = MetricStreams(100)
        one = source(streams)
        one.merge(instrument(1, COUNTER, "c") + added(1, 5))

        for chunk in streams.collect(200):
            streams.give_back(chunk)
        last = only(streams.collect(300))
        assert (last.as_int, times(last)) == (5, (100, 300))

    def test_some_chunks(self) -> None:
        """Each chunk can be given back alone."""
        streams = MetricStreams(100, prefers_delta=True, chunk_bytes=1)
        one = source(streams)
        one.merge(instrument(1, COUNTER, "a") + instrument(2, COUNTER, "b") + added(1, 5) + added(2, 6))

        lost, sent = streams.collect(200)
        streams.give_back(lost)

        assert [metric.name for metric in metrics([lost, sent])] == ["a", "b"]
        (again,) = streams.collect(300)
        assert (metrics([again])[0].name, only([again]).as_int) == ("a", 5)

    def test_others_do_not_overlap(self) -> None:
        """A delta does not start before the one that was exported ends, even if another chunk was given back."""
        streams = MetricStreams(100, prefers_delta=True, chunk_bytes=1)
        one = source(streams)
        one.merge(instrument(1, COUNTER, "a") + instrument(2, COUNTER, "b") + added(1, 5) + added(2, 6))
        lost, _ = streams.collect(200)
        one.merge(added(2, 1))
        streams.give_back(lost)
        one.merge(added(1, 1))

        again, later = streams.collect(300)
        assert (only([again]).as_int, times(only([again]))) == (6, (100, 300))
        assert (only([later]).as_int, times(only([later]))) == (1, (200, 300))


class TestIdentity:
    def test_instances_share(self) -> None:
        """Instances of a module add up where instrument and attributes are the same, in any order and numbering."""
        streams = MetricStreams(0)
        one, two = source(streams), source(streams)
        one.merge(instrument(1, COUNTER, "C", unit="By") + attribute_set(1, {"a": 1, "b": "x"}) + added(1, 1, of=1))
        two.merge(instrument(7, COUNTER, "c", unit="By") + attribute_set(9, {"b": "x", "a": 1}) + added(7, 2, of=9))

        (metric,) = metrics(streams.collect(1))
        assert (metric.name, metric.unit) == ("c", "By")
        assert [point.as_int for point in metric.sum.data_points] == [3]

    def test_attributes_of_other_types(self) -> None:
        """1, 1.0, true and "1" are different attributes."""
        streams = MetricStreams(0)
        one = source(streams)
        values: list[Any] = [1, 1.0, True, "1", [1], [True], []]
        sets = b"".join(attribute_set(n, {"a": value}) + added(1, n, of=n) for n, value in enumerate(values, 1))
        one.merge(instrument(1, COUNTER, "c") + sets)

        (metric,) = metrics(streams.collect(1))
        assert [point.as_int for point in metric.sum.data_points] == [1, 2, 3, 4, 5, 6, 7]

    def test_modules_and_tenants(self) -> None:
        """Each module has its scope, each tenant its points; the host's attributes win."""
        streams = MetricStreams(0)
        data = instrument(1, COUNTER, "c") + attribute_set(1, {"t": "forged", "a": 1}) + added(1, 1, of=1) + added(1, 2)
        for given_source in (
            source(streams, "m"),
            source(streams, "m", "2.0"),
            source(streams, "m", t="acme"),
            source(streams, "n"),
        ):
            given_source.merge(data)

        found = {
            (scope.scope.name, scope.scope.version): [
                ({pair.key: pair.value.string_value or pair.value.int_value for pair in p.attributes}, p.as_int)
                for p in scope.metrics[0].sum.data_points
            ]
            for scope in scopes(streams.collect(1))
        }
        forged: list[tuple[Mapping[str, Any], int]] = [({"t": "forged", "a": 1}, 1), ({}, 2)]
        assert found == {
            ("m", ""): [*forged, ({"t": "acme", "a": 1}, 1), ({"t": "acme"}, 2)],
            ("m", "2.0"): forged,
            ("n", ""): forged,
        }

    def test_names_that_are_no_utf8(self) -> None:
        """A name with a lone surrogate, as a file's can be, costs neither its module's metrics nor the others'."""
        streams = MetricStreams(100)
        for name in ("caf\udce9", "other"):
            one = source(streams, name, "1\udce9", tenant="t\udce9")
            one.merge(instrument(1, COUNTER, "c") + added(1, 5))

        found = scopes(streams.collect(200))
        assert [(one.scope.name, one.scope.version) for one in found] == [("caf?", "1?"), ("other", "1?")]
        point = found[0].metrics[0].sum.data_points[0]
        assert (point.as_int, point.attributes[0].value.string_value) == (5, "t?")

    def test_rename(self) -> None:
        """A source that gets another name keeps what was defined, and adds to that name from then on."""
        streams = MetricStreams(0)
        one = source(streams, "early")
        one.merge(instrument(1, COUNTER, "c") + attribute_set(1, {"a": 1}) + added(1, 1, of=1))
        one.rename("late", "1.0", {"t": "acme"})
        one.merge(added(1, 2, of=1))

        early, late = scopes(streams.collect(1))
        assert (early.scope.name, late.scope.name, late.scope.version) == ("early", "late", "1.0")
        assert [pair.key for pair in late.metrics[0].sum.data_points[0].attributes] == ["a", "t"]

    def test_boundaries(self) -> None:
        """Histograms with other boundaries are metrics of their own; those of a counter mean nothing."""
        streams = MetricStreams(0)
        one = source(streams)
        one.merge(
            instrument(1, HISTOGRAM, "h", boundaries=[1.0])
            + instrument(2, HISTOGRAM, "h")
            + instrument(3, COUNTER, "c", boundaries=[1.0])
            + instrument(4, COUNTER, "c")
            + recorded(1, 0.5, [1, 0])
            + recorded(2, 0.5, [0, 1] + [0] * 14)
            + added(3, 1)
            + added(4, 2)
        )

        own, default, counter = metrics(streams.collect(1))
        assert list(own.histogram.data_points[0].explicit_bounds) == [1.0]
        assert len(default.histogram.data_points[0].explicit_bounds) == 15
        assert [point.as_int for point in counter.sum.data_points] == [3]


class TestArithmetic:
    def test_beyond_i64(self) -> None:
        """A sum that OTLP's integers cannot hold is given as a double, and exact again when it can."""
        streams = MetricStreams(0)
        one = source(streams)
        one.merge(instrument(1, UP_DOWN, "u") + added(1, 2**63 - 1))
        assert only(streams.collect(1)).as_int == 2**63 - 1
        one.merge(added(1, 2))
        assert only(streams.collect(2)).as_double == 2.0**63
        one.merge(struct.pack("<BIIQq", 11, 1, 0, 0, -1) + TIMES)
        assert only(streams.collect(3)).as_int == 2**63 + 1 - 2**64

    def test_scales_meet(self) -> None:
        """Exponential histograms of two scales meet at the lower: bucket i goes to i // 2^difference."""
        streams = MetricStreams(0)
        one = source(streams)
        one.merge(instrument(1, HISTOGRAM, "h", is_float=True) + scaled(1, 2, -3, [1, 2, 3, 4], zeros=1))
        one.merge(scaled(1, 0, 1, [10, 20]))

        # At scale 0, -3, -2 and -1 are -1 (divided by 4), and 0 is 0; the others are where they were.
        point = only(streams.collect(1))
        assert (point.scale, point.zero_count, point.count) == (0, 1, 41)
        assert (point.positive.offset, list(point.positive.bucket_counts)) == (-1, [6, 4, 10, 20])

    def test_scale_is_lowered(self) -> None:
        """If two do not fit into 160 buckets, the scale is lowered until they do."""
        streams = MetricStreams(0)
        one = source(streams)
        one.merge(instrument(1, HISTOGRAM, "h", is_float=True) + scaled(1, 20, 0, [5]))
        one.merge(scaled(1, 20, 160, [7]))

        point = only(streams.collect(1))
        assert (point.scale, point.positive.offset) == (19, 0)
        assert list(point.positive.bucket_counts) == [5] + [0] * 79 + [7]

    def test_zeros_alone(self) -> None:
        """Zeros take no bucket and leave the scale alone."""
        streams = MetricStreams(0)
        one = source(streams)
        one.merge(instrument(1, HISTOGRAM, "h", is_float=True) + scaled(1, 20, 0, [], zeros=2))
        point = only(streams.collect(1))
        assert (point.zero_count, point.count, point.scale, point.HasField("positive")) == (2, 2, 0, False)
        one.merge(scaled(1, 5, 9, [3]))
        one.merge(scaled(1, 20, 0, [], zeros=1))
        point = only(streams.collect(2))
        assert (point.scale, point.zero_count, point.positive.offset) == (5, 3, 9)


class TestLimits:
    def test_attribute_sets(self) -> None:
        """Beyond the limit, one point stands for all others, known ones still apart; for deltas, it begins anew."""
        streams = MetricStreams(0, prefers_delta=True, attribute_sets=3)
        sources = [source(streams) for _ in range(5)]
        for number, one in enumerate(sources):
            one.merge(instrument(1, COUNTER, "c") + attribute_set(1, {"n": number}) + added(1, 10**number, of=1))
        sources[1].merge(added(1, 10, of=1))

        (metric,) = metrics(streams.collect(1))
        found = {
            pair.key: point.as_int for point in metric.sum.data_points for pair in point.attributes if pair.key != "n"
        }
        assert [point.as_int for point in metric.sum.data_points] == [1, 20, 100, 11_000]
        assert found == {"otel.metric.overflow": 11_000}
        sources[4].merge(added(1, 1, of=1))
        assert [pair.value.int_value for pair in only(streams.collect(2)).attributes] == [4]

    def test_instruments(self) -> None:
        """Instruments beyond the limit are dropped and counted, in each module for itself."""
        streams = MetricStreams(0, instruments=2)
        data = b"".join(instrument(n, COUNTER, f"c{n}") + added(n, n) for n in (1, 2, 3))
        source(streams, "m").merge(data)
        source(streams, "m").merge(data)
        source(streams, "n").merge(data)

        assert [metric.name for metric in metrics(streams.collect(1))] == ["c1", "c2"] * 2
        assert streams.dropped == 3

    def test_chunks(self) -> None:
        """What is large comes in chunks, in which nothing is twice and nothing missing."""
        streams = MetricStreams(0, chunk_bytes=1_000)
        one = source(streams)
        for number in range(1, 201):
            definition = instrument(number % 3 + 1, COUNTER, f"c{number % 3}")
            one.merge(definition + attribute_set(number, {"n": number}) + added(number % 3 + 1, number, of=number))

        chunks = streams.collect(1)
        assert all(len(chunk.scope_metrics) < 1_500 for chunk in chunks)
        assert len(chunks) > 5
        found = sorted(point.as_int for metric in metrics(chunks) for point in points_of(metric))
        assert found == list(range(1, 201))
        assert [chunk.points for chunk in chunks] == [
            sum(len(points_of(metric)) for metric in metrics([chunk])) for chunk in chunks
        ]


class TestMalformed:
    @pytest.mark.parametrize(
        "data",
        [
            added(2, 1),
            added(1, 1, of=1),
            was_set(1, 1.0),
            recorded(1, 1.0, [1]),
            instrument(2, HISTOGRAM, "h") + recorded(2, 1.0, [1, 2]),
            struct.pack("<BIIq", 9, 1, 0, 1) + TIMES,
            b"\xff",
        ],
    )
    def test_nothing_is_added(self, data: bytes) -> None:
        """What cannot be right is refused as a whole, and what comes after is taken."""
        streams = MetricStreams(0)
        one = source(streams)
        one.merge(instrument(1, COUNTER, "c"))

        with pytest.raises(MalformedMetricsError):
            one.merge(added(1, 5) + data)
        one.merge(added(1, 2))

        assert only(streams.collect(1)).as_int == 2

    def test_unusable_attributes(self) -> None:
        """What the collector counted as no attribute of a measurement is left out."""
        streams = MetricStreams(0)
        items: Mapping[str, Any] = {"none": None, "bytes": b"x", "map": {"k": 1}, "mixed": [1, "a"], "kept": ["a", "b"]}
        source(streams).merge(instrument(1, COUNTER, "c") + attribute_set(1, items) + added(1, 1, of=1))

        (pair,) = only(streams.collect(1)).attributes
        assert (pair.key, [value.string_value for value in pair.value.array_value.values]) == ("kept", ["a", "b"])


class TestThreads:
    @pytest.mark.parametrize("delta", [False, True])
    def test_nothing_is_lost(self, delta: bool) -> None:
        """Instances that merge in several threads, while another collects and gives back, add up."""
        streams = MetricStreams(0, prefers_delta=delta)
        total = 0

        def run() -> None:
            one = source(streams)
            one.merge(instrument(1, COUNTER, "c"))
            for _ in range(500):
                one.merge(added(1, 1))

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for turn in range(1, 200):
            for chunk in streams.collect(turn):
                if turn % 2:
                    streams.give_back(chunk)
                else:
                    total += only([chunk]).as_int
        for thread in threads:
            thread.join()
        last = streams.collect(1_000)
        if delta:
            total += sum(only([chunk]).as_int for chunk in last)
        else:
            total = only(last).as_int

        assert total == 2_000


# The same measurements, given to the SDK and to collectors.

KINDS = (COUNTER, UP_DOWN, HISTOGRAM, GAUGE)
INSTRUMENTS: list[tuple[int, int, dict[str, Any]]] = [
    *((kind, number, {"name": f"n{kind}{number}", "unit": "s"}) for kind in KINDS for number in (I64, F64)),
    (HISTOGRAM, F64, {"name": "own", "boundaries": [-1.0, 10.0, 1e6]}),
    # The same name as another kind, unit or description, which are metrics of their own, and with other letters.
    (UP_DOWN, I64, {"name": "n10", "unit": "s"}),
    (COUNTER, I64, {"name": "n10"}),
    (COUNTER, I64, {"name": "n10", "unit": "s", "description": "other"}),
    (COUNTER, F64, {"name": "N10", "unit": "s"}),
]
SETS: list[dict[str, Any]] = [{}, {"a": 1}, {"a": True, "b": ("x", "y")}, {"b": ("x", "y"), "a": True}, {"a": 1.0}]
INSTANCES: list[dict[str, Any]] = [{}, {}, {"wasm.tenant": "acme"}]


class Sdk:
    """The SDK, configured as its OTLP exporter is by the environment."""

    def __init__(self) -> None:
        exporter: Any = OTLPMetricExporter()
        self.reader = InMemoryMetricReader(
            preferred_temporality=exporter._preferred_temporality,
            preferred_aggregation=exporter._preferred_aggregation,
        )
        exporter.shutdown()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)
        meter = self.provider.get_meter("m", "1.0")
        self.record: list[Any] = []
        for kind, _, described in INSTRUMENTS:
            words = {name: described.get(name, "") for name in ("name", "unit", "description")}
            match kind:
                case 1:
                    self.record.append(meter.create_counter(**words).add)
                case 2:
                    self.record.append(meter.create_up_down_counter(**words).add)
                case 3:
                    advice = described.get("boundaries")
                    histogram = meter.create_histogram(**words, explicit_bucket_boundaries_advisory=advice)
                    self.record.append(histogram.record)
                case _:
                    self.record.append(meter.create_gauge(**words).set)

    def collect(self) -> list[pb.ScopeMetrics]:
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        return [scope for resource in encode_metrics(data).resource_metrics for scope in resource.scope_metrics]


class Collectors:
    """Three instances of one module."""

    def __init__(self, *, delta: bool, exponential: bool) -> None:
        self.streams = MetricStreams(0, prefers_delta=delta)
        self.instances: list[tuple[Metering, MetricSource]] = []
        for base in INSTANCES:
            metering = Metering(flags=EXPONENTIAL if exponential else 0)
            for kind, number, described in INSTRUMENTS:
                metering.instrument(kind, number, packing.instrument(**described))
            for attributes in SETS[1:]:
                metering.attribute_set(attributes)
            self.instances.append((metering, source(self.streams, "m", "1.0", **base)))

    def measure(self, instance: int, number: int, value: int | float, attributes: int) -> None:
        metering, _ = self.instances[instance]
        if isinstance(value, int):
            metering.i64(number + 1, value, attributes)
        else:
            metering.f64(number + 1, value, attributes)

    def drain(self, instance: int) -> None:
        metering, into = self.instances[instance]
        into.merge(metering.drain())

    def collect(self) -> list[pb.ScopeMetrics]:
        for instance in range(len(self.instances)):
            self.drain(instance)
        return scopes(self.streams.collect(1))


def pictured(found: list[pb.ScopeMetrics]) -> list[Any]:
    """Write metrics down in a form in which those that mean the same are the same."""
    picture: list[Any] = []
    for scope in found:
        assert (scope.scope.name, scope.scope.version) == ("m", "1.0")
        for metric in scope.metrics:
            kind: Any = metric.WhichOneof("data")
            data = getattr(metric, kind)
            about = [getattr(data, name, None) for name in ("aggregation_temporality", "is_monotonic")]
            points = sorted(_point(point) for point in data.data_points)
            picture.append((metric.name, metric.unit, metric.description, kind, str(about), points))
    return sorted(picture)


def _point(point: Any) -> tuple[Any, ...]:
    attributes = sorted(f"{pair}" for pair in point.attributes)
    if isinstance(point, pb.NumberDataPoint):
        return (attributes, point.as_int if point.HasField("as_int") else _rounded(point.as_double))
    common = (attributes, point.count, _rounded(point.sum), point.min, point.max)
    if isinstance(point, pb.HistogramDataPoint):
        return (*common, list(point.bucket_counts), list(point.explicit_bounds))
    counts = list(point.positive.bucket_counts)
    while counts and counts[-1] == 0:
        counts.pop()
    return (*common, point.zero_count, point.scale, point.positive.offset, counts)


def _rounded(value: float) -> str:
    # Sums of floats depend on the order, by an ulp or so.
    return f"{value + 0.0:.9e}"


measurements = st.tuples(
    st.just("measure"),
    st.integers(0, len(INSTANCES) - 1),
    st.integers(0, len(INSTRUMENTS) - 1),
    st.integers(0, len(SETS) - 1),
    st.integers(0, 10**6) | st.floats(1e-6, 1e9).map(lambda value: round(value, 6) or 1.0),
)
others = st.tuples(
    st.sampled_from(["drain", "collect"]), st.integers(0, len(INSTANCES) - 1), st.just(0), st.just(0), st.just(0)
)


@pytest.mark.parametrize("exponential", [False, True])
@pytest.mark.parametrize("preference", ["cumulative", "delta", "lowmemory"])
class TestDifferential:
    @given(actions=st.lists(measurements | measurements | measurements | others, max_size=80))
    @settings(max_examples=40, deadline=None)
    def test_as_the_sdk(
        self, preference: str, exponential: bool, actions: list[tuple[str, int, int, int, float]]
    ) -> None:
        """Whatever is measured by whom, and whenever it is drained and collected, OTLP has the same data points."""
        environ = {TEMPORALITY: preference}
        if exponential:
            environ[AGGREGATION] = "base2_exponential_bucket_histogram"
        with pytest.MonkeyPatch.context() as patch:
            for name, text in environ.items():
                patch.setenv(name, text)
            sdk = Sdk()
        collectors = Collectors(delta=prefers_delta(environ), exponential=prefers_exponential(environ))

        for action, instance, number, attributes, value in [*actions, ("collect", 0, 0, 0, 0)]:
            match action:
                case "measure":
                    kind, number_type, described = INSTRUMENTS[number]
                    if kind == GAUGE:
                        # Whose value is the last is known of one instance, and one list of attributes, alone.
                        instance, attributes = 0, min(attributes, 2)
                    if exponential and kind == HISTOGRAM:
                        # The SDK lowers the scale to 0 for good when nothing but 0 is there, and makes no difference
                        # for histograms with boundaries of their own.
                        value = max(value, 1)
                        if "boundaries" in described:
                            continue
                    value = int(value) if number_type == I64 else float(value)
                    collectors.measure(instance, number, value, attributes)
                    sdk.record[number](value, {**SETS[attributes], **INSTANCES[instance]})
                case "drain":
                    collectors.drain(instance)
                case _:
                    assert pictured(collectors.collect()) == pictured(sdk.collect())
        sdk.provider.shutdown()


class TestOverflowAsTheSdk:
    @pytest.mark.parametrize("delta", [False, True])
    def test_two_thousand(self, delta: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """By default, 2,000 attribute sets are kept apart over all instances, as the SDK does."""
        monkeypatch.setenv(TEMPORALITY, "delta" if delta else "cumulative")
        sdk = Sdk()
        collectors = Collectors(delta=delta, exponential=False)
        for turn in range(2):
            for number in range(2_010):
                instance = number % len(INSTANCES)
                metering, into = collectors.instances[instance]
                attributes = {"n": number}
                metering.i64(1, number + turn, metering.attribute_set(attributes))
                into.merge(metering.drain())
                sdk.record[0](number + turn, {**attributes, **INSTANCES[instance]})
            found = pictured(collectors.collect())
            assert found == pictured(sdk.collect())
            assert len(found[0][-1]) == 2_001
        sdk.provider.shutdown()
