"""A function added to a module that returns references to other functions of it.

To get an export of an instance takes half a microsecond, and the collector has dozens. One call gives them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wasmscope.wasm import Module

__all__ = ["ROLL", "with_roll"]

ROLL: Final = "wasmscope_roll"
"""The function's export."""

# Sections, and what else the binary format calls by a number: https://webassembly.github.io/spec/core/binary/
_TYPES: Final = 1
_FUNCTIONS: Final = 3
_EXPORTS: Final = 7
_CODE: Final = 10
_FUNCTION_TYPE: Final = 0x60
_FUNCREF: Final = 0x70
_FUNCTION_EXPORT: Final = 0
_REF_FUNC: Final = b"\xd2"
_END: Final = b"\x0b"


def with_roll(wasm: bytes, last: Sequence[str]) -> bytes:
    """Give a module with a further function, exported as `ROLL`, whose results are references to those exported.

    They are in the order of the exports, but for those that are to be the last ones.

    Args:
        wasm: The module.
        last: Names of those, in their order.
    """
    module = Module(wasm)
    places = {item.name: item.index for item in module.exports() if item.kind == "func"}
    wanted = [places[name] for name in (*(name for name in places if name not in last), *last)]
    counts = {section.id: _count(module.contents(section)) for section in module.sections if section.id}
    function = sum(item.kind == "func" for item in module.imports()) + counts[_FUNCTIONS][0]
    body = b"\0" + b"".join(_REF_FUNC + _leb(index) for index in wanted) + _END
    added = {
        _TYPES: bytes([_FUNCTION_TYPE, 0]) + _leb(len(wanted)) + bytes([_FUNCREF]) * len(wanted),
        _FUNCTIONS: _leb(counts[_TYPES][0]),
        _EXPORTS: _leb(len(ROLL)) + ROLL.encode() + bytes([_FUNCTION_EXPORT]) + _leb(function),
        _CODE: _leb(len(body)) + body,
    }
    parts = [wasm[:8]]
    for section in module.sections:
        contents = module.contents(section)
        if section.id in added:
            count, start = counts[section.id]
            contents = _leb(count + 1) + contents[start:] + added[section.id]
        elif not section.id:
            # Nothing of it is needed at run time: names, and who made it.
            continue
        parts.append(bytes([section.id]) + _leb(len(contents)) + contents)
    return b"".join(parts)


def _count(contents: bytes) -> tuple[int, int]:
    """Read how many items a section has, and where the first one begins."""
    number = shift = at = 0
    while True:
        byte = contents[at]
        number |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if byte < 0x80:
            return number, at


def _leb(number: int) -> bytes:
    """Write a number in groups of seven bits, the lowest first."""
    groups = bytearray()
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])
