from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.pyelftools_lines import debug_sections, pyelftools_dwarf
from tests.support.symbolized import FIXTURES
from tests.unit.wasm.encoding import custom, module
from wasmscope.dwarf._debug_files import find_split_files
from wasmscope.dwarf._split_dwarf import is_split, split_unit_ids
from wasmscope.wasm import Module

C = FIXTURES / "c"


class Skeleton(NamedTuple):
    comp_dir: str | None
    dwo_name: str | None
    dwo_id: int | None


def unit_ids_of_pyelftools(path: Path) -> set[int]:
    """The numbers in the skeletons of a module, as another reader sees them."""
    info = pyelftools_dwarf(debug_sections(path.read_bytes())[0])
    ids: set[int] = set()
    for unit in info.iter_CUs():
        attribute = unit.get_top_DIE().attributes.get("DW_AT_GNU_dwo_id")
        ids.add(unit["dwo_id"] if attribute is None else attribute.value)
    return ids


class TestIds:
    @pytest.mark.parametrize("version", "45")
    def test_both_halves(self, version: str) -> None:
        """The numbers in the parts, and in the package's index, are those that pyelftools sees in the skeletons."""
        wanted = unit_ids_of_pyelftools(C / f"O1-split{version}.wasm")
        parts = [Module.open(C / f"O1-split{version}-{unit}.dwo") for unit in ("main", "shapes")]
        package = Module.open(C / f"O1-split{version}.dwp")

        assert wanted == split_unit_ids(package)
        assert wanted == set().union(*map(split_unit_ids, parts))
        assert all(len(split_unit_ids(part)) == 1 and is_split(part) for part in parts)
        assert not is_split(Module.open(C / f"O1-split{version}.wasm"))

    @pytest.mark.parametrize("version", "45")
    @pytest.mark.parametrize("form", ["-main.dwo", ".dwp"])
    def test_cut(self, version: str, form: str) -> None:
        """Parts that are cut off anywhere have the number that can be read, or none, and are no error."""
        whole = Module.open(C / f"O1-split{version}{form}")
        sections = {s.name: whole.contents(s) for s in whole.sections if s.name.startswith(".debug_")}
        known = split_unit_ids(whole)

        for name in (".debug_info.dwo", ".debug_abbrev.dwo", ".debug_cu_index"):
            contents = sections.get(name, b"")
            for size in range(0, len(contents), 1 + len(contents) // 200):
                cut = module(*(custom(n, d[:size] if n == name else d) for n, d in sections.items()))
                assert split_unit_ids(Module(cut)) <= known

    def test_endless(self) -> None:
        """Tables that lead nowhere, or in circles, end."""
        # A unit of version 4 whose abbreviations never have the code that is looked for.
        info = (20).to_bytes(4, "little") + b"\4\0" + bytes(4) + b"\4\x7f" + bytes(50)
        table = b"\1\x11\0" + b"\x10\x17" * 500_000
        found = module(custom(".debug_info.dwo", info * 1000), custom(".debug_abbrev.dwo", table))
        assert split_unit_ids(Module(found)) == frozenset()

        index = b"\5\0\0\0" + bytes(8) + b"\xff" * 4
        assert split_unit_ids(Module(module(custom(".debug_info.dwo", b""), custom(".debug_cu_index", index)))) == set()


class TestFiles:
    @pytest.fixture
    def units(self) -> list[Skeleton]:
        (main,), (shapes,) = (split_unit_ids(Module.open(C / f"O1-split5-{n}.dwo")) for n in ("main", "shapes"))
        return [Skeleton("/src/c", "O1-split5-main.dwo", main), Skeleton("/src/c", "O1-split5-shapes.dwo", shapes)]

    @pytest.fixture
    def notes(self) -> Iterator[list[str]]:
        yield []

    def test_folder_of_the_compilation(self, units: list[Skeleton], notes: list[str]) -> None:
        """A part is where the compiler left it."""
        here = [unit._replace(comp_dir=str(C)) for unit in units]
        found = find_split_files(here, ["/elsewhere/app.wasm"], (), notes)

        assert [len(found), notes] == [2, []]

    @pytest.mark.parametrize("name", ["{}", "sub/{}", "/build/sub/{}"])
    def test_moved(self, units: list[Skeleton], notes: list[str], tmp_path: Path, name: str) -> None:
        """Parts that were moved together with the module are found, with their folders or without."""
        for unit in units:
            assert unit.dwo_name is not None
            place = tmp_path / name.format(unit.dwo_name).removeprefix("/build/sub/")
            place.parent.mkdir(exist_ok=True)
            shutil.copy(C / unit.dwo_name, place)
        moved = [unit._replace(dwo_name=name.format(unit.dwo_name)) for unit in units]

        assert [len(find_split_files(moved, [str(tmp_path / "app.wasm")], (), notes)), notes] == [2, []]

    def test_another_build(self, units: list[Skeleton], notes: list[str]) -> None:
        """A part with another number is not taken."""
        others = [unit._replace(dwo_id=(unit.dwo_id or 0) ^ 1) for unit in units]

        assert not find_split_files(others, [str(C / "O1-split5.wasm")], (), notes)
        assert ["is of another build" in note for note in notes] == [True, True, True, False]
        assert "not found" in notes[-1]

    def test_hostile_names(self, notes: list[str], tmp_path: Path) -> None:
        """Names of files that are none, and thousands of them, are no error."""
        names = ["\0", "", ".", "../../dev/zero", "x" * 10_000, "\x1b[31m", *(f"{n}.dwo" for n in range(10_000))]
        units = [Skeleton(None, name, number) for number, name in enumerate(names)]

        assert not find_split_files(units, [str(tmp_path / "app.wasm")], (), notes)
        assert len(notes) == 1 and notes[0].isprintable()

    def test_one_file_by_many_names(self, notes: list[str], tmp_path: Path) -> None:
        """Thousands of units that lead to a file of something else have some notes, and not one each."""
        (tmp_path / "x").write_text("something else")
        units = [Skeleton(str(tmp_path), "./" * number + "x", number) for number in range(1_000)]

        assert not find_split_files(units, [str(tmp_path / "app.wasm")], (), notes)
        assert len(notes) < 30 and "and 999 others not found" in notes[-1]
