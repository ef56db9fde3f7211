"""The engine, asked about DWARF that is made by hand, so that all there is to know is in the test."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.dwarf_assembler import (
    ABSTRACT_ORIGIN,
    CALL_COLUMN,
    CALL_FILE,
    CALL_LINE,
    COMP_DIR,
    COMPILE_UNIT,
    DECLARATION,
    HIGH_PC,
    INLINED,
    LEXICAL_BLOCK,
    LINKAGE_NAME,
    LOW_PC,
    NAME,
    NAMESPACE,
    PRODUCER,
    RANGES,
    SPECIFICATION,
    STMT_LIST,
    SUBPROGRAM,
    Address,
    Attribute,
    Data,
    Entry,
    Flag,
    Lines,
    Reference,
    Sections,
    Text,
)
from wasmscope.dwarf._engine import Engine
from wasmscope.dwarf._engine_tables import EngineFrame

# Three bodies, with the bytes that give their sizes before each.
STARTS, ENDS = (3, 22, 64), (20, 62, 110)
LATER = 0xFFFFFFFF
GONE = 0xFFFFFFFE


def function(name: str | None, low: int, high: int, *children: Entry, **more: Attribute) -> Entry:
    """A function with code from low to high; more attributes by their names in small letters."""
    attributes: dict[int, Attribute] = {} if name is None else {NAME: Text(name)}
    attributes |= {LOW_PC: Address(low), HIGH_PC: Data((high - low) & 0xFFFFFFFF)}
    known = {"linkage": LINKAGE_NAME, "origin": ABSTRACT_ORIGIN, "specification": SPECIFICATION}
    return Entry(SUBPROGRAM, attributes | {known[key]: value for key, value in more.items()}, children)


def call(origin: Entry | int, low: int, high: int, line: int, *children: Entry, is_global: bool = False) -> Entry:
    """An inlined call."""
    return Entry(
        INLINED,
        {
            ABSTRACT_ORIGIN: Reference(origin, is_global),
            LOW_PC: Address(low),
            HIGH_PC: Data(high - low),
            CALL_FILE: Data(1),
            CALL_LINE: Data(line),
            CALL_COLUMN: Data(7),
        },
        children,
    )


def abstract(name: str, **more: Attribute) -> Entry:
    """A function without code of its own."""
    return Entry(SUBPROGRAM, {NAME: Text(name), **({LINKAGE_NAME: more["linkage"]} if more else {})})


def unit(*children: Entry, **attributes: Attribute) -> Entry:
    """A unit about all three bodies."""
    known = {"low": LOW_PC, "high": HIGH_PC, "lines": STMT_LIST, "folder": COMP_DIR, "producer": PRODUCER}
    known |= {"ranges": RANGES, "name": NAME}
    given = {"low": Address(STARTS[0]), "high": Data(ENDS[-1] - STARTS[0]), **attributes}
    return Entry(COMPILE_UNIT, {known[key]: value for key, value in given.items()}, children)


def engine(sections: Sections, starts: Sequence[int] = STARTS, ends: Sequence[int] = ENDS) -> Engine:
    """An engine for these sections."""
    return Engine(sections.encode(), body_starts=starts, body_ends=ends)


def ask(sections: Sections, *offsets: int) -> list[tuple[EngineFrame, ...]]:
    """The frames of places."""
    with engine(sections) as made:
        return list(made.lookup(offsets))


def brief(frames: Sequence[EngineFrame]) -> list[tuple[str | None, int | None]]:
    """Functions and lines."""
    return [(frame.function, frame.line) for frame in frames]


class TestFunctions:
    """Which function a place is in."""

    def test_function_of_each_body(self) -> None:
        """A place in a body is in the function that describes that body; a place between bodies in none."""
        made = Sections()
        made.add_unit(unit(*(function(n, s, e) for n, s, e in zip("abc", STARTS, ENDS, strict=True))))
        answers = ask(made, 3, 19, 20, 21, 22, 61, 64, 109, 110, 2, 0, 1 << 40)
        assert [frames[0].function if frames else None for frames in answers] == [
            *("a", "a", None, None, "b", "b", "c", "c", None, None, None, None)
        ]

    def test_declarations_of_locals(self) -> None:
        """A function whose low_pc is its first instruction is told of the bytes before, which declare its locals."""
        made = Sections()
        made.add_unit(unit(function("late", 26, 62)))
        assert [f[0].function for f in ask(made, 22, 25, 26)] == ["late", "late", "late"]

    def test_range_across_bodies(self) -> None:
        """A function whose range is not inside of one body is nobody's."""
        made = Sections()
        made.add_unit(unit(function("stale", 10, 40), function("beyond", 64, 4000)))
        with engine(made) as opened:
            assert list(opened.lookup([12, 30, 70])) == [(), (), ()]

    def test_whole_body_is_preferred(self) -> None:
        """Of two functions in one body, the one that is about all of it counts, whatever their order."""
        for order in (1, -1):
            made = Sections()
            made.add_unit(unit(*(function("part", 24, 40), function("whole", 22, 62))[::order]))
            assert brief(ask(made, 30)[0]) == [("whole", None)]

    @pytest.mark.parametrize("tombstone", [0, LATER, GONE])
    def test_left_out_function(self, tombstone: int) -> None:
        """A function that the linker left out does not speak for live code, though its addresses wrap into it."""
        made = Sections()
        made.add_unit(unit(function("dead", tombstone, tombstone + 50), function("live", 22, 62)))
        with engine(made) as opened:
            assert brief(opened.lookup([30])[0]) == [("live", None)]
            assert [(f.name, f.is_tombstone) for f in opened.functions()] == [("dead", True), ("live", False)]
            assert opened.match_bodies() == (1, 1, 1)

    def test_ranges(self) -> None:
        """A function may have a list of ranges, relative to its unit, one for each body."""
        made = Sections()
        place = made.add_ranges((22 - 3, 62 - 3), (64 - 3, 110 - 3))
        made.add_unit(unit(Entry(SUBPROGRAM, {NAME: Text("split"), RANGES: place})))
        assert [brief(frames) for frames in ask(made, 30, 90, 4)] == [[("split", None)]] * 2 + [[]]

    def test_unit_without_addresses(self) -> None:
        """A unit that does not say which code it is about is looked into all the same."""
        made = Sections()
        made.add_unit(Entry(COMPILE_UNIT, {}, [function("found", 22, 62)]))
        assert brief(ask(made, 30)[0]) == [("found", None)]

    def test_no_function(self) -> None:
        """Without a unit for a place, nothing is known; the host names the function by its index."""
        made = Sections()
        made.add_unit(unit(function("a", 3, 20), low=Address(3), high=Data(17)))
        assert ask(made, 30) == [()]


