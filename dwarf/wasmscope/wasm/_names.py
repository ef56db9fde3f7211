"""The names that a module gives to what is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final

from wasmscope.errors import ModuleFormatError
from wasmscope.wasm._cursor import Cursor
from wasmscope.wasm._name_map import NameMap

if TYPE_CHECKING:
    from wasmscope.wasm._file import Data

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

_MOST_PARTS: Final = 100
_MOST_PROBLEMS: Final = 100


class Names:
    """The name section, each part read when it is asked for.

    A name section never makes a module wrong. So what cannot be read is left out, and `problems` says so.

    Attributes:
        subsections: Where each part is: its number, and its contents' begin and end as byte offsets in the file.
    """

    def __init__(self, data: Data, sections: tuple[tuple[int, int], ...]) -> None:
        """Find the parts.

        Args:
            data: The file.
            sections: Begin and end of the name section's contents; of each, if there are several.
        """
        self._data = data
        self._problems: dict[str, None] = {}
        found: list[tuple[int, int, int]] = []
        for start, end in sections:
            cursor = Cursor(data, start, end, "name section")
            try:
                while not cursor.is_at_end:
                    if len(found) == _MOST_PARTS:
                        raise cursor.error(f"more than {_MOST_PARTS} parts")
                    kind, size = cursor.byte(), cursor.u32()
                    begin = cursor.position
                    # Of a part that is cut off, the names that are there can be read.
                    found.append((kind, begin, min(begin + size, end)))
                    cursor.skip(size)
            except ModuleFormatError as error:
                self._report(str(error))
        self.subsections = tuple(found)

    @property
    def problems(self) -> tuple[str, ...]:
        """What could not be read, of all that has been asked for so far; one line each, with the place."""
        return tuple(self._problems)

    @cached_property
    def module(self) -> str | None:
        """The module's own name; None if it has none, or an unreadable one."""
        for cursor in self._cursors(0):
            try:
                return cursor.name() or None
            except ModuleFormatError as error:
                self._report(str(error))
        return None

    @cached_property
    def functions(self) -> NameMap:
        """Names of functions, imported ones included, as the linker knows them: mangled, perhaps."""
        return self._flat(1)

    @cached_property
    def locals(self) -> Mapping[int, NameMap]:
        """Names of locals, parameters included, by function."""
        return self._nested(2)

    @cached_property
    def labels(self) -> Mapping[int, NameMap]:
        """Names of labels, by function."""
        return self._nested(3)

    @cached_property
    def types(self) -> NameMap:
        """Names of types."""
        return self._flat(4)

    @cached_property
    def tables(self) -> NameMap:
        """Names of tables."""
        return self._flat(5)

    @cached_property
    def memories(self) -> NameMap:
        """Names of memories."""
        return self._flat(6)

    @cached_property
    def globals(self) -> NameMap:
        """Names of globals."""
        return self._flat(7)

    @cached_property
    def elements(self) -> NameMap:
        """Names of element segments."""
        return self._flat(8)

    @cached_property
    def data(self) -> NameMap:
        """Names of data segments: what the linker calls them, such as ``.rodata``."""
        return self._flat(9)

    @cached_property
    def fields(self) -> Mapping[int, NameMap]:
        """Names of structs' fields, by type."""
        return self._nested(10)

    @cached_property
    def tags(self) -> NameMap:
        """Names of tags."""
        return self._flat(11)

    def _flat(self, wanted: int) -> NameMap:
        found = NameMap(self._data, self._report)
        for cursor in self._cursors(wanted):
            try:
                found.read(cursor, _MOST - len(found))
                self._check_end(cursor)
            except ModuleFormatError as error:
                self._report(str(error))
        return found

    def _nested(self, wanted: int) -> dict[int, NameMap]:
        found: dict[int, NameMap] = {}
        room = _MOST
        for cursor in self._cursors(wanted):
            try:
                for _ in range(cursor.u32()):
                    index = cursor.u32()
                    names = found.setdefault(index, NameMap(self._data, self._report))
                    names.read(cursor, room)
                    # One for the map itself, which may be empty.
                    room -= 1 + len(names)
                    if room <= 0:
                        raise cursor.error(f"more than {_MOST:,} names")
                self._check_end(cursor)
            except ModuleFormatError as error:
                self._report(str(error))
        return found

    def _cursors(self, wanted: int) -> Iterator[Cursor]:
        for kind, start, end in self.subsections:
            if kind == wanted:
                yield Cursor(self._data, start, end, f"name section: {SUBSECTIONS[wanted]}")

    def _report(self, problem: str) -> None:
        if len(self._problems) < _MOST_PROBLEMS:
            self._problems[problem] = None

    @staticmethod
    def _check_end(cursor: Cursor) -> None:
        if not cursor.is_at_end:
            raise cursor.error(f"{cursor.end - cursor.position:,} bytes are left after the last name")
