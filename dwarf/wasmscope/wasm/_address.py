"""Addresses in a module's code, each with what it counts from."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

__all__ = ["Address", "AddressKind"]


class AddressKind(Enum):
    """What an address counts from. The same number of another kind is a plausible wrong answer."""

    FILE = "file"
    """The first byte of the file: what wasmtime, V8, Firefox and ``wasm-tools addr2line`` print. For a component, the
    component's file."""
    CODE = "code"
    """The first byte of the code section's contents (its count of functions): what DWARF and llvm-symbolizer use.

    Source: https://yurydelendik.github.io/webassembly-dwarf/#pc
    """
    FUNC = "func"
    """The first byte of the function's body (its vector of locals, after the body's size): what core dumps use.

    Source: https://github.com/WebAssembly/tool-conventions/blob/main/Coredump.md
    """


class Address(NamedTuple):
    """A place in a module's code.

    Attributes:
        kind: What it counts from.
        offset: How far from there, in bytes.
        function: Index of the function, imported ones counted first; None if it is to be found from the offset.
            Always known if the kind is `AddressKind.FUNC`.
    """

    kind: AddressKind
    offset: int
    function: int | None = None
