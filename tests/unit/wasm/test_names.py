from __future__ import annotations

from typing import Any

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wasm.encoding import HEADER, custom, leb, module, name, section, vector
from wasmscope.wasm import Module, Names

NAMED = """
(module $me
  (type $t (func (param $typed i32)))
  (import "a" "f" (func $imported (param $p i32)))
  (table $table 1 funcref)
  (memory $memory 1)
  (global $global i32 i32.const 0)
  (tag $tag)
  (func $first (param $x i32) (param i32) (local $y i32) (block $out nop))
  (func)
  (func $"größe" (local $z i64))
  (elem $segment func $first)
  (data $bytes "abc"))
"""


def names(*parts: tuple[int, bytes]) -> Names:
    contents = b"".join(bytes([kind]) + leb(len(part)) + part for kind, part in parts)
    return Module(module(custom("name", contents))).names()


def flat(entries: dict[int, str]) -> bytes:
    return vector(*(leb(index) + name(text) for index, text in entries.items()))


class TestReading:
    def test_all_kinds(self) -> None:
        """Every identifier of a module's text is found under the kind and index that it names."""
        found = Module(wasmtime.wat2wasm(NAMED)).names()

        assert found.module == "me"
        assert dict(found.functions) == {0: "imported", 1: "first", 3: "größe"}
        assert {i: dict(n) for i, n in found.locals.items()} == {0: {0: "p"}, 1: {0: "x", 2: "y"}, 3: {0: "z"}}
        assert {i: dict(n) for i, n in found.labels.items()} == {1: {0: "out"}}
        assert [dict(n) for n in (found.tables, found.memories)] == [{0: "table"}, {0: "memory"}]
        assert [dict(n) for n in (found.globals, found.tags)] == [{0: "global"}, {0: "tag"}]
        assert [dict(n) for n in (found.elements, found.data)] == [{0: "segment"}, {0: "bytes"}]
        assert found.types[0] == "t"
        assert found.problems == ()

    def test_fields(self) -> None:
        """Names of fields are kept by type."""
        found = Module(wasmtime.wat2wasm("(module (type $s (struct (field $a i32) (field $b (mut i64)))))")).names()

        assert {i: dict(n) for i, n in found.fields.items()} == {0: {0: "a", 1: "b"}}

    def test_none(self) -> None:
        """A module without a name section has no names, and that is no problem."""
        found = Module(HEADER).names()

        assert (found.module, dict(found.functions), dict(found.locals), found.problems) == (None, {}, {}, ())

    @given(st.dictionaries(st.integers(0, 2**32 - 1), st.text(max_size=200), max_size=20))
    def test_a_map(self, entries: dict[int, str]) -> None:
        """A map of names is read as it was written, in the order of the indices, whatever order it was written in."""
        found = names((1, flat(entries))).functions

        assert dict(found) == entries
        assert list(found) == sorted(entries)
        assert len(found) == len(entries)
        for index in (0, 5, 2**32 - 1):
            assert (index in found) == (index in entries)
            assert found.get(index) == entries.get(index)

    def test_several(self) -> None:
        """Of several name sections and parts all are read; the first name of an index stays."""
        one = custom("name", b"\1" + leb(7) + flat({1: "a", 3: "b"}))
        two = custom("name", b"\0\2\1m" + b"\1" + leb(7) + flat({3: "c", 0: "d"}))

        found = Module(module(one, section(1, b"\0"), two)).names()

        assert (found.module, dict(found.functions)) == ("m", {0: "d", 1: "a", 3: "b"})

    def test_text(self) -> None:
        """A map of a hundred thousand names can be printed without printing them."""
        assert repr(names((1, flat(dict.fromkeys(range(1000), "f")))).functions) == "<NameMap of 1,000 names>"

    def test_unknown_part(self) -> None:
        """A part of a kind that nobody knows yet is passed over."""
        assert names((77, b"???"), (1, flat({0: "f"}))).functions[0] == "f"


