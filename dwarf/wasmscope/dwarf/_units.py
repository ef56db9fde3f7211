"""The units of a module's DWARF and their entries, one unit at a time.

A unit's entries are gone over once, without looking at what they say: where each begins and whose child it is. Only
those that are asked for are read. That is what pyelftools cannot do: it reads each entry on the way, in a hundred times
the time and memory.

Source: DWARF 5, 7.5.1, https://dwarfstd.org/doc/DWARF5.pdf
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from wasmscope.dwarf._dwarf_codes import At, Form, Tag
from wasmscope.dwarf._forms import (
    Abbreviation,
    UnitSizes,
    Value,
    read_abbreviations,
    read_leb,
    read_value,
    skip_entry,
)
from wasmscope.errors import DebugInfoError

__all__ = ["Dwarf", "Entry", "Unit"]

_MAX_UNITS: Final = 200_000
_MAX_ENTRIES_KEPT: Final = 2_000_000
"""Of all units together; when there are more, the units that were read are forgotten."""
_MAX_TABLES_KEPT: Final = 64
_MAX_TEXT_BYTES: Final = 8_192
_FREE_WORK: Final = 4 << 20
"""Bytes that a question may look at besides some times the size of the debug information."""
_STEPS: Final = 1_024
_TYPE_UNITS: Final = (0x02, 0x06)  # DW_UT_type, DW_UT_split_type
_SPLIT_UNITS: Final = (0x04, 0x05)  # DW_UT_skeleton, DW_UT_split_compile
_KNOWN_KINDS: Final = range(1, 7)
_REFERENCES: Final = frozenset(
    (Form.REF1, Form.REF2, Form.REF4, Form.REF8, Form.REF_UDATA, Form.REF_ADDR, Form.REF_SIG8)
)
_UNIT_HEADER_BYTES: Final = 4 + 2 + 4 + 1


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a unit.

    Attributes:
        unit: The unit.
        offset: Where it begins in .debug_info.
        tag: What it describes: a `Tag`, or a number that is none of them.
        attributes: What it says, by the attribute's number (`At`).
    """

    unit: Unit
    offset: int
    tag: int
    attributes: Mapping[int, Value]

    def number(self, attribute: int) -> int | None:
        """Give an attribute's value if it is a number, and not a reference to another entry."""
        value = self.attributes.get(attribute)
        if value is None or value.form in _REFERENCES:
            return None
        return value.raw if isinstance(value.raw, int) else None

    def text(self, attribute: int) -> str | None:
        """Give an attribute's value if it is a text that can be found."""
        value = self.attributes.get(attribute)
        return None if value is None else self.unit.text(value)

    def address(self, attribute: int) -> int | None:
        """Give an attribute's value if it is an address that can be found."""
        value = self.attributes.get(attribute)
        return None if value is None else self.unit.address(value)

    def target(self, attribute: int) -> Entry | None:
        """Give the entry that an attribute refers to; None if there is no such attribute, or no such entry."""
        value = self.attributes.get(attribute)
        return None if value is None else self.unit.dwarf.target(self.unit, value)


