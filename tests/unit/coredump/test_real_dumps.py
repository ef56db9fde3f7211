"""Dumps by other people's writers: what is expected is in tests/fixtures/coredumps, in what they were made of."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from tests.support.coredumps import real_dump
from wasmscope.coredump import Dialect, DumpFrame, DumpInstance, DumpMemory, ValueKind, is_core_dump, read
from wasmscope.errors import CoreDumpError
from wasmscope.wasm import Address, AddressKind, Module

FIXTURES = Path(__file__).parents[2] / "fixtures" / "coredumps"
DUMPS = ("wasmtime.core", "wasm-encoder.core", "xtuc-encoder.core", "rewriter.core.gz")


class TestWasmtime:
    def test_names_program_modules_and_instances(self) -> None:
        """Both modules are named, and an instance's memories and globals are indices into those of the dump."""
        dump = read(real_dump("wasmtime.core"))
        assert dump.dialect is Dialect.STANDARD
        assert dump.ambiguities == ()
        assert dump.executable == "trap.wasm"
        assert dump.modules == ("library", "trap")
        # `trap` imports the library's memory and has two of its own, and six globals.
        assert dump.instances == (
            DumpInstance(0, (0,), ()),
            DumpInstance(1, (0, 1, 2), (0, 1, 2, 3, 4, 5)),
        )

    def test_frames_are_calls_and_the_trapping_instruction(self) -> None:
        """Of each frame, the code offset is that of an instruction in the function's body: a load, then calls."""
        dump = read(real_dump("wasmtime.core"))
        (thread,) = dump.threads
        assert thread.name == "main"
        modules = [wat2wasm((FIXTURES / f"{name}.wat").read_text()) for name in dump.modules]
        instructions: list[tuple[int, int, int]] = []
        for frame in thread.frames:
            assert frame.instance_index is not None
            data = modules[frame.instance_index]
            place = Module(data).to_file(Address(AddressKind.FUNC, frame.code_offset, frame.function_index))
            assert place is not None
            instructions.append((frame.instance_index, frame.function_index, data[place]))
        load, call, call_indirect = 0x2D, 0x10, 0x11
        # inner; the library's call; middle, which has called itself twice; run.
        assert instructions == [
            (1, 1, load),
            (0, 0, call_indirect),
            (1, 2, call),
            (1, 2, call),
            (1, 2, call),
            (1, 3, call),
        ]
        assert all(frame.locals == frame.stack == () for frame in thread.frames)

    def test_globals_have_the_values_at_the_trap(self) -> None:
        """A global of every type; `count` was counted up once before the trap."""
        values = [item.value for item in read(real_dump("wasmtime.core")).globals]
        assert [value and value.number for value in values] == [-16, -4_999_999_999, 0.5, -0.125, None, None]
        vector, reference = values[4], values[5]
        assert vector is not None and vector.kind is ValueKind.V128
        assert vector.bits == 1 | 2 << 32 | 3 << 64 | 4 << 96
        assert reference is not None and (reference.kind, reference.bits) == (ValueKind.REF, 0)

    def test_memory_is_found_in_the_file(self) -> None:
        """What the data segments put into three memories, one of them a memory64, is where the segments say."""
        data = real_dump("wasmtime.core")
        dump = read(data)
        assert dump.memories == (
            DumpMemory(1, 65_536, False),
            DumpMemory(2, 65_536, False),
            DumpMemory(1, 65_536, True),
        )
        memories = [bytearray(memory.size_bytes) for memory in dump.memories]
        for segment in dump.segments:
            end = segment.address + segment.size
            memories[segment.memory_index][segment.address : end] = data[segment.offset : segment.offset + segment.size]
        expected = [bytearray(memory.size_bytes) for memory in dump.memories]
        expected[0][100:107] = b"library"
        expected[1][65_530:65_542] = b"across pages"
        expected[2][7:11] = b"wide"
        assert memories == expected


