"""What llvm-dwarfdump says about a module's functions and their variables, as an answer that is not ours."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

__all__ = ["DWARFDUMP", "DumpedEntry", "DumpedFunction", "DumpedScope", "DumpedVariable", "Op", "read_dump"]

DWARFDUMP = "llvm-dwarfdump-19"
SECONDS = 300

ENTRY = re.compile(r"^0x([0-9a-f]+):( +)(?:DW_TAG_(\w+)|NULL)$")
ATTRIBUTE = re.compile(r"^ +DW_AT_(\w+)\t\((.*)$")
RANGE = re.compile(r"\[0x([0-9a-f]+), 0x([0-9a-f]+)\)")
LOCATION = re.compile(r"(?:\[0x([0-9a-f]+), 0x([0-9a-f]+)\)|<default>): ([^\n]*)")
REFERENCE = re.compile(r'^0x([0-9a-f]+)(?: "(.*)")?$', re.DOTALL)

Op = tuple[str, tuple[int, ...]]


@dataclass(slots=True)
class DumpedEntry:
    """An entry: its attributes' values as text, and what is below it."""

    offset: int
    tag: str
    attributes: dict[str, str] = field(default_factory=dict[str, str])
    children: list[DumpedEntry] = field(default_factory=list["DumpedEntry"])

    def reference(self, attribute: str) -> tuple[int, str] | None:
        """The offset of the entry that an attribute refers to, and what the tool calls that."""
        found = REFERENCE.match(self.attributes.get(attribute, ""))
        return (int(found[1], 16), found[2] or "") if found else None


@dataclass(frozen=True, slots=True)
class DumpedVariable:
    """A variable; each of `locations` is the first code offset, the one after the last (or None), and operations.

    The tool writes a type's scopes, unless it is a typedef.
    """

    name: str | None
    is_parameter: bool
    type: str
    is_typedef: bool
    line: int | None
    locations: tuple[tuple[int | None, int | None, tuple[Op, ...]], ...]


@dataclass(slots=True)
class DumpedScope:
    """A function, a block or an inlined function."""

    tag: str
    ranges: tuple[tuple[int, int], ...]
    call_line: int | None
    variables: list[DumpedVariable] = field(default_factory=list[DumpedVariable])
    scopes: list[DumpedScope] = field(default_factory=list["DumpedScope"])


@dataclass(slots=True)
class DumpedFunction:
    """A function with code."""

    low: int
    name: str | None
    frame_base: tuple[Op, ...]
    scope: DumpedScope


