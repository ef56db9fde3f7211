"""Spans and log records as the collector makes them: every field, limit and rule."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.support import packing
from tests.support.collecting import OUTSIDE, SPAN_ID, TRACE_ID, Collector, attributes_of
from wasmscope.host_shim import Limits


class TestFields:
    def test_span(self) -> None:
        """A span has the ids, the name, kind, times, flags, attributes and status that it was given."""
        own = Collector(base={"wasm.tenant": "acme"})
        handle = own.start("name", {"a": 1}, kind=3)
        own.end(handle)
        (span,) = own.take().spans
        assert span.trace_id == TRACE_ID
        assert span.parent_span_id == SPAN_ID
        assert len(span.span_id) == 8 and any(span.span_id)
        assert (span.name, span.kind, span.trace_state) == ("name", 3, "")
        assert 0 < span.start_time_unix_nano < span.end_time_unix_nano
        assert attributes_of(span.attributes) == {"a": 1, "wasm.tenant": "acme"}
        # OTLP: the low eight bits are the trace flags, bit 8 says that bit 9 (the parent is remote) is known.
        assert span.flags == 0x101
        assert span.HasField("status")
        assert (span.status.code, span.status.message) == (0, "")
        assert span.dropped_attributes_count == span.dropped_events_count == span.dropped_links_count == 0
        assert own.counter("started") == own.counter("ended") == 1
        assert own.counter("unsampled") == 0

    @pytest.mark.parametrize(
        ("kind", "expected"), [(0, 1), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 1), (2**32 - 1, 1)]
    )
    def test_kind(self, kind: int, expected: int) -> None:
        """An unspecified or unknown kind is internal."""
        own = Collector()
        own.end(own.start("n", kind=kind))
        assert own.take().spans[0].kind == expected
        assert own.rejected() == ({"kind": 1} if kind > 5 else {})

    def test_name(self) -> None:
        """The call site's name stands in for one that is empty or cannot be read; without any it is `span`."""
        own = Collector()
        site = own.callsite(packing.callsite(2, name="of site"))
        for name, of_site in (("own", 0), ("own", site), ("", site), (OUTSIDE, site), ("", 0), ("n" * 1_024, 0)):
            own.end(own.start(name, site=of_site))
        assert [span.name for span in own.take().spans] == ["own", "own", "of site", "of site", "span", "n" * 1_024]
        assert own.rejected() == {"out_of_bounds": 1}
        own.end(own.start("n" * 1_023 + "\u20ac"))
        assert own.take().spans[0].name == "n" * 1_023

    def test_log(self) -> None:
        """A log record has the time twice, the severity and its text, the body, the call site's name and the ids."""
        own = Collector(base={"wasm.tenant": "acme"})
        site = own.callsite(packing.callsite(1, severity=13, name="event", target="t", file="f.rs", line=7))
        own.log(site, 0, body="body", attrs={"a": True})
        (record,) = own.take().logs
        assert record.time_unix_nano == record.observed_time_unix_nano > 0
        assert (record.severity_number, record.severity_text) == (13, "WARN")
        assert (record.body.string_value, record.event_name) == ("body", "event")
        assert (record.trace_id, record.span_id, record.flags) == (TRACE_ID, SPAN_ID, 1)
        assert attributes_of(record.attributes) == {
            "a": True, "wasm.tenant": "acme", "wasmscope.target": "t", "code.file.path": "f.rs", "code.line.number": 7
        }  # fmt: skip
        assert own.counter("logs") == 1

    def test_severities(self) -> None:
        """Texts are the short names of OpenTelemetry's log data model; what is no severity is counted and left out."""
        own = Collector()
        short = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
        names = [f"{name}{suffix}" for name in short for suffix in ("", 2, 3, 4)]
        for number in range(26):
            own.log(0, number)
        found = [(record.severity_number, record.severity_text) for record in own.take().logs]
        assert found == [(0, ""), *enumerate(names, 1), (0, "")]
        assert own.rejected() == {"severity": 1}

    def test_min_severity(self) -> None:
        """What is below the least severity is not made, and a call site of it is not enabled for good."""
        own = Collector(min_severity=9)
        debug = own.callsite(packing.callsite(1, severity=5))
        info = own.callsite(packing.callsite(1, severity=9))
        of_spans = own.callsite(packing.callsite(2, severity=5))
        assert [own.enabled(site) for site in (0, debug, info, of_spans, 77)] == [3, 2, 3, 3, 3]
        for site, severity in ((debug, 0), (debug, 9), (info, 8), (0, 0)):
            own.log(site, severity)
        assert [record.severity_number for record in own.take().logs] == [9, 0]
        assert own.rejected() == {"callsite": 1}

    def test_without_context(self) -> None:
        """Context -1 is none: a log record without ids, a span that is a root."""
        own = Collector()
        own.log(context=-1)
        own.end(own.start("root", context=-1))
        taken = own.take()
        assert (taken.logs[0].trace_id, taken.logs[0].span_id, taken.logs[0].flags) == (b"", b"", 0)
        assert taken.spans[0].parent_span_id == b""
        assert taken.spans[0].trace_id not in (TRACE_ID, bytes(16), b"")
        # Sampled, and random.
        assert taken.spans[0].flags == 0x103

    def test_ids_differ(self) -> None:
        """No two spans have the same id."""
        own = Collector()
        for _ in range(2_000):
            own.end(own.start("n", context=-1))
        spans = own.take().spans
        assert len({span.span_id for span in spans}) == len({span.trace_id for span in spans}) == 2_000


