"""What a core dump holds besides stacks: modules, instances, memories, globals and what was in the memories."""

from __future__ import annotations

from typing import Final

from wasmscope.coredump._dump import DumpGlobal, DumpInstance, DumpMemory, DumpSegment, DumpValue, ValueKind
from wasmscope.coredump._stacks import expect_version, index_or_none
from wasmscope.errors import ModuleFormatError
from wasmscope.wasm._cursor import Cursor
from wasmscope.wasm._types import read_global_type, read_memory_type

__all__ = [
    "read_executable",
    "read_globals",
    "read_instances",
    "read_memories",
    "read_modules",
    "read_segments",
]

# An entry of two or three bytes becomes objects of a hundred and more. These are what a runtime could have at most.
_MAX_MODULES: Final = 100_000
_MAX_INSTANCES: Final = 100_000
_MAX_INDICES: Final = 1_000_000
_MAX_MEMORIES: Final = 100_000
_MAX_GLOBALS: Final = 1_000_000
_MAX_SEGMENTS: Final = 1 << 20
"""4 GiB in pages of 4 KiB, as wasmtime cuts a memory."""

_END: Final = 0x0B
_ACTIVE: Final = 0
_PASSIVE: Final = 1
_ACTIVE_IN: Final = 2


def read_executable(cursor: Cursor) -> str:
    """Read the ``core`` section: the name of the program.

    Args:
        cursor: The section's contents.
    """
    expect_version(cursor, "the program")
    name = cursor.name()
    _expect_end(cursor, "the program's name")
    return name


def read_modules(cursor: Cursor) -> tuple[str, ...]:
    """Read the ``coremodules`` section: the names of the modules.

    Args:
        cursor: The section's contents.
    """
    start = cursor.position
    try:
        names: list[str] = []
        for _ in range(_count(cursor, 2, _MAX_MODULES, "modules")):
            expect_version(cursor, "a module")
            names.append(cursor.name())
        _expect_end(cursor, "the last module")
    except ModuleFormatError:
        cursor.position = start
        name = _name_without_length(cursor)
        if name is None:
            raise
        return (name,)
    return tuple(names)


def _name_without_length(cursor: Cursor) -> str | None:
    """Read the one module of a dump by WasmEdge 0.14, which does not write how long its name is."""
    if not (cursor.take_if(1) and cursor.take_if(0)):
        return None
    try:
        name = cursor.take(cursor.end - cursor.position).decode()
    except UnicodeDecodeError:
        return None
    return name if name.isprintable() else None


def read_instances(cursor: Cursor) -> tuple[DumpInstance, ...]:
    """Read the ``coreinstances`` section: which memories and globals belong together.

    Args:
        cursor: The section's contents.
    """
    found: list[DumpInstance] = []
    indices_left = _MAX_INDICES
    for _ in range(_count(cursor, 4, _MAX_INSTANCES, "instances")):
        expect_version(cursor, "an instance")
        module = index_or_none(cursor.u32())
        lists: list[tuple[int | None, ...]] = []
        for what in ("memories", "globals"):
            count = _count(cursor, 1, indices_left, f"{what} of instances")
            indices_left -= count
            lists.append(tuple(index_or_none(cursor.u32()) for _ in range(count)))
        found.append(DumpInstance(module, lists[0], lists[1]))
    _expect_end(cursor, "the last instance")
    return tuple(found)


def read_memories(cursor: Cursor) -> tuple[DumpMemory, ...]:
    """Read the memory section: how large each memory is.

    Args:
        cursor: The section's contents.
    """
    found: list[DumpMemory] = []
    for _ in range(_count(cursor, 2, _MAX_MEMORIES, "memories")):
        memory = read_memory_type(cursor)
        found.append(DumpMemory(memory.limits.minimum, memory.page_bytes, memory.is_64))
    _expect_end(cursor, "the last memory")
    return tuple(found)


