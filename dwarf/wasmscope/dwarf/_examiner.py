"""Finds out about a module's debug information what there is to find out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wasmscope.dwarf._debug_files import DebugFile, has_debug_info, misfit, open_debug_file
from wasmscope.dwarf._debug_info import DebugInfo, Sources, find_debug_info
from wasmscope.dwarf._examination import Examination, Fit, Link, LinkKind, SourceFiles, UnitGroup
from wasmscope.dwarf._frame import Origin
from wasmscope.dwarf._health import health
from wasmscope.dwarf._local_files import local_path
from wasmscope.errors import DebugInfoError, ModuleFormatError

if TYPE_CHECKING:
    from wasmscope.dwarf._engine import Engine
    from wasmscope.wasm import Module

__all__ = ["examine"]

_CHUNK_BYTES: Final = 1 << 20  # of code, whose rows are in memory at a time
_MOST_SOURCES: Final = 100_000
# A call or a use of a global whose operand the linker filled in: it leaves room for five bytes. A tool that decodes the
# code and encodes it anew leaves none.
_LINKED: Final = re.compile(rb"[\x10\x23\x24][\x80-\xff]{3}\x80\x00")
_ENOUGH_CODE: Final = 4096
_LINKERS: Final = ("clang", "rustc", "LLD")
# https://dwarfstd.org/languages.html: those that are compiled to WebAssembly
_LANGUAGES: Final = {
    0x01: "C89",
    0x02: "C",
    0x04: "C++",
    0x0C: "C99",
    0x13: "D",
    0x16: "Go",
    0x19: "C++03",
    0x1A: "C++11",
    0x1C: "Rust",
    0x1D: "C11",
    0x1E: "Swift",
    0x21: "C++14",
    0x23: "Fortran08",
    0x26: "Kotlin",
    0x27: "Zig",
    0x28: "Crystal",
    0x2A: "C++17",
    0x2B: "C++20",
    0x2C: "C17",
    0x31: "Assembly",
    0x8001: "Mips_Assembler",  # what LLVM says of assembly
}


def examine(
    module: Module,
    sources: Sources,
    *,
    place: tuple[int, ...] = (),
    debug_file: str | None = None,
    exists: Callable[[str], bool],
) -> tuple[Examination, tuple[str, ...]]:
    """Examine a module.

    Args:
        module: The module.
        sources: Where its debug information may be.
        place: As `Examination.place`.
        debug_file: A debug file to hold against it; also in `sources`, if lines are to come from there.
        exists: Whether a source file is on this machine, by its path as the compiler wrote it.

    Returns:
        What was found out, and notes on what was not used and why.

    Raises:
        ModuleFormatError: If its imports or its code section cannot be read.
    """
    notes: list[str] = []
    info, names = find_debug_info(module, sources, notes)
    try:
        return _examine(module, sources, info, place, debug_file, exists), tuple(notes)
    finally:
        if info is not None:
            info.close()
        if names is not None:
            names.close()
