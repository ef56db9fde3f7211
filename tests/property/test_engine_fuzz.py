"""The engine with DWARF of real compilers that was damaged: whatever comes out, it comes out as it should."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from wasmscope.dwarf._engine import Engine, EngineLimits
from wasmscope.errors import DebugInfoError
from wasmscope.wasm import Module

FIXTURES = Path(__file__).parents[1] / "fixtures" / "dwarf"
NAMES = ("c/O1-mixed", "c/O2-lto", "c/O1-memory64", "cpp/O2-dwarf4", "cpp/O2-dwarf5", "rust/small", "zig/ReleaseSafe")
SPLIT: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("c/O1-split4.wasm", ("c/O1-split4.dwp",)),
    ("c/O1-split5.wasm", ("c/O1-split5-main.dwo", "c/O1-split5-shapes.dwo")),
)
NO_PARTS: tuple[str, ...] = ()
LIMITS = EngineLimits(memory_bytes=64_000_000, work=1_000_000, fuel=500_000_000)


class Subject(NamedTuple):
    """A module's debug information and its bodies."""

    sections: dict[str, bytes]
    split: tuple[dict[str, bytes], ...]
    starts: list[int]
    ends: list[int]
    size: int


@cache
def subject(number: int) -> Subject:
    if number < len(NAMES):
        path, parts = f"{NAMES[number]}.wasm", NO_PARTS
    else:
        path, parts = SPLIT[number - len(NAMES)]
    module = Module((FIXTURES / path).read_bytes())
    code = module.code
    assert code is not None
    starts = [start - code.offset for start in module.bodies.starts]
    ends = [end - code.offset for end in module.bodies.ends]
    split = tuple(debug_sections(Module((FIXTURES / part).read_bytes())) for part in parts)
    return Subject(debug_sections(module), split, starts, ends, code.size)


def debug_sections(module: Module) -> dict[str, bytes]:
    return {s.name: module.contents(s) for s in module.sections if s.name.startswith(".debug_")}


# Bytes that mean much: ends, most values, signs and lengths of numbers, form and tag numbers by chance.
BYTES = st.one_of(st.sampled_from([0, 1, 0x7F, 0x80, 0xFE, 0xFF]), st.integers(0, 255))
DAMAGE = st.tuples(
    st.integers(0, 1 << 30), st.integers(0, 1 << 30), st.binary(max_size=9) | st.lists(BYTES, max_size=4)
)


def damaged(
    sections: dict[str, bytes], damages: list[tuple[int, int, bytes | list[int]]], cut: int
) -> dict[str, bytes]:
    """Write some bytes over others, and cut one section off."""
    made = {name: bytearray(data) for name, data in sections.items()}
    names = sorted(made)
    for which, place, data in damages:
        target = made[names[which % len(names)]]
        at = place % max(len(target), 1)
        target[at : at + len(data)] = bytes(data)
    if cut:
        target = made[names[cut % len(names)]]
        del target[(cut * 7919) % max(len(target), 1) :]
    return {name: bytes(data) for name, data in made.items()}


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    number=st.integers(0, len(NAMES) + len(SPLIT) - 1),
    damages=st.lists(DAMAGE, min_size=1, max_size=12),
    cut=st.sampled_from([0, 0, 0]) | st.integers(0, 1 << 20),
    which=st.integers(0, 3),
)
def test_damaged(number: int, damages: list[tuple[int, int, bytes | list[int]]], cut: int, which: int) -> None:
    """Answers to all questions have sane values, or the one error is raised; nothing else happens."""
    whole = subject(number)
    files = [whole.sections, *whole.split]
    files[which % len(files)] = damaged(files[which % len(files)], damages, cut)
    try:
        with Engine(files[0], body_starts=whole.starts, body_ends=whole.ends, split=files[1:], limits=LIMITS) as engine:
            check(engine, whole)
    except DebugInfoError as error:
        assert "\n" not in str(error)


def check(engine: Engine, whole: Subject) -> None:
    answers = engine.lookup(range(0, whole.size, 13))
    inside = [any(s <= o < e for s, e in zip(whole.starts, whole.ends, strict=True)) for o in range(0, whole.size, 13)]
    for frames, is_inside in zip(answers, inside, strict=True):
        assert is_inside or not frames
        assert [frame.is_inlined for frame in frames] == [True] * (len(frames) - 1) + [False] * bool(frames)
        for frame in frames:
            assert frame.line is None or frame.line > 0
            assert frame.column is None or frame.column > 0
            for text in (frame.function, frame.linkage_name, frame.file):
                assert text is None or (text and text.encode())
    live, matching, dead = engine.match_bodies()
    functions = engine.functions()
    assert 0 <= matching <= live
    assert dead <= len(functions)
    units = len(engine.units())
    assert all(0 <= function.unit < units for function in functions)
    assert all(0 <= row.body < len(whole.starts) for row in engine.rows(0, whole.size))
