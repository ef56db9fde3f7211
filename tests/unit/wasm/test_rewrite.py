from __future__ import annotations

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wasm.encoding import custom, leb, module, name, section, vector
from wasmscope.errors import ModuleFormatError
from wasmscope.wasm import Export, Module, OffsetMap, encode_custom_section, rewrite

GUEST = bytes(
    wasmtime.wat2wasm("""
    (module $guest
      (import "a" "f" (func $imported))
      (memory 1)
      (tag $tag)
      (global $g (mut i32) i32.const 1)
      (export "memory" (memory 0))
      (export "größe" (func $two))
      (start $one)
      (elem func $one)
      (func $one nop)
      (func $two (param $x i32) nop nop)
      (data "abc"))
    """)
) + custom("notes", b"first") + custom("other", b"?") + custom("notes", b"second")  # fmt: skip


def titles(data: bytes) -> list[str]:
    return [s.name for s in Module(data).sections]


def check_offsets(old: bytes, new: bytes, offsets: OffsetMap) -> None:
    """Every byte that the map knows is the same before and after, and the code section is there whole."""
    there = [offsets.to_new(at) for at in range(-1, len(old) + 2)]
    assert there[0] is None
    assert there[-2:] == [None, None]
    for at, to in enumerate(there[1:-2]):
        if to is not None:
            assert old[at] == new[to]
            assert offsets.to_old(to) == at
    known = sorted(to for to in there if to is not None)
    assert known == [at for at in range(len(new)) if offsets.to_old(at) is not None]
    code, moved = Module(old).code, Module(new).code
    if moved is not None:
        assert code is not None
        assert [offsets.to_new(at) for at in range(code.offset, code.end)] == list(range(moved.offset, moved.end))


class TestSections:
    def test_nothing(self) -> None:
        """Without changes, every byte stays where it is."""
        done = rewrite(Module(GUEST))

        assert done.data == GUEST
        assert [done.offsets.to_new(at) for at in range(len(GUEST))] == list(range(len(GUEST)))

    def test_drop_replace_append(self) -> None:
        """Sections are dropped, replaced and appended one by one; the others keep every byte."""
        old = Module(GUEST)
        first, second = old.custom_sections("notes")

        done = rewrite(old, drop=[first], replace={second: b"2nd"}, append=[("build_id", b"\1x"), ("é", b"")])

        new = Module(done.data)
        assert titles(done.data) == [*titles(GUEST)[:-3], "other", "notes", "build_id", "é"]
        assert [new.contents(s) for s in new.sections[-4:]] == [b"?", b"2nd", b"\1x", b""]
        assert done.data[: first.offset - 8] == GUEST[: first.offset - 8]
        check_offsets(GUEST, done.data, done.offsets)

    def test_code_moves(self) -> None:
        """When a section before the code goes, the map says where the code is now."""
        data = module(custom("big", bytes(1000)), section(10, vector(b"\2\0\x0b")))
        old = Module(data)

        done = rewrite(old, drop=old.custom_sections("big"))

        assert old.code is not None
        assert done.offsets.to_new(old.code.offset) == old.code.offset - 1007
        assert done.offsets.to_new(20) is None
        check_offsets(data, done.data, done.offsets)

    def test_without_code(self) -> None:
        """All but the custom sections can go: what is left is no program, but a file for debug information."""
        old = Module(GUEST)

        done = rewrite(old, drop=[s for s in old.sections if s.id])

        assert titles(done.data) == ["name", "notes", "other", "notes"]
        check_offsets(GUEST, done.data, done.offsets)

    def test_part_of_a_file(self) -> None:
        """A module inside a component is written as a file of its own; the old offsets are those of the component."""
        data = b"\0asm\x0d\0\1\0" + section(1, GUEST)
        start = len(data) - len(GUEST)

        done = rewrite(Module(data, start=start))

        assert done.data == GUEST
        assert (done.offsets.to_new(start), done.offsets.to_new(start - 1), done.offsets.to_old(5)) == (
            0,
            None,
            start + 5,
        )

    def test_refused(self) -> None:
        """Sections of another module, or such that are no custom sections, are not replaced."""
        old = Module(GUEST)
        other = Module(module(custom("notes", b"first"))).sections[0]

        with pytest.raises(ValueError, match="no such section"):
            rewrite(old, drop=[other])
        with pytest.raises(ValueError, match="only custom sections can be replaced, not the code section"):
            rewrite(old, replace={s: b"" for s in old.sections if s.id == 10})


