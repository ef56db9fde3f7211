"""Source maps of WebAssembly modules.

A map's one line of generated code is the module's file, and a column is a byte offset in it. There are no functions and
no inlined calls in a map: only positions.

Source: https://tc39.es/ecma426/ and
https://github.com/WebAssembly/tool-conventions/blob/main/Debugging.md#source-maps
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import Any, Final, NamedTuple, TypeGuard

from wasmscope.errors import DebugInfoError

__all__ = ["MAX_MAP_BYTES", "Position", "SourceMap", "read_source_map"]

MAX_MAP_BYTES: Final = 128 * 1024 * 1024
"""The largest file that is read as a source map: about 20 times that of the largest module in the wild."""
_MAX_MAPPINGS: Final = 10_000_000
_MAX_SECTIONS: Final = 100_000
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
# https://tc39.es/ecma426/#sec-base64-vlq: the lowest bit of a number is its sign, the highest of a digit (32) says that
# more digits follow. Here a comma is 64, and all else 255.
_DIGITS: Final = bytes(
    64 if character == b","[0] else found if (found := _ALPHABET.find(character)) >= 0 else 255
    for character in range(256)
)
_MAX_SHIFT: Final = 30  # of a number's last digit


class Position(NamedTuple):
    """A place in a source file.

    Attributes:
        source: Path or URL of the file, joined with the map's ``sourceRoot``; None if the map does not tell.
        line: Line, from 1.
        column: Column, from 1, in UTF-16 code units where the compiler kept to the standard.
        name: The identifier at this place; None if the map does not tell.
    """

    source: str | None
    line: int
    column: int
    name: str | None


class SourceMap:
    """A decoded source map.

    Attributes:
        sources: Paths or URLs of the source files, each joined with ``sourceRoot``; None where the map has null.
        debug_id: What ties the map to one module, as the map spells it; None if it does not tell.
    """

    __slots__ = (
        "_columns",
        "_contents",
        "_lines",
        "_name_of",
        "_names",
        "_offsets",
        "_source_of",
        "debug_id",
        "sources",
    )

    def __init__(self, columns: _Columns, debug_id: str | None) -> None:
        """Take what `read_source_map` has decoded."""
        self.sources = tuple(columns.sources)
        self.debug_id = debug_id
        self._names = columns.names
        self._contents = columns.contents
        self._offsets, self._source_of, self._lines, self._columns, self._name_of = columns.sorted()

    def __len__(self) -> int:
        """Count the mappings that lead to a source."""
        return len(self._offsets)

    @property
    def first_offset(self) -> int | None:
        """The lowest file offset that is mapped; None if nothing is."""
        return self._offsets[0] if self._offsets else None

    @property
    def last_offset(self) -> int | None:
        """The highest file offset that is mapped; None if nothing is."""
        return self._offsets[-1] if self._offsets else None

    def find(self, offset: int, start: int, end: int) -> Position | None:
        """Give the position of an instruction, looking at nothing outside of its function.

        Code that the compiler left unmapped belongs to what comes before it in the function, or, at the function's
        entry, to the first thing that is mapped.

        Args:
            offset: The instruction's offset in the file.
            start: Where the function's body begins in the file.
            end: Where it ends.
        """
        at = bisect_right(self._offsets, offset) - 1
        if at < 0 or self._offsets[at] < start:
            at = bisect_left(self._offsets, start)
            if at == len(self._offsets) or self._offsets[at] >= end:
                return None
        name = self._name_of[at]
        return Position(
            self.sources[self._source_of[at]],
            self._lines[at] + 1,
            self._columns[at] + 1,
            None if name < 0 else self._names[name],
        )

    def content(self, source: str) -> str | None:
        """Give the text of a source file if the map carries it (``sourcesContent``).

        Args:
            source: As in `sources`.
        """
        return self._contents.get(source)


def read_source_map(data: bytes | memoryview) -> SourceMap:
    """Decode a source map.

    Args:
        data: The file: JSON, perhaps behind the line ``)]}'`` that keeps browsers from running it.

    Raises:
        DebugInfoError: If it is not a source map, is broken, or is larger than we read.
    """
    if len(data) > MAX_MAP_BYTES:
        raise DebugInfoError(f"the source map has {len(data):,} bytes, and at most {MAX_MAP_BYTES:,} are read")
    document = _parse(bytes(data))
    columns = _Columns()
    sections = document.get("sections")
    if sections is None:
        columns.add(document, 0)
    else:
        _add_sections(columns, sections)
    debug_id = document.get("debugId", document.get("debug_id"))
    return SourceMap(columns, _clean(debug_id) if isinstance(debug_id, str) else None)


def _parse(data: bytes) -> dict[str, Any]:
    import json  # takes 5 ms to import, and most modules have no source map

    if data.startswith(b")]}'"):
        data = data.partition(b"\n")[2]
    try:
        document: Any = json.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except RecursionError:
        raise DebugInfoError("the source map's JSON is nested too deeply") from None
    except ValueError as error:
        # Its message may quote the whole document, but for the class that says where.
        where = f" at character {error.pos:,}: {error.msg}" if isinstance(error, json.JSONDecodeError) else ""
        raise DebugInfoError(f"the source map is not JSON{where}; was its file cut off?") from None
    if not _is_object(document) or ("mappings" not in document and "sections" not in document):
        raise DebugInfoError("this is JSON, and not a source map: it has no mappings")
    if document.get("version") != 3:
        raise DebugInfoError("the source map is not of version 3")
    return document


def _add_sections(columns: _Columns, sections: Any) -> None:
    """Decode an index map: one that is put together from others.

    Source: https://tc39.es/ecma426/#sec-index-source-map
    """
    for number, section in enumerate(_checked(sections, "sections", (dict,))):
        offset, part = section.get("offset"), section.get("map")
        if number >= _MAX_SECTIONS:
            raise DebugInfoError(f"the source map has more than {_MAX_SECTIONS:,} sections")
        if not _is_object(part) or "mappings" not in part:
            raise DebugInfoError(f"the source map's section {number} has no map in it; sections elsewhere are not read")
        line, column = (offset.get("line"), offset.get("column")) if _is_object(offset) else (None, None)
        if type(line) is not int or type(column) is not int or not 0 <= column < 1 << 32:
            raise DebugInfoError(f"the source map's section {number} does not say where it begins")
        if line == 0:  # there is no other in a binary file
            columns.add(part, column)


class _Columns:
    """The mappings of one or more maps, column by column."""

    def __init__(self) -> None:
        self.sources: list[str | None] = []
        self.names: list[str] = []
        self.contents: dict[str, str] = {}
        self._offsets = array("I")
        self._source_of = array("I")
        self._lines = array("I")
        self._columns = array("I")
        self._name_of = array("i")

    def add(self, document: dict[str, Any], shift: int) -> None:
        """Decode a map and put it behind what there is.

        Args:
            document: The map.
            shift: What its columns count from: a file offset.
        """
        source_base, name_base = len(self.sources), len(self.names)
        self._add_sources(document)
        self.names.extend(_clean(n) for n in _checked(document.get("names"), "names", (str,)))
        mappings = document["mappings"]
        if not isinstance(mappings, str):
            raise DebugInfoError("the source map's mappings are no text")
        first_line, _, others = mappings.partition(";")
        if not first_line and others.strip(";"):
            raise DebugInfoError("the source map is not one of a WebAssembly module: its first line is empty")
        before = len(self._offsets)
        if before + first_line.count(",") >= _MAX_MAPPINGS:
            raise DebugInfoError(f"the source map has more than {_MAX_MAPPINGS:,} mappings")
        try:
            self._decode(first_line.encode(), shift, source_base, name_base)
        except OverflowError:
            raise _broken("a number is below 0 or has more than 32 bits") from None
        if len(self._offsets) > before:
            if max(self._source_of[before:]) >= len(self.sources) or min(self._source_of[before:]) < source_base:
                raise _broken("they name a source that it does not have")
            if max(self._name_of[before:]) >= len(self.names):
                raise _broken("they use a name that it does not have")

    def _add_sources(self, document: dict[str, Any]) -> None:
        root = document.get("sourceRoot")
        root = _clean(root).rstrip("/") + "/" if isinstance(root, str) and root else ""
        sources = [
            None if source is None else _join(root, _clean(source))
            for source in _texts(document.get("sources"), "sources")
        ]
        contents = _texts(document.get("sourcesContent"), "sourcesContent")
        self.sources.extend(sources)
        for source, content in zip(sources, contents, strict=False):
            if source is not None and content is not None:
                self.contents.setdefault(source, content)

    def _decode(self, text: bytes, offset: int, source: int, name: int) -> None:
        """Decode a line of mappings.

        One loop over characters, without calls: 0.2 s for 168,000 mappings in a file of 1.3 MB.

        Args:
            text: The mappings.
            offset: What the first column counts from.
            source: Where the map's sources begin.
            name: Where the map's names begin.
        """
        line = column = value = shift = field = 0
        add_offset, add_source = self._offsets.append, self._source_of.append
        add_line, add_column, add_name = self._lines.append, self._columns.append, self._name_of.append
        for digit in text.translate(_DIGITS) + b"\x40":
            if digit < 32:
                value |= digit << shift
                delta = -(value >> 1) if value & 1 else value >> 1
                value = shift = 0
                if field == 0:
                    offset += delta
                elif field == 1:
                    source += delta
                elif field == 2:
                    line += delta
                elif field == 3:
                    column += delta
                elif field == 4:
                    name += delta
                else:
                    raise _broken("one has more than 5 numbers")
                field += 1
            elif digit < 64:
                value |= (digit & 31) << shift
                shift += 5
                if shift > _MAX_SHIFT:
                    raise _broken("a number has more than 32 bits")
            elif digit > 64:
                raise _broken("they are not Base64 VLQ")
            elif shift:
                raise _broken("one ends in the middle of a number")
            elif field >= 4:
                add_offset(offset)
                add_source(source)
                add_line(line)
                add_column(column)
                add_name(name if field == 5 else -1)
                field = 0
            elif field > 1:
                raise _broken(f"one has {field} numbers, and not 1, 4 or 5")
            else:  # code without a source, or nothing between two commas
                field = 0

    def sorted(self) -> tuple[array[int], array[int], array[int], array[int], array[int]]:
        """Give offsets, sources, lines, columns and names in the order of offsets."""
        columns = self._offsets, self._source_of, self._lines, self._columns, self._name_of
        keys = self._offsets
        if all(map(int.__le__, keys, keys[1:])):
            return columns
        order = sorted(range(len(keys)), key=keys.__getitem__)
        offsets, sources, lines, numbers, names = (array(c.typecode, map(c.__getitem__, order)) for c in columns)
        return offsets, sources, lines, numbers, names


def _broken(why: str) -> DebugInfoError:
    return DebugInfoError(f"the source map's mappings are broken: {why}")


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _texts(values: Any, what: str) -> list[str | None]:
    return _checked(values, what, (str, type(None)))


def _checked(values: Any, what: str, kinds: tuple[type, ...]) -> list[Any]:
    """Check that something is a list of these kinds of values; null and nothing are an empty one."""
    found: list[Any] = [] if values is None else values
    if type(found) is not list or not all(isinstance(value, kinds) for value in found):
        raise DebugInfoError(f"the source map's {what} are not what the format says")
    return found


def _join(root: str, source: str) -> str:
    """Join a source with its folder, as browsers do, unless it is absolute itself."""
    return source if source.startswith("/") or "://" in source else root + source


def _clean(text: str) -> str:
    """Replace what JSON can hold and UTF-8 cannot: halves of pairs."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