class TestChanges:
    def test_attributes(self) -> None:
        """Attributes are added and replaced, whatever their sizes, and field references are those of the call site."""
        own = Collector()
        site = own.callsite(packing.callsite(2, fields=["f"], constants={"c": 1, "d": 2}))
        handle = own.start("n", {"a": "x"}, site=site)
        expected: dict[str, Any] = {"c": 1, "d": 2, "a": "x"}
        for number in range(60):
            change = {f"k{number % 7}": "v" * (number * 13 % 300), "d": number}
            own.attributes(handle, change)
            expected |= change
        own.attributes(handle, packing.attributes([(packing.Field(0), 5)]))
        own.end(handle)
        assert attributes_of(own.take().spans[0].attributes) == {**expected, "f": 5}
        assert own.rejected() == {}

    def test_attributes_to_the_limit(self) -> None:
        """The 129th attribute is dropped and counted; those that are there can still change."""
        own = Collector()
        handle = own.start("n", {f"a{index}": index for index in range(126)})
        own.attributes(handle, {"a5": -5, "b": 1, "c": 2, "d": 3, "e": 4})
        own.attributes(handle, {"a7": -7, "z": 1})
        own.end(handle)
        found = attributes_of(own.take().spans[0].attributes)
        assert found == {f"a{index}": index for index in range(126)} | {"a5": -5, "a7": -7, "b": 1, "c": 2}
        assert own.rejected() == {"attribute_count": 3}

    def test_events_and_links(self) -> None:
        """Events have their name, time and attributes; links the ids, flags and attributes of their target."""
        own = Collector()
        first = own.start("first")
        handle = own.start("n")
        own.event(handle, "event", {"k": "v"})
        own.event(handle, "", b"")
        own.link(handle, first, {"l": 1})
        remote = own.remote(bytes(range(16)), bytes(range(8)), 3)
        own.link(handle, remote)
        own.link(handle, 0)
        own.end(handle)
        own.end(first)
        span, linked = own.take().spans
        assert [(event.name, attributes_of(event.attributes)) for event in span.events] == [
            ("event", {"k": "v"}), ("event", {})
        ]  # fmt: skip
        assert span.start_time_unix_nano < span.events[0].time_unix_nano < span.events[1].time_unix_nano
        assert [(link.trace_id, link.span_id, link.flags) for link in span.links] == [
            (TRACE_ID, linked.span_id, 0x101), (bytes(range(16)), bytes(range(8)), 0x303), (TRACE_ID, SPAN_ID, 0x101)
        ]  # fmt: skip
        assert attributes_of(span.links[0].attributes) == {"l": 1}

    def test_events_and_links_to_the_limit(self) -> None:
        """More events or links than the limit are dropped, and their attributes of links not even read."""
        own = Collector(limits=Limits(events=2, links=2))
        handle = own.start("n")
        for number in range(4):
            own.event(handle, f"e{number}", b"\xff")
            own.link(handle, 0, b"\xff")
        own.end(handle)
        (span,) = own.take().spans
        assert [event.name for event in span.events] == ["e0", "e1"]
        assert len(span.links) == 2
        assert own.rejected() == {"event_count": 2, "link_count": 2, "attribute": 6}

    def test_link_to_nothing(self) -> None:
        """A link to nothing or an unknown one is counted; one to a span that was not kept is not."""
        own = Collector()
        handle = own.start("n")
        for target in (-1, 12_345, -2):
            own.link(handle, target)
        own.end(handle)
        assert len(own.take().spans[0].links) == 0
        assert own.rejected() == {"handle": 2}

    def test_status(self) -> None:
        """OK is final, unset changes nothing, an error's text is replaced by the next error's."""
        own = Collector()

        def after(*changes: tuple[int, str]) -> tuple[int, str]:
            handle = own.start("n")
            for code, text in changes:
                own.status(handle, code, text)
            own.end(handle)
            status = own.take().spans[0].status
            return status.code, status.message

        assert after((2, "bad")) == (2, "bad")
        assert after((2, "bad"), (0, "x")) == (2, "bad")
        assert after((2, "bad"), (2, "")) == (2, "")
        assert after((2, "bad"), (1, "ignored")) == (1, "")
        assert after((1, ""), (2, "bad")) == (1, "")
        assert after((2, "x" * 2_000)) == (2, "x" * 1_024)
        assert own.rejected() == {}
        assert after((3, "?")) == (0, "")
        assert own.rejected() == {"status": 1}

    def test_rename(self) -> None:
        """The last name that is not empty holds, and the attributes are untouched by it."""
        own = Collector()
        handle = own.start("a name that is replaced", {"a": 1})
        own.rename(handle, "second")
        own.attributes(handle, {"b": "x" * 600})
        own.rename(handle, "third")
        own.rename(handle, "")
        own.rename(handle, OUTSIDE)
        own.attributes(handle, {"c": "x" * 900})
        own.end(handle)
        (span,) = own.take().spans
        assert span.name == "third"
        assert attributes_of(span.attributes) == {"a": 1, "b": "x" * 600, "c": "x" * 900}

    def test_exception(self) -> None:
        """An exception becomes an event of a recording span, and elsewhere a log record of severity ERROR."""
        own = Collector(base={"wasm.tenant": "acme"})
        handle = own.start("n")
        assert own.exception(handle, "Type", "message", "stack", {"more": 1, "exception.type": "Own"}) == 1
        assert own.exception(handle) == 1
        own.end(handle)
        assert own.exception(handle, "", "late") == 1
        assert own.exception(0, "host's") == 2
        taken = own.take()
        events = [(event.name, attributes_of(event.attributes)) for event in taken.spans[0].events]
        assert events == [
            ("exception", {"exception.type": "Own", "exception.message": "message", "exception.stacktrace": "stack",
                           "more": 1}),
            ("exception", {"exception.type": "exception", "exception.message": ""}),
        ]  # fmt: skip
        (record,) = taken.logs
        assert (record.severity_number, record.body.string_value, record.span_id) == (17, "late", SPAN_ID)
        assert attributes_of(record.attributes) == {
            "exception.type": "exception", "exception.message": "late", "wasm.tenant": "acme"
        }  # fmt: skip
        assert own.rejected() == {"ended": 1}

    def test_exception_is_reported(self) -> None:
        """What the guest said last is there for the host, with the call that it said it in."""
        own = Collector()
        handle = own.start("n")
        own.exception(handle, "Type", "message \u20ac")
        assert own.u64(160) == own.u64(8)
        assert own.read(own.u32(168), own.u32(172)).decode() == "Type: message \u20ac"
        own.exception(handle, "", "only")
        assert own.read(own.u32(168), own.u32(172)) == b"only"

    def test_ended(self) -> None:
        """What is done to an ended span is counted and nothing else."""
        own = Collector()
        handle = own.start("n")
        own.end(handle)
        own.end(handle)
        assert own.attributes(handle, {"a": 1}) == own.event(handle, "e") == own.link(handle, 0) == 0
        assert own.status(handle, 2) == own.rename(handle, "x") == 0
        own.enter(handle)
        own.exit(handle)
        assert own.rejected() == {"ended": 7, "not_entered": 1}
        assert len(own.take().spans) == 1

    def test_lost(self) -> None:
        """On a span that was not kept nothing is done, and nothing counted."""
        own = Collector()
        for function in (own.end, own.enter, own.exit):
            function(-2)
        assert own.attributes(-2, {"a": 1}) == own.event(-2, "e") == own.status(-2, 1) == 0
        assert own.rejected() == {}


