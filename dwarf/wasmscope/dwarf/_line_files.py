"""The source files that a unit's entries refer to by number.

Source: DWARF 4, 6.2.4; DWARF 5, 6.2.4, https://dwarfstd.org/doc/DWARF5.pdf
"""

from __future__ import annotations

from typing import Final, TypeAlias

from wasmscope.dwarf._dwarf_codes import At, Form
from wasmscope.dwarf._forms import UnitSizes, Value, read_leb, read_value
from wasmscope.dwarf._units import Unit

__all__ = ["LineFiles", "read_files"]

_MAX_FILES: Final = 100_000
_MAX_FORMATS: Final = 32
_MAX_HEADER_BYTES: Final = 16 << 20
_PATH: Final = 1  # DW_LNCT_path
_DIRECTORY: Final = 2  # DW_LNCT_directory_index


class LineFiles:
    """The files of a unit. Their paths are put together when they are asked for: many can be in one long folder."""

    def __init__(self, unit: Unit, folders: list[Value], files: list[tuple[Value | None, int]]) -> None:
        """Take what the table says.

        Args:
            unit: The unit.
            folders: Its folders.
            files: Its files, each with the number of its folder.
        """
        self._unit = unit
        self._folders = folders
        self._files = files

    def path(self, number: int) -> str | None:
        """Give a file's path, joined with its folder and the unit's; None if there is none of that number."""
        if not 0 <= number < len(self._files):
            return None
        name, folder_number = self._files[number]
        path = None if name is None else self._unit.text(name)
        if path is None:
            return None
        folder = self._unit.text(self._folders[folder_number]) if folder_number < len(self._folders) else None
        return _join(_join(self._unit.folder, folder or ""), path)


def read_files(unit: Unit) -> LineFiles:
    """Read which files a unit refers to.

    What cannot be read is left out: where a variable was declared is not worth an error.

    Args:
        unit: The unit.
    """
    at = unit.top.number(At.STMT_LIST)
    data = unit.dwarf.section(".debug_line")
    if at is None or at >= len(data):
        return LineFiles(unit, [], [])
    header = bytes(data[at : at + _MAX_HEADER_BYTES])
    try:
        folders, files, end = _read_header(unit, header)
    except (IndexError, ValueError):
        return LineFiles(unit, [], [])
    unit.dwarf.spend(end)
    return LineFiles(unit, folders, files)


_Tables: TypeAlias = tuple[list[Value], list[tuple[Value | None, int]], int]


def _read_header(unit: Unit, data: bytes) -> _Tables:
    at, offset_bytes = 4, 4
    if data[:4] == b"\xff\xff\xff\xff":
        at, offset_bytes = 12, 8
    version = int.from_bytes(data[at : at + 2], "little")
    at += 2
    if version >= 5:
        at += 2  # sizes of addresses and segments
    at += offset_bytes  # length of the header
    at += 1 + (version >= 4) + 1 + 1 + 1  # instruction length, operations, is_stmt, line base, line range
    at += data[at]  # lengths of the standard opcodes, of which the number counts one more
    if version >= 5:
        return _files_5(data, at, UnitSizes(unit.sizes.address, offset_bytes, version))
    return _files_4(data, at)


def _files_4(data: bytes, at: int) -> _Tables:
    folders = [Value(Form.STRING, b"")]  # the unit's own
    while data[at]:
        end = data.index(0, at)
        folders.append(Value(Form.STRING, data[at:end]))
        at = end + 1
    at += 1
    files: list[tuple[Value | None, int]] = [(None, 0)]  # they count from 1
    while data[at] and len(files) < _MAX_FILES:
        end = data.index(0, at)
        name = Value(Form.STRING, data[at:end])
        number, at = read_leb(data, end + 1)
        for _ in range(2):  # time and size
            _, at = read_leb(data, at)
        files.append((name, number))
    return folders, files, at


def _files_5(data: bytes, at: int, sizes: UnitSizes) -> _Tables:
    tables: list[list[tuple[Value | None, int]]] = []
    for _ in range(2):
        format_count = data[at]
        at += 1
        formats: list[tuple[int, int]] = []
        for _ in range(min(format_count, _MAX_FORMATS)):
            content, at = read_leb(data, at)
            form, at = read_leb(data, at)
            if form in (Form.INDIRECT, Form.IMPLICIT_CONST, Form.FLAG_PRESENT):
                raise ValueError
            formats.append((content, form))
        count, at = read_leb(data, at)
        if count > _MAX_FILES or (count and not formats):
            raise ValueError
        rows: list[tuple[Value | None, int]] = []
        for _ in range(count):
            path: Value | None = None
            directory = 0
            for content, form in formats:
                value, at = read_value(data, at, form, 0, sizes)
                if content == _PATH:
                    path = value
                elif content == _DIRECTORY and isinstance(value.raw, int):
                    directory = value.raw
            rows.append((path, directory))
        tables.append(rows)
    empty = Value(Form.STRING, b"")
    return [path or empty for path, _ in tables[0]], tables[1], at


def _join(folder: str, path: str) -> str:
    """Join paths as they are written, which may be on another system than this one."""
    is_whole = path.startswith(("/", "\\")) or path[1:3] in (":\\", ":/")
    if is_whole or not folder:
        return path
    if not path:
        return folder
    separator = "\\" if "\\" in folder and "/" not in folder else "/"
    return f"{folder.rstrip(separator)}{separator}{path}"