class Dwarf:
    """The debug sections of a module.

    What one question may look at is limited, because entries can refer to each other in more ways than there are bytes.

    Attributes:
        sections: Contents of the sections, by name.
        forgotten: How often read units were forgotten to save memory.
    """

    def __init__(self, sections: Mapping[str, bytes | memoryview]) -> None:
        """Take the sections.

        Args:
            sections: Their contents by name: ``.debug_info`` and so on.
        """
        self.sections = {name: memoryview(contents) for name, contents in sections.items()}
        self.forgotten = 0
        self._entries_kept = 0
        self._tables: dict[tuple[int, UnitSizes], dict[int, Abbreviation]] = {}
        self._work_left = 0
        self.begin()

    def begin(self) -> None:
        """Begin with another question, which may look at as much as the one before."""
        sizes = (len(self.section(name)) for name in (".debug_info", ".debug_types", ".debug_abbrev"))
        self._work_left = _FREE_WORK + 4 * sum(sizes)

    def spend(self, size: int) -> None:
        """Look at that many bytes.

        Args:
            size: How many.

        Raises:
            DebugInfoError: If these are more than a question may look at.
        """
        self._work_left -= size
        if self._work_left < 0:
            raise DebugInfoError("the debug information refers to itself far too often; build the module again")

    def section(self, name: str) -> memoryview:
        """Give a section's contents; empty if there is none."""
        return self.sections.get(name, memoryview(b""))

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """All units, in order. Their headers are read, nothing else.

        Raises:
            DebugInfoError: If a header cannot be read.
        """
        found = list(self._headers(".debug_info"))
        if self.section(".debug_types"):
            found.extend(self._headers(".debug_types"))
        return tuple(found)

    def _headers(self, name: str) -> Iterator[Unit]:
        data = self.section(name)
        at = 0
        for _ in range(_MAX_UNITS):
            if at + _UNIT_HEADER_BYTES > len(data):
                return
            unit = _read_header(self, name, data, at)
            yield unit
            at = unit.end
        raise DebugInfoError(f"{name}: more than {_MAX_UNITS:,} units, which is more than is read")

    def target(self, unit: Unit, value: Value) -> Entry | None:
        """Give the entry that a value refers to; None if there is none at that place.

        Args:
            unit: The unit that has the value.
            value: The value.
        """
        raw = value.raw
        if not isinstance(raw, int):
            return None
        match value.form:
            case Form.REF1 | Form.REF2 | Form.REF4 | Form.REF8 | Form.REF_UDATA:
                return unit.entry_at(unit.offset + raw)
            case Form.REF_ADDR:
                other = self._unit_with(raw)
                return None if other is None else other.entry_at(raw)
            case Form.REF_SIG8:
                other = self._type_units.get(raw)
                return None if other is None else other.entry_at(other.offset + other.type_offset)
            case _:
                return None

    def _unit_with(self, offset: int) -> Unit | None:
        units = self._units_of_info
        at = bisect_right(units, offset, key=lambda unit: unit.offset) - 1
        return units[at] if at >= 0 and offset < units[at].end else None

    @cached_property
    def _units_of_info(self) -> tuple[Unit, ...]:
        return tuple(unit for unit in self.units if unit.section == ".debug_info")

    @cached_property
    def _type_units(self) -> dict[int, Unit]:
        return {unit.signature: unit for unit in self.units if unit.signature is not None}

    def abbreviations(self, offset: int, sizes: UnitSizes) -> dict[int, Abbreviation]:
        """Give a table of abbreviations, which several units may share.

        Args:
            offset: Where it is in .debug_abbrev.
            sizes: The sizes of the unit that uses it.
        """
        found = self._tables.get((offset, sizes))
        if found is None:
            found, end = read_abbreviations(self.section(".debug_abbrev"), offset, sizes)
            self.spend(end - offset)
            if len(self._tables) >= _MAX_TABLES_KEPT:
                self._tables.clear()
            self._tables[offset, sizes] = found
        return found

    def make_room(self, entries: int) -> None:
        """Forget the units that were read if there are too many entries with these.

        Args:
            entries: How many come to them.
        """
        if self._entries_kept and self._entries_kept + entries > _MAX_ENTRIES_KEPT:
            for unit in self.units:
                unit.forget()
            self._entries_kept = 0
            self.forgotten += 1
        self._entries_kept += entries


