"""The source files that a unit's entries refer to by number.

Source: DWARF 4, 6.2.4; DWARF 5, 6.2.4, https://dwarfstd.org/doc/DWARF5.pdf
"""

from __future__ import annotations

from typing import Final

from wasmscope.dwarf._dwarf_codes import At, Form
from wasmscope.dwarf._forms import UnitSizes, read_leb, read_value
from wasmscope.dwarf._units import Unit

__all__ = ["read_files"]

_MAX_FILES: Final = 100_000
_MAX_FORMATS: Final = 32
_MAX_HEADER_BYTES: Final = 16 << 20
_PATH: Final = 1  # DW_LNCT_path
_DIRECTORY: Final = 2  # DW_LNCT_directory_index


def read_files(unit: Unit) -> tuple[str | None, ...]:
    """Give the paths of a unit's files by number, joined with their folders and the unit's.

    What cannot be read is left out: where a variable was declared is not worth an error.

    Args:
        unit: The unit.
    """
    at = unit.top.number(At.STMT_LIST)
    data = unit.dwarf.section(".debug_line")
    if at is None or at >= len(data):
        return ()
    folder = unit.top.text(At.COMP_DIR) or ""
    try:
        return _read_header(unit, bytes(data[at : at + _MAX_HEADER_BYTES]), folder)
    except (IndexError, ValueError):
        return ()


def _read_header(unit: Unit, data: bytes, folder: str) -> tuple[str | None, ...]:
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
    sizes = UnitSizes(unit.sizes.address, offset_bytes, version)
    if version >= 5:
        return _files_5(unit, data, at, sizes, folder)
    if version < 2:
        return ()
    return _files_4(data, at, folder)


def _files_4(data: bytes, at: int, folder: str) -> tuple[str | None, ...]:
    folders = [folder]
    while data[at]:
        end = data.index(0, at)
        folders.append(_join(folder, _text(data[at:end])))
        at = end + 1
    at += 1
    files: list[str | None] = [None]  # they count from 1
    while data[at] and len(files) < _MAX_FILES:
        end = data.index(0, at)
        number, following = read_leb(data, end + 1)
        files.append(_join(folders[number] if number < len(folders) else folder, _text(data[at:end])))
        for _ in range(2):  # time and size
            _, following = read_leb(data, following)
        at = following
    return tuple(files)


def _files_5(unit: Unit, data: bytes, at: int, sizes: UnitSizes, folder: str) -> tuple[str | None, ...]:
    tables: list[list[tuple[str | None, int]]] = []
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
        rows: list[tuple[str | None, int]] = []
        for _ in range(count):
            path: str | None = None
            directory = 0
            for content, form in formats:
                value, at = read_value(data, at, form, 0, sizes)
                if content == _PATH:
                    path = unit.text(value)
                elif content == _DIRECTORY and isinstance(value.raw, int):
                    directory = value.raw
            rows.append((path, directory))
        tables.append(rows)
    folders = [_join(folder, path or "") for path, _ in tables[0]] or [folder]
    return tuple(
        None if path is None else _join(folders[directory] if directory < len(folders) else folder, path)
        for path, directory in tables[1]
    )


def _join(folder: str, path: str) -> str:
    """Join paths as they are written, which may be on another system than this one."""
    is_whole = path.startswith(("/", "\\")) or path[1:3] in (":\\", ":/")
    if is_whole or not folder:
        return path
    if not path:
        return folder
    separator = "\\" if "\\" in folder and "/" not in folder else "/"
    return f"{folder.rstrip(separator)}{separator}{path}"


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
