"""Real modules with bytes changed, cut and doubled: every reader answers or raises `ModuleFormatError`."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wasmscope.errors import ModuleFormatError
from wasmscope.wasm import Address, AddressKind, Component, Module, Names, Section, encode_section, rewrite

ROOT = Path(__file__).parents[2]
GUESTS = (
    "tests/guests/assemblyscript/conformance.wasm",
    "examples/01_hello_rust/guest.wasm",
    "examples/demo/crash/crash.wasm",
)
EVERYTHING = """
(module $everything
  (rec (type $s (sub (struct (field $a i32) (field $b (mut (ref null $t)))))) (type $t (array (mut i16))))
  (type $f (func (param i32 i64) (result f64 (ref null $s))))
  (import "a" "f" (func $imported (type $f)))
  (import "a" "t" (table $it 1 2 externref))
  (import "a" "m" (memory $im i64 1 2))
  (import "a" "g" (global $ig (mut f64)))
  (import "a" "x" (tag $ix (param i32)))
  (table $table 4 (ref func) (ref.func $one))
  (memory $m 1 2 shared)
  (global $g i32 (i32.add (i32.const 1) (i32.mul (i32.const 2) (i32.const 3))))
  (global $h (ref null $s) (ref.null $s))
  (export "one" (func $one)) (export "m" (memory $m)) (export "t" (table $table))
  (start $one)
  (elem $e func $one)
  (func $one (local $x i32) (block $out nop))
  (data $d (memory $m) (i32.const 8) "some data")
  (data $p "passive")
  (@producers (language "Rust" "2024") (processed-by "rustc" "1.92"))
  (@custom "build_id" "\\08abcdefgh")
  (@custom "sourceMappingURL" "\\05a.map")
  (@custom "external_debug_info" "\\07a.debug")
  (@custom "target_features" "\\01+\\07simd128"))
"""


@functools.cache
def originals() -> tuple[bytes, ...]:
    return (bytes(wasmtime.wat2wasm(EVERYTHING)), *((ROOT / path).read_bytes() for path in GUESTS))


def readers(module: Module) -> Iterator[Callable[[], Any]]:
    """All that can be asked of a module, each for itself."""
    names = module.names()
    yield from (module.imports, module.exports, module.memories, module.tables, module.globals, module.data_segments)
    yield from (module.name, module.producers, module.target_features, module.build_id)
    yield from (module.external_debug_info, module.source_mapping_url)
    yield lambda: list(module.bodies)
    yield lambda: (module.imported_function_count, module.function_count, module.has_memory64, module.types)
    yield lambda: [module.function_type(index) for index in range(module.function_count)]
    yield lambda: [
        module.to_function(Address(AddressKind.FILE, at))
        for at in range(module.start, module.end, 1 + module.end // 50)
    ]
    for kind in ("functions", "types", "tables", "memories", "globals", "elements", "data", "tags"):
        yield functools.partial(flat, names, kind)
    for kind in ("locals", "labels", "fields"):
        yield functools.partial(nested, names, kind)


def flat(names: Names, kind: str) -> dict[int, str]:
    return dict(getattr(names, kind))


def nested(names: Names, kind: str) -> dict[int, dict[int, str]]:
    return {index: dict(inner) for index, inner in getattr(names, kind).items()}


def read_everything(data: bytes) -> int:
    """Read a module in every way, and give how many of them had an answer."""
    answers = 0
    try:
        module = Module(data)
    except ModuleFormatError as error:
        check(error, data)
        return 0
    for read in readers(module):
        try:
            read()
            answers += 1
        except ModuleFormatError as error:
            check(error, data)
    assert all("\n" not in problem for problem in module.names().problems)
    return answers


def check(error: ModuleFormatError, data: bytes) -> None:
    """An error is one line, and its place is in the file."""
    assert str(error)
    assert "\n" not in str(error)
    assert error.offset is None or 0 <= error.offset <= len(data)


mutations = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "set", "cut", "double", "insert", "number"]),
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=6,
)


def mutate(data: bytes, changes: list[tuple[str, float, int]]) -> bytes:
    changed = bytearray(data)
    for what, where, value in changes:
        at = int(where * len(changed))
        match what:
            case "set":
                changed[at : at + 1] = bytes([value])
            case "cut":
                del changed[at : at + value]
            case "double":
                changed[at:at] = changed[at : at + value]
            case "insert":
                changed[at:at] = bytes([value])
            case _:
                changed[at : at + 5] = b"\xff\xff\xff\xff" + bytes([value])
    return bytes(changed)


class TestModules:
    def test_as_they_are(self) -> None:
        """Unchanged, all that can be asked has an answer."""
        for data in originals():
            assert read_everything(data) == sum(1 for _ in readers(Module(data)))

    @settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(st.integers(0, len(GUESTS)), mutations)
    def test_mutated(self, which: int, changes: list[tuple[str, float, int]]) -> None:
        """Whatever was changed, reading comes to an end with answers and clear errors."""
        read_everything(mutate(originals()[which], changes))

    def test_each_byte(self) -> None:
        """Each byte of a module with a bit of everything, set to what numbers and kinds begin or end with."""
        data = originals()[0]
        for at in range(len(data)):
            for value in (0x00, 0x7F, 0x80, 0xFF):
                read_everything(data[:at] + bytes([value]) + data[at + 1 :])

    def test_each_length(self) -> None:
        """The same module, cut everywhere."""
        data = originals()[0]
        for size in range(len(data)):
            read_everything(data[:size])

    @pytest.mark.parametrize("seed", range(4))
    def test_inside_sections(self, seed: int) -> None:
        """Changes that leave the sections' frame alone go deeper: in each one, random bytes are changed."""
        draw = random.Random(seed)
        data = originals()[0]
        sections = [s for s in Module(data).sections if s.size]
        answers = 0
        for _ in range(200):
            changed = bytearray(data)
            section = draw.choice(sections)
            for _ in range(draw.randint(1, 4)):
                changed[draw.randrange(section.offset, section.end)] = draw.randrange(256)
            answers += read_everything(bytes(changed))

        # Most readers do not depend on the section that was changed.
        assert answers > 200 * 15