class Unit:
    """A unit.

    Attributes:
        dwarf: What it is part of.
        section: Name of its section.
        offset: Where it begins there, with its header.
        end: Where it ends there.
        first: Where its first entry begins there.
        sizes: The sizes of its values.
        is_split: Whether it is one half of a unit of split DWARF.
        signature: Of a type unit; else None.
        type_offset: Of a type unit: where the type is, counted from the unit's beginning.
    """

    def __init__(
        self,
        dwarf: Dwarf,
        section: str,
        offset: int,
        end: int,
        first: int,
        sizes: UnitSizes,
        abbreviations_offset: int,
        *,
        is_split: bool = False,
        signature: int | None = None,
        type_offset: int = 0,
    ) -> None:
        """Take what the header says; see the attributes.

        Args:
            dwarf: As the attribute.
            section: As the attribute.
            offset: As the attribute.
            end: As the attribute.
            first: As the attribute.
            sizes: As the attribute.
            abbreviations_offset: Where its table is in .debug_abbrev.
            is_split: As the attribute.
            signature: As the attribute.
            type_offset: As the attribute.
        """
        self.dwarf = dwarf
        self.section = section
        self.offset = offset
        self.end = end
        self.first = first
        self.sizes = sizes
        self.is_split = is_split
        self.signature = signature
        self.type_offset = type_offset
        self._abbreviations_offset = abbreviations_offset
        self._index: _Index | None = None

    @property
    def where(self) -> str:
        """Where it is, for errors."""
        return f"{self.section}, unit at {self.offset:#x}"

    @cached_property
    def top(self) -> Entry:
        """Its first entry, which describes the unit.

        Raises:
            DebugInfoError: If it cannot be read.
        """
        data = self.dwarf.section(self.section)
        try:
            code, _ = read_leb(data, self.first)
            table = self.dwarf.section(".debug_abbrev")
            abbreviations, end = read_abbreviations(table, self._abbreviations_offset, self.sizes, wanted=code)
            self.dwarf.spend(end - self._abbreviations_offset)
            # The entry alone: it is a few hundred bytes of perhaps megabytes.
            return self._read(_bytes(data, self.first, self.end, 1 << 16), self.first, self.first, abbreviations)
        except IndexError:
            raise self._cut_off() from None

    @property
    def name(self) -> str | None:
        """Path of the source file that it was made of."""
        return self.top.text(At.NAME)

    @property
    def language(self) -> int:
        """The number of its language (DW_LANG_*); 0 if it does not say."""
        return self.top.number(At.LANGUAGE) or 0

    @cached_property
    def producer(self) -> str:
        """What made it, in its own words; empty if it does not say."""
        return self.top.text(At.PRODUCER) or ""

    @cached_property
    def folder(self) -> str:
        """The folder in which it was compiled; empty if it does not say."""
        return self.top.text(At.COMP_DIR) or ""

    # --- entries ---

    @property
    def index(self) -> _Index:
        """Where its entries are.

        Raises:
            DebugInfoError: If they cannot be gone over.
        """
        if self._index is None:
            index = self._scan()
            self.dwarf.make_room(len(index.offsets))
            self._index = index
        return self._index

    def forget(self) -> None:
        """Let go of the index."""
        self._index = None

    def _scan(self) -> _Index:
        self.dwarf.spend(self.end - self.offset)
        abbreviations = self.dwarf.abbreviations(self._abbreviations_offset, self.sizes)
        base = self.offset
        data = bytes(self.dwarf.section(self.section)[base : self.end])
        sizes = self.sizes
        offsets, parents, subprograms = array("Q"), array("q"), array("Q")
        open_entries: list[int] = [-1]
        at, end = self.first - base, len(data)
        try:
            while at < end:
                start = at
                code = data[at]
                at += 1
                if code >= 0x80:
                    code, at = read_leb(data, start)
                if not code:
                    open_entries.pop()
                    if len(open_entries) <= 1:
                        break
                    continue
                found = abbreviations.get(code)
                if found is None:
                    raise DebugInfoError(f"{self.where}: no abbreviation {code:,} for the entry at {base + start:#x}")
                if found.tag == Tag.SUBPROGRAM:
                    subprograms.append(len(offsets))
                parents.append(open_entries[-1])
                if found.has_children:
                    open_entries.append(len(offsets))
                offsets.append(base + start)
                at = skip_entry(data, at, found.steps, sizes)
                if len(open_entries) <= 1:
                    break
        except IndexError:
            raise self._cut_off() from None
        if at > end:
            raise self._cut_off()
        return _Index(data, abbreviations, offsets, parents, subprograms)

    def _cut_off(self) -> DebugInfoError:
        return DebugInfoError(f"{self.where}: it ends in the middle of an entry; build or download the module again")

    def entry_at(self, offset: int) -> Entry | None:
        """Read the entry that begins at a place in the section; None if none begins there."""
        position = self.position(offset)
        return None if position is None else self.entry(position)

    def position(self, offset: int) -> int | None:
        """Give the number of the entry that begins at a place in the section; None if none begins there."""
        offsets = self.index.offsets
        at = bisect_left(offsets, offset)
        return at if at < len(offsets) and offsets[at] == offset else None

    def entry(self, position: int) -> Entry:
        """Read an entry by its number."""
        index = self.index
        offset = index.offsets[position]
        try:
            return self._read(index.data, self.offset, offset, index.abbreviations)
        except IndexError:
            raise self._cut_off() from None

    def parent(self, entry: Entry) -> Entry | None:
        """Read the entry that an entry of this unit is below of; None for the first one."""
        position = self.position(entry.offset)
        above = -1 if position is None else self.index.parents[position]
        return None if above < 0 else self.entry(above)

    def children(self, position: int) -> Iterator[int]:
        """Go over the numbers of the entries right below one, in order."""
        parents = self.index.parents
        for at in range(position + 1, len(parents)):
            above = parents[at]
            if above < position:
                return
            if not at % _STEPS:
                # What is further below is gone over as well, again for each entry above it.
                self.dwarf.spend(_STEPS)
            if above == position:
                yield at

    def _read(self, data: bytes, base: int, offset: int, abbreviations: dict[int, Abbreviation]) -> Entry:
        code, at = read_leb(data, offset - base)
        found = abbreviations.get(code)
        if found is None:
            raise DebugInfoError(f"{self.where}: no abbreviation {code:,} for the entry at {offset:#x}")
        attributes: dict[int, Value] = {}
        for name, form, constant in found.attributes:
            attributes[name], at = read_value(data, at, form, constant, self.sizes)
        self.dwarf.spend(at - (offset - base))
        return Entry(self, offset, found.tag, attributes)

    # --- values ---

    def text(self, value: Value) -> str | None:
        """Find a text; None if it is not there."""
        raw = value.raw
        if isinstance(raw, bytes):
            return raw[:_MAX_TEXT_BYTES].decode(errors="replace") if value.form == Form.STRING else None
        match value.form:
            case Form.STRP:
                return self._string(".debug_str", raw)
            case Form.LINE_STRP:
                return self._string(".debug_line_str", raw)
            case Form.STRX | Form.STRX1 | Form.STRX2 | Form.STRX3 | Form.STRX4 | Form.GNU_STR_INDEX:
                base = self.top.number(At.STR_OFFSETS_BASE) or 0
                offset = self._offset_at(".debug_str_offsets", base + raw * self.sizes.offset)
                return None if offset is None else self._string(".debug_str", offset)
            case _:
                return None

    def _string(self, section: str, offset: int) -> str | None:
        data = self.dwarf.section(section)
        if offset >= len(data):
            return None
        step = 256
        while True:
            chunk = bytes(data[offset : offset + step])
            end = chunk.find(0)
            self.dwarf.spend(len(chunk))
            if end >= 0 or len(chunk) < step or step >= _MAX_TEXT_BYTES:
                return chunk[: end if end >= 0 else None].decode(errors="replace")
            step = _MAX_TEXT_BYTES

    def address(self, value: Value) -> int | None:
        """Find an address; None if it is not there."""
        raw = value.raw
        if not isinstance(raw, int):
            return None
        match value.form:
            case Form.ADDR:
                return raw
            case Form.ADDRX | Form.ADDRX1 | Form.ADDRX2 | Form.ADDRX3 | Form.ADDRX4 | Form.GNU_ADDR_INDEX:
                return self.indexed_address(raw)
            case _:
                return None

    def indexed_address(self, index: int) -> int | None:
        """Find the address of a number in .debug_addr; None if it is not there."""
        base = self.top.number(At.ADDR_BASE)
        if base is None:
            base = self.top.number(At.GNU_ADDR_BASE)
        return (
            None if base is None else self._number(".debug_addr", base + index * self.sizes.address, self.sizes.address)
        )

    def list_offset(self, value: Value) -> int | None:
        """Find where in its section the list of ranges or locations is that a value refers to; None if nowhere."""
        raw = value.raw
        if not isinstance(raw, int):
            return None
        if value.form not in (Form.LOCLISTX, Form.RNGLISTX):
            return raw
        is_ranges = value.form == Form.RNGLISTX
        base = self.top.number(At.RNGLISTS_BASE if is_ranges else At.LOCLISTS_BASE)
        if base is None:
            return None
        section = ".debug_rnglists" if is_ranges else ".debug_loclists"
        offset = self._offset_at(section, base + raw * self.sizes.offset)
        return None if offset is None else base + offset

    def _offset_at(self, section: str, at: int) -> int | None:
        return self._number(section, at, self.sizes.offset)

    def _number(self, section: str, at: int, size: int) -> int | None:
        data = self.dwarf.section(section)
        return int.from_bytes(data[at : at + size], "little") if 0 <= at <= len(data) - size else None


