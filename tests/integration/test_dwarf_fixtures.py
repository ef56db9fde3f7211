"""The fixtures with debug information, run: what they return, and where a trap is found to come from."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import wasmtime

from tests.support.dwarf_fixtures import dwarf_fixture
from wasmscope.dwarf import Frame, Symbolizer
from wasmscope.wasm import Address, AddressKind

SOURCES = Path(__file__).parents[1] / "fixtures" / "dwarf"
C = [f"c/{name}" for name in (
    "O0-dwarf4", "O0-dwarf5", "O1-build-id", "O1-dwarf4", "O1-lines-only", "O1-memory64", "O1-mixed", "O1-split4",
    "O1-split5", "O2-dwarf4", "O2-dwarf5", "O2-lto",
)]  # fmt: skip
CPP = [f"cpp/{name}" for name in ("O0-dwarf4", "O0-dwarf5", "O1-dwarf5", "O1-type-units", "O2-dwarf4", "O2-dwarf5")]
RUST = [f"rust/{name}" for name in ("debug", "lines-only", "release", "release-dwarf5", "release-v0", "small")]
DERIVED = ["derived/external", "derived/tombstones-0", "derived/unordered-sequences"]


@functools.cache
def engine() -> wasmtime.Engine:
    """An engine whose guests may use little stack, so that recursion traps soon."""
    config = wasmtime.Config()
    config.max_wasm_stack = 256 * 1024
    config.cranelift_opt_level = "none"
    return wasmtime.Engine(config)


def call(module: str, export: str, *arguments: int) -> object:
    """Call an export of a fixture."""
    store = wasmtime.Store(engine())
    linker = wasmtime.Linker(engine())
    i32, i64, f64 = wasmtime.ValType.i32(), wasmtime.ValType.i64(), wasmtime.ValType.f64()
    linker.define_func("host", "note", wasmtime.FuncType([i32, f64], []), lambda *_: None)
    linker.define_func("host", "now", wasmtime.FuncType([], [i64]), lambda: 0)
    instance = linker.instantiate(store, wasmtime.Module(engine(), dwarf_fixture(f"{module}.wasm").read_bytes()))
    function = instance.exports(store)[export]
    assert isinstance(function, wasmtime.Func)
    return function(store, *arguments)


def trapped(module: str, export: str, *arguments: int) -> list[Frame]:
    """Call an export that traps; gives the frames of its stack, with those that were inlined, innermost first."""
    with pytest.raises(wasmtime.Trap) as caught:
        call(module, export, *arguments)
    with Symbolizer(dwarf_fixture(f"{module}.wasm"), debug_path=()) as symbolizer:
        places = symbolizer.symbolize(
            [Address(AddressKind.FILE, frame.module_offset) for frame in caught.value.frames if frame.module_offset]
        )
    return [frame for place in places for frame in place.frames]


def place(source: str, text: str, after: str = "") -> tuple[str, int]:
    """Where a text is in a source: its file as the debug information names it, and its line."""
    lines = (SOURCES / source).read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if after in line)
    line = next(number for number, line in enumerate(lines[start:], start + 1) if text in line)
    return f"/src/{source}", line


def places(frames: list[Frame]) -> list[tuple[str | None, int | None]]:
    """Files and lines of frames."""
    return [(frame.file.replace("/./", "/") if frame.file else None, frame.line) for frame in frames]


class TestResults:
    """What they return: the same, however they were compiled."""

    @pytest.mark.parametrize(
        "module", [*C, "c/no-dwarf", "c/no-names", "c/O1-build-id-stripped", "derived/npm-wasm-opt"]
    )
    def test_c(self, module: str) -> None:
        """Areas are (0+9+16) + 4, and 12 more for each second turn: 3 turns of 29 and one of 12; then the depth."""
        assert call(module, "run", 3) == 2 * 29 + 41 + depth(3)

    @pytest.mark.parametrize("module", [*CPP, "cpp/O2-mangled", "cpp/no-dwarf", "derived/npm-wasm-opt-cpp"])
    def test_cpp(self, module: str) -> None:
        """Shapes (25 + 9) * 2; points 0+1+4+9 + 4 * 2 * 2; constants 6 * 2 twice; and 2 * (0+1+2+3)."""
        assert call(module, "run", 2) == 34 * 2 + 14 + 16 + 12 + 12 + 12

    @pytest.mark.parametrize("module", [*RUST, "rust/no-dwarf"])
    def test_rust(self, module: str) -> None:
        """Squares 4, 9, 25, each times 3, less those that 7 divides; then 9 * 3; and each time table[3]."""
        assert call(module, "run", 3) == (12 + 27 + 75) + 5 + 27 + 5

    @pytest.mark.parametrize("module", ["zig/Debug", "zig/ReleaseSafe", "zig/ReleaseSmall"])
    def test_zig(self, module: str) -> None:
        """Dot products 1 + 9 and 3 + 9; the largest, 42; the third, 15; and 7."""
        assert call(module, "run", 3) == 10 + 12 + 42 + 15 + 7

    @pytest.mark.parametrize(
        "module", ["assemblyscript/debug", "assemblyscript/release", "assemblyscript/release-inline"]
    )
    def test_assemblyscript(self, module: str) -> None:
        """A square of 5 and a ring of 3 * 3, both times 5."""
        assert call(module, "run", 5) == 25 * 5 + 9 * 5


def depth(value: int) -> int:
    """What depth_of in shapes.c gives."""
    return value if value <= 0 else 1 + depth(value - value % 2 - 1)


class TestTraps:
    """Where a trap comes from: the line of the source that is at fault, found by its text."""

    @pytest.mark.parametrize("module", [*C, *DERIVED])
    def test_c(self, module: str) -> None:
        """A division, an access, a wrong call and one that is inlined twice are found, with who called."""
        assert places(trapped(module, "trap_divide", 7))[0] == place("c/main.c", "/* here */", "int trap_divide")
        assert places(trapped(module, "trap_memory"))[0] == place("c/main.c", "/* here */", "int trap_memory")
        assert places(trapped(module, "trap_call"))[0] == place("c/main.c", "/* here */", "float trap_call")
        inlined = places(trapped(module, "trap_inlined"))
        assert inlined[0] == place("c/shapes.c", "__builtin_trap", "path_area")
        assert place("c/shapes.c", "return path_area(shape)") in inlined
        assert place("c/shapes.c", "total += area(shape)") in inlined
        assert place("c/main.c", "return total_area(&bad)") in inlined

    def test_native_wasm_opt(self) -> None:
        """What Binaryen rewrote has the line of the trap; that of a call may be one off, which is Binaryen's."""
        found = places(trapped("derived/native-wasm-opt", "trap_inlined"))
        assert found[0] == place("c/shapes.c", "__builtin_trap", "path_area")
        assert place("c/main.c", "return total_area(&bad)") in found

    @pytest.mark.parametrize("module", ["c/O0-dwarf4", "c/O2-dwarf5"])
    def test_endless_recursion(self, module: str) -> None:
        """A stack that overflows has the recursive call on every line."""
        found = places(trapped(module, "trap_stack", 1))
        assert len(found) > 10
        assert set(found[1:]) == {place("c/main.c", "/* here */", "int trap_stack")}

    @pytest.mark.parametrize("module", [*CPP, "derived/tombstones-in-lists"])
    def test_cpp(self, module: str) -> None:
        """A trap in a lambda, and one in a method of a template, are found, with who called."""
        in_lambda = trapped(module, "trap_lambda")
        assert places(in_lambda)[0] == place("cpp/main.cpp", "__builtin_trap", "struct ring")
        assert "ring::measure" in (in_lambda[1].function or in_lambda[0].function or "")
        assert place("cpp/main.cpp", "return geo::measure_all(shapes, 1, 1)") in places(in_lambda)
        in_template = places(trapped(module, "trap_template"))
        assert in_template[0] == place("cpp/geometry.hpp", "__builtin_trap")
        assert place("cpp/main.cpp", "points.push({i, i})") in in_template

    @pytest.mark.parametrize("module", RUST)
    def test_rust(self, module: str) -> None:
        """A panic is found where it began: below the panic's own frames are the inlined function and its caller."""
        found = places(trapped(module, "trap_index", 99))
        begin = found.index(place("rust/guest.rs", "table[index]"))
        assert found[begin + 1] == place("rust/guest.rs", "look_up(index) + 1")
        assert place("rust/guest.rs", "100 / zero") in places(trapped(module, "trap_divide", 0))
        assert place("rust/guest.rs", "found.unwrap()") in places(trapped(module, "trap_unwrap", 4))

    @pytest.mark.parametrize("module", ["zig/Debug", "zig/ReleaseSafe", "zig/ReleaseSmall"])
    def test_zig(self, module: str) -> None:
        """A trap is found, with who called; so is a check that fails, where the compiler left it in."""
        found = places(trapped(module, "trap_always", 1))
        assert found[0] == place("zig/guest.zig", "@trap()")
        assert place("zig/guest.zig", "return never(value | 4)") in found
        if module != "zig/ReleaseSmall":
            assert place("zig/guest.zig", "return some[index]") in places(trapped(module, "trap_index", 99))

    @pytest.mark.parametrize("name", ["debug", "debug-inline", "release", "release-inline"])
    def test_assemblyscript(self, name: str) -> None:
        """Source maps beside the module and inside it give the line of a trap, and where it was called."""
        found = places(trapped(f"assemblyscript/{name}", "trap_divide", 0))
        assert found[0] == place("assemblyscript/index.ts", "return 100 / zero")
        assert place("assemblyscript/shapes.ts", "unreachable()") in places(
            trapped(f"assemblyscript/{name}", "trap_ring")
        )
