"""Collectors in stores and guests linked to them, with a stand-in for the collector that notes its calls."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import os
import struct
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
import wasmtime
from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from tests.support import collector_double as double
from tests.support.telemetry import Telemetry
from wasmscope.host_shim import Limits
from wasmscope.host_shim._collector import Collectors, Drained, GuestLink, StoreCollector
from wasmscope.host_shim._control import REASONS, CollectorSettings
from wasmscope.host_shim._link import Binding
from wasmscope.host_shim._modules import Modules
from wasmscope.host_shim._packer import pack_attributes
from wasmscope.host_shim._plan import plan_imports
from wasmscope.host_shim._signals import ModuleIdentity
from wasmscope.host_shim._wasmtime_instances import Instances

PAGE = 65_536
LOG = '(import "wasmscope_v1" "log" (func $log (param i32 i32 i64 i32 i32 i32 i32)))'
ENABLED = '(import "wasmscope_v1" "enabled" (func $enabled (param i32) (result i32)))'
BAGGAGE = '(import "wasmscope_v1" "baggage_get" (func $baggage (param i32 i32 i32 i32) (result i32)))'


def say(text: str, at: int = 100) -> str:
    return (
        f"(call $log (i32.const 1) (i32.const 9) (i64.const -1) (i32.const {at}) (i32.const {len(text)})"
        " (i32.const 0) (i32.const 0))"
    )


def logger(text: str, *, at: int = 100, more: str = "", memory: str = '(memory (export "memory") 1)') -> str:
    """A guest that logs a text."""
    return f"""(module {LOG} {ENABLED} {memory} (data (i32.const {at}) "{text}")
        (func $run (export "run") {say(text, at)})
        (func (export "ask") (param i32) (result i32) (call $enabled (local.get 0))) {more})"""


GUEST = logger("hello")
STARTING = logger("start", more="(start $run)")


@functools.cache
def text_of(module: str) -> bytes:
    return bytes(wasmtime.wat2wasm(module))


class Kit:
    """Collectors made of the stand-in, and guests with a real live path."""

    def __init__(
        self, telemetry: Telemetry, *, wasm: bytes | None = None, modules: Modules | None = None, **settings: Any
    ) -> None:
        self.bridge = telemetry.bridge()
        self.natives = self.bridge._natives
        self.modules = modules or Modules(wasm or double.double())
        self.asked: list[tuple[int, int]] = []
        self.begun: list[StoreCollector] = []
        self.on_begin: Callable[[StoreCollector], object] = self.begun.append
        self.closed: list[StoreCollector] = []
        self.on_close: Callable[[StoreCollector], None] = self.closed.append
        self.on_host: Callable[[StoreCollector, int, int], int] = lambda _c, _op, _n: 0
        assert self.natives.native is not None
        self.collectors = Collectors(
            self.natives.native,
            Limits(name_bytes=77),
            CollectorSettings(**settings),
            self._host,
            lambda collector: self.on_close(collector),
            modules=self.modules,
        )

    def _host(self, collector: StoreCollector, op: int, number: int) -> int:
        if op == double.START:
            self.on_begin(collector)
            return 0
        self.asked.append((op, number))
        return self.on_host(collector, op, number)

    def collector(self, store: wasmtime.Store) -> StoreCollector:
        found = self.collectors.of(store)
        assert found is not None
        return found

    def link(
        self, store: wasmtime.Store, module: wasmtime.Module, *, base: bytes = b"base", **options: Any
    ) -> tuple[GuestLink, Binding]:
        plan = plan_imports(module, "guest")
        binding = self.bridge._bind(ModuleIdentity("guest"), plan)
        link = self.collector(store).add(plan, binding.guest, base, **options)
        assert link is not None
        return link, binding

    def guest(
        self, store: wasmtime.Store, text: str, *more: Any, bind: bool = True, **options: Any
    ) -> tuple[GuestLink, Any]:
        """Link and instantiate a guest: its ABI imports, then those given."""
        module = wasmtime.Module(store.engine, text_of(text))
        link, _ = self.link(store, module, **options)
        exports: Any = link.instantiate(module, [*link.functions(), *more]).exports(store)
        if bind:
            link.bind(exports.get("memory"))
        return link, exports


def calls(collector: StoreCollector) -> list[tuple[str, tuple[Any, ...]]]:
    """What the collector was called for, but for how it and its guests are made."""
    found: list[tuple[str, tuple[Any, ...]]] = []
    at = double.CALLS
    while collector.u32(at + 12) == 1:
        name = double.NAMES[collector.u32(at)]
        words = {"i": "q", "l": "q", "d": "d"}
        params = double.FUNCTIONS[name][0]
        if name not in SETUP:
            raw = collector.read(at + 16, 8 * len(params))
            found.append((name, struct.unpack("<" + "".join(words[p] for p in params), raw)))
        at += double.ENTRY
    return found


SETUP = {"init", "ready", "guest", "guest_address"}


def logged(number: int, size: int) -> tuple[str, tuple[int, ...]]:
    return "log", (number, 1, 9, -1, size, 0)


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    yield telemetry
    telemetry.close()


@pytest.fixture
def kit(telemetry: Telemetry) -> Kit:
    return Kit(telemetry)


@pytest.fixture
def store() -> Iterator[wasmtime.Store]:
    with wasmtime.Store(wasmtime.Engine()) as store:
        yield store


class TestCollector:
    def test_one(self, kit: Kit, store: wasmtime.Store) -> None:
        """A store has one collector, however often it is asked for; another store has another."""
        first = kit.collector(store)
        assert kit.collector(store) is first
        with wasmtime.Store(store.engine) as other:
            assert kit.collector(other) is not first

    def test_configuration(self, telemetry: Telemetry, store: wasmtime.Store) -> None:
        """When it begins, the limits and settings are in the control block, and the seed is arguments of `init`."""
        kit = Kit(
            telemetry, min_severity=9, unsampled=True, exponential=True, root_policy=2, buffer_bytes=4_096,
            max_age_ns=2**40, clock_uses=3, exponential_max_scale=-4, seed=lambda: bytes(range(32)),
        )  # fmt: skip
        collector = kit.collector(store)
        kit.link(store, wasmtime.Module(store.engine, "(module)"))
        collector.begin()
        control = double.CONTROL
        limits = Limits(name_bytes=77)
        for offset, expected in {
            256: limits.body_bytes, 260: limits.value_bytes, 264: 77, 268: limits.message_bytes,
            272: limits.stack_bytes, 276: limits.key_bytes, 280: limits.attributes_bytes, 284: limits.attributes,
            288: limits.elements, 292: limits.depth, 296: limits.events, 300: limits.links, 304: limits.open_spans,
            308: limits.span_depth, 312: limits.callsites, 316: limits.instruments, 320: limits.attribute_sets,
            324: limits.descriptor_bytes, 328: limits.kept_bytes, 332: limits.kept_contexts, 336: 9, 340: 6, 344: 2,
            348: 0, 352: 1, 356: 4_096, 368: 3, 372: 160, 376: 2**32 - 4,
        }.items():  # fmt: skip
            assert collector.u32(control + offset) == expected, offset
        assert collector.u64(control + 360) == 2**40
        seed = struct.unpack("<4q", collector.read(double.CALLS + 16, 32))
        assert double.NAMES[collector.u32(double.CALLS)] == "init"
        assert seed == struct.unpack("<4q", bytes(range(32)))

    def test_seeds(self, kit: Kit, store: wasmtime.Store) -> None:
        """No two stores have the same seed."""
        with wasmtime.Store(store.engine) as other:
            for s in (store, other):
                kit.collector(s).begin()
            seeds = {kit.collector(s).read(double.CALLS + 16, 32) for s in (store, other)}
        assert len(seeds) == 2

    def test_huge_limits(self, telemetry: Telemetry, store: wasmtime.Store) -> None:
        """A limit beyond 32 bits is the highest of 32 bits."""
        kit = Kit(telemetry)
        kit.collectors = Collectors(
            kit.collectors.native,
            Limits(body_bytes=2**40),
            CollectorSettings(),
            kit._host,
            kit.on_close,
            modules=kit.modules,
        )
        collector = kit.collector(store)
        collector.begin()
        assert collector.u32(double.CONTROL + 256) == 2**32 - 1

    def test_two_bridges(self, kit: Kit, telemetry: Telemetry, store: wasmtime.Store) -> None:
        """Guests of two bridges in one store have a collector each."""
        other = Kit(telemetry, modules=kit.modules)
        _, first = kit.guest(store, GUEST)
        _, second = other.guest(store, GUEST)
        first["run"](store)
        first["run"](store)
        second["run"](store)
        assert len(calls(kit.collector(store))) == 2
        assert len(calls(other.collector(store))) == 1

    def test_memory(self, kit: Kit, store: wasmtime.Store) -> None:
        """Its memory is read and written where it lies, and not beyond its end."""
        collector = kit.collector(store)
        collector.set_u32(1_000, 2**32 - 2)
        collector.set_u64(1_008, 2**64 - 3)
        collector.write(1_016, b"abc")
        assert collector.read(1_000, 19) == struct.pack("<QQ", 2**32 - 2, 2**64 - 3) + b"abc"
        assert (collector.u32(1_000), collector.u64(1_008)) == (2**32 - 2, 2**64 - 3)
        for size in (1, 2**31, 2**40):
            with pytest.raises(ValueError, match="not in the collector's memory"):
                collector.read(4 * PAGE, size)
            with pytest.raises(ValueError, match="not in the collector's memory"):
                collector.read(2**32 - 1, size)
        with pytest.raises(ValueError, match="not in the collector's memory"):
            collector.write(4 * PAGE - 1, b"ab")

    def test_scratch(self, kit: Kit, store: wasmtime.Store) -> None:
        """Bytes for a call are put into the scratch area, for which room is made if there is any."""
        collector = kit.collector(store)
        assert collector.write_scratch(b"x" * double.SCRATCH_BYTES)
        assert calls(collector) == []
        assert collector.write_scratch(b"y" * (double.SCRATCH_BYTES + 1))
        assert calls(collector) == [("reserve", (double.SCRATCH_BYTES + 1,))]
        assert collector.read(double.SCRATCH, 2_000) == b"y" * 1_025 + bytes(975)
        assert not collector.write_scratch(bytes(double.ROOM + 1))

    def test_drain(self, kit: Kit, store: wasmtime.Store) -> None:
        """What waits for a guest is copied out and gone; the totals go down by as much."""
        link, _ = kit.guest(store, GUEST)
        collector = kit.collector(store)
        collector.begin()
        collector.write(20_000, b"spans!logs:metrics")
        block = struct.pack("<8I", 20_000, 6, 2, 20_006, 5, 1, 20_011, 7)
        collector.write(double.BLOCK, block)
        collector.set_u32(double.CONTROL + 140, 15)
        collector.set_u64(double.CONTROL + 152, 99)
        assert collector.drain(link.number) == Drained(b"spans!", 2, b"logs:", 1, b"metrics")
        assert collector.u32(double.CONTROL + 140) == 4
        assert collector.u64(double.CONTROL + 152) == 99
        assert collector.drain(link.number) == Drained(b"", 0, b"", 0, b"")
        collector.write(double.BLOCK, block)
        collector.drain(link.number)
        assert collector.u32(double.CONTROL + 140) == 0
        assert collector.u64(double.CONTROL + 152) == 0


class TestGuests:
    def test_calls(self, kit: Kit, store: wasmtime.Store) -> None:
        """A guest's calls reach the collector, under its number, with what they point at."""
        link, exports = kit.guest(store, GUEST)
        exports["run"](store)
        collector = kit.collector(store)
        assert calls(collector) == [logged(link.number, 5)]
        assert collector.read(double.SCRATCH, 6) == b"hello\0"

    def test_base(self, kit: Kit, store: wasmtime.Store) -> None:
        """A guest's attributes are in the scratch area, and their length an argument; so is whether it has memory."""
        collector = kit.collector(store)
        module = wasmtime.Module(store.engine, text_of(GUEST))
        for has_memory, flags in ((True, 0), (False, 1)):
            at = double.CALLS
            while collector.u32(at + 12) == 1:
                at += double.ENTRY
            kit.link(store, module, has_memory=has_memory)
            collector.begin()
            noted: dict[str, tuple[int, ...]] = {}
            while collector.u32(at + 12) == 1:
                noted[double.NAMES[collector.u32(at)]] = struct.unpack("<6q", collector.read(at + 16, 48))
                at += double.ENTRY
            if not flags:
                # The first comes with the start of the collector, which has no scratch area before.
                assert (noted["init"][4:], noted["ready"][:1]) == ((0, 4), (4,))
            else:
                assert noted["guest"][:2] == (1, 4)
            assert collector.read(double.SCRATCH, 4) == b"base"
            collector.write(double.SCRATCH, bytes(4))

    def test_two(self, kit: Kit, store: wasmtime.Store) -> None:
        """Guests in one store are told apart, and each has its own memory."""
        first, a = kit.guest(store, logger("a"))
        second, b = kit.guest(store, logger("bb"))
        assert first.number != second.number
        collector = kit.collector(store)
        for exports, text in ((a, b"a"), (b, b"bb"), (a, b"ab")):
            exports["run"](store)
            assert collector.read(double.SCRATCH, len(text)) == text
        assert calls(collector) == [logged(first.number, 1), logged(second.number, 2), logged(first.number, 1)]

    def test_linked_guests(self, kit: Kit, store: wasmtime.Store) -> None:
        """A guest that calls another is not mixed up with it."""
        first, a = kit.guest(store, logger("a"))
        text = f"""(module {LOG} (import "a" "run" (func $other)) (memory (export "memory") 1)
            (data (i32.const 100) "bcd") (func (export "run") {say("bcd")} (call $other) {say("bcd")}))"""
        second, b = kit.guest(store, text, a["run"])
        b["run"](store)
        numbers = [args[0] for _, args in calls(kit.collector(store))]
        assert numbers == [second.number, first.number, second.number]

    def test_two_stores(self, kit: Kit, store: wasmtime.Store) -> None:
        """Guests in two stores are told apart."""
        with wasmtime.Store(store.engine) as other:
            _, a = kit.guest(store, GUEST)
            _, b = kit.guest(other, GUEST)
            a["run"](store)
            assert len(calls(kit.collector(store))) == 1
            assert calls(kit.collector(other)) == []
            b["run"](other)
            assert len(calls(kit.collector(other))) == 1

    def test_memory64(self, kit: Kit, store: wasmtime.Store) -> None:
        """A guest with a 64-bit memory has 64-bit functions."""
        text = """(module (import "wasmscope_v1" "log" (func $log (param i32 i32 i64 i64 i64 i64 i64)))
            (memory (export "memory") i64 1) (data (i64.const 100) "hello")
            (func (export "run") (param i64)
                (call $log (i32.const 1) (i32.const 9) (i64.const -1) (local.get 0) (i64.const 5) (i64.const 0)
                    (i64.const 0))))"""
        link, exports = kit.guest(store, text)
        exports["run"](store, 100)
        exports["run"](store, -100)
        assert calls(kit.collector(store)) == [logged(link.number, 5), logged(link.number, -1)]

    def test_mixed_widths(self, kit: Kit, store: wasmtime.Store) -> None:
        """A guest whose functions are of another width than its memory is served as well."""
        text = f"""(module {LOG} (memory (export "memory") i64 1) (data (i64.const 100) "hello")
            (func (export "run") {say("hello")}))"""
        _, exports = kit.guest(store, text)
        exports["run"](store)
        assert kit.collector(store).read(double.SCRATCH, 5) == b"hello"

    def test_imported_memory(self, kit: Kit, store: wasmtime.Store) -> None:
        """A guest that imports its memory can be bound before it is made, and logs out of its start function."""
        memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(1, None)))
        text = f"""(module {LOG} (import "env" "m" (memory 1)) (data (i32.const 100) "hello")
            (func $run (export "run") {say("hello")}) (start $run))"""
        module = wasmtime.Module(store.engine, text)
        link, _ = kit.link(store, module)
        link.bind(memory)
        link.instantiate(module, [*link.functions(), memory])
        assert calls(kit.collector(store)) == [logged(link.number, 5)]
        assert kit.collector(store).read(double.SCRATCH, 5) == b"hello"

    def test_no_memory(self, kit: Kit, store: wasmtime.Store) -> None:
        """A guest without memory is served, but for what needs one; the collector knows."""
        text = f'(module {LOG} {ENABLED} (func (export "run") {say("x")} (drop (call $enabled (i32.const 3)))))'
        link, exports = kit.guest(store, text, has_memory=False)
        exports["run"](store)
        assert calls(kit.collector(store)) == [logged(link.number, -1), ("enabled", (link.number, 3))]
        link, exports = kit.guest(store, text)
        exports["run"](store)
        assert calls(kit.collector(store))[2] == ("set_memory", (link.number, 0))

    def test_growth(self, kit: Kit, store: wasmtime.Store) -> None:
        """What a guest's memory has grown by between two calls is there."""
        text = f"""(module {LOG} (memory (export "memory") 1)
            (func (export "run") (param i32) (call $log (i32.const 1) (i32.const 9) (i64.const -1) (local.get 0)
                (i32.const 3) (i32.const 0) (i32.const 0)))
            (func (export "grow") (drop (memory.grow (i32.const 1)))))"""
        link, exports = kit.guest(store, text)
        exports["run"](store, PAGE - 1)
        exports["grow"](store)
        exports["memory"].write(store, b"abc", PAGE - 1)
        exports["run"](store, PAGE - 1)
        assert calls(kit.collector(store)) == [logged(link.number, -1), logged(link.number, 3)]
        assert kit.collector(store).read(double.SCRATCH, 3) == b"abc"

    def test_in_python(self, kit: Kit, store: wasmtime.Store) -> None:
        """What the collector leaves to Python is served by the guest's live path, memory and all."""
        text = f"""(module {BAGGAGE} (memory (export "memory") 1) (data (i32.const 8) "key")
            (func (export "run") (result i32)
                (call $baggage (i32.const 8) (i32.const 3) (i32.const 32) (i32.const 16))))"""
        from opentelemetry import baggage, context

        module = wasmtime.Module(store.engine, text)
        link, binding = kit.link(store, module)
        exports: Any = link.instantiate(module, link.functions()).exports(store)
        link.bind(exports["memory"])
        binding.guest.attach_memory(kit.natives.memory(store, exports["memory"]))
        assert exports["run"](store) == -1
        token = context.attach(baggage.set_baggage("key", "value"))
        try:
            assert exports["run"](store) == 5
        finally:
            context.detach(token)
        assert bytes(exports["memory"].read(store, 32, 38)) == b"value\0"
        assert kit.asked == []


