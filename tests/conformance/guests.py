"""The guests that implement the scenarios, one for each way to speak the ABI."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import wasmtime

__all__ = ["GUESTS", "Guest", "engine", "module"]

_TESTS = Path(__file__).parents[1]
_ADDRESS_TYPE = "(;p;)i32"


@dataclass(frozen=True, slots=True)
class Guest:
    """One implementation of the scenarios.

    Attributes:
        name: For the tests' names.
        path: Text or binary, relative to ``tests/guests``.
        panic: What it calls its own failure: the ``exception.type`` that it reports before it traps.
        is_memory64: Whether the text is compiled for a 64-bit memory.
    """

    name: str
    path: str
    panic: str
    is_memory64: bool = False


GUESTS = (
    Guest("wat", "wat/conformance.wat", "panic"),
    Guest("wat-memory64", "wat/conformance.wat", "panic", is_memory64=True),
    Guest("rust", "rust/conformance.wasm", "panic"),
    Guest("assemblyscript", "assemblyscript/conformance.wasm", "abort"),
)


@functools.cache
def engine() -> wasmtime.Engine:
    """Give the engine that all tests share."""
    return wasmtime.Engine()


@functools.cache
def module(guest: Guest) -> wasmtime.Module:
    """Compile a guest."""
    path = _TESTS / "guests" / guest.path
    if path.suffix == ".wasm":
        return wasmtime.Module(engine(), path.read_bytes())
    text = path.read_text(encoding="utf-8")
    assert _ADDRESS_TYPE in text
    return wasmtime.Module(engine(), text.replace(_ADDRESS_TYPE, "i64") if guest.is_memory64 else text)
