"""Guests in WAT whose ABI calls are made from Python, through real WebAssembly."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import wasmtime

from tests.support import packing
from tests.support.abi import functions, wat_type
from wasmscope.host_shim import Bridge

__all__ = ["PAGE", "Guest", "abi_imports", "compiled", "engine"]

PAGE = 65_536
Attrs = Mapping[str, Any] | Iterable[tuple[str | packing.Field, Any]] | bytes


@functools.cache
def engine() -> wasmtime.Engine:
    """Give an engine of the default configuration, shared by tests: compiled modules are kept."""
    return wasmtime.Engine()


@functools.cache
def compiled(text: str) -> wasmtime.Module:
    """Compile WAT once for the shared engine."""
    return wasmtime.Module(engine(), text)


def abi_imports(*names: str, memory64: bool = False) -> str:
    """Give the WAT of imports of ABI functions, as ``$name``; of all if none is named."""
    lines: list[str] = []
    for name in names or functions():
        params, result = functions()[name]
        kind = f"(param {wat_type(params, memory64=memory64)})"
        if result:
            kind += f" (result {wat_type(result, memory64=memory64)})"
        lines.append(f'(import "wasmscope_v1" "{name}" (func ${name} {kind}))')
    return "\n".join(lines)


@functools.cache
def _trampolines(memory64: bool, pages: int, extra: str) -> str:
    """A module that re-exports each ABI function, and calls back to Python in the middle of a call."""
    lines: list[str] = []
    for name, (params, result) in functions().items():
        kind = f"(param {wat_type(params, memory64=memory64)})"
        if result:
            kind += f" (result {wat_type(result, memory64=memory64)})"
        gets = " ".join(f"(local.get {index})" for index in range(len(params)))
        lines.append(f'(func (export "{name}") {kind} (call ${name} {gets}))')
    p = "i64" if memory64 else "i32"
    return f"""(module
        {abi_imports(memory64=memory64)}
        (import "test" "body" (func $body))
        (memory (export "memory") {"i64" if memory64 else ""} {pages})
        (func (export "run") (call $body))
        (func (export "run_then_trap") (call $body) unreachable)
        (func (export "grow") (param {p}) (result {p}) (memory.grow (local.get 0)))
        {" ".join(lines)}
        {extra})"""


class Guest:
    """An instance whose ABI calls are made by Python code.

    `run` makes a call through the bridge; in it, the guest calls back, and the code given makes ABI calls by `abi` or
    by the methods here: these go through exports of the instance that are called directly, so that they belong to the
    call that `run` made.
    """

    def __init__(
        self,
        bridge: Bridge,
        *,
        memory64: bool = False,
        pages: int = 2,
        name: str = "guest",
        version: str | None = None,
        tenant: str | None = None,
        store: wasmtime.Store | None = None,
        module: wasmtime.Module | None = None,
        extra: str = "",
        known_host: bool = True,
    ) -> None:
        """Instantiate.

        Args:
            bridge: The bridge.
            memory64: Whether it has a 64-bit memory.
            pages: Size of its memory.
            name: As for `Bridge.instantiate`.
            version: As for `Bridge.instantiate`.
            tenant: As for `Bridge.instantiate`.
            store: Where to instantiate; None for a store of its own.
            module: The module, if not the usual one.
            extra: More fields of the usual module.
            known_host: Whether the bridge knows the function that runs the Python code.
        """
        self.bridge = bridge
        self.memory64 = memory64
        self.store = wasmtime.Store(engine()) if store is None else store
        text = _trampolines(memory64, pages, extra)
        self.module = module or (
            compiled(text) if self.store.engine is engine() else wasmtime.Module(self.store.engine, text)
        )
        self.linker = (
            bridge.linker(self.store.engine) if known_host else wasmtime.Linker(self.store.engine)
        )  # fmt: skip
        # The linker's function must not keep the linker.
        bodies: list[tuple[Callable[[], Any], ...]] = []
        self._bodies = bodies
        self.linker.define_func("test", "body", wasmtime.FuncType([], []), lambda: _run(bodies[-1]))
        self.instance = bridge.instantiate(
            self.linker, self.store, self.module, name=name, version=version, tenant=tenant
        )
        self._take_raw()

    def _take_raw(self) -> None:
        raw = wasmtime.Instance.exports(self.instance, self.store)
        self._raw = {key: item for key, item in raw.items() if isinstance(item, wasmtime.Func)}
        memory = raw["memory"]
        assert isinstance(memory, wasmtime.Memory)
        self.memory = memory
        self._top = 1024

    # Calls.

    def run(self, *bodies: Callable[[], Any], export: str = "run") -> None:
        """Call the guest through the bridge; in the middle of it, run Python code."""
        self._bodies.append(bodies)
        try:
            self.instance.call(export)
        finally:
            self._bodies.pop()

    def abi(self, name: str, *args: float) -> Any:
        """Call an ABI function with plain numbers, taken modulo their width."""
        params, _ = functions()[name]
        wide = {"i": 32, "l": 64, "p": 64 if self.memory64 else 32}
        numbers = [
            float(arg) if kind == "d" else _signed(int(arg), wide[kind]) for kind, arg in zip(params, args, strict=True)
        ]
        return self._raw[name](self.store, *numbers)

    # Memory.

    def grow(self, pages: int) -> None:
        """Have the guest grow its memory, in the call that is running."""
        assert self._raw["grow"](self.store, pages) != -1

    def put(self, data: bytes) -> int:
        """Write bytes somewhere and give their address. What was put long before is overwritten."""
        if self._top + len(data) > self.memory.data_len(self.store):
            self._top = 1024
        address, self._top = self._top, self._top + len(data)
        self.memory.write(self.store, data, address)
        return address

    def get(self, address: int, size: int) -> bytes:
        """Read bytes."""
        return bytes(self.memory.read(self.store, address, address + size))

    def text(self, text: str | bytes) -> tuple[int, int]:
        """Write a text; its address and length."""
        raw = text.encode() if isinstance(text, str) else text
        return self.put(raw), len(raw)

    def attrs(self, given: Attrs) -> tuple[int, int]:
        """Write an attribute list; its address and length."""
        raw = given if isinstance(given, bytes) else packing.attributes(given)
        return self.put(raw), len(raw)

    # The ABI with Python values.

    def log(
        self, body: str | bytes, attrs: Attrs = (), *, severity: int = 9, callsite: int = 0, context: int = 0
    ) -> None:
        """Emit a log record."""
        self.abi("log", callsite, severity, context, *self.text(body), *self.attrs(attrs))

    def start(
        self, name: str | bytes = "", attrs: Attrs = (), *, callsite: int = 0, context: int = 0, kind: int = 0
    ) -> int:
        """Start a span."""
        handle: int = self.abi("span_start", callsite, *self.text(name), context, kind, *self.attrs(attrs))
        return handle

    def entered(self, name: str, **options: Any) -> int:
        """Start a span and enter it."""
        handle = self.start(name, **options)
        self.abi("span_enter", handle)
        return handle

    def callsite(self, descriptor: bytes) -> int:
        """Register a call site."""
        number: int = self.abi("callsite", *self.text(descriptor))
        return number

    def instrument(self, kind: int, number: int, descriptor: bytes) -> int:
        """Register an instrument."""
        found: int = self.abi("instrument", kind, number, *self.text(descriptor))
        return found

    def attribute_set(self, attrs: Attrs) -> int:
        """Register an attribute set."""
        number: int = self.abi("attribute_set", *self.attrs(attrs))
        return number

    def event(self, span: int, name: str, attrs: Attrs = ()) -> None:
        """Add an event."""
        self.abi("span_event", span, *self.text(name), *self.attrs(attrs))

    def exception(self, span: int, kind: str, message: str, stack: str = "", attrs: Attrs = ()) -> None:
        """Record an exception."""
        texts = (*self.text(kind), *self.text(message), *self.text(stack))
        self.abi("exception", span, *texts, *self.attrs(attrs))

    def rejected(self) -> dict[str, int]:
        """Give what was rejected of the guests of this bridge, by reason."""
        self.bridge.flush()
        counts: dict[str, int] = {}
        for (_, _, reason), count in self.bridge.rejected().items():
            counts[reason] = counts.get(reason, 0) + count
        return counts


def _run(bodies: Iterable[Callable[[], Any]]) -> None:
    for body in bodies:
        body()


def _signed(number: int, bits: int) -> int:
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number
