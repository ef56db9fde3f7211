"""Our answers against those of three other symbolizers and of pyelftools' line tables, on thousands of addresses."""

from __future__ import annotations

import functools
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.differential.comparison import Code, Comparison, Oracle, Why, ours_at, theirs_at
from tests.support import oracles
from tests.support.dwarf_fixtures import CORPUS, corpus_module, dwarf_fixture
from tests.support.pyelftools_lines import LineTable, read_lines
from wasmscope.dwarf import Place, Symbolizer
from wasmscope.wasm import Address, AddressKind

ADDRESSES = 10_000
# Not more than these are shown of what is not explained.
SHOWN = 5

FRESH = (
    "c/O0-dwarf4",
    "c/O0-dwarf5",
    "c/O1-build-id",
    "c/O1-dwarf4",
    "c/O1-lines-only",
    "c/O1-memory64",
    "c/O1-mixed",
    "c/O1-url-paths",
    "c/O2-dwarf4",
    "c/O2-dwarf5",
    "c/O2-lto",
    "cpp/O0-dwarf4",
    "cpp/O0-dwarf5",
    "cpp/O1-dwarf5",
    "cpp/O1-type-units",
    "cpp/O2-dwarf4",
    "cpp/O2-dwarf5",
    "cpp/O2-mangled",
    "derived/native-wasm-opt",
    "rust/debug",
    "rust/lines-only",
    "rust/release",
    "rust/release-dwarf5",
    "rust/release-v0",
    "rust/small",
    "variables/c-dwarf4",
    "variables/c-dwarf5",
    "variables/c-memory64",
    "variables/cpp-dwarf4",
    "variables/cpp-dwarf5",
    "zig/Debug",
    "zig/ReleaseSafe",
    "zig/ReleaseSmall",
)

# The debug information describes other code, or none; the name section is right, where there is one.
STALE = (
    "derived/dwarf-of-another-build",
    "derived/native-wasm-opt-without-g",
    "derived/npm-wasm-opt",
    "derived/npm-wasm-opt-cpp",
)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A module whose debug information others cannot use, and one with the same code, where they can."""

    module: str
    sound: str
    debug_file: str | None = None


ELSEWHERE = (
    Elsewhere("c/O1-build-id-stripped", "c/O1-build-id", "c/O1-build-id-debug-only.wasm"),
    Elsewhere("c/O1-split4", "c/O1-dwarf4"),
    Elsewhere("c/O1-split5", "c/O1-build-id"),
    Elsewhere("c/O1-split5", "c/O1-build-id", "c/O1-split5.dwp"),
    Elsewhere("derived/external", "c/O1-dwarf4"),
    Elsewhere("derived/tombstones-0", "c/O1-dwarf4"),
    Elsewhere("derived/tombstones-in-lists", "cpp/O2-dwarf4"),
    Elsewhere("derived/unordered-sequences", "c/O1-dwarf4"),
)


# Their debug information is broken or about other code: what others say of them is no measure.
BROKEN = ("derived/cut-", "derived/truncated-", "derived/without-", *STALE)


def module_path(name: str) -> Path:
    """Find a fixture or a module of the corpus."""
    return corpus_module(name) if name in CORPUS else dwarf_fixture(f"{name}.wasm")


def sample(name: str, code: Code) -> list[int]:
    """Choose addresses, the same each time: all, if there are not too many; and where each function begins."""
    everywhere = range(code.size)
    if code.size <= ADDRESSES:
        return list(everywhere)
    entries = {offset for body in code.bodies for offset in (body.start, min(body.start + 1, body.end - 1))}
    return sorted(entries | set(random.Random(name).sample(everywhere, ADDRESSES)))


def our_places(path: Path, offsets: Sequence[int], debug_file: Path | None = None) -> list[Place]:
    """Ask our symbolizer."""
    with Symbolizer(path, debug_file=debug_file, debug_path=()) as symbolizer:
        return symbolizer.symbolize([Address(AddressKind.CODE, offset) for offset in offsets])


@functools.cache
def lines_of(path: Path) -> LineTable:
    """Read a module's line tables, once for all that need them."""
    return read_lines(path.read_bytes())


