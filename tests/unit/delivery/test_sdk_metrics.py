"""Measurements of guests in the application's instruments."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric

from tests.support import packing
from tests.unit.delivery.sdk import SCOPE, Sdk
from wasmscope.delivery import Scope, SdkDelivery, SdkMetricSource

COUNTER, UP_DOWN, HISTOGRAM, GAUGE = 1, 2, 3, 4
TIMES = struct.pack("<QQ", 1_000, 1_000)


def described(number: int, kind: int, name: str, *, is_float: bool = False, **fields: Any) -> bytes:
    """Encode record 1: an instrument."""
    descriptor = packing.instrument(name, **fields)
    return struct.pack("<BIBBI", 1, number, kind, is_float, len(descriptor)) + descriptor


def attribute_set(number: int, attributes: Mapping[str, Any] | None) -> bytes:
    """Encode record 2: an attribute set; None for the overflow set."""
    if attributes is None:
        return struct.pack("<BII", 2, number, 0xFFFF_FFFF)
    packed = packing.attributes(attributes)
    return struct.pack("<BII", 2, number, len(packed)) + packed


def counted(instrument: int, value: float, of: int = 0) -> bytes:
    """Encode record 3 or 4: what a sum grew by."""
    return _value(3, instrument, value, of)


def last(instrument: int, value: float, of: int = 0) -> bytes:
    """Encode record 5 or 6: what a gauge was set to."""
    return _value(5, instrument, value, of)


def measured(instrument: int, value: float, of: int = 0) -> bytes:
    """Encode record 9 or 10: one measurement of a histogram."""
    return _value(9, instrument, value, of)


def _value(tag: int, instrument: int, value: float, of: int) -> bytes:
    is_float = isinstance(value, float)
    return struct.pack("<BII" + ("d" if is_float else "q"), tag + is_float, instrument, of, value) + TIMES


def decode(packed: bytes) -> Mapping[str, Any]:
    return packing.decode(packed).attributes


class Meters:
    """A meter provider that keeps all, and a delivery to it."""

    def __init__(self, **options: Any) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False, exemplar_filter=AlwaysOnExemplarFilter())
        self.delivery = SdkDelivery(meter_provider=self.provider, **options)

    def source(self, scope: Scope = SCOPE, base: Mapping[str, Any] | None = None) -> SdkMetricSource:
        return self.delivery.metric_source(scope, base or {}, decode)

    def metrics(self) -> dict[str, Metric]:
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {m.name: m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        found: Any = self.metrics()[name].data.data_points
        return [(dict(point.attributes or {}), getattr(point, "value", point)) for point in found]


class TestKinds:
    """Instruments of each kind, as their guest describes them."""

    @pytest.mark.parametrize("one", [1, 1.0])
    def test_sums(self, one: float) -> None:
        """Counters and up-down counters get what was added since the last time, as a number of their type."""
        meters = Meters()
        source = meters.source()
        is_float = isinstance(one, float)
        source.merge(
            described(1, COUNTER, "requests", is_float=is_float, unit="{request}", description="Requests served")
            + described(2, UP_DOWN, "queue", is_float=is_float)
            + counted(1, 3 * one)
            + counted(2, 5 * one)
        )
        source.merge(counted(1, 4 * one) + counted(2, -7 * one))
        requests = meters.metrics()["requests"]
        ((_, total),) = meters.points("requests")
        ((_, queue),) = meters.points("queue")

        assert (requests.unit, requests.description) == ("{request}", "Requests served")
        assert (total, queue) == (7, -2)
        assert type(total) is type(one)

    def test_wide_sum(self) -> None:
        """A sum that does not fit into 64 bits is added as it is."""
        meters = Meters()
        source = meters.source()
        low, high = 5, 3
        source.merge(described(1, COUNTER, "big") + struct.pack("<BIIQq", 11, 1, 0, low, high) + TIMES)

        assert meters.points("big") == [({}, 3 * 2**64 + 5)]

    def test_gauge(self) -> None:
        """A gauge has what it was set to last."""
        meters = Meters()
        source = meters.source()
        source.merge(described(1, GAUGE, "temperature", is_float=True) + last(1, 20.5))
        source.merge(last(1, 21.5))

        assert meters.points("temperature") == [({}, 21.5)]

    def test_histogram(self) -> None:
        """A histogram gets each measurement, and the guest's boundaries if no view of the application has others."""
        meters = Meters()
        source = meters.source()
        source.merge(
            described(1, HISTOGRAM, "latency", is_float=True, boundaries=[1.0, 10.0])
            + measured(1, 0.5)
            + measured(1, 5.0)
            + measured(1, 50.0)
            + described(2, HISTOGRAM, "size")
            + measured(2, 7)
        )
        ((_, latency),) = meters.points("latency")
        ((_, size),) = meters.points("size")

        assert tuple(latency.explicit_bounds) == (1.0, 10.0)
        assert tuple(latency.bucket_counts) == (1, 1, 1)
        assert (latency.sum, latency.min, latency.max, latency.count) == (55.5, 0.5, 50.0, 3)
        assert (size.sum, size.count) == (7, 1)