class TestBegin:
    QUIET = f"""(module {LOG} (memory (export "memory") 1) (data (i32.const 100) "hello")
        (func (export "quiet")) (func (export "run") {say("hello")}))"""

    def test_untouched(self, kit: Kit, store: wasmtime.Store) -> None:
        """The memory of a collector whose guest tells nothing is as new, and nothing waits in it."""
        link, exports = kit.guest(store, self.QUIET)
        exports["quiet"](store)
        collector = kit.collector(store)
        assert not collector.is_begun
        assert not any(collector.read(0, 4 * PAGE))
        assert collector.drain(link.number) == Drained(b"", 0, b"", 0, b"")
        assert kit.begun == []

    def test_first_call(self, kit: Kit, store: wasmtime.Store) -> None:
        """It begins with the first call that tells something, and the application's side hears of it once."""
        link, exports = kit.guest(store, self.QUIET)
        exports["quiet"](store)
        collector = kit.collector(store)
        for _ in range(2):
            exports["run"](store)
            assert kit.begun == [collector]
        assert collector.is_begun
        assert calls(collector) == [logged(link.number, 5)] * 2

    def test_fuel(self, kit: Kit) -> None:
        """Where fuel is counted it begins at once, so that telling costs the same each time."""
        with wasmtime.Store(engine_with(consume_fuel=True)) as store:
            kit.link(store, wasmtime.Module(store.engine, text_of(self.QUIET)))
            assert kit.begun == [kit.collector(store)]

    def test_second_guest(self, kit: Kit, store: wasmtime.Store) -> None:
        """It begins with a second guest, too; the first one keeps its number."""
        first, a = kit.guest(store, GUEST)
        second, b = kit.guest(store, GUEST)
        assert kit.begun == [kit.collector(store)]
        b["run"](store)
        a["run"](store)
        assert (first.number, second.number) == (0, 1)
        assert calls(kit.collector(store)) == [logged(1, 5), logged(0, 5)]

    def test_interrupted(self, telemetry: Telemetry) -> None:
        """Where a signal's handler raises, anywhere, nothing is lost but the one record, and none lacks the tenant."""
        kit = Kit(telemetry, modules=real_modules())
        told = number = 0
        for number in range(1_000):
            with wasmtime.Store(wasmtime.Engine()) as store:
                link, exports = kit.guest(store, self.QUIET, base=pack_attributes({"wasm.tenant": "acme"}))
                with interrupted_at(number, StoreCollector._begin, StoreCollector._call_early) as strikes:
                    exports["run"](store)
                exports["run"](store)
                collector = kit.collector(store)
                records = ScopeLogs.FromString(collector.drain(link.number).logs).log_records
                told += len(records)
                assert len(records) in ({1, 2} if strikes else {2})
                for record in records:
                    assert [(a.key, a.value.string_value) for a in record.attributes] == [("wasm.tenant", "acme")]
                assert kit.begun[-1] is collector
                if not strikes:
                    break
        assert number > 15
        # It is done once more at once: the record is not lost.
        assert told == 2 * (number + 1)
        rejected = {reason: count for (_, _, reason), count in kit.bridge.rejected().items()}
        assert rejected == {"internal": number}

    def test_no_room(self, telemetry: Telemetry) -> None:
        """Where there is no room for what the host puts on records these are lost and counted, until there is some."""
        kit = Kit(telemetry, modules=real_modules())
        with wasmtime.Store(wasmtime.Engine()) as store:
            store.set_limits(memory_size=4 * PAGE)
            link, exports = kit.guest(store, self.QUIET, base=pack_attributes({"wasm.tenant": "x" * 300_000}))
            for count in (1, 2):
                exports["run"](store)
                assert {reason: n for (_, _, reason), n in kit.bridge.rejected().items()} == {"internal": count}
            collector = kit.collector(store)
            assert (collector.is_begun, collector.drain(link.number).log_count) == (False, 0)
            store.set_limits()
            exports["run"](store)
            (record,) = ScopeLogs.FromString(collector.drain(link.number).logs).log_records
            assert record.body.string_value == "hello"
            assert len(record.attributes[0].value.string_value) == 300_000

    def test_deep(self, telemetry: Telemetry) -> None:
        """A guest deep in its stack may be unable to have it begin: that record is lost, and later ones are not."""
        kit = Kit(telemetry, modules=real_modules())
        text = f"""(module {LOG} (memory (export "memory") 1) (data (i32.const 100) "hello")
            (func $deep (param i32)
                (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else {say("hello")})))
            (export "deep" (func $deep)) (func (export "run") {say("hello")}))"""
        kept = lost = 0
        engine = engine_with(max_wasm_stack=65_536)
        for depth in range(1_000, 3_000):
            with wasmtime.Store(engine) as store:
                link, exports = kit.guest(store, text, base=pack_attributes({"wasm.tenant": "acme"}))
                try:
                    exports["deep"](store, depth)
                except wasmtime.Trap as trap:
                    assert trap.trap_code is wasmtime.TrapCode.STACK_OVERFLOW
                exports["run"](store)
                records = ScopeLogs.FromString(kit.collector(store).drain(link.number).logs).log_records
                assert len(records) in {1, 2}
                assert all(record.attributes[0].value.string_value == "acme" for record in records)
                kept += len(records) == 2
                lost += len(records) == 1
                if lost > 40:
                    break
        assert kept > 0
        assert lost > 0


