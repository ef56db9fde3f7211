"""A core module's sections, imports, exports and name, read from its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from wasmscope.errors import ModuleFormatError
from wasmscope.wasm._cursor import Cursor
from wasmscope.wasm._kind import FileKind, identify
from wasmscope.wasm._types import FunctionType, read_import_type, read_type

__all__ = ["Export", "Import", "Module", "Section"]

# https://webassembly.github.io/spec/core/binary/modules.html#sections
_SECTIONS: Final = (
    "custom",
    "type",
    "import",
    "function",
    "table",
    "memory",
    "global",
    "export",
    "start",
    "element",
    "code",
    "data",
    "data count",
    "tag",
)
_CUSTOM: Final = 0
_TYPE: Final = 1
_IMPORT: Final = 2
_FUNCTION: Final = 3
_EXPORT: Final = 7
_START: Final = 8
_KINDS: Final = ("func", "table", "memory", "global", "tag")
_REC: Final = 0x4E  # a group of types that know each other
_HEADER_BYTES: Final = 8
_MODULE_NAME: Final = 0  # subsection of the name section


@dataclass(frozen=True, slots=True)
class Section:
    """Where a section is.

    Attributes:
        id: Its number.
        name: What it is called; for a custom section the name it carries itself.
        offset: Where its contents begin, as a byte offset in the file; for a custom section, after the name.
        size: Size of the contents in bytes.
    """

    id: int
    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Import:
    """Something that a module needs.

    Attributes:
        module: Module name.
        name: Field name.
        kind: ``func``, ``table``, ``memory``, ``global`` or ``tag``.
    """

    module: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Export:
    """Something that a module offers.

    Attributes:
        name: Its name.
        kind: As `Import.kind`.
        index: Its index in the index space of its kind.
    """

    name: str
    kind: str
    index: int


class Module:
    """A core module in the binary format.

    The sections' frame is checked at once; what is in them is read when it is asked for, and not validated: that is the
    runtime's work.
    """

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        """Find the sections.

        Args:
            data: The file.

        Raises:
            ModuleFormatError: If it is not a core module, or is cut off.
        """
        found = identify(data)
        if found.kind is not FileKind.MODULE:
            raise ModuleFormatError(f"this is {found.description}, not a WebAssembly module", offset=0)
        self._data = data
        self.sections = tuple(_read_sections(data))

    def custom_sections(self, name: str) -> tuple[Section, ...]:
        """Give the custom sections of a name; a module may have several."""
        return tuple(s for s in self.sections if s.id == _CUSTOM and s.name == name)

    def contents(self, section: Section) -> bytes:
        """Give a section's contents."""
        return bytes(self._data[section.offset : section.offset + section.size])

    @property
    def has_start(self) -> bool:
        """Whether something runs when the module is instantiated."""
        return any(s.id == _START for s in self.sections)

    def imports(self) -> tuple[Import, ...]:
        """Read the imports, in the module's order.

        Raises:
            ModuleFormatError: If they cannot be read.
        """
        return tuple(item for item, _ in self._imports())

    def _imports(self) -> Iterator[tuple[Import, int | None]]:
        """Read the imports, those of functions with the index of their type."""
        for cursor in self._cursors(_IMPORT):
            for _ in range(cursor.u32()):
                module, name = cursor.name(), cursor.name()
                kind = _read_kind(cursor)
                yield Import(module, name, kind), read_import_type(cursor, kind)

    def exports(self) -> tuple[Export, ...]:
        """Read the exports, in the module's order.

        Raises:
            ModuleFormatError: If they cannot be read.
        """
        found: list[Export] = []
        for cursor in self._cursors(_EXPORT):
            for _ in range(cursor.u32()):
                found.append(Export(cursor.name(), _read_kind(cursor), cursor.u32()))
        return tuple(found)

    def function_type(self, index: int) -> FunctionType:
        """Read the type of a function.

        Args:
            index: Its index; imported functions come first.

        Raises:
            ModuleFormatError: If there is no such function, or if its type cannot be read.
        """
        types = [kind for _, kind in self._imports() if kind is not None]
        for cursor in self._cursors(_FUNCTION):
            types.extend(cursor.u32() for _ in range(cursor.u32()))
        wanted = types[index] if index < len(types) else None
        for number, found in enumerate(self._types()):
            if number == wanted and found is not None:
                return found
        raise ModuleFormatError(f"function {index} has no type")

    def _types(self) -> Iterator[FunctionType | None]:
        """Read the type section; None for what is no function type."""
        for cursor in self._cursors(_TYPE):
            for _ in range(cursor.u32()):
                group = cursor.u32() if cursor.take_if(_REC) else 1
                for _ in range(group):
                    yield read_type(cursor)

    def name(self) -> str | None:
        """Read the module's own name from its name section; None if it has none, or an unreadable one.

        Source: https://webassembly.github.io/spec/core/appendix/custom.html#module-names
        """
        for section in self.custom_sections("name"):
            cursor = Cursor(self._data, section.offset, section.offset + section.size, "name section")
            try:
                while not cursor.is_at_end:
                    kind, size = cursor.byte(), cursor.u32()
                    if kind == _MODULE_NAME:
                        return cursor.name() or None
                    cursor.take(size)
            except ModuleFormatError:
                # The specification: a custom section that is wrong does not make the module wrong.
                continue
        return None

    def _cursors(self, section_id: int) -> Iterator[Cursor]:
        for section in self.sections:
            if section.id == section_id:
                yield Cursor(self._data, section.offset, section.offset + section.size, f"{section.name} section")


def _read_sections(data: bytes | bytearray | memoryview) -> Iterator[Section]:
    file = Cursor(data, _HEADER_BYTES, len(data), "")
    while not file.is_at_end:
        start = file.position
        number = file.byte()
        if number >= len(_SECTIONS):
            raise file.error(f"there is no section with the number {number}", at=start)
        name = _SECTIONS[number]
        size = file.u32()
        offset, end = file.position, file.position + size
        if end > len(data):
            raise file.error(
                f"cut off: its {name} section should have {size:,} bytes, and the file ends after "
                f"{len(data) - offset:,} of them; build or download it again",
                at=start,
            )
        if number == _CUSTOM:
            inside = Cursor(data, offset, end, "custom section")
            name = inside.name()
            offset = inside.position
        yield Section(number, name, offset, end - offset)
        file.position = end


def _read_kind(cursor: Cursor) -> str:
    start = cursor.position
    kind = cursor.byte()
    if kind >= len(_KINDS):
        raise cursor.error(f"the unknown kind {kind:#x}", at=start)
    return _KINDS[kind]