OTHERS: dict[str, dict[str, Any]] = {
    "alone": {},
    "among many": {f"k{index}": index for index in range(100)},
    "beside a long one": {"long": "x" * 16_000},
}


class TestManyUpdates:
    """A guest that sets the same attributes again and again, as a counter of what it did."""

    @pytest.mark.parametrize("others", OTHERS)
    def test_costs(self, others: str) -> None:
        """However often, another time costs no more fuel than at first, and no memory."""
        own = Collector(fuel=1 << 60)
        handle = own.start("n", OTHERS[others])
        own.event(handle, "e", {"n": 1})

        def burnt(first: int) -> int:
            before = own.store.get_fuel()
            for number in range(first, first + 1_000):
                own.attributes(handle, {"n": number, "text": "y" * (number % 50)})
            return before - own.store.get_fuel()

        early = burnt(0)
        size = own.memory_bytes
        for number in range(1_000, 49_000):
            (length,) = own.scratch({"n": number, "text": "y" * (number % 50)})
            own.call("span_attributes", 0, handle, length)
        assert burnt(49_000) < early * 1.2
        assert own.memory_bytes == size
        own.end(handle)
        (span,) = own.take().spans
        assert attributes_of(span.attributes) == {**OTHERS[others], "n": 49_999, "text": "y" * 49}
        assert len(span.events) == 1
        assert own.rejected() == {}

    def test_kept_bytes(self) -> None:
        """What is set again counts once, as what it takes now."""
        own = Collector(limits=Limits(kept_bytes=1_000))
        handle = own.start("n", {"first": "x" * 300})
        for number in range(300):
            own.attributes(handle, {"n": number, "text": "y" * (number % 500)})
        assert own.rejected() == {}
        # 315 and 13 are kept, and 16 of what is around the text.
        own.attributes(handle, {"text": "z" * 700})
        assert own.rejected() == {"kept_bytes": 1}
        own.call("recover")
        own.attributes(handle, {"text": "z" * 640})
        # What the span was started with counts until it ends.
        own.attributes(handle, {"first": 1})
        own.attributes(handle, {"more": "x" * 20})
        assert own.rejected() == {"kept_bytes": 2}
        own.attributes(handle, {"text": "short"})
        own.attributes(handle, {"more": "x" * 600})
        own.end(handle)
        (span,) = own.take().spans
        assert attributes_of(span.attributes) == {"first": 1, "n": 299, "text": "short", "more": "x" * 600}
        # And all of it goes with the span.
        own.end(own.start("n", {"k": "x" * 980}))
        assert own.rejected() == {"kept_bytes": 2}

    def test_shrinks(self) -> None:
        """A span whose long values are replaced by short ones gives their memory back."""
        own = Collector(limits=Limits(kept_bytes=1 << 30))
        own.attributes(own.start("n"), {"k": "x" * 16_000})
        size = own.memory_bytes
        for _ in range(1_000):
            handle = own.start("n")
            own.attributes(handle, {f"k{index}": "x" * 16_000 for index in range(4)})
            for value in ("y", "z"):
                own.attributes(handle, {f"k{index}": value for index in range(4)})
        # 512 bytes and what a slot takes, of 64,000.
        assert own.memory_bytes - size < 3 << 20