@contextlib.contextmanager
def interrupted_at(number: int, *functions: Callable[..., object]) -> Iterator[list[int]]:
    """Have KeyboardInterrupt raised before the line of these functions that is executed as the `number`-th; gives a
    list that has an item when that was done."""
    codes = {function.__code__ for function in functions}
    strikes: list[int] = []
    left = number

    def line(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal left
        if event == "line" and not strikes:
            if left == 0:
                strikes.append(frame.f_lineno)
                raise KeyboardInterrupt
            left -= 1
        return line

    before = sys.gettrace()
    sys.settrace(lambda frame, _event, _arg: line if frame.f_code in codes else None)
    try:
        yield strikes
    finally:
        sys.settrace(before)


class TestEarlyCalls:
    def test_start(self, kit: Kit, store: wasmtime.Store) -> None:
        """A start function's call is served, with the memory of its own instance."""
        link, exports = kit.guest(store, STARTING, bind=False)
        assert link.is_bound
        assert calls(kit.collector(store)) == [logged(link.number, 5)]
        assert kit.collector(store).read(double.SCRATCH, 5) == b"start"
        link.bind(exports["memory"])
        exports["run"](store)
        assert calls(kit.collector(store))[1:] == [logged(link.number, 5)]

    def test_others_around(self, kit: Kit, store: wasmtime.Store) -> None:
        """It is its own memory whatever was made in the store meanwhile: other instances, also of the same module."""
        module = wasmtime.Module(store.engine, text_of(STARTING))
        for text in (logger("other", memory='(memory (export "m2") 1) (memory (export "memory") 1)'), STARTING):
            link, _ = kit.link(store, module)
            wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(1, None)))
            wasmtime.Instance(store, wasmtime.Module(store.engine, "(module)"), [])
            kit.guest(store, text)
            before = len(calls(kit.collector(store)))
            link.instantiate(module, link.functions())
            assert calls(kit.collector(store))[before:] == [logged(link.number, 5)]
            assert kit.collector(store).read(double.SCRATCH, 5) == b"start"

    def test_nested(self, kit: Kit, store: wasmtime.Store) -> None:
        """Also when the start function's first doing is that the host makes another guest of the same module."""
        text = f"""(module {LOG} (import "host" "f" (func $f)) (memory (export "memory") 1)
            (func $run (i32.store8 (i32.const 100) (i32.add (i32.load8_u (i32.const 100)) (i32.const 1)))
                (call $f) {say("x")}) (start $run))"""
        depth = [0]

        def host() -> None:
            depth[0] += 1
            if depth[0] < 3:
                kit.guest(store, text, func, bind=False)

        func = wasmtime.Func(store, wasmtime.FuncType([], []), host)
        outer, exports = kit.guest(store, text, func, bind=False)
        collector = kit.collector(store)
        numbers = [args[0] for _, args in calls(collector)]
        assert len(numbers) == 3
        assert numbers[2] == outer.number
        # Had one been bound to another's memory, it would be bound again now.
        exports["memory"].write(store, b"!", 100)
        outer.bind(exports["memory"])
        assert collector.links[numbers[0]].is_bound

    def test_constructor(self, kit: Kit, store: wasmtime.Store) -> None:
        """An export that is called before `bind`, as constructors are, is served."""
        link, exports = kit.guest(store, GUEST, bind=False)
        assert not link.is_bound
        exports["run"](store)
        assert link.is_bound
        assert kit.collector(store).read(double.SCRATCH, 5) == b"hello"

    def test_in_python(self, kit: Kit, store: wasmtime.Store) -> None:
        """In a start function, what the collector leaves to Python has the guest's memory, too."""
        text = f"""(module {BAGGAGE} (memory (export "memory") 1) (data (i32.const 8) "key")
            (func $run (i32.store (i32.const 0)
                (call $baggage (i32.const 8) (i32.const 3) (i32.const 32) (i32.const 16)))) (start $run))"""
        _, exports = kit.guest(store, text)
        assert bytes(exports["memory"].read(store, 0, 4)) == b"\xff\xff\xff\xff"
        assert kit.bridge.rejected() == {}

    def test_failed_instance(self, kit: Kit, store: wasmtime.Store) -> None:
        """A function that got out of an instance that failed works on the memory of that instance."""
        table = wasmtime.Table(store, wasmtime.TableType(wasmtime.ValType.funcref(), wasmtime.Limits(1, None)), None)
        text = f"""(module {LOG} (import "env" "t" (table 1 funcref)) (memory (export "memory") 1)
            (elem (i32.const 0) $run) (func $run (i32.store8 (i32.const 100) (i32.const 65)) {say("x")})
            (data (i32.const 70000) "out of bounds"))"""
        with pytest.raises(wasmtime.Trap):
            kit.guest(store, text, table)
        leaked: Any = table.get(store, 0)
        leaked(store)
        assert kit.collector(store).read(double.SCRATCH, 1) == b"A"

    def test_no_instance(self, kit: Kit, store: wasmtime.Store) -> None:
        """A function of a guest that never came to be finds nothing where its memory would be."""
        module = wasmtime.Module(store.engine, text_of(GUEST))
        other = wasmtime.Module(store.engine, f'(module {LOG} (func (export "log") {say("hello")}))')
        for make_more in (False, True):
            link, _ = kit.link(store, module)
            if make_more:
                kit.guest(store, logger("other", more='(func (export "else"))'))
            before = len(calls(kit.collector(store)))
            exports: Any = link.instantiate(other, [link.function("log")]).exports(store)
            exports["log"](store)
            assert calls(kit.collector(store))[before:] == [logged(link.number, -1)]
            assert not link.is_bound


