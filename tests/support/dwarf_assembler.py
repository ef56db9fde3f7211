"""DWARF made by hand, for tests: entries, line programs and lists of ranges as they are written in the sections.

Numbers are those of https://dwarfstd.org/doc/DWARF5.pdf, chapter 7. Nothing is checked, so that it can be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = [
    "ABSTRACT_ORIGIN",
    "CALL_COLUMN",
    "CALL_FILE",
    "CALL_LINE",
    "COMPILE_UNIT",
    "COMP_DIR",
    "DECLARATION",
    "HIGH_PC",
    "INLINED",
    "LEXICAL_BLOCK",
    "LINKAGE_NAME",
    "LOW_PC",
    "NAME",
    "NAMESPACE",
    "PRODUCER",
    "RANGES",
    "SPECIFICATION",
    "STMT_LIST",
    "SUBPROGRAM",
    "Address",
    "Attribute",
    "Data",
    "Entry",
    "Flag",
    "Lines",
    "Offset",
    "Reference",
    "Sections",
    "Text",
    "leb",
    "sleb",
]

# Tags
COMPILE_UNIT, SUBPROGRAM, INLINED, LEXICAL_BLOCK, NAMESPACE = 0x11, 0x2E, 0x1D, 0x0B, 0x39
# Attributes
NAME, STMT_LIST, LOW_PC, HIGH_PC, COMP_DIR, PRODUCER = 0x03, 0x10, 0x11, 0x12, 0x1B, 0x25
ABSTRACT_ORIGIN, SPECIFICATION, DECLARATION, RANGES = 0x31, 0x47, 0x3C, 0x55
CALL_COLUMN, CALL_FILE, CALL_LINE, LINKAGE_NAME = 0x57, 0x58, 0x59, 0x6E
# Forms
_ADDR, _DATA4, _STRING, _FLAG, _REF_ADDR, _REF4, _SEC_OFFSET = 0x01, 0x06, 0x08, 0x0C, 0x10, 0x13, 0x17


def leb(value: int) -> bytes:
    """Write an unsigned number of any length."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        if not value:
            return bytes([*out, byte])
        out.append(byte | 0x80)


def sleb(value: int) -> bytes:
    """Write a signed number of any length."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        if (value == 0 and not byte & 0x40) or (value == -1 and byte & 0x40):
            return bytes([*out, byte])
        out.append(byte | 0x80)


@dataclass(frozen=True)
class Address:
    """An address of the code, as large as the unit's are."""

    value: int


@dataclass(frozen=True)
class Data:
    """A number of four bytes."""

    value: int


@dataclass(frozen=True)
class Flag:
    """Something that is so."""


@dataclass(frozen=True)
class Offset:
    """A place in another section."""

    value: int


@dataclass(frozen=True)
class Text:
    """A text in place."""

    value: str | bytes


@dataclass(frozen=True)
class Reference:
    """An entry of the same unit; with `is_global`, of any. A number is an offset as it is."""

    entry: Entry | int
    is_global: bool = False


Attribute = Address | Data | Flag | Offset | Text | Reference


@dataclass(eq=False)
class Entry:
    """An entry with attributes and children."""

    tag: int
    attributes: dict[int, Attribute]
    children: Sequence[Entry] = ()
    # Where it was put: in its unit, and where that is in .debug_info.
    offset: int = 0
    unit: int = 0


@dataclass
class Lines:
    """A line program of version 4, with one file after the other (numbered from 1) in folder 0."""

    files: Sequence[str] = ("a.c",)
    address_size: int = 4
    program: bytearray = field(default_factory=bytearray)

    def at(self, address: int) -> Lines:
        """Begin at an address."""
        self.program += bytes([0, 1 + self.address_size, 2]) + address.to_bytes(self.address_size, "little")
        return self

    def advance(self, bytes_: int) -> Lines:
        """Go on by some bytes."""
        self.program += b"\x02" + leb(bytes_)
        return self

    def row(self, line: int, *, by: int = 0, column: int | None = None, file: int | None = None) -> Lines:
        """Write a row: `by` bytes after the last one, with the line given as the difference to the last one's."""
        if file is not None:
            self.program += b"\x04" + leb(file)
        if column is not None:
            self.program += b"\x05" + leb(column)
        if by:
            self.advance(by)
        self.program += b"\x03" + sleb(line) + b"\x01"
        return self

    def end(self, *, by: int = 0) -> Lines:
        """End the sequence."""
        if by:
            self.advance(by)
        self.program += b"\x00\x01\x01"
        return self

    def encode(self) -> bytes:
        """Give it as .debug_line has it."""
        files = b"".join(name.encode() + b"\0\0\0\0" for name in self.files)
        # Smallest instruction, operations in it, default is_stmt, line base, line range, first special operation.
        header = bytes([1, 1, 1, 0xFB, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]) + b"\0" + files + b"\0"
        rest = (4).to_bytes(2, "little") + len(header).to_bytes(4, "little") + header + self.program
        return len(rest).to_bytes(4, "little") + rest