class TestSites:
    def test_same_bytes(self) -> None:
        """The same descriptor has the same id, another one another, and what is refused has none."""
        own = Collector(limits=Limits(callsites=3))
        raws = [packing.callsite(1, name=f"s{index}") for index in range(4)]
        ids = [own.callsite(raw) for raw in (*raws, *raws)]
        assert ids == [1, 2, 3, 0, 1, 2, 3, 0]
        assert own.rejected() == {"callsite_count": 2}

    @pytest.mark.parametrize(
        "raw",
        [b"", b"\x01", packing.callsite(3), packing.callsite(0), packing.callsite(1, severity=25),
         packing.callsite(1, name="x")[:-1], packing.callsite(1, name="n" * 1_025), packing.callsite(1, fields=[""]),
         packing.callsite(1, fields=["wasm.x"]), packing.callsite(1, fields=["f" * 257]),
         packing.callsite(1, fields=["ok", "wasmscope.x", "ok"]), struct.pack("<BBHI", 1, 0, 65_535, 0) + bytes(40)],
    )  # fmt: skip
    def test_malformed(self, raw: bytes) -> None:
        """A malformed descriptor is refused and counted."""
        own = Collector()
        assert own.callsite(raw) == 0
        assert own.rejected() == {"descriptor": 1}

    def test_attributes(self) -> None:
        """A call site's constants lose against what the host knows and against the guest's own."""
        own = Collector(base={"wasm.tenant": "acme"})
        raw = packing.callsite(
            2, target="t", file="f", line=1, constants={"code.file.path": "no", "c": "of site", "d": "of site"}
        )
        site = own.callsite(raw)
        own.end(own.start("n", {"c": "own", "code.line.number": 5}, site=site))
        own.log(site, attrs={"d": "own"})
        taken = own.take()
        known = {"wasm.tenant": "acme", "wasmscope.target": "t", "code.file.path": "f"}
        assert attributes_of(taken.spans[0].attributes) == {**known, "code.line.number": 5, "c": "own", "d": "of site"}
        assert attributes_of(taken.logs[0].attributes) == {**known, "code.line.number": 1, "c": "of site", "d": "own"}

    def test_too_large(self) -> None:
        """A descriptor over its limit is not looked at."""
        own = Collector()
        assert own.callsite(bytes(65_537)) == 0
        assert own.callsite(OUTSIDE) == 0
        assert own.rejected() == {"descriptor": 1, "out_of_bounds": 1}


