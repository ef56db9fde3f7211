from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from tests.fixtures.dwarf import binary
from tests.support.symbolized import FIXTURES, all_addresses, source_line, trap_frames
from tests.unit.dwarf.maps import source_map
from tests.unit.wasm.encoding import custom, leb, name
from wasmscope.dwarf import EngineLimits, Origin, Place, Symbolizer, Verdict, store_path
from wasmscope.errors import ModuleFormatError
from wasmscope.wasm import Address, AddressKind, Component, Module, open_binary

C = FIXTURES / "c"
DERIVED = FIXTURES / "derived"
ASSEMBLYSCRIPT = FIXTURES / "assemblyscript"
BUILDS = ("O0-dwarf4", "O0-dwarf5", "O1-dwarf4", "O1-memory64", "O1-mixed", "O2-dwarf4", "O2-dwarf5", "O2-lto")
ID = bytes.fromhex("0123456789abcdef0123456789abcdef01234567")  # that of c/O1-build-id.wasm


def at(*offsets: int) -> list[Address]:
    return [Address(AddressKind.FILE, offset) for offset in offsets]


def origins(places: list[Place]) -> set[Origin]:
    return {frame.origin for place in places for frame in place.frames}


def positions(places: list[Place]) -> list[list[tuple[object, ...]]]:
    """What is said, whoever said it."""
    return [[frame[:-1] for frame in place.frames] for place in places]


def everywhere(symbolizer: Symbolizer) -> list[Place]:
    assert isinstance(symbolizer.module, Module)
    return symbolizer.symbolize(all_addresses(symbolizer.module))


@pytest.fixture(autouse=True)
def no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WASMSCOPE_DEBUG_PATH", raising=False)


class TestTraps:
    @pytest.mark.parametrize("build", BUILDS)
    @pytest.mark.parametrize(("export", "arguments"), [("trap_divide", (5,)), ("trap_memory", ()), ("trap_call", ())])
    def test_c(self, build: str, export: str, arguments: tuple[int, ...]) -> None:
        """Where wasmtime says that a C program trapped is the line whose comment says so, in the right function."""
        frames = trap_frames(C / f"{build}.wasm", export, *arguments)
        with Symbolizer(C / f"{build}.wasm") as symbolizer:
            (place,) = symbolizer.symbolize(at(frames[0].module_offset))

        assert [(export, frames[0].func_index)] == [(f.function, f.function_index) for f in place.frames]
        assert "/* here */" in source_line("c", place.frames[0].file, place.frames[0].line)

    @pytest.mark.parametrize("build", BUILDS)
    def test_inlined(self, build: str) -> None:
        """A function that was inlined has a frame before the one that it is in, and callers point at their calls."""
        frames = trap_frames(C / f"{build}.wasm", "trap_inlined")
        with Symbolizer(C / f"{build}.wasm") as symbolizer:
            places = symbolizer.symbolize(at(*(f.module_offset or 0 for f in frames)))

        inner, outer = places[0].frames
        assert (inner.function, inner.is_inlined, outer.function, outer.is_inlined) == (
            "path_area",
            True,
            "area",
            False,
        )
        assert "points[i].x > 1e6f" in source_line("c", inner.file, inner.line)
        assert "path_area(shape)" in source_line("c", outer.file, outer.line)
        assert "area(shape)" in source_line("c", places[1].frames[-1].file, places[1].frames[-1].line)
        assert "total_area(&bad)" in source_line("c", places[-1].frames[-1].file, places[-1].frames[-1].line)

    @pytest.mark.parametrize("build", ["debug", "debug-inline", "release", "release-inline"])
    def test_assemblyscript(self, build: str) -> None:
        """A source map, in a file or in the module, gives line and column of a trap; the name section has names."""
        frames = trap_frames(ASSEMBLYSCRIPT / f"{build}.wasm", "trap_divide", 0)
        with Symbolizer(ASSEMBLYSCRIPT / f"{build}.wasm") as symbolizer:
            (place,) = symbolizer.symbolize(at(frames[0].module_offset or 0))
            text = symbolizer.source_text(place.frames[0].file or "")

        (frame,) = place.frames
        assert (frame.origin, frame.function) == (Origin.SOURCE_MAP, "index/trap_divide")
        line = source_line("assemblyscript", frame.file, frame.line)
        assert line.strip() == "return 100 / zero;"
        assert frame.column == line.index("100") + 1
        # The recipe takes the sources out of the maps that are in the module.
        assert text == (None if "inline" in build else (ASSEMBLYSCRIPT / "index.ts").read_text())

    def test_assemblyscript_calls(self) -> None:
        """Each frame of a trap in a method called through a closure points at the call."""
        frames = trap_frames(ASSEMBLYSCRIPT / "debug.wasm", "trap_ring")
        with Symbolizer(ASSEMBLYSCRIPT / "debug.wasm") as symbolizer:
            places = symbolizer.symbolize(at(*(f.module_offset or 0 for f in frames)))

        lines = [source_line("assemblyscript", p.frames[0].file, p.frames[0].line) for p in places if p.frames[0].line]
        assert [t in s for t, s in zip(("unreachable()", "measure(1)", "weigh("), lines, strict=False)] == [True] * 3


