"""Debug information made to go in circles, to be deep or to be many: an answer or the one error, soon."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Mapping
from itertools import pairwise

import pytest

from tests.support.dwarf_writer import (
    BODY_SIZE,
    At,
    Attribute,
    Die,
    Form,
    Tag,
    addr,
    block,
    data4,
    function,
    module_with,
    ref,
    sections,
    text,
    udata,
)
from wasmscope.dwarf import DebugVariables, FunctionVariables, LocationKind, ScopeKind, Variable, _variables, variables
from wasmscope.errors import DebugInfoError
from wasmscope.wasm import Address, AddressKind, Module

C, CPP, RUST = 0x0C, 0x04, 0x1C
SECONDS = 120.0


def read(debug: Mapping[str, bytes]) -> FunctionVariables:
    """Read the one function; it may take a few seconds on a busy machine, and never minutes."""
    started = time.process_time()
    try:
        found = variables(Module(module_with(debug)), Address(AddressKind.FUNC, 0, 0))
    finally:
        assert time.process_time() - started < SECONDS
    assert found is not None
    return found


def local(kind: Die | None = None, **attributes: Attribute) -> Die:
    typed = {} if kind is None else {At.TYPE: ref(kind)}
    own = {At.NAME: text("v"), **typed, **{getattr(At, name): value for name, value in attributes.items()}}
    return Die(Tag.VARIABLE, own)


def only(found: FunctionVariables) -> Variable:
    (one,) = found.locals
    return one


class TestTheWriter:
    def test_a_plain_function_is_read(self) -> None:
        """What the other tests break is right: a name, a type, a size and a place."""
        number = Die(Tag.BASE_TYPE, {At.NAME: text("int"), At.BYTE_SIZE: udata(4)})
        found = read(sections(function(local(number, LOCATION=block(b"\x91\x0c"))), number))
        one = only(found)
        assert (one.name, one.type.name, one.type.size_bytes) == ("v", "int", 4)
        assert [(place.kind, place.offset) for place in one.locations] == [(LocationKind.FRAME_BASE, 12)]


class TestCircles:
    @pytest.mark.parametrize("tag", [Tag.POINTER_TYPE, Tag.CONST_TYPE, Tag.TYPEDEF, Tag.ARRAY_TYPE])
    @pytest.mark.parametrize("language", [C, CPP, RUST])
    def test_of_types(self, tag: int, language: int) -> None:
        """A type made of itself: its name ends in an ellipsis."""
        circle = Die(tag)
        circle.attributes[At.TYPE] = ref(circle)
        one = only(read(sections(function(local(circle)), circle, language=language)))
        assert "…" in one.type.name or tag == Tag.TYPEDEF
        assert len(one.type.name) <= 4_096

    def test_of_a_function_that_takes_itself(self) -> None:
        """Twice in its own parameters, and in what it returns: not four, eight, sixteen times as long."""
        kind = Die(Tag.SUBROUTINE_TYPE)
        kind.attributes[At.TYPE] = ref(kind)
        kind.children = [Die(Tag.FORMAL_PARAMETER, {At.TYPE: ref(kind)}) for _ in range(2)]
        one = only(read(sections(function(local(kind)), kind)))
        assert "…" in one.type.name and len(one.type.name) <= 4_096

    def test_of_origins(self) -> None:
        """A variable that is a copy of a copy of itself, and a function that is its own declaration."""
        first, second = Die(Tag.VARIABLE), Die(Tag.VARIABLE)
        first.attributes[At.ABSTRACT_ORIGIN] = ref(second)
        second.attributes[At.ABSTRACT_ORIGIN] = ref(first)
        whole = function(first, second)
        whole.attributes[At.SPECIFICATION] = ref(whole)
        found = read(sections(whole))
        assert found.name == "f"
        assert [each.name for each in found.locals] == [None, None]

    def test_of_inlined_functions(self) -> None:
        """A function inlined into itself: the entry it is a copy of is the one that it is in."""
        inner = Die(Tag.INLINED, {At.LOW_PC: addr(3), At.HIGH_PC: data4(4)})
        whole = function(inner, local())
        inner.attributes[At.ABSTRACT_ORIGIN] = ref(whole)
        found = read(sections(whole))
        assert [scope.name for scope in found.scopes] == ["f", "f"]
        # The copy lacks what the function has: it is listed, optimised out.
        assert [each.name for each in found.scopes[1].variables] == ["v"]


class TestDepths:
    def test_of_types(self) -> None:
        """A pointer to a pointer, 50,000 times."""
        chain = [Die(Tag.POINTER_TYPE) for _ in range(50_000)]
        for outer, inner in pairwise(chain):
            outer.attributes[At.TYPE] = ref(inner)
        one = only(read(sections(function(local(chain[0])), *chain)))
        assert one.type.name == "… " + "*" * 200
        assert one.type.size_bytes == 4

    def test_of_blocks(self) -> None:
        """15,000 blocks, each in the one before: read without recursion, and found from the inside out."""
        inner = Die(Tag.LEXICAL_BLOCK, {At.LOW_PC: addr(3), At.HIGH_PC: data4(1)}, [local()])
        for _ in range(14_999):
            inner = Die(Tag.LEXICAL_BLOCK, {At.LOW_PC: addr(3), At.HIGH_PC: data4(1)}, [inner])
        found = read(sections(function(inner)))
        assert len(found.scopes) == 15_001
        chain = found.at(3)
        assert len(chain) == 15_001
        assert [each.name for each in chain[0].variables] == ["v"]
        assert chain[-1].kind is ScopeKind.FUNCTION

    def test_of_namespaces(self) -> None:
        """A type in 20,000 namespaces: its name is cut."""
        kind = Die(Tag.STRUCTURE_TYPE, {At.NAME: text("t"), At.BYTE_SIZE: udata(1)})
        inner = kind
        for _ in range(20_000):
            inner = Die(Tag.NAMESPACE, {At.NAME: text("n")}, [inner])
        one = only(read(sections(function(local(kind)), inner, language=CPP)))
        assert one.type.name == "n::" * 200 + "t"

    def test_of_expressions(self) -> None:
        """DW_OP_entry_value of DW_OP_entry_value, deeper than Python calls: the place is computed, somehow."""
        expression = b"\x30"
        while len(expression) < 4_000:
            size = len(expression)
            expression = (
                b"\xa3" + (bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])) + expression
            )
        one = only(read(sections(function(local(LOCATION=block(expression))))))
        assert [place.kind for place in one.locations] == [LocationKind.COMPUTED]


class TestCounts:
    def test_more_variables_than_are_read(self) -> None:
        """20,000 are."""
        with pytest.raises(DebugInfoError, match="a function with more than 20,000 variables"):
            read(sections(function(*(Die(Tag.VARIABLE) for _ in range(20_001)))))

    def test_more_scopes_than_are_read(self) -> None:
        """20,000 are."""
        with pytest.raises(DebugInfoError, match="a function with more than 20,000 scopes"):
            read(sections(function(*(Die(Tag.LEXICAL_BLOCK) for _ in range(20_001)))))

    def test_copies_of_a_function_with_many_variables(self) -> None:
        """100 copies of a function with 1,000 variables that the copies lack."""
        abstract = Die(Tag.SUBPROGRAM, {At.NAME: text("g")}, [local() for _ in range(1_000)])
        copies = [Die(Tag.INLINED, {At.ABSTRACT_ORIGIN: ref(abstract)}) for _ in range(100)]
        with pytest.raises(DebugInfoError, match="more than 20,000 variables"):
            read(sections(function(*copies), abstract))

    def test_a_long_list_of_places_for_many_variables(self) -> None:
        """A list of 9,000 places, and 1,000 variables that refer to it."""
        items = b"".join(
            (at).to_bytes(4, "little") + (at + 1).to_bytes(4, "little") + b"\1\0\x30" for at in range(3, 9_003)
        )
        place = Attribute(Form.SEC_OFFSET, bytes(4))
        debug = sections(
            function(*(local(LOCATION=place) for _ in range(1_000))), extra={".debug_loc": items + bytes(8)}
        )
        with pytest.raises(DebugInfoError, match="more than 50,000 places"):
            read(debug)

    def test_a_list_without_an_end(self) -> None:
        """It is refused after 10,000 items, or where the section ends."""
        item = (3).to_bytes(4, "little") + (4).to_bytes(4, "little") + b"\1\0\x30"
        place = Attribute(Form.SEC_OFFSET, bytes(4))
        with pytest.raises(DebugInfoError, match="a list of more than 10,000 items"):
            read(sections(function(local(LOCATION=place)), extra={".debug_loc": item * 20_000}))
        with pytest.raises(DebugInfoError, match=r"\.debug_loc is missing or cut off"):
            read(sections(function(local(LOCATION=place)), extra={".debug_loc": item * 20}))

    def test_an_array_with_more_elements_than_there_are(self) -> None:
        """Sizes are multiplied, and are unknown where they do not fit into 64 bits."""
        byte = Die(Tag.BASE_TYPE, {At.NAME: text("char"), At.BYTE_SIZE: udata(1)})
        dimensions = [Die(Tag.SUBRANGE_TYPE, {At.COUNT: udata((1 << 63) - 1)}) for _ in range(40)]
        one = only(read(sections(function(local(Die(Tag.ARRAY_TYPE))), byte)))
        assert one.type.size_bytes is None
        array = Die(Tag.ARRAY_TYPE, {At.TYPE: ref(byte)}, dimensions)
        one = only(read(sections(function(local(array)), byte, array)))
        assert one.type.name.count("[9223372036854775807]") == 16
        assert one.type.size_bytes is None

    def test_many_units_and_a_long_table_of_abbreviations(self) -> None:
        """10,000 units, each of which looks for its first entry's layout at another place of one long table."""
        layout = bytes([Tag.BASE_TYPE, 0, 0, 0])
        table = b"".join(bytes([0x80 | code & 0x7F, code >> 7]) + layout for code in range(128, 16_000))
        last = b"\xff\x7f" + bytes([Tag.COMPILE_UNIT, 0, At.LOW_PC, Form.ADDR, 0, 0, 0])
        units = b"".join(
            (13).to_bytes(4, "little") + b"\4\0" + (6 * at).to_bytes(4, "little") + b"\4\xff\x7f\2\0\0\0"
            for at in range(10_000)
        )
        with pytest.raises(DebugInfoError, match="refers to itself far too often"):
            read({".debug_info": units, ".debug_abbrev": table + last})

    def test_many_units_and_a_long_list_of_ranges(self) -> None:
        """2,000 units that all have the same 100,000 ranges."""
        item = (3).to_bytes(4, "little") + (4).to_bytes(4, "little")
        unit = (15).to_bytes(4, "little") + b"\4\0\0\0\0\0\4\1" + bytes(7)
        table = b"\1" + bytes([Tag.COMPILE_UNIT, 0, At.RANGES, Form.SEC_OFFSET, 0, 0, 0])
        assert len(unit) == 19
        debug = {".debug_info": unit * 2_000, ".debug_abbrev": table, ".debug_ranges": item * 100_000 + bytes(8)}
        with pytest.raises(DebugInfoError, match="refers to itself far too often"):
            read(debug)

    def test_a_long_folder_of_many_files(self) -> None:
        """100 kB of a folder's name, and 10,000 files in it: paths are made of what is asked for."""
        header = bytes(4) + b"\4\0" + bytes(4) + b"\1\1\1\xfb\x0e\1"
        table = header + b"f" * 100_000 + b"\0\0" + b"n\0\1\0\0" * 10_000 + b"\0"
        debug = sections(function(DECL_LINE=udata(1), DECL_FILE=udata(7)), extra={".debug_line": table})
        info = debug[".debug_info"]
        assert read(debug).file is None  # the unit has no table
        debug = sections(function(DECL_LINE=udata(1), DECL_FILE=udata(7)), extra={".debug_line": table}, stmt_list=True)
        assert len(debug[".debug_info"]) == len(info) + 4
        found = read(debug).file
        assert found is not None and found.endswith("f/n") and len(found) < 10_000

    def test_arrays_around_everything(self) -> None:
        """300 variables, each of an array that has the next one below it, and 200,000 entries below the last."""
        innermost = Die(Tag.ARRAY_TYPE, {}, [Die(Tag.BASE_TYPE) for _ in range(200_000)])
        arrays = [innermost]
        for _ in range(299):
            arrays.append(Die(Tag.ARRAY_TYPE, {}, [arrays[-1]]))
        debug = sections(function(*(local(each) for each in arrays)), arrays[-1])
        with pytest.raises(DebugInfoError, match="refers to itself far too often"):
            read(debug)

    def test_units_that_share_a_list_of_ranges(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is kept of units that were asked for does not grow with each of them."""
        item = (9).to_bytes(4, "little") + (10).to_bytes(4, "little")
        table = bytes([1, Tag.COMPILE_UNIT, 1, At.LOW_PC, Form.ADDR, At.HIGH_PC, Form.DATA4, 0, 0])
        table += bytes([2, Tag.SUBPROGRAM, 0, At.LOW_PC, Form.ADDR, At.RANGES, Form.SEC_OFFSET, 0, 0, 0])
        entry = b"\2" + (1).to_bytes(4, "little") + bytes(4)
        units = b""
        for number in range(24):
            rest = b"\4\0\0\0\0\0\4\1" + (1 + 10 * number).to_bytes(4, "little") + b"\x0a\0\0\0" + entry * 4 + b"\0"
            units += len(rest).to_bytes(4, "little") + rest
        found = DebugVariables({".debug_info": units, ".debug_abbrev": table, ".debug_ranges": item * 1_000 + bytes(8)})
        monkeypatch.setattr(_variables, "_MAX_RANGES_KEPT", 10_000)
        for number in range(24):
            assert found.of(Address(AddressKind.CODE, 1 + 10 * number)) is None
            assert sum(map(len, found._functions.values())) <= 10_000

    def test_attributes_without_bytes(self) -> None:
        """10,000 attributes that take no bytes would make each byte of a unit cost as much."""
        debug = sections(function())
        flags = b"".join(bytes([0x80 | at & 0x7F, at >> 7]) + b"\x19" for at in range(128, 10_128))
        debug[".debug_abbrev"] = b"\1\x11\1" + flags + b"\0\0\0"
        with pytest.raises(DebugInfoError, match="an entry with more than 256 attributes"):
            read(debug)

    def test_memory_grows_with_the_unit(self) -> None:
        """A unit takes some times its size, however it is filled."""
        debug = sections(function(*(local() for _ in range(5_000))), *(Die(Tag.BASE_TYPE) for _ in range(50_000)))
        data = Module(module_with(debug))
        tracemalloc.start()
        try:
            variables(data, Address(AddressKind.FUNC, 0, 0))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        # Each entry of a byte takes two numbers of eight; each variable an object.
        assert peak < 60 * len(debug[".debug_info"]) + 10_000_000


class TestBadValues:
    @pytest.mark.parametrize(
        "attribute",
        [
            Attribute(Form.REF4, b"\xff\xff\xff\xff"),
            Attribute(Form.REF4, b"\x0c\0\0\0"),
            Attribute(Form.REF_ADDR, b"\xff\xff\xff\x7f"),
            Attribute(0x20, bytes(8)),
            Attribute(Form.DATA4, b"\1\0\0\0"),
            Attribute(Form.STRING, b"type\0"),
        ],
    )
    def test_references_to_nowhere(self, attribute: Attribute) -> None:
        """A type that is outside, in the middle of an entry, in no unit, or no reference at all is unknown."""
        found = read(sections(function(Die(Tag.VARIABLE, {At.NAME: text("v"), At.TYPE: attribute}))))
        assert only(found).type.name == "(unknown type)"

    @pytest.mark.parametrize(
        ("expression", "kind"),
        [
            (b"", LocationKind.OPTIMIZED_OUT),
            (b"\xed\x00\x05\x9f", LocationKind.LOCAL),
            (b"\xed\x01\x05\x9f", LocationKind.GLOBAL),
            (b"\xed\x02\x05\x9f", LocationKind.OPERAND_STACK),
            (b"\xed\x03\x05\0\0\0\x9f", LocationKind.GLOBAL),
            (b"\x03\x10\0\0\0", LocationKind.MEMORY),
            (b"\x91\x7c", LocationKind.FRAME_BASE),
            (b"\x35\x9f", LocationKind.CONSTANT),
            (b"\x9e\2ab", LocationKind.CONSTANT),
            (b"\xed\x00\x05\x9f\x93\4\x93\4", LocationKind.COMPOSITE),
            (b"\xed\x00\x05\x23\4\x9f", LocationKind.COMPUTED),
            (b"\xed\x09\x05", LocationKind.COMPUTED),
            (b"\xff", LocationKind.COMPUTED),
            (b"\x91", LocationKind.COMPUTED),
            (b"\x91" + b"\xff" * 4_000, LocationKind.COMPUTED),
            (b"\x96" * 5_000, LocationKind.COMPUTED),
        ],
    )
    def test_expressions(self, expression: bytes, kind: LocationKind) -> None:
        """Each kind of place, and what is cut off, unknown or too long."""
        (place,) = only(read(sections(function(local(LOCATION=block(expression)))))).locations
        assert place.kind is kind
        if kind in (LocationKind.LOCAL, LocationKind.GLOBAL, LocationKind.OPERAND_STACK):
            assert (place.index, place.is_value) == (5, True)
        if kind is LocationKind.MEMORY:
            assert place.offset == 16
        if kind is LocationKind.FRAME_BASE:
            assert place.offset == -4
        if kind is LocationKind.COMPOSITE:
            assert [(each.location.kind, each.size_bits) for each in place.pieces] == [
                (LocationKind.LOCAL, 32),
                (LocationKind.OPTIMIZED_OUT, 32),
            ]

    def test_a_known_value_has_no_place(self) -> None:
        """DW_AT_const_value: a number, or bytes."""
        found = read(
            sections(function(local(CONST_VALUE=udata(7)), local(CONST_VALUE=Attribute(Form.BLOCK1, b"\2ab"))))
        )
        assert [each.locations[0].value for each in found.locals] == [7, b"ab"]
        assert {each.locations[0].kind for each in found.locals} == {LocationKind.CONSTANT}

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({".debug_info": b"\x01"}, None),
            ({".debug_info": b"\xff" * 40}, "bytes, and"),
            ({".debug_info": b"\x08\0\0\0\x09\0" + bytes(6)}, "DWARF version 9"),
            ({".debug_info": b"\x08\0\0\0\x04\0\0\0\0\0\x03\1"}, "addresses of 3 bytes"),
            ({".debug_info": b"\x09\0\0\0\x05\0\x77\4\0\0\0\0\1"}, "the unknown kind 0x77"),
            ({".debug_abbrev": b""}, r"\.debug_abbrev is cut off"),
            ({".debug_abbrev": b"\1\x11\0\x03\x7f\0\0\0"}, "the unknown form 0x7f"),
            ({".debug_abbrev": b"\2\x11\0\0\0\0"}, "no abbreviation 1"),
            ({".debug_abbrev": b"\xff" * 40}, "a number of more than 16 bytes"),
        ],
    )
    def test_broken_tables(self, change: dict[str, bytes], message: str | None) -> None:
        """Headers and abbreviations that cannot be read are named; a section too short for a unit has none."""
        module = Module(module_with(sections(function()) | change))
        address = Address(AddressKind.FUNC, 0, 0)
        if message is None:
            assert variables(module, address) is None
            return
        with pytest.raises(DebugInfoError, match=message) as caught:
            variables(module, address)
        assert "\n" not in str(caught.value)

    def test_ranges_into_another_body_are_not_believed(self) -> None:
        """One byte more or less than the body, or a tombstone, and the function is not the body's."""
        for low, size in ((2, BODY_SIZE + 1), (2, BODY_SIZE - 1), (1, BODY_SIZE), (4, BODY_SIZE - 2), (0xFFFF_FFFF, 5)):
            debug = sections(Die(Tag.SUBPROGRAM, {At.LOW_PC: addr(low), At.HIGH_PC: data4(size)}))
            assert variables(Module(module_with(debug)), Address(AddressKind.FUNC, 0, 0)) is None
        # Behind the vector of locals is right, too.
        debug = sections(Die(Tag.SUBPROGRAM, {At.LOW_PC: addr(3), At.HIGH_PC: data4(BODY_SIZE - 1)}))
        assert variables(Module(module_with(debug)), Address(AddressKind.FUNC, 0, 0)) is not None
