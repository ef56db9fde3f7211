"""The stacks in a core dump, in every dialect in which they are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wasmscope.coredump._dialect import Dialect
from wasmscope.coredump._dump import DumpFrame, DumpThread, DumpValue, ValueKind
from wasmscope.errors import CoreDumpError, ModuleFormatError
from wasmscope.wasm import Section
from wasmscope.wasm._cursor import Cursor

__all__ = ["MAX_FRAMES", "MAX_VALUES", "Stacks", "expect_version", "index_or_none", "read_stacks"]

_UNKNOWN_INDEX: Final = 0xFFFF_FFFF
"""What wasmtime writes for a memory or global that is not in the dump."""

_KINDS: Final = {
    0x7F: ValueKind.I32,
    0x7E: ValueKind.I64,
    0x7D: ValueKind.F32,
    0x7C: ValueKind.F64,
}
_MISSING: Final = 0x01
_MISSING_VALUE: Final = DumpValue(ValueKind.MISSING, None)

# A frame of six bytes and a value of one become objects of a hundred bytes and more. The deepest real stacks have some
# ten thousand frames.
MAX_FRAMES: Final = 200_000
MAX_VALUES: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class _Layout:
    """How frames are written.

    Attributes:
        dialect: Who writes them so.
        has_instance: Whether a frame says which instance was running.
        is_fixed: Whether integers among the values have 4 or 8 bytes; else they are LEB128.
        counts_first: Whether both counts come before the values; else each before its own.
        has_stack: Whether the values of the operand stack are written, and not only counted.
    """

    dialect: Dialect
    has_instance: bool = True
    is_fixed: bool = False
    counts_first: bool = False
    has_stack: bool = True


# The order in which they are tried: today's specification, then what is in the wild, then what one could make of the
# specification's text. LEB128 numbers with both counts first have no known writer.
_LAYOUTS: Final = (
    _Layout(Dialect.STANDARD),
    _Layout(Dialect.WASMGDB, is_fixed=True, counts_first=True, has_stack=False),
    _Layout(Dialect.STANDARD_2023, has_instance=False),
    _Layout(Dialect.WASMGDB_2023, has_instance=False, is_fixed=True, counts_first=True, has_stack=False),
    _Layout(Dialect.WASMEDGE, has_instance=False, is_fixed=True, counts_first=True),
    _Layout(Dialect.FIXED, is_fixed=True),
    _Layout(Dialect.FIXED_2023, has_instance=False, is_fixed=True),
)


@dataclass(frozen=True, slots=True)
class Stacks:
    """The stacks of a dump.

    Attributes:
        dialect: The first dialect that explains all of them to the last byte.
        ambiguities: The others that do, and mean something else.
        threads: What the first one makes of them.
    """

    dialect: Dialect
    ambiguities: tuple[Dialect, ...]
    threads: tuple[DumpThread, ...]


def index_or_none(index: int) -> int | None:
    """Give an index as it is; None for the one that stands for what is not in the dump."""
    return None if index == _UNKNOWN_INDEX else index


def read_stacks(data: memoryview, sections: tuple[Section, ...]) -> Stacks:
    """Read all ``corestack`` sections, each to its last byte, all in one dialect.

    Args:
        data: The file.
        sections: Where they are.

    Raises:
        CoreDumpError: If no dialect explains them, or if they hold more than is allowed.
    """
    if not sections:
        return Stacks(Dialect.STANDARD, (), ())
    found: list[tuple[Dialect, tuple[DumpThread, ...]]] = []
    first_problem = ""
    for layout in _LAYOUTS:
        reader = _Reader(layout)
        try:
            threads = tuple(reader.thread(_cursor(data, section)) for section in sections)
        except ModuleFormatError as error:
            first_problem = first_problem or str(error)
        else:
            found.append((layout.dialect, threads))
    if not found:
        raise CoreDumpError(
            f"no known dialect explains the stacks to the last byte; as tool-conventions has it: {first_problem}; "
            "was the dump cut off? Write it again, or report its runtime and version to us"
        )
    dialect, threads = found[0]
    return Stacks(dialect, tuple(name for name, other in found[1:] if other != threads), threads)


def _cursor(data: memoryview, section: Section) -> Cursor:
    return Cursor(data, section.offset, section.end, "corestack section")


class _Reader:
    """Reads stacks of one layout, as many as are allowed in a file."""

    def __init__(self, layout: _Layout) -> None:
        self._layout = layout
        self._frames_left = MAX_FRAMES
        self._values_left = MAX_VALUES

    def thread(self, cursor: Cursor) -> DumpThread:
        """Read a stack that fills its section."""
        expect_version(cursor, "a thread")
        name = cursor.name()
        count = cursor.count(smallest=5)
        self._frames_left -= count
        if self._frames_left < 0:
            raise cursor.error(f"more than {MAX_FRAMES:,} frames, which is more than is read")
        frames = tuple(self._frame(cursor) for _ in range(count))
        if not cursor.is_at_end:
            raise cursor.error(f"{cursor.end - cursor.position:,} bytes are left after the last frame")
        return DumpThread(name, frames)

    def _frame(self, cursor: Cursor) -> DumpFrame:
        expect_version(cursor, "a frame")
        layout = self._layout
        instance = index_or_none(cursor.u32()) if layout.has_instance else None
        function, code_offset = cursor.u32(), cursor.u32()
        if layout.counts_first:
            local_count, stack_count = cursor.count(), cursor.u32()
            local_values = self._values(cursor, local_count)
            stack = self._values(cursor, stack_count) if layout.has_stack else ()
        else:
            local_values = self._values(cursor, cursor.count())
            stack = self._values(cursor, cursor.count())
        return DumpFrame(instance, function, code_offset, local_values, stack)

    def _values(self, cursor: Cursor, count: int) -> tuple[DumpValue, ...]:
        self._values_left -= count
        if self._values_left < 0:
            raise cursor.error(f"more than {MAX_VALUES:,} locals and operands, which is more than is read")
        return tuple(self._value(cursor) for _ in range(count))

    def _value(self, cursor: Cursor) -> DumpValue:
        start = cursor.position
        code = cursor.byte()
        if code == _MISSING:
            return _MISSING_VALUE
        kind = _KINDS.get(code)
        if kind is None:
            raise cursor.error(f"there is no value of the type {code:#x}", at=start)
        return DumpValue(kind, _read_bits(cursor, kind, self._layout.is_fixed))


def _read_bits(cursor: Cursor, kind: ValueKind, is_fixed: bool) -> int:
    width = 4 if kind in (ValueKind.I32, ValueKind.F32) else 8
    if is_fixed or kind in (ValueKind.F32, ValueKind.F64):
        return int.from_bytes(cursor.take(width), "little")
    return cursor.s32() & 0xFFFF_FFFF if width == 4 else cursor.s64() & 0xFFFF_FFFF_FFFF_FFFF


def expect_version(cursor: Cursor, what: str) -> None:
    """Read the byte with which the format's records begin.

    Args:
        cursor: Where it is.
        what: What the record is, in words.
    """
    start = cursor.position
    version = cursor.byte()
    if version:
        raise cursor.error(f"{what} begins with {version:#x}, and only 0 is known", at=start)
