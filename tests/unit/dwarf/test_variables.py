"""Parameters and locals of functions. What is expected is written in the sources in tests/fixtures/dwarf."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.dwarf_fixtures import dwarf_fixture
from wasmscope.dwarf import (
    DebugVariables,
    FunctionVariables,
    LocationKind,
    ScopeKind,
    Variable,
    variables,
)
from wasmscope.errors import DebugInfoError
from wasmscope.wasm import Address, AddressKind, Module

SOURCES = Path(__file__).parents[2] / "fixtures" / "dwarf"


def function(fixture: str, name: str) -> FunctionVariables:
    """The variables of the function with a name in the name section."""
    with Module.open(dwarf_fixture(f"{fixture}.wasm")) as module:
        names = module.names().functions
        # Others that have it are inside of it, or have it as an argument.
        index = min((index for index, found in names.items() if name in found), key=lambda index: len(names[index]))
        found = variables(module, Address(AddressKind.FUNC, 0, index))
    assert found is not None
    assert found.function_index == index
    return found


def types(found: FunctionVariables) -> dict[str | None, str]:
    return {each.name: each.type.name for each in (*found.parameters, *found.locals)}


def line_of(source: str, text: str) -> int:
    """Line of a source that has a text, from 1."""
    lines = (SOURCES / source).read_text().splitlines()
    (found,) = [number for number, line in enumerate(lines, 1) if text in line]
    return found


def variable(found: FunctionVariables, name: str) -> Variable:
    (one,) = [each for scope in found.scopes for each in scope.variables if each.name == name]
    return one


class TestTypesInC:
    @pytest.mark.parametrize("fixture", ["variables/c-dwarf4", "variables/c-dwarf5", "variables/c-memory64"])
    def test_are_spelled_as_in_the_source(self, fixture: str) -> None:
        """Each as types.c declares it, without the name: declarators go around it."""
        assert types(function(fixture, "derived")) | {"__vla_expr0": ""} == {
            "count": "int",
            "arguments": "char **",
            "opaque": "void *",
            "text": "const char *",
            "fixed": "char *const",
            "both": "const volatile int *const *",
            "alone": "int *restrict",
            "row": "int[3]",
            "table": "int[2][3]",
            "to_row": "int (*)[3]",
            "pointers": "int *[2]",
            "function": "int (*)(int, char *)",
            "nothing": "void (*)(void)",
            "variadic": "int (*)(const char *, ...)",
            "functions": "int (*[2])(int)",
            "returns": "int (*(*)(int))(char)",
            "compare": "compare_t",
            "number": "const number_t",
            "numbers": "numbers_t",
            "node": "struct node",
            "next": "const struct node *",
            "color": "enum color",
            "word": "union word",
            "unnamed": f"(anonymous struct at line {line_of('variables/types.c', '    struct {')})",
            "__vla_expr0": "",
            "variable": "int[]",
            "inner": "int",
        }

    def test_base_types_have_their_names_and_sizes(self) -> None:
        """As the standard and WebAssembly's C ABI have them."""
        found = function("variables/c-dwarf5", "plain")
        assert {each.name: (each.type.name, each.type.size_bytes) for each in found.locals} == {
            "letter": ("char", 1),
            "small": ("signed char", 1),
            "byte": ("unsigned char", 1),
            "brief": ("short", 2),
            "wide": ("unsigned int", 4),
            "huge": ("unsigned long long", 8),
            "flag": ("_Bool", 1),
            "ratio": ("float", 4),
            "kept": ("int", 4),
        }

    @pytest.mark.parametrize(("fixture", "pointer"), [("variables/c-dwarf5", 4), ("variables/c-memory64", 8)])
    def test_sizes_follow_from_the_address_size(self, fixture: str, pointer: int) -> None:
        """Pointers, and what is made of them, are twice as large in a memory of 64 bits."""
        sizes = {each.name: each.type.size_bytes for each in function(fixture, "derived").locals}
        assert sizes["text"] == sizes["to_row"] == sizes["function"] == sizes["compare"] == pointer
        assert sizes["pointers"] == sizes["functions"] == 2 * pointer
        assert sizes["node"] == 2 * pointer
        assert (sizes["row"], sizes["table"], sizes["number"], sizes["word"]) == (12, 24, 4, 4)
        assert sizes["variable"] is None  # known when it runs

    def test_lines_are_those_of_the_declarations(self) -> None:
        """File and line of parameters, of locals and of the function itself."""
        found = function("variables/c-dwarf5", "derived")
        assert (found.file, found.line) == ("/src/variables/types.c", line_of("variables/types.c", "int derived("))
        assert found.return_type.name == "int"
        for name in ("text", "variadic", "next", "inner"):
            declared = variable(found, name)
            pattern = re.compile(rf"\b{name}\b(\)\(.*\))? = ")
            lines = (SOURCES / "variables" / "types.c").read_text().splitlines()
            assert declared.file == "/src/variables/types.c"
            assert declared.line is not None and pattern.search(lines[declared.line - 1]), name


