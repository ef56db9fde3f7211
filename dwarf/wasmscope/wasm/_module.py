"""A core module, read from its bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Final, TypeVar

from wasmscope.errors import ModuleFormatError
from wasmscope.wasm._address import Address, AddressKind
from wasmscope.wasm._binary import Binary
from wasmscope.wasm._cursor import Cursor
from wasmscope.wasm._section import MODULE_SECTIONS, Section

if TYPE_CHECKING:
    from wasmscope.wasm._bodies import Bodies
    from wasmscope.wasm._exports import Export
    from wasmscope.wasm._file import Data
    from wasmscope.wasm._imports import Import
    from wasmscope.wasm._names import Names
    from wasmscope.wasm._producers import Producers
    from wasmscope.wasm._storage import DataSegment, Global, Memory, Table
    from wasmscope.wasm._types import ExternalType, FunctionType

__all__ = ["Module"]

_TYPE: Final = 1
_IMPORT: Final = 2
_FUNCTION: Final = 3
_TABLE: Final = 4
_MEMORY: Final = 5
_GLOBAL: Final = 6
_EXPORT: Final = 7
_START: Final = 8
_CODE: Final = 10
_DATA: Final = 11
_T = TypeVar("_T")
_HEADER: Final = b"\0asm\x01\0\0\0"


class Module(Binary):
    """A core module in the binary format.

    The sections' frame is checked at once; what is in them is read when it is asked for, and not validated: that is the
    runtime's work. A file that holds debug information and no code is a module, too.

    All offsets are byte offsets in the file, even if the module is part of one: a component, say. Whatever the bytes
    are, reading takes time and memory in proportion to them, and ends with an answer or with `ModuleFormatError`.
    """

    def __init__(self, data: Data, *, start: int = 0, end: int | None = None) -> None:
        """Find the sections.

        Args:
            data: The file. It is not copied, so it must not change.
            start: Where the module begins in it.
            end: Where it ends in it; None for the file's end.

        Raises:
            ModuleFormatError: If it is not a core module, or is cut off.
        """
        super().__init__(data, start, end, header=_HEADER, kind="module", names=MODULE_SECTIONS)

    @cached_property
    def code(self) -> Section | None:
        """The code section, whose offset is what code addresses count from; None if there is none."""
        return next((s for s in self.sections if s.id == _CODE), None)

    @property
    def has_start(self) -> bool:
        """Whether something runs when the module is instantiated."""
        return any(s.id == _START for s in self.sections)

    # --- imports and exports ---

    def imports(self) -> tuple[Import, ...]:
        """Read the imports, in the module's order.

        Raises:
            ModuleFormatError: If they cannot be read.
        """
        return tuple(item for item, _ in self._imports())

    def _imports(self) -> Iterator[tuple[Import, ExternalType]]:
        from wasmscope.wasm._imports import read_imports

        for cursor in self._cursors(_IMPORT):
            yield from read_imports(cursor)

    def exports(self) -> tuple[Export, ...]:
        """Read the exports, in the module's order.

        Raises:
            ModuleFormatError: If they cannot be read.
        """
        from wasmscope.wasm._exports import read_exports

        return tuple(export for cursor in self._cursors(_EXPORT) for export in read_exports(cursor))

    # --- functions ---

    @cached_property
    def imported_function_count(self) -> int:
        """How many functions are imported: the index of the first function with a body.

        Raises:
            ModuleFormatError: If the imports cannot be read.
        """
        return sum(item.kind == "func" for item, _ in self._imports())

    @cached_property
    def function_count(self) -> int:
        """How many functions there are, imported ones included, as the module declares them.

        Raises:
            ModuleFormatError: If the imports cannot be read.
        """
        return self.imported_function_count + sum(cursor.count() for cursor in self._cursors(_FUNCTION))

    @cached_property
    def bodies(self) -> Bodies:
        """Where the functions' bodies are; none if there is no code section.

        Raises:
            ModuleFormatError: If the imports cannot be read, or if the bodies do not fill the code section.
        """
        from wasmscope.wasm._bodies import no_bodies, read_bodies

        first = self.imported_function_count
        return read_bodies(self.data, self.code.offset, self.code.end, first) if self.code else no_bodies(first)

    def function_type(self, index: int) -> FunctionType:
        """Give the type of a function.

        Args:
            index: Its index; imported functions come first.

        Raises:
            ModuleFormatError: If there is no such function, or if its type cannot be read.
        """
        numbers = self._type_numbers
        wanted = numbers[index] if 0 <= index < len(numbers) else len(self.types)
        found = self.types[wanted] if wanted < len(self.types) else None
        if found is None:
            raise ModuleFormatError(f"function {index} has no type")
        return found

    @cached_property
    def _type_numbers(self) -> list[int]:
        """Index of each function's type."""
        from wasmscope.wasm._types import TypeIndex

        numbers = [t.number for item, t in self._imports() if item.kind == "func" and isinstance(t, TypeIndex)]
        for cursor in self._cursors(_FUNCTION):
            numbers.extend(cursor.u32() for _ in range(cursor.count()))
        return numbers

    @cached_property
    def types(self) -> tuple[FunctionType | None, ...]:
        """The types, by index; None for one that is no function's.

        Raises:
            ModuleFormatError: If they cannot be read.
        """
        from wasmscope.wasm._types import read_types

        return tuple(found for cursor in self._cursors(_TYPE) for found in read_types(cursor))

    # --- addresses ---

    def to_file(self, address: Address) -> int | None:
        """Convert an address into a byte offset in the file; None if it is not in the code section.

        Args:
            address: Of any kind.

        Raises:
            ModuleFormatError: If the function's body has to be found, and the bodies cannot be read.
        """
        code = self.code
        if code is None:
            return None
        kind, offset, function = address
        if kind is AddressKind.FUNC:
            body = None if function is None else self.bodies.of_function(function)
            return body.offset + offset if body and 0 <= offset < body.size else None
        if kind is AddressKind.CODE:
            offset += code.offset
        return offset if code.offset <= offset < code.end else None

    def to_code(self, address: Address) -> int | None:
        """Convert an address into a byte offset in the code section's contents; None if it is not in there.

        Args:
            address: Of any kind. Without a code section to judge by, one that is of this kind already is right.

        Raises:
            ModuleFormatError: As `to_file`.
        """
        if self.code is None:
            return address.offset if address.kind is AddressKind.CODE and address.offset >= 0 else None
        offset = self.to_file(address)
        return None if offset is None else offset - self.code.offset

    def to_function(self, address: Address) -> Address | None:
        """Convert an address into a function and an offset in its body; None if it is in no body.

        Args:
            address: Of any kind.

        Raises:
            ModuleFormatError: If the bodies cannot be read.
        """
        offset = self.to_file(address)
        body = None if offset is None else self.bodies.find(offset)
        if offset is None or body is None:
            return None
        return Address(AddressKind.FUNC, offset - body.offset, body.function_index)

    def function_of(self, address: Address) -> int | None:
        """Give the index of the function whose body an address is in; None if it is in no body.

        Args:
            address: Of any kind. What it says itself about the function counts only if it is of the kind
                `AddressKind.FUNC`.

        Raises:
            ModuleFormatError: If the bodies cannot be read.
        """
        offset = self.to_file(address)
        return None if offset is None else self.bodies.function_at(offset)

    # --- memories, tables, globals ---

    def memories(self) -> tuple[Memory, ...]:
        """Read the memories, imported ones first.

        Raises:
            ModuleFormatError: If they cannot be read.
        """
        from wasmscope.wasm._storage import Memory, read_memories
        from wasmscope.wasm._types import MemoryType

        found = [Memory(kind, True) for _, kind in self._imports() if isinstance(kind, MemoryType)]
        return (*found, *(item for cursor in self._cursors(_MEMORY) for item in read_memories(cursor)))

    @cached_property
    def has_memory64(self) -> bool:
        """Whether a memory has addresses of 64 bits.

        Raises:
            ModuleFormatError: If the imports or memories cannot be read.
        """
        return any(memory.type.is_64 for memory in self.memories())

    def tables(self) -> tuple[Table, ...]:
        """Read the tables, imported ones first.

        Raises:
            ModuleFormatError: If they cannot be read.
        """
        from wasmscope.wasm._storage import Table, read_tables
        from wasmscope.wasm._types import TableType

        found = [Table(kind, True) for _, kind in self._imports() if isinstance(kind, TableType)]
        return (*found, *(item for cursor in self._cursors(_TABLE) for item in read_tables(cursor)))

    def globals(self) -> tuple[Global, ...]:
        """Read the globals, imported ones first.

        Raises:
            ModuleFormatError: If they cannot be read.
        """
        from wasmscope.wasm._storage import Global, read_globals
        from wasmscope.wasm._types import GlobalType

        found = [Global(kind, True, None) for _, kind in self._imports() if isinstance(kind, GlobalType)]
        for cursor in self._cursors(_GLOBAL):
            found = read_globals(cursor, found)
        return tuple(found)

    def data_segments(self) -> tuple[DataSegment, ...]:
        """Read where data goes when the module is instantiated. The data itself is not looked at.

        Raises:
            ModuleFormatError: If it cannot be read.
        """
        from wasmscope.wasm._storage import read_data

        memories, globals_ = self.memories(), self.globals()
        return tuple(item for cursor in self._cursors(_DATA) for item in read_data(cursor, memories, globals_))

    # --- custom sections ---

    def names(self) -> Names:
        """Give the names of what is in the module; they are read part by part, when they are asked for."""
        return self._names

    @cached_property
    def _names(self) -> Names:
        from wasmscope.wasm._names import Names

        return Names(self.data, tuple((s.offset, s.end) for s in self.custom_sections("name")))

    def name(self) -> str | None:
        """Read the module's own name from its name section; None if it has none, or an unreadable one.

        Source: https://webassembly.github.io/spec/core/appendix/custom.html#module-names
        """
        return self.names().module

    def producers(self) -> Producers | None:
        """Read who made the module; None if it does not say."""
        from wasmscope.wasm._producers import read_producers

        return next((read_producers(cursor) for cursor in self._custom("producers")), None)

    def target_features(self) -> tuple[str, ...] | None:
        """Read what the module uses of WebAssembly: ``+simd128``, say; None if it does not say, or not readably."""
        from wasmscope.wasm._notes import read_target_features

        return _first(read_target_features, self._custom("target_features"))

    def build_id(self) -> bytes | None:
        """Read the module's build id; None if it has none, or an unreadable one."""
        from wasmscope.wasm._notes import read_build_id

        return _first(read_build_id, self._custom("build_id")) or None

    def external_debug_info(self) -> str | None:
        """Read where the file with the debug information is, as a URL; None if the module does not say."""
        from wasmscope.wasm._notes import read_url

        return _first(read_url, self._custom("external_debug_info")) or None

    def source_mapping_url(self) -> str | None:
        """Read where the source map is, as a URL; None if the module does not say."""
        from wasmscope.wasm._notes import read_url

        return _first(read_url, self._custom("sourceMappingURL")) or None

    def _cursors(self, section_id: int) -> Iterator[Cursor]:
        for section in self.sections:
            if section.id == section_id:
                yield Cursor(self._view, section.offset, section.end, f"{section.name} section")


def _first(read: Callable[[Cursor], _T], cursors: Iterator[Cursor]) -> _T | None:
    """Read the first section that can be read: one that cannot does not make the module wrong."""
    for cursor in cursors:
        try:
            return read(cursor)
        except ModuleFormatError:
            continue
    return None
