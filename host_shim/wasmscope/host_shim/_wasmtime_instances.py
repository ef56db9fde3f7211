"""Instances made and wired by wasmtime's C API, for the collector; the other place for wasmtime-py's private parts.

As in `_wasmtime_ffi`, everything is tried once before it is used (`Instances.load`), and there is a way without it:
guests are then served by the live path.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import weakref
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, Final

import wasmtime

from wasmscope.host_shim._version import version
from wasmscope.host_shim._wasmtime_ffi import CALLBACK, Native, store_address

__all__ = ["Instances", "WasiClock"]

_logger = logging.getLogger("wasmscope.host_shim")
# (module (import "h" "f" (func)) (type (func)) (table (export "t") 1 funcref)
#  (global (export "g") (mut i32) (i32.const 3)) (func (export "f") (call_indirect (type 0) (i32.const 0)))
#  (func (export "r") (result funcref) (ref.func 1)))
_PROBE_BEFORE: Final = bytes.fromhex(
    "0061736d010000000108026000006000017002070101680166000003030200010404017000010606017f0141030b07110401740100016703"
    "0001660001017200020a0e02070041001100000b0400d2010b"
)
# (module (import "t" "f" (func)) (memory (export "memory") 1) (func (export "second")) (start 0))
_PROBE_LATER: Final = bytes.fromhex(
    "0061736d01000000010401600000020701017401660000030201000503010001071302066d656d6f72790200067365636f6e6400010801000a"
    "040102000b"
)
_PROBE_EMPTY: Final = bytes.fromhex("0061736d01000000")
# (module (import "w" "clock_time_get" (func (param i32 i64 i32) (result i32))) (memory (export "memory") 1)
#  (func (export "f") (result i64) i32.const 0 i64.const 0 i32.const 0 call 0 drop i32.const 0 i64.load))
_PROBE_CLOCK: Final = bytes.fromhex(
    "0061736d01000000010c0260037f7e7f017f6000017e02140101770e636c6f636b5f74696d655f676574000003020101050301000107"
    "0e02066d656d6f72790200016600010a1201100041004200410010001a41002903000b"
)
# Of a wasmtime_instance_t: the store's id, then the instance's number in it.
_NUMBER_OFFSET: Final = 8
# Of a wasmtime_extern_t: its kind, and what it is of.
_EXTERN_WORDS: Final = 4
# In 2020.
_A_TIME_NS: Final = 1_600_000_000_000_000_000


class Instances:
    """Instances that are made and wired by the C API: the public one takes microseconds for each export.

    Addresses are plain integers here, too. A *context* is that of a live store. *Externs* are arrays of
    ``wasmtime_extern_t``, which are given and filled in place.
    """

    def __init__(self, native: Native, ffi: Any) -> None:
        """Bind the functions.

        Args:
            native: The functions for calls.
            ffi: wasmtime-py's bindings.

        Raises:
            AttributeError: If a function is not there.
        """
        void, size, u64 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64

        def bind(name: str, result: Any, *params: Any) -> Any:
            return ctypes.PYFUNCTYPE(result, *params)((name, ffi.dll))

        self._native = native
        self._ffi = ffi
        functions: Any = importlib.import_module("wasmtime._func")
        self._owned, self._finalize = functions.FUNCTIONS, functions.finalize
        self._new = bind("wasmtime_instance_new", void, void, void, void, size, void, void)
        # A guest's start function may run for long: other threads go on meanwhile.
        self._new_guest = ctypes.CFUNCTYPE(void, void, void, void, size, void, void)(("wasmtime_instance_new", ffi.dll))
        self._export_get = bind("wasmtime_instance_export_get", ctypes.c_bool, void, void, ctypes.c_char_p, size, void)
        self._export_nth = bind("wasmtime_instance_export_nth", ctypes.c_bool, void, void, size, void, void, void)
        self._table_set = bind("wasmtime_table_set", void, void, void, u64, void)
        self._global_get = bind("wasmtime_global_get", None, void, void, void)
        self._global_set = bind("wasmtime_global_set", void, void, void, void)
        self._get_fuel = bind("wasmtime_context_get_fuel", void, void, void)
        self._set_fuel = bind("wasmtime_context_set_fuel", void, void, u64)
        self.set_epoch_deadline = bind("wasmtime_context_set_epoch_deadline", None, void, u64)
        self._error_delete = bind("wasmtime_error_delete", None, void)
        self._linker_new = bind("wasmtime_linker_new", void, void)
        self._linker_delete = bind("wasmtime_linker_delete", None, void)
        self._linker_define_wasi = bind("wasmtime_linker_define_wasi", void, void)
        self._linker_get = bind(
            "wasmtime_linker_get", ctypes.c_bool, void, void, ctypes.c_char_p, size, ctypes.c_char_p, size, void
        )
        self._wasi_config_new = bind("wasi_config_new", void)
        self._set_wasi = bind("wasmtime_context_set_wasi", void, void, void)
        self._extern_t = ffi.wasmtime_extern_t
        self._instance_t = ffi.wasmtime_instance_t
        self._val_t = ffi.wasmtime_val_t
        self._memory_t = ffi.wasmtime_memory_t
        self.extern_size: int = ctypes.sizeof(self._extern_t)
        self.value_offset: int = self._extern_t.of.offset
        """Where the item is in an extern."""
        self.idle = native._idle
        """A `CALLBACK` that does nothing."""

    @classmethod
    def load(cls, native: Native) -> Instances | None:
        """Bind and try everything; None, and a log line that says what failed, if something does not work.

        Args:
            native: What `Native.load` gave.
        """
        try:
            from wasmtime import _ffi

            instances = cls(native, _ffi)
            instances._try()
        except Exception as error:  # whatever a future release changes
            _logger.info(
                "wasmtime %s: the collector cannot be linked, which makes telemetry calls slower: %s",
                version("wasmtime"),
                error,
            )
            return None
        return instances

    def _try(self) -> None:
        """Do all of it once, and stop where something comes out that must not."""
        config = wasmtime.Config()
        config.consume_fuel = True
        engine = wasmtime.Engine(config)
        with wasmtime.Store(engine) as store:
            self._try_wiring(engine, store_address(store))
            self._try_clock(engine, store_address(store))
        with wasmtime.Store(wasmtime.Engine()) as store:
            _expect("fuel where none is counted", self.fuel(store_address(store)), None)

    def _try_wiring(self, engine: wasmtime.Engine, context: int) -> None:
        seen: list[object] = []
        size, offset = self.extern_size, self.value_offset
        _items, first = self.externs(6)

        def callback(_env: int, caller: int, _at: int) -> int:
            try:
                seen.append(self._native.caller_context(caller) == context)
                # The instance that is being made: its start function runs.
                last = self._tried(context, empty, 0, 0)
                for index, instance in enumerate(self.between(made, last)):
                    if self.export_names(context, instance, 4) == ["memory", "second"]:
                        self.export(context, instance, b"memory", first + 5 * size)
                        seen.append(index)
            except BaseException as error:
                seen.append(error)
            return 0

        raw = CALLBACK(callback)
        self.put_func(context, wasmtime.FuncType([], []), raw, 1, first)
        empty = wasmtime.Module(engine, _PROBE_EMPTY)
        made = self._tried(context, wasmtime.Module(engine, _PROBE_BEFORE), first, 1)
        others = [self._tried(context, empty, 0, 0) for _ in range(2)]
        numbers = [self._number(instance) for instance in (made, *others)]
        _expect("numbers of instances", numbers, [numbers[0] + index for index in range(3)])
        for index, name in enumerate((b"t", b"g", b"f")):
            self.export(context, made, name, first + (1 + index) * size)
        table, number, func = (first + (1 + index) * size + offset for index in range(3))
        _expect("a global", self.global_i32(context, number), 3)
        self.set_global_i32(context, number, -7)
        _expect("a global that was set", self.global_i32(context, number), -7)
        self.set_fuel(context, 1_000)
        self.export(context, made, b"r", first + 5 * size)
        _expect("a call", self.put_functions(context, first + 5 * size + offset, 1, first + 4 * size), None)
        of_f = [self._extern_t.from_address(first + index * size) for index in (4, 3)]
        _expect("a function", *((item.kind, bytes(item.of.func)) for item in of_f))
        values = (ctypes.c_int64 * 2)()
        # What it calls through the table is still a null.
        _expect("a trap", type(self.call(context, func, values, 1)), wasmtime.Trap)
        self.set_table(context, table, 0, first + offset)
        later = self.instantiate_guest(context, wasmtime.Module(engine, _PROBE_LATER), func - offset, 1)
        _expect("an instance that is being made", seen, [True, 2])
        memory = self.exported_memory(context, later, b"memory", first + 4 * size)
        handles = (first + 5 * size + offset, ctypes.addressof(memory._memory))
        found, real = (self._native.memory_data(context, handle) for handle in handles)
        _expect("its memory", found, real)
        left = self.fuel(context)
        _expect("fuel", left is not None and 0 < left < 1_000, True)

    def _try_clock(self, engine: wasmtime.Engine, context: int) -> None:
        _items, first = self.externs(2)
        clock = WasiClock(self, engine)
        self.give_wasi(context)
        clock.put(context, first)
        made = self._tried(context, wasmtime.Module(engine, _PROBE_CLOCK), first, 1)
        self.export(context, made, b"f", first + self.extern_size)
        self.set_fuel(context, 1_000)
        values = (ctypes.c_int64 * 2)()
        _expect("a call", self.call(context, first + self.extern_size + self.value_offset, values, 1), None)
        _expect("the time", values[0] > _A_TIME_NS, True)

    def _tried(self, context: int, module: wasmtime.Module, imports: int, count: int) -> Any:
        instance = self.new_instance()
        _expect("an instance", self.instantiate(context, module, imports, count, instance), None)
        return instance

    def externs(self, count: int) -> tuple[Any, int]:
        """Make an array of externs; also its address. It must be kept."""
        array = (self._extern_t * count)()
        return array, ctypes.addressof(array)

    def put_func(self, context: int, kind: wasmtime.FuncType, callback: Any, env: int, to: int) -> None:
        """Make a host function as `Native.func` does, as an extern.

        Args:
            context: The store's.
            kind: Its type, made for this engine.
            callback: A `CALLBACK`.
            env: What it gets as its first argument.
            to: Address of the extern.
        """
        self._native._func_new(context, kind.ptr(), callback, env, None, to + self.value_offset)
        self._set_kind(to, self._ffi.WASMTIME_EXTERN_FUNC)

    def put_owner(self, context: int, kind: wasmtime.FuncType, callback: Any, owned: object, to: int) -> int:
        """Make a host function that owns an object as `Native.hold` does; gives its environment."""
        env: int = self._owned.allocate((owned,))
        self._native._func_new(context, kind.ptr(), callback, env, self._finalize, to + self.value_offset)
        self._set_kind(to, self._ffi.WASMTIME_EXTERN_FUNC)
        return env

    def put_memory(self, memory: wasmtime.Memory, to: int) -> None:
        """Copy a memory's handle to an extern."""
        item = memory._memory
        ctypes.memmove(to + self.value_offset, ctypes.addressof(item), ctypes.sizeof(item))
        self._set_kind(to, self._ffi.WASMTIME_EXTERN_MEMORY)

    def _set_kind(self, to: int, kind: Any) -> None:
        ctypes.c_uint8.from_address(to).value = kind.value

    def memory_at(self, extern: int) -> Any:
        """Give the wasmtime_memory_t in an extern, or None if something else is in it."""
        item = self._extern_t.from_address(extern)
        kind: int = item.kind
        return item.of.memory if kind == self._ffi.WASMTIME_EXTERN_MEMORY.value else None

    def new_instance(self) -> Any:
        """Make place for an instance: a wasmtime_instance_t."""
        return self._instance_t()

    def instantiate(self, context: int, module: wasmtime.Module, imports: int, count: int, to: Any) -> Exception | None:
        """Make an instance of a module of ours.

        Args:
            context: The store's.
            module: The module.
            imports: Address of the first of as many externs as it imports.
            count: How many that are.
            to: Its place, as `new_instance` gives it.

        Returns:
            Why it could not be made.
        """
        trap = ctypes.c_void_p()
        error = self._new(context, module.ptr(), imports, count, ctypes.addressof(to), ctypes.addressof(trap))
        return self._failure(error, trap.value) if error or trap.value else None

    def instantiate_with(self, context: int, module: wasmtime.Module, imports: Sequence[Any]) -> wasmtime.Instance:
        """Make an instance as `instantiate_guest` does.

        Args:
            context: The store's.
            module: The module.
            imports: What it imports: items of wasmtime-py, or addresses of externs.
        """
        items, first = self.externs(len(imports))
        size = self.extern_size
        for index, item in enumerate(imports):
            if type(item) is int:
                ctypes.memmove(first + index * size, item, size)
            else:
                items[index] = item._as_extern()
        return self.instantiate_guest(context, module, first, len(imports))

    def instantiate_guest(self, context: int, module: wasmtime.Module, imports: int, count: int) -> wasmtime.Instance:
        """Make an instance of the application's, as `wasmtime.Instance` does.

        Args:
            context: The store's.
            module: The module.
            imports: Address of the first of as many externs as it imports.
            count: How many that are.

        Raises:
            wasmtime.WasmtimeError: If it cannot be made.
            wasmtime.Trap: If its start function traps. What a host function raised comes as it is.
        """
        instance = self._instance_t()
        trap = ctypes.c_void_p()
        error = self._new_guest(
            context, module.ptr(), imports, count, ctypes.addressof(instance), ctypes.addressof(trap)
        )
        if error or trap.value:
            self._native.raise_failure(self._failure(error, trap.value))
        return wasmtime.Instance._from_raw(instance)

    def exported_memory(self, context: int, instance: wasmtime.Instance, name: bytes, to: int) -> wasmtime.Memory:
        """Give a memory that an instance exports.

        Args:
            context: The store's.
            instance: The instance.
            name: The memory's name, UTF-8.
            to: Address of an extern, which gets it, too.

        Raises:
            KeyError: If there is none.
        """
        self.export(context, instance._instance, name, to)
        return wasmtime.Memory._from_raw(self._memory_t.from_buffer_copy(self._extern_t.from_address(to).of))

    def _failure(self, error: int | None, trap: int | None) -> Exception:
        from wasmtime import _ffi

        if error:
            return wasmtime.WasmtimeError._from_ptr(ctypes.cast(error, ctypes.POINTER(_ffi.wasmtime_error_t)))
        return wasmtime.Trap._from_ptr(ctypes.cast(trap or 0, ctypes.POINTER(_ffi.wasm_trap_t)))

    def export(self, context: int, instance: Any, name: bytes, to: int) -> None:
        """Get an export.

        Args:
            context: The store's.
            instance: What `instantiate` gave.
            name: Its name, UTF-8.
            to: Address of the extern.

        Raises:
            KeyError: If there is none.
        """
        if not self._export_get(context, ctypes.addressof(instance), name, len(name), to):
            raise KeyError(name)

    def put_exports(self, context: int, instance: Any, names: Sequence[tuple[bytes, int]], to: int) -> None:
        """Get several exports, as `export` does.

        Args:
            context: The store's.
            instance: What `instantiate` made.
            names: Their names, UTF-8, and how long these are.
            to: Address of as many externs.

        Raises:
            KeyError: If one is not there.
        """
        get, of, size = self._export_get, ctypes.addressof(instance), self.extern_size
        for name, length in names:
            if not get(context, of, name, length, to):
                raise KeyError(name)
            to += size

    def export_names(self, context: int, instance: Any, limit: int) -> list[str]:
        """Give the names of an instance's exports in order.

        Args:
            context: The store's.
            instance: The instance.
            limit: Most that are looked at.
        """
        names: list[str] = []
        item = self._extern_t()
        name, length = ctypes.c_void_p(), ctypes.c_size_t()
        to = ctypes.addressof(item)
        for index in range(limit):
            if not self._export_nth(
                context, ctypes.byref(instance), index, ctypes.byref(name), ctypes.byref(length), to
            ):
                break
            names.append(ctypes.string_at(name.value or 0, length.value).decode())
        return names

    def between(self, first: Any, last: Any) -> Iterator[Any]:
        """Go through the instances that were made in a store after one and before another, in their order.

        Those that are not finished, too, which no function gives: a store numbers its instances in the order they
        are made, and an instance's handle is the store's id and that number. `load` tries whether it is so.

        Args:
            first: The one they come after.
            last: The one they come before, of the same store.
        """
        for number in range(self._number(first) + 1, self._number(last)):
            found = self._instance_t.from_buffer_copy(first)
            ctypes.c_size_t.from_buffer(found, _NUMBER_OFFSET).value = number
            yield found

    def _number(self, instance: Any) -> int:
        return ctypes.c_size_t.from_buffer(instance, _NUMBER_OFFSET).value

    def call(self, context: int, func: int, values: Any, count: int) -> Exception | None:
        """Call a function with raw values.

        Args:
            context: The store's.
            func: Address of its wasmtime_func_t.
            values: An array of int64, two for each value; results replace arguments.
            count: How many values it has room for.

        Returns:
            What was raised instead of a result.
        """
        trap = ctypes.c_void_p()
        error = self._native._func_call(context, func, ctypes.addressof(values), count, ctypes.addressof(trap))
        return self._failure(error, trap.value) if error or trap.value else None

    def call_prepared(self, context: int, func: int, prepared: tuple[Any, int, Any], trap: Any) -> Exception | None:
        """Call a function with raw values, as `call` does, with as little as can be to do.

        Args:
            context: The store's.
            func: Address of its wasmtime_func_t.
            prepared: The array of values, how many it has room for, and a reference to the trap's place.
            trap: That place.

        Returns:
            What was raised instead of a result.
        """
        error = self._native._func_call(context, func, *prepared)
        if error or trap:
            raised, trap.value = trap.value, None
            return self._failure(error, raised)
        return None

    def put_functions(self, context: int, func: int, count: int, to: int) -> Exception | None:
        """Call a function whose results are references to functions, and put those into externs.

        Args:
            context: The store's.
            func: Address of its wasmtime_func_t.
            count: How many results it has.
            to: Address of as many externs.

        Returns:
            What was raised instead.
        """
        values = (ctypes.c_int64 * (2 * count))()
        failure = self.call(context, func, values, count)
        if failure is not None:
            return failure
        # A wasmtime_func_t is the store's id and what a reference is when it is raw.
        externs = memoryview((ctypes.c_uint64 * (_EXTERN_WORDS * count)).from_address(to)).cast("B").cast("Q")
        kind: int = self._ffi.WASMTIME_EXTERN_FUNC.value
        store: int = ctypes.c_uint64.from_address(func).value
        externs[0::_EXTERN_WORDS] = _words([kind] * count)
        externs[1::_EXTERN_WORDS] = _words([store] * count)
        externs[2::_EXTERN_WORDS] = memoryview(values).cast("B").cast("Q")[::2]
        return None

    def set_table(self, context: int, table: int, index: int, func: int) -> None:
        """Put a function into a table.

        Args:
            context: The store's.
            table: Address of its wasmtime_table_t.
            index: Where.
            func: Address of the wasmtime_func_t.
        """
        value = self._val_t()
        value.kind = self._ffi.WASMTIME_FUNCREF.value
        value.of.funcref = self._native._func_t.from_address(func)
        error = self._table_set(context, table, index, ctypes.addressof(value))
        if error:
            raise self._failure(error, None)

    def global_i32(self, context: int, item: int) -> int:
        """Give the value of a global of type i32, signed; by the address of its wasmtime_global_t."""
        value = self._val_t()
        self._global_get(context, item, ctypes.addressof(value))
        number: int = value.of.i32
        return number

    def set_global_i32(self, context: int, item: int, number: int) -> None:
        """Set a mutable global of type i32; by the address of its wasmtime_global_t."""
        value = self._val_t()
        value.kind = self._ffi.WASMTIME_I32.value
        value.of.i32 = number
        error = self._global_set(context, item, ctypes.addressof(value))
        if error:
            raise self._failure(error, None)

    def fuel(self, context: int) -> int | None:
        """Give the fuel that is left, or None where the engine does not count it (which is dear to ask)."""
        left = ctypes.c_uint64()
        error = self._get_fuel(context, ctypes.addressof(left))
        if error:
            self._error_delete(error)
            return None
        return left.value

    def set_fuel(self, context: int, fuel: int) -> None:
        """Set the fuel of a store whose engine counts it."""
        error = self._set_fuel(context, fuel)
        if error:
            self._error_delete(error)

    def give_wasi(self, context: int) -> None:
        """Give a store a WASI context that has no arguments, files or output; it replaces the one that is there."""
        error = self._set_wasi(context, self._wasi_config_new())
        if error:
            raise self._failure(error, None)