class TestTypesInOtherLanguages:
    @pytest.mark.parametrize("fixture", ["variables/cpp-dwarf4", "variables/cpp-dwarf5"])
    def test_cpp(self, fixture: str) -> None:
        """References, members, templates, namespaces with and without a name; nullptr."""
        found = function(fixture, "run")
        assert types(found) == {
            "count": "int",
            "reference": "int &",
            "constant": "const int &",
            "moved": "int &&",
            "base": "outer::v1::base",
            "box": "outer::box<int, 3>",
            "inner": "outer::box<char, 2>::inner",
            "level": "outer::level",
            "whole": "outer::whole",
            "secret": "(anonymous namespace)::hidden",
            "member": "int outer::v1::base::*",
            "method": "int (outer::v1::base::*)(int) const",
            "null": "decltype(nullptr)",
            "lambda": f"(anonymous class at line {line_of('variables/types.cpp', 'auto lambda')})",
        }
        sizes = {each.name: each.type.size_bytes for each in found.locals}
        assert (sizes["reference"], sizes["member"], sizes["method"], sizes["level"]) == (4, 4, 8, 1)

    def test_methods_have_their_class_and_this(self) -> None:
        """A method's name has its class; `this` is a parameter that has no line."""
        found = function("variables/cpp-dwarf5", "method")
        assert found.name == "outer::v1::base::method"
        assert [each.type.name for each in found.parameters] == ["const outer::v1::base *", "int"]
        assert [each.name for each in found.parameters] == ["this", None]
        assert found.parameters[0].line is None

    def test_rust(self) -> None:
        """Slices, references to traits, arrays, enums and paths are written as in Rust."""
        run = function("rust/debug", "run")
        assert run.name == "guest::run"
        assert types(run) == {"scale": "i32", "squares": "[guest::shapes::Square; 3]", "many": "i32"}
        dynamic = function("rust/debug", "measure_dynamic")
        assert types(dynamic) == {"item": "&dyn guest::shapes::Measure", "scale": "i32"}
        unwrap = function("rust/debug", "trap_unwrap")
        assert types(unwrap)["found"] == "core::option::Option<i32>"
        assert variable(unwrap, "found").type.size_bytes == 8

    def test_zig(self) -> None:
        """Slices and arrays are written as in Zig; names are whole as they are."""
        assert types(function("zig/Debug", "run")) == {
            "scale": "i32",
            "points": "[2]guest.Point",
            "most": "i32",
            "other": "i64",
        }
        assert types(function("zig/Debug", "guest.at")) == {"index": "usize", "some": "[]const i32"}

    def test_types_in_units_of_their_own(self) -> None:
        """With type units, a type is found by its signature."""
        plain, apart = (types(function(f"cpp/O1-{which}", "run")) for which in ("dwarf5", "type-units"))
        assert plain == apart
        assert plain["points"] == "geo::array<geo::vec2<int>, 4UL>"


class TestPlaces:
    def test_without_optimisation_all_are_in_memory(self) -> None:
        """At a distance from the frame base, which is in a local; and a static variable at its address."""
        found = function("variables/c-dwarf5", "plain")
        assert found.frame_base is not None
        assert (found.frame_base.kind, found.frame_base.is_value) == (LocationKind.LOCAL, True)
        kept = variable(found, "kept").locations[0]
        assert (kept.kind, kept.low) == (LocationKind.MEMORY, None)
        others = [each.locations for each in (*found.parameters, *found.locals) if each.name != "kept"]
        assert {place.kind for places in others for place in places} == {LocationKind.FRAME_BASE}
        offsets = [places[0].offset for places in others]
        assert all(offset is not None and offset >= 0 for offset in offsets) and len(set(offsets)) == len(offsets)

    def test_with_optimisation_they_move(self) -> None:
        """A counter is a constant, an operand and a local, each in a part of the code; elsewhere it is nowhere."""
        found = function("c/O2-dwarf5", "run")
        assert found.frame_base is not None
        assert (found.frame_base.kind, found.frame_base.index) == (LocationKind.GLOBAL, 0)
        counter = variable(found, "i")
        assert [place.kind for place in counter.locations] == [
            LocationKind.CONSTANT,
            LocationKind.OPERAND_STACK,
            LocationKind.LOCAL,
        ]
        first = counter.locations[0]
        assert (first.value, first.is_value) == (0, True)
        assert first.low is not None and first.high is not None
        assert counter.location(first.low) == first
        assert counter.location(first.high).kind is LocationKind.OPTIMIZED_OUT
        (count,) = found.parameters
        assert count.location(first.low).kind is LocationKind.LOCAL

    def test_pieces(self) -> None:
        """A structure of which only one half is known."""
        found = function("c/O2-dwarf5", "area")
        pieces = [
            place.pieces
            for scope in found.scopes
            for each in scope.variables
            for place in each.locations
            if place.kind is LocationKind.COMPOSITE
        ]
        assert pieces
        kinds = {piece.location.kind for each in pieces for piece in each}
        assert LocationKind.OPTIMIZED_OUT in kinds
        assert {piece.size_bits for each in pieces for piece in each} == {32}


