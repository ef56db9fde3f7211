"""Every dialect, written by an encoder of the tests' own."""

from __future__ import annotations

import pytest

from tests.support.coredumps import DIALECTS, Frame, Written, dump, image, section, uleb
from wasmscope.coredump import Dialect, DumpFrame, DumpThread, DumpValue, ValueKind, is_core_dump, read
from wasmscope.errors import CoreDumpError

FRAMES: list[Frame] = [
    (3, 17, 260, [("i32", -70_000), ("i64", 1 << 40), ("f32", 0.5), None], [("f64", -2.25), ("i32", 5)]),
    (0, 300, 0, [("i64", -1)], []),
    (1, 2, 4, [], []),
]


def numbers(frame: DumpFrame) -> tuple[list[int | float | None], list[int | float | None]]:
    return [value.number for value in frame.locals], [value.number for value in frame.stack]


class TestEveryDialect:
    @pytest.mark.parametrize("name", DIALECTS)
    def test_is_found_and_read(self, name: str) -> None:
        """Values of every type in several frames: no other dialect explains them."""
        written = DIALECTS[name]
        found = read(dump(written.stack("main", FRAMES)))
        assert (found.dialect, found.ambiguities) == (Dialect(name), ())
        (thread,) = found.threads
        assert thread.name == "main"
        for frame, (instance, function, offset, local_values, stack) in zip(thread.frames, FRAMES, strict=True):
            assert frame.instance_index == (instance if written.has_instance else None)
            assert (frame.function_index, frame.code_offset) == (function, offset)
            assert numbers(frame) == (
                [value and value[1] for value in local_values],
                [value and value[1] for value in stack] if written.has_stack else [],
            )

    @pytest.mark.parametrize("name", DIALECTS)
    def test_all_threads_have_one(self, name: str) -> None:
        """A thread without values, which several dialects explain, is read as its neighbour is."""
        written = DIALECTS[name]
        plain: list[Frame] = [(1, 2, 3, [], []), (1, 5, 8, [], [])]
        found = read(dump(written.stack("idle", plain), written.stack("main", FRAMES)))
        assert found.dialect is Dialect(name)
        assert [thread.name for thread in found.threads] == ["idle", "main"]
        assert [frame.function_index for frame in found.threads[0].frames] == [2, 5]

    def test_threads_of_different_ones_are_not_explained(self) -> None:
        """A dump has one writer."""
        mixed = dump(DIALECTS["standard"].stack("a", FRAMES), DIALECTS["wasmgdb"].stack("b", FRAMES))
        with pytest.raises(CoreDumpError, match="no known dialect explains the stacks to the last byte"):
            read(mixed)


class TestAmbiguity:
    def test_is_said(self) -> None:
        """The four bytes 83 82 81 00 are a fixed-width integer, and a padded LEB128 number: both end at the end."""
        frames: list[Frame] = [(0, 1, 2, [("i32", 0x0081_8283)], [])]
        found = read(dump(DIALECTS["fixed-width"].stack("main", frames)))
        assert found.dialect is Dialect.STANDARD
        assert Dialect.FIXED in found.ambiguities
        assert found.threads[0].frames[0].locals == (DumpValue(ValueKind.I32, 3 | 2 << 7 | 1 << 14),)

    def test_other_ways_to_the_same_meaning_are_none(self) -> None:
        """Without integers among the values, their width does not matter."""
        frames: list[Frame] = [(0, 1, 20, [("f64", 1.5)], [("f32", 1.5)])]
        found = read(dump(DIALECTS["fixed-width"].stack("main", frames)))
        assert (found.dialect, found.ambiguities) == (Dialect.STANDARD, ())

    def test_not_a_number_is_the_same_in_all(self) -> None:
        """Two readings with a NaN are equal although NaNs are not."""
        frames: list[Frame] = [(0, 1, 20, [("f64", float("nan"))], [])]
        assert read(dump(DIALECTS["standard"].stack("main", frames))).ambiguities == ()