class TestExports:
    ADDED = (Export("again", "func", 2), Export("t", "tag", 0), Export("g", "global", 0))

    def test_more(self) -> None:
        """Exports are added after those that are there, and wasmtime finds them."""
        done = rewrite(Module(GUEST), exports=self.ADDED)

        assert Module(done.data).exports() == (*Module(GUEST).exports(), *self.ADDED)
        there = wasmtime.Module(wasmtime.Engine(), done.data).exports
        assert [e.name for e in there] == ["memory", "größe", "again", "t", "g"]
        check_offsets(GUEST, done.data, done.offsets)

    @pytest.mark.parametrize(
        "text",
        [
            "(module (global i32 i32.const 1))",
            "(module (func) (start 0))",
            '(module (memory 1) (data "abc"))',
            "(module (tag) (global i32 i32.const 1) (func $f) (table 1 funcref) (elem declare func $f))",
            "(module $named (type (func)))",
            "(module)",
        ],
    )
    def test_first(self, text: str) -> None:
        """Where there is no export section, it is put where the specification wants it."""
        engine = wasmtime.Engine()
        old = custom("before", b"") + bytes(wasmtime.wat2wasm(text))[8:]
        data = module(old, custom("after", b""))

        done = rewrite(Module(data), exports=[Export("x", "global", 0)] if "global" in text else [])
        validated = rewrite(Module(done.data), append=[("last", b"")]).data

        wasmtime.Module.validate(engine, validated)
        assert len(wasmtime.Module(engine, validated).exports) == ("global" in text)
        check_offsets(data, done.data, done.offsets)

    def test_many(self) -> None:
        """When the count of exports needs one more byte, all that follows moves, and the map knows."""
        data = module(
            section(6, b"\1\x7f\0\x41\0\x0b"), section(7, vector(*(name(f"{i:03}") + b"\3\0" for i in range(127))))
        )

        done = rewrite(Module(data), exports=[Export("x", "global", 0)])

        assert len(Module(done.data).exports()) == 128
        wasmtime.Module.validate(wasmtime.Engine(), done.data)
        check_offsets(data, done.data, done.offsets)

    def test_refused(self) -> None:
        """Two exports of one name are refused: no runtime would take them."""
        with pytest.raises(ValueError, match="'größe'"):
            rewrite(Module(GUEST), exports=[Export("größe", "func", 1)])
        with pytest.raises(ValueError, match="'x'"):
            rewrite(Module(GUEST), exports=[Export("x", "func", 1), Export("x", "func", 2)])


class TestNames:
    def test_change(self) -> None:
        """Names are added, changed and taken away; all others stay."""
        done = rewrite(
            Module(GUEST),
            module_name="renamed",
            names={"functions": {1: None, 2: "zwei", 0: "null"}, "types": {0: "t"}},
        )

        old, new = Module(GUEST).names(), Module(done.data).names()
        assert (new.module, dict(new.functions), new.types[0]) == ("renamed", {0: "null", 2: "zwei"}, "t")
        assert (
            {i: dict(n) for i, n in new.locals.items()} == {i: dict(n) for i, n in old.locals.items()} == {2: {0: "x"}}
        )
        assert (dict(new.globals), dict(new.tags)) == ({0: "g"}, {0: "tag"})
        assert new.problems == ()
        assert titles(done.data) == titles(GUEST)
        wasmtime.Module.validate(wasmtime.Engine(), done.data)
        check_offsets(GUEST, done.data, done.offsets)

    def test_first(self) -> None:
        """A module without names gets a name section behind all others, before what is appended."""
        data = module(section(1, b"\0"), custom("x", b""))

        done = rewrite(Module(data), names={"functions": {5: "f"}}, append=[("y", b"")])

        assert titles(done.data) == ["type", "x", "name", "y"]
        assert dict(Module(done.data).names().functions) == {5: "f"}

    def test_several_sections(self) -> None:
        """Several name sections become one."""
        one, two = custom("name", b"\1\4\1\0\1a"), custom("name", b"\1\4\1\1\1b" + b"\7\4\1\0\1g")
        data = module(one, section(1, b"\0"), two)

        done = rewrite(Module(data), module_name="m")

        assert titles(done.data) == ["name", "type"]
        found = Module(done.data).names()
        assert (found.module, dict(found.functions), dict(found.globals)) == ("m", {0: "a", 1: "b"}, {0: "g"})
        check_offsets(data, done.data, done.offsets)

    def test_refused(self) -> None:
        """Names of an unknown kind, a broken name section, and one that is to be dropped are refused."""
        broken = Module(module(custom("name", b"\1\4\2\0\1a")))
        old = Module(GUEST)

        with pytest.raises(ValueError, match="'places'"):
            rewrite(old, names={"places": {}})
        with pytest.raises(ModuleFormatError, match="name section: functions"):
            rewrite(broken, names={"functions": {0: "b"}})
        with pytest.raises(ValueError, match="at once"):
            rewrite(old, module_name="x", drop=old.custom_sections("name"))


class TestOffsetMap:
    @given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)), max_size=6))
    def test_pieces(self, pieces: list[tuple[int, int, int]]) -> None:
        """Bytes in kept parts are found both ways, whatever the order; bytes between them are not."""
        kept: list[tuple[int, int, int]] = []
        expected: dict[int, int] = {}
        old = new = 0
        for before, after, size in pieces:
            old, new = old + before, new + after
            kept.append((old, new, size))
            expected |= {old + i: new + i for i in range(size)}
            old, new = old + size, new + size
        found = OffsetMap(reversed(kept))

        assert {at: to for at in range(400) if (to := found.to_new(at)) is not None} == expected
        assert {to: at for to in range(400) if (at := found.to_old(to)) is not None} == {
            to: at for at, to in expected.items()
        }


class TestHeaders:
    def test_padded_sizes(self) -> None:
        """A section's size that is written with five bytes, as linkers do, stays as it is."""
        data = module(b"\1" + leb(1, 5) + b"\0", b"\0" + leb(3, 5) + name("x") + b"!")

        assert rewrite(Module(data)).data == data
        assert rewrite(Module(data), append=[("y", b"")]).data == data + encode_custom_section("y", b"")