def read_globals(cursor: Cursor) -> tuple[DumpGlobal, ...]:
    """Read the global section: what each global held.

    Args:
        cursor: The section's contents.
    """
    found: list[DumpGlobal] = []
    for _ in range(_count(cursor, 3, _MAX_GLOBALS, "globals")):
        start = cursor.position
        kind = _KINDS.get(read_global_type(cursor).value_type, ValueKind.REF)
        value = _constant(cursor)
        if value is not None and value.kind is not kind:
            raise cursor.error(f"a global of type {kind.value} holds {value.kind.value}", at=start)
        found.append(DumpGlobal(kind, value))
    _expect_end(cursor, "the last global")
    return tuple(found)


_KINDS: Final = {kind.value: kind for kind in (ValueKind.I32, ValueKind.I64, ValueKind.F32, ValueKind.F64)} | {
    "v128": ValueKind.V128
}


def read_segments(cursor: Cursor) -> tuple[DumpSegment, ...]:
    """Read where in the data section which part of a memory is.

    Args:
        cursor: The section's contents.
    """
    found: list[DumpSegment] = []
    for _ in range(_count(cursor, 2, _MAX_SEGMENTS, "parts of memories")):
        start = cursor.position
        flags = cursor.u32()
        memory, address = 0, None
        match flags:
            case 0x00:
                address = _constant(cursor)
            case 0x02:
                memory, address = cursor.u32(), _constant(cursor)
            case _:
                raise cursor.error(f"a part of a memory of the kind {flags:#x}, which has no place", at=start)
        if address is None or address.bits is None or address.kind not in (ValueKind.I32, ValueKind.I64):
            raise cursor.error("a part of a memory has no address", at=start)
        size = cursor.u32()
        offset = cursor.position
        cursor.skip(size)
        found.append(DumpSegment(memory, address.bits, offset, size))
    _expect_end(cursor, "the last part of a memory")
    return tuple(found)


def _constant(cursor: Cursor) -> DumpValue | None:
    """Read an expression of at most one constant; None if there is none in it.

    Source: https://webassembly.github.io/spec/core/binary/instructions.html#expressions
    """
    start = cursor.position
    value: DumpValue
    match cursor.byte():
        case 0x0B:
            return None  # WasmEdge 0.14 does not write what globals hold.
        case 0x41:
            value = DumpValue(ValueKind.I32, cursor.s32() & 0xFFFF_FFFF)
        case 0x42:
            value = DumpValue(ValueKind.I64, cursor.s64() & 0xFFFF_FFFF_FFFF_FFFF)
        case 0x43:
            value = DumpValue(ValueKind.F32, int.from_bytes(cursor.take(4), "little"))
        case 0x44:
            value = DumpValue(ValueKind.F64, int.from_bytes(cursor.take(8), "little"))
        case 0xFD if cursor.u32() == 0x0C:
            value = DumpValue(ValueKind.V128, int.from_bytes(cursor.take(16), "little"))
        case 0xD0:
            cursor.s33()
            value = DumpValue(ValueKind.REF, 0)
        case 0xD2:
            cursor.u32()
            value = DumpValue(ValueKind.REF, None)
        case code:
            raise cursor.error(f"the instruction {code:#x} is no constant", at=start)
    if not cursor.take_if(_END):
        raise cursor.error("an expression goes on after its constant")
    return value


def _count(cursor: Cursor, smallest: int, most: int, what: str) -> int:
    start = cursor.position
    count = cursor.u32()
    left = cursor.end - cursor.position
    if count * smallest > left:
        raise cursor.error(f"{count:,} {what} are announced and {left:,} bytes are left", at=start)
    if count > most:
        raise cursor.error(f"{count:,} {what}, which is more than is read", at=start)
    return count


def _expect_end(cursor: Cursor, what: str) -> None:
    if not cursor.is_at_end:
        raise cursor.error(f"{cursor.end - cursor.position:,} bytes are left after {what}")
