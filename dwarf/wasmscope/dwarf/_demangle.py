"""Names of functions as their authors wrote them, out of those that linkers use.

Demanglers read what others have written, and so ours run where DWARF is read, too: in the engine. It has no call for
them; names come back demangled with functions. So a unit of DWARF is made whose functions have the names in question.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["demangle", "is_mangled"]

_PREFIXES: Final = ("_Z", "_R", "__Z", "__R")
_LONGEST: Final = 16 * 1024  # the engine cuts longer ones, and what is cut is not mangled any more

# https://dwarfstd.org/doc/DWARF5.pdf, 7.5: a unit (tag 0x11) with functions (tag 0x2e), each with a linkage name (0x6e)
# in place (form 0x08), low_pc (0x11, form 0x01) and high_pc (0x12, form 0x06: a size).
_ABBREVIATIONS: Final = bytes((1, 0x11, 1, 0, 0, 2, 0x2E, 0, 0x6E, 0x08, 0x11, 0x01, 0x12, 0x06, 0, 0, 0))
_VERSION: Final = 4
_ADDRESS_BYTES: Final = 4


def is_mangled(name: str) -> bool:
    """Tell whether a name begins as those of C++ and Rust do."""
    return name.startswith(_PREFIXES)


def demangle(names: Iterable[str]) -> dict[str, str]:
    """Demangle names.

    Args:
        names: The names. Give many at a time: an engine is made for them.

    Returns:
        Those that are mangled in a way that is known, each with what it means.

    Raises:
        DebugInfoError: If the engine does not work.
    """
    wanted = [n for n in dict.fromkeys(names) if is_mangled(n) and "\0" not in n and len(n.encode()) < _LONGEST]
    if not wanted:
        return {}
    from wasmscope.dwarf._engine import Engine

    entries = bytearray(b"\1")
    for number, name in enumerate(wanted, 1):
        entries += b"\2" + name.encode() + b"\0" + number.to_bytes(_ADDRESS_BYTES, "little") + b"\1\0\0\0"
    entries += b"\0"
    header = _VERSION.to_bytes(2, "little") + bytes(4) + bytes((_ADDRESS_BYTES,))
    unit = (len(header) + len(entries)).to_bytes(4, "little") + header + entries
    sections = {".debug_abbrev": _ABBREVIATIONS, ".debug_info": bytes(unit)}
    with Engine(sections, body_starts=(), body_ends=()) as engine:
        found = {wanted[f.low - 1]: f.name for f in engine.functions() if 0 < f.low <= len(wanted)}
    return {name: meaning for name, meaning in found.items() if meaning is not None and meaning != name}
