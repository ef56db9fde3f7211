from __future__ import annotations

import json

import pytest

from tests.unit.dwarf.maps import Segment, mappings, random_segments, source_map
from wasmscope.dwarf import Position, SourceMap, read_source_map
from wasmscope.dwarf import _source_map as decoder
from wasmscope.errors import DebugInfoError

EVERYWHERE = (0, 2**32)


def found(source: SourceMap, offset: int) -> tuple[str | None, int, int] | None:
    position = source.find(offset, *EVERYWHERE)
    return None if position is None else (position.source, position.line, position.column)


class TestFormat:
    def test_numbers_by_hand(self) -> None:
        """Numbers are decoded as the standard says: six bits a character, lowest first, of which one is the sign."""
        # u is 46: 14, and more follows. D is 3: 14 + 3 * 32 is 110, and its half 55. 0 is 52: 20, and more follows. T
        # is 19: 20 + 19 * 32 is 628, and its half 314. D alone is -1. https://tc39.es/ecma426/#sec-base64-vlq
        source = read_source_map(source_map("uDAA0T,CAAD"))

        assert [found(source, 55), found(source, 56)] == [("a.ts", 1, 1 + 314), ("a.ts", 1, 314)]

    def test_lines_and_columns_count_from_1(self) -> None:
        """A map counts lines and columns from 0, and people from 1."""
        assert Position("b.ts", 8, 3, None) == read_source_map(source_map([(10, 1, 7, 2)])).find(10, *EVERYWHERE)

    def test_name(self) -> None:
        """The fifth field is a name; the segments around it have none."""
        source = read_source_map(source_map([(1, 0, 0, 0), (2, 0, 0, 0, 1), (3, 0, 0, 0)]))

        names = [position and position.name for position in (source.find(o, *EVERYWHERE) for o in (1, 2, 3))]
        assert names == [None, "second", None]

    @pytest.mark.parametrize("count", [1, 100, 20_000])
    def test_round_trip(self, count: int) -> None:
        """What an encoder of the standard's rules writes is found again, at each offset."""
        segments = [s for s in random_segments(count, seed=count) if len(s) > 1]
        source = read_source_map(source_map(segments))

        assert len(segments) == len(source)
        for offset, file, line, column, *_ in segments:
            assert (("a.ts", "b.ts")[file], line + 1, column + 1) == found(source, offset)

    def test_unordered(self) -> None:
        """Differences may be negative, so that segments come in any order; the last one at an offset counts."""
        source = read_source_map(source_map([(30, 0, 3, 0), (10, 0, 1, 0), (20, 0, 2, 0), (10, 0, 9, 0)]))

        assert [position[1] for o in (10, 25, 30) if (position := found(source, o))] == [10, 3, 4]

    def test_largest_numbers(self) -> None:
        """Offsets of 32 bits are what files of WebAssembly have at most; more is refused."""
        source = read_source_map(source_map([(2**31 - 1, 0, 2**31 - 1, 0), (2**32 - 1, 0, 0, 0)]))
        assert found(source, 2**32 - 1) == ("a.ts", 1, 1)

        with pytest.raises(DebugInfoError, match="32 bits"):
            read_source_map(source_map([(2**31, 0, 0, 0), (2**32, 0, 0, 0)]))

    def test_browsers_guard(self) -> None:
        """A first line that keeps browsers from running the file is left out, and so is a byte order mark."""
        data = source_map([(1, 0, 0, 0)])

        assert len(read_source_map(b")]}'\n" + data)) == 1
        assert len(read_source_map(b"\xef\xbb\xbf" + data)) == 1

    @pytest.mark.parametrize(
        ("root", "source", "path"),
        [
            (None, "a.ts", "a.ts"),
            ("", "a.ts", "a.ts"),
            ("src", "a.ts", "src/a.ts"),
            ("src/", "a.ts", "src/a.ts"),
            ("src", "/abs/a.ts", "/abs/a.ts"),
            ("src", "https://host/a.ts", "https://host/a.ts"),
            ("webpack://app", "a.ts", "webpack://app/a.ts"),
        ],
    )
    def test_source_root(self, root: str | None, source: str, path: str) -> None:
        """sourceRoot is the folder of all sources that are not absolute, as in browsers."""
        assert (path,) == read_source_map(source_map([(1, 0, 0, 0)], sources=[source], sourceRoot=root)).sources

    def test_null_source(self) -> None:
        """A source may be null: then there is a line and no file."""
        assert found(read_source_map(source_map([(1, 0, 0, 0)], sources=[None])), 1) == (None, 1, 1)

    def test_content(self) -> None:
        """A map can carry its sources' text."""
        source = read_source_map(source_map([(1, 0, 0, 0)], sourceRoot="r", sourcesContent=["text", None]))

        assert source.content("r/a.ts") == "text"
        assert source.content("r/b.ts") is None

    @pytest.mark.parametrize("key", ["debugId", "debug_id"])
    def test_debug_id(self, key: str) -> None:
        """What ties it to a module is kept as it is, in the standard's spelling and in the older one."""
        assert read_source_map(source_map([(1, 0, 0, 0)], **{key: "0A0b"})).debug_id == "0A0b"

    def test_half_a_pair(self) -> None:
        """JSON can hold what no encoding can: it is replaced, so that it can be printed."""
        source = read_source_map(source_map([(1, 0, 0, 0)], sources=["\ud800"], names=["\udfff"]))

        assert source.sources == ("?",)


