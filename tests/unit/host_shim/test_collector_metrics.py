"""The collector's metrics, against the OpenTelemetry SDK's aggregations and plain arithmetic."""

from __future__ import annotations

import decimal
import itertools
import math
import random
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, ExponentialBucketHistogramAggregation

from tests.support import packing
from tests.support.metering import (
    COUNTER,
    EXPONENTIAL,
    F64,
    GAUGE,
    HISTOGRAM,
    I64,
    RAW_HISTOGRAMS,
    UP_DOWN,
    Metering,
)
from wasmscope.delivery import (
    ExponentialRecord,
    GaugeRecord,
    HistogramRecord,
    InstrumentRecord,
    MeasurementRecord,
    MetricSource,
    MetricStreams,
    SetRecord,
    SumRecord,
)
from wasmscope.host_shim import Limits
from wasmscope.host_shim._descriptors import DescriptorError, read_instrument
from wasmscope.host_shim._packed import Packed
from wasmscope.host_shim._rejections import Rejections, RejectionTotals

DEFAULT_BOUNDARIES = (0, 5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000)
SMALLEST_NORMAL = 2.0**-1022
LARGEST = math.nextafter(math.inf, 0)

i64s = st.integers(-(2**63), 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
amounts = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
"""What a histogram may record."""


def sdk_histogram(
    values: Sequence[int | float],
    *,
    boundaries: Sequence[float] | None = None,
    exponential: tuple[int, int] | None = None,
) -> Any:
    """Have the SDK aggregate values; gives its data point."""
    reader = InMemoryMetricReader(
        preferred_temporality={Histogram: AggregationTemporality.DELTA},
        preferred_aggregation={
            Histogram: ExplicitBucketHistogramAggregation()
            if exponential is None
            else ExponentialBucketHistogramAggregation(*exponential)
        },
    )
    provider = MeterProvider([reader], shutdown_on_exit=False)
    histogram = provider.get_meter("test").create_histogram("h", explicit_bucket_boundaries_advisory=boundaries)
    for value in values:
        histogram.record(value)
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    point: Any = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0]
    return point


def only(metering: Metering, kind: type[Any]) -> Any:
    """Drain; give the one record that is no definition, which is of a kind."""
    (record,) = [r for r in metering.records() if not isinstance(r, InstrumentRecord | SetRecord)]
    assert isinstance(record, kind)
    return record


def index_at(value: float, scale: int) -> int:
    """The bucket of a value by the specification's formula, in decimal arithmetic."""
    mantissa, exponent = math.frexp(max(value, SMALLEST_NORMAL))
    if mantissa == 0.5:
        return math.ceil((exponent - 1) * 2.0**scale) - 1
    with decimal.localcontext(prec=60):
        logarithm = decimal.Decimal(mantissa).ln() / decimal.Decimal(2).ln() + exponent
        return math.ceil(logarithm * decimal.Decimal(2) ** scale) - 1


def is_clear(value: float) -> bool:
    """Whether a value is so far from a boundary that the SDK's logarithm has it in the right bucket."""
    mantissa = math.frexp(value)[0]
    position = math.log2(mantissa) * 2**20 if mantissa else 0.5
    return mantissa == 0.5 or 1e-2 < position - math.floor(position) < 1 - 1e-2


class TestSums:
    @given(values=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=40))
    @settings(max_examples=50, deadline=None)
    def test_counter_of_i64(self, values: list[int]) -> None:
        """A counter of i64 adds up exactly, also beyond 64 bits."""
        metering = Metering()
        number = metering.instrument(COUNTER, I64, packing.instrument("c"))

        for value in values:
            metering.i64(number, value)

        assert only(metering, SumRecord).value == sum(values)
        assert metering.measurements == len(values)

    @given(values=st.lists(i64s, min_size=1, max_size=40))
    @settings(max_examples=50, deadline=None)
    def test_up_down_counter_of_i64(self, values: list[int]) -> None:
        """An up-down counter of i64 does, too, in both directions."""
        metering = Metering()
        number = metering.instrument(UP_DOWN, I64, packing.instrument("u"))

        for value in values:
            metering.i64(number, value)

        record = only(metering, SumRecord)
        assert record.value == sum(values)
        assert isinstance(record.value, int)

    def test_extremes(self) -> None:
        """Sums at the ends of i64 and just beyond are exact."""
        metering = Metering()
        number = metering.instrument(UP_DOWN, I64, packing.instrument("u"))

        for steps in ([2**63 - 1], [2**63 - 1, 1], [-(2**63)], [-(2**63), -1], [-1, 1], [2**63 - 1] * 3):
            for value in steps:
                metering.i64(number, value)
            assert only(metering, SumRecord).value == sum(steps)

    @given(values=st.lists(finite, min_size=1, max_size=40))
    @settings(max_examples=50, deadline=None)
    def test_f64(self, values: list[float]) -> None:
        """Sums of f64 are those of adding one after the other to 0."""
        metering = Metering()
        number = metering.instrument(UP_DOWN, F64, packing.instrument("u"))

        total = 0.0
        for value in values:
            metering.f64(number, value)
            total += value

        assert repr(only(metering, SumRecord).value) == repr(total)

    def test_i64_is_converted(self) -> None:
        """A whole number given to an instrument of f64 is converted, before the cell is there and after."""
        metering = Metering()
        number = metering.instrument(COUNTER, F64, packing.instrument("c"))

        for value in (2**53 + 1, 1, 2):
            metering.i64(number, value)

        assert repr(only(metering, SumRecord).value) == repr(float(2**53 + 1) + 1.0 + 2.0)

    @pytest.mark.parametrize("kind", [COUNTER, UP_DOWN])
    def test_apart(self, kind: int) -> None:
        """Each attribute set has its own sum."""
        metering = Metering()
        number = metering.instrument(kind, I64, packing.instrument("c"))
        sets = [0, *(metering.attribute_set({"n": n}) for n in range(50))]

        for turn in range(3):
            for attribute_set in sets:
                metering.i64(number, 1000 * attribute_set + turn, attribute_set)

        sums = {r.attribute_set: r.value for r in metering.records() if isinstance(r, SumRecord)}
        assert sums == {n: 3 * 1000 * n + 3 for n in sets}


