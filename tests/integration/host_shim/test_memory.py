"""Guests' memories: imported, growing, moving, 64-bit, of another name, none."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import pytest
import wasmtime

from tests.support.guests import PAGE, Guest, abi_imports, compiled, engine
from tests.support.telemetry import Telemetry
from wasmscope.host_shim import Bridge, GuestInstance

SAY = """(func $say (export "say") (param $at i32) (param $size i32)
    (call $log (i32.const 0) (i32.const 9) (i64.const 0) (local.get $at) (local.get $size)
        (i32.const 0) (i32.const 0)))"""


def instance_of(bridge: Bridge, text: str, linker: wasmtime.Linker | None = None) -> GuestInstance:
    return bridge.instantiate(
        linker or wasmtime.Linker(engine()), wasmtime.Store(engine()), compiled(text), name="guest"
    )  # fmt: skip


def engine_of(**settings: object) -> wasmtime.Engine:
    config = wasmtime.Config()
    for name, value in settings.items():
        setattr(config, name, value)
    return wasmtime.Engine(config)


MOVING: dict[str, Callable[[], wasmtime.Engine]] = {
    "nothing reserved": lambda: engine_of(memory_reservation=0, memory_reservation_for_growth=0),
    "little reserved": lambda: engine_of(memory_reservation=1 << 20, memory_reservation_for_growth=1 << 20),
    "default": wasmtime.Engine,
}


class TestWhich:
    def test_name(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """The memory exported as ``memory`` is meant, also where it is not the first."""
        text = f"""(module {abi_imports("log")} (memory $a (export "a") 1) (memory $b (export "memory") 1) {SAY}
            (data (memory $a) (i32.const 16) "wrong") (data (memory $b) (i32.const 16) "right"))"""

        instance_of(bridge, text).call("say", 16, 5)

        assert telemetry.log("right")

    def test_first_exported(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """Else the first exported one is."""
        text = f"""(module {abi_imports("log")} {SAY}
            (memory $x 1) (memory $a (export "a") 1) (memory $b (export "b") 1)
            (data (memory $x) (i32.const 16) "wrong") (data (memory $a) (i32.const 16) "right"))"""

        instance_of(bridge, text).call("say", 16, 5)

        assert telemetry.log("right")

    def test_imported(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """Else the imported one is; it can be used from the start function on."""
        text = f"""(module {abi_imports("log")} (import "env" "mem" (memory 1)) {SAY}
            (data (i32.const 16) "right") (func $start (call $say (i32.const 16) (i32.const 5))) (start $start))"""
        linker = wasmtime.Linker(engine())
        store = wasmtime.Store(engine())
        linker.define(store, "env", "mem", wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(1, None))))

        bridge.instantiate(linker, store, compiled(text), name="guest").call("say", 16, 5)

        assert [record.body for record in telemetry.logs()] == ["right", "right"]
        assert bridge.usage()[0].memory_bytes == PAGE

    def test_imported_and_exported(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A memory that is imported and exported again is the exported one."""
        text = f"""(module {abi_imports("log")} (import "env" "mem" (memory 1)) (export "memory" (memory 0)) {SAY}
            (data (i32.const 16) "right") (func $start (call $say (i32.const 16) (i32.const 5))) (start $start))"""
        linker = wasmtime.Linker(engine())
        store = wasmtime.Store(engine())
        linker.define(store, "env", "mem", wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(1, None))))

        bridge.instantiate(linker, store, compiled(text), name="guest").call("say", 16, 5)

        assert [record.body for record in telemetry.logs()] == ["right", "right"]

    def test_shared(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A shared memory is none of ours: it counts as no memory, and the module works otherwise."""
        threads = engine_of(wasm_threads=True, shared_memory=True)
        text = f'(module {abi_imports("log")} (memory (export "memory") 1 2 shared) {SAY})'
        store = wasmtime.Store(threads)
        instance = bridge.instantiate(
            wasmtime.Linker(threads), store, wasmtime.Module(threads, text), name="guest"
        )  # fmt: skip

        instance.call("say", 0, 0)
        instance.call("say", 16, 5)

        assert len(telemetry.logs()) == 2
        assert bridge.rejected() == {("guest", None, "no_memory"): 1}

    def test_empty(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A memory of no pages can be read up to its end, which is its beginning, and after it has grown."""
        text = f"""(module {abi_imports("log")} (memory (export "memory") 0) {SAY}
            (func (export "grow") (drop (memory.grow (i32.const 1))) (i32.store8 (i32.const 5) (i32.const 97))))"""
        instance = instance_of(bridge, text)

        instance.call("say", 0, 0)
        instance.call("say", 5, 1)
        instance.call("grow")
        instance.call("say", 5, 1)

        assert [record.body for record in telemetry.logs()] == ["", "", "a"]
        assert bridge.rejected() == {("guest", None, "out_of_bounds"): 1}
        assert bridge.usage()[0].memory_bytes == PAGE

    def test_empty_64(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """The same with 64-bit addresses."""
        guest = Guest(bridge, memory64=True, pages=1)
        text = f'(module {abi_imports("flush", "callsite", memory64=True)} (memory (export "memory") i64 0))'

        assert instance_of(bridge, text).name == "guest"
        guest.run(lambda: guest.log("x"))
        assert telemetry.log("x")


class TestGrowth:
    @pytest.mark.parametrize("memory64", [False, True], ids=["32", "64"])
    @pytest.mark.parametrize("what", MOVING)
    def test_in_a_call(self, telemetry: Telemetry, native: bool, what: str, memory64: bool) -> None:
        """Memory that the guest grows in the middle of a call is read and written where it is now, whether it moved or
        not."""
        own = MOVING[what]()
        guest = Guest(telemetry.bridge(native=native), memory64=memory64, store=wasmtime.Store(own))
        sizes: list[int] = []
        places: set[int | None] = set()

        def body() -> None:
            for number in range(12):
                guest.log(f"low {number}")
                places.add(ctypes.cast(guest.memory.data_ptr(guest.store), ctypes.c_void_p).value)
                end = guest.memory.data_len(guest.store)
                guest.grow(1 << (number % 5))
                text = f"high {number}".encode()
                guest.memory.write(guest.store, text, end + 3)
                guest.abi("log", 0, 9, 0, end + 3, len(text), 0, 0)
                guest.abi("span_context", 0, end + 100)
                sizes.append(end)
                assert any(guest.get(end + 100, 24))

        guest.run(body)

        assert [record.body for record in telemetry.logs()] == [
            f"{where} {number}" for number in range(12) for where in ("low", "high")
        ]
        assert sizes == sorted(set(sizes))
        assert (len(places) > 1) == (what != "default")
        assert guest.rejected() == {}

    @pytest.mark.parametrize("what", MOVING)
    def test_between_calls(self, telemetry: Telemetry, native: bool, what: str) -> None:
        """The same between calls, and if the host grows it."""
        guest = Guest(telemetry.bridge(native=native), store=wasmtime.Store(MOVING[what]()))
        for number in range(5):
            guest.run(lambda: guest.log(f"low {number}"))
            end = guest.memory.data_len(guest.store)
            if number % 2:
                guest.memory.grow(guest.store, 20)
            else:
                guest.instance.call("grow", 20)
            guest.memory.write(guest.store, b"high", end)
            guest.run(lambda: guest.abi("log", 0, 9, 0, end, 4, 0, 0))

        assert [record.body for record in telemetry.logs()][1::2] == ["high"] * 5
        assert guest.rejected() == {}

    def test_up_to_4_gib(self, make_guest: Callable[..., Guest], telemetry: Telemetry) -> None:
        """All that 32 bits can address can be read."""
        guest = make_guest()
        if guest.instance.call("grow", PAGE - 2) == -1:
            pytest.fail("this machine gives no 4 GiB of address space")
        end = PAGE * PAGE
        guest.memory.write(guest.store, b"last", end - 4)

        guest.run(lambda: guest.abi("log", 0, 9, 0, end - 4, 4, 0, 0), lambda: guest.abi("log", 0, 9, 0, -4, 5, 0, 0))

        assert [record.body for record in telemetry.logs()] == ["last", ""]
        assert guest.rejected() == {"out_of_bounds": 1}
        assert guest.bridge.usage()[0].memory_bytes == end


class TestAccounts:
    def test_now_and_peak(self, bridge: Bridge) -> None:
        """Memory is counted per module and tenant: what all instances have, and the most they ever had together."""
        one, two = Guest(bridge, pages=2), Guest(bridge, pages=3)
        other = Guest(bridge, pages=1, tenant="acme")
        assert [(u.memory_bytes, u.memory_peak_bytes) for u in bridge.usage()] == [(5 * PAGE,) * 2, (PAGE,) * 2]

        one.instance.call("grow", 10)
        two.store.close()
        other.instance.call("grow", 1)
        one.instance.call("grow", 1)

        assert [(u.memory_bytes, u.memory_peak_bytes) for u in bridge.usage()] == [
            (13 * PAGE, 15 * PAGE),
            (2 * PAGE, 2 * PAGE),
        ]
        one.instance.close()
        one.instance.call("grow", 1)
        usage, _ = bridge.usage()
        assert (usage.memory_bytes, usage.memory_peak_bytes) == (0, 15 * PAGE)
