"""Core dumps that nobody thought of."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.coredumps import DIALECTS, Frame, Value, dump, image, real_dump, section
from wasmscope.coredump import CoreDump, Dialect, DumpFrame, is_core_dump, read
from wasmscope.errors import CoreDumpError

U32 = st.integers(0, 0xFFFF_FFFE)
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.tuples(st.just("i32"), st.integers(-(1 << 31), (1 << 31) - 1)),
    st.tuples(st.just("i64"), st.integers(-(1 << 63), (1 << 63) - 1)),
    st.tuples(st.just("f32"), st.floats(width=32, allow_nan=False)),
    st.tuples(st.just("f64"), st.floats(allow_nan=False)),
)
FRAMES: st.SearchStrategy[list[Frame]] = st.lists(
    st.tuples(U32, U32, U32, st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=4)), max_size=4
)
SEEDS = {
    "wasmtime": real_dump("wasmtime.core"),
    "wasm-encoder": real_dump("wasm-encoder.core"),
    "rewriter": real_dump("rewriter.core.gz"),
    "image": image([(12, [1, 2]), (3, []), (4, [5])]),
} | {
    name: dump(
        written.stack("main", [(3, 17, 260, [("i32", -7), None, ("i64", 1 << 40)], [("f64", 0.5)]), (0, 2, 3, [], [])])
    )
    for name, written in DIALECTS.items()
}


def as_written(frames: list[Frame], *, has_instance: bool, has_stack: bool) -> list[tuple[object, ...]]:
    return [
        (
            instance if has_instance else None,
            function,
            offset,
            [value and value[1] for value in local_values],
            [value and value[1] for value in stack] if has_stack else [],
        )
        for instance, function, offset, local_values, stack in frames
    ]


def as_read(frames: tuple[DumpFrame, ...]) -> list[tuple[object, ...]]:
    return [
        (
            frame.instance_index,
            frame.function_index,
            frame.code_offset,
            [value.number for value in frame.locals],
            [value.number for value in frame.stack],
        )
        for frame in frames
    ]


def read_or_refuse(data: bytes) -> CoreDump | None:
    """Read it; whatever it is, there is an answer or the one error, in one line."""
    is_core_dump(data)
    try:
        return read(data)
    except CoreDumpError as error:
        assert "\n" not in str(error)
        return None


class TestRoundTrip:
    @settings(max_examples=150, deadline=None)
    @given(name=st.sampled_from(sorted(DIALECTS)), thread=st.text(max_size=8), frames=FRAMES)
    def test_the_truth_is_the_answer_or_among_the_others(self, name: str, thread: str, frames: list[Frame]) -> None:
        """What one writes in a dialect is read so, or that dialect is named as another explanation."""
        written = DIALECTS[name]
        found = read(dump(written.stack(thread, frames)))
        truth = as_written(frames, has_instance=written.has_instance, has_stack=written.has_stack)
        assert found.threads[0].name == thread
        assert as_read(found.threads[0].frames) == truth or Dialect(name) in found.ambiguities


class TestHostileBytes:
    @settings(max_examples=200, deadline=None)
    @given(data=st.binary(max_size=200))
    def test_anything_in_a_section(self, data: bytes) -> None:
        """Each kind of section filled with anything."""
        for kind in ("corestack", "coremodules", "coreinstances", 5, 6, 11):
            read_or_refuse(dump(section(kind, data)))
        read_or_refuse(b"\0asm\1\0\0\0" + data)
        read_or_refuse(data)

    @pytest.mark.parametrize("name", SEEDS)
    def test_mutations_of_dumps(self, name: str) -> None:
        """A few bytes changed, removed or doubled: an answer or the one error, and memory in proportion."""
        seed = SEEDS[name]
        source = random.Random(f"core dump {name}")
        interesting = (0x00, 0x01, 0x7F, 0x80, 0xFF)
        end = min(len(seed), 400)
        outcomes = {True: 0, False: 0}
        tracemalloc.start()
        try:
            for _ in range(300):
                data = bytearray(seed)
                for _ in range(source.randint(1, 4)):
                    at = source.randrange(min(end, len(data)))
                    match source.randrange(4):
                        case 0:
                            data[at] = source.randrange(256)
                        case 1:
                            data[at] = source.choice(interesting)
                        case 2:
                            del data[at : at + source.randint(1, 5)]
                        case _:
                            data[at:at] = data[at : at + source.randint(1, 9)]
                outcomes[read_or_refuse(bytes(data)) is not None] += 1
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 40 * len(seed) + 500_000
        # Both happen, or the mutations reach nothing.
        assert all(outcomes.values())