class TestHost:
    def test_ops(self, kit: Kit, store: wasmtime.Store) -> None:
        """The collector's calls of the host arrive with op and guest, and the answer goes back."""
        link, _ = kit.guest(store, GUEST)
        kit.on_host = lambda _collector, op, number: (op << 40) + number
        collector = kit.collector(store)
        for op in (1, 2, 3, 4):
            assert collector.call("ask", op, link.number) == (op << 40) + link.number
        assert kit.asked == [(op, link.number) for op in (1, 2, 3, 4)]

    def test_which_store(self, kit: Kit, store: wasmtime.Store) -> None:
        """The host is told which store's collector calls."""
        seen: list[StoreCollector] = []

        def note(collector: StoreCollector, _op: int, _number: int) -> int:
            seen.append(collector)
            return 0

        kit.on_host = note
        with wasmtime.Store(store.engine) as other:
            collectors = [kit.collector(store), kit.collector(other)]
            for collector in reversed(collectors):
                collector.call("ask", 1, 0)
            assert seen == collectors[::-1]

    def test_failure(self, kit: Kit, store: wasmtime.Store, caplog: pytest.LogCaptureFixture) -> None:
        """What the host raises is counted as a defect of the guest's, and the collector goes on with 0."""
        link, _ = kit.guest(store, GUEST)

        def fail(_collector: StoreCollector, _op: int, _number: int) -> int:
            raise RuntimeError("broken")

        kit.on_host = fail
        assert kit.collector(store).call("ask", 1, link.number) == 0
        assert {reason: count for (_, _, reason), count in kit.bridge.rejected().items()} == {"internal": 1}
        assert kit.collector(store).call("ask", 1, 999) == 0
        assert "broken" in caplog.text

    def test_unknown_op(self, kit: Kit, store: wasmtime.Store) -> None:
        """A number that is no op is answered with 0."""
        link, _ = kit.guest(store, GUEST)
        for op in (101, 199, 223, 2**31, 2**32 - 1):
            assert kit.collector(store).call("ask", op, link.number) == 0


