"""Every use of wasmtime-py's private parts, but those that linking needs (`_wasmtime_instances`).

wasmtime's public Python API costs 3-15 us for each call of a host function and about 30 us for a call of an export;
its C API, which the
package ships and binds by ctypes, costs 0.3-1 us (https://docs.wasmtime.dev/c-api/). `Native.load` looks whether
everything needed is there *and works*: new
releases come monthly. Where it is not, the bridge uses the public API, which is slower and does the same.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import re
import struct
import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import wasmtime

from wasmscope.host_shim._runtime import GuestBytes
from wasmscope.host_shim._shield import shielded
from wasmscope.host_shim._version import version

if TYPE_CHECKING:
    from wasmtime._instance import InstanceExports
else:
    try:
        from wasmtime._instance import InstanceExports
    except ImportError:  # a release that keeps it elsewhere: its users lose nothing but the type's name
        from collections.abc import Mapping as InstanceExports

__all__ = [
    "CALLBACK",
    "InstanceExports",
    "Native",
    "bytes_at",
    "store_address",
    "take_func",
    "take_instance",
    "value_type_name",
]

_logger = logging.getLogger("wasmscope.host_shim")

# wasmtime_func_unchecked_callback_t: trap* (env, caller, wasmtime_val_raw_t* args_and_results, size_t). A
# wasmtime_val_raw_t is 16 bytes, little-endian everywhere; of an i32 only the low 32 bits mean anything. The address
# comes as a number, because a pointer object costs as much as all else of a call; and the count at the end, which
# follows from the type, does not come at all: a C function may be given more arguments than it looks at.
CALLBACK: Final = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)

# How wasmtime-py's trampoline calls the trap that it makes of an exception, as a line of the text of the failure.
_RAISED: Final = re.compile(r"^\s*(\d+: )?python exception$", re.MULTILINE)
_MOST_PAGES: Final = 65_536
# As wasmtime says it of its own accord.
_INTERRUPTED: Final = b"wasm trap: interrupt"
_FAR_TICKS: Final = 1 << 62

# (module (import "p" "f" (func (param i32 i64 f64) (result i64))) (memory (export "memory") 1)
#  (func (export "r") (result i64) i32.const -2 i64.const -3 f64.const 0.5 call 0))
_PROBE: Final = bytes.fromhex(
    "0061736d01000000010c0260037f7e7c017e6000017e020701017001660000030201010503010001070e02066d656d6f7279020001720001"
    "0a13011100417e427d44000000000000e03f10000b"
)


class Native:
    """wasmtime's C functions that the bridge needs, with their types.

    Addresses are plain integers. Nothing here checks a pointer: callers pass those of live stores only.
    """

    def __init__(self, ffi: Any) -> None:
        """Bind the functions.

        Args:
            ffi: wasmtime-py's bindings.

        Raises:
            AttributeError: If a function is not there.
        """
        void, size = ctypes.c_void_p, ctypes.c_size_t

        def bind(name: str, result: Any, *params: Any, gil: bool = True) -> Any:
            # A function object of our own: the package's share their argument types with its bindings. Short calls
            # keep the interpreter lock:
            # releasing and taking it costs more than they do.
            kind = ctypes.PYFUNCTYPE if gil else ctypes.CFUNCTYPE
            return kind(result, *params)((name, ffi.dll))

        self._func_t = ffi.wasmtime_func_t
        self.caller_context = bind("wasmtime_caller_context", void, void)
        self.memory_data = bind("wasmtime_memory_data", void, void, void)
        self.memory_data_size = bind("wasmtime_memory_data_size", size, void, void)
        self._caller_export = bind("wasmtime_caller_export_get", ctypes.c_bool, void, ctypes.c_char_p, size, void)
        self._trap_new = bind("wasmtime_trap_new", size, ctypes.c_char_p, size)
        self._error_new = bind("wasmtime_error_new", size, ctypes.c_char_p)
        self._func_new = bind("wasmtime_func_new_unchecked", None, void, void, void, void, void, void)
        self._linker_define = bind(
            "wasmtime_linker_define_func_unchecked",
            void, void, ctypes.c_char_p, size, ctypes.c_char_p, size, void, void, void, void,
        )  # fmt: skip
        self._func_call = bind("wasmtime_func_call_unchecked", void, void, void, void, size, void, gil=False)
        self._idle = CALLBACK(_do_nothing)
        self.space = memoryview((ctypes.c_char * sys.maxsize).from_address(0))
        """The address space. A struct reads all of a call's arguments out of it in one step, where they lie."""

    @classmethod
    def load(cls) -> Native | None:
        """Bind and try everything; None, and a log line that says what failed, if something does not work."""
        try:
            from wasmtime import _ffi

            native = cls(_ffi)
            native._try()
        except Exception as error:  # whatever a future release changes
            _logger.info(
                "wasmtime %s is bound by its public API, which makes telemetry calls slower: %s",
                version("wasmtime"),
                error,
            )
            return None
        return native

    def _try(self) -> None:
        """Run a module that calls back, and compare what arrives with what must."""
        seen: list[object] = []

        def callback(env: int, caller: int, at: int) -> int:
            item = self.caller_memory(caller, "memory")
            context = self.caller_context(caller)
            if item is not None:
                seen.append(self.memory_data_size(context, ctypes.addressof(item)))
            seen.extend((env, *struct.unpack_from("<I12xq8xd", self.space, at)))
            struct.pack_into("<q", self.space, at, -5)
            return 0

        raw = CALLBACK(callback)
        store = wasmtime.Store(wasmtime.Engine())
        kind = wasmtime.FuncType(
            [wasmtime.ValType.i32(), wasmtime.ValType.i64(), wasmtime.ValType.f64()], [wasmtime.ValType.i64()]
        )
        func = self.func(store, kind, raw, 7)
        instance = wasmtime.Instance(store, wasmtime.Module(store.engine, _PROBE), [func])
        export = instance.exports(store)["r"]
        assert isinstance(export, wasmtime.Func)
        values = (ctypes.c_int64 * 8)()
        self.call(store, export, values)
        owned = {0}
        reference = weakref.ref(owned)
        self.hold(store_address(store), owned)
        del owned
        is_held = reference() is not None
        store.close()
        if not is_held or reference() is not None:
            raise RuntimeError("an object that a store owns did not go with it")
        expected = [65536, 7, 0xFFFFFFFE, -3, 0.5]
        if seen != expected or values[0] != -5:
            raise RuntimeError(f"unchecked calls: expected {expected} and -5, got {seen} and {values[0]}")

    def func(self, store: wasmtime.Store, kind: wasmtime.FuncType, callback: Any, env: int) -> wasmtime.Func:
        """Make a host function in a store.

        Args:
            store: Where it lives.
            kind: Its type.
            callback: A `CALLBACK`, kept alive by the caller as long as the store.
            env: What it gets as its first argument; not 0, which ctypes turns into None.
        """
        return wasmtime.Func._from_raw(self._func(store._context(), kind, callback, env, None))

    def _func(self, context: Any, kind: wasmtime.FuncType, callback: Any, env: int, finalizer: Any) -> Any:
        raw = self._func_t()
        # Pointer and function objects are as good as addresses here, and a cast costs more than the call.
        self._func_new(context, kind.ptr(), callback, env, finalizer, ctypes.addressof(raw))
        return raw

    def hold(self, context: int, owned: object) -> None:
        """Have a store own an object, which is let go when the store goes.

        It is what wasmtime-py does with the Python function of a `wasmtime.Func`.

        Args:
            context: Address of the store's context.
            owned: The object.
        """
        from wasmtime import _func

        # A type belongs to the engine that it is first used with: not to be kept.
        kind = wasmtime.FuncType([], [])
        self._func(context, kind, self._idle, _own(owned), _func.finalize)

    def define(
        self, linker: wasmtime.Linker, module: str, name: str, kind: wasmtime.FuncType, callback: Any, owned: object
    ) -> None:
        """Define a host function in a linker; see `func`.

        Args:
            linker: The linker.
            module: The function's module.
            name: The function's name.
            kind: Its type.
            callback: A `CALLBACK`.
            owned: An object that the function owns, and so the linker and all stores that it links. It keeps the
                callback alive.

        Raises:
            wasmtime.WasmtimeError: If the name is taken.
        """
        from wasmtime import _ffi, _func

        raw_module, raw_name = module.encode(), name.encode()
        error = self._linker_define(
            ctypes.cast(linker.ptr(), ctypes.c_void_p),
            raw_module,
            len(raw_module),
            raw_name,
            len(raw_name),
            ctypes.cast(kind.ptr(), ctypes.c_void_p),
            ctypes.cast(callback, ctypes.c_void_p),
            _own(owned),
            ctypes.cast(_func.finalize, ctypes.c_void_p),
        )
        if error:
            raise wasmtime.WasmtimeError._from_ptr(ctypes.cast(error, ctypes.POINTER(_ffi.wasmtime_error_t)))

    def call(self, store: wasmtime.Store, func: wasmtime.Func, values: Any) -> int | None:
        """Call a function with raw values, from a callback.

        Args:
            store: Its store.
            func: The function.
            values: An array of int64, two for each value; results replace arguments.

        Returns:
            The address of the trap, for the callback to return, if it trapped.

        Raises:
            wasmtime.WasmtimeError: If it failed otherwise.
        """
        from wasmtime import _ffi

        trap = ctypes.c_void_p()
        error = self._func_call(
            store_address(store),
            ctypes.addressof(func._func),
            ctypes.addressof(values),
            len(values) // 2,
            ctypes.addressof(trap),
        )
        if error:
            raise wasmtime.WasmtimeError._from_ptr(ctypes.cast(error, ctypes.POINTER(_ffi.wasmtime_error_t)))
        return trap.value

    @staticmethod
    def is_raised(failure: Exception) -> bool:
        """Whether a call failed because a host function raised, so that wasmtime-py keeps what it did."""
        return _RAISED.search(str(failure)) is not None

    def prepare(self, store: wasmtime.Store, func: wasmtime.Func, values: Any) -> tuple[Any, ...]:
        """Gather the arguments of `run`, so that nothing but the call lies between two looks at a clock.

        Args:
            store: Its store.
            func: The function.
            values: An array of int64, two for each value; results replace arguments.

        Raises:
            ValueError: If the store is closed.
        """
        trap = ctypes.c_void_p()
        # A pointer object is as good as an address here, and cheaper to come by.
        return store._context(), ctypes.addressof(func._func), values, len(values) // 2, ctypes.byref(trap), trap

    def run(self, prepared: tuple[Any, ...]) -> int | None:
        """Call what was prepared; gives what `check` wants."""
        error: int | None = self._func_call(*prepared[:5])
        return error

    def check(self, prepared: tuple[Any, ...], error: int | None) -> None:
        """Raise what `wasmtime.Func` would, if the call failed.

        Args:
            prepared: What `prepare` gave.
            error: What `run` gave.
        """
        trap = prepared[5].value
        if not error and not trap:
            return
        from wasmtime import _ffi

        failure: Exception
        if error:
            failure = wasmtime.WasmtimeError._from_ptr(ctypes.cast(error, ctypes.POINTER(_ffi.wasmtime_error_t)))
        else:
            failure = wasmtime.Trap._from_ptr(ctypes.cast(trap, ctypes.POINTER(_ffi.wasm_trap_t)))
        self.raise_failure(failure)

    def raise_failure(self, failure: Exception) -> NoReturn:
        """Raise what a call or an instantiation failed with, or what a host function raised that failed it."""
        from wasmtime import _func

        # wasmtime-py keeps the exception that a host function raised in one place for all threads. It is this call's
        # only if that is what failed it.
        if self.is_raised(failure):
            _func.maybe_raise_last_exn()
        raise failure

    def trap(self, message: str) -> int:
        """Make a trap for a callback to return."""
        raw = message.encode("utf-8", "replace")
        address: int = self._trap_new(raw, len(raw))
        return address

    def caller_memory(self, caller: int, name: str) -> Any | None:
        """Look a memory up among the exports of the calling instance; a wasmtime_memory_t or None."""
        from wasmtime import _ffi

        item = _ffi.wasmtime_extern_t()
        raw = name.encode()
        if not self._caller_export(caller, raw, len(raw), ctypes.addressof(item)):
            return None
        kind: Any = item.kind
        return item.of.memory if kind == _ffi.WASMTIME_EXTERN_MEMORY.value else None

    def public_memory(self, caller: int, name: str) -> wasmtime.Memory | None:
        """Look a memory up as `caller_memory` does, for the public API."""
        item = self.caller_memory(caller, name)
        if item is None:
            return None
        # A copy: what was given is part of something that goes.
        return wasmtime.Memory._from_raw(item.__class__.from_buffer_copy(item))

    def is_fixed(self, engine: wasmtime.Engine) -> bool:
        """Find out whether an engine's 32-bit memories stay where they are when they grow.

        They do if the engine reserves all the address space that a memory can grow to, which is the default. A
        memory is grown to the most there
        is and its address compared; no page of it is touched. If it cannot grow that far, nothing is known.
        """
        with wasmtime.Store(engine) as store:
            try:
                memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(1, None)))
                context, address = store_address(store), ctypes.addressof(memory._memory)
                before = self.memory_data(context, address)
                memory.grow(store, _MOST_PAGES - 1)
            except wasmtime.WasmtimeError:
                return False
            is_same: bool = self.memory_data(context, address) == before
            return is_same

    def on_epoch(
        self,
        store: wasmtime.Store,
        ticks: int,
        callback: Callable[[int], bool],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Have a function called whenever a store's epoch deadline is reached, instead of ending the guest.

        Args:
            store: The store. Its next deadline is so many ticks away.
            ticks: How many ticks of the engine's epoch to the next deadline, each time.
            callback: Gets the address of the store's context, and says whether the guest may go on; if not, it is
                interrupted as by a deadline, which has passed then for what runs next, too. The deadline is far away
                while it runs.
            failed: Is told what the callback or a signal's handler raised; the guest is then interrupted.
        """
        from wasmtime import _ffi

        u64, u8 = ctypes.c_uint64, ctypes.c_uint8
        error_new, text = self._error_new, _INTERRUPTED

        def reached(context: int, _data: int, ticks_at: int, kind_at: int) -> int:
            try:
                set_deadline(context, _FAR_TICKS)
                if callback(context):
                    u64.from_address(ticks_at).value = ticks
                    u8.from_address(kind_at).value = 0
                    return 0
                set_deadline(context, 0)
                error: int = error_new(text)
                return error
            except BaseException as raised:
                # A signal may arrive here, too. Then this is called again at the next look at the epoch.
                try:
                    failed(raised)
                    set_deadline(context, 0)
                    error = error_new(text)
                except BaseException:
                    error = 0
                return error

        void = ctypes.c_void_p
        dll: Any = _ffi.dll
        set_deadline = ctypes.PYFUNCTYPE(None, void, u64)(("wasmtime_context_set_epoch_deadline", dll))
        kind = ctypes.CFUNCTYPE(ctypes.c_size_t, void, void, void, void)
        raw = kind(shielded(reached))
        set_callback = ctypes.PYFUNCTYPE(None, void, kind, void, void)(("wasmtime_store_epoch_deadline_callback", dll))
        self.hold(store_address(store), raw)
        set_callback(ctypes.cast(store.ptr(), void), raw, None, None)
        store.set_epoch_deadline(ticks)

    def memory_address(self, memory: wasmtime.Memory) -> Any:
        """Give the wasmtime_memory_t of a memory."""
        return memory._memory


def _do_nothing(_env: int, _caller: int, _at: int) -> int:
    return 0


def bytes_at(address: int, size: int) -> GuestBytes:
    """Give bytes anywhere. They must not be touched after the memory moved or went."""
    # Of all that Python has, a slice of a ctypes array is the quickest way to a copy.
    return cast("GuestBytes", (ctypes.c_char * size).from_address(address))


def _own(owned: object) -> int:
    """Put an object where wasmtime-py keeps those that functions own; gives its number there."""
    module: Any = importlib.import_module("wasmtime._func")
    number: int = module.FUNCTIONS.allocate((owned,))
    return number


def store_address(store: wasmtime.Store) -> int:
    """Give the address of a store's context.

    Raises:
        ValueError: If the store is closed.
    """
    # Nothing there is looked at: a cast gives the same and takes six times as long.
    return ctypes.addressof(store._context().contents)


def take_func(target: wasmtime.Func, source: wasmtime.Func) -> None:
    """Let an instance of a subclass stand for the same function."""
    target._func = source._func


def take_instance(target: wasmtime.Instance, source: wasmtime.Instance) -> None:
    """Let an instance of a subclass stand for the same instance."""
    target._instance = source._instance
    # They may have been looked at, which takes as long as making the instance.
    target._exports = source._exports


def value_type_name(kind: wasmtime.ValType) -> str:
    """Name a value type: ``i32``, ``i64``, ``f32``, ``f64``, or ``other``.

    Not by ``str``: it calls ``wasm_valtype_kind``, which ends the process on a vector or a reference that the C API has
    no number for, and any module can have such a type in its imports and exports.
    """
    from wasmtime import _ffi

    try:
        equal = _ffi.wasmtime_wasm_valtype_equal
    except AttributeError:  # a release that does without it
        return str(kind)
    for make in (wasmtime.ValType.i32, wasmtime.ValType.i64, wasmtime.ValType.f32, wasmtime.ValType.f64):
        number = make()
        if equal(kind.ptr(), number.ptr()):
            return str(number)
    return "other"