class TestFail:
    def test_all(self) -> None:
        """All open spans end with status ERROR and the event, the innermost first; one that said OK keeps it."""
        own = Collector()
        handles = [own.start(f"s{index}", {"a": index}) for index in range(5)]
        own.end(handles[2])
        own.status(handles[1], 1)
        own.enter(handles[3])
        own.take()
        assert own.fail(0, "why", {"exception.type": "trap", "wasm.trap.code": "unreachable"}, end_ns=77) == 4
        spans = own.take().spans
        assert [span.name for span in spans] == ["s4", "s3", "s1", "s0"]
        assert [(span.status.code, span.status.message) for span in spans] == [
            (2, "why"),
            (2, "why"),
            (1, ""),
            (2, "why"),
        ]
        assert {span.end_time_unix_nano for span in spans} == {77}
        assert all(
            attributes_of(span.events[0].attributes) == {"exception.type": "trap", "wasm.trap.code": "unreachable"}
            for span in spans
        )
        assert own.u32(136) == own.u32(128) == 0

    def test_of_a_call(self) -> None:
        """Only spans that were started in the call, or in one nested in it into the same guest."""
        own = Collector(guests=2)
        own.start("before")
        outer = own.frame()
        number = own.u64(8)
        own.start("in call")
        inner = own.frame()
        own.start("in nested call")
        own.frame_back(inner)
        other = own.frame(guest=1)
        own.start("in nested call into another")
        own.frame_back(other)
        assert own.fail(number, "why") == 2
        assert [span.name for span in own.take().spans] == ["in nested call", "in call"]
        own.frame_back(outer)
        assert own.fail() == 2

    def test_long_reason(self) -> None:
        """The host's texts are not cut."""
        own = Collector()
        own.start("n")
        own.fail(0, "r" * 30_000, {"exception.stacktrace": "s" * 90_000, "k" * 300: 1})
        (span,) = own.take().spans
        assert span.status.message == "r" * 30_000
        assert attributes_of(span.events[0].attributes) == {"exception.stacktrace": "s" * 90_000, "k" * 300: 1}

    def test_without_memory(self) -> None:
        """Where there is no memory for the host's texts, the spans end as failed all the same."""
        own = Collector()
        own.end(own.start("so that there is a buffer"))
        own.take()
        for index in range(3):
            own.start(f"s{index}")
        own.scratch("r" * 400_000)
        own.store.set_limits(memory_size=own.memory_bytes)
        assert own.fail(0, "r" * 400_000, {"k": 1}, end_ns=77) == 3
        spans = own.take().spans
        assert [span.name for span in spans] == ["s2", "s1", "s0"]
        assert {(span.status.code, span.status.message, span.end_time_unix_nano) for span in spans} == {(2, "", 77)}
        assert own.u32(136) == 0