class TestSources:
    """Who answers, and that all who have the same debug information answer alike."""

    @pytest.fixture
    def whole(self) -> list[Place]:
        with Symbolizer(C / "O1-build-id.wasm", debug_path=()) as symbolizer:
            assert symbolizer.health is not None and symbolizer.health.verdict is Verdict.FRESH
            return everywhere(symbolizer)

    def check(self, symbolizer: Symbolizer, whole: list[Place], origin: Origin) -> None:
        with symbolizer:
            places = everywhere(symbolizer)
            assert symbolizer.notes == ()
        assert {origin} == origins(places)
        assert positions(whole) == positions(places)

    def test_in_the_module(self, whole: list[Place]) -> None:
        """DWARF in the module has a line for every byte of its functions."""
        assert {Origin.DWARF} == origins(whole)
        assert all(frame.line for place in whole for frame in place.frames)

    @pytest.mark.parametrize("file", ["O1-build-id.wasm", "O1-build-id-debug-only.wasm"])
    def test_named(self, whole: list[Place], file: str) -> None:
        """A debug file that is named serves, with code or without: what llvm-objcopy --only-keep-debug makes."""
        self.check(Symbolizer(C / "O1-build-id-stripped.wasm", debug_file=C / file), whole, Origin.DEBUG_FILE)

    def test_external_debug_info(self) -> None:
        """The file that external_debug_info names is found beside the module."""
        with Symbolizer(C / "O1-dwarf4.wasm") as symbolizer:
            whole = everywhere(symbolizer)

        self.check(Symbolizer(DERIVED / "external.wasm"), whole, Origin.DEBUG_FILE)

    def test_beside(self, whole: list[Place], tmp_path: Path) -> None:
        """A file with the module's name and .debug.wasm is found beside it."""
        shutil.copy(C / "O1-build-id-stripped.wasm", tmp_path / "app.wasm")
        shutil.copy(C / "O1-build-id-debug-only.wasm", tmp_path / "app.debug.wasm")

        self.check(Symbolizer(tmp_path / "app.wasm"), whole, Origin.DEBUG_FILE)

    def test_store(self, whole: list[Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file is found in a store by the build id alone, also if the module comes as bytes."""
        path = store_path(str(tmp_path), ID)
        assert path is not None
        Path(path).parent.mkdir()
        shutil.copy(C / "O1-build-id-debug-only.wasm", path)
        data = (C / "O1-build-id-stripped.wasm").read_bytes()

        self.check(Symbolizer(data, debug_path=["/nowhere", tmp_path]), whole, Origin.DEBUG_FILE)
        monkeypatch.setenv("WASMSCOPE_DEBUG_PATH", f"/nowhere{os.pathsep}{tmp_path}")
        self.check(Symbolizer(Module(data)), whole, Origin.DEBUG_FILE)

    @pytest.mark.parametrize("version", "45")
    @pytest.mark.parametrize("form", ["beside", "given", "package", "package given"])
    def test_split(self, tmp_path: Path, version: str, form: str) -> None:
        """Split parts are found beside the module, or as named; packed or not."""
        stem = f"O1-split{version}"
        parts = [C / f"{stem}-main.dwo", C / f"{stem}-shapes.dwo"]
        package = C / f"{stem}.dwp"
        module = tmp_path / "app.wasm"
        shutil.copy(C / f"{stem}.wasm", module)
        given: list[Path] = []
        if form == "beside":
            for part in parts:
                shutil.copy(part, tmp_path)
        elif form == "given":
            given = parts
        elif form == "package":
            shutil.copy(package, tmp_path / "app.wasm.dwp")
        else:
            given = [package]
        with Symbolizer(module, debug_file=given) as symbolizer:
            places = everywhere(symbolizer)
            assert symbolizer.notes == ()
        # The same sources and options, and so the same code; built without splitting.
        with Symbolizer(C / "O1-dwarf4.wasm") as symbolizer:
            whole = everywhere(symbolizer)

        assert {Origin.SPLIT_DWARF} == origins(places)
        assert [[f[:3] for f in p.frames] for p in whole] == [[f[:3] for f in p.frames] for p in places]
        assert [[f[4:6] for f in p.frames] for p in whole] == [[f[4:6] for f in p.frames] for p in places]

    def test_split_debug_file(self, tmp_path: Path) -> None:
        """Split parts may lie beside the debug file that has the skeletons, and not beside the module."""
        debug = tmp_path / "debug"
        debug.mkdir()
        for file in ("O1-split5.wasm", "O1-split5-main.dwo", "O1-split5-shapes.dwo"):
            shutil.copy(C / file, debug)
        module = tmp_path / "app.wasm"
        shutil.copy(C / "no-dwarf.wasm", module)
        with Symbolizer(module, debug_file=debug / "O1-split5.wasm") as symbolizer:
            assert origins(everywhere(symbolizer)) == {Origin.SPLIT_DWARF}
            assert symbolizer.notes == ()

    def test_split_parts_missing(self, tmp_path: Path) -> None:
        """Without its split parts a module has lines and no inlined calls, and a note says so."""
        shutil.copy(C / "O1-split5.wasm", tmp_path)
        with Symbolizer(tmp_path / "O1-split5.wasm") as symbolizer:
            places = everywhere(symbolizer)
            notes = symbolizer.notes

        assert all(place.frames[0].line for place in places)
        assert "split DWARF: O1-split5-main.dwo and 1 others not found" in notes[0]

    @pytest.mark.parametrize(
        ("file", "origin"),
        [
            ("c/no-dwarf.wasm", {Origin.NAMES}),
            ("c/no-names.wasm", {Origin.EXPORTS, Origin.INDEX}),
            ("cpp/no-dwarf.wasm", {Origin.NAMES}),
        ],
    )
    def test_names(self, file: str, origin: set[Origin]) -> None:
        """Without debug information there is the name section, then exports, then the number and nothing else."""
        with Symbolizer(FIXTURES / file) as symbolizer:
            places = everywhere(symbolizer)

        assert origin == origins(places)
        for place in places:
            (frame,) = place.frames
            assert (frame.file, frame.line, frame.column) == (None, None, None)
            assert (frame.function is None) == (frame.origin is Origin.INDEX)

    def test_imports(self) -> None:
        """An imported function has no code, and a name: the name section's, else that of the import."""
        for file, found in (("no-dwarf", (Origin.NAMES, "host_note")), ("no-names", (Origin.IMPORTS, "host.note"))):
            with Symbolizer(C / f"{file}.wasm") as symbolizer:
                (place,) = symbolizer.symbolize([Address(AddressKind.FUNC, 0, 0)])

                assert (place.code_offset, place.note) == (None, None)
                assert [found] == [(frame.origin, frame.function) for frame in place.frames]
                assert found[1] == symbolizer.function_name(0)

    def test_mangled_names(self) -> None:
        """Names of the name section are demangled; what linkers know is kept beside."""
        with Symbolizer(FIXTURES / "rust" / "no-dwarf.wasm") as symbolizer:
            frames = {frame for place in everywhere(symbolizer) for frame in place.frames}

        mangled = {frame for frame in frames if frame.linkage_name}
        assert mangled
        for frame in mangled:
            assert (frame.linkage_name or "").startswith(("_ZN", "_R")) and "::" in (frame.function or "")

    def test_names_of_a_debug_file(self, tmp_path: Path) -> None:
        """A module that was shipped without names takes those of a file that fits."""
        shutil.copy(C / "no-names.wasm", tmp_path / "app.wasm")
        shutil.copy(C / "no-dwarf.wasm", tmp_path / "app.debug.wasm")
        with Symbolizer(tmp_path / "app.wasm") as symbolizer:
            (import_,) = symbolizer.symbolize([Address(AddressKind.FUNC, 0, 0)])
            assert import_.frames[0].function == "host_note"
            names = {frame.function for place in everywhere(symbolizer) for frame in place.frames}

        assert {"area", "depth_of", "run"} < names


class TestRefused:
    """What does not fit the code is not believed, and a note says so."""

    @pytest.mark.parametrize(
        "file", ["npm-wasm-opt", "npm-wasm-opt-cpp", "dwarf-of-another-build", "native-wasm-opt-without-g"]
    )
    def test_stale(self, file: str) -> None:
        """DWARF that another tool left behind gives no line at all: names alone."""
        with Symbolizer(DERIVED / f"{file}.wasm") as symbolizer:
            places = everywhere(symbolizer)
            notes = symbolizer.notes
            assert symbolizer.health is None and symbolizer.engine is None

        assert all(frame.line is None for place in places for frame in place.frames)
        assert not origins(places) & {Origin.DWARF, Origin.DEBUG_FILE}
        assert len(notes) == 1 and notes[0].startswith("the DWARF in the module is not used: it ")

    def test_stale_lines_alone(self, tmp_path: Path) -> None:
        """Without its split parts DWARF has lines and no functions; lines that do not fit the code are not used."""
        code = binary.read(C / "O2-dwarf5.wasm")
        debug = binary.read(C / "O1-split5.wasm")
        is_debug = [(section.name or "").startswith(".debug_") for section in code]
        binary.write(
            tmp_path / "app.wasm",
            [
                *(section for section, is_out in zip(code, is_debug, strict=True) if not is_out),
                *(section for section in debug if (section.name or "").startswith(".debug_")),
            ],
        )
        with Symbolizer(tmp_path / "app.wasm") as symbolizer:
            assert origins(everywhere(symbolizer)) == {Origin.NAMES}
            assert "it describes no function of this module" in symbolizer.notes[-1]

    def test_a_fresh_file_for_a_stale_module(self, tmp_path: Path) -> None:
        """Where the module's own DWARF is stale, a debug file that fits speaks."""
        with Symbolizer(C / "O1-dwarf4.wasm") as symbolizer:
            whole = everywhere(symbolizer)
        shutil.copy(DERIVED / "dwarf-of-another-build.wasm", tmp_path / "app.wasm")
        shutil.copy(C / "O1-dwarf4.wasm", tmp_path / "app.debug.wasm")
        with Symbolizer(tmp_path / "app.wasm") as symbolizer:
            places = everywhere(symbolizer)

            assert positions(whole) == positions(places)
            assert len(symbolizer.notes) == 1

    @pytest.mark.parametrize(
        ("file", "message"),
        [
            ("c/O2-dwarf4.wasm", "it has 837 bytes of code, and the module has 907"),
            ("c/no-dwarf.wasm", "has no DWARF"),
            ("c/main.c", "text file"),
            ("c", "there is no file"),
            ("nothing.wasm", "there is no file"),
            ("derived/truncated-in-info.wasm", "cut off"),
            (
                "c/O1-split4-main.dwo",
                "O1-split4-main.dwo is not used: no DWARF that fits the module has units elsewhere",
            ),
        ],
    )
    def test_debug_file(self, file: str, message: str) -> None:
        """A file that is named and cannot serve is told, with why."""
        with Symbolizer(C / "O1-build-id-stripped.wasm", debug_file=FIXTURES / file) as symbolizer:
            places = everywhere(symbolizer)
            assert {Origin.NAMES} == origins(places)
            assert any(message in note for note in symbolizer.notes), symbolizer.notes

    def test_another_build_id(self, tmp_path: Path) -> None:
        """A file whose build id is another one is refused even if its code has the same size."""
        data = (C / "O1-build-id.wasm").read_bytes()
        assert data.count(ID) == 1
        (tmp_path / "app.wasm").write_bytes((C / "O1-build-id-stripped.wasm").read_bytes())
        (tmp_path / "app.debug.wasm").write_bytes(data.replace(ID, ID[::-1]))
        with Symbolizer(tmp_path / "app.wasm") as symbolizer:
            assert {Origin.NAMES} == origins(everywhere(symbolizer))
            assert f"its build id is {ID[::-1].hex()}, the module's is {ID.hex()}" in symbolizer.notes[0]

    def test_a_debug_file_in_the_modules_place(self) -> None:
        """A debug file without code cannot be checked, and answers nothing."""
        with Symbolizer(C / "O1-build-id-debug-only.wasm") as symbolizer:
            (place,) = symbolizer.symbolize([Address(AddressKind.CODE, 100)])

            assert place.frames == () and place.note is not None
            assert "it has no code" in symbolizer.notes[0]

    def test_more_than_allowed(self) -> None:
        """DWARF that needs more than it may gives names, and a note says why."""
        with Symbolizer(C / "O1-dwarf4.wasm", limits=EngineLimits(memory_bytes=2000)) as symbolizer:
            assert origins(everywhere(symbolizer)) == {Origin.NAMES}
            assert "bytes, and the limit is 2,000" in symbolizer.notes[0]

    @pytest.mark.parametrize("section", [".debug_info", ".debug_line", ".debug_abbrev"])
    def test_broken(self, section: str) -> None:
        """DWARF that is cut off gives what can be read of it, and a note."""
        with Symbolizer(DERIVED / f"cut-{section.removeprefix('.debug_')}.wasm") as symbolizer:
            everywhere(symbolizer)

            assert any("cannot be read" in note for note in symbolizer.notes), symbolizer.notes


class TestSourceMaps:
    MODULE = (ASSEMBLYSCRIPT / "debug.wasm").read_bytes()

    def plain(self, *sections: bytes) -> bytes:
        """The module without its own sourceMappingURL, with these sections."""
        module = Module(self.MODULE)
        (section,) = module.custom_sections("sourceMappingURL")
        tail = name("sourceMappingURL") + module.contents(section)
        start = self.MODULE.index(b"\0" + leb(len(tail)) + tail)
        return self.MODULE[:start] + self.MODULE[start + 1 + len(leb(len(tail))) + len(tail) :] + b"".join(sections)

    def notes(self, data: bytes, source_map: Path | None = None) -> tuple[str, ...]:
        with Symbolizer(data, source_map=source_map) as symbolizer:
            places = everywhere(symbolizer)
            assert {Origin.NAMES} == origins(places)
            return symbolizer.notes

    def url(self, url: str) -> bytes:
        return custom("sourceMappingURL", name(url))

    def test_named(self) -> None:
        """A source map that is named serves a module that names none."""
        with Symbolizer(self.plain(), source_map=ASSEMBLYSCRIPT / "debug.wasm.map") as symbolizer:
            assert Origin.SOURCE_MAP in origins(everywhere(symbolizer))

    def test_percent_data_url(self) -> None:
        """A data URL may be escaped instead of Base64."""
        from urllib.parse import quote

        text = quote((ASSEMBLYSCRIPT / "debug.wasm.map").read_bytes())
        with Symbolizer(self.plain(self.url(f"data:application/json;charset=utf-8,{text}"))) as symbolizer:
            assert Origin.SOURCE_MAP in origins(everywhere(symbolizer))
            assert symbolizer.notes == ()

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("https://host/a.wasm.map", "is not fetched"),
            ("a.wasm.map", "was not read from a file"),
            ("data:application/json", "has no data"),
            ("data:;base64,&&&", "not Base64"),
            ("data:,{}", "not a source map"),
            ("data:;base64,", "not JSON"),
            ("/nowhere.map", "cannot be read"),
            ("/dev/zero", "not a regular file"),
        ],
    )
    def test_url(self, url: str, message: str) -> None:
        """A URL that leads nowhere is told, and names answer."""
        (note,) = self.notes(self.plain(self.url(url)))

        assert message in note

    def test_another_build(self, tmp_path: Path) -> None:
        """A map that goes beyond the code, or has another module's debugId, is refused."""
        path = tmp_path / "a.map"
        path.write_bytes(source_map([(10_000, 0, 0, 0)]))
        assert "it goes up to byte 0x2710" in self.notes(self.plain(), source_map=path)[0]

        path.write_bytes(source_map([(10, 0, 0, 0)]))
        assert "it goes up to byte 0xa" in self.notes(self.plain(), source_map=path)[0]

        module = self.plain(custom("build_id", leb(len(ID)) + ID))
        path.write_bytes(source_map([(600, 0, 0, 0)], debugId=ID[::-1].hex()))
        assert "its debugId is" in self.notes(module, source_map=path)[0]

    @pytest.mark.parametrize(
        "debug_id",
        [
            ID.hex(),
            ID.hex().upper(),
            "01234567-89ab-cdef-0123-456789abcdef",
            "67452301-ab89-efcd-0123-456789abcdef",
        ],
    )
    def test_same_build(self, tmp_path: Path, debug_id: str) -> None:
        """A debugId is the build id, or a UUID of its first 16 bytes in either order of bytes."""
        path = tmp_path / "a.map"
        path.write_bytes(source_map([(600, 0, 0, 0)], debugId=debug_id))
        with Symbolizer(self.plain(custom("build_id", leb(len(ID)) + ID)), source_map=path) as symbolizer:
            assert Origin.SOURCE_MAP in origins(everywhere(symbolizer))

    def test_not_read_without_need(self, tmp_path: Path) -> None:
        """Where DWARF answers, a source map is not even looked for."""
        with Symbolizer(C / "O1-dwarf4.wasm", source_map=tmp_path / "none") as symbolizer:
            everywhere(symbolizer)
            assert symbolizer.notes == ()