class TestScopes:
    def test_inlined_functions_have_their_call_and_variables(self) -> None:
        """`square` in `distance_squared` in `path_area` in `area`: at a place in it, all four from the inside out."""
        found = function("c/O2-dwarf5", "area")
        inner = next(scope for scope in found.scopes if scope.name == "square" and scope.parent not in (None, 0))
        chain = found.at(inner.ranges[0][0])
        assert [scope.name for scope in chain] == ["square", "distance_squared", None, "path_area", "area"]
        assert [scope.kind for scope in chain] == [
            ScopeKind.INLINED,
            ScopeKind.INLINED,
            ScopeKind.BLOCK,
            ScopeKind.INLINED,
            ScopeKind.FUNCTION,
        ]
        calls = [(scope.call_file, scope.call_line) for scope in chain]
        assert calls == [
            ("/src/c/./shapes.h", line_of("c/shapes.h", "return square(dx) + square(dy)")),
            ("/src/c/shapes.c", line_of("c/shapes.c", "sum += distance_squared")),
            (None, None),
            ("/src/c/shapes.c", line_of("c/shapes.c", "return path_area(shape)")),
            (None, None),
        ]
        assert [each.name for each in chain[0].variables] == ["x"]
        assert {each.name for each in chain[1].variables} == {"a", "b", "dx", "dy"}

    def test_what_the_compiler_did_without_is_listed(self) -> None:
        """A parameter that has no entry in this copy of an inlined function is there, optimised out."""
        found = function("c/O2-dwarf5", "area")
        path_area = next(scope for scope in found.scopes if scope.name == "path_area")
        shape = next(each for each in path_area.variables if each.name == "shape")
        assert shape.is_parameter
        assert shape.type.name == "const struct shape *"
        assert [place.kind for place in shape.locations] == [LocationKind.OPTIMIZED_OUT]

    def test_blocks_are_part_of_their_function(self) -> None:
        """`locals` has those in blocks; `at` gives no scope outside of the function."""
        found = function("variables/c-dwarf5", "derived")
        block = found.scopes[1]
        assert (block.kind, block.parent, block.name) == (ScopeKind.BLOCK, 0, None)
        assert [each.name for each in block.variables] == ["inner"]
        assert "inner" in types(found)
        low, high = found.scopes[0].ranges[0]
        assert found.at(low - 1) == found.at(high) == ()
        assert found.at(block.ranges[0][0]) == (block, found.scopes[0])


