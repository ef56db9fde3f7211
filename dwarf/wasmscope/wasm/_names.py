"""The names that a module gives to what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final

from wasmscope.errors import ModuleFormatError
from wasmscope.wasm._cursor import Cursor

__all__ = ["SUBSECTIONS", "Names"]

SUBSECTIONS: Final = (
    "module",
    "functions",
    "locals",
    "labels",
    "types",
    "tables",
    "memories",
    "globals",
    "elements",
    "data",
    "fields",
    "tags",
)
"""By number.

Sources: https://webassembly.github.io/spec/core/appendix/custom.html#name-section,
https://github.com/WebAssembly/extended-name-section
"""
_MOST: Final = 1_000_000
"""Names of one kind, all in all: runtimes accept no more functions, https://webassembly.github.io/spec/js-api/#limits"""

_NameMap = Mapping[int, str]


class Names:
    """The name section, each part read when it is asked for.

    A name section never makes a module wrong. So what cannot be read is left out, and `problems` says so.

    Attributes:
        subsections: Where each part is: its number, and its contents' begin and end as byte offsets in the file.
    """

    def __init__(self, data: memoryview, sections: tuple[tuple[int, int], ...]) -> None:
        """Find the parts.

        Args:
            data: The file.
            sections: Begin and end of the name section's contents; of each, if there are several.
        """
        self._data = data
        self._problems: list[str] = []
        found: list[tuple[int, int, int]] = []
        for start, end in sections:
            cursor = Cursor(data, start, end, "name section")
            try:
                while not cursor.is_at_end and len(found) < len(SUBSECTIONS) * 10:
                    kind, size = cursor.byte(), cursor.u32()
                    begin = cursor.position
                    # Of a part that is cut off, the names that are there can be read.
                    found.append((kind, begin, min(begin + size, end)))
                    cursor.skip(size)
            except ModuleFormatError as error:
                self._problems.append(str(error))
        self.subsections = tuple(found)

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be read, of all that has been asked for so far; one line each, with the place."""
        return tuple(self._problems)

    @cached_property
    def module(self) -> str | None:
        """The module's own name; None if it has none, or an unreadable one."""
        for kind, start, end in self.subsections:
            if kind == 0:
                cursor = Cursor(self._data, start, end, "name section: module")
                try:
                    return cursor.name() or None
                except ModuleFormatError as error:
                    self._problems.append(str(error))
        return None

    @cached_property
    def functions(self) -> _NameMap:
        """Names of functions, imported ones included, as the linker knows them: mangled, perhaps."""
        return self._flat(1)

    @cached_property
    def locals(self) -> Mapping[int, _NameMap]:
        """Names of locals, parameters included, by function."""
        return self._nested(2)

    @cached_property
    def labels(self) -> Mapping[int, _NameMap]:
        """Names of labels, by function."""
        return self._nested(3)

    @cached_property
    def types(self) -> _NameMap:
        """Names of types."""
        return self._flat(4)

    @cached_property
    def tables(self) -> _NameMap:
        """Names of tables."""
        return self._flat(5)

    @cached_property
    def memories(self) -> _NameMap:
        """Names of memories."""
        return self._flat(6)

    @cached_property
    def globals(self) -> _NameMap:
        """Names of globals."""
        return self._flat(7)

    @cached_property
    def elements(self) -> _NameMap:
        """Names of element segments."""
        return self._flat(8)

    @cached_property
    def data(self) -> _NameMap:
        """Names of data segments: what the linker calls them, such as ``.rodata``."""
        return self._flat(9)

    @cached_property
    def fields(self) -> Mapping[int, _NameMap]:
        """Names of structs' fields, by type."""
        return self._nested(10)

    @cached_property
    def tags(self) -> _NameMap:
        """Names of tags."""
        return self._flat(11)

    def _flat(self, wanted: int) -> dict[int, str]:
        found: dict[int, str] = {}
        for kind, start, end in self.subsections:
            if kind == wanted:
                cursor = Cursor(self._data, start, end, f"name section: {SUBSECTIONS[wanted]}")
                try:
                    self._read(cursor, found, _MOST - len(found))
                    self._check_end(cursor)
                except ModuleFormatError as error:
                    self._problems.append(str(error))
        return found

    def _nested(self, wanted: int) -> dict[int, dict[int, str]]:
        found: dict[int, dict[int, str]] = {}
        room = _MOST
        for kind, start, end in self.subsections:
            if kind != wanted:
                continue
            cursor = Cursor(self._data, start, end, f"name section: {SUBSECTIONS[wanted]}")
            try:
                for _ in range(cursor.u32()):
                    # One for the map itself, which may be empty.
                    room -= 1 + self._read(cursor, found.setdefault(cursor.u32(), {}), room)
                    if room <= 0:
                        raise cursor.error(f"more than {_MOST:,} names")
                self._check_end(cursor)
            except ModuleFormatError as error:
                self._problems.append(str(error))
        return found

    def _read(self, cursor: Cursor, found: dict[int, str], most: int) -> int:
        """Read a map of names into one that may have some; what it has stays.

        Returns:
            How many there were.
        """
        announced = cursor.u32()
        for _ in range(min(announced, most)):
            index = cursor.u32()
            name = self._text(cursor, cursor.u32())
            found.setdefault(index, name)
        if announced > most:
            raise cursor.error(f"more than {_MOST:,} names")
        return announced

    def _text(self, cursor: Cursor, size: int) -> str:
        start = cursor.position
        cursor.skip(size)
        try:
            return str(self._data[start : cursor.position], "utf-8")
        except UnicodeDecodeError as error:
            self._problems.append(str(cursor.error("a name is not UTF-8", at=start + error.start)))
            return str(self._data[start : cursor.position], "utf-8", "replace")

    @staticmethod
    def _check_end(cursor: Cursor) -> None:
        if not cursor.is_at_end:
            raise cursor.error(f"{cursor.end - cursor.position:,} bytes are left after the last name")
