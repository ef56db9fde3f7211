"""Spans in every order of calls, across calls, guests, stores and threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime
from opentelemetry import context, trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from tests.support.guests import Guest, abi_imports, compiled, engine
from tests.support.telemetry import Telemetry
from wasmscope.host_shim import Bridge, Limits


def current() -> int:
    """The current span's id, as host code sees it."""
    return trace.get_current_span().get_span_context().span_id


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


class Recorder:
    """Notes the current span at points of a test."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self) -> None:
        self.seen.append(current())

    def names(self, telemetry: Telemetry) -> list[str]:
        """The names of the spans noted; they must have ended by now."""
        by_id = {span.context.span_id: span.name for span in telemetry.spans()}
        return [by_id.get(number, "none") for number in self.seen]


@pytest.fixture
def look() -> Recorder:
    return Recorder()


@pytest.fixture(autouse=True)
def same_context_after() -> Any:
    """Whatever a test's guests do, the host's context is afterwards what it was."""
    before = context.get_current()
    yield
    assert context.get_current() is before


class TestOrder:
    def test_end_twice(self, guest: Guest, telemetry: Telemetry) -> None:
        """A second end is counted; the span ended once."""
        guest.run(
            lambda: guest.start("a"), lambda: guest.abi("span_end", 1), lambda: guest.abi("span_end", 1)
        )  # fmt: skip

        assert telemetry.span_names() == ["a", "wasm.call run"]
        assert guest.rejected() == {"ended": 1}

    def test_exit_without_enter(self, guest: Guest, look: Recorder, telemetry: Telemetry) -> None:
        """An exit without an entry is counted and changes nothing."""

        def body() -> None:
            guest.entered("a")
            b = guest.start("b")
            guest.abi("span_exit", b)
            look()
            guest.abi("span_exit", 1)
            guest.abi("span_exit", 1)
            look()
            guest.abi("span_end", 1)
            guest.abi("span_end", b)

        guest.run(body)

        assert look.names(telemetry) == ["a", "wasm.call run"]
        assert guest.rejected() == {"not_entered": 2}

    def test_exits_in_any_order(self, guest: Guest, look: Recorder, telemetry: Telemetry) -> None:
        """An exit removes that span's innermost entry, wherever it stands."""

        def body() -> None:
            a, b, c = (guest.entered(name) for name in "abc")
            for handle in (b, a, c):
                guest.abi("span_exit", handle)
                look()
            for handle in (a, b, c):
                guest.abi("span_end", handle)

        guest.run(body)

        assert look.names(telemetry) == ["c", "c", "wasm.call run"]
        assert guest.rejected() == {}

    def test_entered_twice(self, guest: Guest, look: Recorder, telemetry: Telemetry) -> None:
        """A span may be entered several times; its end takes all entries away."""

        def body() -> None:
            a, b = guest.entered("a"), guest.entered("b")
            guest.abi("span_enter", a)
            look()
            guest.abi("span_exit", a)
            look()
            guest.abi("span_enter", a)
            guest.abi("span_end", a)
            look()
            guest.abi("span_exit", b)
            look()
            guest.abi("span_end", b)

        guest.run(body)

        assert look.names(telemetry) == ["a", "b", "b", "wasm.call run"]
        assert guest.rejected() == {}

    def test_end_of_an_entered_parent(self, guest: Guest, look: Recorder, telemetry: Telemetry) -> None:
        """A parent may end while it is entered below its child."""

        def body() -> None:
            a, b = guest.entered("a"), guest.entered("b")
            guest.abi("span_end", a)
            look()
            guest.abi("span_end", b)
            look()

        guest.run(body)

        assert look.names(telemetry) == ["b", "wasm.call run"]
        assert parent_of(telemetry.span("b")) == telemetry.span("a").context.span_id
        assert guest.rejected() == {}

    def test_remote_context_is_no_span(self, guest: Guest, look: Recorder, telemetry: Telemetry) -> None:
        """A remote context can be a parent, but not be entered or changed."""

        def body() -> None:
            remote = guest.abi(
                "remote_context", *guest.text("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), 0, 0
            )
            guest.abi("span_enter", remote)
            look()
            guest.abi("span_exit", remote)
            guest.event(remote, "e")

        guest.run(body)

        assert look.names(telemetry) == ["wasm.call run"]
        assert guest.rejected() == {"ended": 2, "not_entered": 1}


class TestBounds:
    def test_open_spans(self, telemetry: Telemetry, native: bool) -> None:
        """Of 100,000 open spans as many are kept as allowed; the rest gives 0, which everything accepts."""
        flood = """(func (export "flood") (param $n i32) (result i32) (local $refused i32)
            (loop $again
                (local.set $refused (i32.add (local.get $refused) (i64.eqz
                    (call $span_start (i32.const 0) (i32.const 0) (i32.const 1) (i64.const 0) (i32.const 0)
                        (i32.const 0) (i32.const 0)))))
                (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (local.get $refused))"""
        guest = Guest(telemetry.bridge(limits=Limits(open_spans=100), native=native), extra=flood)

        times = 100_000 if native else 10_000  # the public API is slow
        assert guest.instance.call("flood", times) == times - 100
        guest.run(
            *[lambda f=function: guest.abi(f, 0) for function in ("span_enter", "span_exit", "span_end")],
            lambda: guest.log("goes on", context=0),
        )
        guest.instance.close()

        assert guest.rejected() == {"open_spans": times - 100}
        assert len(telemetry.spans()) == 102
        assert telemetry.log("goes on")

    def test_room_again(self, make_guest: Callable[..., Guest]) -> None:
        """Where a span has ended there is room for another."""
        guest = make_guest(limits=Limits(open_spans=1))

        assert guest.start("a") == 1
        assert guest.start("b") == 0
        guest.abi("span_end", 1)
        assert guest.start("c") > 0

    def test_depth(self, make_guest: Callable[..., Guest], look: Recorder, telemetry: Telemetry) -> None:
        """As many entries as allowed are made; further ones are counted, and so are their exits."""
        guest = make_guest(limits=Limits(span_depth=2))

        def body() -> None:
            for name in "abc":
                guest.entered(name)
            look()
            guest.abi("span_exit", 3)
            for handle in (1, 2, 3):
                guest.abi("span_end", handle)

        guest.run(body)

        assert look.names(telemetry) == ["b"]
        assert guest.rejected() == {"span_depth": 1, "not_entered": 1}


class TestAcrossCalls:
    def test_spans_outlive_calls(self, guest: Guest, telemetry: Telemetry) -> None:
        """A span may end in a later call than it started in."""
        guest.run(lambda: guest.start("long"))
        guest.run(lambda: guest.abi("span_attributes", 1, *guest.attrs({"n": 1})), lambda: guest.abi("span_end", 1))

        assert telemetry.span_names() == ["wasm.call run", "long", "wasm.call run"]
        assert dict(telemetry.span("long").attributes or {}) == {"n": 1}

    def test_entries_do_not(self, guest: Guest, look: Recorder, telemetry: Telemetry) -> None:
        """What a call entered is not current in the next one, and cannot be exited there; it can be entered again."""

        def second() -> None:
            look()
            guest.abi("span_exit", 1)
            guest.abi("span_enter", 1)
            look()
            guest.abi("span_end", 1)

        guest.run(lambda: guest.entered("a"))
        assert not current()
        guest.run(second)

        assert look.names(telemetry) == ["wasm.call run", "a"]
        assert guest.rejected() == {"not_entered": 1}

    def test_changed_by_the_host(self, guest: Guest, telemetry: Telemetry) -> None:
        """A host function may give the guest's span any key and value, with an event and a link, too; the guest may
        not, also afterwards."""
        given: dict[str, Any] = {"wasm.x": 1, "wasmscope.y": "z" * 20_000, "own": True}

        def body() -> None:
            span = guest.entered("a")
            current = trace.get_current_span()
            current.set_attribute("wasm.first", "one")
            current.set_attributes(given)
            current.add_event("of the host", given)
            current.add_link(trace.SpanContext(0xABC, 0xDEF, is_remote=False), given)
            guest.abi("span_attributes", span, *guest.attrs({"wasm.x": 2, "b": 3}))
            guest.abi("span_end", span)

        guest.run(body)

        span = telemetry.span("a")
        assert dict(span.attributes or {}) == {"wasm.first": "one", **given, "b": 3}
        assert [(event.name, dict(event.attributes or {})) for event in span.events] == [("of the host", given)]
        assert [dict(link.attributes or {}) for link in span.links] == [given]
        assert guest.rejected() == {"attribute_reserved": 1}

    def test_nested_in_the_host(self, guest: Guest, telemetry: Telemetry, look: Recorder) -> None:
        """After each call the host's span is current again, whatever the guest left entered."""
        tracer = telemetry.tracer_provider.get_tracer("host")

        with tracer.start_as_current_span("request"):
            for _ in range(2):
                guest.run(lambda: guest.entered("a"))
                look()
        guest.instance.close()

        assert look.names(telemetry) == ["request", "request"]


class TestOutsideOfCalls:
    @pytest.mark.parametrize("state", [trace.TraceState(), trace.TraceState([("vendor", "x"), ("b", "y" * 200)])])
    def test_trace_state(self, guest: Guest, telemetry: Telemetry, state: trace.TraceState) -> None:
        """What is started outside of any call is a child of OpenTelemetry's current span, and has its trace state."""
        flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
        parent = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=flags, trace_state=state)
        token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(parent)))
        try:
            for name in ("first", "second"):
                guest.abi("span_end", guest.start(name))
        finally:
            context.detach(token)
        guest.abi("span_end", guest.start("later"))
        guest.instance.close()

        for span in (telemetry.span("first"), telemetry.span("second")):
            assert (span.context.trace_id, parent_of(span), span.context.trace_state) == (0xABC, 0xDEF, state)
        later = telemetry.span("later")
        assert (later.parent, later.context.trace_state) == (None, {})

    def test_entries(self, guest: Guest, telemetry: Telemetry) -> None:
        """Exports that are called without the bridge have no call's span: what they enter is current for the guest
        until it is exited or ended, and not for the host."""
        outer, inner = guest.entered("outer"), guest.entered("inner")
        guest.log("in inner")
        guest.abi("span_exit", inner)
        guest.log("in outer")
        guest.abi("span_end", guest.start("child"))
        guest.abi("span_enter", inner)
        guest.abi("span_end", inner)
        guest.abi("span_attributes", 0, *guest.attrs({"of": "outer"}))
        guest.abi("span_end", outer)
        guest.log("in none")
        guest.event(0, "lost")

        assert not current()
        spans = {span.context.span_id: span.name for span in telemetry.spans()}
        assert [spans.get(record.span_id, "none") for record in telemetry.logs()] == ["inner", "outer", "none"]
        assert parent_of(telemetry.span("child")) == telemetry.span("outer").context.span_id
        assert dict(telemetry.span("outer").attributes or {}) == {"of": "outer"}
        assert guest.rejected() == {}


