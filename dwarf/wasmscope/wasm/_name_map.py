"""Names by index, decoded when they are asked for."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from wasmscope.wasm._cursor import Cursor

if TYPE_CHECKING:
    from wasmscope.wasm._file import Data

__all__ = ["NameMap"]


class NameMap(Mapping[int, str]):
    """A map of names, as the name section has them: of a hundred thousand names, few are ever looked at.

    Source: https://webassembly.github.io/spec/core/appendix/custom.html#name-maps
    """

    __slots__ = ("_data", "_indices", "_offsets", "_report")

    def __init__(self, data: Data, report: Callable[[str], None]) -> None:
        """Begin with no names.

        Args:
            data: The file.
            report: Is told of names that are not UTF-8. They are given with a replacement character.
        """
        self._data = data
        self._report = report
        self._indices = array("I")
        self._offsets = array("Q")

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self._indices)

    def __contains__(self, index: object) -> bool:
        return isinstance(index, int) and self._position(index) is not None

    def __getitem__(self, index: int) -> str:
        position = self._position(index)
        if position is None:
            raise KeyError(index)
        cursor = Cursor(self._data, self._offsets[position], len(self._data), "name section")
        raw = cursor.take(cursor.u32())
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            self._report(str(cursor.error("a name is not UTF-8", at=cursor.position - len(raw) + error.start)))
            return raw.decode(errors="replace")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self):,} names>"

    def _position(self, index: int) -> int | None:
        position = bisect_left(self._indices, index)
        return position if position < len(self._indices) and self._indices[position] == index else None

    def read(self, cursor: Cursor, most: int) -> None:
        """Add a map of names. Of an index that is there already, the first name stays.

        Args:
            cursor: Where it begins; it is moved behind the last name that could be read.
            most: How many names to read at most.

        Raises:
            ModuleFormatError: If not all could be read. Those before are there.
        """
        announced = cursor.u32()
        try:
            self._scan(cursor, min(announced, most))
        finally:
            self._put_in_order()
        if announced > most:
            raise cursor.error(f"more than {most:,} names")

    def _scan(self, cursor: Cursor, count: int) -> None:
        """Note where names are, in one loop without calls: there can be a hundred thousand of them."""
        data, end = self._data, cursor.end
        add_index, add_offset = self._indices.append, self._offsets.append
        at = cursor.position
        try:
            for _ in range(count):
                index = data[at]
                at += 1
                if index >= 0x80:
                    index &= 0x7F
                    byte = 0
                    for shift in (7, 14, 21, 28):
                        byte = data[at]
                        at += 1
                        index |= (byte & 0x7F) << shift
                        if byte < 0x80:
                            break
                    if byte >= 0x80 or index > 0xFFFF_FFFF:
                        raise cursor.error("an index does not fit into 32 bits")
                begin = at
                size = data[at]
                at += 1
                if size >= 0x80:
                    size &= 0x7F
                    for shift in (7, 14, 21, 28):
                        byte = data[at]
                        at += 1
                        size |= (byte & 0x7F) << shift
                        if byte < 0x80:
                            break
                    else:
                        raise cursor.error("the size of a name does not fit into 32 bits")
                at += size
                if at > end:
                    raise IndexError
                add_index(index)
                add_offset(begin)
                cursor.position = at
        except IndexError:
            where = "before" if cursor.is_at_end else "in the middle of"
            raise cursor.error(f"it ends {where} a name") from None

    def _put_in_order(self) -> None:
        """Put the indices in order, as the specification wants them, and each once."""
        indices, offsets = self._indices, self._offsets
        if all(map(int.__lt__, indices, indices[1:])):
            return
        ordered = sorted(range(len(indices)), key=indices.__getitem__)
        kept = [p for n, p in enumerate(ordered) if n == 0 or indices[p] != indices[ordered[n - 1]]]
        self._indices = array("I", [indices[p] for p in kept])
        self._offsets = array("Q", [offsets[p] for p in kept])