class TestRanges:
    def test_what_cannot_be_read(self) -> None:
        """A text out of bounds is empty, a list out of bounds is none; each is counted."""
        own = Collector()
        own.log(body=OUTSIDE, attrs=OUTSIDE)
        handle = own.start(OUTSIDE, OUTSIDE)
        own.event(handle, OUTSIDE, OUTSIDE)
        own.attributes(handle, OUTSIDE)
        own.status(handle, 0, OUTSIDE)
        own.status(handle, 2, OUTSIDE)
        own.end(handle)
        taken = own.take()
        assert taken.logs[0].body.string_value == ""
        assert taken.logs[0].body.HasField("string_value")
        assert (taken.spans[0].name, taken.spans[0].events[0].name, taken.spans[0].status.code) == ("span", "event", 2)
        # A status that has no text does not read one.
        assert own.rejected() == {"out_of_bounds": 8}

    def test_without_memory(self) -> None:
        """Of a guest without memory, it is that which is counted."""
        own = Collector(has_memory=False)
        own.log(body=OUTSIDE)
        own.call("set_memory", 0, 1)
        own.log(body=OUTSIDE)
        assert own.rejected() == {"no_memory": 1, "out_of_bounds": 1}

    def test_without_room(self) -> None:
        """Where there was no room for the ranges of a call, that is counted once, and the record kept without them."""
        own = Collector()
        own.log(body=-2, attrs=-2)
        own.end(own.start(-2, -2))
        own.exception(-1, -2, -2, -2, -2)
        taken = own.take()
        assert [record.body.string_value for record in taken.logs] == ["", ""]
        assert own.rejected() == {"kept_bytes": 3, "handle": 1}

    @pytest.mark.parametrize("length", [2**31, 2**32 - 1, 2**32, 2**63 - 1, -(2**63), -3])
    def test_hostile_lengths(self, length: int) -> None:
        """Lengths of any size do no harm: texts are cut, lists and descriptors refused."""
        own = Collector(limits=Limits(body_bytes=100, name_bytes=100, message_bytes=100, stack_bytes=100))
        own.scratch(b"x" * 2_000)
        handle = own.call("span_start", 0, 0, length, 0, 0, length)
        own.call("log", 0, 0, 9, 0, length, length)
        own.call("span_event", 0, handle, length, length)
        own.call("span_attributes", 0, handle, length)
        own.call("span_link", 0, handle, 0, length)
        own.call("span_status", 0, handle, 2, length)
        own.call("span_rename", 0, handle, length)
        own.call("exception", 0, handle, length, length, length, length)
        assert own.call("callsite", 0, length) == 0
        own.end(handle)
        taken = own.take()
        assert len(taken.spans) == len(taken.logs) == 1
        assert taken.spans[0].name == ("x" * 100 if length > 0 else "span")

    def test_no_such_guest(self) -> None:
        """Functions for a guest that is not there do nothing."""
        own = Collector()
        own.log(guest=7)
        assert own.start("n", guest=7) == 0
        assert own.guest_block(7) == 0
        assert own.call("enabled", 2**31, 0) == 3
        assert own.take().logs == []


