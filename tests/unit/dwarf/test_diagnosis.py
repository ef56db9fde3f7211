"""What is said about the fixtures: what each of them is was decided when it was built, not by the code under test.

The symbolizer has to see it the same way: lines where they can be trusted, none where they cannot.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from elftools.dwarf.enums import ENUM_DW_LANG

from tests.fixtures.dwarf.binary import decode_leb
from tests.support.pyelftools_lines import debug_sections
from tests.unit.wasm.encoding import custom, leb, module, section
from wasmscope.dwarf import (
    Diagnosis,
    Health,
    PathMap,
    Severity,
    SourceFiles,
    Symbolizer,
    diagnose,
    split_module,
    strip_module,
)
from wasmscope.dwarf._examiner import _LANGUAGES
from wasmscope.wasm import Address, AddressKind, Module, open_binary

FIXTURES = Path(__file__).parents[2] / "fixtures/dwarf"
C = FIXTURES / "c"
DERIVED = FIXTURES / "derived"


def diagnosed(
    path: Path, *, debug_file: str | None = None, source_map: str | None = None, path_maps: Sequence[PathMap] = ()
) -> Diagnosis:
    with open_binary(path) as binary:
        return diagnose(
            binary, path=str(path), debug_file=debug_file, debug_path=(), source_map=source_map, path_maps=path_maps
        )


def said(diagnosis: Diagnosis, *severities: Severity) -> list[str]:
    """Codes of the findings of some severities, else of errors and warnings."""
    wanted = severities or (Severity.ERROR, Severity.WARNING)
    return [f.code for module in diagnosis.modules for f in module.findings if f.severity in wanted]


def message(diagnosis: Diagnosis, code: str) -> str:
    return next(f.message for module in diagnosis.modules for f in module.findings if f.code == code)


def health_of(diagnosis: Diagnosis) -> Health:
    found = diagnosis.modules[0].examination.health
    assert found is not None
    return found


def sources_of(diagnosis: Diagnosis) -> SourceFiles:
    found = diagnosis.modules[0].examination.sources
    assert found is not None
    return found


def lines_of(path: Path) -> list[int | None]:
    """What the symbolizer says of places all over the code of a core module."""
    with Symbolizer(str(path), debug_path=()) as symbolizer, Module.open(path) as module:
        places = symbolizer.symbolize(
            Address(AddressKind.FILE, offset) for body in module.bodies for offset in range(body.offset, body.end, 5)
        )
    return [place.frames[0].line for place in places]


class TestFixtures:
    @pytest.mark.parametrize(
        "name",
        [
            "c/O0-dwarf4",
            "c/O0-dwarf5",
            "c/O1-lines-only",
            "c/O1-memory64",
            "c/O1-mixed",
            "c/O2-lto",
            "cpp/O0-dwarf4",
            "cpp/O2-dwarf5",
            "cpp/O2-mangled",
            "rust/debug",
            "rust/lines-only",
            "rust/release",
            "rust/release-v0",
            "zig/Debug",
            "zig/ReleaseSmall",
            "assemblyscript/debug",
            "assemblyscript/release-inline",
            "component/component",
            "component/nested",
            "derived/external",
            "derived/native-wasm-opt",
            "derived/tombstones-0",
            "derived/unordered-sequences",
        ],
    )
    def test_trustworthy(self, name: str) -> None:
        """What is right is called so, and lacks nothing but the build id that it was built without."""
        found = diagnosed(FIXTURES / f"{name}.wasm")

        assert found.is_trustworthy
        assert said(found) == ["no-build-id"]
        if not name.startswith("component/"):
            lines = lines_of(FIXTURES / f"{name}.wasm")
            # What compilers add of their own has none: in this AssemblyScript module, a quarter of the code.
            assert sum(line is not None for line in lines) > 0.7 * len(lines)

    @pytest.mark.parametrize(
        ("name", "codes"),
        [
            ("derived/npm-wasm-opt", ["stale-dwarf", "no-build-id"]),
            ("derived/npm-wasm-opt-cpp", ["stale-dwarf", "no-build-id"]),
            ("derived/dwarf-of-another-build", ["stale-dwarf", "no-build-id"]),
            ("derived/native-wasm-opt-without-g", ["dead-dwarf", "no-names", "no-build-id"]),
            ("derived/cut-abbrev", ["unreadable-dwarf", "no-build-id"]),
            ("derived/cut-info", ["unreadable-dwarf", "no-build-id"]),
            ("derived/cut-line", ["no-lines", "broken-dwarf", "no-build-id"]),
            ("derived/without-abbrev", ["unreadable-dwarf", "no-build-id"]),
            ("derived/without-line", ["no-lines", "broken-dwarf", "no-build-id"]),
            ("c/no-dwarf", ["no-debug-info", "no-build-id"]),
            ("c/no-names", ["no-debug-info", "no-names", "no-build-id"]),
            ("rust/no-dwarf", ["no-debug-info", "no-build-id"]),
            ("c/O1-build-id-stripped", ["no-debug-info"]),
            ("c/O1-build-id-debug-only", ["no-code"]),
        ],
    )
    def test_not_trustworthy(self, name: str, codes: list[str]) -> None:
        """What is wrong or missing is said, each with something to try."""
        found = diagnosed(FIXTURES / f"{name}.wasm")

        assert not found.is_trustworthy
        assert said(found) == codes
        bad = [f for module in found.modules for f in module.findings if f.severity is not Severity.NOTE]
        assert all(finding.remedy for finding in bad)
        if found.modules[0].examination.functions:
            assert set(lines_of(FIXTURES / f"{name}.wasm")) == {None}


class TestFacts:
    def test_units(self) -> None:
        """Units of different versions are told apart, with language and compiler as DWARF has them."""
        found = diagnosed(C / "O1-mixed.wasm").modules[0].examination

        assert {(unit.language, unit.version, unit.units) for unit in found.units} == {("C11", 4, 1), ("C11", 5, 1)}
        assert all("clang version 19" in (unit.producer or "") for unit in found.units)

    def test_functions_and_names(self) -> None:
        """Functions are counted as the code section counts them, names as the name section does."""
        data = (C / "O2-dwarf4.wasm").read_bytes()
        found = diagnosed(C / "O2-dwarf4.wasm").modules[0].examination
        names = debug_sections(data)[0]["name"]
        at = 0
        while names[at] != 1:
            size, start = decode_leb(names, at + 1)
            at = start + size
        _, start = decode_leb(names, at + 1)

        assert found.named_functions == found.functions
        assert found.imported_functions + found.functions == decode_leb(names, start)[0]

    def test_languages(self) -> None:
        """Languages are called as pyelftools has them, from the list of the DWARF committee."""
        for number, name in _LANGUAGES.items():
            official = next(key for key, value in ENUM_DW_LANG.items() if value == number)
            assert name == official.removeprefix("DW_LANG_").replace("_plus_plus_", "++").replace("_plus_plus", "++")

    def test_rewritten(self) -> None:
        """What wasm-opt wrote, native or not, is told from what the linker wrote."""
        assert "rewritten" in said(diagnosed(DERIVED / "npm-wasm-opt.wasm"), Severity.NOTE)
        assert "rewritten" in said(diagnosed(DERIVED / "native-wasm-opt.wasm"), Severity.NOTE)
        for path in [*C.glob("O*.wasm"), *(FIXTURES / "rust").glob("*.wasm"), *(FIXTURES / "zig").glob("*.wasm")]:
            assert "rewritten" not in said(diagnosed(path), Severity.NOTE), path

    def test_split_dwarf(self, tmp_path: Path) -> None:
        """Away from its .dwo files a module has lines, and the one thing to say is that they are missing."""
        for name in ("O1-split4", "O1-split5"):
            alone = diagnosed(Path(shutil.copy(C / f"{name}.wasm", tmp_path)))
            assert alone.is_trustworthy
            assert said(alone) == ["split-dwarf-missing", "no-build-id"]
            assert alone.modules[0].examination.missing_split_units == (f"{name}-main.dwo", f"{name}-shapes.dwo")
            for unit in ("main", "shapes"):
                shutil.copy(C / f"{name}-{unit}.dwo", tmp_path)
            together = diagnosed(tmp_path / f"{name}.wasm")
            assert said(together) == ["no-build-id"]
            assert health_of(together).matching == 10

    def test_sources(self, tmp_path: Path) -> None:
        """Source files are looked for where they were, or where they are said to be now."""
        found = diagnosed(C / "O1-dwarf4.wasm", path_maps=[PathMap("/src/c", str(C))])
        elsewhere = diagnosed(C / "O1-dwarf4.wasm", path_maps=[PathMap("/src/c", str(tmp_path))])

        assert sources_of(found).missing == ()
        assert len(sources_of(elsewhere).missing) == 3

    def test_component(self) -> None:
        """Each module of a component is examined, and the one with the most code decides."""
        found = diagnosed(FIXTURES / "component/component.wasm")

        assert [module.examination.place for module in found.modules] == [(0,), (1,), (2,)]
        assert health_of(found).live == 4
        assert said(found) == ["no-build-id"]

    def test_hostile_text(self) -> None:
        """What a module says stays on one line, not endless, and nothing in it reaches a terminal."""
        url = f"https://x.test/\x1b[31m\n{'y' * 10_000}".encode()
        data = (C / "no-dwarf.wasm").read_bytes() + custom("external_debug_info", leb(len(url)) + url)

        text = message(diagnose(Module(data), debug_path=()), "link-broken")

        assert text.isprintable()
        assert len(text) < 1000


class TestDebugFiles:
    def test_fits(self) -> None:
        """The debug file of this build fits, with or without code."""
        for name in ("O1-build-id.wasm", "O1-build-id-debug-only.wasm"):
            found = diagnosed(C / "O1-build-id-stripped.wasm", debug_file=str(C / name))
            assert found.is_trustworthy
            assert "debug-file-fits" in said(found, Severity.NOTE)

    def test_of_another_build(self) -> None:
        """A debug file of another build does not, whatever tells: build id, code, or where its functions are."""
        other = str(C / "O2-dwarf5.wasm")
        by_code = diagnosed(C / "O1-dwarf4.wasm", debug_file=other)
        assert said(by_code)[0] == "debug-file-misfit"
        assert not by_code.is_trustworthy

    def test_same_id_other_code(self, tmp_path: Path) -> None:
        """npm's wasm-opt keeps the build id: so a debug file with the same one need not fit."""
        module = tmp_path / "m.wasm"
        stale = (DERIVED / "npm-wasm-opt.wasm").read_bytes()
        right = (C / "O0-dwarf4.wasm").read_bytes()
        build_id = custom("build_id", b"\x04same")
        module.write_bytes(strip_module(Module(stale)) + build_id)
        (tmp_path / "right.wasm").write_bytes(right + build_id)

        found = diagnosed(module, debug_file=str(tmp_path / "right.wasm"))

        assert said(found)[0] == "debug-file-misfit"
        assert "bytes of code" in message(found, "debug-file-misfit")
        assert "build id" not in message(found, "debug-file-misfit")

    @pytest.mark.parametrize("with_code", [True, False])
    def test_after_split(self, with_code: bool, tmp_path: Path) -> None:
        """Of what split makes, the one is found by the other: by link, or by build id in a store."""
        with Module.open(C / "O2-dwarf5.wasm") as module:
            linked = split_module(module, url="x.debug", with_code=with_code)
            plain = split_module(module, with_code=with_code)
        (tmp_path / "linked.wasm").write_bytes(linked.small)
        (tmp_path / "x.debug").write_bytes(linked.debug)
        stored = tmp_path / "store" / plain.build_id.hex()[:2] / f"{plain.build_id.hex()[2:]}.debug.wasm"
        stored.parent.mkdir(parents=True)
        stored.write_bytes(plain.debug)
        (tmp_path / "plain.wasm").write_bytes(plain.small)

        assert said(diagnosed(tmp_path / "linked.wasm")) == []
        with open_binary(tmp_path / "plain.wasm") as binary:
            found = diagnose(binary, path=str(tmp_path / "plain.wasm"), debug_path=[str(tmp_path / "store")])
        assert found.is_trustworthy
        assert str(stored) in found.summary
        assert said(diagnosed(tmp_path / "plain.wasm")) == ["no-debug-info"]

    def test_stale_file_beside(self, tmp_path: Path) -> None:
        """A debug file of an earlier build that was left beside the module is told of, and not used."""
        shutil.copy(C / "no-dwarf.wasm", tmp_path / "m.wasm")
        shutil.copy(C / "O0-dwarf4.wasm", tmp_path / "m.debug.wasm")

        found = diagnosed(tmp_path / "m.wasm")

        assert said(found) == ["no-debug-info", "debug-file-unused", "no-build-id"]
        assert "another build" in message(found, "debug-file-unused")

    def test_stale_dwarf_inside(self, tmp_path: Path) -> None:
        """If a debug file fits, stale DWARF in the module does no harm; it is told of."""
        shutil.copy(DERIVED / "dwarf-of-another-build.wasm", tmp_path / "m.wasm")
        shutil.copy(C / "O1-dwarf4.wasm", tmp_path / "m.debug.wasm")

        found = diagnosed(tmp_path / "m.wasm")

        assert found.is_trustworthy
        assert said(found) == ["debug-file-unused", "no-build-id"]

    def test_broken(self, tmp_path: Path) -> None:
        """A debug file whose code section is broken is to blame, not the module."""
        broken = tmp_path / "broken.wasm"
        broken.write_bytes(module(section(3, b"\1\0"), section(10, b"\x05\1"), custom(".debug_info", b"x")))

        assert said(diagnosed(C / "O1-dwarf4.wasm", debug_file=str(broken)))[0] == "debug-file-unreadable"

    def test_link_to_nothing(self, tmp_path: Path) -> None:
        """A link that leads nowhere is the reason that there are no lines."""
        alone = Path(shutil.copy(DERIVED / "external.wasm", tmp_path))

        found = diagnosed(alone)

        assert said(found) == ["link-broken", "no-build-id"]
        assert found.summary == "its debug information is elsewhere, and not to be used"

    def test_unreadable(self, tmp_path: Path) -> None:
        """A debug file that is none is an error, also if the module has lines itself."""
        (tmp_path / "x").write_text("hello")
        for name in ("x", "none", ""):
            found = diagnosed(C / "O1-dwarf4.wasm", debug_file=str(tmp_path / name))
            assert said(found)[0] == "debug-file-unreadable"


class TestSourceMaps:
    def test_missing(self, tmp_path: Path) -> None:
        """A source map that is not there is the reason that there are no lines."""
        alone = Path(shutil.copy(FIXTURES / "assemblyscript/debug.wasm", tmp_path))

        assert said(diagnosed(alone)) == ["link-broken", "no-build-id"]

    def test_of_another_build(self, tmp_path: Path) -> None:
        """The map of another build reaches beyond the code: so it is not believed."""
        folder = FIXTURES / "assemblyscript"
        shutil.copy(folder / "release.wasm", tmp_path / "m.wasm")
        shutil.copy(folder / "debug.wasm.map", tmp_path / "release.wasm.map")

        assert said(diagnosed(tmp_path / "m.wasm")) == ["link-broken", "no-build-id"]

    def test_given(self) -> None:
        """A map that is named serves where the module's own is missing."""
        folder = FIXTURES / "assemblyscript"
        found = diagnosed(folder / "debug-inline.wasm", source_map=str(folder / "debug.wasm.map"))

        assert found.is_trustworthy
        assert len(sources_of(found).paths) == 12
