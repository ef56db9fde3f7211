from __future__ import annotations

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wasm.encoding import HEADER, custom, leb, module, name, section, vector
from wasmscope.errors import ModuleFormatError
from wasmscope.wasm import Export, FunctionType, Import, Module, Section

EVERY_KIND = """
(module $every_kind
  (type $t (func (param i32)))
  (import "a" "func" (func (type $t)))
  (import "a" "table" (table 1 2 funcref))
  (import "a" "typed table" (table 0 (ref null $t)))
  (import "a" "memory" (memory 1))
  (import "b" "shared memory" (memory 1 3 shared))
  (import "b" "wide memory" (memory i64 1 5000000000))
  (import "b" "global" (global (mut f64)))
  (import "b" "typed global" (global (ref $t)))
  (import "b" "tag" (tag (param i32)))
  (import "größe" "" (func))
  (func $f (export "one"))
  (export "two" (table 1))
  (export "three" (memory 0))
  (export "four" (global 0))
  (export "five" (tag 0))
  (export "" (func $f)))
"""


class TestImportsAndExports:
    def test_every_kind(self) -> None:
        """All kinds of imports and exports are read as the text says them, whatever types stand between them."""
        found = Module(wasmtime.wat2wasm(EVERY_KIND))

        assert (
            Import("a", "func", "func"),
            Import("a", "table", "table"),
            Import("a", "typed table", "table"),
            Import("a", "memory", "memory"),
            Import("b", "shared memory", "memory"),
            Import("b", "wide memory", "memory"),
            Import("b", "global", "global"),
            Import("b", "typed global", "global"),
            Import("b", "tag", "tag"),
            Import("größe", "", "func"),
        ) == found.imports()
        assert (
            Export("one", "func", 2),
            Export("two", "table", 1),
            Export("three", "memory", 0),
            Export("four", "global", 0),
            Export("five", "tag", 0),
            Export("", "func", 2),
        ) == found.exports()

    def test_compact(self) -> None:
        """Imports in groups, of one module or of one module and type, are read as if each stood alone.

        Source: https://github.com/WebAssembly/compact-import-section
        """
        one_module = name("m") + name("") + b"\x7f" + vector(name("f") + b"\0\0", name("g") + b"\3\x7f\0")
        one_type = name("n") + name("") + b"\x7e" + b"\0\0" + vector(name("a"), name(""))
        alone = name("m") + name("") + b"\0\0"
        found = Module(module(section(2, vector(one_module, one_type, alone)), section(10, vector(b"\2\0\x0b"))))

        assert found.imports() == (
            Import("m", "f", "func"),
            Import("m", "g", "global"),
            Import("n", "a", "func"),
            Import("n", "", "func"),
            Import("m", "", "func"),
        )
        assert found.bodies[0].function_index == 4

    def test_none(self) -> None:
        """A module of eight bytes has none."""
        found = Module(HEADER)

        assert (found.sections, found.imports(), found.exports()) == ((), (), ())

    def test_more_announced_than_there(self) -> None:
        """A count of four thousand million entries is an error where the section ends."""
        exports = leb(2**32 - 1) + name("f") + b"\0\0"

        with pytest.raises(ModuleFormatError, match="export section"):
            Module(module(section(7, exports))).exports()

    def test_unknown_kind(self) -> None:
        """A kind that the specification does not have is refused, with its place."""
        with pytest.raises(ModuleFormatError, match="0x9") as caught:
            Module(module(section(7, vector(name("f") + b"\x09\0")))).exports()

        assert len(HEADER) + 2 + 1 + 2 == caught.value.offset


EVERY_TYPE = """
(module
  (rec
    (type $struct (sub (struct (field i8) (field (mut (ref null $array))))))
    (type $array (array (mut i16))))
  (type $smaller (sub final $struct (struct (field i8) (field (mut (ref null $array))) (field f32))))
  (type $f (func (param i32 i64 f32 f64 v128) (result funcref externref anyref (ref $struct) (ref func))))
  (type $g (func))
  (import "a" "memory" (memory 1))
  (import "a" "imported" (func (type $g)))
  (import "a" "global" (global i32))
  (func (export "f") (type $f) unreachable)
  (func (export "g") (type $g)))
"""