class TestWhereItIsFound:
    def test_any_address_in_the_function_will_do(self) -> None:
        """As an offset in the file, in the code section or in the function."""
        with Module.open(dwarf_fixture("c/O1-dwarf4.wasm")) as module:
            reader = DebugVariables(module)
            for body in module.bodies:
                expected = reader.of(Address(AddressKind.FUNC, 0, body.function_index))
                assert expected is not None
                assert reader.of(Address(AddressKind.FILE, body.end - 1)) == expected
                assert module.code is not None
                assert reader.of(Address(AddressKind.CODE, body.offset - module.code.offset + 1)) == expected
            assert reader.of(Address(AddressKind.FILE, 0)) is None
            assert reader.of(Address(AddressKind.FUNC, 0, 0)) is None  # imported

    def test_debug_information_without_code(self) -> None:
        """A file without code is read with the module that runs, or by offsets in the code section."""
        with (
            Module.open(dwarf_fixture("c/O1-build-id.wasm")) as whole,
            Module.open(dwarf_fixture("c/O1-build-id-stripped.wasm")) as running,
            Module.open(dwarf_fixture("c/O1-build-id-debug-only.wasm")) as debug,
        ):
            apart = DebugVariables(debug, code=running)
            alone = DebugVariables(debug)
            for body in running.bodies:
                address = Address(AddressKind.FUNC, 0, body.function_index)
                expected = variables(whole, address)
                assert expected is not None
                assert apart.of(address) == expected
                low = expected.scopes[0].ranges[0][0]
                found = alone.of(Address(AddressKind.CODE, low))
                assert found is not None and found.scopes == expected.scopes
            with pytest.raises(DebugInfoError, match="there is no code section to find a func address in"):
                alone.of(Address(AddressKind.FUNC, 0, 2))

    def test_sections_will_do(self) -> None:
        """The sections by name, from wherever they come."""
        with Module.open(dwarf_fixture("c/O1-dwarf4.wasm")) as module:
            sections = {s.name: module.contents(s) for s in module.sections if s.name.startswith(".debug_")}
            body = module.bodies[3]
            address = Address(AddressKind.FUNC, 0, body.function_index)
            assert DebugVariables(sections, code=module).of(address) == variables(module, address)

    @pytest.mark.parametrize("name", ["c/no-dwarf", "assemblyscript/debug", "derived/external"])
    def test_without_debug_information_nothing_is_known(self, name: str) -> None:
        """None, and no error."""
        with Module.open(dwarf_fixture(f"{name}.wasm")) as module:
            assert variables(module, Address(AddressKind.FUNC, 0, module.bodies[0].function_index)) is None

    @pytest.mark.parametrize("name", ["npm-wasm-opt", "dwarf-of-another-build", "npm-wasm-opt-cpp"])
    def test_stale_debug_information_is_not_believed(self, name: str) -> None:
        """Ranges that are not inside one function's body are of another build: hardly any fits by chance."""
        with Module.open(dwarf_fixture(f"derived/{name}.wasm")) as module:
            reader = DebugVariables(module)
            found = [reader.of(Address(AddressKind.FUNC, 0, body.function_index)) for body in module.bodies]
        assert sum(each is not None for each in found) <= 1

    @pytest.mark.parametrize("version", [4, 5])
    def test_split_debug_information_is_named(self, version: int) -> None:
        """The error says which file has it."""
        with Module.open(dwarf_fixture(f"c/O1-split{version}.wasm")) as module:
            address = Address(AddressKind.FUNC, 0, module.bodies[0].function_index)
            with pytest.raises(DebugInfoError, match=rf"is in O1-split{version}-main\.dwo \(split DWARF\)"):
                variables(module, address)

    def test_pyelftools_is_loaded_when_a_place_is_read(self) -> None:
        """Not when the package is imported."""
        script = "import sys, wasmscope.dwarf; wasmscope.dwarf.DebugVariables; print('elftools' in sys.modules)"
        output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
        assert output.strip() == "False"


class TestBrokenDebugInformation:
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("cut-abbrev", r"\.debug_abbrev is cut off"),
            ("cut-info", r"\.debug_info, unit at 0x[0-9a-f]+: [\d,]+ bytes, and [\d,]+ are left"),
            ("cut-loclists", r"\.debug_loclists is missing or cut off"),
            ("cut-rnglists", r"\.debug_rnglists is missing or cut off"),
            ("without-abbrev", r"\.debug_abbrev is cut off"),
        ],
    )
    def test_says_which_section(self, name: str, message: str) -> None:
        """One line, with the section and the unit."""
        with Module.open(dwarf_fixture(f"derived/{name}.wasm")) as module:
            reader = DebugVariables(module)
            with pytest.raises(DebugInfoError, match=message) as caught:
                for body in module.bodies:
                    reader.of(Address(AddressKind.FUNC, 0, body.function_index))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "name", ["cut-line", "cut-line_str", "cut-str", "cut-str_offsets", "without-line", "without-str"]
    )
    def test_what_is_not_needed_is_not_missed(self, name: str) -> None:
        """Without names or files the places are still known."""
        with (
            Module.open(dwarf_fixture(f"derived/{name}.wasm")) as broken,
            Module.open(dwarf_fixture("cpp/O2-dwarf5.wasm")) as whole,
        ):
            for body in whole.bodies:
                address = Address(AddressKind.FUNC, 0, body.function_index)
                found, expected = variables(broken, address), variables(whole, address)
                assert found is not None and expected is not None
                assert [scope.ranges for scope in found.scopes] == [scope.ranges for scope in expected.scopes]
                assert [[each.locations for each in scope.variables] for scope in found.scopes] == [
                    [each.locations for each in scope.variables] for scope in expected.scopes
                ]
