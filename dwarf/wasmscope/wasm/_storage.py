"""What a module keeps values in: memories and the data that they begin with, tables, globals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from wasmscope.wasm._constant import read_constant
from wasmscope.wasm._cursor import Cursor
from wasmscope.wasm._types import GlobalType, MemoryType, TableType, read_global_type, read_memory_type, read_table_type

__all__ = ["DataSegment", "Global", "Memory", "Table", "read_data", "read_globals", "read_memories", "read_tables"]

_TABLE_WITH_VALUE: Final = 0x40


@dataclass(frozen=True, slots=True)
class Memory:
    """A memory.

    Attributes:
        type: Its type.
        is_imported: Whether somebody else makes it.
    """

    type: MemoryType
    is_imported: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        type: Its type.
        is_imported: Whether somebody else makes it.
    """

    type: TableType
    is_imported: bool


@dataclass(frozen=True, slots=True)
class Global:
    """A global.

    Attributes:
        type: Its type.
        is_imported: Whether somebody else makes it.
        initial: What it is at first, signed if it is an integer. None if that depends on something imported, or is no
            number.
    """

    type: GlobalType
    is_imported: bool
    initial: int | float | None


@dataclass(frozen=True, slots=True)
class DataSegment:
    """Bytes that a memory begins with, or that the module copies when it likes.

    Attributes:
        memory: Index of the memory; None if the segment is passive: nothing is copied until the module does it.
        address: Where in the memory; None if that depends on something imported, or if the segment is passive.
        offset: Where the bytes are, as a byte offset in the file.
        size: How many there are.
    """

    memory: int | None
    address: int | None
    offset: int
    size: int


def read_memories(cursor: Cursor) -> list[Memory]:
    """Read a memory section.

    Args:
        cursor: Its contents.

    Raises:
        ModuleFormatError: If it cannot be read.
    """
    return [Memory(read_memory_type(cursor), False) for _ in range(cursor.count(2))]


def read_tables(cursor: Cursor) -> list[Table]:
    """Read a table section.

    Args:
        cursor: Its contents.

    Raises:
        ModuleFormatError: If it cannot be read.
    """
    found: list[Table] = []
    for _ in range(cursor.count(3)):
        has_value = cursor.take_if(_TABLE_WITH_VALUE)
        if has_value:
            cursor.byte()
        found.append(Table(read_table_type(cursor), False))
        if has_value:
            read_constant(cursor)
    return found


def read_globals(cursor: Cursor, imported: Sequence[Global]) -> list[Global]:
    """Read a global section.

    Args:
        cursor: Its contents.
        imported: Globals that come before those of the section.

    Returns:
        All of them.

    Raises:
        ModuleFormatError: If it cannot be read.
    """
    found = list(imported)
    known = [item.initial for item in found]
    for _ in range(cursor.count(3)):
        item = Global(read_global_type(cursor), False, read_constant(cursor, known))
        found.append(item)
        known.append(item.initial)
    return found


def read_data(cursor: Cursor, memories: Sequence[Memory], globals_: Sequence[Global]) -> list[DataSegment]:
    """Read a data section.

    Source: https://webassembly.github.io/spec/core/binary/modules.html#data-section

    Args:
        cursor: Its contents.
        memories: The module's memories.
        globals_: The module's globals.

    Raises:
        ModuleFormatError: If it cannot be read.
    """
    known = [item.initial for item in globals_]
    found: list[DataSegment] = []
    for _ in range(cursor.count(2)):
        start = cursor.position
        flags = cursor.u32()
        if flags > 2:
            raise cursor.error(f"the unknown kind {flags} of data segment", at=start)
        memory = address = None
        if flags != 1:
            memory = cursor.u32() if flags == 2 else 0
            value = read_constant(cursor, known)
            if isinstance(value, int):
                # Integers have no sign; addresses do not, either.
                wide = memory < len(memories) and memories[memory].type.is_64
                address = value % (1 << (64 if wide else 32))
        size = cursor.u32()
        found.append(DataSegment(memory, address, cursor.position, size))
        cursor.skip(size)
    return found