class TestCallsOutside:
    def test_results(self, kit: Kit, store: wasmtime.Store) -> None:
        """Results are signed numbers of their width; 0 where there is none."""
        collector = kit.collector(store)
        for name, value in (("enabled", -1), ("span_prepare", -(2**62)), ("instrument", 2**31 - 1)):
            collector.write(double.RESULTS + 8 * double.NAMES.index(name), struct.pack("<q", value))
            args = [0] * len(double.FUNCTIONS[name][0])
            assert collector.call(name, *args) == value
        assert collector.call("span_end", 1, 2) == 0

    def test_after_a_trap(self, telemetry: Telemetry, store: wasmtime.Store) -> None:
        """After a trap inside the collector it recovers before the next call, with its stack reset."""
        kit = Kit(telemetry, wasm=double.double(traps="span_end"))
        collector = kit.collector(store)
        with pytest.raises(wasmtime.Trap, match="unreachable"):
            collector.call("span_end", 1, 2)
        assert collector.call("span_exit", 1, 2) == 0
        assert [name for name, _ in calls(collector)] == ["span_end", "recover", "span_exit"]
        assert collector.call("span_exit", 1, 2) == 0
        assert [name for name, _ in calls(collector)][3:] == ["span_exit"]

    def test_while_it_waits(self, kit: Kit, store: wasmtime.Store) -> None:
        """While the collector waits for the host, nothing is reset under it."""
        collector = kit.collector(store)
        collector.begin()
        collector.write(double.CONTROL, struct.pack("<II", 0, 1))
        collector.call("span_exit", 1, 2)
        assert [name for name, _ in calls(collector)] == ["span_exit"]

    def test_closed(self, kit: Kit) -> None:
        """Of a store that is closed nothing is touched."""
        store = wasmtime.Store(wasmtime.Engine())
        link, _ = kit.guest(store, GUEST)
        collector = kit.collector(store)
        store.close()
        assert not collector.is_open
        for use in (
            lambda: collector.call("span_exit", 1, 2),
            lambda: collector.u32(0),
            lambda: collector.read(0, 1),
            lambda: collector.write(0, b"x"),
            lambda: collector.base,
        ):
            with pytest.raises(ValueError, match="closed"):
                use()
        with pytest.raises(KeyError):
            collector.drain(link.number)


def engine_with(**options: Any) -> wasmtime.Engine:
    config = wasmtime.Config()
    for name, value in options.items():
        setattr(config, name, value)
    return wasmtime.Engine(config)


