from __future__ import annotations

import math

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wasm.encoding import HEADER, leb, module, section, vector
from wasmscope.errors import ModuleFormatError
from wasmscope.wasm import (
    DataSegment,
    Global,
    GlobalType,
    Limits,
    Memory,
    MemoryType,
    Module,
    Table,
    TableType,
    encode_signed,
)

PAGE = 65_536


def of(text: str) -> Module:
    return Module(wasmtime.wat2wasm(f"(module {text})"))


def initial(text: str) -> int | float | None:
    """What the last global is at first."""
    return of(text).globals()[-1].initial


class TestMemories:
    def test_every_kind(self) -> None:
        """Memories are given with their limits and kind, imported ones first."""
        found = of("""
            (import "a" "m" (memory 1 2))
            (memory 3)
            (memory 1 4 shared)
            (memory i64 5)
            (memory i64 0 6 shared)
            (memory 10 (pagesize 1))
        """)

        assert found.memories() == (
            Memory(MemoryType(Limits(1, 2), False, False, PAGE), True),
            Memory(MemoryType(Limits(3, None), False, False, PAGE), False),
            Memory(MemoryType(Limits(1, 4), False, True, PAGE), False),
            Memory(MemoryType(Limits(5, None), True, False, PAGE), False),
            Memory(MemoryType(Limits(0, 6), True, True, PAGE), False),
            Memory(MemoryType(Limits(10, None), False, False, 1), False),
        )

    def test_memory64(self) -> None:
        """A module has 64-bit memory if one of its memories has, imported or not."""
        assert of("(memory i64 1)").has_memory64
        assert of('(import "a" "m" (memory i64 1))').has_memory64
        assert not of("(memory 1)").has_memory64
        assert not Module(HEADER).has_memory64

    def test_broken(self) -> None:
        """Limits and pages of a kind that the specification does not have are refused."""
        with pytest.raises(ModuleFormatError, match="unknown limits 0x40"):
            Module(module(section(5, b"\1\x40\1"))).memories()
        with pytest.raises(ModuleFormatError, match="2 to the 65 bytes"):
            Module(module(section(5, b"\1\x08\1\x41"))).memories()


class TestTables:
    def test_every_kind(self) -> None:
        """Tables are given with their limits and kind, imported ones first, also if they begin with a value."""
        found = of("""
            (import "a" "t" (table 1 2 externref))
            (table 3 funcref)
            (table 4 (ref func) (ref.func $f))
            (table i64 5 6 anyref)
            (func $f)
        """)

        assert found.tables() == (
            Table(TableType("externref", Limits(1, 2), False), True),
            Table(TableType("funcref", Limits(3, None), False), False),
            Table(TableType("ref", Limits(4, None), False), False),
            Table(TableType("ref", Limits(5, 6), True), False),
        )