def _words(numbers: list[int]) -> memoryview:
    return memoryview(array("Q", numbers))


def _expect(what: str, got: object, wanted: object) -> None:
    if got != wanted:
        raise RuntimeError(f"{what}: expected {wanted!r}, got {got!r}")


class WasiClock:
    """wasmtime's own ``clock_time_get``, for the stores of one engine.

    It ends the process where a store has no WASI context. A `wasmtime.Linker` would keep the engine alive.
    """

    def __init__(self, instances: Instances, engine: wasmtime.Engine) -> None:
        """Make it.

        Args:
            instances: The C functions.
            engine: The engine.

        Raises:
            wasmtime.WasmtimeError: If it cannot be made.
        """
        self._get = instances._linker_get
        self._linker = linker = instances._linker_new(engine.ptr())
        weakref.finalize(self, instances._linker_delete, linker).atexit = False
        error = instances._linker_define_wasi(linker)
        if error:
            raise instances._failure(error, None)

    def put(self, context: int, to: int) -> None:
        """Get the function for a store, as an extern.

        Args:
            context: The store's.
            to: Address of the extern.
        """
        module, name = b"wasi_snapshot_preview1", b"clock_time_get"
        if not self._get(self._linker, context, module, len(module), name, len(name), to):
            raise KeyError(name)