def read_dump(module: Path) -> list[DumpedFunction]:
    """Ask llvm-dwarfdump for a module's functions."""
    program = shutil.which(DWARFDUMP)
    if program is None:
        pytest.skip(f"there is no {DWARFDUMP}: get it with script/setup toolchains")
    output = subprocess.run(
        [program, "--debug-info", "--debug-types", str(module)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    ).stdout
    entries = parse(output)
    return list(Functions(entries).functions())


def parse(output: str) -> dict[int, DumpedEntry]:
    """Read the tool's text; gives all entries by their offset."""
    entries: dict[int, DumpedEntry] = {}
    above: list[DumpedEntry] = []
    attribute = ""
    for line in output.splitlines():
        if (found := ENTRY.match(line)) is not None:
            depth = len(found[2]) // 2
            del above[depth:]
            attribute = ""
            if found[3] is not None:
                entry = DumpedEntry(int(found[1], 16), found[3])
                entries[entry.offset] = entry
                if above:
                    above[-1].children.append(entry)
                above.append(entry)
        elif (found := ATTRIBUTE.match(line)) is not None:
            attribute = found[1]
            above[-1].attributes[attribute] = found[2]
        elif attribute and line.startswith(" "):
            above[-1].attributes[attribute] += "\n" + line
    for entry in entries.values():
        for name, value in entry.attributes.items():
            entry.attributes[name] = value.removesuffix(")")
    return entries


class Functions:
    """Makes functions of entries."""

    def __init__(self, entries: dict[int, DumpedEntry]) -> None:
        self.entries = entries

    def functions(self) -> Iterator[DumpedFunction]:
        for entry in self.entries.values():
            low = number(entry, "low_pc")
            if entry.tag == "subprogram" and low is not None and 0 < low < 0xFFFF_FFFE:
                base = operations(entry.attributes["frame_base"]) if "frame_base" in entry.attributes else ()
                yield DumpedFunction(low, self.text(entry, "name"), base, self.scope(entry))

    def scope(self, entry: DumpedEntry) -> DumpedScope:
        scope = DumpedScope(entry.tag, ranges(entry), number(entry, "call_line"))
        for child in entry.children:
            if child.tag in ("formal_parameter", "variable"):
                if "declaration" not in child.attributes:
                    scope.variables.append(self.variable(child))
            elif child.tag in ("lexical_block", "inlined_subroutine"):
                scope.scopes.append(self.scope(child))
        return scope

    def variable(self, entry: DumpedEntry) -> DumpedVariable:
        declared, typed = self.origin_with(entry, "decl_line"), self.origin_with(entry, "type")
        return DumpedVariable(
            self.text(entry, "name"),
            entry.tag == "formal_parameter",
            self.type(typed),
            self.is_typedef(typed),
            number(declared, "decl_line") if declared else None,
            locations(entry),
        )

    def origin_with(self, entry: DumpedEntry, attribute: str) -> DumpedEntry | None:
        """The entry, or the one that it is a copy of or was declared by, that has an attribute."""
        current: DumpedEntry | None = entry
        while current is not None and attribute not in current.attributes:
            reference = current.reference("abstract_origin") or current.reference("specification")
            current = self.entries.get(reference[0]) if reference else None
        return current

    def text(self, entry: DumpedEntry, attribute: str) -> str | None:
        found = self.origin_with(entry, attribute)
        return found.attributes[attribute].strip('"') if found else None

    def type(self, entry: DumpedEntry | None) -> str:
        """A type's name. The tool does not know that Rust and Zig name their pointers and arrays themselves."""
        if entry is None:
            return "void"
        reference = entry.reference("type")
        assert reference is not None, entry
        target = self.entries.get(reference[0])
        if target and target.tag in ("pointer_type", "array_type", "reference_type") and "name" in target.attributes:
            return target.attributes["name"].strip('"')
        return reference[1]

    def is_typedef(self, entry: DumpedEntry | None) -> bool:
        """Whether a typedef is under its pointers, references, arrays and qualifiers."""
        for _ in range(30):
            reference = entry.reference("type") if entry else None
            entry = self.entries.get(reference[0]) if reference else None
            if entry is None or entry.tag == "typedef":
                return entry is not None
        return False


def number(entry: DumpedEntry, attribute: str) -> int | None:
    value = entry.attributes.get(attribute)
    if value is None or value == "dead code":
        return None
    return int(value.split(" ")[0], 16) if value.startswith("0x") else int(value.split(" ")[0])


def ranges(entry: DumpedEntry) -> tuple[tuple[int, int], ...]:
    low, high = number(entry, "low_pc"), number(entry, "high_pc")
    if low is not None and high is not None:
        found = [(low, high)]
    else:
        found = [(int(a, 16), int(b, 16)) for a, b in RANGE.findall(entry.attributes.get("ranges", ""))]
    return tuple((low, high) for low, high in found if low != high)


def locations(entry: DumpedEntry) -> tuple[tuple[int | None, int | None, tuple[Op, ...]], ...]:
    text = entry.attributes.get("location")
    if text is None:
        return ()
    if not text.startswith(("0x", "indexed")):
        return ((None, None, operations(text)),)
    return tuple(
        (int(low, 16) if low else None, int(high, 16) if high else None, operations(expression))
        for low, high, expression in LOCATION.findall(text)
        if not low or low != high
    )


def operations(text: str) -> tuple[Op, ...]:
    """Read ``DW_OP_fbreg +12, DW_OP_stack_value``."""
    found: list[Op] = []
    for step in text.strip().split(", "):
        name, *arguments = step.split(" ")
        # After DW_OP_convert there is a type: (0x00000107) "DW_ATE_unsigned_32".
        found.append((name, () if name == "DW_OP_convert" else tuple(int(argument, 0) for argument in arguments)))
    return tuple(found)