@dataclass(frozen=True, slots=True)
class _Index:
    """Where a unit's entries are.

    Attributes:
        data: The unit.
        abbreviations: How entries are laid out.
        offsets: Where each entry begins in the section.
        parents: Number of the entry above each; -1 for the first.
        subprograms: Numbers of those that describe functions.
    """

    data: bytes
    abbreviations: dict[int, Abbreviation]
    offsets: array[int]
    parents: array[int]
    subprograms: array[int]


def _bytes(data: memoryview, start: int, end: int, most: int) -> bytes:
    return bytes(data[start : min(end, start + most)])


def _read_header(dwarf: Dwarf, section: str, data: memoryview, offset: int) -> Unit:
    def number(at: int, size: int) -> int:
        if at + size > len(data):
            raise DebugInfoError(f"{section}, unit at {offset:#x}: its header is cut off; build the module again")
        return int.from_bytes(data[at : at + size], "little")

    length, at, offset_bytes = number(offset, 4), offset + 4, 4
    if length == 0xFFFF_FFFF:
        length, at, offset_bytes = number(at, 8), at + 8, 8
    end = at + length
    version = number(at, 2)
    at += 2
    if not 2 <= version <= 5 or end > len(data):
        what = (
            f"DWARF version {version:,}" if end <= len(data) else f"{length:,} bytes, and {len(data) - at:,} are left"
        )
        raise DebugInfoError(f"{section}, unit at {offset:#x}: {what}; build the module again")
    kind = 0
    if version >= 5:
        kind, address_bytes, table = number(at, 1), number(at + 1, 1), number(at + 2, offset_bytes)
        at += 2 + offset_bytes
        if kind not in _KNOWN_KINDS:
            raise DebugInfoError(f"{section}, unit at {offset:#x}: the unknown kind {kind:#x}")
    else:
        table, address_bytes = number(at, offset_bytes), number(at + offset_bytes, 1)
        at += offset_bytes + 1
    if address_bytes not in (4, 8):
        raise DebugInfoError(f"{section}, unit at {offset:#x}: addresses of {address_bytes} bytes")
    signature, type_offset = None, 0
    if kind in _TYPE_UNITS or section == ".debug_types":
        signature, type_offset = number(at, 8), number(at + 8, offset_bytes)
        at += 8 + offset_bytes
    elif kind in _SPLIT_UNITS:
        at += 8
    return Unit(
        dwarf,
        section,
        offset,
        end,
        at,
        UnitSizes(address_bytes, offset_bytes, version),
        table,
        is_split=kind in _SPLIT_UNITS,
        signature=signature,
        type_offset=type_offset,
    )
