"""Calls of exports: the same results and errors as wasmtime's own, whichever way they are made."""

from __future__ import annotations

import math
import struct
import threading
from typing import Any

import pytest
import wasmtime
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)

from tests.support.guests import Guest, compiled, engine
from tests.support.telemetry import Telemetry
from wasmscope.errors import ExportError
from wasmscope.host_shim import Bridge, GuestExports, GuestFunc, GuestInstance

ECHO = """(module
    (func (export "i32") (param i32) (result i32) (local.get 0))
    (func (export "i64") (param i64) (result i64) (local.get 0))
    (func (export "f32") (param f32) (result f32) (local.get 0))
    (func (export "f64") (param f64) (result f64) (local.get 0))
    (func (export "f32_bits") (param f32) (result i32) (i32.reinterpret_f32 (local.get 0)))
    (func (export "f64_bits") (param f64) (result i64) (i64.reinterpret_f64 (local.get 0)))
    (func (export "f32_of") (param i32) (result f32) (f32.reinterpret_i32 (local.get 0)))
    (func (export "f64_of") (param i64) (result f64) (f64.reinterpret_i64 (local.get 0)))
    (func (export "swap") (param i32 f64) (result f64 i32) (local.get 1) (local.get 0))
    (func (export "none"))
    (func (export "more_results") (result i32 i64 f32 f64)
        (i32.const -1) (i64.const -2) (f32.const 0.5) (f64.const -0))
    (func (export "more_params") (param i64 i32 f32 f64 i64) (result i64) (i64.add (local.get 0) (local.get 4)))
    (func (export "extern") (param externref i32) (result i32 externref) (local.get 1) (local.get 0))
    (func (export "func") (param funcref) (result funcref) (local.get 0))
    (func (export "any_null") (result externref) (ref.null extern))
    (memory (export "memory") 1)
    (global (export "global") (mut i32) (i32.const 5))
    (table (export "table") 2 funcref))"""


def instance_of(bridge: Bridge, text: str = ECHO, **options: Any) -> GuestInstance:
    store = wasmtime.Store(engine())
    return bridge.instantiate(wasmtime.Linker(engine()), store, compiled(text), name="guest", **options)


def outcome(function: Any, store: Any, args: tuple[Any, ...]) -> str:
    """What a call gives, or raises, in words that tell True from 1 and -0.0 from 0.0."""
    try:
        return repr(function(store, *args))
    except Exception as error:
        return f"{type(error)}: {error}"


NUMBERS: list[Any] = [
    0, 1, -1, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**32 - 1, 2**32, 2**63 - 1, 2**63, -(2**63), 2**64, 2**70,
    True, 0.0, -0.0, 1.5, 3.4028235e38, 3.5e38, -1e300, 1e-50, 5e-324, math.inf, -math.inf, math.nan,
    None, "1", b"1", 1j, [1],
]  # fmt: skip


