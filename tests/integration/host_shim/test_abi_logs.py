"""The ABI's log records, through real wasm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord

from tests.support import packing
from tests.support.guests import Guest
from tests.support.packing import Field
from tests.support.telemetry import Telemetry, TickingClock
from wasmscope.host_shim import Bridge, Limits

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

MALFORMED = {
    "empty": b"",
    "cut": packing.callsite()[:-1],
    "kind 0": packing.callsite(0),
    "kind 3": packing.callsite(3),
    "kind 255": packing.callsite(255),
    "severity": packing.callsite(severity=25),
    "long name": packing.callsite(name="x" * 1_025),
    "long target": packing.callsite(target="x" * 1_025),
    "long file": packing.callsite(file="x" * 1_025),
    "empty field": packing.callsite(fields=["a", ""]),
    "the host's field": packing.callsite(fields=["wasm.tenant"]),
    "another of the host's": packing.callsite(fields=["wasmscope.target"]),
    "long field": packing.callsite(fields=["x" * 257]),
    "cut in a field": packing.callsite(fields=["a", "b"])[:-1],
    "65,535 fields": b"\x01\x00\xff\xff\x00\x00\x00\x00" + bytes(8),
}


class TestRecord:
    def test_body_and_attributes(self, guest: Guest, telemetry: Telemetry) -> None:
        """A record has the body and the attributes of all types that the guest gave."""
        given: dict[str, Any] = {
            "s": "text", "t": True, "i": -7, "f": 2.5, "b": b"\x00\xff", "list": ("a", "b"), "map": {"k": True},
            "none": None, "🔑": "日本語",
        }  # fmt: skip

        guest.run(lambda: guest.log("日本語 ∓", given))

        record = telemetry.log("日本語 ∓")
        assert repr(dict(record.attributes)) == repr(given)
        assert record.event_name is None
        assert guest.rejected() == {}

    def test_nothing(self, guest: Guest, telemetry: Telemetry) -> None:
        """A record of nothing but zeros is a record without severity, attributes or call site; addresses of empty
        things are not read."""
        guest.run(lambda: guest.abi("log", 0, 0, 0, -1, 0, -1, 0))

        (record,) = telemetry.logs()
        assert (record.body, record.severity_number, record.severity_text) == ("", None, None)
        assert dict(record.attributes) == {}
        assert guest.rejected() == {}

    def test_same_record_often(self, guest: Guest, telemetry: Telemetry) -> None:
        """The same bytes mean the same each time."""
        guest.run(*[lambda: guest.log("again", {"n": 1, "list": [1, 2]})] * 5)

        assert [dict(r.attributes) for r in telemetry.logs()] == [{"n": 1, "list": (1, 2)}] * 5

    def test_scope(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """The scope of a guest's records is its module, named and versioned by the host."""
        guest = Guest(bridge, name="shop", version="1.2")

        guest.run(lambda: guest.log("x"))

        (record,) = telemetry.records()
        assert record.instrumentation_scope is not None
        assert (record.instrumentation_scope.name, record.instrumentation_scope.version) == ("shop", "1.2")

    def test_tenant(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A tenant's records carry it, and the guest cannot say another."""
        guest = Guest(bridge, tenant="acme")

        for _ in range(2):
            guest.run(lambda: guest.log("x", {"wasm.tenant": "other", "n": 1}))
            guest.run(lambda: guest.log("y"))

        attributes = [dict(record.attributes) for record in telemetry.logs()]
        assert attributes == [{"n": 1, "wasm.tenant": "acme"}, {"wasm.tenant": "acme"}] * 2
        assert guest.rejected() == {"attribute_reserved": 2}

    def test_time(self, bridge: Bridge, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
        """The host takes the timestamp, when it is called."""
        TickingClock(start_ns=1_000, step_ns=10).install(monkeypatch)
        guest = Guest(bridge)

        guest.run(lambda: guest.log("a"), lambda: guest.log("b"))

        first, second = telemetry.logs()
        assert 1_000 <= first.timestamp < second.timestamp < 1_200

    def test_processors_may_change_records(self, telemetry: Telemetry) -> None:
        """What a processor of the application adds to one record does not show up on the next one."""

        class Adds(LogRecordProcessor):
            def on_emit(self, log_record: ReadWriteLogRecord) -> None:
                attributes: Any = log_record.log_record.attributes
                attributes["seen"] = attributes.get("seen", 0) + 1

            def shutdown(self) -> None:
                pass

            def force_flush(self, timeout_millis: int = 30_000) -> bool:
                return True

        telemetry.logger_provider.add_log_record_processor(Adds())
        guest = Guest(telemetry.bridge(), tenant="acme")
        site = guest.callsite(packing.callsite(target="t"))

        guest.run(*[lambda: guest.log("x", {"n": 1}, callsite=site)] * 3)
        guest.run(*[lambda: guest.log("x", callsite=site)] * 3)

        assert [record.attributes["seen"] for record in telemetry.logs()] == [1] * 6


class TestSeverity:
    @pytest.mark.parametrize("severity", range(1, 25))
    def test_known(self, guest: Guest, telemetry: Telemetry, severity: int) -> None:
        """1-24 are OpenTelemetry's severity numbers, with their short names as text."""
        if guest.memory64:
            severity = 25 - severity
        guest.run(lambda: guest.log("x", severity=severity))

        (record,) = telemetry.logs()
        assert record.severity_number is SeverityNumber(severity)
        assert record.severity_text == SeverityNumber(severity).name

    @pytest.mark.parametrize("severity", [25, 26, 255, 2**31 - 1, 2**31, -1])
    def test_unknown(self, guest: Guest, telemetry: Telemetry, severity: int) -> None:
        """Any other is counted, and the record kept without severity."""
        site = guest.callsite(packing.callsite(severity=13))

        guest.run(lambda: guest.log("x", {"n": 1}, severity=severity, callsite=site))

        record = telemetry.log("x")
        assert (record.severity_number, record.severity_text) == (None, None)
        assert dict(record.attributes) == {"n": 1}
        assert guest.rejected() == {"severity": 1}

    def test_of_the_call_site(self, guest: Guest, telemetry: Telemetry) -> None:
        """0 takes the call site's severity; another one goes before it."""
        site = guest.callsite(packing.callsite(severity=13))

        guest.run(lambda: guest.log("x", severity=0, callsite=site), lambda: guest.log("y", severity=17, callsite=site))

        assert telemetry.log("x").severity_number is SeverityNumber.WARN
        assert telemetry.log("y").severity_number is SeverityNumber.ERROR


class TestCallSite:
    def test_everything(self, guest: Guest, telemetry: Telemetry) -> None:
        """A call site's name becomes the event name; file, line, target and constants are on each record."""
        descriptor = packing.callsite(
            name="order.created", target="shop::orders", file="src/orders.rs", line=42, constants={"env": "eu", "n": 1}
        )
        site = guest.callsite(descriptor)

        guest.run(lambda: guest.log("a", callsite=site), lambda: guest.log("b", {"n": 2}, callsite=site))

        constants = {
            "env": "eu",
            "n": 1,
            "wasmscope.target": "shop::orders",
            "code.file.path": "src/orders.rs",
            "code.line.number": 42,
        }
        assert dict(telemetry.log("a").attributes) == constants
        assert dict(telemetry.log("b").attributes) == {**constants, "n": 2}
        assert telemetry.log("a").event_name == "order.created"

    def test_same_bytes_same_id(self, guest: Guest) -> None:
        """The same descriptor gives the same id, another one another; ids are positive."""
        first, second = packing.callsite(name="a"), packing.callsite(name="b")

        ids = [guest.callsite(first), guest.callsite(second), guest.callsite(first)]

        assert ids[0] == ids[2] > 0
        assert ids[1] not in {0, ids[0]}

    def test_fields(self, guest: Guest, telemetry: Telemetry) -> None:
        """Records refer to a call site's field names by index; the same bytes under two call sites mean two things."""
        one = guest.callsite(packing.callsite(fields=["a", "b"]))
        two = guest.callsite(packing.callsite(fields=["c"]))
        attrs = [(Field(0), 1), (Field(1), "x")]

        for _ in range(2):
            guest.run(lambda: guest.log("1", attrs, callsite=one), lambda: guest.log("2", attrs, callsite=two))

        assert [dict(r.attributes) for r in telemetry.logs()] == [{"a": 1, "b": "x"}, {"c": 1}] * 2
        assert guest.rejected() == {"attribute_field": 2}

    @pytest.mark.parametrize("callsite", [1, 2, 2**31 - 1, 2**31, -1])
    def test_unknown(self, guest: Guest, telemetry: Telemetry, callsite: int) -> None:
        """An unknown call site is counted, and the record kept without."""
        guest.run(lambda: guest.log("x", {"n": 1}, severity=0, callsite=callsite))

        assert dict(telemetry.log("x").attributes) == {"n": 1}
        assert guest.rejected() == {"callsite": 1}

    @pytest.mark.parametrize("descriptor", MALFORMED.values(), ids=MALFORMED)
    def test_malformed(self, guest: Guest, descriptor: bytes) -> None:
        """A malformed descriptor is counted and gives 0."""
        assert guest.callsite(descriptor) == 0
        assert guest.rejected() == {"descriptor": 1}

    def test_at_the_limits(self, guest: Guest) -> None:
        """Names of as many bytes as allowed are registered."""
        long = "x" * 1_024
        descriptor = packing.callsite(name=long, target=long, file=long, fields=["f" * 256])

        assert guest.callsite(descriptor) > 0
        assert guest.rejected() == {}

    def test_size(self, make_guest: Callable[..., Guest]) -> None:
        """A descriptor of as many bytes as allowed is read, one byte more is counted and gives 0."""
        guest = make_guest(limits=Limits(descriptor_bytes=20))

        assert guest.callsite(packing.callsite(name="123456")) > 0
        assert guest.callsite(packing.callsite(name="1234567")) == 0
        assert guest.rejected() == {"descriptor": 1}

    def test_count(self, make_guest: Callable[..., Guest], telemetry: Telemetry) -> None:
        """As many call sites as allowed are registered; known ones are still given out beyond."""
        guest = make_guest(limits=Limits(callsites=3))
        ids = [guest.callsite(packing.callsite(name=f"n{number}")) for number in range(5)]

        assert ids == [1, 2, 3, 0, 0]
        assert guest.callsite(packing.callsite(name="n1")) == 2
        assert guest.rejected() == {"callsite_count": 2}

    def test_malformed_constants(self, guest: Guest, telemetry: Telemetry) -> None:
        """Of malformed constant attributes the good ones are kept, and the rest counted once for the call site."""
        site = guest.callsite(packing.callsite(constants={"a": 1}) + b"\x01\x00b\x09")

        guest.run(lambda: guest.log("x", callsite=site), lambda: guest.log("x", callsite=site))

        assert [dict(record.attributes) for record in telemetry.logs()] == [{"a": 1}, {"a": 1}]
        assert guest.rejected() == {"attribute": 1}

    def test_ill_formed_text(self, guest: Guest, telemetry: Telemetry) -> None:
        """Ill-formed UTF-8 in a descriptor is replaced and counted."""
        site = guest.callsite(packing.callsite(name="a?b").replace(b"?", b"\xff"))

        guest.run(lambda: guest.log("x", callsite=site))

        assert telemetry.log("x").event_name == "a�b"
        assert guest.rejected() == {"utf8": 1}

    def test_constants_cannot_forge(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """Constant attributes cannot set what the host sets."""
        guest = Guest(bridge, tenant="acme")
        site = guest.callsite(packing.callsite(constants={"wasm.tenant": "other"}))

        guest.run(lambda: guest.log("x", callsite=site))

        assert dict(telemetry.log("x").attributes) == {"wasm.tenant": "acme"}
        assert guest.rejected() == {"attribute_reserved": 1}


class TestEnabled:
    def test_everything_is(self, guest: Guest) -> None:
        """Without a minimum everything is enabled, for the instance's life."""
        log, span = guest.callsite(packing.callsite(1, severity=1)), guest.callsite(packing.callsite(2))

        assert [guest.abi("enabled", site) for site in (0, log, span)] == [3, 3, 3]

    def test_below_the_minimum(self, telemetry: Telemetry, native: bool) -> None:
        """Below the host's minimum a call site is disabled for good, and its records are dropped, uncounted."""
        guest = Guest(telemetry.bridge(min_severity=9, native=native))
        sites = [guest.callsite(packing.callsite(severity=severity)) for severity in (8, 9, 24)]

        for site in sites:
            guest.run(lambda: guest.log(f"{site}", severity=0, callsite=site))

        assert [guest.abi("enabled", site) for site in sites] == [2, 3, 3]
        assert [record.body for record in telemetry.logs()] == [str(sites[1]), str(sites[2])]
        assert guest.rejected() == {}

    def test_no_severity_is_not_below(self, make_guest: Callable[..., Guest], telemetry: Telemetry) -> None:
        """What has no severity is kept, and so enabled: its records may bring one."""
        guest = make_guest(min_severity=9)
        site = guest.callsite(packing.callsite(severity=0))

        guest.run(
            lambda: guest.log("none", severity=0, callsite=site), lambda: guest.log("warn", severity=13, callsite=site)
        )
        guest.run(lambda: guest.log("debug", severity=5, callsite=site))

        assert guest.abi("enabled", site) == 3
        assert [record.body for record in telemetry.logs()] == ["none", "warn"]

    def test_span_sites_are(self, make_guest: Callable[..., Guest]) -> None:
        """A minimum is for logs: call sites of spans stay enabled."""
        guest = make_guest(min_severity=24)

        assert guest.abi("enabled", guest.callsite(packing.callsite(2, severity=1))) == 3

    @pytest.mark.parametrize("callsite", [1, 2**31, -1])
    def test_unknown(self, guest: Guest, callsite: int) -> None:
        """An unknown call site is counted and answered for a record without one."""
        assert guest.abi("enabled", callsite) == 3
        assert guest.rejected() == {"callsite": 1}


class TestTraceContext:
    def test_current(self, guest: Guest, telemetry: Telemetry) -> None:
        """A record belongs to the entered span, else to the host's span of the call."""

        def body() -> None:
            guest.log("before")
            span = guest.entered("work")
            guest.log("within")
            guest.abi("span_end", span)
            guest.log("after")

        guest.run(body)

        call, work = telemetry.span("wasm.call run"), telemetry.span("work")
        assert [record.span_id for record in telemetry.logs()] == [
            span.context.span_id for span in (call, work, call)
        ]  # fmt: skip
        assert {record.trace_id for record in telemetry.logs()} == {call.context.trace_id}
        assert all(record.trace_flags == 1 for record in telemetry.logs())

    def test_given(self, guest: Guest, telemetry: Telemetry) -> None:
        """A handle names the span, open or ended, or the remote context; -1 is none."""

        def body() -> None:
            span = guest.start("work")
            guest.log("open", context=span)
            guest.abi("span_end", span)
            guest.log("ended", context=span)
            remote = guest.abi("remote_context", *guest.text(TRACEPARENT), 0, 0)
            guest.log("remote", context=remote)
            guest.log("none", context=-1)

        guest.run(body)

        work = telemetry.span("work").context
        ids = [(record.trace_id, record.span_id) for record in telemetry.logs()]
        remote = (0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7)
        assert ids == [(work.trace_id, work.span_id)] * 2 + [remote, (0, 0)]
        assert guest.rejected() == {}

    @pytest.mark.parametrize("context", [1, 99, -3, 2**63 - 1, -(2**63)])
    def test_unknown(self, guest: Guest, telemetry: Telemetry, context: int) -> None:
        """An unknown handle is counted and means the current span."""
        guest.run(lambda: guest.log("x", context=context))

        assert telemetry.log("x").span_id == telemetry.span("wasm.call run").context.span_id
        assert guest.rejected() == {"handle": 1}


class TestBody:
    @pytest.mark.parametrize("size", [65_535, 65_536])
    def test_up_to_the_limit(self, bridge: Bridge, telemetry: Telemetry, size: int) -> None:
        """A body of as many bytes as allowed is whole."""
        guest = Guest(bridge, pages=4)

        guest.run(lambda: guest.log("x" * size))

        (record,) = telemetry.logs()
        assert len(record.body) == size
        assert dict(record.attributes) == {}

    def test_beyond_the_limit(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A longer one is cut between characters, its length noted together with what else was cut."""
        guest = Guest(bridge, pages=6)
        body = "x" + "ü" * 40_000

        guest.run(lambda: guest.log(body, {"s": "y" * 20_000, "n": 1}))

        (record,) = telemetry.logs()
        assert record.body == "x" + "ü" * 32_767
        assert dict(record.attributes) == {
            "s": "y" * 16_384,
            "n": 1,
            "wasmscope.truncated": ("body=80001", "s=20000"),
        }
        assert guest.rejected() == {}

    def test_ill_formed(self, guest: Guest, telemetry: Telemetry) -> None:
        """Ill-formed UTF-8 is replaced, counted and kept, and so is what comes with it."""
        guest.run(lambda: guest.log(b"a\xffb", {"n": 1}))

        assert dict(telemetry.log("a�b").attributes) == {"n": 1}
        assert guest.rejected() == {"utf8": 1}


class TestSpanEvents:
    def test_as_events(self, telemetry: Telemetry, native: bool) -> None:
        """If asked, each record is repeated as an event of its span, marked with its severity."""
        guest = Guest(telemetry.bridge(logs_as_span_events=True, native=native))
        site = guest.callsite(packing.callsite(name="order.created", severity=13))

        def body() -> None:
            span = guest.entered("work")
            guest.log("plain", {"n": 1})
            guest.log("named", severity=0, callsite=site)
            guest.log("", severity=0)
            guest.log("elsewhere", context=-1)
            guest.abi("span_end", span)
            guest.log("to the call")

        guest.run(body)

        events = [(event.name, dict(event.attributes or {})) for event in telemetry.span("work").events]
        assert events == [
            ("plain", {"n": 1, "wasmscope.log": "INFO"}),
            ("order.created", {"wasmscope.log": "WARN"}),
            ("log", {"wasmscope.log": ""}),
        ]
        assert [event.name for event in telemetry.span("wasm.call run").events] == ["to the call"]
        assert len(telemetry.logs()) == 5

    def test_not_as_events(self, guest: Guest, telemetry: Telemetry) -> None:
        """By default they are not."""
        guest.run(lambda: guest.log("x"))

        assert not telemetry.span("wasm.call run").events