class TestGlobals:
    def test_kinds(self) -> None:
        """Globals are given with their type and what they are at first, imported ones first."""
        found = of("""
            (import "a" "g" (global $i (mut i64)))
            (import "a" "h" (global $h i32))
            (global (mut i32) i32.const -5)
            (global f32 f32.const 1.5)
            (global f64 f64.const -inf)
            (global funcref (ref.null func))
            (global v128 v128.const i64x2 1 2)
            (global i32 global.get $h)
        """).globals()

        assert [g.is_imported for g in found] == [True, True] + [False] * 6
        assert [g.initial for g in found] == [None, None, -5, 1.5, -math.inf, None, None, None]
        assert found[0] == Global(GlobalType("i64", True), True, None)
        assert [g.type.value_type for g in found[2:]] == ["i32", "f32", "f64", "funcref", "v128", "i32"]
        assert [g.type.is_mutable for g in found[:4]] == [True, False, True, False]

    def test_arithmetic(self) -> None:
        """Sums and products are computed as the machine does, with what other globals are at first."""
        assert initial("(global $a i32 i32.const 40) (global i32 (i32.add (global.get $a) (i32.const 2)))") == 42
        assert initial("(global i32 (i32.sub (i32.const 2) (i32.const 5)))") == -3
        assert initial("(global i32 (i32.mul (i32.const 65536) (i32.const 65536)))") == 0
        assert initial("(global i32 (i32.add (i32.const 0x7fffffff) (i32.const 1)))") == -(2**31)
        assert initial("(global i64 (i64.mul (i64.const 0x7fffffffffffffff) (i64.const 2)))") == -2
        assert initial("(global i64 (i64.sub (i64.const -9223372036854775808) (i64.const 1)))") == 2**63 - 1
        assert initial('(import "a" "g" (global $g i32)) (global i32 (i32.add (global.get $g) (i32.const 2)))') is None

    @given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1))
    def test_constants(self, small: int, large: int) -> None:
        """Every constant is read as it is written in the text."""
        found = of(f"(global i32 i32.const {small}) (global i64 i64.const {large})").globals()

        assert [g.initial for g in found] == [small, large]

    def test_references(self) -> None:
        """Behind objects that a global begins with, the next global is read."""
        found = of("""
            (type $s (struct (field i32) (field i64)))
            (type $a (array i32))
            (func $f)
            (global (ref $s) (struct.new $s (i32.const 1) (i64.const 2)))
            (global (ref $s) (struct.new_default $s))
            (global (ref $a) (array.new $a (i32.const 1) (i32.const 2)))
            (global (ref $a) (array.new_default $a (i32.const 2)))
            (global (ref $a) (array.new_fixed $a 2 (i32.const 1) (i32.const 2)))
            (global i31ref (ref.i31 (i32.const 1)))
            (global externref (extern.convert_any (ref.i31 (i32.const 1))))
            (global anyref (any.convert_extern (ref.null extern)))
            (global (ref $f_type) (ref.func $f))
            (type $f_type (func))
            (global i32 i32.const 7)
        """).globals()

        assert [g.initial for g in found[-3:]] == [None, None, 7]
        assert all(g.initial is None for g in found[:-1])

    @pytest.mark.parametrize(
        ("code", "words"),
        [
            (b"\x10\0\x0b", "0x10"),
            (b"\xfb\x7f\x0b", "0xfb 127"),
            (b"\xfd\0\x0b", "0xfd 0"),
            (b"\x41", "middle of an entry"),
            (b"\x41\0", "middle of an entry"),
            (b"\x44\0\0", "8 bytes are announced"),
            (b"\x41\xff\xff\xff\xff\x1f\x0b", "32 bits"),
            (b"\x41\0" * 1001 + b"\x0b", "more than 1,000 values"),
        ],
    )
    def test_broken(self, code: bytes, words: str) -> None:
        """What is no constant expression is refused with its place."""
        with pytest.raises(ModuleFormatError, match=words) as caught:
            Module(module(section(6, b"\1\x7f\0" + code))).globals()
        assert caught.value.offset is not None

    def test_nothing_there(self) -> None:
        """An operation without operands, or an expression without a value, has no value that is known."""
        found = Module(module(section(6, b"\2\x7f\0\x6a\x0b\x7f\0\x0b"))).globals()

        assert [g.initial for g in found] == [None, None]


class TestDataSegments:
    def test_every_kind(self) -> None:
        """Data is given with where it goes and where it is; its bytes are those of the text."""
        found = of("""
            (import "a" "g" (global $g i32))
            (global $base i32 i32.const 4096)
            (memory 1)
            (memory $wide i64 1)
            (data (i32.const 8) "eight")
            (data "passive")
            (data (memory $wide) (i64.const -1) "wide")
            (data (i32.const -16) "")
            (data (global.get $g) "somewhere")
            (data (i32.add (global.get $base) (i32.const 4)) "sum")
        """)
        segments = found.data_segments()
        data = bytes(found.data)

        assert [(s.memory, s.address) for s in segments] == [
            (0, 8),
            (None, None),
            (1, 2**64 - 1),
            (0, 2**32 - 16),
            (0, None),
            (0, 4100),
        ]
        texts = [data[s.offset : s.offset + s.size] for s in segments]
        assert texts == [b"eight", b"passive", b"wide", b"", b"somewhere", b"sum"]

    def test_broken(self) -> None:
        """Segments of an unknown kind, or larger than the section, are refused."""
        with pytest.raises(ModuleFormatError, match="unknown kind 3 of data segment"):
            Module(module(section(11, b"\1\3\0"))).data_segments()
        with pytest.raises(ModuleFormatError, match="4,294,967,295 bytes are announced"):
            Module(module(section(11, b"\1\1" + leb(2**32 - 1)))).data_segments()

    def test_no_memory(self) -> None:
        """Data for a memory that is not there is given all the same: it is for the runtime to refuse."""
        found = Module(module(section(11, vector(b"\2\5\x41" + encode_signed(9) + b"\x0b\1x")))).data_segments()

        assert found == (DataSegment(5, 9, len(HEADER) + 9, 1),)
