"""The engine: DWARF in a sandbox, asked for many addresses at a time.

The code is Rust (``dwarf/engine``), compiled to WebAssembly and run by wasmtime with a limit on its memory and its
instructions. DWARF may be hostile: then there is a partial answer (`Engine.problems` says what is missing) or a
`DebugInfoError`, in bounded time.
"""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from wasmscope.dwarf._engine_cache import EngineCache
from wasmscope.dwarf._engine_tables import Answers, Tables
from wasmscope.errors import DebugInfoError

if TYPE_CHECKING:
    from wasmscope.dwarf._runtime import Runtime

__all__ = [
    "BodyMatch",
    "Engine",
    "EngineLimits",
    "FileRange",
    "FunctionRange",
    "Row",
    "Unit",
    "has_dwarf",
]

# In the order of `SECTIONS` in dwarf/engine/src/debug.rs. Others are not needed to answer anything.
_SECTIONS: Final = (
    ".debug_abbrev",
    ".debug_addr",
    ".debug_info",
    ".debug_line",
    ".debug_line_str",
    ".debug_str",
    ".debug_str_offsets",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_cu_index",
    ".debug_tu_index",
    ".debug_types",
    ".debug_loc",
    ".debug_loclists",
    ".debug_macinfo",
    ".debug_macro",
)
_IN_PACKAGES_ONLY: Final = _SECTIONS[12:]
# In the order of `Problem` in dwarf/engine/src/base.rs.
_PROBLEMS: Final = (
    "units that cannot be read",
    "units whose entries cannot be read to the end",
    "lists of address ranges that cannot be read",
    "line tables that cannot be read to the end",
    "functions whose name refers to nothing",
    "inlined calls outside of their function's code",
    "units whose split part (.dwo, .dwp) was not found",
    "answers cut short, because they take too much work",
    "inlined calls nested too deeply",
)
_FUNCTIONS: Final = 0
_ROWS: Final = 1
_UNITS: Final = 2
_MATCH: Final = 3
_OUT: Final = 5  # the area with what a report wrote
_AREAS: Final = 6
_NONE: Final = 0xFFFFFFFF
_MOST_TRAPS: Final = 3
_BATCH: Final = 1 << 20


class FileRange(NamedTuple):
    """A section in a file, which is read when it is needed, without a copy.

    Attributes:
        file: Descriptor of the open file. It stays open as long as the engine is.
        offset: Where the section's contents begin, in bytes.
        size: Their size in bytes.
    """

    file: int
    offset: int
    size: int


class EngineLimits(NamedTuple):
    """What reading one module's debug information may take.

    Attributes:
        memory_bytes: Memory of the engine, debug information included.
        work: Steps (entries, rows, ranges) that one call may take, on top of what the size of the debug information and
            the number of addresses allow. When they are used up, the answer is partial.
        fuel: Instructions that one call may run, likewise. When they are used up, the call fails; it is the second
            line of defence.
    """

    memory_bytes: int = 1 << 30
    work: int = 50_000_000
    fuel: int = 4_000_000_000


class FunctionRange(NamedTuple):
    """A function that the debug information describes, with one range of its code.

    Attributes:
        low: First offset, in the code section's contents; as it is written, also if there is no such code.
        high: The offset after its last.
        name: Its name, demangled; None if it has none.
        linkage_name: Its name as the linker knows it; None if it has none.
        is_tombstone: Whether the linker left its code out.
        unit: Number of its unit.
    """

    low: int
    high: int
    name: str | None
    linkage_name: str | None
    is_tombstone: bool
    unit: int


class Row(NamedTuple):
    """A row of a line table: what holds from an address to the next row's.

    Attributes:
        address: Offset in the code section's contents.
        file: Path; None if unknown.
        line: Line, from 1; 0 for code that belongs to no line.
        column: Column, from 1; 0 if unknown.
        is_end: Whether nothing is known from here on.
        body: Number of the body that it is in.
    """

    address: int
    file: str | None
    line: int
    column: int
    is_end: bool
    body: int