class TestWasmEncoder:
    def test_every_kind_of_value(self) -> None:
        """Integers at their limits, a NaN with its payload, and values that are missing."""
        dump = read(real_dump("wasm-encoder.core"))
        assert dump.dialect is Dialect.STANDARD
        worker, main = dump.threads
        assert (worker.name, main.name) == ("worker 1", "main")
        first = main.frames[0]
        assert (first.instance_index, first.function_index, first.code_offset) == (0, 42, 0x1234)
        assert [(value.kind.value, value.bits) for value in first.locals] == [
            ("i32", 0xFFFF_FFFF),
            ("i32", 0x8000_0000),
            ("i64", 0x7FFF_FFFF_FFFF_FFFF),
            ("f32", 0x7FA0_0001),
            ("f64", 0x3FB9_9999_9999_999A),
            ("missing", None),
        ]
        assert [value.number for value in first.stack] == [-2, None]
        assert [value.number for value in main.frames[1].stack] == [64]
        assert [value.number for value in worker.frames[0].locals] == [128]

    def test_the_largest_index_stands_for_nothing(self) -> None:
        """u32::MAX is what wasmtime writes for what is not in the dump."""
        dump = read(real_dump("wasm-encoder.core"))
        assert dump.instances == (DumpInstance(0, (0, 1), (0, None, 1)), DumpInstance(1, (None,), ()))
        assert dump.threads[1].frames[2] == DumpFrame(None, 7, 9)

    def test_addresses_are_unsigned_and_pages_have_a_size(self) -> None:
        """`i32.const -65536` is the address 0xffff0000; a memory can have pages of one byte."""
        data = real_dump("wasm-encoder.core")
        dump = read(data)
        assert dump.memories == (DumpMemory(3, 65_536, False), DumpMemory(100, 1, True))
        parts = [(s.memory_index, s.address, data[s.offset : s.offset + s.size]) for s in dump.segments]
        assert parts == [(0, 0xFFFF_0000, b"high"), (1, 90, b"wide")]

    def test_a_reference_to_a_function_is_known_to_be_one(self) -> None:
        """Which function it was is the index in a module that is not in the dump: so it has no bits."""
        values = [item.value for item in read(real_dump("wasm-encoder.core")).globals]
        assert [(value.kind, value.bits) for value in values if value] == [
            (ValueKind.I32, 0xFFFF_FFFB),
            (ValueKind.V128, 1 << 100),
            (ValueKind.REF, None),
        ]


class TestXtuc:
    def test_without_values_it_is_the_standard(self) -> None:
        """Frames without values are the same bytes in the standard and in xtuc's dialect."""
        dump = read(real_dump("xtuc-encoder.core"))
        assert (dump.dialect, dump.ambiguities) == (Dialect.STANDARD, ())
        assert dump.threads[0].frames == (DumpFrame(0, 12, 345), DumpFrame(0, 2, 0))

    def test_a_memory_that_begins_with_a_dump(self) -> None:
        """xtuc's rewriter has the guest write the dump at the beginning of its memory, with fixed-width values."""
        data = real_dump("rewriter.core.gz")
        assert len(data) == 65_536
        dump = read(data)
        assert (dump.dialect, dump.ambiguities) == (Dialect.WASMGDB, ())
        (thread,) = dump.threads
        assert [frame.function_index for frame in thread.frames] == [0, 1, 2]
        assert [frame.instance_index for frame in thread.frames] == [0, 0, 0]
        assert [value.number for value in thread.frames[0].locals] == [-7, -5_000_000_000, 1_234_567]
        # The rewriter does not look at the parameters of callers: its source has 669 there.
        assert [value.number for value in thread.frames[1].locals] == [669, 77]
        (segment,) = dump.segments
        assert b"far away" in data[segment.offset : segment.offset + segment.size]


class TestAllOfThem:
    @pytest.mark.parametrize("which", DUMPS)
    def test_are_recognised_by_their_beginning(self, which: str) -> None:
        """The first bytes are enough for every known writer, and a module is not taken for a dump."""
        data = real_dump(which)
        assert is_core_dump(data)
        assert is_core_dump(data[:300])
        assert not is_core_dump(wat2wasm((FIXTURES / "trap.wat").read_text()))

    @pytest.mark.parametrize("which", DUMPS)
    def test_can_be_read_from_a_mapped_file(self, which: str, tmp_path: Path) -> None:
        """A mapped file, a view and a bytearray give what the bytes give, and the map can be closed afterwards."""
        data = real_dump(which)
        expected = read(data)
        path = tmp_path / "core"
        path.write_bytes(data)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert is_core_dump(mapped)
            assert read(mapped) == expected
        assert read(memoryview(data)) == read(bytearray(data)) == expected

    @pytest.mark.parametrize("which", DUMPS)
    def test_cut_off_anywhere_they_are_refused(self, which: str) -> None:
        """No prefix is read as if it were whole, but one that ends with a section that needs no other."""
        data = real_dump(which)
        ends = {section.end for section in Module(data).sections}
        for length in range(8, min(len(data), 400)):
            if length in ends:
                continue
            with pytest.raises(CoreDumpError):
                read(data[:length])