class TestReentrancy:
    def test_inner_call(self, guest: Guest, look: Recorder, telemetry: Telemetry) -> None:
        """A call back into the same instance starts with its own span, beneath the one that was current, and leaves
        what was entered outside as it was."""

        def inner() -> None:
            look()
            guest.entered("b")
            guest.abi("span_exit", 1)
            look()

        def outer() -> None:
            guest.entered("a")
            guest.run(inner)
            look()
            guest.abi("span_exit", 1)
            look()
            guest.abi("span_end", 1)
            guest.abi("span_end", 2)

        guest.run(outer)

        first, second = [span for span in telemetry.spans() if span.name == "wasm.call run"]
        a, b = telemetry.span("a"), telemetry.span("b")
        assert look.seen == [span.context.span_id for span in (first, b, a, second)]
        assert (parent_of(first), parent_of(a)) == (a.context.span_id, second.context.span_id)
        assert guest.rejected() == {"not_entered": 1}

    def test_ended_inside(self, guest: Guest, look: Recorder, telemetry: Telemetry) -> None:
        """A span that the inner call ends is taken off the outer call's stack, too."""

        def outer() -> None:
            a, b = guest.entered("a"), guest.entered("b")
            guest.run(lambda: guest.abi("span_end", b), look)
            look()
            guest.log("of a")
            guest.run(lambda: guest.abi("span_end", a))
            look()
            guest.event(0, "on the call")

        guest.run(outer)

        *_, call = telemetry.spans()
        assert look.names(telemetry) == ["wasm.call run", "a", "wasm.call run"]
        assert look.seen[2] == call.context.span_id
        assert telemetry.log("of a").span_id == telemetry.span("a").context.span_id
        assert [event.name for event in call.events] == ["on the call"]
        assert guest.rejected() == {}

    def test_deep(self, guest: Guest, look: Recorder, telemetry: Telemetry) -> None:
        """Calls nest as deep as the stack allows, each beneath the other."""

        def body(depth: int) -> None:
            guest.entered(f"s{depth}")
            if depth < 10:
                guest.run(lambda: body(depth + 1))
            look()
            guest.abi("span_end", depth + 1)

        guest.run(lambda: body(0))

        assert look.names(telemetry) == [f"s{depth}" for depth in range(10, -1, -1)]
        assert len({span.context.trace_id for span in telemetry.spans()}) == 1

    def test_processor(self, guest: Guest, telemetry: Telemetry) -> None:
        """A processor that changes the guest's current span, whenever it hears of another one, harms no record."""

        class Changes(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                current = trace.get_current_span()
                current.set_attribute("seen", "z" * 500)
                ended = span.get_span_context()
                assert ended is not None
                current.add_link(ended, {"why": "z" * 500})

        telemetry.tracer_provider.add_span_processor(Changes())
        bodies = [f"{number} " + "x" * 700 for number in range(300)]

        def work() -> None:
            guest.entered("current")
            for body in bodies:
                guest.abi("span_end", guest.start("other"))
                guest.log(body)

        guest.run(work)

        assert [record.body for record in telemetry.logs()] == bodies
        # What could not be done while the collector was waiting is counted.
        assert guest.rejected().keys() <= {"internal"}
        assert (guest.rejected() == {}) == (telemetry.delivery != "sdk")


class TestSeveralGuests:
    def test_in_one_store(self, bridge: Bridge, look: Recorder, telemetry: Telemetry) -> None:
        """Guests in one store have handles and stacks of their own; a call from one by way of the host nests."""
        one = Guest(bridge, name="one")
        two = Guest(bridge, name="two", store=one.store)

        def inner() -> None:
            two.entered("b")
            look()
            two.abi("span_end", 1)

        def outer() -> None:
            one.entered("a")
            two.run(inner)
            look()
            one.abi("span_end", 1)

        one.run(outer)

        assert look.names(telemetry) == ["b", "a"]
        a, b = telemetry.span("a"), telemetry.span("b")
        inner_call, outer_call = [span for span in telemetry.spans() if span.name == "wasm.call run"]
        assert parent_of(b) == inner_call.context.span_id
        assert parent_of(inner_call) == a.context.span_id
        assert parent_of(a) == outer_call.context.span_id
        assert [span.instrumentation_scope.name for span in (a, b) if span.instrumentation_scope] == ["one", "two"]

    def test_in_two_stores(self, bridge: Bridge, look: Recorder, telemetry: Telemetry) -> None:
        """Guests in two stores do not know of each other."""
        one, two = Guest(bridge, name="one"), Guest(bridge, name="two")
        one.start("a")

        two.run(lambda: two.abi("span_end", 1), lambda: two.log("x", context=1))

        assert bridge.rejected() == {("two", None, "handle"): 2}

    def test_threads(self, telemetry: Telemetry, native: bool) -> None:
        """Threads that each have a store and share a bridge do not disturb each other's spans."""
        bridge = telemetry.bridge(native=native)
        failures: list[BaseException] = []

        def work(number: int) -> None:
            try:
                guest = Guest(bridge, name=f"guest{number}", tenant=str(number))
                tracer = telemetry.tracer_provider.get_tracer("host")
                for _ in range(20):
                    with tracer.start_as_current_span(f"host{number}") as host:
                        seen: list[int] = []
                        guest.run(
                            lambda: guest.entered(f"outer{number}"),
                            lambda: guest.entered(f"inner{number}"),
                            lambda: seen.append(current()),
                            lambda: guest.log(f"log{number}"),
                            lambda: guest.run(lambda: guest.start(f"leaf{number}")),
                        )
                        assert current() == host.get_span_context().span_id
                        assert seen != [current()]
                guest.instance.close()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert failures == []
        by_id = {span.context.span_id: span for span in telemetry.spans()}
        for number in range(4):
            for kind, parent in (("outer", "wasm.call run"), ("inner", "outer"), ("leaf", "wasm.call run")):
                spans = [span for span in by_id.values() if span.name == f"{kind}{number}"]
                assert len(spans) == 20
                for span in spans:
                    above = by_id[parent_of(span) or 0]
                    assert above.name.rstrip("0123") == parent
                    root = span
                    while root.parent is not None:
                        root = by_id[root.parent.span_id]
                    assert root.name == f"host{number}"
            logs = [record for record in telemetry.logs() if record.body == f"log{number}"]
            assert {by_id[record.span_id].name for record in logs} == {f"inner{number}"}
        assert bridge.rejected() == {}


LIBRARY = f"""(module
    {abi_imports("span_start", "span_enter", "span_exit", "span_end", "log", "exception")}
    (import "test" "look" (func $look))
    (memory (export "memory") 1)
    (data (i32.const 16) "library")
    (global $span (mut i64) (i64.const 0))
    (func $start
        (global.set $span
            (call $span_start (i32.const 0) (i32.const 16) (i32.const 7) (i64.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0)))
        (call $span_enter (global.get $span)))
    (func $log
        (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 16) (i32.const 7) (i32.const 0) (i32.const 0)))
    (func (export "work")
        (call $start) (call $look) (call $log) (call $span_exit (global.get $span)) (call $look)
        (call $span_end (global.get $span)))
    (func (export "leave_entered") (call $start))
    (func (export "just_log") (call $log))
    (func (export "fail") (call $start) unreachable))"""
LIBRARY = LIBRARY.replace("(func $log\n", "(func $say\n").replace("(call $log)", "(call $say)")

CALLER = """(module
    (import "library" "work" (func $work))
    (import "library" "leave_entered" (func $leave_entered))
    (import "library" "just_log" (func $just_log))
    (import "library" "fail" (func $fail))
    (import "wasmscope_v1" "span_start" (func $span_start (param i32 i32 i32 i64 i32 i32 i32) (result i64)))
    (import "wasmscope_v1" "span_enter" (func $span_enter (param i64)))
    (import "wasmscope_v1" "span_end" (func $span_end (param i64)))
    (import "test" "look" (func $look))
    (memory (export "memory") 1)
    (data (i32.const 16) "caller")
    (func (export "work") (local $span i64)
        (local.set $span
            (call $span_start (i32.const 0) (i32.const 16) (i32.const 6) (i64.const 0) (i32.const 0)
                (i32.const 0) (i32.const 0)))
        (call $span_enter (local.get $span))
        (call $look) (call $work) (call $look)
        (call $span_end (local.get $span)))
    (func (export "leave_entered") (call $leave_entered) (call $look))
    (func (export "just_log") (call $just_log))
    (func (export "fail") (call $fail)))"""


class Linked:
    """Two guests of which one calls the other's exports directly, without the host between them."""

    def __init__(self, bridge: Bridge, look: Callable[[], None]) -> None:
        self.store = wasmtime.Store(engine())
        linker = bridge.linker(engine())
        linker.define_func("test", "look", wasmtime.FuncType([], []), look)
        self.library = bridge.instantiate(linker, self.store, compiled(LIBRARY), name="library")
        for name, item in wasmtime.Instance.exports(self.library, self.store).items():
            if isinstance(item, wasmtime.Func):
                linker.define(self.store, "library", name, item)
        self.caller = bridge.instantiate(linker, self.store, compiled(CALLER), name="caller")


class TestLinkedGuests:
    def test_nesting(self, bridge: Bridge, look: Recorder, telemetry: Telemetry) -> None:
        """The library's spans nest beneath the caller's, and host functions see the innermost of both."""
        linked = Linked(bridge, look)

        linked.caller.call("work")

        assert look.names(telemetry) == ["caller", "library", "caller", "caller"]
        library, caller = telemetry.span("library"), telemetry.span("caller")
        assert parent_of(library) == caller.context.span_id
        assert telemetry.log("library").span_id == library.context.span_id
        assert bridge.rejected() == {}

    def test_left_entered(self, bridge: Bridge, look: Recorder, telemetry: Telemetry) -> None:
        """What the library leaves entered is not current in the next call from the host."""
        linked = Linked(bridge, look)

        linked.caller.call("leave_entered")
        linked.caller.call("just_log")
        linked.caller.close()
        linked.library.close()

        call = telemetry.span("wasm.call just_log")
        assert telemetry.log("library").span_id == call.context.span_id

    def test_trap(self, bridge: Bridge, look: Recorder, telemetry: Telemetry) -> None:
        """A trap in the library is the caller's; the library can be used afterwards."""
        linked = Linked(bridge, look)

        with pytest.raises(wasmtime.Trap):
            linked.caller.call("fail")
        linked.caller.call("just_log")
        linked.library.call("just_log")

        spans = [telemetry.span(f"wasm.call {name}") for name in ("fail",)]
        assert spans[0].status.description == "wasm `unreachable` instruction executed"
        calls = [span.context.span_id for span in telemetry.spans() if span.name == "wasm.call just_log"]
        assert [record.span_id for record in telemetry.logs()] == calls