class TestSameAsWasmtime:
    @pytest.mark.parametrize("name", ["i32", "i64", "f32", "f64", "f32_bits", "f64_bits", "f32_of", "f64_of"])
    def test_numbers(self, bridge: Bridge, name: str) -> None:
        """Every argument, good or bad, gives the result or the error that `wasmtime.Func` gives."""
        instance = instance_of(bridge)
        traced = instance.exports(instance._store)[name]
        plain = wasmtime.Instance.exports(instance, instance._store)[name]
        assert isinstance(traced, GuestFunc)
        assert not isinstance(plain, GuestFunc)

        for number in NUMBERS:
            expected = outcome(plain, instance._store, (number,))
            assert outcome(traced, instance._store, (number,)) == expected

    @pytest.mark.parametrize("bits", [0x7F800001, 0x7FC00000, 0xFFC00001, 0x7FFFFFFF, 0x80000000, 1])
    def test_float_bits(self, bridge: Bridge, bits: int) -> None:
        """NaNs and other unusual floats come and go as through `wasmtime.Func`."""
        instance = instance_of(bridge)
        plain = wasmtime.Instance.exports(instance, instance._store)
        for kind, width in (("f32", 32), ("f64", 64)):
            number = bits << (width - 32)
            expected: Any = None
            signed = number - (1 << width) if number >> (width - 1) else number
            for exports in (plain, instance.exports(instance._store)):
                function = exports[f"{kind}_of"]
                assert isinstance(function, wasmtime.Func)
                value = function(instance._store, signed)
                back = exports[f"{kind}_bits"]
                assert isinstance(back, wasmtime.Func)
                found = struct.pack("<d", value), back(instance._store, value)
                if exports is plain:
                    expected = found
            assert found == expected

    @pytest.mark.parametrize(
        ("name", "args"),
        [
            ("swap", (7, 2.5)),
            ("swap", (7,)),
            ("swap", (7, 2.5, 1)),
            ("swap", (2.5, 7)),
            ("none", ()),
            ("none", (1,)),
            ("more_results", ()),
            ("more_params", (2**62, 1, 1.0, 1.0, -1)),
            ("more_params", (2**62, 1, 1, 1.0, -1)),
            ("i32", (wasmtime.Val.i32(5),)),
            ("i32", (wasmtime.Val.i64(5),)),
            ("any_null", ()),
            ("extern", ("any object", 3)),
            ("extern", (None, 3)),
            ("extern", (None, "x")),
            ("func", (None,)),
            ("func", (1,)),
        ],
        ids=range(17),
    )
    def test_shapes(self, bridge: Bridge, name: str, args: tuple[Any, ...]) -> None:
        """Any number of arguments and results, and references, work as with `wasmtime.Func`."""
        instance = instance_of(bridge)
        traced, plain = (
            exports[name]
            for exports in (
                instance.exports(instance._store),
                wasmtime.Instance.exports(instance, instance._store),
            )
        )

        assert outcome(traced, instance._store, args) == outcome(plain, instance._store, args)

    def test_errors_are_spans(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A call with arguments of the wrong type has a span that says so."""
        with pytest.raises(TypeError):
            instance_of(bridge).call("i32", "one")

        span = telemetry.span("wasm.call i32")
        assert span.status.status_code is StatusCode.ERROR
        assert bridge.usage()[0].errors == 1

    def test_threads(self, bridge: Bridge) -> None:
        """Threads that call at once each get their own results."""
        wrong: list[object] = []

        def work(number: int) -> None:
            instance = instance_of(bridge)
            for turn in range(200):
                found = instance.call("swap", number, turn / 2)
                if found != [turn / 2, number]:
                    wrong.append(found)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert wrong == []
        assert bridge.usage()[0].calls == 800


class TestReferences:
    def test_traced_function_as_value(self, bridge: Bridge) -> None:
        """A traced export can be passed to a guest, put into a table and defined in a linker."""
        instance = instance_of(bridge)
        store = instance._store
        exports = instance.exports(store)
        function, table = exports["i32"], exports["table"]
        assert isinstance(function, GuestFunc)
        assert isinstance(table, wasmtime.Table)

        back = instance.call("func", function)
        table.set(store, 1, function)
        from_table = table.get(store, 1)
        linker = wasmtime.Linker(engine())
        linker.define(store, "guest", "i32", function)
        linker.define_instance(store, "all", instance)
        text = """(module (import "guest" "i32" (func $a (param i32) (result i32)))
            (import "all" "i64" (func $b (param i64) (result i64))) (import "all" "memory" (memory 1))
            (func (export "f") (param i32) (result i64) (call $b (i64.extend_i32_s (call $a (local.get 0))))))"""
        linked = linker.instantiate(store, compiled(text)).exports(store)["f"]

        assert isinstance(back, wasmtime.Func)
        assert isinstance(from_table, wasmtime.Func)
        assert isinstance(linked, wasmtime.Func)
        assert [back(store, 1), from_table(store, 2), linked(store, 3)] == [1, 2, 3]


class TestExports:
    def test_mapping(self, bridge: Bridge) -> None:
        """Exports are wasmtime's mapping: by name, by index, with memories, globals and tables as they are."""
        instance = instance_of(bridge)
        exports = instance.exports(instance._store)
        plain = wasmtime.Instance.exports(instance, instance._store)

        assert isinstance(exports, GuestExports)
        assert isinstance(exports, type(plain))
        assert list(exports) == list(plain)
        assert len(exports) == len(exports.by_index) == len(plain.by_index)
        assert [type(item) for item in exports.by_index if not isinstance(item, GuestFunc)] == [
            wasmtime.Memory, wasmtime.Global, wasmtime.Table,
        ]  # fmt: skip
        assert "i32" in exports
        assert "nothing" not in exports
        assert exports.get("nothing") is None
        with pytest.raises(KeyError):
            exports["nothing"]
        number = exports["global"]
        assert isinstance(number, wasmtime.Global)
        assert number.value(instance._store) == 5

    def test_unknown(self, bridge: Bridge) -> None:
        """A wrong name is answered with the right ones."""
        instance = instance_of(bridge, '(module (func (export "one")) (func (export "two")) (memory (export "m") 1))')

        for name in ("three", "m"):
            with pytest.raises(ExportError) as raised:
                instance.call(name)
            assert str(raised.value) == f"module 'guest' has no function {name!r}; it exports one, two"
        with pytest.raises(ExportError, match="it exports no functions"):
            instance_of(bridge, "(module)").call("x")

    def test_caller_as_store(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """In a host function, the caller it is given can stand for the store."""
        linker = wasmtime.Linker(engine())
        store = wasmtime.Store(engine())
        results: list[Any] = []

        def host(caller: wasmtime.Caller) -> None:
            function = instance.exports(caller)["seven"]
            assert isinstance(function, wasmtime.Func)
            results.append(function(caller))

        linker.define_func("host", "f", wasmtime.FuncType([], []), host, access_caller=True)
        text = """(module (import "host" "f" (func $f)) (func (export "run") (call $f))
            (func (export "seven") (result i32) (i32.const 7)))"""
        instance = bridge.instantiate(linker, store, compiled(text), name="guest")

        instance.call("run")

        assert results == [7]
        inner, outer = telemetry.spans()
        assert inner.parent is not None
        assert inner.parent.span_id == outer.context.span_id


class TestSpan:
    def test_attributes(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A call's span says what was called, in which module, for whom, and what it cost."""
        instance = instance_of(bridge, version="1.2", tenant="acme")

        instance.call("i32", 1)

        span = telemetry.span("wasm.call i32")
        attributes = dict(span.attributes or {})
        for name in ("wasm.call.cpu_time_ns", "wasm.call.host_time_ns"):
            assert isinstance(attributes.pop(name), int)
        assert attributes == {
            "code.function.name": "i32",
            "wasm.module.name": "guest",
            "wasm.module.version": "1.2",
            "wasm.tenant": "acme",
            "wasm.memory.size_bytes": 65_536,
        }
        assert span.kind is SpanKind.INTERNAL
        assert span.status.status_code is StatusCode.UNSET
        assert span.instrumentation_scope is not None
        assert span.instrumentation_scope.name == "wasmscope"


def parent_id(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


class TestFirstTelling:
    """A collector begins when its guest first tells something, by then calls may be running."""

    @pytest.mark.parametrize("state", [TraceState(), TraceState([("vendor", "x")])], ids=["plain", "tracestate"])
    def test_nested(self, bridge: Bridge, telemetry: Telemetry, state: TraceState) -> None:
        """What is told first in a nested call belongs to that call, and what the outer ones tell later to these."""
        guest = Guest(bridge)
        parent = NonRecordingSpan(
            SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1), trace_state=state)
        )
        found: list[Any] = []

        def innermost() -> None:
            found.append(get_current_span().get_span_context().span_id)
            guest.abi("span_end", guest.entered("deep"))
            guest.log("innermost")

        def outer() -> None:
            found.append(get_current_span().get_span_context().span_id)
            guest.run(lambda: guest.run(innermost), lambda: guest.log("middle"))
            guest.run(lambda: None)
            guest.log("outer")

        token = attach(set_span_in_context(parent))
        try:
            guest.run(outer)
        finally:
            detach(token)

        spans = {span.context.span_id: span for span in telemetry.spans()}
        one = spans[telemetry.log("outer").span_id]
        two = spans[telemetry.log("middle").span_id]
        three = spans[telemetry.log("innermost").span_id]
        assert [parent_id(span) for span in (one, two, three)] == [0xDEF, *found[:1], two.context.span_id]
        assert found == [one.context.span_id, three.context.span_id]
        deep = telemetry.span("deep")
        assert parent_id(deep) == three.context.span_id
        assert {span.context.trace_id for span in spans.values()} == {0xABC}
        assert deep.context.trace_state == state
        assert guest.rejected() == {}

    def test_after_a_trap(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A nested call that fails before anything was told leaves the outer one as it was."""
        guest = Guest(bridge)

        def outer() -> None:
            with pytest.raises(wasmtime.Trap):
                guest.run(lambda: None, export="run_then_trap")
            guest.log("after")

        guest.run(outer)

        trapped = telemetry.span("wasm.call run_then_trap")
        call = telemetry.span("wasm.call run")
        assert trapped.status.status_code is StatusCode.ERROR
        assert parent_id(trapped) == call.context.span_id == telemetry.log("after").span_id
        assert call.status.status_code is StatusCode.UNSET

    def test_failing_call(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """What a guest tells first in a call that then traps comes out, its open span with the reason."""
        guest = Guest(bridge)

        with pytest.raises(wasmtime.Trap):
            guest.run(lambda: guest.entered("open"), export="run_then_trap")

        span = telemetry.span("open")
        assert span.status.status_code is StatusCode.ERROR
        assert parent_id(span) == telemetry.span("wasm.call run_then_trap").context.span_id

    def test_host_that_fails(self, telemetry: Telemetry) -> None:
        """A defect of the application's when the collector begins is counted and costs no records, and the end of a
        call that it was not told of ends no spans."""

        class State(TraceState):
            failures = 2

            def to_header(self) -> str:
                if self.failures:
                    self.failures -= 1
                    raise RuntimeError("a defect of the application's")
                return super().to_header()

        guest = Guest(telemetry.bridge(delivery="sdk"))
        parent = NonRecordingSpan(SpanContext(1, 2, True, TraceFlags(1), State([("a", "b")])))

        def outer() -> None:
            with pytest.raises(wasmtime.Trap):
                guest.run(lambda: guest.start("open"), lambda: guest.log("inner"), export="run_then_trap")
            guest.log("outer")

        token = attach(set_span_in_context(parent))
        try:
            guest.run(outer)
        finally:
            detach(token)
        guest.run(lambda: guest.log("later"))

        assert [log.body for log in telemetry.logs()] == ["inner", "outer", "later"]
        assert "open" not in telemetry.span_names()
        assert telemetry.log("later").span_id == telemetry.spans()[-1].context.span_id
        assert guest.rejected() == {"internal": 1}

    def test_nothing_told(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A guest that tells nothing is called, fails and is closed like any other."""
        guest = Guest(bridge)
        guest.run(lambda: guest.run(lambda: None))
        with pytest.raises(wasmtime.Trap):
            guest.run(lambda: None, export="run_then_trap")
        bridge.flush()
        guest.store.close()

        assert sorted(telemetry.span_names()) == ["wasm.call run", "wasm.call run", "wasm.call run_then_trap"]
        assert bridge.rejected() == {}
        assert bridge.usage()[0].instances == 0
