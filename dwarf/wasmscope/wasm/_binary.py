"""What modules and components have in common: they are sections in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmscope.wasm._cursor import Cursor
from wasmscope.wasm._file import close_data, open_data, release_pages
from wasmscope.wasm._section import CUSTOM, Section, read_sections

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from wasmscope.errors import ModuleFormatError
    from wasmscope.wasm._file import Data

__all__ = ["Binary"]


class Binary:
    """Sections in a file, or in a part of one.

    Attributes:
        start: Where it begins in the file.
        end: Where it ends in the file.
        sections: Its sections, in its order.
    """

    def __init__(
        self, data: Data, start: int, end: int | None, *, header: bytes, kind: str, names: tuple[str, ...]
    ) -> None:
        """Find the sections.

        Args:
            data: The file.
            start: Where to begin in it.
            end: Where to end in it; None for the file's end.
            header: How it has to begin.
            kind: What it has to be, in words.
            names: What sections are called, by number.

        Raises:
            ModuleFormatError: If it is something else, or is cut off.
        """
        self._data = data
        self._bytes: memoryview | None = memoryview(data)
        self._is_ours = False
        self.start = start
        self.end = len(data) if end is None else end
        if data[start : min(start + len(header), self.end)] != header:
            raise _wrong_kind(self._view[start : self.end], start, kind)
        self.sections = tuple(read_sections(self._view, start, self.end, names))

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a file. A large one is mapped into memory, and must not be cut while it is open.

        Args:
            path: Where it is.

        Raises:
            OSError: If it cannot be read.
            ModuleFormatError: If it is something else, or is cut off.
        """
        return cls.own(open_data(path))

    @classmethod
    def own(cls, data: Data) -> Self:
        """Take a file that `open_data` gave, and close it in the end.

        Args:
            data: The file.

        Raises:
            ModuleFormatError: If it is something else, or is cut off. It is closed then.
        """
        try:
            made = cls(data)  # type: ignore[call-arg]  # only subclasses are made
        except BaseException:
            close_data(data)
            raise
        made._is_ours = True
        return made

    def close(self) -> None:
        """Let go of the file. What has been read stays; nothing more can be read.

        Views that were given out stay valid, and keep a mapped file mapped.
        """
        if self._bytes is not None:
            self._bytes.release()
            self._bytes = None
            if self._is_ours:
                close_data(self._data)
            self._data = b""

    def release_pages(self) -> None:
        """Give back the memory that holds what has been read of a mapped file. It comes back when it is read again.

        Nothing happens to data that was given: what others have changed in a mapping of theirs would be lost.
        """
        if self._bytes is not None and self._is_ours:
            release_pages(self._data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def data(self) -> Data:
        """The file, of which this may be a part: see `start` and `end`.

        Raises:
            ValueError: If it is closed.
        """
        if self._bytes is None:
            raise ValueError("the file is closed")
        return self._data

    @property
    def _view(self) -> memoryview:
        if self._bytes is None:
            raise ValueError("the file is closed")
        return self._bytes

    def custom_sections(self, name: str) -> tuple[Section, ...]:
        """Give the custom sections of a name; there may be several."""
        return tuple(s for s in self.sections if s.id == CUSTOM and s.name == name)

    def contents(self, section: Section) -> bytes:
        """Give a section's contents."""
        return bytes(self.view(section))

    def view(self, section: Section) -> memoryview:
        """Give a section's contents without a copy of them."""
        return self._view[section.offset : section.end].toreadonly()

    def _custom(self, name: str) -> Iterator[Cursor]:
        for section in self.custom_sections(name):
            yield Cursor(self._view, section.offset, section.end, f"{name} section")


def _wrong_kind(data: memoryview, start: int, kind: str) -> ModuleFormatError:
    from wasmscope.errors import ModuleFormatError
    from wasmscope.wasm._kind import FileKind, identify

    found = identify(data)
    advice = f"; {found.advice}" if found.advice and found.kind is FileKind.OTHER else ""
    return ModuleFormatError(f"this is {found.description}, not a WebAssembly {kind}{advice}", offset=start)
