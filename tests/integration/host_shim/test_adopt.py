"""Instances that the application makes by itself: `define` in its linker, then `adopt`."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import wasmtime
from opentelemetry.trace import StatusCode

from tests.support import packing
from tests.support.guests import abi_imports, compiled, engine
from tests.support.telemetry import Point, Telemetry
from wasmscope.errors import ConfigurationError
from wasmscope.host_shim import Bridge, GuestInstance

SITE = packing.callsite(name="site", target="t", constants={"c": 1})
METER = packing.instrument("early")


def data(raw: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in raw)


# Registers a call site, an instrument and an attribute set, logs and starts a span in its start function.
GUEST = f"""(module
    {abi_imports("log", "callsite", "instrument", "attribute_set", "measure_i64")}
    {abi_imports("span_start", "span_end", "span_enter")}
    (memory (export "memory") 1)
    (data (i32.const 16) "hello")
    (data (i32.const 100) "{data(SITE)}")
    (data (i32.const 300) "{data(METER)}")
    (data (i32.const 400) "{data(packing.attributes({"k": "v"}))}")
    (global $site (mut i32) (i32.const 0))
    (global $meter (mut i32) (i32.const 0))
    (global $set (mut i32) (i32.const 0))
    (func $say (export "say")
        (call $log (global.get $site) (i32.const 9) (i64.const 0) (i32.const 16) (i32.const 5)
            (i32.const 0) (i32.const 0)))
    (func (export "measure")
        (call $measure_i64 (global.get $meter) (i64.const 2) (global.get $set)))
    (func (export "enter") (call $span_enter (i64.const 1)))
    (func (export "end") (call $span_end (i64.const 1)))
    (func (export "bad") (call $span_end (i64.const 99)))
    (func $start
        (global.set $site (call $callsite (i32.const 100) (i32.const {len(SITE)})))
        (global.set $meter (call $instrument (i32.const 1) (i32.const 0) (i32.const 300) (i32.const {len(METER)})))
        (global.set $set (call $attribute_set (i32.const 400)
            (i32.const {len(packing.attributes({"k": "v"}))})))
        (call $say)
        (drop (call $span_start (i32.const 0) (i32.const 16) (i32.const 5) (i64.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0))))
    (start $start))"""


@pytest.fixture
def linker(bridge: Bridge) -> wasmtime.Linker:
    """The application's own linker with the bridge's functions."""
    linker = wasmtime.Linker(engine())
    bridge.define(linker)
    return linker


def adopted(bridge: Bridge, linker: wasmtime.Linker, **options: Any) -> GuestInstance:
    store = wasmtime.Store(engine())
    instance = linker.instantiate(store, compiled(GUEST))
    return bridge.adopt(store, instance, **{"name": "guest", **options})


class TestAdopt:
    def test_calls(self, bridge: Bridge, linker: wasmtime.Linker, telemetry: Telemetry) -> None:
        """An adopted instance's calls are traced and accounted like others'."""
        instance = adopted(bridge, linker, version="1.2", tenant="acme")

        instance.call("say")

        *_, record = telemetry.records()
        assert record.instrumentation_scope is not None
        assert (record.instrumentation_scope.name, record.instrumentation_scope.version) == ("guest", "1.2")
        assert record.log_record.span_id == telemetry.span("wasm.call say").context.span_id
        assert dict(record.log_record.attributes or {}) == {"c": 1, "wasmscope.target": "t", "wasm.tenant": "acme"}
        (usage,) = bridge.usage()
        assert (usage.module, usage.tenant, usage.calls, usage.memory_bytes) == ("guest", "acme", 1, 65_536)

    def test_before(self, bridge: Bridge, linker: wasmtime.Linker, telemetry: Telemetry) -> None:
        """What the start function registered before stays valid and reports under the new name; spans that it opened
        are ended with the instance. What it logged came too early to be named."""
        instance = adopted(bridge, linker, tenant="acme")
        (early,) = telemetry.records()
        assert early.instrumentation_scope is not None
        assert early.instrumentation_scope.name == "wasm"

        instance.call("measure")
        instance.call("bad")
        instance.close()

        assert telemetry.points("guest", "early") == [Point({"k": "v", "wasm.tenant": "acme"}, 2)]
        assert telemetry.span("hello").status.status_code is StatusCode.ERROR
        assert bridge.rejected() == {("guest", "acme", "handle"): 1}

    def test_spans_across(self, bridge: Bridge, linker: wasmtime.Linker, telemetry: Telemetry) -> None:
        """A span that was opened before can be entered and ended afterwards."""
        instance = adopted(bridge, linker)

        instance.call("enter")
        instance.call("end")

        assert telemetry.span_names() == ["wasm.call enter", "hello", "wasm.call end"]
        assert bridge.rejected() == {}

    def test_second(self, bridge: Bridge, linker: wasmtime.Linker) -> None:
        """A second adoption in one store is refused, also after the first instance was closed: both instances' calls
        would look alike."""
        instance = adopted(bridge, linker)
        store = instance._store
        other = linker.instantiate(store, compiled(GUEST))

        for _ in range(2):
            with pytest.raises(ConfigurationError, match="the store has an adopted guest already"):
                bridge.adopt(store, other, name="other")
            instance.close()

    def test_failing_processor(self, bridge: Bridge, linker: wasmtime.Linker, telemetry: Telemetry) -> None:
        """A processor of the application that raises is counted, and harms no guest."""
        instance = adopted(bridge, linker)

        class Fails:
            @staticmethod
            def on_emit(record: Any) -> None:
                raise ValueError("processor")

            @staticmethod
            def shutdown() -> None:
                pass

        processor: Any = Fails()
        telemetry.logger_provider.add_log_record_processor(processor)

        instance.call("say")

        assert bridge.rejected() == {("guest", None, "internal"): 1}

    def test_defined_twice(self, bridge: Bridge, linker: wasmtime.Linker) -> None:
        """A linker that has the functions already says so, as for any other."""
        with pytest.raises(wasmtime.WasmtimeError, match="defined twice"):
            bridge.define(linker)

    def test_memory64(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """Guests with 64-bit memories are served by their own definition."""
        linker = wasmtime.Linker(engine())
        bridge.define(linker, memory64=True)
        text = f"""(module {abi_imports("log", memory64=True)} (memory (export "memory") i64 1)
            (data (i64.const 16) "hello")
            (func (export "say") (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i64.const 16) (i64.const 5)
                (i64.const 0) (i64.const 0))))"""
        store = wasmtime.Store(engine())
        instance = linker.instantiate(store, compiled(text))

        bridge.adopt(store, instance, name="guest").call("say")

        assert telemetry.log("hello")

    def test_other_memories(self, bridge: Bridge, linker: wasmtime.Linker, telemetry: Telemetry) -> None:
        """Without a memory called ``memory`` the first exported one is meant, also if something else has that name."""
        text = f"""(module {abi_imports("log")} (memory (export "other") 1) (data (i32.const 16) "hello")
            (global (export "memory") i32 (i32.const 0))
            (func (export "say") (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 16) (i32.const 5)
                (i32.const 0) (i32.const 0))))"""
        store = wasmtime.Store(engine())

        bridge.adopt(store, linker.instantiate(store, compiled(text)), name="guest").call("say")

        assert telemetry.log("hello")


class TestNeverAdopted:
    def test_reports(self, bridge: Bridge, linker: wasmtime.Linker, telemetry: Telemetry) -> None:
        """An instance that nobody adopts reports under the name ``wasm``."""
        store = wasmtime.Store(engine())
        instance = linker.instantiate(store, compiled(GUEST))
        say = instance.exports(store)["say"]
        assert isinstance(say, wasmtime.Func)

        say(store)

        assert [record.body for record in telemetry.logs()] == ["hello", "hello"]
        assert bridge.usage() == ()
        assert bridge.rejected() == {}

    def test_store_at_the_same_address(self, telemetry: Telemetry) -> None:
        """A store that comes to lie where another one was does not inherit its guest."""
        bridge = telemetry.bridge()
        linker = wasmtime.Linker(engine())
        bridge.define(linker)
        for _ in range(50):
            store = wasmtime.Store(engine())
            linker.instantiate(store, compiled(GUEST))
            store.close()
            assert bridge._natives.by_context == {}
        gc.collect()

        # Handles begin with 1 in each: none of them sees another's span.
        instance = adopted(bridge, linker)
        instance.call("end")
        assert bridge.rejected() == {}

    def test_adopted_store_at_the_same_address(self, bridge: Bridge, linker: wasmtime.Linker) -> None:
        """The same for adopted guests, whether their store was closed or collected."""
        for number in range(50):
            instance = adopted(bridge, linker, name=f"guest{number}")
            instance.call("end")
            if number % 2:
                instance._store.close()
            del instance
            if number % 10 == 0:
                gc.collect()
        gc.collect()

        assert bridge.rejected() == {}
        assert {(usage.calls, usage.instances) for usage in bridge.usage()} == {(1, 0)}
        assert bridge._natives.by_context == {}
        assert bridge._contexts == {}