def asked(oracle: Oracle, code: Code) -> Callable[[Path, Sequence[int]], list[oracles.Frames]]:
    """The function that asks a symbolizer."""
    if oracle is Oracle.LLVM:
        return oracles.llvm_symbolizer
    if oracle is Oracle.ADDR2LINE:
        return oracles.addr2line
    return lambda path, offsets: oracles.wasm_tools(path, [offset + code.base for offset in offsets])


def compare(name: str, oracle: Oracle) -> Comparison:
    """Compare ours with another on the same module, and fail if a difference is not explained."""
    path = module_path(name)
    code = Code.read(path)
    offsets = sample(name, code)
    comparison = Comparison(oracle, code, lines_of(path))
    comparison.run(offsets, our_places(path, offsets), asked(oracle, code)(path, offsets))
    # Ours are the same each time.
    if oracle is Oracle.LLVM:
        comparison.check_calls(functools.partial(oracles.llvm_symbolizer, path))
    report(name, comparison)
    return comparison


def report(name: str, comparison: Comparison) -> None:
    """Print the counts, which pytest shows of a failure; and fail if there is something to fail for."""
    same = comparison.whys[None]
    differ = {why.name: count for why, count in comparison.whys.items() if why is not None}
    print(f"{name} against {comparison.oracle.value}: {same:,} the same, {differ or 'none different'}")
    if comparison.failures:
        shown = "\n".join(comparison.failures[:SHOWN])
        pytest.fail(f"{len(comparison.failures):,} differences of {name} are not explained:\n{shown}")


class TestSameModule:
    """Modules that all symbolizers can read."""

    @pytest.mark.parametrize("oracle", Oracle)
    @pytest.mark.parametrize("name", FRESH)
    def test_fixture(self, name: str, oracle: Oracle) -> None:
        """All frames, files, lines and columns agree, or differ for a reason that is known; we know more lines."""
        comparison = compare(name, oracle)
        assert comparison.our_lines >= comparison.their_lines > 0

    @pytest.mark.parametrize("oracle", Oracle)
    @pytest.mark.parametrize("name", CORPUS)
    def test_corpus(self, name: str, oracle: Oracle) -> None:
        """The same on real programs; there others know no line for at least one address in 20."""
        comparison = compare(name, oracle)
        assert comparison.their_lines < 0.95 * comparison.our_lines


class TestElsewhere:
    """Debug information that is split, in other files, or in ways that the others do not read right."""

    @pytest.mark.parametrize("case", ELSEWHERE, ids=lambda case: f"{case.module}-{bool(case.debug_file)}")
    def test_as_if_it_were_sound(self, case: Elsewhere) -> None:
        """It answers what LLVM answers for a module with the same code whose debug information is in order."""
        path, sound = dwarf_fixture(f"{case.module}.wasm"), dwarf_fixture(f"{case.sound}.wasm")
        code = Code.read(path)
        places = our_places(
            path, range(code.size), None if case.debug_file is None else dwarf_fixture(case.debug_file)
        )  # fmt: skip
        sound_code = Code.read(sound)
        assert [body.start for body in code.bodies] == [body.start for body in sound_code.bodies]
        comparison = Comparison(Oracle.LLVM, sound_code, lines_of(sound))
        comparison.run(range(code.size), places, oracles.llvm_symbolizer(sound, range(code.size)))
        comparison.check_calls(functools.partial(oracles.llvm_symbolizer, sound))
        report(case.module, comparison)
        assert comparison.their_lines > 0


class TestNames:
    """What mangled names are shown as."""

    @pytest.mark.parametrize("name", ["cpp-dwarf4", "cpp-dwarf5", "cpp/O0-dwarf5", "rust/release-v0"])
    def test_demangled(self, name: str) -> None:
        """Three names in four are as LLVM shows them; where our demangler fails, it is the source's name."""
        path = module_path(name)
        code = Code.read(path)
        frames = {frame for place in our_places(path, sample(name, code)) for frame in place.frames}
        shown = {frame.linkage_name: frame.function for frame in frames if frame.linkage_name and frame.function}
        # Rust's first mangling is one of C++, which LLVM's demangler takes it for.
        mangled = [name for name in shown if re.match(r"_R|_Z(?!.*17h[0-9a-f]{16}E$)", name)]
        expected = dict(zip(mangled, oracles.demangled(mangled), strict=True))
        differ = {name for name in mangled if plain(shown[name]) != plain(expected[name])}
        assert len(mangled) > 10
        assert len(differ) <= 0.25 * len(mangled), [(shown[name], expected[name]) for name in differ][:SHOWN]
        assert not [name for name in differ if shown[name] == name]


