"""DWARF that was made to do harm: it ends, in bounded time and memory, with an answer or a `DebugInfoError`."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest

from tests.support.dwarf_assembler import (
    ABSTRACT_ORIGIN,
    CALL_FILE,
    CALL_LINE,
    COMPILE_UNIT,
    HIGH_PC,
    INLINED,
    LINKAGE_NAME,
    LOW_PC,
    NAME,
    NAMESPACE,
    RANGES,
    SPECIFICATION,
    STMT_LIST,
    SUBPROGRAM,
    Address,
    Attribute,
    Data,
    Entry,
    Lines,
    Offset,
    Reference,
    Sections,
    Text,
    leb,
)
from wasmscope.dwarf._engine import Engine, EngineLimits
from wasmscope.errors import DebugInfoError

STARTS, ENDS = (3, 1000), (900, 100_000)
LIMITS = EngineLimits(memory_bytes=200_000_000, work=2_000_000, fuel=2_000_000_000)
SECONDS = 120


def body(**more: Attribute) -> dict[int, Attribute]:
    """A function about the first body."""
    given: dict[int, Attribute] = {LOW_PC: Address(3), HIGH_PC: Data(897)}
    known = {"name": NAME, "linkage": LINKAGE_NAME, "origin": ABSTRACT_ORIGIN, "specification": SPECIFICATION}
    return given | {known[key]: value for key, value in more.items()}


def unit(*children: Entry, **more: Attribute) -> Entry:
    given: dict[int, Attribute] = {LOW_PC: Address(3), HIGH_PC: Data(99_997)}
    return Entry(COMPILE_UNIT, given | {{"lines": STMT_LIST}[key]: value for key, value in more.items()}, children)


def cycle() -> Sections:
    """Two functions, each of which says that its name is the other's."""
    made = Sections()
    one, other = Entry(SUBPROGRAM, body()), Entry(SUBPROGRAM, {})
    one.attributes[ABSTRACT_ORIGIN] = Reference(other)
    other.attributes[SPECIFICATION] = Reference(one)
    made.add_unit(unit(one, other))
    return made


def itself() -> Sections:
    """A function whose name is its own."""
    made = Sections()
    one = Entry(SUBPROGRAM, body())
    one.attributes[ABSTRACT_ORIGIN] = Reference(one)
    made.add_unit(unit(one))
    return made


def nowhere() -> Sections:
    """Names and calls that refer to places behind the unit and behind the section."""
    made = Sections()
    call: dict[int, Attribute] = {
        ABSTRACT_ORIGIN: Reference(0x7FFFFFFF, is_global=True),
        LOW_PC: Address(10),
        HIGH_PC: Data(10),
    }
    made.add_unit(unit(Entry(SUBPROGRAM, body(origin=Reference(0x7FFFFFFF)), [Entry(INLINED, call)])))
    return made


def deep(tag: int) -> Callable[[], Sections]:
    """Entries inside of each other, 100,000 levels."""

    def make() -> Sections:
        entry = Entry(tag, {LOW_PC: Address(10), HIGH_PC: Data(50)})
        for _ in range(100_000):
            entry = Entry(tag, {LOW_PC: Address(10), HIGH_PC: Data(50)}, [entry])
        made = Sections()
        made.add_unit(unit(Entry(SUBPROGRAM, body(name=Text("f")), [entry])))
        return made

    return make


def overlapping() -> Sections:
    """Many calls, all with overlapping ranges."""
    made = Sections()
    calls = [
        Entry(INLINED, {LOW_PC: Address(10 + n % 400), HIGH_PC: Data(400), CALL_FILE: Data(1), CALL_LINE: Data(n)})
        for n in range(50_000)
    ]
    made.add_unit(unit(Entry(SUBPROGRAM, body(name=Text("f")), calls)))
    return made


def shared_ranges() -> Sections:
    """Many functions, each with the same long list of ranges."""
    made = Sections()
    place = made.add_ranges(*((10, 20) for _ in range(20_000)))
    made.add_unit(unit(*(Entry(SUBPROGRAM, {NAME: Text("f"), RANGES: place}) for _ in range(20_000))))
    return made