class TestFind:
    SEGMENTS: tuple[Segment, ...] = ((10, 0, 1, 0), (14,), (20, 0, 2, 0), (30, 1, 3, 0))

    @pytest.mark.parametrize(
        ("offset", "line"),
        [
            pytest.param(10, 2, id="on it"),
            pytest.param(13, 2, id="behind it"),
            pytest.param(16, 2, id="unmapped: what is before it"),
            pytest.param(29, 3, id="up to the next"),
            pytest.param(10**9, 4, id="to the end"),
        ],
    )
    def test_within_a_function(self, offset: int, line: int) -> None:
        """A mapping holds up to the next one; code without one belongs to what is before it."""
        position = found(read_source_map(source_map(self.SEGMENTS)), offset)

        assert position is not None and line == position[1]

    def test_entry(self) -> None:
        """Before a function's first mapping, that one holds: a function's entry is where samples and hooks land."""
        position = read_source_map(source_map(self.SEGMENTS)).find(17, 17, 25)

        assert position is not None and position.line == 3

    def test_no_other_function_speaks(self) -> None:
        """A function without a mapping has no line, whatever the functions around it have."""
        assert read_source_map(source_map(self.SEGMENTS)).find(22, 21, 29) is None
        assert read_source_map(source_map(self.SEGMENTS)).find(5, 0, 10) is None

    def test_nothing_mapped(self) -> None:
        """A map may be empty."""
        source = read_source_map(source_map(""))

        assert source.find(1, *EVERYWHERE) is None
        assert source.first_offset is source.last_offset is None


class TestIndexMap:
    def test_sections(self) -> None:
        """A map can be put together from others, each from an offset on; sources and names are each section's own."""
        inner = json.loads(source_map([(2, 0, 4, 0, 1)], sources=["x.ts"], names=["n", "m"]))
        outer = {
            "version": 3,
            "sections": [
                {"offset": {"line": 0, "column": 0}, "map": json.loads(source_map([(1, 1, 0, 0)]))},
                {"offset": {"line": 0, "column": 100}, "map": inner},
                {"offset": {"line": 1, "column": 0}, "map": inner},
            ],
        }
        source = read_source_map(json.dumps(outer).encode())

        assert found(source, 1) == ("b.ts", 1, 1)
        assert Position("x.ts", 5, 1, "m") == source.find(102, *EVERYWHERE)
        assert len(source) == 2

    @pytest.mark.parametrize(
        ("section", "message"),
        [
            ({"offset": {"line": 0, "column": 0}, "url": "x"}, "has no map in it"),
            ({"offset": {"line": 0, "column": 0}, "map": {"version": 3, "sections": []}}, "has no map in it"),
            ({"map": {"mappings": ""}}, "does not say where it begins"),
            ({"offset": {"line": 0, "column": -1}, "map": {"mappings": ""}}, "does not say where it begins"),
            ({"offset": {"line": 0, "column": True}, "map": {"mappings": ""}}, "does not say where it begins"),
            ("text", "sections are not"),
        ],
    )
    def test_broken_section(self, section: object, message: str) -> None:
        """What is no section, is elsewhere, or is an index map again is refused."""
        with pytest.raises(DebugInfoError, match=message):
            read_source_map(json.dumps({"version": 3, "sections": [section]}).encode())