class Unit(NamedTuple):
    """A compilation unit.

    Attributes:
        name: Its source file.
        comp_dir: The folder it was compiled in.
        producer: The compiler, in its own words.
        language: Number of its language, see https://dwarfstd.org/languages.html; 0 if unknown.
        version: Version of DWARF.
        is_split: Whether the better part of it is in another file.
        is_found: Whether that part was given.
        dwo_name: Name of that file.
        dwo_id: What identifies that part.
        low: First offset of its code; None if there is none.
        high: The offset after its last.
        size: Bytes of its entries.
        address_size: Bytes of an address.
    """

    name: str | None
    comp_dir: str | None
    producer: str | None
    language: int
    version: int
    is_split: bool
    is_found: bool
    dwo_name: str | None
    dwo_id: int | None
    low: int | None
    high: int | None
    size: int
    address_size: int


class BodyMatch(NamedTuple):
    """How well the debug information fits the module's code.

    Attributes:
        live: Functions that have code, as far as it knows.
        matching: Those of them that begin where a body does, or its first instruction, and end where it ends.
        tombstones: Functions that the linker left out.
    """

    live: int
    matching: int
    tombstones: int


Source = bytes | bytearray | memoryview | FileRange


class Engine:
    """One module's debug information. It takes memory until it is closed; not for several threads at a time."""

    def __init__(
        self,
        sections: Mapping[str, Source],
        *,
        body_starts: Iterable[int],
        body_ends: Iterable[int],
        split: Sequence[Mapping[str, Source]] = (),
        limits: EngineLimits | None = None,
        cache: EngineCache | None = None,
    ) -> None:
        """Read what every answer needs.

        Args:
            sections: The debug sections by name, ``.debug_info`` and so on; others are ignored.
            body_starts: Where the bodies of the module's functions begin, in its order, as offsets in the code
                section's contents. (A 64-bit module has a code section of less than 4 GiB, too.)
            body_ends: Where they end.
            split: The sections of the ``.dwo`` and ``.dwp`` files that belong to it, by names with or without
                ``.dwo``.
            limits: What it may take.
            cache: Where the compiled engine is kept.

        Raises:
            DebugInfoError: If it cannot be read within the limits, or wasmtime does not work.
        """
        self._limits = limits or EngineLimits()
        self._cache = cache or EngineCache.default()
        self._sets = [_numbered(each) for each in (sections, *split)]
        self._bytes = sum(_size(source) for numbered in self._sets for source in numbered.values())
        if self._bytes >= self._limits.memory_bytes:
            raise DebugInfoError(
                f"the debug information has {self._bytes:,} bytes, and the limit is "
                f"{self._limits.memory_bytes:,}; try a module with less, or raise the limit"
            )
        self._bodies = _u32(body_starts) + _u32(body_ends)
        self._tables = Tables()
        # Where addresses are written to, and how many bytes there are.
        self._buffer = (0, 0)
        self._problems: tuple[int, ...] = ()
        self._traps = 0
        self._runtime: Runtime | None = None
        self._start()

    def lookup(self, offsets: Iterable[int]) -> Answers:
        """Find the frames of places in the code.

        Args:
            offsets: Offsets in the code section's contents. Give many at a time: a call costs more than an address.

        Raises:
            DebugInfoError: If the debug information cannot be read within the limits.
            ValueError: If the engine is closed.
        """
        wanted = _u32(offsets)
        ids = array("I")
        for start in range(0, len(wanted), _BATCH):
            ids += self._lookup(wanted[start : start + _BATCH])
        return Answers(ids, self._tables)

    def _lookup(self, wanted: array[int]) -> array[int]:
        runtime = self._running()
        size = 4 * len(wanted)
        if size > self._buffer[1]:
            self._buffer = (self._room(2 * size), 2 * size)
        address = self._buffer[0]
        _write(runtime, address, wanted.tobytes())
        areas = self._call("lookup", address, len(wanted), addresses=len(wanted))
        found = array("I")
        memory = runtime.memory()
        found.frombytes(memory[address : address + size])
        self._tables.fetch(memory, areas)
        return found

    def functions(self) -> list[FunctionRange]:
        """List all functions that the debug information describes, with each range of their code.

        Raises:
            DebugInfoError: If the debug information cannot be read within the limits.
        """
        words, text = self._report(_FUNCTIONS), self._tables.text
        return [
            FunctionRange(low | low_high << 32, high | high_high << 32, text(name), text(linkage), bool(dead), unit)
            for low, low_high, high, high_high, name, linkage, dead, unit in _rows(words, 8)
        ]

    def rows(self, low: int, high: int) -> list[Row]:
        """List the rows of the line tables for a range of the code, body by body and by address.

        The end of a sequence is among them if it is where the range ends. Rows of what is no body's code are left out.

        Args:
            low: First offset, in the code section's contents.
            high: The offset after the last.

        Raises:
            DebugInfoError: If the debug information cannot be read within the limits.
        """
        return list(self.each_row(low, high))

    def each_row(self, low: int, high: int) -> Iterator[Row]:
        """Go over what `rows` lists, which may be a row for each byte of the debug information.

        Args:
            low: As in `rows`.
            high: As in `rows`.

        Raises:
            DebugInfoError: If the debug information cannot be read within the limits.
        """
        words, text = self._report(_ROWS, _clamp(low), _clamp(high)), self._tables.text
        return (
            Row(address, text(file), line, column, bool(is_end), body)
            for address, file, line, column, is_end, body in _rows(words, 6)
        )

    def units(self) -> list[Unit]:
        """List the compilation units.

        Raises:
            DebugInfoError: If the debug information cannot be read within the limits.
        """
        words, text = self._report(_UNITS), self._tables.text
        return [
            Unit(
                text(name),
                text(folder),
                text(producer),
                language,
                version,
                bool(flags & 1),
                bool(flags & 2),
                text(dwo_name),
                (id_low | id_high << 32) if flags & 1 else None,
                None if low == _NONE else low,
                None if low == _NONE else high,
                size,
                address_size,
            )
            for (
                name, folder, producer, language, version, flags, dwo_name, id_low, id_high, low, high, size,
                address_size,
            ) in _rows(words, 13)
        ]  # fmt: skip

    def match_bodies(self, enough: int = _NONE) -> BodyMatch:
        """Count the functions whose code is where the module has a body.

        Of a module and its own debug information all do, of debug information that a tool left behind hardly any.

        Args:
            enough: After how many functions with code no further unit is looked at.

        Raises:
            DebugInfoError: If the debug information cannot be read within the limits.
        """
        return BodyMatch(*self._report(_MATCH, _clamp(enough)))

    @property
    def problems(self) -> tuple[str, ...]:
        """What was met so far that is broken, missing or over the limits: ``3 units that cannot be read``."""
        return tuple(f"{count:,} {what}" for count, what in zip(self._problems, _PROBLEMS, strict=False) if count)

    @property
    def memory_bytes(self) -> int:
        """How much memory the engine has taken; 0 when it is closed."""
        return len(self._runtime.memory()) if self._runtime is not None else 0

    def close(self) -> None:
        """Free its memory. Answers that were given stay good."""
        self._sets = []
        self._stop()

    def __enter__(self) -> Self:
        """Give the engine."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _stop(self) -> None:
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            runtime.close()

    def _start(self) -> None:
        from wasmscope.dwarf._runtime import start

        self._tables = Tables()
        self._buffer = (0, 0)
        self._runtime = start(_engine_code(), self._limits.memory_bytes, self._cache)
        try:
            for number, sections in enumerate(self._sets):
                for section, source in sections.items():
                    address = self._room(_size(source))
                    _fill(self._runtime, address, source)
                    self._plain("section", number, section, address, _size(source))
            count = len(self._bodies) // 2
            address = self._room(8 * count)
            _write(self._runtime, address, self._bodies.tobytes())
            self._call("open", address, count)
        except BaseException:
            self._stop()
            raise

    def _running(self) -> Runtime:
        if not self._sets:
            raise ValueError("the engine is closed")
        if self._runtime is None:
            if self._traps >= _MOST_TRAPS:
                raise DebugInfoError("the debug information is broken: reading it failed again and again")
            self._start()
        assert self._runtime is not None
        return self._runtime

    def _room(self, size: int) -> int:
        address = self._plain("alloc", size)
        if not address:
            self._stop()
            raise DebugInfoError(
                "the debug information needs more memory than it is allowed: "
                f"{self._limits.memory_bytes:,} bytes; try a module with less, or raise the limit"
            )
        return address

    def _plain(self, name: str, *arguments: int) -> int:
        runtime = self._running()
        try:
            return runtime.call(name, self._limits.fuel, *arguments)
        except DebugInfoError:
            # What a trap leaves behind is in no order: the next call begins anew.
            self._traps += 1
            self._stop()
            raise

    def _call(self, name: str, *arguments: int, addresses: int = 0) -> array[int]:
        """Call a function with a budget; gives the areas of the control block."""
        runtime = self._running()
        work = self._limits.work + 32 * self._bytes + 2_000 * addresses
        fuel = self._limits.fuel + 400 * self._bytes + 40_000 * addresses
        try:
            control = runtime.call(name, fuel, *arguments, work)
        except DebugInfoError:
            self._traps += 1
            self._stop()
            raise
        if not control:
            self._stop()
            raise ValueError("the bodies are not in the order of their offsets")
        words = array("I")
        words.frombytes(runtime.memory()[control : control + 4 * (2 * _AREAS + len(_PROBLEMS))])
        self._problems = tuple(words[2 * _AREAS :])
        return words[: 2 * _AREAS]

    def _report(self, kind: int, a: int = 0, b: int = 0) -> array[int]:
        areas = self._call("report", kind, a, b)
        memory = self._running().memory()
        self._tables.fetch(memory, areas)
        words = array("I")
        words.frombytes(memory[areas[2 * _OUT] : areas[2 * _OUT] + 4 * areas[2 * _OUT + 1]])
        return words


def _engine_code() -> bytes:
    with open(os.path.join(os.path.dirname(__file__), "_engine.wasm"), "rb") as file:  # pathlib takes 5 ms to load
        return file.read()


def _numbered(sections: Mapping[str, Source]) -> dict[int, Source]:
    """Pick the sections that are read, by their numbers."""
    found: dict[int, Source] = {}
    is_package = ".debug_cu_index" in sections
    for number, name in enumerate(_SECTIONS):
        if name in _IN_PACKAGES_ONLY and not is_package:
            continue
        source = sections.get(name) or sections.get(name + ".dwo")
        if source:
            found[number] = source
    return found


def _size(source: Source) -> int:
    return source.size if isinstance(source, FileRange) else memoryview(source).nbytes


def _write(runtime: Runtime, address: int, data: bytes | memoryview) -> None:
    runtime.memory()[address : address + len(data)] = data


def _fill(runtime: Runtime, address: int, source: Source) -> None:
    if not isinstance(source, FileRange):
        _write(runtime, address, memoryview(source).cast("B"))
        return
    room = runtime.memory()[address : address + source.size]
    done = 0
    while done < source.size:
        count = _read_into(source.file, room[done:], source.offset + done)
        if not count:
            raise DebugInfoError("the file with the debug information is shorter than it was; try again")
        done += count


def _read_into(file: int, room: memoryview, offset: int) -> int:
    if sys.platform != "win32":
        return os.preadv(file, [room], offset)
    os.lseek(file, offset, os.SEEK_SET)
    data = os.read(file, len(room))
    room[: len(data)] = data
    return len(data)


def _u32(numbers: Iterable[int]) -> array[int]:
    """Give numbers as 32 bits each; those that have more are in no code."""
    if isinstance(numbers, array) and numbers.typecode == "I":
        return numbers
    try:
        return array("I", numbers)
    except OverflowError:
        return array("I", [_clamp(number) for number in numbers])


def _clamp(number: int) -> int:
    return number if 0 <= number < _NONE else _NONE


def _rows(words: array[int], width: int) -> zip[tuple[int, ...]]:
    each = iter(words)
    return zip(*[each] * width, strict=True)


def has_dwarf(names: Iterable[str]) -> bool:
    """Say whether sections with these names hold debug information that the engine can read."""
    return ".debug_info" in names
