"""The ABI's spans, through real wasm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from tests.support import packing
from tests.support.guests import Guest
from tests.support.packing import Field
from tests.support.telemetry import Telemetry, TickingClock
from wasmscope.host_shim import Bridge, Limits

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNKNOWN_HANDLES = [1, 99, -1, -3, 2**63 - 1, -(2**63)]


class TestStart:
    def test_name_kind_attributes(self, guest: Guest, telemetry: Telemetry) -> None:
        """A span has the name, kind and attributes that the guest gave, and the module's scope."""

        def body() -> None:
            guest.abi("span_end", guest.start("späń 🦀", {"n": 1, "m": {"k": [1, None]}}, kind=3))

        guest.run(body)

        span = telemetry.span("späń 🦀")
        assert span.kind is SpanKind.CLIENT
        assert dict(span.attributes or {}) == {"n": 1, "m": {"k": (1, None)}}
        assert span.instrumentation_scope is not None
        assert span.instrumentation_scope.name == "guest"
        assert span.status.status_code is StatusCode.UNSET
        assert guest.rejected() == {}

    def test_handles_count_up(self, guest: Guest) -> None:
        """Handles are positive and never given out twice."""
        seen: list[int] = []

        def body() -> None:
            for _ in range(20):
                seen.append(guest.start("a"))
                guest.abi("span_end", seen[-1])
                seen.append(guest.abi("remote_context", *guest.text(TRACEPARENT), 0, 0))

        guest.run(body, body)

        assert len(set(seen)) == 80
        assert all(handle > 0 for handle in seen)

    def test_does_not_become_current(self, guest: Guest, telemetry: Telemetry) -> None:
        """A started span is not the parent of what follows until it is entered."""

        def body() -> None:
            one = guest.start("one")
            two = guest.start("two")
            guest.abi("span_end", one)
            guest.abi("span_end", two)

        guest.run(body)

        call = telemetry.span("wasm.call run").context
        for name in ("one", "two"):
            parent = telemetry.span(name).parent
            assert parent is not None
            assert parent.span_id == call.span_id

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            (0, SpanKind.INTERNAL),
            (1, SpanKind.INTERNAL),
            (2, SpanKind.SERVER),
            (3, SpanKind.CLIENT),
            (4, SpanKind.PRODUCER),
            (5, SpanKind.CONSUMER),
        ],
    )
    def test_kinds(self, make_guest: Callable[..., Guest], telemetry: Telemetry, kind: int, expected: SpanKind) -> None:
        """The kinds are OTLP's, unspecified being internal."""
        guest = make_guest()

        guest.run(lambda: guest.abi("span_end", guest.start("a", kind=kind)))

        assert telemetry.span("a").kind is expected
        assert guest.rejected() == {}

    @pytest.mark.parametrize("kind", [6, 7, 2**31 - 1, 2**31, -1])
    def test_unknown_kind(self, guest: Guest, telemetry: Telemetry, kind: int) -> None:
        """Another kind is counted and means internal."""
        guest.run(lambda: guest.abi("span_end", guest.start("a", kind=kind)))

        assert telemetry.span("a").kind is SpanKind.INTERNAL
        assert guest.rejected() == {"kind": 1}

    def test_call_site(self, guest: Guest, telemetry: Telemetry) -> None:
        """An empty name takes the call site's; its place, target and constants are on the span."""
        site = guest.callsite(
            packing.callsite(2, name="handle", target="shop", file="src/lib.rs", line=7, fields=["order"])
        )

        guest.run(
            lambda: guest.abi("span_end", guest.start("", [(Field(0), 5)], callsite=site)),
            lambda: guest.abi("span_end", guest.start("own", callsite=site)),
        )

        constants = {"wasmscope.target": "shop", "code.file.path": "src/lib.rs", "code.line.number": 7}
        assert dict(telemetry.span("handle").attributes or {}) == {**constants, "order": 5}
        assert dict(telemetry.span("own").attributes or {}) == constants

    def test_no_name(self, guest: Guest, telemetry: Telemetry) -> None:
        """A span with no name at all is called ``span``."""
        guest.run(lambda: guest.abi("span_end", guest.start()))

        assert telemetry.span("span")

    @pytest.mark.parametrize("callsite", [1, 2**31, -1])
    def test_unknown_call_site(self, guest: Guest, telemetry: Telemetry, callsite: int) -> None:
        """An unknown call site is counted; the span is made without."""
        guest.run(lambda: guest.abi("span_end", guest.start("a", {"n": 1}, callsite=callsite)))

        assert dict(telemetry.span("a").attributes or {}) == {"n": 1}
        assert guest.rejected() == {"callsite": 1}

    def test_long_name(self, guest: Guest, telemetry: Telemetry) -> None:
        """A name is cut between characters at 1,024 bytes."""
        guest.run(lambda: guest.abi("span_end", guest.start("x" + "ü" * 600)))

        assert "x" + "ü" * 511 in telemetry.span_names()

    def test_tenant_and_version(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """Guest spans carry the tenant and the module's version."""
        guest = Guest(bridge, name="shop", version="1.2", tenant="acme")

        guest.run(lambda: guest.abi("span_end", guest.start("a")))

        span = telemetry.span("a")
        assert dict(span.attributes or {}) == {"wasm.tenant": "acme"}
        assert span.instrumentation_scope is not None
        assert (span.instrumentation_scope.name, span.instrumentation_scope.version) == ("shop", "1.2")


class TestParents:
    def test_contexts(self, guest: Guest, telemetry: Telemetry) -> None:
        """A span is the child of the current span, of none, of a given span (open or ended), or of a remote one."""

        def body() -> None:
            ids = {"outer": guest.entered("outer")}
            ids["current"] = guest.start("current")
            ids["root"] = guest.start("root", context=-1)
            ids["of root"] = guest.start("of root", context=ids["root"])
            guest.abi("span_end", ids.pop("root"))
            ended = guest.start("ended")
            guest.abi("span_end", ended)
            ids["of ended"] = guest.start("of ended", context=ended)
            remote = guest.abi("remote_context", *guest.text(TRACEPARENT), *guest.text("vendor=x"))
            ids["of remote"] = guest.start("of remote", context=remote)
            for handle in ids.values():
                guest.abi("span_end", handle)

        guest.run(body)

        def parent(name: str) -> Any:
            return telemetry.span(name).parent

        def own(name: str) -> Any:
            return telemetry.span(name).context

        assert parent("outer").span_id == own("wasm.call run").span_id
        assert parent("current").span_id == own("outer").span_id
        assert parent("root") is None
        assert own("root").trace_id != own("outer").trace_id
        assert parent("of root").span_id == own("root").span_id
        assert own("of root").trace_id == own("root").trace_id
        assert parent("of ended").span_id == own("ended").span_id
        assert parent("of remote").span_id == 0x00F067AA0BA902B7
        assert parent("of remote").is_remote
        assert own("of remote").trace_state == {"vendor": "x"}
        assert guest.rejected() == {}

    @pytest.mark.parametrize("context", [handle for handle in UNKNOWN_HANDLES if handle != -1])
    def test_unknown(self, guest: Guest, telemetry: Telemetry, context: int) -> None:
        """An unknown context is counted and means the current span."""
        guest.run(lambda: guest.abi("span_end", guest.start("a", context=context)))

        parent = telemetry.span("a").parent
        assert parent is not None
        assert parent.span_id == telemetry.span("wasm.call run").context.span_id
        assert guest.rejected() == {"handle": 1}

    def test_ended_in_another_order(self, guest: Guest, telemetry: Telemetry) -> None:
        """A parent may end before its child."""

        def body() -> None:
            parent = guest.start("parent")
            child = guest.start("child", context=parent)
            guest.abi("span_end", parent)
            guest.abi("span_end", child)

        guest.run(body)

        parent = telemetry.span("child").parent
        assert parent is not None
        assert parent.span_id == telemetry.span("parent").context.span_id
        assert telemetry.span_names() == ["parent", "child", "wasm.call run"]


class TestChanges:
    def test_everything(self, guest: Guest, telemetry: Telemetry) -> None:
        """Attributes, events, links, status and name can be given later."""

        def body() -> None:
            target = guest.start("target")
            guest.abi("span_end", target)
            span = guest.start("details", {"a": 1})
            guest.abi("span_attributes", span, *guest.attrs({"a": 2, "later": "yes"}))
            guest.event(span, "cache.miss", {"key": "k"})
            guest.abi("span_link", span, target, *guest.attrs({"why": "because"}))
            guest.abi("span_status", span, 2, *guest.text("no stock"))
            guest.abi("span_rename", span, *guest.text("renamed"))
            guest.abi("span_end", span)

        guest.run(body)

        span = telemetry.span("renamed")
        assert dict(span.attributes or {}) == {"a": 2, "later": "yes"}
        assert [(event.name, dict(event.attributes or {})) for event in span.events] == [("cache.miss", {"key": "k"})]
        (link,) = span.links
        assert link.context == telemetry.span("target").context
        assert dict(link.attributes or {}) == {"why": "because"}
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "no stock")
        assert guest.rejected() == {}

    def test_of_the_current_span(self, guest: Guest, telemetry: Telemetry) -> None:
        """Handle 0 is the entered span, else the host's span of the call; ``span_end`` ignores it."""

        def body() -> None:
            for name in ("call", "inner"):
                if name == "inner":
                    guest.entered("inner")
                guest.abi("span_attributes", 0, *guest.attrs({"who": name}))
                guest.event(0, f"in {name}")
                guest.abi("span_rename", 0, *guest.text(f"new {name}"))
                guest.abi("span_status", 0, 1, 0, 0)
                guest.abi("span_end", 0)
                guest.abi("span_enter", 0)
                guest.abi("span_exit", 0)
            guest.abi("span_end", 1)

        guest.run(body)

        for name in ("call", "inner"):
            span = telemetry.span(f"new {name}")
            assert (span.attributes or {})["who"] == name
            assert [event.name for event in span.events] == [f"in {name}"]
            assert span.status.status_code is StatusCode.OK
        assert guest.rejected() == {}

    def test_fields(self, guest: Guest, telemetry: Telemetry) -> None:
        """Field references of ``span_attributes`` are those of the span's call site; events and links have none."""
        site = guest.callsite(packing.callsite(2, name="s", fields=["a", "b"]))

        def body() -> None:
            span = guest.start(callsite=site)
            guest.abi("span_attributes", span, *guest.attrs([(Field(1), "x")]))
            guest.event(span, "e", packing.attributes([(Field(1), "x"), ("k", 1)]))
            guest.abi("span_end", span)

        guest.run(body)

        span = telemetry.span("s")
        assert dict(span.attributes or {}) == {"b": "x"}
        assert dict(span.events[0].attributes or {}) == {"k": 1}
        assert guest.rejected() == {"attribute_field": 1}

    @pytest.mark.parametrize(
        ("code", "text", "expected"),
        [
            (0, "why", (StatusCode.UNSET, None)),
            (1, "why", (StatusCode.OK, None)),
            (2, "why", (StatusCode.ERROR, "why")),
            (2, "", (StatusCode.ERROR, None)),
            (2, "y" * 1_025, (StatusCode.ERROR, "y" * 1_024)),
        ],
        ids=["unset", "ok", "error", "error without", "error with a long one"],
    )
    def test_status(
        self, guest: Guest, telemetry: Telemetry, code: int, text: str, expected: tuple[StatusCode, str | None]
    ) -> None:
        """The status codes are OTLP's; a description counts for errors only."""

        def body() -> None:
            span = guest.start("a")
            guest.abi("span_status", span, code, *guest.text(text))
            guest.abi("span_end", span)

        guest.run(body)

        status = telemetry.span("a").status
        assert (status.status_code, status.description) == expected
        assert guest.rejected() == {}

    @pytest.mark.parametrize("code", [3, 255, 2**31, -1])
    def test_unknown_status(self, guest: Guest, telemetry: Telemetry, code: int) -> None:
        """Another code is counted and changes nothing."""

        def body() -> None:
            span = guest.start("a")
            guest.abi("span_status", span, code, *guest.text("x"))
            guest.abi("span_end", span)

        guest.run(body)

        assert telemetry.span("a").status.status_code is StatusCode.UNSET
        assert guest.rejected() == {"status": 1}

    def test_empty_names(self, guest: Guest, telemetry: Telemetry) -> None:
        """An event without a name is called ``event``; an empty new name changes nothing."""

        def body() -> None:
            span = guest.start("a")
            guest.event(span, "")
            guest.abi("span_rename", span, 0, 0)
            guest.abi("span_end", span)

        guest.run(body)

        assert [event.name for event in telemetry.span("a").events] == ["event"]

    def test_reserved(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A guest cannot set the host's attributes, on its own spans or on the host's."""
        guest = Guest(bridge, tenant="acme")
        forged = {"wasm.tenant": "other", "wasm.call.cpu_time_ns": 1}

        def body() -> None:
            span = guest.start("a", forged)
            guest.abi("span_attributes", span, *guest.attrs(forged))
            guest.abi("span_end", span)
            guest.abi("span_attributes", 0, *guest.attrs(forged))

        guest.run(body)

        assert dict(telemetry.span("a").attributes or {}) == {"wasm.tenant": "acme"}
        call = telemetry.span("wasm.call run").attributes or {}
        assert call["wasm.tenant"] == "acme"
        assert call["wasm.call.cpu_time_ns"] != 1
        assert guest.rejected() == {"attribute_reserved": 6}


class TestLimitsOfASpan:
    def test_events(self, make_guest: Callable[..., Guest], telemetry: Telemetry) -> None:
        """As many events as allowed are kept, further ones dropped and counted."""
        guest = make_guest(limits=Limits(events=3))

        def body() -> None:
            span = guest.start("a")
            for number in range(5):
                guest.event(span, f"e{number}")
            guest.exception(span, "E", "m")
            guest.abi("span_end", span)

        guest.run(body)

        assert [event.name for event in telemetry.span("a").events] == ["e0", "e1", "e2"]
        assert guest.rejected() == {"event_count": 3}

    def test_links(self, make_guest: Callable[..., Guest], telemetry: Telemetry) -> None:
        """As many links as allowed are kept, further ones dropped and counted."""
        guest = make_guest(limits=Limits(links=2))

        def body() -> None:
            target, span = guest.start("t"), guest.start("a")
            for _ in range(5):
                guest.abi("span_link", span, target, 0, 0)
            guest.abi("span_end", span)

        guest.run(body)

        assert len(telemetry.span("a").links) == 2
        assert guest.rejected() == {"link_count": 3}

    def test_attributes(
        self, make_guest: Callable[..., Guest], telemetry: Telemetry, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Beyond 128 attributes further keys are dropped and counted; known keys can still change, the host's own
        attribute stays, and the SDK has nothing to complain about."""
        guest = Guest(telemetry.bridge(), tenant="acme")

        def body() -> None:
            span = guest.start("a", {"first": 0})
            for number in range(200):
                guest.abi("span_attributes", span, *guest.attrs({f"k{number}": number, "first": number}))
            guest.abi("span_end", span)

        guest.run(body)

        attributes = telemetry.span("a").attributes or {}
        assert len(attributes) == 128
        assert attributes["wasm.tenant"] == "acme"
        assert attributes["first"] == 199
        assert "k125" in attributes
        assert "k126" not in attributes
        assert guest.rejected() == {"attribute_count": 74}
        assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []

    def test_attributes_with_a_call_site(self, telemetry: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
        """128 attributes besides a call site's and a tenant's: those of the host stay, the last of the guest's go."""
        guest = Guest(telemetry.bridge(logs_as_span_events=True), tenant="acme", pages=8)
        site = guest.callsite(packing.callsite(name="s", target="t", file="f", line=1))
        attrs: dict[str, Any] = {"long": "x" * 20_000, **{f"k{number}": number for number in range(127)}}

        guest.run(
            lambda: guest.abi("span_end", guest.start("", attrs, callsite=site)),
            lambda: guest.log("b" * 70_000, attrs, callsite=site),
            lambda: guest.event(0, "e", attrs),
            lambda: guest.exception(0, "E", "m", "s", attrs),
        )

        hosts = {"wasm.tenant", "wasmscope.target", "code.file.path", "code.line.number", "wasmscope.truncated"}
        for attributes in (telemetry.span("s").attributes, telemetry.logs()[0].attributes):
            assert len(attributes or {}) == 128
            assert hosts <= set(attributes or {})
        events = telemetry.span("wasm.call run").events
        assert {event.name for event in events} >= {"e", "exception"}
        assert all(len(event.attributes or {}) <= 128 for event in events)
        assert {"exception.type", "exception.message"} <= set(events[-1].attributes or {})
        assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []

    def test_attributes_of_the_call(self, telemetry: Telemetry, native: bool, caplog: pytest.LogCaptureFixture) -> None:
        """However many attributes a guest sets on the host's span, the host's own are all there in the end."""
        guest = Guest(telemetry.bridge(native=native), tenant="acme", version="1", pages=4)

        def body() -> None:
            for number in range(200):
                guest.abi("span_attributes", 0, *guest.attrs({f"k{number}": "x" * 20_000}))

        guest.run(body)

        attributes = telemetry.span("wasm.call run").attributes or {}
        hosts = {"wasm.module.name", "wasm.module.version", "wasm.tenant", "code.function.name"}
        assert {*hosts, "wasm.call.cpu_time_ns", "wasm.call.host_time_ns", "wasm.memory.size_bytes"} <= set(attributes)
        assert len(attributes) <= 128
        assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


class TestUnknownHandles:
    CHANGES: ClassVar[dict[str, Callable[[Guest, int], Any]]] = {
        "span_enter": lambda guest, span: guest.abi("span_enter", span),
        "span_exit": lambda guest, span: guest.abi("span_exit", span),
        "span_end": lambda guest, span: guest.abi("span_end", span),
        "span_attributes": lambda guest, span: guest.abi("span_attributes", span, *guest.attrs({"a": 1})),
        "span_event": lambda guest, span: guest.event(span, "e"),
        "span_status": lambda guest, span: guest.abi("span_status", span, 2, 0, 0),
        "span_rename": lambda guest, span: guest.abi("span_rename", span, *guest.text("n")),
    }

    @pytest.mark.parametrize("handle", UNKNOWN_HANDLES)
    @pytest.mark.parametrize("change", CHANGES)
    def test_unknown(self, make_guest: Callable[..., Guest], telemetry: Telemetry, change: str, handle: int) -> None:
        """Whatever is done to an unknown span is counted and does nothing, to the current span neither."""
        guest = make_guest()

        guest.run(lambda: self.CHANGES[change](guest, handle))

        (call,) = telemetry.spans()
        assert call.name == "wasm.call run"
        assert not call.events
        assert call.status.status_code is StatusCode.UNSET
        assert "a" not in (call.attributes or {})
        assert guest.rejected() == {"handle": 1}

    @pytest.mark.parametrize("change", CHANGES)
    def test_ended(self, guest: Guest, telemetry: Telemetry, change: str) -> None:
        """Whatever is done to an ended span is counted and does nothing."""

        def body() -> None:
            span = guest.start("a")
            guest.abi("span_end", span)
            self.CHANGES[change](guest, span)

        guest.run(body)

        assert not telemetry.span("a").attributes
        assert guest.rejected() == {"not_entered" if change == "span_exit" else "ended": 1}

    @pytest.mark.parametrize("handle", UNKNOWN_HANDLES)
    def test_link_to_unknown(self, guest: Guest, telemetry: Telemetry, handle: int) -> None:
        """A link to an unknown span is counted and not made; -1 is no span to link to."""

        def body() -> None:
            span = guest.start("a")
            guest.abi("span_link", span, handle + (handle == 1), 0, 0)
            guest.abi("span_end", span)

        guest.run(body)

        assert not telemetry.span("a").links
        assert guest.rejected() == {"handle": 1}

    def test_link_to_current(self, guest: Guest, telemetry: Telemetry) -> None:
        """A link to 0 is one to the current span."""

        def body() -> None:
            span = guest.start("a", context=-1)
            guest.abi("span_link", span, 0, 0, 0)
            guest.abi("span_end", span)

        guest.run(body)

        (link,) = telemetry.span("a").links
        assert link.context == telemetry.span("wasm.call run").context


class TestException:
    def test_event(self, guest: Guest, telemetry: Telemetry) -> None:
        """An exception is an event as the semantic conventions say, and does not set the status."""

        def body() -> None:
            span = guest.entered("failing")
            guest.exception(span, "ValueError", "bad value", "at f", {"n": 1})
            guest.exception(0, "", "")
            guest.abi("span_end", span)

        guest.run(body)

        span = telemetry.span("failing")
        assert [(event.name, dict(event.attributes or {})) for event in span.events] == [
            (
                "exception",
                {
                    "exception.type": "ValueError",
                    "exception.message": "bad value",
                    "exception.stacktrace": "at f",
                    "n": 1,
                },
            ),
            ("exception", {"exception.type": "exception", "exception.message": ""}),
        ]
        assert span.status.status_code is StatusCode.UNSET
        assert telemetry.logs() == []

    @pytest.mark.parametrize("handle", [99, -1])
    def test_without_a_span(self, bridge: Bridge, telemetry: Telemetry, handle: int) -> None:
        """Without a span that records, it becomes a log record of severity ERROR."""
        guest = Guest(bridge, tenant="acme")

        guest.run(lambda: guest.exception(handle, "E", "boom", "at f", {"n": 1}))

        record = telemetry.log("boom")
        assert record.severity_number.value == 17
        assert dict(record.attributes) == {
            "exception.type": "E",
            "exception.message": "boom",
            "exception.stacktrace": "at f",
            "n": 1,
            "wasm.tenant": "acme",
        }
        assert guest.rejected() == {"handle": 1}

    def test_limits(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """Type, message and stack are cut at their limits."""
        guest = Guest(bridge, pages=4)

        guest.run(lambda: guest.exception(0, "t" * 1_025, "m" * 16_385, "s" * 65_537))

        attributes = telemetry.span("wasm.call run").events[0].attributes or {}
        assert {key: len(str(value)) for key, value in attributes.items()} == {
            "exception.type": 1_024,
            "exception.message": 16_384,
            "exception.stacktrace": 65_536,
        }

    def test_below_the_minimum(self, make_guest: Callable[..., Guest], telemetry: Telemetry) -> None:
        """As a log record it is subject to the minimum severity, too."""
        guest = make_guest(min_severity=18)

        guest.run(lambda: guest.exception(99, "E", "boom"))

        assert telemetry.logs() == []


class TestTime:
    def test_host_clock(self, bridge: Bridge, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
        """Start, events and end happen when the host is called, in order."""
        TickingClock(start_ns=1_000, step_ns=10).install(monkeypatch)
        guest = Guest(bridge)

        def body() -> None:
            span = guest.start("a")
            guest.event(span, "e")
            guest.abi("span_end", span)

        guest.run(body)

        span = telemetry.span("a")
        times = [span.start_time, span.events[0].timestamp, span.end_time]
        assert times == sorted(times, key=lambda t: t or 0)
        assert all(1_000 <= (t or 0) < 2_000 for t in times)