class TestWasmEdge:
    def test_for_wasmgdb_counts_operands_and_does_not_write_them(self) -> None:
        """WasmEdge 0.14 says how many operands there were, and goes on with the next frame."""
        frames: list[Frame] = [(0, 4, 9, [("i32", 1)], [("i32", 2), ("i32", 3)]), (0, 5, 10, [("i32", 7)], [])]
        found = read(dump(DIALECTS["wasmgdb-2023"].stack("main", frames)))
        assert found.dialect is Dialect.WASMGDB_2023
        assert [numbers(frame) for frame in found.threads[0].frames] == [([1], []), ([7], [])]

    @pytest.mark.parametrize("dialect", ["wasmedge", "wasmgdb-2023"])
    def test_code_offsets_are_not_believed(self, dialect: str) -> None:
        """WasmEdge 0.14 writes where in the file the caller's instruction is: so the place in the function is unknown.

        Its dumps, unlike those of xtuc's tools, name a module.
        """
        frames: list[Frame] = [(0, 4, 0x1234, [("i32", 1)], [("i32", 2)])]
        stack = DIALECTS[dialect].stack("main", frames)
        (by_wasmedge,) = read(dump(stack, section("coremodules", b"\1\0app"))).threads[0].frames
        assert (by_wasmedge.function_index, by_wasmedge.code_offset) == (4, 0)
        (by_xtuc,) = read(dump(stack)).threads[0].frames
        assert by_xtuc.code_offset == 0x1234

    @pytest.mark.parametrize("name", ["", "app", "/srv/app.wasm"])
    def test_writes_its_module_without_the_names_length(self, name: str) -> None:
        """One module, whose name goes to the section's end."""
        data = dump(section("coremodules", b"\1\0" + name.encode()), section("coreinstances", b"\0"))
        found = read(data)
        assert (found.modules, found.instances) == ((name,), ())

    def test_does_not_write_what_globals_hold(self) -> None:
        """Their expression is empty: the type is known, the value is not."""
        found = read(dump(section(6, b"\2\x7f\1\x0b\x7c\0\x0b")))
        assert [(item.kind, item.value) for item in found.globals] == [(ValueKind.I32, None), (ValueKind.F64, None)]


class TestMemoryImage:
    def test_is_read(self) -> None:
        """Frames at the beginning of a memory: functions and locals, and no place in the code."""
        data = image([(12, [1, 0xFFFF_FFFF]), (3, [])], pages=2)
        assert is_core_dump(data)
        found = read(data)
        assert found.dialect is Dialect.MEMORY_IMAGE
        values = (DumpValue(ValueKind.I32, 1), DumpValue(ValueKind.I32, 0xFFFF_FFFF))
        assert found.threads == (DumpThread("", (DumpFrame(None, 12, 0, values), DumpFrame(None, 3, 0))),)
        assert found.memories[0].size_bytes == len(data) == found.segments[0].size

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            bytes(65_536),
            bytes(65_535),
            image([(12, [1])])[:-1],
            image([(12, [1])]) + b"\0",
            b"\1\0\0\0\x18\0\0\0" + image([(12, [1])])[8:],
            b"\xff" * 65_536,
            b"\1\0\0\0\x10\0\0\0" + b"\xff" * 65_528,
        ],
    )
    def test_other_memories_are_not(self, data: bytes) -> None:
        """The size is a number of pages, and the frames end where the header says."""
        assert not is_core_dump(data)


class TestSizes:
    def test_counts_in_leb128_may_be_padded(self) -> None:
        """Writers that do not know a size beforehand pad it to five bytes."""
        frames: list[Frame] = [(0, 1, 2, [], [])]
        stack = Written().stack("main", frames)
        contents = stack[stack.index(b"\0\4main") :].replace(b"main\1", b"main\x81\x80\x80\x80\0")
        found = read(dump(b"\0" + uleb(len(contents) + 10) + b"\x09corestack" + contents))
        assert found.threads[0].frames == (DumpFrame(0, 1, 2),)