class TestComponents:
    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(mutations)
    def test_mutated(self, changes: list[tuple[str, float, int]]) -> None:
        """A component with modules in it, changed anywhere, is read or refused."""
        header = b"\0asm\x0d\0\1\0"
        inner = header + encode_section(1, originals()[0]) + encode_section(4, header)
        data = mutate(header + encode_section(1, originals()[0]) + encode_section(4, inner), changes)
        try:
            found = Component(data)
            found.name()
            modules = found.modules()
        except ModuleFormatError as error:
            check(error, data)
            return
        for inside in modules:
            assert 0 <= inside.offset <= inside.module.end <= len(data)
            for read in readers(inside.module):
                try:
                    read()
                except ModuleFormatError as error:
                    check(error, data)


class TestRewriting:
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.integers(0, len(GUESTS)), st.data())
    def test_custom_sections(self, which: int, draw: st.DataObject) -> None:
        """Whatever custom sections go, change and come, the rest keeps every byte, and the map is right."""
        data = originals()[which]
        old = Module(data)
        custom = [s for s in old.sections if s.id == 0]
        picked = st.lists(st.sampled_from(custom), unique=True) if custom else st.just([])
        drop: list[Section] = draw.draw(picked)
        replace: dict[Section, bytes] = {
            s: draw.draw(st.binary(max_size=300)) for s in draw.draw(picked) if s not in drop
        }
        append = draw.draw(st.lists(st.tuples(st.text(max_size=10), st.binary(max_size=200)), max_size=3))

        done = rewrite(old, drop=drop, replace=replace, append=append)

        new = Module(done.data)
        expected = [(s.id, s.name, replace.get(s, old.contents(s))) for s in old.sections if s not in drop]
        expected += [(0, name, contents) for name, contents in append]
        assert [(s.id, s.name, new.contents(s)) for s in new.sections] == expected
        for at in range(0, len(data), 7):
            to = done.offsets.to_new(at)
            section = next((s for s in old.sections if s.offset <= at < s.end), None)
            if section in drop or section in replace:
                assert to is None
            elif section:
                assert to is not None
                assert (done.data[to], done.offsets.to_old(to)) == (data[at], at)

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(st.integers(0, len(GUESTS)), st.data())
    def test_names(self, which: int, draw: st.DataObject) -> None:
        """Names that are set are read back, all others are what they were, and the code does not change."""
        old = Module(originals()[which])
        wanted = draw.draw(st.dictionaries(st.integers(0, 50), st.none() | st.text(max_size=20), max_size=5))

        new = Module(rewrite(old, names={"functions": wanted}).data)

        before = dict(old.names().functions)
        assert dict(new.names().functions) == {i: n for i, n in (before | wanted).items() if n is not None}
        assert dict(new.names().globals) == dict(old.names().globals)
        assert new.code is not None
        assert old.code is not None
        assert new.contents(new.code) == old.contents(old.code)