class TestBroken:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("AAAA,g", "in the middle of a number"),
            ("AAAA,AA", "2 numbers"),
            ("AAA", "3 numbers"),
            ("AAAAAA", "more than 5 numbers"),
            ("A" * 10_000, "more than 5 numbers"),
            ("A AA", "not Base64"),
            ("Ä", "not Base64"),
            ("gggggggggggA", "more than 32 bits"),
            ("g" * 1_000_000, "more than 32 bits"),
            ("D", None),
            ("DAAA", "below 0"),
            ("ADAA", "below 0"),
            ("AEAA", "a source that it does not have"),
            ("AAAAE", "a name that it does not have"),
            ("AAAAD", None),
            ("//////fAAA", "more than 32 bits"),
            (";AAAA", "first line is empty"),
        ],
    )
    def test_mappings(self, text: str, message: str | None) -> None:
        """Mappings that the format does not allow are refused with what is wrong, or mean nothing."""
        if message is None:
            read_source_map(source_map(text))
        else:
            with pytest.raises(DebugInfoError, match=message):
                read_source_map(source_map(text))

    @pytest.mark.parametrize("text", ["", ",", ",,,", ";", ";;;", "A", "AAAA;EEEE", ",AAAA,"])
    def test_harmless(self, text: str) -> None:
        """Empty segments and further lines mean nothing in a module's map."""
        assert len(read_source_map(source_map(text))) == text.partition(";")[0].count("AAAA")

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "not JSON"),
            (b'{"version":3,"mappings":"AA', "not JSON at character 24"),
            (b"[" * 100_000, "nested too deeply"),
            (b"[]", "not a source map"),
            (b"{}", "not a source map"),
            (b'{"mappings":""}', "not of version 3"),
            (b'{"version":"3","mappings":""}', "not of version 3"),
            (b'{"version":3,"mappings":5}', "no text"),
            (b'{"version":' + b"9" * 10_000 + b"}", "not JSON"),
            (b"\xff\xfe\x00", "not JSON"),
            (source_map("", sources="a.ts"), "sources are not"),
            (source_map("", sources=[5]), "sources are not"),
            (source_map("", names=[None]), "names are not"),
            (source_map("", sourcesContent={}), "sourcesContent are not"),
        ],
    )
    def test_document(self, data: bytes, message: str) -> None:
        """What is no source map is refused with what is wrong."""
        with pytest.raises(DebugInfoError, match=message):
            read_source_map(data)

    def test_too_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file, and a number of mappings, beyond what we read is refused before it is decoded."""
        monkeypatch.setattr(decoder, "_MAX_MAPPINGS", 10)
        assert len(read_source_map(source_map([(n, 0, 0, 0) for n in range(10)]))) == 10
        with pytest.raises(DebugInfoError, match="more than 10 mappings"):
            read_source_map(source_map([(n, 0, 0, 0) for n in range(11)]))

        monkeypatch.setattr(decoder, "MAX_MAP_BYTES", 10)
        with pytest.raises(DebugInfoError, match="at most 10 are read"):
            read_source_map(source_map(""))

    def test_no_document_in_the_message(self) -> None:
        """An error is one short line, however long the file is."""
        with pytest.raises(DebugInfoError) as caught:
            read_source_map(b'{"version":3,"mappings":"' + b"x" * 1_000_000 + b"\n")

        assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


def test_encoder_is_right() -> None:
    """The encoder of these tests writes what the standard's example has."""
    assert mappings([(0, 0, 0, 0), (2, 0, 2, 0), (6, 2, 2, 1)]) == "AAAA,EAEA,IEAC"