class TestKeptBytes:
    @pytest.mark.parametrize("what", ["status", "name"])
    def test_texts(self, what: str) -> None:
        """The memory for descriptions and new names of open spans is bounded with that of the spans; those that are
        replaced, and those of spans that ended, make room."""
        own = Collector(limits=Limits(kept_bytes=0, open_spans=200))

        def change(handle: int, text: str) -> bool:
            before = own.rejected().get("kept_bytes", 0)
            if what == "status":
                own.status(handle, 2, text)
            else:
                own.rename(handle, text)
            return own.rejected().get("kept_bytes", 0) == before

        for _ in range(3):
            handles = [own.start(f"s{index}") for index in range(200)]
            # 512 bytes a span, 2,048 a text, of 2,048 a span.
            assert [change(handle, "x" * 1_000) for handle in handles] == [True] * 150 + [False] * 50
            # Replaced: the new one is there before the old one goes.
            assert change(handles[0], "")
            assert change(handles[0], "y") == (what == "status")
            own.call("recover")
            assert not change(handles[199], "x" * 1_000)
            for handle in handles:
                own.end(handle)
            spans = own.take().spans
            texts = [span.status.message if what == "status" else span.name for span in spans]
            assert texts[1:150] == ["x" * 1_000] * 149
            assert texts[150:] == ["" if what == "status" else f"s{index}" for index in range(150, 200)]
            assert {span.status.code for span in spans} == {2 if what == "status" else 0}

    def test_spans(self) -> None:
        """Attributes, events and links of open spans count until they end; what is over the limit is left out."""
        own = Collector(limits=Limits(kept_bytes=1_000))
        list_ = packing.attributes({"k": "v" * 400})
        first = own.start("a", list_)
        second = own.start("b", list_)
        third = own.start("c", list_)
        own.event(first, "e")
        own.attributes(second, list_)
        assert own.rejected() == {"kept_bytes": 3}
        own.end(first)
        own.event(third, "e")
        own.end(second)
        own.end(third)
        assert own.rejected() == {"kept_bytes": 3}
        spans = own.take().spans
        assert [len(span.attributes) for span in spans] == [1, 1, 0]
        assert [len(span.events) for span in spans] == [0, 0, 1]

    def test_registrations(self) -> None:
        """What is registered counts for good."""
        own = Collector(limits=Limits(kept_bytes=100))
        assert own.callsite(packing.callsite(1, name="x" * 60)) == 1
        assert own.callsite(packing.callsite(1, name="y" * 60)) == 0
        assert own.rejected() == {"kept_bytes": 1}