class TestAddresses:
    def test_kinds(self) -> None:
        """The same place, counted from the file, the code section and the function, has the same answer."""
        with Symbolizer(C / "O1-dwarf4.wasm") as symbolizer:
            module = symbolizer.module
            assert isinstance(module, Module) and module.code is not None
            for body in module.bodies:
                for offset in (body.offset, body.end - 1):
                    places = symbolizer.symbolize(
                        [
                            Address(AddressKind.FILE, offset),
                            Address(AddressKind.CODE, offset - module.code.offset),
                            Address(AddressKind.FUNC, offset - body.offset, body.function_index),
                            Address(AddressKind.FILE, offset, body.function_index),
                        ]
                    )
                    assert len({place[1:] for place in places}) == 1
                    assert places[0].code_offset == offset - module.code.offset
                    assert places[0].frames[-1].function_index == body.function_index

    def test_nowhere(self) -> None:
        """An address in no function has no frames and a note; it is never an error, however it is."""
        with Symbolizer(C / "O1-dwarf4.wasm") as symbolizer:
            module = symbolizer.module
            assert isinstance(module, Module) and module.code is not None
            body = module.bodies[1]
            cases = [
                (Address(AddressKind.FILE, 0), "outside of the code, which is at"),
                (Address(AddressKind.FILE, -1), "outside of the code"),
                (Address(AddressKind.FILE, 2**200), "outside of the code"),
                (Address(AddressKind.CODE, -(2**70)), "outside of the code, which is at 0x0 to"),
                (Address(AddressKind.CODE, module.code.size), "outside of the code"),
                (Address(AddressKind.FILE, body.offset - 1), "between two functions"),
                (Address(AddressKind.CODE, 0), "between two functions"),
                (Address(AddressKind.FUNC, 0), "no function"),
                (Address(AddressKind.FUNC, 0, 10_000), "there is no function 10000"),
                (Address(AddressKind.FUNC, 0, -1), "there is no function -1"),
            ]
            places = symbolizer.symbolize([address for address, _ in cases])

        for place, (address, note) in zip(places, cases, strict=True):
            assert place.address is address and place.frames == ()
            assert place.note is not None and note in place.note

    def test_function_known_and_place_not(self) -> None:
        """Where the function is known and the offset is not in it, there is its name and no line."""
        with Symbolizer(C / "O1-dwarf4.wasm") as symbolizer:
            module = symbolizer.module
            assert isinstance(module, Module)
            body = module.bodies[1]
            beyond, elsewhere = symbolizer.symbolize(
                [
                    Address(AddressKind.FUNC, body.size, body.function_index),
                    Address(AddressKind.FILE, module.bodies[5].offset, body.function_index),
                ]
            )

        for place, note in ((beyond, "beyond the end of function"), (elsewhere, "is this what ran?")):
            assert [(frame.function, frame.line) for frame in place.frames] == [("trap_inlined", None)]
            assert place.note is not None and note in place.note

    def test_order_and_repetition(self) -> None:
        """Answers come in the order of questions, as often as they are asked; no question, no answer."""
        with Symbolizer(C / "O1-dwarf4.wasm") as symbolizer:
            module = symbolizer.module
            assert isinstance(module, Module)
            addresses = all_addresses(module)[:200]
            one_by_one = [symbolizer.symbolize([address])[0] for address in addresses]

            assert one_by_one[::-1] * 2 == symbolizer.symbolize(iter(addresses[::-1] * 2))
            assert symbolizer.symbolize([]) == []