class TestBroken:
    def test_cut_off(self) -> None:
        """Of names that are cut off, those before are read, and the rest is a problem with its place."""
        whole = flat({0: "first", 1: "second"})
        data = module(custom("name", b"\1" + leb(len(whole)) + whole[:-2]))

        found = Module(data).names()

        assert dict(found.functions) == {0: "first"}
        assert len(found.problems) == 2
        assert "name section: functions: it ends in the middle of a name" in found.problems[1]

    def test_beyond_the_section(self) -> None:
        """A part that announces more than its section has is not read on in the next section."""
        part = b"\1" + leb(100) + b"\2\0\1a"
        # Its number, size and contents would make a name of index 1.
        data = module(custom("name", part), section(1, b"\0"))

        found = Module(data).names()

        assert dict(found.functions) == {0: "a"}
        assert len(found.problems) == 2

    @pytest.mark.parametrize(
        ("part", "words"),
        [
            pytest.param(b"\xff\xff\xff\xff\x0f\0\1a", "ends before a name", id="count"),
            pytest.param(b"\2\0\1a", "ends before a name", id="one too few"),
            pytest.param(b"\2\0\1a\1", "in the middle of a name", id="half"),
            pytest.param(b"\1\0\1a\0", "1 bytes are left", id="left over"),
            pytest.param(b"\2\0\1a\xff\xff\xff\xff\x1f\1b", "an index does not fit", id="index"),
            pytest.param(b"\2\0\1a\x80\x80\x80\x80\x80\x00\1b", "an index does not fit", id="long index"),
            pytest.param(b"\2\0\1a\1\x80\x80\x80\x80\x80\x00", "size of a name does not fit", id="size"),
            pytest.param(b"\2\0\1a\1\xff\xff\xff\xff\x0f", "in the middle of a name", id="endless"),
        ],
    )
    def test_part(self, part: bytes, words: str) -> None:
        """Whatever is wrong in a part, the name before it is read, the problem is stated, and other parts are read."""
        found = names((1, part), (7, flat({4: "g"})))

        assert dict(found.functions) == {0: "a"}
        assert words in found.problems[0]
        assert "(at byte 0x" in found.problems[0]
        assert dict(found.globals) == {4: "g"}
        assert len(found.problems) == 1

    def test_not_utf_8(self) -> None:
        """A name that is not UTF-8 is given with a replacement character, and once it is read, that is a problem."""
        found = names((1, b"\2\0\3a\xffb\1\1c"))

        assert found.problems == ()
        assert found.functions[1] == "c"
        assert found.functions[0] == found.functions[0] == "a\ufffdb"
        assert len(found.problems) == 1
        assert "not UTF-8 (at byte 0x15)" in found.problems[0]

    def test_locals(self) -> None:
        """Of broken names of locals, those before are read."""
        found = names((2, b"\2" + b"\5" + flat({0: "x"}) + b"\6\7\0\1y"))

        assert {i: dict(n) for i, n in found.locals.items()} == {5: {0: "x"}, 6: {0: "y"}}
        assert "name section: locals" in found.problems[0]

    def test_many_problems(self) -> None:
        """Problems do not grow without bound, and neither do parts."""
        broken = names((1, vector(*(leb(i) + b"\1\xff" for i in range(1000)))))
        parts = names(*[(1, b"\0")] * 1000)

        assert len(dict(broken.functions)) == 1000
        assert len(broken.problems) == 100
        assert "more than 100 parts" in parts.problems[0]

    def test_too_many(self) -> None:
        """More names than runtimes accept functions are a problem, and no more of them are kept."""
        found = names((1, leb(1_000_003) + b"".join(leb(i) + b"\0" for i in range(1_000_003))))
        one = names((2, b"\2\5" + leb(1_000_003) + b"\7\0" * 1_000_003 + b"\6" + flat({0: "x"})))
        many = names((2, leb(1_000_003) + b"\7\0" * 1_000_003))

        assert len(found.functions) == 1_000_000
        assert "more than 1,000,000 names" in found.problems[0]
        assert {i: dict(n) for i, n in one.locals.items()} == {5: {7: ""}}
        assert "more than 1,000,000 names" in one.problems[0]
        assert {i: dict(n) for i, n in many.locals.items()} == {7: {}}
        assert "more than 1,000,000 names" in many.problems[0]

    @given(st.lists(st.tuples(st.integers(0, 12), st.binary(max_size=40)), max_size=6), st.binary(max_size=8))
    def test_anything(self, parts: list[tuple[int, bytes]], tail: bytes) -> None:
        """Whatever is in a name section, reading it comes to an end, and raises nothing."""
        contents = b"".join(bytes([kind]) + leb(len(part)) + part for kind, part in parts) + tail
        found = Module(module(custom("name", contents))).names()
        everything: list[Any] = [found.functions, found.types, found.tables, found.memories, found.globals]
        everything += [found.elements, found.data, found.tags]
        everything += [n for nested in (found.locals, found.labels, found.fields) for n in nested.values()]

        assert all(isinstance(text, str) for names in everything for text in names.values())
        assert found.module is None or found.module
        assert all("\n" not in problem for problem in found.problems)