class TestNames:
    """What functions are called."""

    @pytest.mark.parametrize(
        ("linkage", "name"),
        [
            ("_ZN5shape4areaEid", "shape::area(int, double)"),
            ("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"),
            ("_RNvCskwGfYPst2Cb_3foo16example_function", "foo::example_function"),
            ("_ZN5broken", "plain"),
            ("plain.llvm.123", "plain"),
        ],
    )
    def test_demangled(self, linkage: str, name: str) -> None:
        """Names of C++ and Rust are demangled, others are as in the source; the linker's name is there, too."""
        made = Sections()
        made.add_unit(unit(function("plain", 22, 62, linkage=Text(linkage))))
        frame = ask(made, 30)[0][0]
        assert (frame.function, frame.linkage_name) == (name, linkage)

    def test_zig(self) -> None:
        """Of Zig, the linker's name is better: it has the namespace."""
        made = Sections()
        body = function("print", 22, 62, linkage=Text("fmt.print"))
        made.add_unit(unit(body, producer=Text("zig 0.17.1")))
        assert ask(made, 30)[0][0].function == "fmt.print"

    def test_name_of_declaration(self) -> None:
        """A function's name may be in the declaration that its abstract entry refers to, in any order."""
        made = Sections()
        declared = Entry(SUBPROGRAM, {NAME: Text("method"), LINKAGE_NAME: Text("_ZN1T6methodEv"), DECLARATION: Flag()})
        origin = Entry(SUBPROGRAM, {SPECIFICATION: Reference(declared)})
        concrete = function(None, 22, 62, origin=Reference(origin))
        made.add_unit(unit(concrete, origin, Entry(NAMESPACE, {NAME: Text("n")}, [declared])))
        assert ask(made, 30)[0][0].function == "T::method()"

    def test_name_in_another_unit(self) -> None:
        """With link-time optimization, an inlined function's name may be in another unit."""
        made = Sections()
        origin = abstract("elsewhere")
        made.add_unit(unit(origin, low=Address(3), high=Data(17)))
        made.add_unit(unit(function("here", 22, 62, call(origin, 30, 40, 9, is_global=True))))
        assert brief(ask(made, 35)[0]) == [("elsewhere", None), ("here", 9)]

    def test_name_that_is_no_utf8(self) -> None:
        """A name can be any bytes, and is text that can be printed."""
        made = Sections()
        made.add_unit(
            unit(Entry(SUBPROGRAM, {NAME: Text(b"a\xff\xed\xa0\x80"), LOW_PC: Address(22), HIGH_PC: Data(40)}))
        )
        name = ask(made, 30)[0][0].function
        assert name is not None
        assert name.startswith("a\ufffd")
        assert name.encode()


