"""Compares our answers with those of another symbolizer, address by address, and knows why they differ.

A difference is of one of the classes of `Why`, each of which is checked, or it is a failure.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from tests.fixtures.dwarf import binary
from tests.support.oracles import Frames, OracleFrame, demangled
from tests.support.pyelftools_lines import LineRow, LineTable
from wasmscope.dwarf import Frame, Place

__all__ = ["Body", "Code", "Comparison", "Oracle", "Why", "ours_at", "theirs_at"]


class Why(Enum):
    """Why an answer differs, and why ours is the right one."""

    BETWEEN_BODIES = "in no function: it is the size in front of a body. Others name the function before it"
    LINE_0 = "the compiler gave no line here. We give the nearest line of the same function or call; others line 0"
    NO_ROW_YET = "the function's first bytes, before its line table begins. We give its first line; others none"
    TWO_UNITS = "two units have this function, or claim to. We take the line table that tells of all of it"
    URL_PATH = "it puts a folder before a path like wasisdk://v30.0/…, which is absolute; LLVM and we do not"
    NO_DWARF = "no debug information describes this function. We give its name from the name section; others nothing"
    LINKER_NAME = "of a function that is not inlined, it tells the name that the linker has, and we that of the source"
    EXPORT = "of a function that is exported, it tells the name of the export"
    FILE_OFFSET = "it looks the outermost function's name up as if the address were one in the file, and finds another"
    NOT_DEMANGLED = "it shows the linker's name, since its demangler fails or is for others. We show the source's"
    DEMANGLER = "the same name of the linker (addr2line has that), demangled in another way; see TestNames"


class Oracle(Enum):
    """Another symbolizer."""

    LLVM = "llvm-symbolizer"
    ADDR2LINE = "addr2line"
    WASM_TOOLS = "wasm-tools addr2line"


@dataclass(frozen=True, slots=True)
class Body:
    """A function's code: offsets in the contents of the code section, and the function's index."""

    start: int
    end: int
    function: int


@dataclass(frozen=True, slots=True)
class Code:
    """A module's code, read without the reader that is under test.

    Attributes:
        base: Where the contents of the code section begin in the file.
        size: Their size in bytes.
        bodies: In their order.
        names: The function names of the name section.
        data_names: The names of data segments in it.
        exports: Functions by the names that they are exported as.
    """

    base: int
    size: int
    bodies: Sequence[Body]
    names: dict[int, str]
    data_names: frozenset[str]
    exports: dict[str, int]

    @classmethod
    def read(cls, path: Path) -> Code:
        """Read a core module."""
        sections = binary.read(path)
        (contents,) = [section.contents for section in sections if section.id == 10]
        imports = [section.contents for section in sections if section.id == 2]
        first = imported_functions(imports[0]) if imports else 0
        bodies: list[Body] = []
        count, at = binary.decode_leb(contents, 0)
        for index in range(count):
            size, at = binary.decode_leb(contents, at)
            bodies.append(Body(at, at + size, first + index))
            at += size
        names = next((section.contents for section in sections if section.name == "name"), b"")
        return cls(
            path.read_bytes().index(contents),
            len(contents),
            bodies,
            names_of(names, FUNCTION_NAMES),
            frozenset(names_of(names, DATA_NAMES).values()),
            exported_functions(next((section.contents for section in sections if section.id == 7), b"\0")),
        )

    def body(self, offset: int) -> Body | None:
        """The body that has an offset."""
        at = bisect_right(self.bodies, offset, key=lambda body: body.start) - 1
        return self.bodies[at] if at >= 0 and offset < self.bodies[at].end else None

    def names_near(self, offset: int) -> set[str | None]:
        """The names of the function that an offset is in, or whose size it is in; and those of data."""
        last, beyond = (bisect_right(self.bodies, at, key=lambda body: body.start) for at in (offset, offset + 5))
        return {self.names.get(body.function) for body in self.bodies[max(last - 1, 0) : beyond]} | self.data_names


def imported_functions(contents: bytes) -> int:
    """Count the functions that an import section imports (5.5.5 of the specification)."""
    found = 0
    count, at = binary.decode_leb(contents, 0)
    for _ in range(count):
        for _ in ("module", "name"):
            length, at = binary.decode_leb(contents, at)
            at += length
        kind = contents[at]
        at += 1
        if kind == 0:
            found += 1
            _, at = binary.decode_leb(contents, at)
        elif kind == 3:
            at += 2
        else:
            at += kind == 1
            flags = contents[at]
            at += 1
            for _ in range(1 + (flags & 1)):
                _, at = binary.decode_leb(contents, at)
    return found


def exported_functions(contents: bytes) -> dict[str, int]:
    """Read the functions of an export section (5.5.10)."""
    found: dict[str, int] = {}
    count, at = binary.decode_leb(contents, 0)
    for _ in range(count):
        length, at = binary.decode_leb(contents, at)
        name, kind = contents[at : at + length].decode(), contents[at + length]
        index, at = binary.decode_leb(contents, at + length + 1)
        if kind == 0:
            found[name] = index
    return found


FUNCTION_NAMES = 1
DATA_NAMES = 9


def names_of(contents: bytes, wanted: int) -> dict[int, str]:
    """Read one map of a name section (7.4.1, and the extended name section's proposal)."""
    names: dict[int, str] = {}
    at = 0
    while at < len(contents):
        kind = contents[at]
        size, at = binary.decode_leb(contents, at + 1)
        if kind == wanted:
            count, place = binary.decode_leb(contents, at)
            for _ in range(count):
                index, place = binary.decode_leb(contents, place)
                length, place = binary.decode_leb(contents, place)
                names[index] = contents[place : place + length].decode()
                place += length
        at += size
    return names


Location = tuple[str | None, int | None, int | None]
# What LLVM adds to the name of a function that it moved between units.
PROMOTED = re.compile(r"\.llvm\.\d+$")


@dataclass(slots=True)
class Comparison:
    """The comparison of one module with one symbolizer.

    Attributes:
        oracle: The symbolizer.
        code: The module's code.
        lines: Its line tables.
        whys: How many addresses differ, by class; the same are under None.
        failures: What is not explained.
        our_lines: How many addresses we know a line for.
        their_lines: How many of those the other knows one for.
    """

    oracle: Oracle
    code: Code
    lines: LineTable
    whys: Counter[Why | None] = field(default_factory=Counter[Why | None])
    failures: list[str] = field(default_factory=list[str])
    our_lines: int = 0
    their_lines: int = 0
    _demangled: dict[str, str] = field(default_factory=dict[str, str])
    _nearest: dict[Body, tuple[list[LineRow], set[Location]]] = field(
        default_factory=dict[Body, tuple[list[LineRow], set[Location]]]
    )
    # Where a line is that may be one of a call that was inlined, by body.
    _calls: dict[Body, list[tuple[int, Location]]] = field(default_factory=dict[Body, list[tuple[int, Location]]])

    def run(self, offsets: Sequence[int], places: Sequence[Place], answers: Sequence[Frames]) -> None:
        """Compare the answers to all addresses."""
        linker_names = {frame.linkage_name or "" for place in places for frame in place.frames} - {""}
        known = sorted(linker_names)
        self._demangled = dict(zip(known, demangled(known), strict=True))
        for offset, place, theirs in zip(offsets, places, answers, strict=True):
            try:
                reasons = self.reasons(offset, place.frames, theirs)
            except Unexplained as error:
                self.failures.append(f"{offset:#x}: {error}\n    ours:   {place.frames}\n    theirs: {theirs}")
                continue
            self.whys.update(reasons or [None])
            if place.frames and place.frames[0].line:
                self.our_lines += 1
                self.their_lines += bool(theirs and theirs[0].line)

    def check_calls(self, ask_llvm: Callable[[Sequence[int]], list[Frames]]) -> None:
        """Check that the lines that stand in for line 0 and are in no row are lines of inlined calls.

        Args:
            ask_llvm: Gives the frames of addresses.
        """
        # Where an inlined call begins, a row does.
        offsets = sorted({row.address for body in self._calls for row in self.lines.between(body.start, body.end)})
        calls: dict[Body | None, set[Location]] = {}
        for offset, frames in zip(offsets, ask_llvm(offsets), strict=True):
            calls.setdefault(self.code.body(offset), set()).update(map(theirs_at, frames[1:]))
        for body, found in self._calls.items():
            for offset, location in found:
                if location not in calls.get(body, ()):
                    self.failures.append(
                        f"{offset:#x}: {location} is neither a line of its function nor of a call in it"
                    )

    def reasons(self, offset: int, ours: Sequence[Frame], theirs: Frames) -> set[Why]:
        """Say in what way two answers differ.

        Raises:
            Unexplained: In a way that is not known.
        """
        body = self.code.body(offset)
        if body is None:
            expect(not ours, "there is no function here")
            return {Why.BETWEEN_BODIES} if theirs else set()
        expect(bool(ours) and not ours[-1].is_inlined, "there is a function here")
        expect(all(frame.is_inlined for frame in ours[:-1]), "all frames but the outermost are inlined")
        expect({frame.function_index for frame in ours} == {body.function}, "the function has another index")
        if not theirs:
            theirs = [OracleFrame(None, None, None, None)]
        expect(len(ours) == len(theirs), "another number of frames")
        reasons = self.location_reasons(offset, body, ours, theirs)
        for number, (our_frame, their_frame) in enumerate(zip(ours, theirs, strict=True)):
            why = self.name_reason(offset, body, our_frame, their_frame, is_outermost=number == len(ours) - 1)
            if why is not None:
                reasons.add(why)
        return reasons

    def location_reasons(self, offset: int, body: Body, ours: Sequence[Frame], theirs: Frames) -> set[Why]:
        """Compare the files, lines and columns."""
        if any(is_url_joined(ours_at(a), theirs_at(b)) for a, b in zip(ours, theirs, strict=True)):
            expect(self.oracle is not Oracle.LLVM, "a path put before a URL")
            pairs = zip(ours, theirs, strict=True)
            theirs = [b._replace(file=a.file) if is_url_joined(ours_at(a), theirs_at(b)) else b for a, b in pairs]
            return self.location_reasons(offset, body, ours, theirs) | {Why.URL_PATH}
        for our_frame, their_frame in zip(ours[1:], theirs[1:], strict=True):
            expect(ours_at(our_frame) == theirs_at(their_frame), "another call site")
        rows = self.lines.rows(offset, body.start)
        found = ours_at(ours[0])
        with_line = [of_row(row) for row in rows if row.line]
        if with_line:
            expect(found in with_line, "another line than pyelftools has")
        if found == theirs_at(theirs[0]):
            return set()
        if found in with_line and len(rows) > 1:
            expect(theirs_at(theirs[0]) in map(of_row, rows), "a line of no unit that has this function")
            return {Why.TWO_UNITS}
        expect(not theirs[0].line, "another line")
        nearest, places = self.with_lines(body)
        if not rows:
            expect(bool(nearest) and nearest[0].address > offset, "a line where there is no line table")
            expect(found == of_row(nearest[0]), "not the first line of the function")
            return {Why.NO_ROW_YET}
        if found not in places:
            self._calls.setdefault(body, []).append((offset, found))
        return {Why.LINE_0}

    def with_lines(self, body: Body) -> tuple[list[LineRow], set[Location]]:
        """Give the rows of a body that have a line, and where they are."""
        if body not in self._nearest:
            rows = [row for row in self.lines.between(body.start, body.end) if row.line and not row.is_end]
            self._nearest[body] = rows, set(map(of_row, rows))
        return self._nearest[body]

    def name_reason(
        self, offset: int, body: Body, ours: Frame, theirs: OracleFrame, *, is_outermost: bool
    ) -> Why | None:
        """Compare the names of a function."""
        name = theirs.function
        linker_name = ours.linkage_name or ours.function
        shown = self.oracle is Oracle.WASM_TOOLS
        if name == (ours.function if shown else linker_name) or name == ours.function:
            return None
        symbol = self.code.names.get(body.function)
        if is_outermost:
            looked_up = (
                self.code.names_near(offset - self.code.base) if self.oracle is Oracle.LLVM else set[str | None]()
            )
            if name is not None and name in looked_up:
                return Why.FILE_OFFSET
            if name is None and ours.function is not None:
                expect(symbol is not None, "a name out of nothing")
                return Why.NO_DWARF
            if name == symbol and self.is_name_of(symbol, ours):
                return Why.LINKER_NAME
            if name is not None and self.code.exports.get(name) == body.function:
                return Why.EXPORT
        if shown and ours.linkage_name is not None and name is not None:
            return Why.NOT_DEMANGLED if name == ours.linkage_name else Why.DEMANGLER
        raise Unexplained(f"another name: {name!r}, and the name section has {symbol!r}")

    def is_name_of(self, symbol: str | None, ours: Frame) -> bool:
        """Whether a name in the name section is one for the function that our frame names."""
        if symbol is None:
            return False
        plain = PROMOTED.sub("", symbol)
        if ours.linkage_name is None:
            # The debug information has no name of the linker: that of the source is in it.
            return ours.function is not None and ours.function.split("<")[0] in plain
        return plain in (ours.linkage_name, self._demangled[ours.linkage_name])


class Unexplained(Exception):
    """A difference that is in no class."""


def expect(condition: bool, otherwise: str) -> None:
    """Raise `Unexplained` unless a condition holds."""
    if not condition:
        raise Unexplained(otherwise)


def ours_at(frame: Frame) -> Location:
    """Where our frame is."""
    return frame.file, frame.line, frame.column


def theirs_at(frame: OracleFrame) -> Location:
    """Where the other's is; 0 is unknown."""
    return frame.file, frame.line or None, frame.column or None


def is_url_joined(ours: Location, theirs: Location) -> bool:
    """Whether a file differs in nothing but a folder that stands before a path which is a URL."""
    return bool(
        ours[0] and theirs[0] and "://" in ours[0] and ours[0] != theirs[0] and theirs[0].endswith("/" + ours[0])
    )


def of_row(row: LineRow) -> Location:
    """Where a row is."""
    return row.file, row.line or None, row.column or None