class TestFunctionTypes:
    def test_every_type(self) -> None:
        """Functions' types are found behind all other types and imports, and read as the text says them."""
        found = Module(wasmtime.wat2wasm(EVERY_TYPE))
        types = {export.name: found.function_type(export.index) for export in found.exports()}

        assert types == {
            "f": FunctionType(("i32", "i64", "f32", "f64", "v128"), ("funcref", "externref", "ref", "ref", "ref")),
            "g": FunctionType((), ()),
        }
        assert found.function_type(0) == FunctionType((), ())

    def test_no_such_function(self) -> None:
        """A function that is not there has no type, and neither has one whose type is no function's."""
        with pytest.raises(ModuleFormatError, match="function -1"):
            Module(wasmtime.wat2wasm(EVERY_TYPE)).function_type(-1)
        with pytest.raises(ModuleFormatError, match="function 3"):
            Module(wasmtime.wat2wasm(EVERY_TYPE)).function_type(3)
        with pytest.raises(ModuleFormatError, match="function 0"):
            Module(module(section(1, b"\x01\x5f\x00"), section(3, b"\x01\x00"))).function_type(0)

    def test_unknown_type(self) -> None:
        """A type that the specification does not have is refused at its place."""
        with pytest.raises(ModuleFormatError, match="0x11") as caught:
            Module(module(section(1, b"\x01\x11\x00"), section(3, b"\x01\x00"))).function_type(0)

        assert caught.value.offset == len(HEADER) + 3

    def test_count(self) -> None:
        """Functions are counted with the imported ones, also in a file that has lost its code."""
        found = Module(wasmtime.wat2wasm(EVERY_TYPE))
        types = next(s for s in found.sections if s.id == 3)

        assert (found.imported_function_count, found.function_count) == (1, 3)
        assert Module(module(section(3, found.contents(types)))).function_count == 2


class TestSections:
    def test_places(self) -> None:
        """Sections say where their contents are; a custom section's come after its name."""
        data = module(section(1, b"\0"), custom("notes", b"abc"), section(1, b"\0"), custom("notes", b"de"))
        found = Module(data)

        assert (
            Section(1, "type", 10, 1),
            Section(0, "notes", 19, 3),
            Section(1, "type", 24, 1),
            Section(0, "notes", 33, 2),
        ) == found.sections
        assert [found.contents(s) for s in found.custom_sections("notes")] == [b"abc", b"de"]
        assert found.custom_sections("type") == ()

    def test_start(self) -> None:
        """A start section is seen."""
        assert Module(wasmtime.wat2wasm("(module (func $f) (start $f))")).has_start
        assert not Module(wasmtime.wat2wasm("(module (func $f))")).has_start

    def test_cut_off(self) -> None:
        """A file that ends in a section says which, how much is missing, and where the section begins."""
        data = module(section(1, b"\0"), section(10, bytes(5000)))[:-1000]

        with pytest.raises(
            ModuleFormatError, match=r"its code section should have 5,000 bytes.* after 4,000 of them"
        ) as caught:
            Module(data)
        assert caught.value.offset == 11

    @pytest.mark.parametrize(
        ("title", "kept", "shown"),
        [
            (".debug_info", 20, ".debug_info"),
            (".debug_info", 8, "custom"),
            ("a\nb", 10, "custom"),
            ("x" * 60, 80, "custom"),
        ],
    )
    def test_cut_off_in_a_custom_section(self, title: str, kept: int, shown: str) -> None:
        """A custom section that is cut off is called by its own name, if that is there and fit for a line of text."""
        data = module(b"\0" + leb(5000) + name(title) + bytes(1000))[: len(HEADER) + 3 + kept]

        with pytest.raises(ModuleFormatError, match=f"its {shown} section should have 5,000 bytes"):
            Module(data)

    def test_too_many(self) -> None:
        """A hundred thousand sections are read, and no more: each would take fifty times its bytes."""
        assert len(Module(module(section(1, b"") * 100_000)).sections) == 100_000
        with pytest.raises(ModuleFormatError, match="more than 100,000 sections"):
            Module(module(section(1, b"") * 100_001))

    def test_unknown_section(self) -> None:
        """What does not continue with a known section is refused where it goes wrong."""
        with pytest.raises(ModuleFormatError, match="number 99") as caught:
            Module(module(section(1, b"\0")) + b"\x63\0")

        assert caught.value.offset == 11

    def test_no_module(self) -> None:
        """Bytes that are no module are refused with what they are."""
        with pytest.raises(ModuleFormatError, match="component"):
            Module(wasmtime.wat2wasm("(component)"))


