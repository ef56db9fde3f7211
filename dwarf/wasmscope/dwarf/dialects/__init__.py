"""Stack traces in text: where in a line engines write WebAssembly addresses, and of which kind these are.

Pure functions of text: nothing is read, opened or looked up. A line costs time in proportion to its length, whatever
is in it. That something looks like a frame does not make it one; whoever looks the address up finds out.
"""

from __future__ import annotations

from operator import attrgetter

from wasmscope.dwarf.dialects import _javascript, _numbered, _other
from wasmscope.dwarf.dialects._match import Dialect, Match
from wasmscope.dwarf.dialects._numbered import is_detail

__all__ = ["DIALECTS", "NEEDLES", "Dialect", "Match", "find", "is_detail"]

DIALECTS: tuple[Dialect, ...] = (*_numbered.DIALECTS, *_javascript.DIALECTS, *_other.DIALECTS)
"""All families, in the order in which they are asked."""

NEEDLES: tuple[str, ...] = ("0x", "wasm-function[", " $f")
"""Text with none of these has no frame in any dialect."""


def find(line: str) -> list[Match]:
    """Find the frames in a line of text.

    Args:
        line: The line; it may be of any length.

    Returns:
        The frames, from left to right; none overlaps another.
    """
    found = [
        match
        for dialect in DIALECTS
        if any(needle in line for needle in dialect.needles)
        for match in dialect.find(line)
    ]
    if len(found) < 2:
        return found
    found.sort(key=attrgetter("start"))
    kept: list[Match] = []
    for match in found:
        if not kept or match.start >= kept[-1].end:
            kept.append(match)
    return kept