class TestInlinedCalls:
    """Chains of calls that were inlined."""

    def test_chain(self) -> None:
        """The innermost call comes first; each frame's line is where the next inner one is called."""
        made = Sections()
        inner, middle = abstract("inner"), abstract("middle")
        block = Entry(LEXICAL_BLOCK, {}, [call(middle, 30, 50, 11, call(inner, 35, 45, 22))])
        lines = Lines(["a.c", "b.h"]).at(22).row(99).row(1, by=8, file=2, column=3).end(by=32)
        made.add_unit(unit(inner, middle, function("outer", 22, 62, block), lines=made.add_lines(lines)))
        deep, shallow, none = ask(made, 36, 31, 55)
        assert brief(deep) == [("inner", 101), ("middle", 22), ("outer", 11)]
        assert [(f.file, f.column, f.is_inlined, f.low_pc) for f in deep] == [
            ("b.h", 3, True, None),
            ("a.c", 7, True, None),
            ("a.c", 7, False, 22),
        ]
        assert brief(shallow) == [("middle", 101), ("outer", 11)]
        assert brief(none) == [("outer", 101)]

    def test_overlapping(self) -> None:
        """Calls whose ranges overlap are told apart by depth, and then the last one counts."""
        made = Sections()
        a, b, c = (abstract(name) for name in "abc")
        body = function("f", 22, 62, call(a, 30, 50, 1, call(b, 25, 35, 2)), call(c, 40, 60, 3))
        made.add_unit(unit(a, b, c, body))
        found = {
            offset: [f.function for f in frames]
            for offset, frames in zip(range(22, 62), ask(made, *range(22, 62)), strict=True)
        }
        assert found[24] == ["f"]
        assert found[25] == found[34] == ["b", "a", "f"]
        assert found[35] == found[39] == ["a", "f"]
        assert found[40] == found[59] == ["c", "f"]
        assert found[60] == ["f"]

    def test_range_outside_of_the_body(self) -> None:
        """A call that goes on after the body's end is not believed, and counted."""
        made = Sections()
        a = abstract("a")
        made.add_unit(unit(a, function("f", 22, 62, call(a, 30, 80, 1))))
        with engine(made) as opened:
            assert brief(opened.lookup([40])[0]) == [("f", None)]
            assert opened.problems == ("1 inlined calls outside of their function's code",)

    def test_function_inside_of_a_function(self) -> None:
        """What is inlined into a nested function is not inlined into the one around it."""
        made = Sections()
        a = abstract("a")
        nested = function("nested", 64, 110, call(a, 70, 80, 1))
        made.add_unit(unit(a, function("f", 22, 62, nested, call(a, 30, 40, 5))))
        assert [brief(frames) for frames in ask(made, 35, 75, 50)] == [
            [("a", None), ("f", 5)],
            [("a", None), ("nested", 1)],
            [("f", None)],
        ]