class TestModules:
    def test_given_in_all_forms(self) -> None:
        """A module may be a path, bytes, or read already; one that is given read stays open."""
        path = C / "O1-dwarf4.wasm"
        with Module.open(path) as module:
            answers: list[list[Place]] = []
            for form in (str(path), path, path.read_bytes(), bytearray(path.read_bytes()), module):
                with Symbolizer(form) as symbolizer:
                    answers.append(symbolizer.symbolize(all_addresses(module)[:50]))
            assert module.bodies

        assert all(answer == answers[0] for answer in answers)

    def test_no_module(self, tmp_path: Path) -> None:
        """What is no module is an error at once."""
        with pytest.raises(ModuleFormatError, match="an ELF file"):
            Symbolizer(b"\x7fELF" + bytes(100))
        with pytest.raises(OSError):
            Symbolizer(tmp_path / "none.wasm")

    def test_component(self) -> None:
        """In a component, wasmtime's offsets count from its first byte; the module that has the byte answers."""
        with Symbolizer(FIXTURES / "component" / "component.wasm") as symbolizer:
            component = symbolizer.module
            assert isinstance(component, Component)
            modules = component.modules()
            core = modules[0].module
            inside = symbolizer.symbolize(all_addresses(core))
            alone = Symbolizer(bytes(memoryview(component.data)[core.start : core.end]))
            same = everywhere(alone)
            alone.close()

            assert positions(same) == positions(inside)
            assert {"check", "deep", "fail", "run"} < {f.function for p in inside for f in p.frames}

            code = Address(AddressKind.CODE, 20)
            (lost,) = symbolizer.symbolize([code])
            assert lost.frames == () and lost.note is not None and "say which one" in lost.note
            (found,) = symbolizer.symbolize([code], module=0)
            assert found.frames
            (outside,) = symbolizer.symbolize(at(0))
            assert outside.frames == () and outside.note == "outside of the component's modules"
            with pytest.raises(ValueError, match="there is no module 99"):
                symbolizer.symbolize([code], module=99)

    def test_component_in_a_component(self) -> None:
        """Modules of nested components are found, too, each with its own debug information."""
        with Symbolizer(FIXTURES / "component" / "nested.wasm") as symbolizer:
            component = symbolizer.module
            assert isinstance(component, Component)
            addresses = [address for nested in component.modules() for address in all_addresses(nested.module)]
            places = symbolizer.symbolize(addresses[::-1])

        assert addresses[::-1] == [place.address for place in places]
        assert all(place.frames for place in places)