class TestEngines:
    @pytest.mark.parametrize(
        "options",
        [
            {"wasm_multi_memory": False},
            {"wasm_tail_call": False},
            {"wasm_memory64": False},
            {"memory_reservation": 0, "memory_may_move": True},
            {"memory_init_cow": False},
            {"signals_based_traps": False},
            {"gc_support": False},
            {"cranelift_opt_level": "none"},
            {"consume_fuel": True},
            {"epoch_interruption": True},
        ],
        ids=lambda options: next(iter(options)),
    )
    def test_suitable(self, kit: Kit, options: dict[str, Any]) -> None:
        """Engines of other configurations have collectors, too."""
        with wasmtime.Store(engine_with(**options)) as store:
            if "consume_fuel" in options:
                store.set_fuel(10_000)
            store.set_epoch_deadline(1)
            link, exports = kit.guest(store, STARTING)
            exports["run"](store)
            assert calls(kit.collector(store)) == [logged(link.number, 5)] * 2

    @pytest.mark.parametrize("options", [{"wasm_bulk_memory": False}, {"wasm_multi_value": False}], ids=str)
    def test_unsuitable(self, kit: Kit, options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
        """Where the engine lacks a feature there is none, which is said once."""
        caplog.set_level(logging.INFO, "wasmscope.host_shim")
        engine = engine_with(**options)
        for _ in range(3):
            with wasmtime.Store(engine) as store:
                assert kit.collectors.of(store) is None
        assert sum("slower path" in record.message for record in caplog.records) == 1

    def test_one_memory(self, kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
        """Where a module can have one memory only, a guest's is read from Python, which is said once."""
        caplog.set_level(logging.INFO, "wasmscope.host_shim")
        with wasmtime.Store(engine_with(wasm_multi_memory=False)) as store:
            for text in ("a", "bc"):
                link, exports = kit.guest(store, logger(text))
                exports["run"](store)
                assert calls(kit.collector(store))[-1] == logged(link.number, len(text))
                assert kit.collector(store).read(double.SCRATCH, len(text)) == text.encode()
        assert sum("slower way" in record.message for record in caplog.records) == 1

    def test_32_bits_only(self, telemetry: Telemetry) -> None:
        """An engine without 64-bit memories serves 32-bit guests."""
        with wasmtime.Store(engine_with(wasm_memory64=False)) as store:
            _, exports = Kit(telemetry).guest(store, GUEST)
            exports["run"](store)

    def test_moving_memory(self, kit: Kit) -> None:
        """Where memories move when they grow, the collector's is found again."""
        with wasmtime.Store(engine_with(memory_reservation=0, memory_reservation_for_growth=0)) as store:
            collector = kit.collector(store)
            collector.write(30_000, b"here")
            before = collector.base
            _items, place = collector.instances.externs(1)
            collector.instances.export(collector.context, collector.instance, b"memory", place)
            item = collector.instances.memory_at(place)
            wasmtime.Memory._from_raw(item.__class__.from_buffer_copy(item)).grow(store, 100)
            assert collector.base != before
            assert collector.read(30_000, 4) == b"here"

    def test_kept(self, telemetry: Telemetry) -> None:
        """A further engine that is configured alike compiles nothing; one that is not, does."""
        modules = Modules(double.double())
        kit = Kit(telemetry, modules=modules)
        for options in ({}, {}, {"consume_fuel": True}, {"consume_fuel": True}):
            with wasmtime.Store(engine_with(**options)) as store:
                if options:
                    store.set_fuel(1_000)
                _, exports = kit.guest(store, GUEST)
                exports["run"](store)
                assert len(calls(kit.collector(store))) == 1
        assert {key: len(saved) for key, saved in modules._saved.items()} == {
            "collector": 2,
            ("reader", "i32", True): 2,
        }

    def test_engines_go(self, kit: Kit) -> None:
        """Compiled modules do not keep their engine."""
        engine = wasmtime.Engine()
        with wasmtime.Store(engine) as store:
            kit.guest(store, GUEST)
        del store
        reference = weakref.ref(engine)
        del engine
        gc.collect()
        assert reference() is None
        assert len(kit.modules._engines) == 0


class TestLimits:
    def test_instances(self, kit: Kit, store: wasmtime.Store) -> None:
        """A limit on instances, tables or memories is the application's: what is ours does not count."""
        store.set_limits(instances=2, tables=1, memories=2)
        text = logger("x", more="(table 1 funcref)")
        _, exports = kit.guest(store, text)
        exports["run"](store)
        assert len(calls(kit.collector(store))) == 1
        with pytest.raises(wasmtime.WasmtimeError, match="table count"):
            kit.guest(store, text)
        # The one that failed counts.
        with pytest.raises(wasmtime.WasmtimeError, match="instance count"):
            kit.guest(store, '(module (func (export "f")))')

    def test_set_later(self, kit: Kit, store: wasmtime.Store) -> None:
        """So it is when the limit is set after the collector was made."""
        kit.guest(store, GUEST)
        store.set_limits(instances=2)
        kit.guest(store, GUEST)
        with pytest.raises(wasmtime.WasmtimeError, match="instance count"):
            kit.guest(store, GUEST)

    def test_memory_size(self, kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
        """A store whose memories must be smaller than the collector's has none, and it is said once."""
        caplog.set_level(logging.INFO, "wasmscope.host_shim")
        for _ in range(2):
            with wasmtime.Store(wasmtime.Engine()) as store:
                store.set_limits(memory_size=PAGE)
                assert kit.collectors.of(store) is None
                assert kit.collectors.of(store) is None
        assert sum("slower path" in record.message for record in caplog.records) == 1

    def test_table_elements(self, kit: Kit) -> None:
        """A store whose tables must be smaller than the collector's has none; or it has place for one guest only."""
        with wasmtime.Store(wasmtime.Engine()) as store:
            store.set_limits(table_elements=1)
            assert kit.collectors.of(store) is None
        with wasmtime.Store(wasmtime.Engine()) as store:
            store.set_limits(table_elements=2)
            _, exports = kit.guest(store, GUEST)
            exports["run"](store)
            plan = plan_imports(wasmtime.Module(store.engine, text_of(GUEST)), "guest")
            guest = kit.bridge._bind(ModuleIdentity("guest"), plan).guest
            assert kit.collector(store).add(plan, guest, b"") is None
            exports["run"](store)
            assert [name for name, _ in calls(kit.collector(store))] == ["log", "log"]

    def test_unseen(self, kit: Kit, store: wasmtime.Store) -> None:
        """Where limits that were set behind our back leave no place for a reader, memory is read from Python."""
        originals: Any = vars(wasmtime.Store)["_wasmscope_originals"]
        originals["set_limits"](store, instances=2)
        module = wasmtime.Module(store.engine, text_of(GUEST))
        link, exports = kit.guest(store, GUEST)
        exports["run"](store)
        assert calls(kit.collector(store)) == [logged(link.number, 5)]
        assert kit.collector(store).read(double.SCRATCH, 5) == b"hello"
        with pytest.raises(wasmtime.WasmtimeError, match="instance count"):
            link.instantiate(module, link.functions())


class TestReadFromPython:
    @pytest.mark.parametrize("memory64", [False, True])
    @pytest.mark.parametrize("first", [True, False])
    def test_ranges(self, kit: Kit, memory64: bool, first: bool) -> None:
        """What a guest points at is checked and copied as by a reader."""
        p = "i64" if memory64 else "i32"
        text = f"""(module (import "wasmscope_v1" "log" (func $log (param i32 i32 i64 {p} {p} {p} {p})))
            (import "wasmscope_v1" "span_context" (func $context (param i64 {p}) (result i32)))
            (memory (export "memory") {"i64" if memory64 else ""} 1) (data ({p}.const 100) "hello")
            (func (export "run") (param {p} {p})
                (call $log (i32.const 1) (i32.const 9) (i64.const -1) (local.get 0) (local.get 1) ({p}.const 0)
                    ({p}.const 0)))
            (func (export "context") (param {p}) (result i32) (call $context (i64.const 0) (local.get 0))))"""
        with wasmtime.Store(engine_with(wasm_multi_memory=False)) as store:
            if not first:
                kit.guest(store, GUEST)
            link, exports = kit.guest(store, text)
            collector = kit.collector(store)
            top = 2**63 if memory64 else 2**31
            for address, size, expected in (
                (100, 5, 5), (PAGE - 1, 1, 1), (PAGE - 1, 2, -1), (PAGE, 1, -1), (-1, 1, -1), (-1, 2, -1), (-1, 0, 0),
                (0, -1, -1), (1, -1, -1), (-top, -top, -1), (2, -2, -1), (0, PAGE, PAGE), (0, PAGE + 1, -1),
            ):  # fmt: skip
                exports["run"](store, address, size)
                # More than the scratch area holds is asked for room first.
                assert calls(collector)[-1] == logged(link.number, expected), (address, size)
            exports["run"](store, 100, 5)
            assert collector.read(double.SCRATCH, 5) == b"hello"
            collector.write(double.RESULTS + 8 * double.NAMES.index("span_context"), struct.pack("<q", 1))
            collector.write(double.SCRATCH, bytes(range(32)))
            for address, expected in ((0, 1), (PAGE - 32, 1), (PAGE - 31, 0), (-1, 0), (-32, 0)):
                assert exports["context"](store, address) == expected
            assert bytes(exports["memory"].read(store, PAGE - 32, PAGE)) == bytes(range(32))
            assert calls(collector)[-1] == ("reject", (link.number, 2))


class TestFuel:
    def test_calls(self, kit: Kit) -> None:
        """Calls from outside cost the guest nothing, and need nothing to be left."""
        with wasmtime.Store(engine_with(consume_fuel=True)) as store:
            collector = kit.collector(store)
            assert store.get_fuel() == 0
            for fuel in (0, 1, 12_345, 2**64 - 1):
                store.set_fuel(fuel)
                for _ in range(3):
                    collector.call("span_exit", 1, 2)
                    collector.write_scratch(bytes(double.SCRATCH_BYTES + 1))
                assert store.get_fuel() == fuel

    def test_linking(self, kit: Kit) -> None:
        """To link a guest costs nothing either, also in the middle of its start function."""
        with wasmtime.Store(engine_with(consume_fuel=True)) as store:
            link, _ = kit.guest(store, GUEST)
            assert link.is_bound
            assert store.get_fuel() == 0
            store.set_fuel(1_000)
            kit.guest(store, STARTING)
            start = 1_000 - store.get_fuel()
            assert 0 < start < 300
            store.set_fuel(1_000)
            _, exports = kit.guest(store, GUEST)
            exports["run"](store)
            # What making an instance costs by itself, and the stub's call of the host.
            assert 1_000 - store.get_fuel() < start < 1_040 - store.get_fuel()

    def test_inside(self, kit: Kit) -> None:
        """So it is in the middle of a guest's call."""
        with wasmtime.Store(engine_with(consume_fuel=True)) as store:
            collector = kit.collector(store)
            left: list[int] = []

            def host() -> None:
                left.append(store.get_fuel())
                collector.call("span_exit", 1, 2)
                left.append(store.get_fuel())

            func = wasmtime.Func(store, wasmtime.FuncType([], []), host)
            text = '(module (import "h" "f" (func $f)) (func (export "run") (call $f) (nop) (call $f)))'
            exports: Any = wasmtime.Instance(store, wasmtime.Module(store.engine, text), [func]).exports(store)
            store.set_fuel(1_000)
            exports["run"](store)
            assert left[0] == left[1]
            assert left[2] == left[3]
            assert left[0] - left[2] < 10

    def test_deterministic(self, kit: Kit) -> None:
        """A guest's telemetry costs it the same fuel every time, in every store."""
        engine = engine_with(consume_fuel=True)
        spent: list[int] = []
        for _ in range(3):
            with wasmtime.Store(engine) as store:
                _, exports = kit.guest(store, GUEST)
                for _ in range(3):
                    store.set_fuel(10_000)
                    exports["run"](store)
                    spent.append(10_000 - store.get_fuel())
        assert len(set(spent)) == 1
        assert 0 < spent[0] < 300

    def test_out_of_fuel(self, telemetry: Telemetry, kit: Kit) -> None:
        """A guest that runs out of fuel at any point of a call leaves everything as it can be used again."""
        with wasmtime.Store(engine_with(consume_fuel=True)) as store:
            link, exports = kit.guest(store, GUEST)
            complete = 0
            store.set_fuel(10_000)
            exports["run"](store)
            cost = 10_000 - store.get_fuel()
            for fuel in range(cost + 10):
                store.set_fuel(fuel)
                try:
                    exports["run"](store)
                except wasmtime.Trap as trap:
                    assert trap.trap_code is wasmtime.TrapCode.OUT_OF_FUEL
                else:
                    complete += 1
                collector = kit.collector(store)
                collector.call("recover")
                # Back to the first note.
                for at in range(double.CALLS, double.CALLS + 20_000, double.ENTRY):
                    collector.set_u32(at + 12, 0)
            assert complete >= 10
            store.set_fuel(10_000)
            exports["run"](store)
            assert link.is_bound


class TestEpoch:
    def test_passed(self, kit: Kit) -> None:
        """A call works when the deadline has passed, which it has afterwards, too."""
        engine = engine_with(epoch_interruption=True)
        with wasmtime.Store(engine) as store:
            store.set_epoch_deadline(1)
            _, exports = kit.guest(store, GUEST)
            collector = kit.collector(store)
            engine.increment_epoch()
            kit.guest(store, GUEST)
            assert collector.call("span_exit", 1, 2) == 0
            assert calls(collector) == [("span_exit", (1, 2))]
            with pytest.raises(wasmtime.Trap, match="interrupt"):
                exports["run"](store)
            store.set_epoch_deadline(1)
            exports["run"](store)

    def test_not_passed(self, kit: Kit) -> None:
        """A deadline that has not passed is not moved."""
        engine = engine_with(epoch_interruption=True)
        with wasmtime.Store(engine) as store:
            store.set_epoch_deadline(2)
            _, exports = kit.guest(store, GUEST)
            kit.collector(store).call("span_exit", 1, 2)
            engine.increment_epoch()
            exports["run"](store)
            engine.increment_epoch()
            with pytest.raises(wasmtime.Trap, match="interrupt"):
                exports["run"](store)

    def test_at_once(self, kit: Kit) -> None:
        """A store whose deadline has passed from the beginning, as it has without one, can have a collector."""
        engine = engine_with(epoch_interruption=True)
        engine.increment_epoch()
        with wasmtime.Store(engine) as store:
            kit.collector(store)
            store.set_epoch_deadline(1)
            _, exports = kit.guest(store, GUEST)
            exports["run"](store)


class TestClock:
    WASI = """(module (import "wasi_snapshot_preview1" "args_sizes_get" (func $f (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "run") (result i32) (drop (call $f (i32.const 0) (i32.const 4))) (i32.load (i32.const 0))))"""

    def arguments(self, store: wasmtime.Store) -> int:
        """How many arguments a WASI guest in a store has."""
        linker = wasmtime.Linker(store.engine)
        linker.define_wasi()
        exports: Any = linker.instantiate(store, wasmtime.Module(store.engine, self.WASI)).exports(store)
        count: int = exports["run"](store)
        return count

    def config(self, *arguments: str) -> wasmtime.WasiConfig:
        config = wasmtime.WasiConfig()
        config.argv = list(arguments)
        return config

    def assert_works(self, collector: StoreCollector) -> None:
        before = time.time_ns()
        now = collector.call("now")
        assert before <= now <= time.time_ns()

    def test_without_wasi(self, kit: Kit, store: wasmtime.Store) -> None:
        """A store without WASI gets a context for the clock; the application's replaces it."""
        self.assert_works(kit.collector(store))
        assert self.arguments(store) == 0
        store.set_wasi(self.config("a", "b"))
        assert self.arguments(store) == 2
        self.assert_works(kit.collector(store))

    def test_with_wasi(self, kit: Kit, store: wasmtime.Store) -> None:
        """The application's WASI context stays as it is."""
        store.set_wasi(self.config("a", "b", "c"))
        self.assert_works(kit.collector(store))
        assert self.arguments(store) == 3

    def test_refused_wasi(self, kit: Kit, store: wasmtime.Store) -> None:
        """A context that was refused is none."""
        config = self.config("a")
        with wasmtime.Store(store.engine) as other:
            other.set_wasi(config)
        with pytest.raises(ValueError, match="already closed"):
            store.set_wasi(config)
        self.assert_works(kit.collector(store))

    def test_unwatched(self, kit: Kit, store: wasmtime.Store) -> None:
        """A store that was made before stores were watched keeps what it may have: the clock is Python's."""
        originals: Any = vars(wasmtime.Store)["_wasmscope_originals"]
        for configs in ((), (self.config("a", "b"),)):
            unwatched = wasmtime.Store.__new__(wasmtime.Store)
            originals["__init__"](unwatched, store.engine)
            for config in configs:
                originals["set_wasi"](unwatched, config)
            self.assert_works(kit.collector(unwatched))
            if configs:
                assert self.arguments(unwatched) == 2
            unwatched.close()

    def test_subclass(self, kit: Kit, store: wasmtime.Store) -> None:
        """A subclass of `Store` that goes its own ways is seen all the same."""
        test = self

        class Own(wasmtime.Store):
            def __init__(self, engine: wasmtime.Engine) -> None:
                super().__init__(engine)
                self.set_wasi(test.config("a", "b"))

            def set_wasi(self, wasi: wasmtime.WasiConfig) -> None:
                super().set_wasi(wasi)

        with Own(store.engine) as own:
            self.assert_works(kit.collector(own))
            assert self.arguments(own) == 2

    def test_wrapped(self, kit: Kit, store: wasmtime.Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """Others may wrap `set_wasi`, too."""
        before = wasmtime.Store.set_wasi
        seen: list[wasmtime.Store] = []

        def wrapper(self: wasmtime.Store, wasi: wasmtime.WasiConfig) -> None:
            seen.append(self)
            before(self, wasi)

        monkeypatch.setattr(wasmtime.Store, "set_wasi", wrapper)
        Kit.collector(kit, store)
        assert seen == []
        with wasmtime.Store(store.engine) as other:
            other.set_wasi(self.config("a"))
            assert seen == [other]
            self.assert_works(kit.collector(other))
            assert self.arguments(other) == 1

    def test_fake(self, telemetry: Telemetry, store: wasmtime.Store) -> None:
        """A clock of the test's own can be had."""
        times = iter([5, 2**63 + 1, 2**64 + 2])
        collector = Kit(telemetry, clock=lambda: next(times)).collector(store)
        assert [collector.call("now") % 2**64 for _ in range(3)] == [5, 2**63 + 1, 2]
        # One that fails leaves the time where it is.
        assert collector.call("now") == 2


class TestWatch:
    def test_unchanged(self, kit: Kit) -> None:
        """The watched methods look and behave as before."""
        import inspect

        assert str(inspect.signature(wasmtime.Store.__init__)).startswith("(self, engine")
        assert "memory_size" in inspect.signature(wasmtime.Store.set_limits).parameters
        assert wasmtime.Store.set_wasi.__name__ == "set_wasi"
        with pytest.raises(TypeError):
            wasmtime.Store(engine=3)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            wasmtime.Store(wasmtime.Engine()).set_limits(nonsense=1)  # type: ignore[call-arg]
        store = wasmtime.Store()
        store.close()
        store.close()
        with pytest.raises(ValueError, match="already closed"):
            store.set_limits(instances=1)

    def test_once(self, kit: Kit, telemetry: Telemetry) -> None:
        """More bridges do not wrap more."""
        before = wasmtime.Store.close
        Kit(telemetry)
        assert wasmtime.Store.close is before

    def test_no_cycle(self, kit: Kit) -> None:
        """A store with limits and a collector goes with the last reference to it."""
        gc.disable()
        try:
            store = wasmtime.Store(wasmtime.Engine())
            store.set_limits(instances=5)
            kit.guest(store, GUEST)
            reference = weakref.ref(store)
            del store
            assert reference() is None
        finally:
            gc.enable()


class TestEnd:
    def whole(self, kit: Kit) -> list[bytes]:
        """Notes what the collector's memory holds, and what it answers, when its store goes."""
        seen: list[bytes] = []

        def closing(collector: StoreCollector) -> None:
            collector.call("span_exit", 1, 2)
            seen.append(collector.read(double.SCRATCH, 5))

        kit.on_close = closing
        return seen

    def test_closed(self, kit: Kit) -> None:
        """When a store is closed, its collector is told once, while it still works."""
        seen = self.whole(kit)
        store = wasmtime.Store(wasmtime.Engine())
        _, exports = kit.guest(store, GUEST)
        exports["run"](store)
        store.close()
        store.close()
        assert seen == [b"hello"]

    def test_with(self, kit: Kit) -> None:
        """So it is at the end of a `with`."""
        seen = self.whole(kit)
        with wasmtime.Store(wasmtime.Engine()) as store:
            kit.guest(store, GUEST)[1]["run"](store)
        assert seen == [b"hello"]

    def test_dropped(self, kit: Kit) -> None:
        """So it is when the last reference to the store goes."""
        seen = self.whole(kit)
        store = wasmtime.Store(wasmtime.Engine())
        kit.guest(store, GUEST)[1]["run"](store)
        del store
        assert seen == [b"hello"]

    def test_collected(self, kit: Kit) -> None:
        """So it is when the garbage collector takes it."""
        seen = self.whole(kit)
        store: Any = wasmtime.Store(wasmtime.Engine())
        kit.guest(store, GUEST)[1]["run"](store)
        store.circle = store
        del store
        gc.collect()
        assert seen == [b"hello"]

    def test_failure(self, kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
        """What fails then is logged, and the store closes."""

        def closing(_collector: StoreCollector) -> None:
            raise RuntimeError("broken")

        kit.on_close = closing
        store = wasmtime.Store(wasmtime.Engine())
        collector = kit.collector(store)
        store.close()
        assert "broken" in caplog.text
        assert not collector.is_open

    def test_nothing_left(self, kit: Kit) -> None:
        """200 stores leave nothing behind."""
        owned: Any = sys.modules["wasmtime._func"]
        engine = wasmtime.Engine()

        def one(close: bool) -> None:
            store = wasmtime.Store(engine)
            _, exports = kit.guest(store, GUEST)
            exports["run"](store)
            if close:
                store.close()

        one(True)
        gc.collect()
        before = len(owned.FUNCTIONS.handles)
        pages = resident_pages()
        for index in range(200):
            one(index % 2 == 0)
        gc.collect()
        assert len(owned.FUNCTIONS.handles) == before
        assert len(kit.collectors._stores) == 0
        # Had each kept its collector's four touched pages, it would be more.
        assert resident_pages() - pages < 400
        assert len(kit.closed) == 201


def resident_pages() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 4_096


class TestProbe:
    def test_fails(
        self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Where wasmtime's inner parts are not as they are known, there are no collectors, and it is said."""
        caplog.set_level(logging.INFO, "wasmscope.host_shim")
        monkeypatch.setattr(Instances, "between", lambda *_: iter(()))
        kit = Kit(telemetry)
        with wasmtime.Store(wasmtime.Engine()) as store:
            assert kit.collectors.of(store) is None
        assert "the collector cannot be linked" in caplog.text

    def test_missing(self, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
        """So it is where a function is not there."""
        from wasmtime import _ffi

        native = telemetry.bridge()._natives.native
        assert native is not None

        class Library:
            def __getattr__(self, name: str) -> Any:
                return getattr(_ffi.dll, name)

            def __getitem__(self, name: str) -> Any:
                raise AttributeError(name)

        monkeypatch.setattr(_ffi, "dll", Library())
        assert Instances.load(native) is None


SPANS = """(import "wasmscope_v1" "span_start" (func $start (param i32 i32 i32 i64 i32 i32 i32) (result i64)))
    (import "wasmscope_v1" "span_end" (func $end (param i64)))"""


class TestReal:
    """With the collector that comes with the package."""

    @pytest.fixture
    def kit(self, telemetry: Telemetry) -> Kit:
        return Kit(telemetry, modules=real_modules())

    def test_log(self, kit: Kit, store: wasmtime.Store) -> None:
        """A guest's log record comes out as OTLP, also out of its start function, and then nothing waits any more."""
        link, exports = kit.guest(store, STARTING)
        exports["run"](store)
        collector = kit.collector(store)
        assert collector.u32(collector.control + 140) > 0
        drained = collector.drain(link.number)
        records = ScopeLogs.FromString(drained.logs).log_records
        assert [(r.body.string_value, r.severity_number) for r in records] == [("start", 9)] * 2
        assert drained.log_count == 2
        assert collector.u32(collector.control + 140) == 0
        assert collector.drain(link.number) == Drained(b"", 0, b"", 0, b"", drained.counters)
        # Spans started, unsampled, ended; log records; measurements; bytes.
        assert drained.counters == (0, 0, 0, 2, 0, len(drained.logs))

    def test_span(self, kit: Kit, store: wasmtime.Store) -> None:
        """A guest's span comes out as OTLP, with the time of the machine, under what the store's seed gives."""
        text = f"""(module {SPANS} (memory (export "memory") 1) (data (i32.const 100) "work")
            (func (export "run") (call $end (call $start (i32.const 0) (i32.const 100) (i32.const 4) (i64.const -1)
                (i32.const 3) (i32.const 0) (i32.const 0)))))"""
        link, exports = kit.guest(store, text)
        before = time.time_ns()
        for _ in range(3):
            exports["run"](store)
        after = time.time_ns()
        drained = kit.collector(store).drain(link.number)
        spans = ScopeSpans.FromString(drained.spans).spans
        assert [(span.name, span.kind) for span in spans] == [("work", 3)] * 3
        assert all(before <= s.start_time_unix_nano <= s.end_time_unix_nano <= after for s in spans)
        assert len({span.span_id for span in spans} | {span.trace_id for span in spans}) == 6

    def test_two_guests(self, kit: Kit, store: wasmtime.Store) -> None:
        """Each guest's records wait for themselves."""
        links = [kit.guest(store, logger(text)) for text in ("one", "two")]
        for _, exports in links:
            exports["run"](store)
        for (link, _), text in zip(links, ("one", "two"), strict=True):
            drained = kit.collector(store).drain(link.number)
            records = ScopeLogs.FromString(drained.logs).log_records
            assert [record.body.string_value for record in records] == [text]

    def test_full(self, telemetry: Telemetry, store: wasmtime.Store) -> None:
        """When a buffer is full the host drains it in the middle of the guest's run, and nothing is lost."""
        kit = Kit(telemetry, modules=real_modules(), buffer_bytes=512)
        seen: list[str] = []

        def drain(collector: StoreCollector, op: int, number: int) -> int:
            assert op == 1
            records = ScopeLogs.FromString(collector.drain(number).logs).log_records
            seen.extend(record.body.string_value for record in records)
            return 0

        kit.on_host = drain
        text = f"""(module {LOG} (memory (export "memory") 1) (func (export "run") (param $n i32)
            (loop $l (i32.store8 (i32.const 100) (local.get $n)) {say("x")}
                (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""
        link, exports = kit.guest(store, text)
        exports["run"](store, 100)
        assert len(kit.asked) > 5
        drain(kit.collector(store), 1, link.number)
        assert seen == [chr(number) for number in range(100, 0, -1)]

    def test_any_fuel(self, kit: Kit) -> None:
        """A guest that runs out of fuel anywhere in a telemetry call loses that record at most; it is counted once."""
        with wasmtime.Store(engine_with(consume_fuel=True)) as store:
            link, exports = kit.guest(store, GUEST)
            collector = kit.collector(store)
            store.set_fuel(100_000)
            # The first one gets the guest's buffer.
            exports["run"](store)
            collector.drain(link.number)
            store.set_fuel(100_000)
            exports["run"](store)
            cost = 100_000 - store.get_fuel()
            collector.drain(link.number)
            interrupted = link.block + 128 + 4 * INTERRUPTED
            for fuel in range(cost + 40):
                before = collector.u32(interrupted)
                store.set_fuel(fuel)
                try:
                    exports["run"](store)
                except wasmtime.Trap as trap:
                    assert trap.trap_code is wasmtime.TrapCode.OUT_OF_FUEL
                # What a trap left is put right by the next call, whoever makes it.
                store.set_fuel(100_000)
                if fuel % 2:
                    exports["ask"](store, 0)
                else:
                    collector.call("frame_end")
                assert collector.u64(collector.control) == 1
                lost = collector.u32(interrupted) - before
                records = ScopeLogs.FromString(collector.drain(link.number).logs).log_records
                assert [record.body.string_value for record in records] in ([], ["hello"])
                assert len(records) + lost <= 1
            store.set_fuel(100_000)
            exports["run"](store)
            assert 100_000 - store.get_fuel() == cost
            assert collector.drain(link.number).log_count == 1

    def test_memory(self, kit: Kit) -> None:
        """The collector of a small guest touches less than a mebibyte."""
        with wasmtime.Store(wasmtime.Engine()) as store:
            link, exports = kit.guest(store, GUEST)
            for _ in range(1_000):
                exports["run"](store)
                kit.collector(store).drain(link.number)
            collector = kit.collector(store)
            size = collector.owner.native.memory_data_size(collector.context, collector._memory)
            assert size <= 1 << 20


INTERRUPTED = REASONS.index("interrupted")


@functools.cache
def real_modules() -> Modules:
    """Compiled once: it takes a while."""
    return Modules()