class TestLines:
    """Which line a place is on."""

    @staticmethod
    def lines(program: Lines, *offsets: int, address_size: int = 4) -> list[int | None]:
        made = Sections(address_size=address_size)
        place = made.add_lines(program)
        made.add_unit(unit(function("a", 3, 20), function("b", 22, 62), function("c", 64, 110), lines=place))
        return [frames[0].line for frames in ask(made, *offsets)]

    def test_row_holds_to_the_next(self) -> None:
        """A row speaks from its address to the next row's."""
        program = Lines().at(22).row(4).row(2, by=10).end(by=30)
        assert self.lines(program, 22, 31, 32, 61) == [5, 5, 7, 7]

    def test_last_row_of_an_address_counts(self) -> None:
        """Of rows with the same address, the last one counts."""
        assert self.lines(Lines().at(22).row(4).row(2).row(3).end(by=40), 22, 40) == [10, 10]

    def test_entry(self) -> None:
        """A function's first bytes, of which no row speaks, are on its first line."""
        assert self.lines(Lines().at(30).row(4).row(2, by=4).end(by=28), 22, 29, 34) == [5, 5, 7]

    def test_end_of_sequence(self) -> None:
        """Where a sequence ends inside of a body, nothing is known from there on."""
        assert self.lines(Lines().at(22).row(4).end(by=10), 31, 32, 61) == [5, None, None]

    def test_rows_of_another_body(self) -> None:
        """The rows of one body do not speak for the next one, even in one sequence."""
        program = Lines().at(3).row(4).row(2, by=10).row(5, by=60).end(by=37)
        assert self.lines(program, 3, 15, 30, 64, 73, 100) == [5, 7, None, 12, 12, 12]

    def test_line_0(self) -> None:
        """Code that belongs to no line gets that of the code before it."""
        program = Lines().at(22).row(4).row(-5, by=8).row(9, by=8).end(by=24)
        assert self.lines(program, 25, 31, 38) == [5, 5, 9]

    def test_line_0_at_first(self) -> None:
        """Code without a line at a function's beginning gets that of the code after it."""
        assert self.lines(Lines().at(22).row(-1).row(6, by=8).end(by=32), 22, 30) == [6, 6]

    def test_line_0_after_an_inlined_call(self) -> None:
        """Code without a line gets one of its own function: not that of a call that was inlined before it."""
        made = Sections()
        a = abstract("a")
        program = Lines(["f.c", "a.h"]).at(22).row(4).row(95, by=8, file=2).row(-100, by=8).end(by=24)
        made.add_unit(unit(a, function("f", 22, 62, call(a, 30, 38, 77)), lines=made.add_lines(program)))
        before, inside, after = ask(made, 22, 30, 38)
        assert brief(before) == [("f", 5)]
        assert brief(inside) == [("a", 100), ("f", 77)]
        assert [(f.function, f.file, f.line) for f in after] == [("f", "f.c", 77)]

    @pytest.mark.parametrize("tombstone", [0, LATER, GONE])
    def test_sequence_of_what_was_left_out(self, tombstone: int) -> None:
        """A sequence that begins at a tombstone says nothing, though its addresses wrap into live code."""
        dead = Lines().at(tombstone).row(70).row(1, by=40).end(by=40)
        dead.at(22).row(4).end(by=40)
        assert self.lines(dead, 30, 61) == [5, 5]

    def test_address_that_goes_back(self) -> None:
        """Addresses have as many bits as the module's: what is added may wrap around."""
        program = Lines().at(50).row(4).row(1, by=(1 << 32) - 20).row(3, by=8).end(by=24)
        assert self.lines(program, 30, 38, 50) == [6, 9, 5]

    def test_unordered_sequences(self) -> None:
        """Sequences may come in any order."""
        program = Lines().at(64).row(9).end(by=46).at(3).row(1).end(by=17).at(22).row(4).end(by=40)
        assert self.lines(program, 3, 22, 64) == [2, 5, 10]

    def test_memory64(self) -> None:
        """Units of 64-bit modules have addresses of 8 bytes, with tombstones of as many."""
        program = Lines(address_size=8).at((1 << 64) - 1).row(8).end(by=70).at(22).row(4).end(by=40)
        assert self.lines(program, 30, address_size=8) == [5]

    def test_paths(self) -> None:
        """A file's path is joined with its folder, unless it is absolute; folders of Windows are known."""
        for folder, file, path in [
            ("/src", "a.c", "/src/a.c"),
            ("/src/", "x/../a.c", "/src/x/../a.c"),
            ("/src", "/usr/a.h", "/usr/a.h"),
            ("C:\\src", "a.c", "C:\\src\\a.c"),
            ("/src", "D:\\a.c", "D:\\a.c"),
            ("", "a.c", "a.c"),
        ]:
            made = Sections()
            place = made.add_lines(Lines([file]).at(22).row(4).end(by=40))
            made.add_unit(unit(function("f", 22, 62), lines=place, folder=Text(folder)))
            assert ask(made, 30)[0][0].file == path

    def test_lines_without_functions(self) -> None:
        """Where there are lines and no functions, as of an assembler, there is a frame without a name."""
        made = Sections()
        made.add_unit(unit(lines=made.add_lines(Lines().at(22).row(4).end(by=40))))
        frame = ask(made, 30)[0][0]
        assert (frame.function, frame.file, frame.line, frame.low_pc, frame.is_inlined) == (None, "a.c", 5, None, False)