def plain(name: str) -> str:
    """A demangled name without what demanglers write in different ways: blanks, and the types of numbers."""
    name = re.sub(r"\((?:unsigned )?(?:long|int|char|bool)\)(\d+)", r"\1", name)
    return re.sub(r"\s|(?<=\d)ul?", "", name)


class TestComponent:
    """A core module in a component."""

    def test_frames(self) -> None:
        """Offsets in the component's file give the frames that wasm-tools gives; it reads components, others do not."""
        path = dwarf_fixture("component/component.wasm")
        size = path.stat().st_size
        with Symbolizer(path, debug_path=()) as symbolizer:
            places = symbolizer.symbolize([Address(AddressKind.FILE, offset) for offset in range(size)])
        inside = [offset for offset in range(size) if places[offset].frames and places[offset].frames[-1].line]
        differ = Counter[str]()
        for offset, theirs in zip(inside, oracles.wasm_tools(path, inside), strict=True):
            ours = places[offset].frames
            assert [frame.function for frame in ours] == [frame.function for frame in theirs]
            if theirs[0].line:
                assert [ours_at(frame) for frame in ours] == [theirs_at(frame) for frame in theirs]
            differ["line" if theirs[0].line else "no line"] += 1
        assert differ["line"] > 200
        assert 0 < differ["no line"] < 100


class TestWithoutDwarf:
    """Modules that have no debug information, or that of other code."""

    @pytest.mark.parametrize("name", ["c/no-dwarf", "cpp/no-dwarf", "rust/no-dwarf", *STALE])
    def test_names_only(self, name: str) -> None:
        """Each address has its function, by name if there is one, and no line; LLVM tells wrong lines of stale ones."""
        path = module_path(name)
        code = Code.read(path)
        offsets = [offset for body in code.bodies for offset in range(body.start, body.end)]
        indices = [body.function for body in code.bodies for _ in range(body.start, body.end)]
        for index, place in zip(indices, our_places(path, offsets), strict=True):
            (frame,) = place.frames
            symbol = code.names.get(index) or next((name for name, at in code.exports.items() if at == index), None)
            assert (frame.linkage_name or frame.function, frame.function_index) == (symbol, index)
            assert (frame.file, frame.line) == (None, None)
        lines = sum(bool(frames and frames[0].line) for frames in oracles.llvm_symbolizer(path, offsets))
        assert (lines > 0.1 * len(offsets)) == (name in STALE and "without-g" not in name)


class TestAll:
    """The fixtures."""

    def test_each_is_compared(self) -> None:
        """Each module among the fixtures that has DWARF is in one of the lists here."""
        root = dwarf_fixture(".")
        with_dwarf = {
            path.relative_to(root).with_suffix("").as_posix()
            for path in root.glob("*/*.wasm")
            if b".debug_info" in path.read_bytes()
        }
        listed = {*FRESH, *(case.module for case in ELSEWHERE), *(case.sound for case in ELSEWHERE)}
        # Without code, as debug files: those are used above. The components are compared on their own.
        listed |= {"c/O1-build-id-debug-only", "derived/external.debug", "component/component", "component/nested"}
        assert {name for name in with_dwarf - listed if not name.startswith(BROKEN)} == set()


class TestWhy:
    """The list of reasons."""

    def test_each_is_met(self) -> None:
        """Each reason is met on some module: one that is no longer is to be taken out of the list."""
        met = Counter[Why | None]()
        for name in ("c/O1-url-paths", "cpp-dwarf4", "lua-dwarf4", "rust/lines-only", "rust/no-dwarf", "zig/Debug"):
            for oracle in Oracle:
                met += compare(name, oracle).whys
        assert {why for why in Why if not met[why]} == set()