class TestBuffers:
    def test_full(self) -> None:
        """When the buffer is full the host is called, in the middle of a guest's run, and nothing is lost."""
        own = Collector(buffer_bytes=4_096)
        for number in range(300):
            own.log(body=f"body {number}", attrs={"n": number})
            own.end(own.start(f"span {number}", {"n": number}))
        calls = own.calls.count((1, 0))
        taken = own.take()
        assert calls > 5
        assert [record.body.string_value for record in taken.logs] == [f"body {number}" for number in range(300)]
        assert [span.name for span in taken.spans] == [f"span {number}" for number in range(300)]

    def test_host_does_not_take(self) -> None:
        """A host that does not take the buffer loses records, and they are counted."""
        own = Collector(buffer_bytes=4_096)
        own.drains = False
        for number in range(100):
            own.log(body=f"body {number}")
            own.end(own.start("n"))
        own.drains = True
        taken = own.take()
        lost = 200 - len(taken.logs) - len(taken.spans)
        assert own.rejected() == {"buffer_full": lost}
        assert lost > 0
        assert own.u32(136) == 0

    def test_large_record(self) -> None:
        """A record larger than the buffer gets a larger one."""
        own = Collector(buffer_bytes=4_096)
        own.log(body="x" * 60_000)
        handle = own.start("n")
        own.attributes(handle, {f"k{index}": "y" * 16_000 for index in range(50)})
        own.end(handle)
        taken = own.take()
        assert len(taken.logs[0].body.string_value) == 60_000
        assert len(taken.spans[0].attributes) == 50

    def test_old(self) -> None:
        """A record that finds one waiting for too long has it taken first."""
        own = Collector(max_age_ns=10_000)
        own.log(body="first")
        own.log(body="second")
        assert own.calls == []
        own.now_ns += 50_000
        own.log(body="third")
        assert own.calls == [(1, 0)]
        assert [record.body.string_value for record in own.recorded.logs] == ["first", "second"]

    def test_asked_while_it_asks(self) -> None:
        """While the collector waits for the host, what it is told is dropped and counted as a defect."""
        own = Collector(buffer_bytes=4_096)
        own.on_call = lambda op, guest: own.log(body="from inside")
        for _ in range(100):
            own.log(body="x" * 60)
        assert own.rejected() == {"internal": len(own.calls)}
        assert len(own.take().logs) == 100

    def test_clock(self) -> None:
        """One reading of the clock serves as often as the host allows, but not for two calls."""
        own = Collector(clock_uses=3)
        before = own.clock_readings
        for _ in range(8):
            own.log()
        assert own.clock_readings - before == 2
        own.frame()
        own.log()
        assert own.clock_readings - before == 3


class TestMemory:
    def test_starts_small_and_stays_so(self) -> None:
        """A guest that does usual things needs no more memory than it starts with, however long it runs."""
        own = Collector(buffer_bytes=16_384)
        site = own.callsite(packing.callsite(2, name="n", fields=["f"]))
        assert own.memory_bytes <= 4 * 65_536
        for number in range(1_200):
            outer = own.start("outer", {"n": number}, site=site)
            inner = own.start("inner", {"text": "x" * 100}, context=outer)
            own.event(inner, "e", {"k": "v"})
            own.log(site, body="message", context=inner)
            own.end(inner)
            own.end(outer)
        assert own.memory_bytes <= 8 * 65_536
        assert own.rejected() == {}

    def test_refused_growth(self) -> None:
        """Where memory cannot grow, what needs it is refused and counted, and goes on when there is some again."""
        own = Collector(limits=Limits(open_spans=100_000))
        own.store.set_limits(memory_size=own.memory_bytes + 4 * 65_536)
        # So that there is a buffer.
        own.end(own.start("first", {"k": "v" * 3_000}))
        handles: list[int] = []
        while handle := own.start("n", {"k": "v" * 3_000}):
            handles.append(handle)
        assert own.rejected().keys() == {"kept_bytes"}
        assert 10 < len(handles) < 1_000
        own.log(body="x" * 60_000)
        for handle in handles:
            own.end(handle)
        assert len(own.take().spans) == len(handles) + 1
        own.end(own.start("again", {"k": "v" * 3_000}))
        assert len(own.take().spans) == 1

    def test_sizes_of_all_kinds(self) -> None:
        """Spans that grow to all sizes, and end in any order, leave no holes that add up: memory stops growing."""
        own = Collector()

        def once() -> None:
            handles = [own.start("n") for _ in range(60)]
            for step in range(6):
                for index, handle in enumerate(handles):
                    own.attributes(handle, {f"k{step}": "v" * (index * 7919 % (50 * 4**step))})
            for handle in handles[::2] + handles[1::2]:
                own.end(handle)
            own.take()

        once()
        first = own.memory_bytes
        for _ in range(30):
            once()
        size = own.memory_bytes
        # A step of growth, because free neighbours are merged now and then only.
        assert size - first <= 131_072
        for _ in range(60):
            once()
        assert own.memory_bytes == size
        assert own.rejected() == {}