class TestName:
    def test_of_the_text(self) -> None:
        """The identifier after (module is the name that the text parser writes down, and the reader finds."""
        assert Module(wasmtime.wat2wasm(EVERY_KIND)).name() == "every_kind"
        assert Module(wasmtime.wat2wasm("(module)")).name() is None

    def test_after_other_subsections(self) -> None:
        """Other subsections are passed over."""
        contents = b"\x01" + leb(3) + b"abc" + b"\x00" + leb(3) + name("me")

        assert Module(module(custom("name", contents))).name() == "me"

    @pytest.mark.parametrize(
        "contents",
        [
            pytest.param(b"\x00\x05\x04a", id="cut off"),
            pytest.param(b"\x00\x03\x02\xff\xff", id="not UTF-8"),
            pytest.param(b"\x07\xff\xff\xff\xff\x0f", id="longer than the section"),
            pytest.param(b"\x00\x01\x00", id="empty"),
            pytest.param(b"", id="nothing"),
        ],
    )
    def test_unreadable(self, contents: bytes) -> None:
        """A name section that cannot be read is no name, and no error: it does not change what the module does."""
        assert Module(module(custom("name", contents))).name() is None


class TestAnything:
    @given(st.lists(st.tuples(st.integers(1, 13), st.binary(max_size=60)), max_size=5))
    def test_sections(self, sections: list[tuple[int, bytes]]) -> None:
        """Whatever is in sections, what is read from them comes to an end."""
        found = Module(module(*(section(number, contents) for number, contents in sections)))
        for read in (found.imports, found.exports, lambda: found.function_type(0)):
            try:
                read()
            except ModuleFormatError as error:
                assert str(error)

    @given(st.binary(max_size=300))
    def test_after_the_header(self, tail: bytes) -> None:
        """Whatever follows the header is read, or refused with `ModuleFormatError` at a place in the file."""
        data = HEADER + tail
        try:
            found = Module(data)
            found.name()
            found.imports()
            found.exports()
            found.function_type(0)
        except ModuleFormatError as error:
            assert error.offset is None or 0 <= error.offset <= len(data)

    @given(st.data())
    def test_cut_anywhere(self, draw: st.DataObject) -> None:
        """A module cut anywhere but between two sections is refused."""
        data = wasmtime.wat2wasm(EVERY_KIND)
        whole = Module(data)
        between = {len(HEADER), *(s.offset + s.size for s in whole.sections)}
        cut = draw.draw(st.integers(0, len(data) - 1))

        if cut in between:
            assert set(Module(data[:cut]).sections) < set(whole.sections)
        else:
            with pytest.raises(ModuleFormatError):
                Module(data[:cut])

    @given(st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=50)), max_size=10))
    def test_custom_sections(self, sections: list[tuple[str, bytes]]) -> None:
        """Custom sections of any names are found with their contents, in order."""
        found = Module(module(*(custom(title, contents) for title, contents in sections)))

        assert sections == [(s.name, found.contents(s)) for s in found.sections]