@dataclass
class Sections:
    """The sections of a module."""

    address_size: int = 4
    version: int = 4
    abbreviations: bytearray = field(default_factory=bytearray)
    info: bytearray = field(default_factory=bytearray)
    lines: bytearray = field(default_factory=bytearray)
    ranges: bytearray = field(default_factory=bytearray)
    _known: dict[tuple[int, bool, tuple[tuple[int, int], ...]], int] = field(default_factory=dict)
    _later: list[tuple[int, Reference]] = field(default_factory=list)

    def add_lines(self, lines: Lines) -> Offset:
        """Append a line program; gives what a unit refers to it by."""
        self.lines += lines.encode()
        return Offset(len(self.lines) - len(lines.encode()))

    def add_ranges(self, *ranges: tuple[int, int], end: bool = True) -> Offset:
        """Append a list of ranges of version 4, relative to the unit's low_pc."""
        place = Offset(len(self.ranges))
        for low, high in (*ranges, *([(0, 0)] if end else [])):
            self.ranges += low.to_bytes(self.address_size, "little") + high.to_bytes(self.address_size, "little")
        return place

    def add_unit(self, root: Entry) -> int:
        """Append a unit; gives where it is."""
        start = len(self.info)
        self.info += bytes(4) + self.version.to_bytes(2, "little") + bytes(4) + bytes([self.address_size])
        # Not by recursion: trees of tests may be deep.
        rest: list[Entry | None] = [root]
        while rest:
            entry = rest.pop()
            if entry is None:
                self.info += b"\0"
                continue
            self._add_entry(entry, start)
            if entry.children:
                rest += [None, *reversed(entry.children)]
        self.info[start : start + 4] = (len(self.info) - start - 4).to_bytes(4, "little")
        return start

    def _add_entry(self, entry: Entry, start: int) -> None:
        entry.offset, entry.unit = len(self.info) - start, start
        forms = tuple((name, self._form(value)) for name, value in entry.attributes.items())
        key = (entry.tag, bool(entry.children), forms)
        if key not in self._known:
            self._known[key] = len(self._known) + 1
            self.abbreviations += leb(self._known[key]) + leb(entry.tag) + bytes([bool(entry.children)])
            self.abbreviations += b"".join(leb(name) + leb(form) for name, form in forms) + b"\0\0"
        self.info += leb(self._known[key])
        for value in entry.attributes.values():
            match value:
                case Address(number):
                    self.info += number.to_bytes(self.address_size, "little")
                case Data(number) | Offset(number):
                    self.info += number.to_bytes(4, "little")
                case Flag():
                    self.info += b"\1"
                case Text(text):
                    self.info += (text.encode() if isinstance(text, str) else text) + b"\0"
                case Reference():
                    self._later.append((len(self.info), value))
                    self.info += bytes(4)

    @staticmethod
    def _form(value: Attribute) -> int:
        match value:
            case Address():
                return _ADDR
            case Data():
                return _DATA4
            case Flag():
                return _FLAG
            case Offset():
                return _SEC_OFFSET
            case Text():
                return _STRING
            case Reference():
                return _REF_ADDR if value.is_global else _REF4

    def encode(self) -> dict[str, bytes]:
        """Give the sections by name."""
        for place, reference in self._later:
            entry = reference.entry
            target = entry if isinstance(entry, int) else entry.offset + (entry.unit if reference.is_global else 0)
            self.info[place : place + 4] = target.to_bytes(4, "little")
        return {
            ".debug_abbrev": bytes(self.abbreviations) + b"\0",
            ".debug_info": bytes(self.info),
            ".debug_line": bytes(self.lines),
            ".debug_ranges": bytes(self.ranges),
        }
