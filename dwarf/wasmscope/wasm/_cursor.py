"""A position in bytes that are read forwards, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmscope.errors import ModuleFormatError

if TYPE_CHECKING:
    from wasmscope.wasm._file import Data

__all__ = ["Cursor"]

_MOST_ENTRIES: Final = 1_000_000
"""Of functions, types, imports and so on; an entry of two bytes can take fifty times as much memory once it is read.

Source: https://webassembly.github.io/spec/js-api/#limits
"""


class Cursor:
    """Reads values of the binary format from part of a file.

    Guarantees: nothing outside ``[position, end)`` is looked at, and whatever the bytes are, a read either moves
    forwards or raises `ModuleFormatError` with the place in the file.

    Source: https://webassembly.github.io/spec/core/binary/values.html

    Attributes:
        position: Where the next read begins: a byte offset in the file.
        end: Where the part ends.
    """

    __slots__ = ("_data", "_what", "end", "position")

    def __init__(self, data: Data, position: int, end: int, what: str) -> None:
        """Begin to read.

        Args:
            data: The file.
            position: Where to begin.
            end: Where to stop.
            what: What the part is called in errors; empty for the file as a whole.
        """
        self._data = data
        self._what = what
        self.position = position
        self.end = min(end, len(data))

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return self.position >= self.end

    def take(self, size: int) -> bytes:
        """Read that many bytes."""
        start = self.position
        self.skip(size)
        return bytes(self._data[start : self.position])

    def skip(self, size: int) -> None:
        """Go over that many bytes."""
        left = max(self.end - self.position, 0)
        if size > left:
            raise self.error(f"{size:,} bytes are announced and {left:,} are left")
        self.position += size

    def count(self, smallest: int = 1) -> int:
        """Read how many entries follow.

        Args:
            smallest: Fewest bytes that an entry has: more entries than there is room for are refused at once.

        Raises:
            ModuleFormatError: If they are too many for the bytes that are left, or for any runtime.
        """
        start = self.position
        found = self.u32()
        left = self.end - self.position
        if found > _MOST_ENTRIES:
            raise self.error(f"{found:,} entries are announced; no runtime takes more than {_MOST_ENTRIES:,}", at=start)
        if found * smallest > left:
            raise self.error(f"{found:,} entries are announced and {left:,} bytes are left", at=start)
        return found

    def byte(self) -> int:
        """Read one byte."""
        if self.position >= self.end:
            raise self.error("it ends in the middle of an entry")
        value = self._data[self.position]
        self.position += 1
        return value

    def take_if(self, *values: int) -> bool:
        """Read one byte if it is one of these; whether it was."""
        found = self.position < self.end and self._data[self.position] in values
        self.position += found
        return found

    def u32(self) -> int:
        """Read an unsigned LEB128 number of at most 32 bits."""
        return self._unsigned(32)

    def u64(self) -> int:
        """Read an unsigned LEB128 number of at most 64 bits."""
        return self._unsigned(64)

    def _unsigned(self, bits: int) -> int:
        start = self.position
        value = shift = 0
        while shift < bits:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                if value >> bits:
                    break
                return value
        raise self.error(f"a number does not fit into {bits} bits", at=start)

    def s32(self) -> int:
        """Read a signed LEB128 number of at most 32 bits."""
        return self._signed(32)

    def s33(self) -> int:
        """Read a signed LEB128 number of at most 33 bits, as heap types are."""
        return self._signed(33)

    def s64(self) -> int:
        """Read a signed LEB128 number of at most 64 bits."""
        return self._signed(64)

    def _signed(self, bits: int) -> int:
        start = self.position
        value = shift = 0
        while shift < bits:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                if byte & 0x40:
                    value -= 1 << shift
                if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
                    break
                return value
        raise self.error(f"a number does not fit into {bits} bits", at=start)

    def name(self) -> str:
        """Read a name: a vector of UTF-8 bytes."""
        size = self.u32()
        start = self.position
        raw = self.take(size)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise self.error("a name is not UTF-8", at=start + error.start) from None

    def error(self, message: str, *, at: int | None = None) -> ModuleFormatError:
        """Make an error that says where.

        Args:
            message: What is wrong.
            at: Where in the file; None for the current position.
        """
        where = f"{self._what}: " if self._what else ""
        return ModuleFormatError(f"{where}{message}", offset=self.position if at is None else at)