def endless_ranges() -> Sections:
    """A list of ranges without an end."""
    made = Sections()
    place = made.add_ranges((10, 20), end=False)
    made.add_unit(unit(Entry(SUBPROGRAM, {NAME: Text("f"), RANGES: place})))
    return made


def many_units() -> Sections:
    """Many small units about the same code, each with the same long line program."""
    made = Sections()
    program = Lines().at(3)
    for _ in range(20_000):
        program.row(1, by=3).row(-1)
    place = made.add_lines(program)
    for _ in range(20_000):
        made.add_unit(unit(lines=place))
    return made


def many_line_programs() -> Sections:
    """Units with line programs that begin at each byte of one that is long."""
    made = Sections()
    program = Lines()
    for _ in range(3_000):
        program.program += Lines().at(3).row(1).encode()
    made.add_lines(program)
    for number in range(10_000):
        made.add_unit(unit(lines=Offset(number)))
    return made


def back_and_forth() -> Sections:
    """A line program that jumps from body to body with each row."""
    made = Sections()
    program = Lines()
    for _ in range(100_000):
        program.at(10).row(1).at(2000).row(1)
    made.add_unit(unit(Entry(SUBPROGRAM, body(name=Text("f"))), lines=made.add_lines(program)))
    return made


def long_name() -> Sections:
    """A name of megabytes, that many functions share by beginning anywhere in it."""
    made = Sections()
    made.add_unit(unit(*(Entry(SUBPROGRAM, body(name=Text("x" * 100_000))) for _ in range(50))))
    return made


def bomb(name: str) -> Callable[[], Sections]:
    """A name that is short, and long when it is demangled."""

    def make() -> Sections:
        made = Sections()
        made.add_unit(unit(Entry(SUBPROGRAM, body(linkage=Text(name)))))
        return made

    return make


def nested_template(depth: int) -> str:
    """A C++ name of types that each contain the one before twice."""
    name = "_Z1fI1aS_" + "".join(f"1{chr(98 + n % 20)}I" for n in range(depth)) + "S_S_" + "E" * depth + "Evv"
    return name


def unknown_form() -> Sections:
    """An abbreviation with a form that does not exist."""
    made = Sections()
    made.add_unit(unit(Entry(SUBPROGRAM, body(name=Text("f")))))
    made.abbreviations[:] = made.abbreviations.replace(leb(NAME) + leb(0x08), leb(NAME) + leb(0x7E))
    return made


def huge_counts() -> Sections:
    """A unit and a line program that say that they have 4 GB."""
    made = Sections()
    made.add_unit(unit(Entry(SUBPROGRAM, body(name=Text("f"))), lines=made.add_lines(Lines().at(3).row(1).end(by=897))))
    made.lines[0:4] = made.info[0:4] = b"\xef\xff\xff\xff"
    return made


def no_abbreviations() -> Sections:
    """Abbreviations whose list has no end."""
    made = Sections()
    made.add_unit(unit(Entry(SUBPROGRAM, body(name=Text("f")))))
    made.abbreviations += b"\x7f\x2e\x00" + b"\x03\x08" * 500_000
    return made


HARM = {
    "cycle": cycle,
    "itself": itself,
    "nowhere": nowhere,
    "deep calls": deep(INLINED),
    "deep functions": deep(SUBPROGRAM),
    "deep namespaces": deep(NAMESPACE),
    "overlapping": overlapping,
    "shared ranges": shared_ranges,
    "endless ranges": endless_ranges,
    "many units": many_units,
    "many line programs": many_line_programs,
    "back and forth": back_and_forth,
    "long name": long_name,
    "nested pointers": bomb("_Z1f" + "P" * 15_000 + "i"),
    "nested templates": bomb(nested_template(200)),
    "nested Rust": bomb("_RNvC1a" + "I" * 8_000 + "C1a"),
    "Rust that refers back": bomb("_RMCs_1aN" + "TB1_" * 2_000 + "E1b"),
    "unknown form": unknown_form,
    "huge counts": huge_counts,
    "no end of abbreviations": no_abbreviations,
}


