"""The health of DWARF, against what pyelftools and a reader of bodies of the test's own count."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.fixtures.dwarf.binary import decode_leb
from tests.support.pyelftools_lines import debug_sections, pyelftools_dwarf, read_lines
from wasmscope.dwarf import Health, Verdict, diagnose
from wasmscope.wasm import Module

FIXTURES = Path(__file__).parents[2] / "fixtures/dwarf"
WHOLE = sorted(
    path
    for folder, pattern in (("c", "O*.wasm"), ("cpp", "O*.wasm"), ("rust", "*.wasm"), ("zig", "*.wasm"))
    for path in FIXTURES.glob(f"{folder}/{pattern}")
    if not path.stem.endswith(("-only", "-stripped", "no-dwarf")) and "split" not in path.stem
)
STALE = [FIXTURES / f"derived/{name}.wasm" for name in ("npm-wasm-opt", "npm-wasm-opt-cpp", "dwarf-of-another-build")]
DERIVED = [
    FIXTURES / f"derived/{name}.wasm"
    for name in ("native-wasm-opt", "native-wasm-opt-without-g", "tombstones-0", "unordered-sequences")
]
TOMBSTONES = (0, 0xFFFFFFFF, 0xFFFFFFFE, 2**64 - 1, 2**64 - 2)


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def bodies(data: bytes) -> dict[int, int]:
    """The end of each body by its start, and by its first instruction's place; both count from the code's contents."""
    at = 8
    while data[at] != 10:
        size, start = decode_leb(data, at + 1)
        at = start + size
    _, code = decode_leb(data, at + 1)
    count, at = decode_leb(data, code)
    found: dict[int, int] = {}
    for _ in range(count):
        size, start = decode_leb(data, at)
        at = start + size
        groups, first = decode_leb(data, start)
        for _ in range(groups):
            _, first = decode_leb(data, first)
            first += 1
        found[start - code] = found[first - code] = at - code
    return found


def counted(path: Path) -> tuple[int, int, int]:
    """Live functions, those of them that match a body, and those that were left out, as pyelftools reads DWARF."""
    data = path.read_bytes()
    ends = bodies(data)
    live = matching = dead = 0
    dwarf = pyelftools_dwarf(debug_sections(data)[0])
    for unit in dwarf.iter_CUs():
        for entry in unit.iter_DIEs():
            if entry.tag != "DW_TAG_subprogram" or "DW_AT_low_pc" not in entry.attributes:
                continue
            low, high = entry.attributes["DW_AT_low_pc"], entry.attributes["DW_AT_high_pc"]
            if low.value in TOMBSTONES:
                dead += 1
                continue
            live += 1
            matching += ends.get(low.value) == high.value + (0 if high.form == "DW_FORM_addr" else low.value)
    return live, matching, dead


def health_of(path: Path) -> Health:
    with Module.open(path) as module:
        health = diagnose(module).modules[0].examination.health
        assert health is not None
        return health


class TestCounts:
    @pytest.mark.parametrize("path", [*WHOLE, *STALE, *DERIVED], ids=named)
    def test_as_pyelftools(self, path: Path) -> None:
        """Live functions, matching ones and tombstones are as many as another reader of DWARF finds."""
        found = health_of(path)

        assert (found.live, found.matching, found.tombstones) == counted(path)


class TestVerdict:
    @pytest.mark.parametrize("path", WHOLE, ids=named)
    def test_fresh(self, path: Path) -> None:
        """What a compiler and a linker made is right, down to the last function."""
        assert health_of(path).verdict is Verdict.FRESH
        assert health_of(path).score == 1.0

    @pytest.mark.parametrize("path", STALE, ids=named)
    def test_stale(self, path: Path) -> None:
        """What npm's wasm-opt made, and DWARF of another build, is recognised."""
        assert health_of(path).verdict is Verdict.STALE

    def test_of_native_tools(self) -> None:
        """A native wasm-opt updates DWARF with -g, and leaves dead functions only without."""
        assert health_of(FIXTURES / "derived/native-wasm-opt.wasm").verdict is Verdict.FRESH
        assert health_of(FIXTURES / "derived/native-wasm-opt-without-g.wasm").verdict is Verdict.EMPTY

    @pytest.mark.parametrize(
        ("health", "verdict"),
        [
            (Health(10, 9, 0), Verdict.FRESH),
            (Health(100, 89, 0), Verdict.STALE),
            (Health(0, 0, 7), Verdict.EMPTY),
            (Health(0, 0, 0), Verdict.EMPTY),
        ],
    )
    def test_limits(self, health: Health, verdict: Verdict) -> None:
        """Nine of ten functions have to match, and without any there is no verdict."""
        assert health.verdict is verdict


class TestLines:
    @pytest.mark.parametrize("path", [path for path in WHOLE if "memory64" not in path.name], ids=named)
    def test_bytes_with_line_zero(self, path: Path) -> None:
        """As many bytes of code have a line, and the line 0, as in the tables that pyelftools reads; likewise files."""
        data = path.read_bytes()
        ends = set(bodies(data).values())
        # A function that several units have, such as a template's, has a sequence in each of them.
        sequences = {
            rows[0].address: rows for rows in read_lines(data).sequences if rows[0].address and rows[-1].address in ends
        }
        sizes = [(row, after.address - row.address) for rows in sequences.values() for row, after in pairwise(rows)]

        with Module.open(path) as module:
            found = diagnose(module).modules[0].examination

        assert found.line_bytes == sum(size for _, size in sizes) > 0
        assert found.line_zero_bytes == sum(size for row, size in sizes if not row.line)
        assert found.sources is not None
        # pyelftools does not join a path with the unit's folder where units of types come first.
        assert {Path(path).name for path in found.sources.paths} == {Path(row.file or "").name for row, _ in sizes}