class TestReports:
    """What can be asked besides addresses."""

    def test_rows(self) -> None:
        """Rows come as they are written, line 0 and ends too, for the bodies in a range."""
        made = Sections()
        place = made.add_lines(Lines().at(22).row(4, column=2).row(-5, by=8).end(by=10).at(64).row(8).end(by=46))
        made.add_unit(unit(function("b", 22, 62), lines=place))
        with engine(made) as opened:
            assert opened.rows(0, 64) == [
                (22, "a.c", 5, 2, False, 1),
                (30, "a.c", 0, 2, False, 1),
                (40, None, 0, 0, True, 1),
            ]
            assert [row.address for row in opened.rows(30, 200)] == [30, 40, 64, 110]
            assert [row.address for row in opened.rows(22, 40)] == [22, 30, 40]

    def test_units(self) -> None:
        """Units tell their file, folder, compiler, version and code."""
        made = Sections()
        made.add_unit(unit(name=Text("a.c"), folder=Text("/src"), producer=Text("clang version 19")))
        with engine(made) as opened:
            (found,) = opened.units()
        assert (found.name, found.comp_dir, found.producer, found.version) == ("a.c", "/src", "clang version 19", 4)
        assert (found.low, found.high, found.address_size, found.is_split, found.dwo_id) == (3, 110, 4, False, None)

    def test_match(self) -> None:
        """Functions that lie on bodies are told from those that do not; units are looked at until there are enough."""
        made = Sections()
        made.add_unit(unit(function("a", 3, 20), function("b", 25, 62), function("c", 66, 90), function("d", 10, 70)))
        made.add_unit(unit(function("e", 0, 20)))
        with engine(made) as opened:
            assert opened.match_bodies() == (4, 2, 1)
            assert opened.match_bodies(enough=2) == (4, 2, 0)

    def test_answers_outlive_the_engine(self) -> None:
        """Answers are good after the engine is closed, and the engine says that it is closed."""
        made = Sections()
        made.add_unit(unit(function("b", 22, 62)))
        opened = engine(made)
        answers = opened.lookup([30, 2, 40])
        opened.close()
        assert [brief(frames) for frames in answers] == [[("b", None)], [], [("b", None)]]
        assert answers[0] is answers[2]
        assert len(answers[1:]) == 2
        with pytest.raises(ValueError, match="closed"):
            opened.lookup([30])

    def test_bodies_that_are_none(self) -> None:
        """Bodies that are not one behind the other are refused."""
        made = Sections()
        made.add_unit(unit(function("b", 22, 62)))
        with pytest.raises(ValueError, match="order"):
            engine(made, (22, 3), (62, 20))
