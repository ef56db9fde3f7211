"""The engine's WebAssembly module, running: the only place in `wasmscope.dwarf` that knows wasmtime.

``import wasmtime`` takes 40 ms, most of it for binding functions that nobody here calls. The same library, loaded by
ctypes and asked for 19 functions of its C API (https://docs.wasmtime.dev/c-api/), is ready in 2 ms. Where that does not
work, because a future release keeps its library elsewhere or changes a function, the public Python API does the same.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any, Final, Protocol

from wasmscope.dwarf._engine_cache import EngineCache
from wasmscope.errors import DebugInfoError

__all__ = ["LeanRuntime", "PublicRuntime", "Runtime", "RuntimeUnavailableError", "start"]

_EXPORTS: Final = ("alloc", "section", "open", "lookup", "report")
_LIBRARIES: Final = ("_libwasmtime.so", "_libwasmtime.dylib", "_wasmtime.dll")
_FUNC: Final = 0
_MEMORY: Final = 3
# A wasmtime_extern_t is a byte and, 8 bytes in, a union of 24 bytes; more room than that does no harm.
_EXTERN_BYTES: Final = 64
_OF: Final = 8


class RuntimeUnavailableError(Exception):
    """wasmtime is not there, or not as we know it."""


class Runtime(Protocol):
    """An instance of the engine's module."""

    def call(self, name: str, fuel: int, *arguments: int) -> int:
        """Call an export.

        Args:
            name: Its name.
            fuel: How many instructions it may run.
            *arguments: Its arguments.

        Raises:
            DebugInfoError: If it trapped: it ran out of fuel, memory or stack. Nothing else can be called then.
        """
        ...

    def memory(self) -> memoryview:
        """Give its memory. What it gives must not be used after the next `call` or `close`."""
        ...

    def close(self) -> None:
        """Free everything."""
        ...


def start(code: bytes, memory_bytes: int, cache: EngineCache) -> Runtime:
    """Start the engine.

    Args:
        code: The engine's module.
        memory_bytes: How large its memory may grow.
        cache: Where its compiled form is kept.

    Raises:
        DebugInfoError: If there is no wasmtime that works.
    """
    try:
        return LeanRuntime(code, memory_bytes, cache)
    except RuntimeUnavailableError as lean:
        try:
            return PublicRuntime(code, memory_bytes, cache)
        except (ImportError, RuntimeUnavailableError) as error:
            raise DebugInfoError(
                f"DWARF cannot be read, because wasmtime does not work: {error} ({lean}); try: pip install -U wasmtime"
            ) from None


def _trapped(message: str) -> DebugInfoError:
    cause = message.strip().rpartition("wasm trap: ")[2].splitlines()
    return DebugInfoError(
        f"the debug information is broken or too large: reading it failed ({cause[0] if cause else 'no message'}); "
        "see `wasmscope doctor`"
    )