@pytest.mark.parametrize("make", HARM.values(), ids=HARM.keys())
def test_harm(make: Callable[[], Sections]) -> None:
    """Every question ends within seconds and the memory that is allowed, with an answer or the one error."""
    sections = make().encode()
    started = time.monotonic()
    try:
        with Engine(sections, body_starts=STARTS, body_ends=ENDS, limits=LIMITS) as engine:
            for ask in (
                lambda: len(list(engine.lookup(range(3, 900, 7)))),
                lambda: list(engine.lookup(range(1000, 100_000, 997))),
                engine.match_bodies,
                engine.units,
                lambda: engine.rows(0, 1 << 32),
                engine.functions,
            ):
                try:
                    ask()
                except DebugInfoError as error:
                    assert "\n" not in str(error)
                assert engine.memory_bytes <= LIMITS.memory_bytes
    except DebugInfoError as error:
        assert "\n" not in str(error)
    assert time.monotonic() - started < SECONDS


def test_rows_are_made_when_they_are_asked_for() -> None:
    """A row for each two bytes of a line program takes numbers, and not an object each."""
    made, lines = Sections(), Lines().at(3)
    for line in range(100_000):
        lines.row(1 if line % 2 else -1)
    made.add_unit(unit(Entry(SUBPROGRAM, body(name=Text("f"))), lines=made.add_lines(lines.end(by=897))))
    with Engine(made.encode(), body_starts=STARTS, body_ends=ENDS) as engine:
        tracemalloc.start()
        try:
            count = sum(1 for _ in engine.each_row(0, 1000))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert count == 100_001
    assert peak < 60 * count  # six numbers of four bytes, and a copy


class TestPartialAnswers:
    """What is left when something is broken is told, with what is missing."""

    def test_names_without_an_end(self) -> None:
        """Functions whose names go round in circles have code, and no name."""
        for make in (cycle, itself):
            with Engine(make().encode(), body_starts=STARTS, body_ends=ENDS) as engine:
                assert engine.lookup([10])[0][0].function is None
                assert engine.problems == ("1 functions whose name refers to nothing",)

    def test_too_deep(self) -> None:
        """Of calls that are nested too deeply, the outer ones are told."""
        with Engine(deep(INLINED)().encode(), body_starts=STARTS, body_ends=ENDS) as engine:
            frames = engine.lookup([20])[0]
            assert len(frames) == 201
            assert frames[-1].function == "f"
            assert any("nested too deeply" in problem for problem in engine.problems)

    def test_too_much_work(self) -> None:
        """What takes more work than is allowed is left out, and this is stated."""
        with Engine(shared_ranges().encode(), body_starts=STARTS, body_ends=ENDS, limits=LIMITS) as engine:
            assert engine.lookup([11])[0] == () or engine.lookup([11])[0][0].function == "f"
            assert any("too much work" in problem for problem in engine.problems)

    def test_line_table_that_is_cut_off(self) -> None:
        """Functions are known without their lines."""
        made = Sections()
        lines = made.add_lines(Lines().at(3).row(1).end(by=897))
        made.add_unit(unit(Entry(SUBPROGRAM, body(name=Text("f"))), lines=lines))
        del made.lines[-3:]
        with Engine(made.encode(), body_starts=STARTS, body_ends=ENDS) as engine:
            frame = engine.lookup([10])[0][0]
            assert (frame.function, frame.line) == ("f", None)
            assert engine.problems == ("1 line tables that cannot be read to the end",)

    def test_entries_that_are_cut_off(self) -> None:
        """What comes before broken entries is known."""
        made = Sections()
        made.add_unit(unit(Entry(SUBPROGRAM, body(name=Text("f"))), Entry(NAMESPACE, {NAME: Text("n")})))
        made.info[-3:] = b"\x70\x70\x70"
        with Engine(made.encode(), body_starts=STARTS, body_ends=ENDS) as engine:
            assert engine.lookup([10])[0][0].function == "f"
            assert engine.problems == ("1 units whose entries cannot be read to the end",)
