"""Addresses in bulk, against the same addresses one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from wasmscope.dwarf import Symbolizer
from wasmscope.wasm import Address, AddressKind

FIXTURES = Path(__file__).parents[2] / "fixtures" / "dwarf"
MODULES = (
    "c/O1-dwarf4.wasm",
    "c/O2-dwarf5.wasm",
    "c/O1-lines-only.wasm",
    "c/O1-split5.wasm",
    "c/no-dwarf.wasm",
    "c/no-names.wasm",
    "cpp/O1-dwarf5.wasm",
    "rust/small.wasm",
    "assemblyscript/debug.wasm",
    "derived/npm-wasm-opt.wasm",
    "derived/tombstones-0.wasm",
    "derived/cut-line.wasm",
)


class TestBulk:
    @pytest.mark.parametrize("kind", [AddressKind.FILE, AddressKind.CODE])
    @pytest.mark.parametrize("name", MODULES)
    def test_same_answers(self, name: str, kind: AddressKind) -> None:
        """Each byte of a module, and some beyond it, has the same names, files and lines in bulk."""
        with Symbolizer(FIXTURES / name) as symbolizer:
            offsets = range((FIXTURES / name).stat().st_size + 3)
            bulk = symbolizer.in_bulk()
            assert bulk is not None
            numbers = bulk.numbers(kind, offsets, with_names=True)
            places = symbolizer.symbolize([Address(kind, offset) for offset in offsets])

            for number, place in zip(numbers, places, strict=True):
                for frame in place.frames:
                    assert number, place
                    found = bulk.frame_of(number)
                    assert (found.linkage_name or found.function) == (frame.linkage_name or frame.function)
                    assert (found.function, found.file, found.line, found.column, found.is_inlined) == (
                        frame.function,
                        frame.file,
                        frame.line,
                        frame.column,
                        frame.is_inlined,
                    )
                    number = bulk.outer(number)
                assert number == 0, place

    def test_same_lines(self) -> None:
        """Without names, files and lines are the same, too."""
        with Symbolizer(FIXTURES / "c/O1-lines-only.wasm") as symbolizer:
            bulk = symbolizer.in_bulk()
            assert bulk is not None
            offsets = range((FIXTURES / "c/O1-lines-only.wasm").stat().st_size)
            numbers = bulk.numbers(AddressKind.FILE, offsets, with_names=False)
            places = symbolizer.symbolize([Address(AddressKind.FILE, offset) for offset in offsets])

            for number, place in zip(numbers, places, strict=True):
                assert (number != 0) == bool(place.frames)
                if number:
                    found = bulk.frame_of(number)
                    assert (found.file, found.line) == (place.frames[0].file, place.frames[0].line)

    def test_hostile_offsets(self) -> None:
        """Offsets of any size are nothing, and no error."""
        with Symbolizer(FIXTURES / "c/O1-dwarf4.wasm") as symbolizer:
            bulk = symbolizer.in_bulk()
            assert bulk is not None

            assert set(bulk.numbers(AddressKind.FILE, [0, 2**32, 2**64 - 1, -5], with_names=True)) == {0}
            assert list(bulk.numbers(AddressKind.FILE, [], with_names=True)) == []

    def test_after_the_engine_was_freed(self) -> None:
        """When the engine is made anew, numbers are given anew, and `epoch` says so."""
        with Symbolizer(FIXTURES / "c/O1-dwarf4.wasm") as symbolizer:
            bulk = symbolizer.in_bulk()
            assert bulk is not None
            bulk.numbers(AddressKind.FILE, [0x3E8], with_names=False)
            epoch = bulk.epoch
            symbolizer.free()
            (number,) = bulk.numbers(AddressKind.FILE, [0x3BB], with_names=False)

            assert bulk.epoch != epoch
            assert bulk.frame_of(number).function == "path_area"

    def test_component(self) -> None:
        """A component has no bulk way."""
        with Symbolizer(FIXTURES / "component/component.wasm") as symbolizer:
            assert symbolizer.in_bulk() is None
