"""Types in the binary format.

Source: https://webassembly.github.io/spec/core/binary/types.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wasmscope.wasm._cursor import Cursor

__all__ = ["FunctionType", "read_import_type", "read_type"]

_VALUE_TYPES: Final = {
    0x7F: "i32",
    0x7E: "i64",
    0x7D: "f32",
    0x7C: "f64",
    0x7B: "v128",
    0x70: "funcref",
    0x6F: "externref",
}
_REF_WITH_HEAP_TYPE: Final = (0x63, 0x64)  # (ref null ht) and (ref ht)
_SUB: Final = (0x50, 0x4F)  # open and final


@dataclass(frozen=True, slots=True)
class FunctionType:
    """What a function takes and gives.

    Attributes:
        parameters: ``i32``, ``i64``, ``f32``, ``f64``, ``v128``, ``funcref``, ``externref``; ``ref`` for all other
            references.
        results: Likewise.
    """

    parameters: tuple[str, ...]
    results: tuple[str, ...]


def read_import_type(cursor: Cursor, kind: str) -> int | None:
    """Go over an import's type.

    Args:
        cursor: Where it begins.
        kind: As `Import.kind`.

    Returns:
        The index of a function's type, None for all else.
    """
    match kind:
        case "func":
            return cursor.u32()
        case "table":
            _read_value_type(cursor)
            _skip_limits(cursor)
        case "memory":
            _skip_limits(cursor)
        case "global":
            _read_value_type(cursor)
            cursor.byte()
        case _:  # tag
            cursor.byte()
            cursor.u32()
    return None


def read_type(cursor: Cursor) -> FunctionType | None:
    """Read one type of the type section; None if it is a struct or an array.

    Args:
        cursor: Where it begins.
    """
    if cursor.take_if(*_SUB):
        for _ in range(cursor.u32()):  # supertypes
            cursor.u32()
    start = cursor.position
    match cursor.byte():
        case 0x60:
            parameters, results = ([_read_value_type(cursor) for _ in range(cursor.u32())] for _ in range(2))
            return FunctionType(tuple(parameters), tuple(results))
        case 0x5F:
            for _ in range(cursor.u32()):
                _skip_field(cursor)
        case 0x5E:
            _skip_field(cursor)
        case code:
            raise cursor.error(f"the unknown type {code:#x}", at=start)
    return None


def _skip_field(cursor: Cursor) -> None:
    """Go over a field's storage type (packed ones are one byte, too) and its mutability."""
    _read_value_type(cursor)
    cursor.byte()


def _read_value_type(cursor: Cursor) -> str:
    code = cursor.byte()
    if code in _REF_WITH_HEAP_TYPE:
        cursor.s33()
    return _VALUE_TYPES.get(code, "ref")


def _skip_limits(cursor: Cursor) -> None:
    flags = cursor.byte()
    cursor.u64()
    if flags & 1:
        cursor.u64()
    if flags & 8:  # https://github.com/WebAssembly/custom-page-sizes
        cursor.u32()
