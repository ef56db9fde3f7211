"""The ABI's metrics, through real wasm."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum

from tests.support import packing
from tests.support.guests import Guest, engine
from tests.support.telemetry import Point, Telemetry
from wasmscope.host_shim import Bridge, Limits

COUNTER, UP_DOWN, HISTOGRAM, GAUGE = 1, 2, 3, 4
I64, F64 = 0, 1
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "attributes.json").read_text(encoding="utf-8"))

MALFORMED = {
    "empty": b"",
    "cut": packing.instrument("a")[:-1],
    "no name": packing.instrument(""),
    "digit first": packing.instrument("1a"),
    "space": packing.instrument("a b"),
    "newline": packing.instrument("a\n"),
    "not ASCII": packing.instrument("ä"),
    "256 letters": packing.instrument("a" * 256),
    "long unit": packing.instrument("a", unit="u" * 64),
    "unit not ASCII": packing.instrument("a", unit="µs"),
    "long description": packing.instrument("a", description="d" * 1_025),
    "boundaries cut": packing.instrument("a", boundaries=[1.0, 2.0])[:-1],
    "boundaries announced": packing.instrument("a")[:-2] + b"\xff\xff",
    "boundaries equal": packing.instrument("a", boundaries=[1.0, 1.0]),
    "boundaries falling": packing.instrument("a", boundaries=[2.0, 1.0]),
    "boundary NaN": packing.instrument("a", boundaries=[math.nan]),
    "boundary infinite": packing.instrument("a", boundaries=[1.0, math.inf]),
}


def points(telemetry: Telemetry, name: str) -> list[Point]:
    return telemetry.points("guest", name)


class TestInstruments:
    @pytest.mark.parametrize("vector", VECTORS["instruments"], ids=lambda vector: str(vector["name"]))
    def test_vectors(self, guest: Guest, telemetry: Telemetry, vector: dict[str, Any]) -> None:
        """The vectors' descriptors make instruments of that name, unit, description and boundaries."""
        boundaries = [struct.unpack(">d", bytes.fromhex(text))[0] for text in vector["boundaries"]]
        data = bytes.fromhex(vector["hex"])
        assert data == packing.instrument(
            vector["instrument"], unit=vector["unit"], description=vector["description"], boundaries=boundaries
        )

        number = guest.instrument(HISTOGRAM, I64, data)
        guest.abi("measure_i64", number, 5, 0)

        metric = telemetry.metrics()["guest", vector["instrument"]]
        assert (metric.unit, metric.description) == (vector["unit"], vector["description"])
        if boundaries:
            assert list(metric.data.data_points[0].explicit_bounds) == boundaries

    def test_same_arguments_same_id(self, guest: Guest) -> None:
        """The same arguments give the same id; another kind, number or description gives another."""
        descriptor = packing.instrument("a")

        ids = [
            guest.instrument(COUNTER, I64, descriptor),
            guest.instrument(COUNTER, F64, descriptor),
            guest.instrument(GAUGE, I64, descriptor),
            guest.instrument(COUNTER, I64, packing.instrument("b")),
        ]

        assert len(set(ids)) == 4
        assert all(number > 0 for number in ids)
        assert guest.instrument(COUNTER, I64, descriptor) == ids[0]

    @pytest.mark.parametrize("descriptor", MALFORMED.values(), ids=MALFORMED)
    def test_malformed(self, guest: Guest, descriptor: bytes) -> None:
        """A malformed descriptor is counted and gives 0."""
        assert guest.instrument(HISTOGRAM, F64, descriptor) == 0
        assert guest.rejected() == {"descriptor": 1}

    @pytest.mark.parametrize("kind", [0, 5, 2**31, -1])
    def test_unknown_kind(self, guest: Guest, kind: int) -> None:
        """An unknown kind, and an unknown number type, are counted and give 0."""
        assert guest.instrument(kind, I64, packing.instrument("a")) == 0
        assert guest.instrument(COUNTER, kind if kind else 2, packing.instrument("a")) == 0
        assert guest.rejected() == {"descriptor": 2}

    def test_longest_names(self, guest: Guest) -> None:
        """The syntax's longest name, unit and description are taken."""
        longest = packing.instrument("a" + "0_.-/" * 50 + "bcde", unit="u" * 63, description="d" * 1_024)

        assert guest.instrument(COUNTER, I64, longest) > 0
        assert guest.rejected() == {}

    def test_count(self, telemetry: Telemetry, native: bool) -> None:
        """As many instruments as allowed are made; known ones are still given out beyond."""
        guest = Guest(telemetry.bridge(limits=Limits(instruments=2), native=native))

        ids = [guest.instrument(COUNTER, I64, packing.instrument(f"n{number}")) for number in range(4)]

        assert ids == [1, 2, 0, 0]
        assert guest.instrument(COUNTER, I64, packing.instrument("n1")) == 2
        assert guest.rejected() == {"instrument_count": 2}

    def test_shared_by_instances(self, bridge: Bridge, telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
        """Instances of a module, also of other tenants, share instruments, and the SDK has nothing to say to it."""
        for tenant in (None, None, "acme"):
            guest = Guest(bridge, tenant=tenant)
            number = guest.instrument(COUNTER, I64, packing.instrument("orders", unit="{order}"))
            guest.abi("measure_i64", number, 1, 0)

        assert points(telemetry, "orders") == [Point({}, 2), Point({"wasm.tenant": "acme"}, 1)]
        assert caplog.records == []

    def test_boundaries_of_other_kinds(
        self, guest: Guest, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Boundaries of what is no histogram mean nothing."""
        one = guest.instrument(COUNTER, I64, packing.instrument("a"))
        two = guest.instrument(COUNTER, I64, packing.instrument("a", boundaries=[1.0]))
        guest.abi("measure_i64", one, 1, 0)
        guest.abi("measure_i64", two, 2, 0)

        assert points(telemetry, "a") == [Point({}, 3)]
        assert caplog.records == []


class TestMeasurements:
    @pytest.mark.parametrize("number", [I64, F64])
    @pytest.mark.parametrize("kind", [COUNTER, UP_DOWN, HISTOGRAM, GAUGE])
    def test_kinds(self, guest: Guest, telemetry: Telemetry, kind: int, number: int) -> None:
        """Counters add, histograms record and gauges keep the last, in both number types."""
        instrument = guest.instrument(kind, number, packing.instrument("m"))
        one, two = (5, 2) if number == I64 else (5.5, 2.25)

        guest.run(
            *[
                lambda v=value: guest.abi("measure_f64" if number == F64 else "measure_i64", instrument, v, 0)
                for value in (one, two)
            ]
        )

        data = telemetry.metrics()["guest", "m"].data
        (point,) = data.data_points
        match kind:
            case 1 | 2:
                assert isinstance(data, Sum)
                assert data.is_monotonic == (kind == COUNTER)
                assert repr(point.value) == repr(one + two)
            case 3:
                assert isinstance(data, Histogram)
                assert (point.count, point.sum, point.min, point.max) == (2, one + two, two, one)
            case _:
                assert isinstance(data, Gauge)
                assert repr(point.value) == repr(two)
        assert guest.rejected() == {}

    def test_limits_of_numbers(self, guest: Guest, telemetry: Telemetry) -> None:
        """The largest and smallest i64 arrive as they are; on an f64 instrument an i64 is converted."""
        up_down = guest.instrument(UP_DOWN, I64, packing.instrument("u"))
        gauge = guest.instrument(GAUGE, F64, packing.instrument("g"))

        guest.abi("measure_i64", up_down, 2**63 - 1, 0)
        assert points(telemetry, "u") == [Point({}, 2**63 - 1)]
        guest.abi("measure_i64", up_down, -(2**63), 0)
        assert points(telemetry, "u") == [Point({}, -1)]
        guest.abi("measure_i64", gauge, -3, 0)
        (point,) = points(telemetry, "g")
        assert repr(point.value) == "-3.0"
        guest.abi("measure_f64", gauge, 5e-324, 0)
        assert points(telemetry, "g") == [Point({}, 5e-324)]
        assert guest.rejected() == {}

    def test_unusable(self, guest: Guest, telemetry: Telemetry) -> None:
        """A negative value of what only grows, an f64 for an i64, NaN and infinities are counted and dropped."""
        counter = guest.instrument(COUNTER, I64, packing.instrument("c"))
        histogram = guest.instrument(HISTOGRAM, F64, packing.instrument("h"))

        guest.abi("measure_i64", counter, -1, 0)
        guest.abi("measure_f64", counter, 1.0, 0)
        guest.abi("measure_f64", histogram, -0.5, 0)
        guest.abi("measure_i64", histogram, -1, 0)
        for value in (math.nan, math.inf, -math.inf):
            guest.abi("measure_f64", histogram, value, 0)

        assert guest.rejected() == {"measurement": 7}
        assert points(telemetry, "c") == points(telemetry, "h") == []
        guest.abi("measure_f64", histogram, -0.0, 0)
        assert guest.rejected() == {"measurement": 7}

    @pytest.mark.parametrize("instrument", [1, 2**31 - 1, 2**31, -1])
    def test_unknown_instrument(self, guest: Guest, instrument: int) -> None:
        """An unknown instrument is counted."""
        guest.abi("measure_i64", instrument, 1, 0)
        guest.abi("measure_f64", instrument, 1.0, 0)

        assert guest.rejected() == {"instrument": 2}

    def test_no_instrument(self, guest: Guest) -> None:
        """Instrument 0, what a failed registration gave, is valid and does nothing."""
        guest.abi("measure_i64", 0, -1, 0)
        guest.abi("measure_f64", 0, math.nan, 0)

        assert guest.rejected() == {}

    @pytest.mark.parametrize("attribute_set", [1, 2**31, -1])
    def test_unknown_set(self, guest: Guest, telemetry: Telemetry, attribute_set: int) -> None:
        """An unknown attribute set is counted, and the value kept without."""
        counter = guest.instrument(COUNTER, I64, packing.instrument("c"))
        histogram = guest.instrument(GAUGE, F64, packing.instrument("g"))

        guest.abi("measure_i64", counter, 1, attribute_set)
        guest.abi("measure_f64", histogram, 1.5, attribute_set)

        assert points(telemetry, "c") == [Point({}, 1)]
        assert points(telemetry, "g") == [Point({}, 1.5)]
        assert guest.rejected() == {"attribute_set": 2}


class TestAttributeSets:
    def test_values(self, guest: Guest, telemetry: Telemetry) -> None:
        """Strings, bools, numbers and arrays of one of these are attributes of the data points."""
        given: dict[str, Any] = {"s": "x", "b": True, "i": 1, "f": 1.5, "ss": ("a", "b"), "none": ()}
        counter = guest.instrument(COUNTER, I64, packing.instrument("c"))
        number = guest.attribute_set(given)

        guest.abi("measure_i64", counter, 1, number)
        guest.abi("measure_i64", counter, 2, number)

        assert points(telemetry, "c") == [Point(given, 3)]
        assert guest.rejected() == {}

    def test_same_bytes_same_id(self, guest: Guest) -> None:
        """The same bytes give the same id; no bytes are set 0, wherever they are."""
        assert guest.attribute_set({"a": 1}) == guest.attribute_set({"a": 1}) > 0
        assert guest.attribute_set({"a": 1}) != guest.attribute_set({"a": 2})
        assert guest.attribute_set({}) == 0
        assert guest.abi("attribute_set", -1, 0) == 0
        assert guest.rejected() == {}

    def test_unusable_values(self, guest: Guest, telemetry: Telemetry) -> None:
        """Values of other types are dropped and counted, the others kept."""
        counter = guest.instrument(COUNTER, I64, packing.instrument("c"))
        number = guest.attribute_set(
            {"bytes": b"x", "map": {"k": 1}, "mixed": [1, "a"], "empty": None, "deep": [[1]], "kept": 1}
        )

        guest.abi("measure_i64", counter, 1, number)

        assert points(telemetry, "c") == [Point({"kept": 1}, 1)]
        assert guest.rejected() == {"attribute_type": 5}

    def test_overflow(self, telemetry: Telemetry, native: bool) -> None:
        """Beyond the limit there is one set that says so, and known sets are still found."""
        guest = Guest(telemetry.bridge(limits=Limits(attribute_sets=2), native=native), tenant="acme")
        counter = guest.instrument(COUNTER, I64, packing.instrument("c"))

        sets = [guest.attribute_set({"n": number}) for number in range(5)]
        for number in (*sets, guest.attribute_set({"n": 1})):
            guest.abi("measure_i64", counter, 1, number)

        tenant = {"wasm.tenant": "acme"}
        assert sorted(points(telemetry, "c"), key=lambda point: point.attributes.get("n", 9)) == [
            Point({"n": 0, **tenant}, 1),
            Point({"n": 1, **tenant}, 2),
            Point({"otel.metric.overflow": True, **tenant}, 3),
        ]

    def test_as_many_as_allowed(self, guest: Guest, telemetry: Telemetry) -> None:
        """With 2,000 sets, measured in one call, each has its point, however large all of it is."""
        counters = [guest.instrument(COUNTER, I64, packing.instrument(name)) for name in ("c", "d")]
        sets = [guest.attribute_set({"key": "x" * 40, "n": number}) for number in range(2_000)]

        guest.run(*[lambda c=c, s=s: guest.abi("measure_i64", c, s, s) for c in counters for s in sets])

        for name in ("c", "d"):
            assert sorted(point.value for point in points(telemetry, name)) == sorted(sets)
        assert guest.rejected() == {}

    def test_as_many_when_the_store_closes(self, telemetry: Telemetry) -> None:
        """What was measured outside of any call is there when the store is closed, however large all of it is."""
        guest = Guest(telemetry.bridge(), store=wasmtime.Store(engine()))
        counter = guest.instrument(COUNTER, I64, packing.instrument("c"))
        sets = [guest.attribute_set({"key": "x" * 40, "n": number}) for number in range(2_000)]
        for number in sets:
            guest.abi("measure_i64", counter, number, number)

        guest.store.close()

        assert sorted(point.value for point in points(telemetry, "c")) == sorted(sets)

    def test_malformed(self, guest: Guest, telemetry: Telemetry) -> None:
        """Of a malformed set the good part is kept; it is counted once, as it is registered once."""
        counter = guest.instrument(COUNTER, I64, packing.instrument("c"))
        data = packing.attributes({"a": 1}) + b"\x01"

        numbers = {guest.attribute_set(data) for _ in range(3)}
        guest.abi("measure_i64", counter, 1, numbers.pop())

        assert not numbers
        assert points(telemetry, "c") == [Point({"a": 1}, 1)]
        assert guest.rejected() == {"attribute": 1}

    def test_cannot_forge(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A set cannot name another tenant."""
        guest = Guest(bridge, tenant="acme")
        counter = guest.instrument(COUNTER, I64, packing.instrument("c"))

        guest.abi("measure_i64", counter, 1, guest.attribute_set({"wasm.tenant": "other"}))

        assert points(telemetry, "c") == [Point({"wasm.tenant": "acme"}, 1)]
        assert guest.rejected() == {"attribute_reserved": 1}

    def test_size(self, make_guest: Callable[..., Guest]) -> None:
        """A list of as many bytes as allowed is read; one byte more is dropped and counted."""
        guest = make_guest(limits=Limits(attributes_bytes=10))

        assert guest.attribute_set({"a": "12"}) > 0
        assert guest.attribute_set({"a": "123"}) == 0
        assert guest.rejected() == {"attributes_size": 1}
