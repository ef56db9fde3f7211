"""One bridge serves modules of several engines."""

from __future__ import annotations

import wasmtime

from wasmscope.host_shim import Bridge

TEXT = """(module
    (import "wasmscope_v1" "abi_version" (func $version (result i32)))
    (import "wasmscope_v1" "log" (func $log (param i32 i32 i64 i32 i32 i32 i32)))
    (memory (export "memory") 1)
    (func (export "version") (result i32)
        (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
        (call $version)))"""


class TestEngines:
    """A type of wasmtime's belongs to one engine, and is fatal in another."""

    def test_instantiate(self, bridge: Bridge) -> None:
        """Modules of different engines are instantiated by one bridge."""
        for _ in range(3):
            engine = wasmtime.Engine()
            instance = bridge.instantiate(
                wasmtime.Linker(engine), wasmtime.Store(engine), wasmtime.Module(engine, TEXT), name="guest"
            )
            assert instance.call("version") == 0x1_0000

    def test_define(self, bridge: Bridge) -> None:
        """The functions of one bridge are defined in linkers of different engines."""
        for _ in range(3):
            engine = wasmtime.Engine()
            linker, store = wasmtime.Linker(engine), wasmtime.Store(engine)
            bridge.define(linker)
            instance = linker.instantiate(store, wasmtime.Module(engine, TEXT))
            assert bridge.adopt(store, instance, name="guest").call("version") == 0x1_0000

    def test_alternating(self, bridge: Bridge) -> None:
        """It does not matter which engine comes when."""
        engines = [wasmtime.Engine(), wasmtime.Engine()]
        modules = [wasmtime.Module(engine, TEXT) for engine in engines]
        for index in (0, 1, 1, 0, 0, 1):
            store = wasmtime.Store(engines[index])
            instance = bridge.instantiate(wasmtime.Linker(engines[index]), store, modules[index], name="guest")
            assert instance.call("version") == 0x1_0000
