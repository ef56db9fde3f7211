"""Line tables as pyelftools reads them: an answer that does not come from the engine's libraries.

::

    table = read_lines(path.read_bytes())
    table.sequences      # each the rows of one DW_LNE_end_sequence, with nothing dropped: tombstones too
    table.row(0x1f3)     # the row that covers a code offset, as DWARF has it: line 0 is line 0
"""

from __future__ import annotations

import io
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import signature
from posixpath import join
from typing import Any

from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo

from tests.fixtures.dwarf.binary import decode_leb

__all__ = ["LineRow", "LineTable", "debug_sections", "pyelftools_dwarf", "read_lines"]

_CODE = 10


@dataclass(frozen=True, slots=True)
class LineRow:
    """A row of a line table.

    Attributes:
        address: Offset in the code section's contents, cut to the size of an address.
        file: Its path, joined with its folder and the unit's.
        line: From 1; 0 is no line.
        column: From 1; 0 is no column.
        is_end: Whether it ends its sequence: it has no code then.
    """

    address: int
    file: str | None
    line: int
    column: int
    is_end: bool


@dataclass(slots=True)
class LineTable:
    """All line tables of a module.

    Attributes:
        sequences: Each sequence's rows, in the order of the file.
        code_size: Size of the code section's contents in bytes.
    """

    sequences: list[list[LineRow]]
    code_size: int
    _starts: list[int] = field(default_factory=list[int], init=False)
    _live: list[list[LineRow]] = field(default_factory=list[list[LineRow]], init=False)

    def __post_init__(self) -> None:
        live = [rows for rows in self.sequences if 0 < rows[0].address <= rows[-1].address <= self.code_size]
        self._live = sorted((rows for rows in live if len(rows) > 1), key=lambda rows: rows[0].address)
        self._starts = [rows[0].address for rows in self._live]

    def row(self, address: int) -> LineRow | None:
        """The last row at or before an address in the sequence that covers it; None if none does.

        Tombstones (0, -1, -2 and what wraps) cover nothing.
        """
        at = bisect_right(self._starts, address) - 1
        if at < 0 or address >= self._live[at][-1].address:
            return None
        rows = self._live[at]
        return rows[bisect_right(rows, address, key=lambda row: row.address) - 1]

    def rows(self, address: int, low: int) -> list[LineRow]:
        """The row of each sequence that covers an address and begins at or after `low`, the function's first byte.

        There is more than one where units have the same function, of which the linker kept one: it has the line tables
        of the others tell of that, too.
        """
        live = self._live[bisect_left(self._starts, low) : bisect_right(self._starts, address)]
        return [
            rows[bisect_right(rows, address, key=lambda row: row.address) - 1]
            for rows in live
            if address < rows[-1].address
        ]

    def between(self, low: int, high: int) -> list[LineRow]:
        """The rows with an address from `low` on, and before `high`, by address."""
        first = max(bisect_right(self._starts, low) - 1, 0)
        last = bisect_left(self._starts, high)
        rows = [row for rows in self._live[first:last] for row in rows if low <= row.address < high]
        return sorted(rows, key=lambda row: row.address)


def debug_sections(data: bytes) -> tuple[dict[str, bytes], int]:
    """Custom sections of a module by name, and the size of its code section's contents."""
    found: dict[str, bytes] = {}
    code_size = 0
    at = 8
    while at < len(data):
        kind = data[at]
        size, start = decode_leb(data, at + 1)
        at = start + size
        if kind == _CODE:
            code_size = size
        elif kind == 0:
            length, start = decode_leb(data, start)
            found.setdefault(data[start : start + length].decode(), data[start + length : at])
    return found, code_size


def pyelftools_dwarf(sections: Mapping[str, bytes], address_size: int = 4) -> DWARFInfo:
    """Give pyelftools a module's sections as if they came out of an ELF file."""

    def descriptor(parameter: str) -> DebugSectionDescriptor | None:
        name = "." + parameter.removesuffix("_sec")
        contents = sections.get(name)
        if contents is None:
            return None
        return DebugSectionDescriptor(
            stream=io.BytesIO(contents), name=name, global_offset=0, size=len(contents), address=0
        )

    parameters = [name for name in signature(DWARFInfo.__init__).parameters if name.endswith("_sec")]
    config = DwarfConfig(little_endian=True, machine_arch="wasm", default_address_size=address_size)
    return DWARFInfo(config=config, **{name: descriptor(name) for name in parameters})


def read_lines(data: bytes) -> LineTable:
    """Read the line tables of all units of a module."""
    sections, code_size = debug_sections(data)
    dwarf = pyelftools_dwarf(sections)
    sequences: list[list[LineRow]] = []
    tables: set[int] = set()
    for unit in dwarf.iter_CUs():
        top = unit.get_top_DIE()
        attributes = top.attributes
        # A type unit shares the line table of a unit with code, and does not say in which folder that is.
        if top.tag == "DW_TAG_type_unit":
            continue
        if "DW_AT_stmt_list" not in attributes or attributes["DW_AT_stmt_list"].value in tables:
            continue
        tables.add(attributes["DW_AT_stmt_list"].value)
        folder = _text(attributes["DW_AT_comp_dir"].value) if "DW_AT_comp_dir" in attributes else ""
        program = dwarf.line_program_for_CU(unit)
        if program is not None:
            sequences.extend(_sequences(program, folder, (1 << 8 * unit["address_size"]) - 1))
    return LineTable(sequences, code_size)


def _sequences(program: Any, folder: str, mask: int) -> list[list[LineRow]]:
    is_5 = program["version"] >= 5
    folders = [_text(name) for name in program["include_directory"]]
    if not is_5:
        folders.insert(0, folder)
    files = [
        _join(folder, folders[entry.dir_index] if entry.dir_index < len(folders) else "", _text(entry.name))
        for entry in program["file_entry"]
    ]
    first = 0 if is_5 else 1
    found: list[list[LineRow]] = []
    rows: list[LineRow] = []
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        number = state.file - first
        file = files[number] if 0 <= number < len(files) else None
        rows.append(LineRow(state.address & mask, file, state.line, state.column, state.end_sequence))
        if state.end_sequence:
            found.append(rows)
            rows = []
    return found


def _join(*parts: str) -> str:
    """Join paths, of which one may be absolute: also in the way of ``wasisdk://v30.0/…``."""
    last = max((number for number, part in enumerate(parts) if "://" in part), default=0)
    return join(*parts[last:])


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
