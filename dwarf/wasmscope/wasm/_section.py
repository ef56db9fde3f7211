"""Where a section is, and the sections of a module or component."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from wasmscope.errors import ModuleFormatError
from wasmscope.wasm._cursor import Cursor

__all__ = ["COMPONENT_SECTIONS", "CUSTOM", "HEADER_BYTES", "MODULE_SECTIONS", "Section", "read_sections"]

HEADER_BYTES: Final = 8
CUSTOM: Final = 0
MODULE_SECTIONS: Final = (
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
"""By number: https://webassembly.github.io/spec/core/binary/modules.html#sections"""
COMPONENT_SECTIONS: Final = (
    "custom",
    "core module",
    "core instance",
    "core type",
    "component",
    "instance",
    "alias",
    "type",
    "canon",
    "start",
    "import",
    "export",
    "value",
)
"""By number: https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md#component-definitions"""
_MOST: Final = 100_000
"""Sections of two bytes each, and an object for each, would take fifty times the file."""
_LONGEST_SHOWN: Final = 40


class Section(NamedTuple):
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

    @property
    def end(self) -> int:
        """Where its contents end, as a byte offset in the file."""
        return self.offset + self.size


def read_sections(data: memoryview, start: int, end: int, names: tuple[str, ...]) -> Iterator[Section]:
    """Go over the sections of a module or component.

    Args:
        data: The file.
        start: Where the module begins, with its header.
        end: Where it ends.
        names: What sections are called, by number.

    Raises:
        ModuleFormatError: If one is of an unknown kind or does not end where the file does, or if they are too many.
    """
    file = Cursor(data, start + HEADER_BYTES, end, "")
    for _ in range(_MOST):
        if file.is_at_end:
            return
        begin = file.position
        number = file.byte()
        if number >= len(names):
            raise file.error(f"there is no section with the number {number}", at=begin)
        name = names[number]
        size = file.u32()
        offset, after = file.position, file.position + size
        if after > end:
            if number == CUSTOM:
                name = _cut_name(data, offset, end) or name
            raise file.error(
                f"cut off: its {name} section should have {size:,} bytes, and the file ends after "
                f"{end - offset:,} of them; build or download it again",
                at=begin,
            )
        if number == CUSTOM:
            inside = Cursor(data, offset, after, "custom section")
            name = inside.name()
            offset = inside.position
        yield Section(number, name, offset, after - offset)
        file.position = after
    if not file.is_at_end:
        raise file.error(f"more than {_MOST:,} sections")


def _cut_name(data: memoryview, offset: int, end: int) -> str | None:
    """Read the name of a custom section that is cut off; None if that is cut off, too."""
    try:
        name = Cursor(data, offset, end, "").name()
    except ModuleFormatError:
        return None
    return name if name.isprintable() and len(name) <= _LONGEST_SHOWN else None