class TestLife:
    def test_closed(self) -> None:
        """A closed symbolizer frees its engine and files, answers nothing, and can be closed again."""
        symbolizer = Symbolizer(C / "O1-dwarf4.wasm")
        with symbolizer:
            engine = symbolizer.engine
            places = everywhere(symbolizer)
            assert engine is not None and engine.memory_bytes > 0
        symbolizer.close()

        assert engine.memory_bytes == 0
        assert places[0].frames[0].line
        for ask in (lambda: symbolizer.symbolize([]), lambda: symbolizer.engine, lambda: symbolizer.function_name(0)):
            with pytest.raises(ValueError, match="closed"):
                ask()

    def test_freed_when_idle(self) -> None:
        """After a while without a question the engine's memory is freed, and comes back with the next one."""
        with Symbolizer(C / "O1-dwarf4.wasm", idle_after_s=0.05) as symbolizer:
            first = everywhere(symbolizer)
            engine = symbolizer.engine
            assert engine is not None
            deadline = time.monotonic() + 10
            while engine.memory_bytes and time.monotonic() < deadline:
                time.sleep(0.01)
            assert engine.memory_bytes == 0

            assert first == everywhere(symbolizer)

    def test_busy_is_not_idle(self) -> None:
        """Questions keep the engine, however long they go on."""
        with Symbolizer(C / "O1-dwarf4.wasm", idle_after_s=0.3) as symbolizer:
            engine = symbolizer.engine
            for _ in range(20):
                symbolizer.symbolize(at(0x1D9))
                time.sleep(0.03)
            assert engine is symbolizer.engine

    def test_no_thread_is_left(self) -> None:
        """Closing ends what waits for idleness."""

        def waiting() -> list[threading.Thread]:
            return [t for t in threading.enumerate() if t.name == "wasmscope-idle" and t not in before]

        before = threading.enumerate()
        with Symbolizer(C / "O1-dwarf4.wasm", idle_after_s=1000) as symbolizer:
            everywhere(symbolizer)
            everywhere(symbolizer)
            assert len(waiting()) == 1
        deadline = time.monotonic() + 10
        while waiting() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not waiting()

    def test_threads(self) -> None:
        """Several threads may ask at the same time, while another one frees."""
        with Symbolizer(C / "O1-dwarf4.wasm") as symbolizer:
            expected = everywhere(symbolizer)
            wrong: list[object] = []

            def ask() -> None:
                for _ in range(10):
                    if everywhere(symbolizer) != expected:
                        wrong.append(None)
                    symbolizer.free()

            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        assert not wrong

    def test_module_is_not_read_before_it_is_asked(self) -> None:
        """Making one reads no debug information."""
        with Symbolizer(C / "O1-dwarf4.wasm", debug_file="none.wasm") as symbolizer:
            assert symbolizer.notes == ()
            symbolizer.symbolize(at(0x1D9))
            assert symbolizer.notes


def test_open_binary_is_what_the_symbolizer_opens() -> None:
    """What wasmscope.wasm opens can be handed over as it is."""
    binary = open_binary(FIXTURES / "component" / "component.wasm")
    with Symbolizer(binary) as symbolizer:
        assert symbolizer.module is binary
    assert isinstance(binary, Component) and binary.modules()
    binary.close()
