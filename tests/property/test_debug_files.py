"""Modules whose hints at debug information are hostile, and debug files that are: an answer, notes, and no error."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.symbolized import FIXTURES, all_addresses
from tests.unit.wasm.encoding import custom, leb, name
from wasmscope.dwarf import Symbolizer, store_path
from wasmscope.errors import ModuleFormatError
from wasmscope.wasm import Address, AddressKind, Module

C = FIXTURES / "c"
PLAIN = (C / "no-dwarf.wasm").read_bytes()
STRIPPED = (C / "O1-build-id-stripped.wasm").read_bytes()
ID = bytes.fromhex("0123456789abcdef0123456789abcdef01234567")


def check(symbolizer: Symbolizer) -> None:
    """Ask for all that could go wrong."""
    with symbolizer:
        module = symbolizer.module
        assert isinstance(module, Module)
        try:
            inside = all_addresses(module)[::17]
        except ModuleFormatError:
            inside = []
        addresses = [
            *inside,
            *(Address(kind, offset) for kind in AddressKind for offset in (-1, 0, 100, 2**40)),
            *(Address(AddressKind.FUNC, offset, index) for offset in (-1, 0, 3, 2**40) for index in (-1, 0, 5, 2**40)),
        ]
        places = symbolizer.symbolize(addresses)

        assert [place.address for place in places] == addresses
        for place in places:
            assert place.frames or place.note
            for frame in place.frames:
                assert frame.line is None or frame.line > 0
        for note in symbolizer.notes:
            assert note.isprintable() and len(note) < 1000, note


class TestHints:
    @given(st.text(max_size=100), st.sampled_from(["external_debug_info", "sourceMappingURL"]))
    @settings(max_examples=150, deadline=None)
    def test_any_url(self, url: str, section: str) -> None:
        """Whatever a module says about where its debug information is, there are names."""
        data = PLAIN + custom(section, leb(len(url.encode())) + url.encode())
        check(Symbolizer(data, debug_path=()))

    @given(st.binary(max_size=80), st.sampled_from(["external_debug_info", "sourceMappingURL", "build_id", "name"]))
    @settings(max_examples=150, deadline=None)
    def test_any_section(self, contents: bytes, section: str) -> None:
        """Sections that hold anything at all are no error."""
        check(Symbolizer(PLAIN + custom(section, contents), debug_path=("/nowhere",)))

    def test_urls_that_lead_out(self, tmp_path: Path) -> None:
        """Pipes, devices, folders, the module itself and files of other kinds are no debug information."""
        (tmp_path / "text").write_text("no module")
        (tmp_path / "folder.wasm").mkdir()
        os.mkfifo(tmp_path / "pipe.wasm")
        (tmp_path / "round.wasm").symlink_to(tmp_path / "round.wasm")
        for number, url in enumerate(
            (
                "pipe.wasm",
                "folder.wasm",
                "round.wasm",
                "text",
                "0.wasm",
                "/dev/zero",
                "../" * 50 + "dev/stdin",
                "\0",
                "",
            )
        ):
            path = tmp_path / f"{number}.wasm"
            path.write_bytes(PLAIN + custom("external_debug_info", name(url)) + custom("sourceMappingURL", name(url)))
            check(Symbolizer(path, debug_path=()))


class TestStores:
    @given(st.binary(max_size=100))
    @settings(max_examples=100, deadline=None)
    def test_any_build_id(self, build_id: bytes) -> None:
        """Whatever a module has for a build id, nothing outside of the stores is opened."""
        data = PLAIN + custom("build_id", leb(len(build_id)) + build_id)
        check(Symbolizer(data, debug_path=("/nowhere", "")))

    @pytest.mark.parametrize("kind", ["folder", "pipe", "dangling", "round", "empty", "text", "endless"])
    def test_what_is_no_file(self, tmp_path: Path, kind: str) -> None:
        """In the place of a debug file there may be anything."""
        found = store_path(str(tmp_path), ID)
        assert found is not None
        path = Path(found)
        path.parent.mkdir()
        match kind:
            case "folder":
                path.mkdir()
            case "pipe":
                os.mkfifo(path)
            case "dangling":
                path.symlink_to("nothing")
            case "round":
                path.symlink_to(path)
            case "endless":
                path.symlink_to("/dev/zero")
            case _:
                path.write_text("" if kind == "empty" else "no module")

        check(Symbolizer(STRIPPED, debug_path=[tmp_path]))


class TestDamage:
    @pytest.mark.parametrize("file", ["c/O1-split5-main.dwo", "c/O1-split4.dwp", "c/O1-build-id-debug-only.wasm"])
    def test_bytes_changed(self, tmp_path: Path, file: str) -> None:
        """Files with changed bytes give answers or notes."""
        data = (FIXTURES / file).read_bytes()
        module = C / ("O1-build-id-stripped.wasm" if "build-id" in file else f"{file[2:11]}.wasm")
        chance = random.Random(file)
        for number in range(25):
            damaged = bytearray(data)
            for _ in range(chance.choice((1, 3, 30))):
                damaged[chance.randrange(8, len(data))] = chance.choice((0, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            path = tmp_path / f"{number}.wasm"
            path.write_bytes(damaged)
            check(Symbolizer(module.read_bytes(), debug_file=path, debug_path=()))

    def test_cut_anywhere(self, tmp_path: Path) -> None:
        """A debug file that ends too early is told."""
        data = (C / "O1-build-id-debug-only.wasm").read_bytes()
        path = tmp_path / "cut.wasm"
        for size in range(0, len(data), 1 + len(data) // 25):
            path.write_bytes(data[:size])
            check(Symbolizer(STRIPPED, debug_file=path, debug_path=()))

    def test_the_module_itself(self) -> None:
        """A module with changed bytes is refused at once, or answered as far as it can be read."""
        data = (C / "O1-dwarf4.wasm").read_bytes()
        chance = random.Random(5)
        opened = 0
        for _ in range(100):
            damaged = bytearray(data)
            for _ in range(chance.choice((1, 3, 30))):
                damaged[chance.randrange(8, len(data))] = chance.randrange(256)
            try:
                symbolizer = Symbolizer(bytes(damaged), debug_path=())
            except ModuleFormatError as error:
                assert str(error).isprintable()
                continue
            opened += 1
            check(symbolizer)
        assert opened > 20
