"""Memories, stores and failures of wasmtime-py, as the rest of the bridge sees them."""

from __future__ import annotations

import contextlib
import ctypes
import weakref
from collections.abc import MutableMapping
from typing import Any, Final

import wasmtime

from wasmscope.host_shim._runtime import NOTHING, GuestBytes
from wasmscope.host_shim._traps import Failure
from wasmscope.host_shim._wasmtime_ffi import Native, bytes_at, store_address

__all__ = ["RawMemory", "SlowMemory", "StoreFuel", "failure_of", "public_view"]

_TRAP_TEXT: Final = "wasm trap: "
_INTERRUPT: Final = "interrupt"


class RawMemory:
    """A memory read in place. See `wasmscope.host_shim._runtime.GuestMemory`."""

    __slots__ = ("_address", "_base", "_context", "_data", "_is_fixed", "_item", "_last", "_native", "_store", "_view")

    def __init__(self, native: Native, context: int, item: ctypes.Structure, *, is_fixed: bool = False) -> None:
        """Wrap a memory.

        Args:
            native: The C functions.
            context: Address of its store's context.
            item: Its wasmtime_memory_t.
            is_fixed: Whether it is known never to move.
        """
        self._is_fixed = is_fixed
        self._native = native
        self._data = native.memory_data
        self._context = context
        # A copy: what was given may be part of something that goes.
        self._item = type(item).from_buffer_copy(item)
        self._address = ctypes.addressof(self._item)
        self._base: int | None = -1
        self._view = NOTHING
        self._store: weakref.ref[wasmtime.Store] | None = None
        self._last = 0

    @property
    def is_fixed(self) -> bool:
        """Whether it cannot move, as `Native.is_fixed` found for its engine."""
        return self._is_fixed

    def watch(self, store: wasmtime.Store) -> None:
        """Say which store must be open for `size_bytes`."""
        self._store = weakref.ref(store)

    def view(self) -> GuestBytes:
        """Give the bytes."""
        # Asked for each time: a memory that grows may move, and does where little address space is reserved.
        if self._data(self._context, self._address) != self._base:
            return self.refreshed()
        return self._view

    def refreshed(self) -> GuestBytes:
        """Give all the bytes there are now."""
        self._base = base = self._data(self._context, self._address)
        size = self._native.memory_data_size(self._context, self._address)
        self._view = bytes_at(base, size) if size and base else NOTHING
        return self._view

    def size_bytes(self) -> int:
        """Give the size now, or the last one known if the store is closed."""
        store = None if self._store is None else self._store()
        if store is not None:
            try:
                context = store_address(store)
            except ValueError:
                return self._last
            self._last = self._native.memory_data_size(context, self._address)
        return self._last


class SlowMemory:
    """A memory read through wasmtime's public API. See `wasmscope.host_shim._runtime.GuestMemory`."""

    __slots__ = ("_last", "_memory", "_store")

    def __init__(self, store: wasmtime.Store, memory: wasmtime.Memory) -> None:
        self._store = weakref.ref(store)
        self._memory = memory
        self._last = 0

    @property
    def is_fixed(self) -> bool:
        """Whether it cannot move: the public API does not say."""
        return False

    def view(self) -> GuestBytes:
        """Give all the bytes."""
        return self.refreshed()

    def refreshed(self) -> GuestBytes:
        """Give all the bytes there are now."""
        store = self._store()
        if store is None:
            return NOTHING
        return public_view(self._memory, store)

    def size_bytes(self) -> int:
        """Give the size now, or the last one known if the store is closed."""
        store = self._store()
        if store is not None:
            with contextlib.suppress(ValueError):
                self._last = self._memory.data_len(store)
        return self._last


def public_view(memory: Any, store: wasmtime.Store | wasmtime.Caller) -> GuestBytes:
    """Give a memory's bytes by the public API."""
    buffer = memory.get_buffer_ptr(store)
    return bytes_at(ctypes.addressof(buffer), len(buffer))


class StoreFuel:
    """Fuel of a store. See `wasmscope.host_shim._runtime.GuestStore`."""

    __slots__ = ("__weakref__", "_known", "_store")

    def __init__(self, store: wasmtime.Store, known: MutableMapping[wasmtime.Engine, bool]) -> None:
        """Watch a store's fuel.

        Args:
            store: The store.
            known: Whether an engine counts fuel, as far as that is known; to ask one that does not is dear.
        """
        self._store = weakref.ref(store)
        self._known = known

    def fuel(self) -> int | None:
        """Give the fuel that is left; None where the engine does not count it or the store is gone."""
        store = self._store()
        if store is None or not self._known.get(store.engine, True):
            return None
        try:
            return store.get_fuel()
        except ValueError:  # it is closed
            return None
        except wasmtime.WasmtimeError:
            self._known[store.engine] = False
            return None


def failure_of(error: BaseException) -> Failure:
    """Describe what wasmtime raised instead of a call's result."""
    if isinstance(error, wasmtime.ExitTrap):
        return Failure("wasm.exit", f"exit code {error.code}", exit_code=error.code)
    if isinstance(error, wasmtime.Trap):
        text = error.message
        code = None
        try:
            trap_code = error.trap_code
        except ValueError:  # a code that this wasmtime-py does not know
            trap_code = None
        if trap_code is not None:
            code = trap_code.name.lower()
        return Failure("wasm.trap", _trap_message(text), code=code, stack=_backtrace(text))
    if isinstance(error, wasmtime.WasmtimeError):
        text = str(error)
        kind = "wasm.trap" if _TRAP_TEXT in text else "wasmtime.Error"
        message = _trap_message(text)
        # An epoch callback can only give an error that says so.
        code = _INTERRUPT if kind == "wasm.trap" and message == _INTERRUPT else None
        return Failure(kind, message, code=code, stack=_backtrace(text))
    return Failure.of_exception(error)


def _trap_message(text: str) -> str:
    """Take the reason out of wasmtime's text, which is a context, a backtrace, and a chain of causes."""
    at = text.rfind(_TRAP_TEXT)
    if at >= 0:
        return text[at + len(_TRAP_TEXT) :].splitlines()[0].strip()
    causes = text.rsplit("Caused by:", 1)
    lines = [line.strip() for line in causes[-1].splitlines() if line.strip()]
    if len(causes) == 1:
        return lines[0] if lines else "trap"
    # "Caused by:" is followed by the reason, indented, with a number where there are several.
    return (
        lines[-1].split(": ", 1)[1] if lines and lines[-1].split(":")[0].isdigit() else (lines[-1] if lines else "trap")
    )


def _backtrace(text: str) -> str | None:
    """Take the backtrace out of wasmtime's text."""
    _, found, rest = text.partition("wasm backtrace:\n")
    if not found:
        return None
    lines: list[str] = []
    for line in rest.splitlines():
        if not line.strip() or line.startswith("Caused by:"):
            break
        lines.append(line.strip())
    return "\n".join(lines) or None