class LeanRuntime:
    """Through the C API, without importing wasmtime."""

    def __init__(self, code: bytes, memory_bytes: int, cache: EngineCache) -> None:
        """Make an engine, a store and an instance.

        Raises:
            RuntimeUnavailableError: If the library is not there, or lacks a function.
        """
        self._frees: list[Callable[[], object]] = []
        path = _find_library()
        try:
            self._dll: Any = ctypes.CDLL(path)
            self._bind()
        except (OSError, AttributeError) as error:
            raise RuntimeUnavailableError(f"{path}: {error}") from None
        try:
            self._start(code, memory_bytes, cache, path)
        except BaseException:
            self.close()
            raise

    def _bind(self) -> None:
        pointer, size, flag, u64 = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_bool, ctypes.c_uint64
        text, i64 = ctypes.c_char_p, ctypes.c_int64

        def bind(name: str, result: Any, *parameters: Any) -> Any:
            return ctypes.CFUNCTYPE(result, *parameters)((name, self._dll))

        self._config_new = bind("wasm_config_new", pointer)
        self._config_fuel = bind("wasmtime_config_consume_fuel_set", None, pointer, flag)
        self._engine_new = bind("wasm_engine_new_with_config", pointer, pointer)
        self._engine_delete = bind("wasm_engine_delete", None, pointer)
        self._store_new = bind("wasmtime_store_new", pointer, pointer, pointer, pointer)
        self._store_delete = bind("wasmtime_store_delete", None, pointer)
        self._store_context = bind("wasmtime_store_context", pointer, pointer)
        self._store_limiter = bind("wasmtime_store_limiter", None, pointer, i64, i64, i64, i64, i64)
        self._set_fuel = bind("wasmtime_context_set_fuel", pointer, pointer, u64)
        self._module_new = bind("wasmtime_module_new", pointer, pointer, text, size, pointer)
        self._module_load = bind("wasmtime_module_deserialize", pointer, pointer, text, size, pointer)
        self._module_save = bind("wasmtime_module_serialize", pointer, pointer, pointer)
        self._module_delete = bind("wasmtime_module_delete", None, pointer)
        self._instance_new = bind("wasmtime_instance_new", pointer, pointer, pointer, pointer, size, pointer, pointer)
        self._export_get = bind("wasmtime_instance_export_get", flag, pointer, pointer, text, size, pointer)
        self._call = bind("wasmtime_func_call_unchecked", pointer, pointer, pointer, pointer, size, pointer)
        self._memory_data = bind("wasmtime_memory_data", pointer, pointer, pointer)
        self._memory_size = bind("wasmtime_memory_data_size", size, pointer, pointer)
        self._bytes_delete = bind("wasm_byte_vec_delete", None, pointer)
        self._error_message = bind("wasmtime_error_message", None, pointer, pointer)
        self._error_delete = bind("wasmtime_error_delete", None, pointer)
        self._trap_message = bind("wasm_trap_message", None, pointer, pointer)
        self._trap_delete = bind("wasm_trap_delete", None, pointer)

    def _start(self, code: bytes, memory_bytes: int, cache: EngineCache, path: str) -> None:
        config = self._config_new()
        self._config_fuel(config, True)
        engine = self._own(self._engine_new(config), self._engine_delete)
        module = ctypes.c_void_p()
        key = cache.key(code, f"lean {_release(os.path.dirname(os.path.dirname(path)))}")
        compiled = cache.load(key)
        # What another wasmtime or processor made is refused by wasmtime.
        if compiled is None or self._failure(self._module_load(engine, compiled, len(compiled), ctypes.byref(module))):
            if problem := self._failure(self._module_new(engine, code, len(code), ctypes.byref(module))):
                raise RuntimeUnavailableError(problem)
            saved = _Bytes()
            if not self._failure(self._module_save(module, ctypes.byref(saved))):
                cache.save(key, saved.take(self._bytes_delete))
        self._own(module.value, self._module_delete)
        store = self._own(self._store_new(engine, None, None), self._store_delete)
        self._context = self._store_context(store)
        self._store_limiter(store, memory_bytes, -1, -1, -1, -1)
        # It has a memory of its own to fill.
        self._fuel(1_000_000)
        instance = (ctypes.c_uint64 * 8)()
        trap = ctypes.c_void_p()
        error = self._instance_new(self._context, module, None, 0, ctypes.byref(instance), ctypes.byref(trap))
        problem = self._failure(error) or self._trap(trap)
        if problem:
            raise RuntimeUnavailableError(problem)
        self._externs = {name: self._export(instance, name, _FUNC) for name in _EXPORTS}
        self._memory = self._export(instance, "memory", _MEMORY)

    def _own(self, address: int | None, free: Any) -> int:
        if not address:
            raise RuntimeUnavailableError("wasmtime has no memory left")
        self._frees.append(lambda: free(address))
        return address

    def _export(self, instance: Any, name: str, kind: int) -> Any:
        item = (ctypes.c_uint8 * _EXTERN_BYTES)()
        raw = name.encode()
        if not self._export_get(self._context, ctypes.byref(instance), raw, len(raw), item) or item[0] != kind:
            raise RuntimeUnavailableError(f"the engine has no {name}")
        return item

    def _fuel(self, amount: int) -> None:
        if problem := self._failure(self._set_fuel(self._context, amount)):
            raise RuntimeUnavailableError(problem)

    def _failure(self, error: int | None) -> str:
        """Say what an error is about, and free it."""
        if not error:
            return ""
        message = _Bytes()
        self._error_message(error, ctypes.byref(message))
        self._error_delete(error)
        return message.take(self._bytes_delete).decode("utf-8", "replace")

    def _trap(self, trap: Any) -> str:
        if not trap.value:
            return ""
        message = _Bytes()
        self._trap_message(trap, ctypes.byref(message))
        self._trap_delete(trap)
        return message.take(self._bytes_delete).rstrip(b"\0").decode("utf-8", "replace")

    def call(self, name: str, fuel: int, *arguments: int) -> int:
        """Call an export; see `Runtime.call`."""
        self._fuel(fuel)
        # Values are 16 bytes each; of an i32 the low half of the first 8 counts.
        values = (ctypes.c_uint64 * (2 * max(len(arguments), 1)))()
        for number, argument in enumerate(arguments):
            values[2 * number] = argument
        trap = ctypes.c_void_p()
        func = ctypes.byref(self._externs[name], _OF)
        error = self._call(self._context, func, values, len(values) // 2, ctypes.byref(trap))
        problem = self._failure(error) or self._trap(trap)
        if problem:
            raise _trapped(problem)
        result: int = values[0] & 0xFFFFFFFF
        return result

    def memory(self) -> memoryview:
        """Give its memory; see `Runtime.memory`."""
        item = ctypes.byref(self._memory, _OF)
        address = self._memory_data(self._context, item)
        size = self._memory_size(self._context, item)
        return memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")

    def close(self) -> None:
        """Free everything."""
        while self._frees:
            self._frees.pop()()

    def __del__(self) -> None:
        # Python knows nothing of this memory, and cannot free it.
        self.close()


class _Bytes(ctypes.Structure):
    """A wasm_byte_vec_t."""

    _fields_ = (("size", ctypes.c_size_t), ("data", ctypes.c_void_p))

    def take(self, free: Any) -> bytes:
        data = ctypes.string_at(self.data, self.size) if self.size else b""
        free(ctypes.byref(self))
        return data


def _find_library() -> str:
    """Find the library in the wasmtime package, which is not imported for it."""
    for finder in sys.meta_path:
        spec = finder.find_spec("wasmtime", None) if hasattr(finder, "find_spec") else None
        if spec is None:
            continue
        for folder in spec.submodule_search_locations or ():
            # The package has one folder with a library: that of the machine it was made for.
            for entry in sorted(os.listdir(folder)):
                for name in _LIBRARIES:
                    path = os.path.join(folder, entry, name)
                    if os.path.exists(path):
                        return path
        raise RuntimeUnavailableError("the wasmtime package has no library where one is expected")
    raise RuntimeUnavailableError("the wasmtime package is not installed")


def _release(package: str) -> str:
    """Tell a release of wasmtime from others, by the folder of the package; importlib.metadata takes 10 ms for that."""
    for name in os.listdir(os.path.dirname(package)):
        if name.startswith("wasmtime-") and name.endswith(".dist-info"):
            return name
    return str(os.stat(package).st_mtime_ns)


class PublicRuntime:
    """Through wasmtime's Python API."""

    def __init__(self, code: bytes, memory_bytes: int, cache: EngineCache) -> None:
        """Make an engine, a store and an instance.

        Raises:
            ImportError: If wasmtime is not installed.
            RuntimeUnavailableError: If it does not work.
        """
        import wasmtime

        self._wasmtime = wasmtime
        config = wasmtime.Config()
        config.consume_fuel = True
        engine = wasmtime.Engine(config)
        self._store = wasmtime.Store(engine)
        self._store.set_limits(memory_size=memory_bytes)
        self._store.set_fuel(1_000_000)
        key = cache.key(code, f"public {_release(os.path.dirname(os.path.abspath(wasmtime.__file__)))}")
        try:
            instance = wasmtime.Instance(self._store, _public_module(wasmtime, engine, code, cache, key), [])
        except wasmtime.WasmtimeError as error:
            raise RuntimeUnavailableError(str(error)) from None
        self._exports: Any = instance.exports(self._store)

    def call(self, name: str, fuel: int, *arguments: int) -> int:
        """Call an export; see `Runtime.call`."""
        self._store.set_fuel(fuel)
        # It takes what is written as signed.
        signed = [value - (1 << 32) if 1 << 31 <= value < 1 << 32 else value for value in arguments]
        try:
            result = self._exports[name](self._store, *signed)
        except (self._wasmtime.Trap, self._wasmtime.WasmtimeError) as error:
            raise _trapped(str(error)) from None
        return 0 if result is None else int(result) & 0xFFFFFFFF

    def memory(self) -> memoryview:
        """Give its memory; see `Runtime.memory`."""
        return memoryview(self._exports["memory"].get_buffer_ptr(self._store)).cast("B")

    def close(self) -> None:
        """Free everything."""
        self._store.close()


def _public_module(wasmtime: Any, engine: Any, code: bytes, cache: EngineCache, key: str) -> Any:
    compiled = cache.load(key)
    if compiled is not None:
        try:
            return wasmtime.Module.deserialize(engine, compiled)
        except wasmtime.WasmtimeError:
            pass  # made by another wasmtime or processor
    module = wasmtime.Module(engine, code)
    cache.save(key, bytes(module.serialize()))
    return module
