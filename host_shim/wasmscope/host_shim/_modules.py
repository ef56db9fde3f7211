"""The modules of the collector, compiled once for each engine."""

from __future__ import annotations

import ctypes
import logging
import threading
import weakref
from collections.abc import Callable
from importlib.resources import files
from typing import Any, Final

import wasmtime

from wasmscope.host_shim._glue import COLLECTOR_FUNCTIONS, Layout, glue, trampolines
from wasmscope.host_shim._roll import ROLL, with_roll
from wasmscope.host_shim._wasmtime_ffi import Native, store_address, value_type_name
from wasmscope.host_shim._wasmtime_instances import Instances, WasiClock

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
                except (wasmtime.WasmtimeError, wasmtime.Trap, UnsuitableError) as error:
                    found = UnsuitableError(f"the engine cannot run it: {_first_line(error)}")
                self._engines[engine] = found
            if isinstance(found, UnsuitableError):
                raise found
            return found

    def compile(self, engine: wasmtime.Engine, key: object, source: str | bytes | None) -> wasmtime.Module:
        """Compile a module, or load it if an engine like this one has compiled it before.

        Args:
            engine: The engine.
            key: What is compiled.
            source: Its text or bytes; None for the collector.

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
            if source is None:
                wasm = self._wasm or (files("wasmscope.host_shim") / "_collector.wasm").read_bytes()
                source = with_roll(wasm, tuple(COLLECTOR_FUNCTIONS))
            module = wasmtime.Module(engine, source)
            saved.append(module.serialize())
            del saved[:-_MOST_SAVED]
            return module


class EngineModules:
    """The modules of one engine. They do not keep it alive.

    Attributes:
        collector: The collector.
        layout: Where things lie in its memory.
        functions: Its functions: for each its place among the results of `ROLL`, where those that the glue imports
            come last, and the type of its own result, ``i32``, ``i64`` or the empty string.
        imports: What it imports, in order.
        empty: A module without anything.
        host_kind: The type of the host function.
        clock_kind: The type of the clock.
        clock: The clock of wasmtime, or None where there is none.
        tables: How many tables the collector has.
        counts_fuel: Whether the engine counts fuel.
        is_fixed: Whether its memories stay where they are.
    """

    def __init__(self, modules: Modules, native: Native, instances: Instances, engine: wasmtime.Engine) -> None:
        self._modules = modules
        self._instances = instances
        self._engine = weakref.ref(engine)
        self._made: dict[tuple[Any, ...], wasmtime.Module | None] = {}
        self.collector = modules.compile(engine, "collector", None)
        self.imports = tuple((item.module, item.name or "") for item in self.collector.imports)
        results = {
            item.name: "".join(map(value_type_name, item.type.results))
            for item in self.collector.exports
            if isinstance(item.type, wasmtime.FuncType) and item.name != ROLL
        }
        order = (*(name for name in results if name not in COLLECTOR_FUNCTIONS), *COLLECTOR_FUNCTIONS)
        self.functions = {name: (index, results[name]) for index, name in enumerate(order)}
        if unknown := set(self.imports) - {HOST, CLOCK}:
            raise UnsuitableError(f"the collector imports {unknown}")
        self.empty = wasmtime.Module(engine, _EMPTY)
        self.host_kind = _kind("i32 i32", "i64")
        self.clock_kind = _kind("i32 i64 i32", "i32")
        self.counts_fuel = False
        self.tables = 0
        self.is_fixed = native.is_fixed(engine)
        try:
            self.clock: WasiClock | None = WasiClock(instances, engine)
        except wasmtime.WasmtimeError:
            self.clock = None
        self.layout = self._measure(engine)

    def _measure(self, engine: wasmtime.Engine) -> Layout:
        """Look where things lie, in an instance that goes again."""
        instances = self._instances
        with wasmtime.Store(engine) as store:
            context = store_address(store)
            self.counts_fuel = instances.fuel(context) is not None
            if self.counts_fuel:
                instances.set_fuel(context, ENOUGH_FUEL)
            instances.set_epoch_deadline(context, 1 << 32)
            externs, first = instances.externs(len(self.imports) + 1)
            kinds: dict[tuple[str, str], wasmtime.FuncType] = {HOST: self.host_kind, CLOCK: self.clock_kind}
            for index, name in enumerate(self.imports):
                instances.put_func(context, kinds[name], instances.idle, 1, first + index * instances.extern_size)
            store.set_limits(tables=0)
            try:
                made = instances.instantiate(context, self.collector, first, len(self.imports))
            except wasmtime.WasmtimeError:
                self.tables = 1
                store.set_limits(tables=1)
                made = instances.instantiate(context, self.collector, first, len(self.imports))
            item = first + len(self.imports) * instances.extern_size
            values = (ctypes.c_int64 * 2)()
            numbers: list[int] = []
            for function in (b"control", b"args"):
                instances.export(context, made, function, item)
                failure = instances.call(context, item + instances.value_offset, values, 1)
                if failure is not None:
                    raise failure
                numbers.append(values[0] & 0xFFFFFFFF)
            instances.export(context, made, b"__stack_pointer", item)
            stack_pointer = instances.global_i32(context, item + instances.value_offset)
            del externs
        return Layout(numbers[0], numbers[1], stack_pointer)

    def trampolines(self, *, memory64: bool) -> wasmtime.Module | None:
        """Give the trampolines for a width of addresses; None if the engine cannot have them."""
        return self._trampolines(memory64, tail_calls=True) or self._trampolines(memory64, tail_calls=False)

    def _trampolines(self, memory64: bool, *, tail_calls: bool) -> wasmtime.Module | None:
        return self._further(
            ("trampolines", memory64, tail_calls), lambda: trampolines(memory64=memory64, tail_calls=tail_calls)
        )

    def glue(self, *, memory64: bool, memory: str | None) -> wasmtime.Module | None:
        """Give the glue for a width of addresses and a kind of memory; None if the engine cannot have it."""
        return self._further(("glue", memory64, memory), lambda: glue(self.layout, memory64=memory64, memory=memory))

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