class TestGauges:
    @pytest.mark.parametrize("values", [[1, -5], [2**63 - 1], [-(2**63)], [0]])
    def test_i64(self, values: list[int]) -> None:
        """A gauge keeps the last value."""
        metering = Metering()
        number = metering.instrument(GAUGE, I64, packing.instrument("g"))

        for value in values:
            metering.i64(number, value)

        record = only(metering, GaugeRecord)
        assert (record.value, type(record.value)) == (values[-1], int)

    @pytest.mark.parametrize("value", [-0.0, 5e-324, LARGEST, -1.5])
    def test_f64(self, value: float) -> None:
        """In f64, too, to the bit; and what is given as i64 is converted."""
        metering = Metering()
        number = metering.instrument(GAUGE, F64, packing.instrument("g"))

        metering.f64(number, 1.0)
        metering.f64(number, value)
        assert repr(only(metering, GaugeRecord).value) == repr(value)
        metering.i64(number, -3)
        assert repr(only(metering, GaugeRecord).value) == "-3.0"


class TestExplicitHistograms:
    def check(self, values: Sequence[int | float], boundaries: Sequence[float] = ()) -> None:
        is_float = any(isinstance(value, float) for value in values)
        metering = Metering()
        descriptor = packing.instrument("h", boundaries=boundaries)
        number = metering.instrument(HISTOGRAM, F64 if is_float else I64, descriptor)

        for value in values:
            if is_float:
                metering.f64(number, float(value))
            else:
                metering.i64(number, int(value))

        record = only(metering, HistogramRecord)
        expected = sdk_histogram(values, boundaries=boundaries or None)
        assert record.buckets == tuple(expected.bucket_counts)
        assert record.count == expected.count == len(values)
        assert (record.least, record.most) == (float(expected.min), float(expected.max))
        assert record.total == pytest.approx(float(expected.sum), rel=1e-12)
        assert metering.measurements == len(values)

    @given(values=st.lists(amounts | st.sampled_from([float(b) for b in DEFAULT_BOUNDARIES]), min_size=1, max_size=40))
    @settings(max_examples=60, deadline=None)
    def test_default_boundaries(self, values: list[float]) -> None:
        """Without boundaries of its own, a histogram has the specification's."""
        self.check(values)

    def test_default_boundaries_exactly(self) -> None:
        """A boundary is in the bucket that it ends; what is a little more is not."""
        values = [v for b in DEFAULT_BOUNDARIES for v in (float(b), math.nextafter(b, math.inf))]

        self.check([*values, 5e-324, LARGEST])

    @given(
        boundaries=st.lists(finite, unique=True, max_size=60).map(sorted),
        values=st.lists(amounts, max_size=20),
        data=st.data(),
    )
    @settings(max_examples=60, deadline=None)
    def test_own_boundaries(self, boundaries: list[float], values: list[float], data: st.DataObject) -> None:
        """Any number of boundaries, also negative ones, has the buckets that the SDK has."""
        exact = [abs(b) for b in boundaries]
        values = [*values, *data.draw(st.lists(st.sampled_from(exact), max_size=10) if exact else st.just([])), 1.5]

        self.check(values, boundaries)

    @pytest.mark.parametrize("count", [*range(1, 36), 100, 1000, 8000])
    def test_numbers_of_boundaries(self, count: int) -> None:
        """Each bucket of any number of them is found."""
        boundaries = [float(2 * n) for n in range(count)]

        self.check([float(n) for n in range(min(2 * count + 3, 200))] + [2.0 * count - 2, 2.0 * count], boundaries)

    def test_large_whole_numbers(self) -> None:
        """Whole numbers that no f64 is are above the boundaries that they are above."""
        boundaries = [float(2**53), float(2**53 + 2), float(2**62), float(2**63)]
        values = [2**53, 2**53 + 1, 2**53 + 2, 2**53 + 3, 2**62 - 1, 2**62, 2**62 + 1, 2**63 - 1]

        self.check(values, boundaries)

    @given(values=st.lists(st.integers(0, 2**53 // 40), min_size=1, max_size=40))
    @settings(max_examples=40, deadline=None)
    def test_whole_numbers(self, values: list[int]) -> None:
        """Sums of whole numbers are exact while they are below 2^53."""
        metering = Metering()
        number = metering.instrument(HISTOGRAM, I64, packing.instrument("h"))
        for value in values:
            metering.i64(number, value)

        assert only(metering, HistogramRecord).total == sum(values)
        self.check(values)


class TestExponentialHistograms:
    def record(self, values: Sequence[float], **options: Any) -> ExponentialRecord:
        metering = Metering(flags=EXPONENTIAL, **options)
        number = metering.instrument(HISTOGRAM, F64, packing.instrument("h"))
        for value in values:
            metering.f64(number, value)
        record: ExponentialRecord = only(metering, ExponentialRecord)
        return record

    def check(self, values: Sequence[float], max_size: int = 160, max_scale: int = 20) -> None:
        record = self.record(values, max_size=max_size, max_scale=max_scale)
        expected = sdk_histogram(values, exponential=(max_size, max_scale))
        counts = list(expected.positive.bucket_counts)
        offset = expected.positive.offset
        while counts and not counts[-1]:
            counts.pop()
        if any(values):
            assert (record.scale, record.offset, list(record.buckets)) == (expected.scale, offset, counts)
        else:
            assert record.buckets == ()
        assert (record.count, record.zero_count) == (expected.count, expected.zero_count)
        assert (record.least, record.most) == (expected.min, expected.max)
        assert record.total == pytest.approx(expected.sum, rel=1e-12)

    @given(values=st.lists(amounts.filter(is_clear), min_size=1, max_size=60))
    @settings(max_examples=100, deadline=None)
    def test_any(self, values: list[float]) -> None:
        """Scale, offset and counts of any values are those of the SDK."""
        self.check(values)

    @given(
        values=st.lists(st.floats(0.5, 20).filter(is_clear), min_size=1, max_size=300),
        max_size=st.integers(2, 200),
        max_scale=st.integers(-10, 20),
    )
    @settings(max_examples=60, deadline=None)
    def test_configured(self, values: list[float], max_size: int, max_scale: int) -> None:
        """They are, too, with other numbers of buckets and largest scales."""
        self.check(values, max_size, max_scale)

    def test_large_load(self) -> None:
        """Many values over some decades, rising, falling and mixed."""
        mixed = [random.Random(4).lognormvariate(3, 2) for _ in range(2_000)]
        clear = [value for value in mixed if is_clear(value)]

        for values in (clear, sorted(clear), sorted(clear, reverse=True)):
            self.check(values)

    def test_extremes(self) -> None:
        """Zeros, subnormal, smallest, largest numbers and powers of two."""
        subnormal = math.nextafter(SMALLEST_NORMAL, 0)
        for values in (
            [0.0],
            [0.0, 0.0, 3.0],
            [5e-324],
            [subnormal, SMALLEST_NORMAL],
            [5e-324, LARGEST],
            [0.0, 5e-324, 1.0, LARGEST],
            [2.0**n for n in range(-1022, 1024)],
            [2.0**n for n in range(60)],
            [1.0] * 200,
        ):
            self.check(values)

    @pytest.mark.parametrize("scale", [20, 19, 12, 7, 3, 1, 0, -1, -5, -10])
    def test_boundaries_exactly(self, scale: int) -> None:
        """The largest number that is not above a boundary, and the next, are in the right buckets at each scale."""
        chance = random.Random(scale)
        for _ in range(60):
            index = chance.randrange(-1021 * 2**20, 1022 * 2**20) >> (20 - scale)
            with decimal.localcontext(prec=60):
                boundary = decimal.Decimal(2) ** (decimal.Decimal(index) / decimal.Decimal(2) ** scale)
                low = float(boundary)
                if decimal.Decimal(low) > boundary:
                    low = math.nextafter(low, 0)
            for value in (low, math.nextafter(low, math.inf)):
                record = self.record([value], max_scale=scale)
                assert (record.scale, record.offset) == (scale, index_at(value, scale))

    @given(value=amounts.filter(bool))
    @settings(max_examples=200, deadline=None)
    def test_any_value_exactly(self, value: float) -> None:
        """A value's bucket is that of exact arithmetic."""
        assert self.record([value]).offset == index_at(value, 20)

    def test_large_whole_numbers(self) -> None:
        """A whole number that no f64 is, just above a power of two, is above it."""
        metering = Metering(flags=EXPONENTIAL)
        number = metering.instrument(HISTOGRAM, I64, packing.instrument("h"))

        for power in (53, 60, 62):
            metering.i64(number, 2**power)
            at = only(metering, ExponentialRecord)
            metering.i64(number, 2**power + 1)
            above = only(metering, ExponentialRecord)
            assert (at.offset, above.offset) == ((power << 20) - 1, power << 20)

    def test_advice_wins(self) -> None:
        """A histogram with boundaries of its own is explicit also where exponential ones are wanted."""
        metering = Metering(flags=EXPONENTIAL)
        number = metering.instrument(HISTOGRAM, F64, packing.instrument("h", boundaries=[1.0]))

        metering.f64(number, 1.0)

        assert only(metering, HistogramRecord).buckets == (1, 0)


class TestRawHistograms:
    def test_one_by_one(self) -> None:
        """Where measurements are wanted one by one, they come in their order, as they were given."""
        metering = Metering(flags=RAW_HISTOGRAMS | EXPONENTIAL)
        whole = metering.instrument(HISTOGRAM, I64, packing.instrument("i"))
        other = metering.instrument(HISTOGRAM, F64, packing.instrument("f"))
        counter = metering.instrument(COUNTER, I64, packing.instrument("c"))
        attribute_set = metering.attribute_set({"a": 1})

        metering.i64(whole, 2**63 - 1, attribute_set)
        metering.f64(other, 5e-324)
        metering.i64(other, 7)
        metering.i64(counter, 1)
        assert metering.is_dirty
        records = metering.records()

        values = [(r.instrument, r.attribute_set, r.value) for r in records if isinstance(r, MeasurementRecord)]
        assert values == [(whole, attribute_set, 2**63 - 1), (other, 0, 5e-324), (other, 0, 7.0)]
        assert [r.value for r in records if isinstance(r, SumRecord)] == [1]
        assert sum(isinstance(r, InstrumentRecord) for r in records) == 3
        assert not metering.is_dirty

    def test_buffer_full(self) -> None:
        """When the buffer is full, the host is asked to take it, and nothing is lost."""
        metering = Metering(flags=RAW_HISTOGRAMS, buffer_bytes=8_192)
        number = metering.instrument(HISTOGRAM, I64, packing.instrument("h"))

        for value in range(1_000):
            metering.i64(number, value)

        assert metering.asked == [1] * (1_000 * 33 // 8_192)
        assert [r.value for r in metering.records() if isinstance(r, MeasurementRecord)] == list(range(1_000))
        assert metering.rejected() == {}

    def test_host_takes_nothing(self) -> None:
        """If the host does not take it, what does not fit is counted."""
        metering = Metering(flags=RAW_HISTOGRAMS, buffer_bytes=4_096)
        metering.is_taking = False
        number = metering.instrument(HISTOGRAM, I64, packing.instrument("h"))

        for value in range(1_000):
            metering.i64(number, value)
        metering.is_taking = True

        kept = [r.value for r in metering.records() if isinstance(r, MeasurementRecord)]
        assert kept == list(range(len(kept)))
        assert metering.rejected() == {"buffer_full": 1_000 - len(kept)}
        assert metering.measurements == len(kept) > 100


class TestDrain:
    def test_only_what_was_touched(self) -> None:
        """A drain gives what was measured since the one before, with the time of the drain; definitions come once."""
        metering = Metering()
        number = metering.instrument(COUNTER, I64, packing.instrument("c", unit="By", description="d"))
        other = metering.instrument(HISTOGRAM, F64, packing.instrument("h"))
        sets = [metering.attribute_set({"n": n}) for n in range(3)]
        assert (metering.is_dirty, metering.drain()) == (False, b"")

        metering.i64(number, 5, sets[1])
        metering.f64(other, 5.0, sets[1])
        assert metering.is_dirty
        first = metering.records()
        metering.now_ns += 5
        metering.i64(number, 7, sets[1])
        metering.i64(number, 0, sets[2])
        second = metering.records()

        (instrument,) = [r for r in first if isinstance(r, InstrumentRecord) and r.number == number]
        assert (instrument.instrument.name, instrument.instrument.unit, instrument.instrument.description) == (
            "c",
            "By",
            "d",
        )
        assert [r for r in first if isinstance(r, SetRecord)] == [SetRecord(sets[1], packing.attributes({"n": 1}))]
        begin = 1_700_000_000_000_000_000
        assert [r for r in first if isinstance(r, SumRecord)] == [SumRecord(number, sets[1], begin, begin, 5)]
        assert sorted(map(str, second)) == sorted(
            map(
                str,
                [
                    SetRecord(sets[2], packing.attributes({"n": 2})),
                    SumRecord(number, sets[1], begin + 5, begin + 5, 7),
                    SumRecord(number, sets[2], begin + 5, begin + 5, 0),
                ],
            )
        )
        assert (metering.is_dirty, metering.drain()) == (False, b"")

    def test_in_parts(self) -> None:
        """What does not fit into the buffer comes with the next drains, all of it and once."""
        metering = Metering(buffer_bytes=4_096)
        number = metering.instrument(COUNTER, I64, packing.instrument("c"))
        sets = [metering.attribute_set({"n": "x" * 50 + str(n)}) for n in range(500)]
        for attribute_set in sets:
            metering.i64(number, attribute_set, attribute_set)

        assert metering.call("drain_metrics", metering.guest) == 1
        assert metering.is_dirty

        sums = [(r.attribute_set, r.value) for r in metering.records() if isinstance(r, SumRecord)]
        assert sorted(sums) == [(n, n) for n in sets]
        assert not metering.is_dirty

    def test_record_larger_than_the_buffer(self) -> None:
        """A record that is larger than the buffer may be comes all the same."""
        metering = Metering(buffer_bytes=4_096)
        boundaries = [float(n) for n in range(5_000)]
        number = metering.instrument(HISTOGRAM, F64, packing.instrument("h", boundaries=boundaries))
        counter = metering.instrument(COUNTER, I64, packing.instrument("c"))

        for _ in range(2):
            metering.f64(number, 17.0)
            metering.i64(counter, 1)
            records = metering.records()
            assert [r.buckets.index(1) for r in records if isinstance(r, HistogramRecord)] == [17]
            assert [r.value for r in records if isinstance(r, SumRecord)] == [1]

    @pytest.mark.parametrize("flags", [0, EXPONENTIAL])
    @given(
        values=st.lists(
            st.tuples(st.integers(0, 5), st.integers(0, 1), amounts.filter(lambda v: v < 1e300), st.booleans()),
            max_size=60,
        )
    )
    @settings(max_examples=50, deadline=None)
    def test_drains_in_between(self, flags: int, values: list[tuple[int, int, float, bool]]) -> None:
        """Drains in between, merged, are what one drain at the end is."""

        def run(drains: bool) -> dict[tuple[str, int], Any]:
            metering = Metering(flags=flags)
            streams = MetricStreams(0)
            source = MetricSource(streams, lambda packed: packing.decode(packed).attributes, name="m")
            attribute_set = metering.attribute_set({"a": 1})
            shapes = [(COUNTER, F64), (COUNTER, I64), (GAUGE, F64), (GAUGE, I64), (HISTOGRAM, F64), (HISTOGRAM, I64)]
            numbers = [
                metering.instrument(kind, number, packing.instrument(f"n{kind}{number}")) for kind, number in shapes
            ]
            for shape, has_set, value, is_drained in values:
                if shapes[shape][1] == F64:
                    metering.f64(numbers[shape], value, attribute_set * has_set)
                else:
                    metering.i64(numbers[shape], int(value) % 2**40, attribute_set * has_set)
                if drains and is_drained:
                    source.merge(metering.drain())
            source.merge(metering.drain())
            return points(streams)

        assert run(True) == run(False)


def points(streams: MetricStreams) -> dict[tuple[str, int], Any]:
    """Collect; the data points by metric's name and number of attributes, sums of floats in few digits."""
    from opentelemetry.proto.metrics.v1 import metrics_pb2 as pb

    found: dict[tuple[str, int], Any] = {}
    for chunk in streams.collect(1):
        for metric in pb.ScopeMetrics.FromString(chunk.scope_metrics).metrics:
            kind: Any = metric.WhichOneof("data")
            for point in getattr(metric, kind).data_points:
                if hasattr(point, "sum"):
                    point.sum = float(f"{point.sum:.9e}")
                elif point.HasField("as_double"):
                    point.as_double = float(f"{point.as_double:.9e}")
                found[metric.name, len(point.attributes)] = point.SerializeToString(deterministic=True)
    return found


def live_instrument(kind: int, number: int, data: bytes) -> tuple[bool, dict[str, int]]:
    """Whether the live path takes a descriptor, and what it counts."""
    totals = RejectionTotals()
    rejections = Rejections("m", None, totals)
    try:
        read_instrument(kind, number, data, Limits(), rejections)
    except DescriptorError:
        rejections.add("descriptor")
        return False, counts(totals)
    return True, counts(totals)


def counts(totals: RejectionTotals) -> dict[str, int]:
    return {reason: count for (_, _, reason), count in totals.snapshot().items()}


GOOD = packing.instrument("name.of/it-_9", unit="By", description="d\N{EURO SIGN}", boundaries=[-1.0, 0.0, 2.5])


class TestInstruments:
    def test_same_arguments_same_id(self) -> None:
        """The same arguments give the same id; another kind, number or descriptor gives the next."""
        metering = Metering()
        arguments = [(COUNTER, I64, b"a"), (COUNTER, F64, b"a"), (GAUGE, I64, b"a"), (COUNTER, I64, b"b")]

        for _ in range(2):
            ids = [
                metering.instrument(kind, number, packing.instrument(name.decode())) for kind, number, name in arguments
            ]
            assert ids == [1, 2, 3, 4]

    def test_many(self) -> None:
        """A thousand are registered and found again; one more is counted."""
        metering = Metering()

        for _ in range(2):
            ids = [metering.instrument(COUNTER, I64, packing.instrument(f"n{n}")) for n in range(1_001)]
            assert ids == [*range(1, 1_001), 0]
        assert metering.rejected() == {"instrument_count": 2}

    @pytest.mark.parametrize("kind", [0, 5, 0x8000_0001, 2**32 - 1])
    def test_unknown_kind(self, kind: int) -> None:
        """An unknown kind, and an unknown number type, are counted and give 0."""
        metering = Metering()
        metering.instrument(COUNTER, I64, packing.instrument("a"))

        assert metering.instrument(kind - 2**32 if kind >> 31 else kind, I64, packing.instrument("a")) == 0
        assert metering.instrument(COUNTER, 2, packing.instrument("a")) == 0
        assert metering.rejected() == {"descriptor": 2}

    @given(
        data=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=3).map(
            lambda changes: bytes(dict(changes).get(at, byte) for at, byte in enumerate(GOOD))
        )
        | st.integers(0, len(GOOD)).map(lambda size: GOOD[:size])
        | st.binary(max_size=40)
        | st.lists(finite | st.sampled_from([math.nan, math.inf, -math.inf, 1.0, 1.0, -0.0, 0.0]), max_size=4).map(
            lambda boundaries: packing.instrument("h", boundaries=boundaries)
        )
        | st.builds(
            lambda *texts: b"".join(struct.pack("<H", len(t)) + t for t in texts) + b"\0\0",
            st.sampled_from([b"a", b"a" * 255, b"a" * 256, b"\xff", b"aZ09_.-/", b"1", b"", b"a b", b"a\n"]),
            st.sampled_from([b"", b"u" * 63, b"u" * 64, b"\xc2\xb5s", b"\xff"]),
            st.sampled_from([b"", b"d" * 1024, b"d" * 1025, b"\xff", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80"]),
        )
    )
    @settings(max_examples=400, deadline=None)
    def test_any_descriptor(self, data: bytes) -> None:
        """Any descriptor is taken or refused, and counted, as on the live path."""
        metering = Metering()

        is_taken = metering.instrument(HISTOGRAM, F64, data) == 1

        assert (is_taken, metering.rejected()) == live_instrument(HISTOGRAM, F64, data)

    def test_size(self) -> None:
        """A descriptor of as many bytes as allowed is read; one byte more, and one that is out of bounds, is not."""
        metering = Metering(descriptor=100)

        assert metering.instrument(COUNTER, I64, packing.instrument("c", description="d" * 91)) == 1
        assert metering.call("instrument", metering.guest, COUNTER, I64, 101) == 0
        assert metering.rejected() == {"descriptor": 1}
        assert metering.call("instrument", metering.guest, COUNTER, I64, -1) == 0
        assert metering.call("instrument", metering.guest, COUNTER, I64, -2) == 0
        assert metering.rejected() == {"descriptor": 1, "out_of_bounds": 1, "kept_bytes": 1}

    def test_kept_bytes(self) -> None:
        """Descriptors and attribute sets are kept up to the limit together."""
        metering = Metering(kept_bytes=100)
        descriptors = [packing.instrument("c" * 31 + str(n)) for n in range(3)]

        assert len(descriptors[0]) == 40
        assert [metering.instrument(COUNTER, I64, data) for data in descriptors] == [1, 2, 0]
        assert metering.attribute_set({"n": 1}) == 1
        assert metering.attribute_set({"n": 2}) == 2
        assert metering.attribute_set({"n": 1}) == 1
        assert metering.attribute_set({"n": 3}) == 2
        assert metering.rejected() == {"kept_bytes": 3}
        assert metering.instrument(COUNTER, I64, descriptors[1]) == 2


class TestMeasurements:
    def test_unusable(self) -> None:
        """A negative value of what only grows, an f64 for an i64, NaN and infinities are counted and dropped."""
        metering = Metering()
        counter = metering.instrument(COUNTER, I64, packing.instrument("c"))
        histogram = metering.instrument(HISTOGRAM, F64, packing.instrument("h"))
        gauge = metering.instrument(GAUGE, F64, packing.instrument("g"))

        def all_unusable() -> None:
            metering.i64(counter, -1)
            metering.f64(counter, 1.0)
            metering.f64(histogram, -0.5)
            metering.i64(histogram, -1)
            for value in (math.nan, math.inf, -math.inf):
                metering.f64(histogram, value)
                metering.f64(gauge, value)

        all_unusable()
        assert (metering.rejected(), metering.drain(), metering.measurements) == ({"measurement": 10}, b"", 0)
        metering.i64(counter, 1)
        metering.f64(histogram, -0.0)
        metering.f64(gauge, -1.0)
        all_unusable()
        assert (metering.rejected(), metering.measurements) == ({"measurement": 20}, 3)
        values = [r for r in metering.records() if isinstance(r, SumRecord | HistogramRecord | GaugeRecord)]
        assert len(values) == 3

    @pytest.mark.parametrize("instrument", [1, 3, 2**31 - 1, -(2**31), -1])
    def test_unknown_instrument(self, instrument: int) -> None:
        """An unknown instrument is counted, before there is any and after."""
        metering = Metering()
        for _ in range(2):
            metering.i64(instrument, 1)
            metering.f64(instrument, 1.0)
            metering.instrument(COUNTER, F64, packing.instrument("c"))

        assert metering.rejected() == ({"instrument": 2} if instrument == 1 else {"instrument": 4})

    def test_no_instrument(self) -> None:
        """Instrument 0, what a failed registration gave, is valid and does nothing."""
        metering = Metering()
        for _ in range(2):
            metering.i64(0, -1)
            metering.f64(0, math.nan)
            metering.instrument(COUNTER, F64, packing.instrument("c"))

        assert (metering.rejected(), metering.drain()) == ({}, b"")

    @pytest.mark.parametrize("attribute_set", [1, 17, 2**31 - 1, -(2**31), -1])
    def test_unknown_set(self, attribute_set: int) -> None:
        """An unknown attribute set is counted, and the value kept without."""
        metering = Metering()
        counter = metering.instrument(COUNTER, I64, packing.instrument("c"))

        metering.i64(counter, 1, attribute_set)
        metering.i64(counter, 2)
        metering.i64(counter, 4, attribute_set)

        assert metering.rejected() == {"attribute_set": 2}
        record = only(metering, SumRecord)
        assert (record.attribute_set, record.value) == (0, 7)

    def test_cells_are_bounded(self) -> None:
        """What the cells of a guest take is bounded; beyond, measurements are counted and dropped."""
        metering = Metering(flags=EXPONENTIAL, kept_bytes=1_000_000)
        numbers = [metering.instrument(HISTOGRAM, F64, packing.instrument(f"h{n}")) for n in range(50)]
        sets = [metering.attribute_set({"n": n}) for n in range(50)]

        for number, attribute_set in itertools.product(numbers, sets):
            metering.f64(number, 1.0, attribute_set)

        dropped = metering.rejected()["kept_bytes"]
        assert metering.measurements == 2_500 - dropped
        # The heap's blocks are powers of two: 64 for a cell and 2,048 for its 160 buckets.
        assert 2**20 // (64 + 2_048) - 50 < 2_500 - dropped < 2**20 // (64 + 2_048)
        assert sum(isinstance(r, ExponentialRecord) for r in metering.records()) == metering.measurements
        assert metering.memory.data_len(metering.store) < 4 * 2**20


def live_attributes(data: bytes) -> dict[str, int]:
    """What the live path counts in a list of attributes for measurements."""
    totals = RejectionTotals()
    rejections = Rejections("m", None, totals)
    plain = (str, bool, int, float)
    value: Any
    for name, value in Packed(Limits(), rejections).decode(data).items():
        is_array = isinstance(value, tuple) and len({type(v) for v in value}) < 2 and isinstance((*value, 1)[0], plain)
        if not (isinstance(value, plain) or is_array):
            rejections.add("attribute_type", name)
    return counts(totals)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | i64s | finite | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=3), inner, max_size=2),
    max_leaves=6,
)


class TestAttributeSets:
    def test_ids(self) -> None:
        """The same bytes give the same id; no bytes are set 0."""
        metering = Metering()

        for _ in range(2):
            assert [metering.attribute_set({"n": n}) for n in range(2_000)] == list(range(1, 2_001))
        assert metering.attribute_set({}) == 0
        assert metering.call("attribute_set", metering.guest, -1) == 0
        assert metering.rejected() == {"out_of_bounds": 1}

    def test_overflow(self) -> None:
        """Beyond the limit there is one set that says so, and known sets are still found."""
        metering = Metering(attribute_sets=2)
        counter = metering.instrument(COUNTER, I64, packing.instrument("c"))

        sets = [metering.attribute_set({"n": n}) for n in range(5)]
        assert sets == [1, 2, 3, 3, 3]
        assert metering.attribute_set({"n": 1}) == 2
        for attribute_set in sets:
            metering.i64(counter, 1, attribute_set)

        records = metering.records()
        assert {r.number: r.packed for r in records if isinstance(r, SetRecord)} == {
            1: packing.attributes({"n": 0}),
            2: packing.attributes({"n": 1}),
            3: None,
        }
        assert {r.attribute_set: r.value for r in records if isinstance(r, SumRecord)} == {1: 1, 2: 1, 3: 3}
        assert metering.rejected() == {}

    @given(
        data=st.lists(st.tuples(st.sampled_from(["a", "b", "wasm.x", "\N{EURO SIGN}", ""]), VALUES), max_size=5)
        .map(packing.attributes)
        .filter(bool)
        .flatmap(lambda data: st.just(data) | st.integers(1, len(data)).map(lambda size: data[:size]))
    )
    @settings(max_examples=300, deadline=None)
    def test_any_list(self, data: bytes) -> None:
        """Any list is counted as on the live path, once, and given out as it is."""
        metering = Metering()
        counter = metering.instrument(COUNTER, I64, packing.instrument("c"))

        numbers = {metering.attribute_set(data) for _ in range(2)}
        metering.i64(counter, 1, numbers.pop())

        assert not numbers
        assert metering.rejected() == live_attributes(data)
        assert [r.packed for r in metering.records() if isinstance(r, SetRecord)] == [data]

    def test_size(self) -> None:
        """A list of as many bytes as allowed is read; one byte more is counted and dropped."""
        metering = Metering(attributes_bytes=12)

        assert metering.attribute_set({"n": 1}) == 1
        assert metering.call("attribute_set", metering.guest, 13) == 0
        assert metering.rejected() == {"attributes_size": 1}


class TestTraps:
    """A trap is injected at every amount of fuel with which an action does not come to its end."""

    def interrupted(
        self, flags: int, prepare: Callable[[Metering], Any], action: Callable[[Metering, Any], object]
    ) -> Iterator[tuple[Metering, bool]]:
        metering = Metering(flags=flags, fuel=True)
        ids = prepare(metering)
        start = metering.snapshot()
        seen: set[bytes] = set()
        for fuel in itertools.count():
            metering.restore(start)
            is_done = metering.survives(fuel, lambda: action(metering, ids))
            # The module is nothing but its memory: of two states that are the same, one will do.
            state = metering.snapshot()
            if is_done or state not in seen:
                seen.add(state)
                yield metering, is_done
            if is_done:
                assert fuel > 0
                return

    @pytest.mark.parametrize("flags", [0, EXPONENTIAL, RAW_HISTOGRAMS])
    @pytest.mark.parametrize("before", [(), (3.0,), (1.0, 1000.0)])
    @pytest.mark.parametrize("is_drained", [False, True])
    def test_histogram(self, flags: int, before: tuple[float, ...], is_drained: bool) -> None:
        """A measurement is in or not; if the trap struck while it was made, it is counted as interrupted."""

        def prepare(metering: Metering) -> int:
            number = metering.instrument(HISTOGRAM, F64, packing.instrument("h"))
            for value in before:
                metering.f64(number, value)
            if is_drained:
                metering.drain()
            return number

        for metering, is_done in self.interrupted(flags, prepare, lambda m, number: m.f64(number, 3e5)):
            metering.f64(1, 7.0)
            expected = [*(() if is_drained else before), 7.0]
            found = measured(metering)
            was_lost = metering.rejected().get("interrupted", 0)
            assert found in (sorted(expected), sorted([*expected, 3e5]))
            assert metering.measurements == len(found) + len(before) * is_drained
            assert was_lost + (3e5 in found) <= 1
            assert not is_done or 3e5 in found

    @pytest.mark.parametrize("kind", [COUNTER, GAUGE])
    def test_number(self, kind: int) -> None:
        """So it is with counters and gauges, into a new cell of a set beyond those with room."""

        def prepare(metering: Metering) -> tuple[int, int]:
            number = metering.instrument(kind, I64, packing.instrument("c"))
            sets = [metering.attribute_set({"n": n}) for n in range(40)]
            metering.i64(number, 1, sets[0])
            return number, sets[-1]

        for metering, is_done in self.interrupted(0, prepare, lambda m, ids: m.i64(ids[0], 5, ids[1])):
            metering.i64(1, 3, 1)
            values = {r.attribute_set: r.value for r in metering.records() if isinstance(r, SumRecord | GaugeRecord)}
            assert values.pop(1) == (4 if kind == COUNTER else 3)
            assert values in ({}, {40: 5})
            assert metering.measurements == 2 + len(values)
            assert not is_done or values

    def test_registrations(self) -> None:
        """What a registration gives after the trap is what it gives without one, and room is left for all others."""

        def action(metering: Metering, _: object) -> None:
            metering.instrument(COUNTER, I64, packing.instrument("new"))
            metering.attribute_set({"new": 1})

        def prepare(metering: Metering) -> None:
            # The tables are full: there has to be room made.
            for n in range(16):
                metering.instrument(COUNTER, I64, packing.instrument(f"n{n}"))
                metering.attribute_set({"n": n})

        for metering, _ in self.interrupted(0, prepare, action):
            assert metering.instrument(COUNTER, I64, packing.instrument("new")) == 17
            assert metering.attribute_set({"new": 1}) == 17
            assert [metering.instrument(COUNTER, I64, packing.instrument(f"n{n}")) for n in range(40)] == [
                *range(1, 17),
                *range(18, 42),
            ]
            assert [metering.attribute_set({"n": n}) for n in range(40)] == [*range(1, 17), *range(18, 42)]
            metering.i64(17, 1, 17)
            assert only_value(metering) == 1
            assert set(metering.rejected()) <= {"interrupted"}

    @pytest.mark.parametrize("flags", [0, EXPONENTIAL])
    def test_drain(self, flags: int) -> None:
        """Each record comes once, before the trap or after."""

        def prepare(metering: Metering) -> None:
            histogram = metering.instrument(HISTOGRAM, F64, packing.instrument("h"))
            counter = metering.instrument(COUNTER, I64, packing.instrument("c"))
            for n in range(3):
                attribute_set = metering.attribute_set({"n": n})
                metering.i64(counter, n, attribute_set)
                metering.f64(histogram, n * 1000.0, attribute_set)

        expected: Any = None
        for metering, is_done in self.interrupted(flags, prepare, lambda m, _: m.call("drain_metrics", m.guest)):
            records = sorted(map(str, metering.records()))
            expected = expected or records
            assert records == expected
            assert len(records) == 2 + 3 + 6
            assert (metering.drain(), metering.is_dirty, metering.rejected()) == (b"", False, {})
            assert is_done or metering.call("drain_metrics", metering.guest) == 0


def measured(metering: Metering) -> list[float]:
    """Drain a histogram; what must have been measured, of which no two are in one bucket."""
    values: list[float] = []
    for record in metering.records():
        match record:
            case MeasurementRecord():
                values.append(record.value)
            case HistogramRecord() | ExponentialRecord():
                known = [v for v in (1.0, 3.0, 7.0, 1000.0, 3e5) if is_in(v, record)]
                assert record.count == len(known) == sum(record.buckets)
                assert record.total == sum(known)
                assert (record.least, record.most) == (min(known), max(known))
                values += known
            case _:
                pass
    return sorted(values)


def is_in(value: float, record: HistogramRecord | ExponentialRecord) -> bool:
    """Whether the bucket of a value is not empty; those of the values above are different ones, but of 1 and 3."""
    if isinstance(record, ExponentialRecord):
        index = index_at(value, record.scale) - record.offset
        return 0 <= index < len(record.buckets) and record.buckets[index] > 0
    index = sum(boundary < value for boundary in DEFAULT_BOUNDARIES)
    if index == 1:
        return record.buckets[1] > 0 and value in (record.least, record.total - 1000 - 7, record.total - 1000 - 7 - 3e5)
    return record.buckets[index] > 0


def only_value(metering: Metering) -> int | float:
    """Drain one sum."""
    value: int | float = only(metering, SumRecord).value
    return value
