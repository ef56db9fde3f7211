"""Where the functions' bodies are in a module's code section."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmscope.wasm._cursor import Cursor

if TYPE_CHECKING:
    from wasmscope.wasm._file import Data

__all__ = ["Bodies", "Body", "no_bodies", "read_bodies"]

_SHORTEST: Final = 2
"""Bytes of a body that does nothing: no locals, end."""


class Body(NamedTuple):
    """Where a function's code is.

    Attributes:
        function_index: Index of the function, imported ones counted first.
        offset: Where its first byte is (the vector of its locals, after the body's size), as a byte offset in the file.
        size: How many bytes it has.
    """

    function_index: int
    offset: int
    size: int

    @property
    def end(self) -> int:
        """Where it ends, as a byte offset in the file: the byte after its last one."""
        return self.offset + self.size


class Bodies:
    """All bodies of a module, in the order of the file, which is that of the functions' indices.

    Source: https://webassembly.github.io/spec/core/binary/modules.html#code-section

    Attributes:
        starts: Offset of each body in the file.
        ends: Where each of them ends, as an offset in the file.
        first_function: Function index of the first one.
    """

    __slots__ = ("ends", "first_function", "starts")

    def __init__(self, starts: array[int], ends: array[int], first_function: int) -> None:
        """Take places of bodies.

        Args:
            starts: Offset of each, ascending.
            ends: Where each ends, not after the next one's start.
            first_function: Function index of the first one.
        """
        self.starts = starts
        self.ends = ends
        self.first_function = first_function

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, position: int) -> Body:
        """Give a body by its position among the bodies, not by its function's index."""
        start = self.starts[position]
        if position < 0:
            position += len(self.starts)
        return Body(self.first_function + position, start, self.ends[position] - start)

    def __iter__(self) -> Iterator[Body]:
        for index, (start, end) in enumerate(zip(self.starts, self.ends, strict=True), self.first_function):
            yield Body(index, start, end - start)

    def find(self, file_offset: int) -> Body | None:
        """Find the body that has a byte; the bytes that give a body's size belong to none.

        Args:
            file_offset: Where the byte is in the file.
        """
        position = self._position(file_offset)
        return None if position is None else self[position]

    def function_at(self, file_offset: int) -> int | None:
        """Give the index of the function in whose body a byte is; None if it is in none.

        Args:
            file_offset: Where the byte is in the file.
        """
        position = self._position(file_offset)
        return None if position is None else self.first_function + position

    def _position(self, file_offset: int) -> int | None:
        position = bisect_right(self.starts, file_offset) - 1
        return position if position >= 0 and file_offset < self.ends[position] else None

    def of_function(self, function_index: int) -> Body | None:
        """Give the body of a function; None if it is imported, or if there is none of that index.

        Args:
            function_index: Its index, imported ones counted first.
        """
        position = function_index - self.first_function
        return self[position] if 0 <= position < len(self.starts) else None


def no_bodies(first_function: int) -> Bodies:
    """Give the bodies of a module without a code section.

    Args:
        first_function: Function index that the first body would have.
    """
    return Bodies(array("Q"), array("Q"), first_function)


def read_bodies(data: Data, offset: int, end: int, first_function: int) -> Bodies:
    """Find the bodies of a code section. What is in them is not looked at.

    Args:
        data: The file.
        offset: Where the section's contents begin.
        end: Where they end.
        first_function: Function index of the first body.

    Raises:
        ModuleFormatError: If the bodies do not fill the section.
    """
    cursor = Cursor(data, offset, end, "code section")
    count = cursor.count(1 + _SHORTEST)
    starts, ends = array("Q"), array("Q")
    add_start, add_end = starts.append, ends.append
    at = cursor.position
    # A module can have a hundred thousand bodies: so this is one loop without calls. The numbers in it may be read past
    # the section's end, which is seen after each of them, but not past the file's, which raises.
    try:
        for _ in range(count):
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
                    raise cursor.error("the size of a body does not fit into 32 bits", at=begin)
            if size < _SHORTEST:
                raise cursor.error(f"a body of {size} bytes", at=begin)
            add_start(at)
            at += size
            if at > end:
                raise cursor.error(f"body {len(starts) - 1:,} of {count:,} goes on after the section's end", at=begin)
            add_end(at)
    except IndexError:
        raise cursor.error("it ends in the middle of a body's size", at=end) from None
    if at != end:
        raise cursor.error(f"{end - at:,} bytes are left after the last of {count:,} bodies", at=at)
    return Bodies(starts, ends, first_function)