class TestAttributes:
    """What a value is recorded with."""

    def test_sets(self) -> None:
        """Values have their set's attributes, and the host's, which win."""
        meters = Meters()
        meters.source(base={"wasm.tenant": "acme"}).merge(
            described(1, COUNTER, "c")
            + attribute_set(1, {"route": "/a", "codes": [1, 2]})
            + attribute_set(2, {"wasm.tenant": "forged", "ok": True})
            + attribute_set(3, None)
            + counted(1, 1)
            + counted(1, 2, 1)
            + counted(1, 3, 2)
            + counted(1, 4, 3)
        )

        assert sorted(meters.points("c"), key=lambda point: point[1]) == [
            ({"wasm.tenant": "acme"}, 1),
            ({"wasm.tenant": "acme", "route": "/a", "codes": (1, 2)}, 2),
            ({"wasm.tenant": "acme", "ok": True}, 3),
            ({"wasm.tenant": "acme", "otel.metric.overflow": True}, 4),
        ]

    def test_instances(self) -> None:
        """Instances number their instruments and sets as they like; what they record comes together by names."""
        meters = Meters()
        first, second = meters.source(), meters.source()
        first.merge(described(1, COUNTER, "c") + attribute_set(1, {"a": 1}) + counted(1, 1, 1))
        second.merge(
            described(1, GAUGE, "g")
            + described(2, COUNTER, "c")
            + attribute_set(1, {"a": 2})
            + attribute_set(2, {"a": 1})
        )
        second.merge(counted(2, 10, 2) + counted(2, 100, 1))

        assert sorted(meters.points("c"), key=lambda point: point[1]) == [({"a": 1}, 11), ({"a": 2}, 100)]
        assert meters.delivery.lost() == {}

    def test_rename(self) -> None:
        """A guest that gets another name keeps what it registered; its values go to the other module."""
        meters = Meters()
        source = meters.source(Scope("wasm"))
        source.merge(described(1, COUNTER, "early") + attribute_set(1, {"a": 1}) + counted(1, 1, 1))
        source.rename(meters.delivery.instruments(SCOPE), {"wasm.tenant": "acme"})
        source.merge(counted(1, 2, 1))
        data: Any = meters.reader.get_metrics_data()
        found = {
            scope.scope.name: [(dict(p.attributes), p.value) for p in scope.metrics[0].data.data_points]
            for scope in data.resource_metrics[0].scope_metrics
        }

        assert found == {"wasm": [({"a": 1}, 1)], "module": [({"a": 1, "wasm.tenant": "acme"}, 2)]}

    def test_no_exemplars(self) -> None:
        """A value is not taken for one of the span that is current when it is handed on."""
        meters = Meters()
        with Sdk().tracer_provider.get_tracer("host").start_as_current_span("other"):
            meters.source().merge(
                described(1, COUNTER, "c") + described(2, HISTOGRAM, "h") + counted(1, 1) + measured(2, 1)
            )
        counter: Any = meters.metrics()["c"].data

        # The filter offers all: each has an exemplar, and none has a span.
        assert [(e.trace_id, e.span_id) for e in counter.data_points[0].exemplars] == [(None, None)]


class TestLosses:
    """What cannot be recorded."""

    def test_too_many_instruments(self) -> None:
        """Over the limit of a module, over all its instances, values are lost and counted; known ones go on."""
        meters = Meters(instruments=2)
        for name in "abca":
            meters.source().merge(described(1, COUNTER, name) + counted(1, 1) + counted(1, 1))

        assert set(meters.metrics()) == {"a", "b"}
        assert meters.delivery.lost() == {("metrics", "instrument_count"): 2}

    @pytest.mark.parametrize(
        "data",
        [
            counted(7, 1),
            described(1, COUNTER, "x") + counted(1, 1, 5),
            b"\x63",
            described(1, COUNTER, "x") + counted(1, 1)[:-1],
            described(1, HISTOGRAM, "x") + struct.pack("<BIIQdddIQ", 7, 1, 0, 1, 1.0, 1.0, 1.0, 1, 1) + TIMES,
        ],
    )
    def test_malformed(self, data: bytes) -> None:
        """What no collector writes is counted; what came before it is recorded."""
        meters = Meters()
        source = meters.source()
        source.merge(described(9, COUNTER, "good") + counted(9, 1) + data)
        source.merge(counted(9, 1))

        assert meters.points("good") == [({}, 2)]
        assert meters.delivery.lost() == {("metrics", "malformed"): 1}

    def test_raising(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        """An instrument that cannot be made costs its values only."""
        meters = Meters()
        get_meter = meters.provider.get_meter

        def get_bad_meter(*args: Any, **kwargs: Any) -> Any:
            meter = get_meter(*args, **kwargs)

            def refuse(*args: Any, **kwargs: Any) -> Any:
                raise ValueError("no gauges here")

            monkeypatch.setattr(meter, "create_gauge", refuse)
            return meter

        monkeypatch.setattr(meters.provider, "get_meter", get_bad_meter)
        meters.source().merge(
            described(1, GAUGE, "g") + described(2, COUNTER, "c") + last(1, 1) + last(1, 2) + counted(2, 3)
        )

        assert meters.points("c") == [({}, 3)]
        assert meters.delivery.lost() == {("metrics", "failed"): 2}
        assert [r.getMessage() for r in caplog.records if "no gauges here" in r.getMessage()] != []

    def test_no_provider(self) -> None:
        """Without a provider that keeps anything, nothing is kept, and nothing is wrong."""
        delivery = SdkDelivery(meter_provider=NoOpMeterProvider())
        delivery.metric_source(SCOPE, {}, decode).merge(described(1, COUNTER, "c") + counted(1, 1))

        assert delivery.lost() == {}
