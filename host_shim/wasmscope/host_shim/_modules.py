"""The modules of the collector, compiled once for each engine."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final

import wasmtime

from wasmscope.host_shim._glue import ROLL, glue, reader, trampolines
from wasmscope.host_shim._wasmtime_ffi import Native, store_address, value_type_name
from wasmscope.host_shim._wasmtime_instances import Instances, WasiClock
from wasmscope.host_shim._weld import Outline, outline, weld

__all__ = ["CLOCK", "ENOUGH_FUEL", "HOST", "EngineModules", "Modules", "UnsuitableError"]

_logger = logging.getLogger("wasmscope.host_shim")
HOST: Final[tuple[str, str]] = ("host", "call")
CLOCK: Final[tuple[str, str]] = ("wasi_snapshot_preview1", "clock_time_get")
ENOUGH_FUEL: Final = 1 << 60
"""More than the collector can burn in a call."""
_MOST_SAVED: Final = 8
_EMPTY: Final = bytes.fromhex("0061736d01000000")
_KINDS: Final = {"i32": wasmtime.ValType.i32, "i64": wasmtime.ValType.i64}


class UnsuitableError(Exception):
    """The collector cannot be used here; the text says why."""


class Modules:
    """Compiled modules by engine. Thread-safe.

    What was compiled is also kept in serialized form: a further engine that is configured alike loads it, which
    takes a hundredth of the time.
    """

    def __init__(self, wasm: bytes | None = None) -> None:
        """Prepare.

        Args:
            wasm: The collector; None for the one that comes with the package.
        """
        self._wasm = wasm
        self._whole: tuple[bytes, Outline] | None = None
        self._lock = threading.RLock()
        self._engines: weakref.WeakKeyDictionary[wasmtime.Engine, EngineModules | UnsuitableError] = (
            weakref.WeakKeyDictionary()
        )
        self._saved: dict[object, list[bytearray]] = {}

    def of(self, native: Native, instances: Instances, engine: wasmtime.Engine) -> EngineModules:
        """Give those of an engine.

        Raises:
            UnsuitableError: If the engine cannot run the collector.
        """
        found = self._engines.get(engine)
        if isinstance(found, EngineModules):
            return found
        with self._lock:
            found = self._engines.get(engine)
            if found is None:
                try:
                    found = EngineModules(self, native, instances, engine)
                except (wasmtime.WasmtimeError, wasmtime.Trap, UnsuitableError, ValueError) as error:
                    found = UnsuitableError(f"the engine cannot run it: {_first_line(error)}")
                self._engines[engine] = found
            if isinstance(found, UnsuitableError):
                raise found
            return found

    def whole(self) -> tuple[bytes, Outline]:
        """Give the collector with what is added to it, and what is in it."""
        with self._lock:
            if self._whole is None:
                wasm = self._wasm or (files("wasmscope.host_shim") / "_collector.wasm").read_bytes()
                found = outline(wasm)
                self._whole = weld(wasm, bytes(wasmtime.wat2wasm(glue(found)))), found
            return self._whole

    def compile(self, engine: wasmtime.Engine, key: object, source: str | bytes) -> wasmtime.Module:
        """Compile a module, or load it if an engine like this one has compiled it before.

        Args:
            engine: The engine.
            key: What is compiled.
            source: Its text or bytes.

        Raises:
            wasmtime.WasmtimeError: If the engine lacks a feature that it needs.
        """
        with self._lock:
            saved = self._saved.setdefault(key, [])
            for data in saved:
                try:
                    return wasmtime.Module.deserialize(engine, data)
                except wasmtime.WasmtimeError:  # of an engine that is configured otherwise
                    continue
            module = wasmtime.Module(engine, source)
            saved.append(module.serialize())
            del saved[:-_MOST_SAVED]
            return module


class EngineModules:
    """The modules of one engine. They do not keep it alive.

    Attributes:
        collector: The collector.
        control: Address of its control block.
        args: Address of the arguments of a call that goes on to Python.
        stack_pointer: What ``__stack_pointer`` is when nothing of it runs.
        results: Types of its functions' first results, by name: ``i32``, ``i64`` or the empty string.
        imports: What it imports, in order.
        data: What its memory must hold before anything of it runs: addresses and bytes.
        empty: A module without anything.
        host_kind: The type of the host function.
        clock_kind: The type of the clock.
        fetch_kind: The type of what reads a guest's memory.
        give_kind: The type of what writes it.
        clock: The clock of wasmtime, or None where there is none.
        counts_fuel: Whether the engine counts fuel.
        is_fixed: Whether its memories stay where they are.
    """

    def __init__(self, modules: Modules, native: Native, instances: Instances, engine: wasmtime.Engine) -> None:
        self._modules = modules
        self._engine = weakref.ref(engine)
        self._made: dict[tuple[Any, ...], wasmtime.Module | None] = {}
        wasm, found = modules.whole()
        self.control, self.args = found.constants["control"], found.constants["args"]
        self.stack_pointer = found.constants["__stack_pointer"]
        self.collector = modules.compile(engine, "collector", wasm)
        self.imports = found.imported
        self.data = found.data
        self.results = {
            item.name: "".join(map(value_type_name, item.type.results[:1]))
            for item in self.collector.exports
            if isinstance(item.type, wasmtime.FuncType) and item.name != ROLL
        }
        if unknown := set(self.imports) - {HOST, CLOCK}:
            raise UnsuitableError(f"the collector imports {unknown}")
        self.empty = wasmtime.Module(engine, _EMPTY)
        self.host_kind = _kind("i32 i32", "i64")
        self.clock_kind = _kind("i32 i64 i32", "i32")
        self.fetch_kind = _kind("i32 i64 i64 i64", "i32")
        self.give_kind = _kind("i32 i64 i32", "i32")
        with wasmtime.Store(engine) as store:
            self.counts_fuel = instances.fuel(store_address(store)) is not None
        self.is_fixed = native.is_fixed(engine)
        try:
            self.clock: WasiClock | None = WasiClock(instances, engine)
        except wasmtime.WasmtimeError:
            self.clock = None

    def trampolines(self, *, memory64: bool) -> wasmtime.Module | None:
        """Give the trampolines for a width of addresses; None if the engine cannot have them."""
        return self._further(("trampolines", memory64), lambda: trampolines(memory64=memory64))

    def reader(self, memory: str, *, is_first: bool) -> wasmtime.Module | None:
        """Give the reader for a kind of memory; None if the engine cannot have it."""
        return self._further(("reader", memory, is_first), lambda: reader(memory, is_first=is_first))

    def _further(self, key: tuple[Any, ...], text: Callable[[], str]) -> wasmtime.Module | None:
        if key not in self._made:
            engine = self._engine()
            module = None
            if engine is not None:
                try:
                    module = self._modules.compile(engine, key, text())
                except wasmtime.WasmtimeError as error:
                    _logger.info("the collector's %s cannot be compiled: %s", key, _first_line(error))
            self._made[key] = module
        return self._made[key]


def _kind(params: str, results: str) -> wasmtime.FuncType:
    return wasmtime.FuncType([_KINDS[name]() for name in params.split()], [_KINDS[name]() for name in results.split()])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
