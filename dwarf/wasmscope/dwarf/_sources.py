"""Lines of source files, for people who want to see the code and not only its place.

Debug information names files of the machine where the module was built. Here they may lie elsewhere, be other files, or
be chosen by somebody who wants to see what we print: so reading is bounded, and what is not text does not come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from wasmscope.dwarf._local_files import read_file
from wasmscope.errors import ConfigurationError, DebugInfoError

__all__ = ["PathMap", "SourceLine", "Sources"]

_MAX_FILE_BYTES: Final = 16 * 1024 * 1024
_MAX_LINE_CHARACTERS: Final = 500
_TAB_CHARACTERS: Final = 4
_MAX_FILES_KEPT: Final = 16
_BYTE_ORDER_MARKS: Final = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


class PathMap(NamedTuple):
    """Where files with a common beginning of their paths are on this machine.

    Attributes:
        before: The beginning, as debug information has it: a folder.
        after: What to put in its place.
    """

    before: str
    after: str

    @classmethod
    def parse(cls, text: str) -> PathMap:
        """Read ``FROM=TO``.

        Raises:
            ConfigurationError: If it is none.
        """
        before, equals, after = text.partition("=")
        if not equals or not before.rstrip("/\\"):
            raise ConfigurationError(f"{text!r} maps no path: write FROM=TO, for example /build/src=.")
        return cls(before, after)

    def apply(self, path: str) -> str | None:
        """Give the path on this machine; None if it does not begin so. Parts of a folder's name do not count."""
        before = self.before.rstrip("/\\")
        rest = path[len(before) :]
        if not path.startswith(before) or (rest and rest[0] not in "/\\"):
            return None
        after = self.after.rstrip("/\\") if len(self.after) > 1 else self.after
        if not rest:
            return after
        return rest[1:] if not after else after.removesuffix("/") + rest


class SourceLine(NamedTuple):
    """A line of a source file, fit for a terminal.

    Attributes:
        number: Its number, from 1.
        text: The line without its end. Tabs are spaces, control characters are replaced, and it is cut if it is long.
        marker: Where in `text` the column is that was asked for, from 0; None on all other lines.
    """

    number: int
    text: str
    marker: int | None


class Sources:
    """Source files on this machine."""

    def __init__(self, path_maps: Sequence[PathMap] = ()) -> None:
        """Choose where they are.

        Args:
            path_maps: Beginnings of paths to replace. Of those that fit, the longest counts.
        """
        self._path_maps = sorted(path_maps, key=lambda path_map: -len(path_map.before.rstrip("/\\")))
        self._files: dict[str, list[str] | None] = {}

    def path(self, file: str) -> str:
        """Give the path of a file on this machine.

        Args:
            file: As in `Frame.file`.
        """
        return next((found for m in self._path_maps if (found := m.apply(file)) is not None), file)

    def lines(
        self, file: str, line: int, *, column: int | None = None, around: int = 2, content: str | None = None
    ) -> tuple[SourceLine, ...]:
        """Give a line and those around it.

        Args:
            file: As in `Frame.file`.
            line: The line, from 1.
            column: Where in the line, from 1; None if it is not known.
            around: How many lines before, and how many after it.
            content: The file's text, for one that a source map carries; None to read it.

        Returns:
            The lines that there are; none if the file cannot be read, is no text, or is too short to have the line.
        """
        text = self._read(self.path(file)) if content is None else _split(content)
        if text is None or not 1 <= line <= len(text):
            return ()
        first, last = max(1, line - around), min(len(text), line + around)
        return tuple(_source_line(n, text[n - 1], column if n == line else None) for n in range(first, last + 1))

    def _read(self, path: str) -> list[str] | None:
        if path not in self._files:
            if len(self._files) >= _MAX_FILES_KEPT:
                self._files.clear()
            try:
                self._files[path] = _split(_decode(read_file(path, _MAX_FILE_BYTES)))
            except DebugInfoError:
                self._files[path] = None
        return self._files[path]


def _decode(data: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    if b"\0" in data:
        raise DebugInfoError("no text")
    return data.decode("utf-8", "replace")


def _split(text: str) -> list[str]:
    """Split into lines as compilers do: not, as str.splitlines does, at form feeds and at what Unicode calls lines."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    return lines


def _source_line(number: int, line: str, column: int | None) -> SourceLine:
    is_cut = len(line) > _MAX_LINE_CHARACTERS
    line = line[:_MAX_LINE_CHARACTERS]
    text = _printable(line)
    marker = None
    if column is not None and 1 <= column <= len(line) + 1:
        marker = len(_printable(line[: column - 1]))
    return SourceLine(number, text + "…" if is_cut else text, marker)


def _printable(line: str) -> str:
    line = line.expandtabs(_TAB_CHARACTERS)
    return line if line.isprintable() else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
