"""What is known about a place in a module's code."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from wasmscope.wasm import Address

__all__ = ["Frame", "Origin", "Place"]


class Origin(Enum):
    """Who said so, the most trustworthy first."""

    DWARF = "dwarf"
    """DWARF sections in the module itself."""
    DEBUG_FILE = "debug-file"
    """DWARF in a separate file, found by name, ``external_debug_info`` or build id."""
    SPLIT_DWARF = "split-dwarf"
    """A ``.dwo`` file or a ``.dwp`` package."""
    SOURCE_MAP = "source-map"
    NAMES = "names"
    """The name section."""
    EXPORTS = "exports"
    """The name under which the function is exported."""
    IMPORTS = "imports"
    """The name under which the function is imported."""
    INDEX = "index"
    """Nobody: there is the function's number and nothing else."""


class Frame(NamedTuple):
    """One source-level function at a place in the code.

    Attributes:
        function: Its name as its author wrote it (demangled); None if nobody knows it.
        linkage_name: Its name as the linker knows it; None if there is no other than `function`.
        function_index: Index of the WebAssembly function whose body holds the code, imported ones counted first;
            None if the place is in no function.
        file: Path of the source file as the compiler wrote it, joined with its folder; None if unknown.
        line: Line, from 1; None if unknown.
        column: Column, from 1; None if unknown.
        is_inlined: Whether it has no body of its own here: the next frame is the one that it was inlined into.
        origin: Who said so.
    """

    function: str | None
    linkage_name: str | None
    function_index: int | None
    file: str | None
    line: int | None
    column: int | None
    is_inlined: bool
    origin: Origin


class Place(NamedTuple):
    """An address and what it means.

    Attributes:
        address: As it was asked for.
        code_offset: The same as an offset in the code section's contents; None if it is in no code.
        frames: From the innermost inlined function to the one that has the body; never empty for a place inside a
            function, else empty.
        note: Why there is no answer, or not the whole one, in a few words; None if nothing is to be said.
    """

    address: Address
    code_offset: int | None
    frames: tuple[Frame, ...]
    note: str | None = None
