"""Types in the binary format.

Source: https://webassembly.github.io/spec/core/binary/types.html
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from wasmscope.wasm._cursor import Cursor

__all__ = [
    "ExternalType",
    "FunctionType",
    "GlobalType",
    "Limits",
    "MemoryType",
    "TableType",
    "TypeIndex",
    "read_external_type",
    "read_global_type",
    "read_memory_type",
    "read_table_type",
    "read_types",
]

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
_REC: Final = 0x4E  # a group of types that know each other
_HAS_MAXIMUM: Final = 1
_SHARED: Final = 2
_WIDE: Final = 4
_HAS_PAGE_SIZE: Final = 8  # https://github.com/WebAssembly/custom-page-sizes
_LIMITS: Final = _HAS_MAXIMUM | _SHARED | _WIDE | _HAS_PAGE_SIZE
_PAGE_BYTES: Final = 65_536


class FunctionType(NamedTuple):
    """What a function takes and gives.

    Attributes:
        parameters: ``i32``, ``i64``, ``f32``, ``f64``, ``v128``, ``funcref``, ``externref``; ``ref`` for all other
            references.
        results: Likewise.
    """

    parameters: tuple[str, ...]
    results: tuple[str, ...]


class Limits(NamedTuple):
    """How large something may be.

    Attributes:
        minimum: Size at first.
        maximum: Size at most; None if there is no limit.
    """

    minimum: int
    maximum: int | None


class MemoryType(NamedTuple):
    """A memory, as declared.

    Attributes:
        limits: Its size in pages.
        is_64: Whether its addresses have 64 bits.
        is_shared: Whether threads share it.
        page_bytes: Size of a page.
    """

    limits: Limits
    is_64: bool
    is_shared: bool
    page_bytes: int


class TableType(NamedTuple):
    """A table, as declared.

    Attributes:
        element_type: As `FunctionType.parameters`.
        limits: Its size in elements.
        is_64: Whether its indices have 64 bits.
    """

    element_type: str
    limits: Limits
    is_64: bool


class GlobalType(NamedTuple):
    """A global, as declared.

    Attributes:
        value_type: As `FunctionType.parameters`.
        is_mutable: Whether it can be changed.
    """

    value_type: str
    is_mutable: bool


class TypeIndex(NamedTuple):
    """The type of a function or a tag, by its index.

    Attributes:
        number: Index of the type.
    """

    number: int


ExternalType: TypeAlias = TypeIndex | TableType | MemoryType | GlobalType


def read_external_type(cursor: Cursor, kind: str) -> ExternalType:
    """Read an import's type.

    Args:
        cursor: Where it begins.
        kind: As `Import.kind`.
    """
    match kind:
        case "func":
            return TypeIndex(cursor.u32())
        case "table":
            return read_table_type(cursor)
        case "memory":
            return read_memory_type(cursor)
        case "global":
            return read_global_type(cursor)
        case _:  # tag
            cursor.byte()
            return TypeIndex(cursor.u32())


def read_memory_type(cursor: Cursor) -> MemoryType:
    """Read a memory's type.

    Args:
        cursor: Where it begins.
    """
    flags, limits, start = _read_limits(cursor)
    page_bytes = _PAGE_BYTES
    if flags & _HAS_PAGE_SIZE:
        exponent = cursor.u32()
        if exponent > 64:
            raise cursor.error(f"a page of 2 to the {exponent:,} bytes", at=start)
        page_bytes = 1 << exponent
    return MemoryType(limits, bool(flags & _WIDE), bool(flags & _SHARED), page_bytes)


def read_table_type(cursor: Cursor) -> TableType:
    """Read a table's type.

    Args:
        cursor: Where it begins.
    """
    element_type = _read_value_type(cursor)
    flags, limits, _ = _read_limits(cursor)
    return TableType(element_type, limits, bool(flags & _WIDE))


def read_global_type(cursor: Cursor) -> GlobalType:
    """Read a global's type.

    Args:
        cursor: Where it begins.
    """
    return GlobalType(_read_value_type(cursor), bool(cursor.byte() & 1))


def read_types(cursor: Cursor) -> tuple[FunctionType | None, ...]:
    """Read a type section; None for each type that is no function's.

    Args:
        cursor: Its contents.

    Raises:
        ModuleFormatError: If it cannot be read.
    """
    found: list[FunctionType | None] = []
    for _ in range(cursor.count()):
        group = cursor.count() if cursor.take_if(_REC) else 1
        found.extend(_read_type(cursor) for _ in range(group))
    return tuple(found)


def _read_type(cursor: Cursor) -> FunctionType | None:
    if cursor.take_if(*_SUB):
        for _ in range(cursor.count()):  # supertypes
            cursor.u32()
    start = cursor.position
    match cursor.byte():
        case 0x60:
            parameters, results = (tuple(_read_value_type(cursor) for _ in range(cursor.count())) for _ in range(2))
            return FunctionType(parameters, results)
        case 0x5F:
            for _ in range(cursor.count(2)):
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


def _read_limits(cursor: Cursor) -> tuple[int, Limits, int]:
    start = cursor.position
    flags = cursor.byte()
    if flags & ~_LIMITS:
        raise cursor.error(f"the unknown limits {flags:#x}", at=start)
    minimum = cursor.u64()
    return flags, Limits(minimum, cursor.u64() if flags & _HAS_MAXIMUM else None), start
