from __future__ import annotations

import time

import pytest
import wasmtime

from tests.unit.wasm.encoding import leb, module, section
from wasmscope.errors import ModuleFormatError
from wasmscope.wasm import Address, AddressKind, Component, Module

HEADER = b"\0asm\x0d\0\1\0"

NESTED = """
(component $outer
  (core module $a (func (export "f") unreachable))
  (component $first
    (core module $b (func nop))
    (component (core module $c)))
  (component)
  (component (core module $d))
  (core module $e (func) (func nop nop)))
"""


def nested(depth: int, contents: bytes = b"") -> bytes:
    """A component in a component, and so on."""
    data = HEADER + contents
    for _ in range(depth):
        data = HEADER + section(4, data)
    return data


class TestModules:
    def test_paths(self) -> None:
        """Core modules are found wherever they are, in the file's order, each with its path and its place."""
        data = bytes(wasmtime.wat2wasm(NESTED))
        found = Component(data)

        assert found.name() == "outer"
        assert [(m.path, m.module.name()) for m in found.modules()] == [
            ((0,), "a"),
            ((0, 0), "b"),
            ((0, 0, 0), "c"),
            ((2, 0), "d"),
            ((1,), "e"),
        ]
        for m in found.modules():
            assert data[m.offset : m.offset + 8] == b"\0asm\1\0\0\0"
            assert found.find(m.offset) == found.find(m.offset + m.size - 1) == m
            # The part of the file is a module of its own, with the same contents at other places.
            alone = Module(data[m.offset : m.offset + m.size])
            assert [alone.contents(s) for s in alone.sections] == [m.module.contents(s) for s in m.module.sections]
        assert found.find(8) is None
        assert found.find(len(data)) is None

    def test_places_are_the_files(self) -> None:
        """Offsets in a nested module are those of the component's file."""
        data = bytes(wasmtime.wat2wasm(NESTED))
        last = Component(data).modules()[-1].module
        body = last.bodies[1]

        assert data[body.offset : body.end] == b"\0\1\1\x0b"
        assert last.to_function(Address(AddressKind.FILE, body.offset + 1)) == Address(AddressKind.FUNC, 1, 1)
        assert last.code is not None
        assert last.to_file(Address(AddressKind.CODE, 0)) == last.code.offset == data.rindex(b"\2\2\0\x0b\4\0\1\1\x0b")

    def test_as_wasmtime(self) -> None:
        """wasmtime says where in a component's file a trap is: in the body of that function, in that core module."""
        data = bytes(
            wasmtime.wat2wasm("""
            (component
              (core module (func) (func nop))
              (core module $m (func nop) (func (export "f") nop nop unreachable))
              (core instance $i (instantiate $m))
              (func (export "run") (canon lift (core func $i "f"))))
        """)
        )
        import wasmtime.component as components

        engine = wasmtime.Engine()
        store = wasmtime.Store(engine)
        instance = components.Linker(engine).instantiate(store, components.Component(engine, data))
        function = instance.get_func(store, "run")
        assert function is not None
        with pytest.raises(wasmtime.WasmtimeError) as caught:
            function(store)
        # "    0:   0x59 - <unknown>!<wasm function 1>"
        frame = next(line for line in str(caught.value).splitlines() if line.strip().startswith("0:"))
        offset = int(frame.split()[1], 16)

        found = Component(data).find(offset)

        assert found is not None
        assert found.path == (1,)
        assert found.module.to_function(Address(AddressKind.FILE, offset)) == Address(AddressKind.FUNC, 3, 1)

    def test_none(self) -> None:
        """A component may have no modules and no name."""
        found = Component(HEADER)

        assert (found.modules(), found.name(), found.sections) == ((), None, ())


class TestBroken:
    def test_a_module(self) -> None:
        """A module is no component."""
        with pytest.raises(ModuleFormatError, match="a WebAssembly module, not a WebAssembly component"):
            Component(module())

    def test_inside(self) -> None:
        """What is wrong inside is refused with its place in the file."""
        with pytest.raises(ModuleFormatError, match="number 99") as caught:
            Component(HEADER + section(1, module() + b"\x63\0")).modules()
        assert caught.value.offset == 18
        with pytest.raises(ModuleFormatError, match="an empty file") as caught:
            Component(HEADER + section(4, b"")).modules()
        assert caught.value.offset == 10

    def test_inner_beyond_outer(self) -> None:
        """A nested module cannot reach beyond the section that it is in."""
        with pytest.raises(ModuleFormatError, match="cut off"):
            Component(HEADER + section(1, module() + b"\x0a\x09") + section(0, bytes(20))).modules()

    @pytest.mark.parametrize(("depth", "accepted"), [(100, True), (101, False)])
    def test_depth(self, depth: int, accepted: bool) -> None:
        """Components are nested a hundred deep at most."""
        found = Component(nested(depth, section(1, module())))
        if accepted:
            assert found.modules()[0].path == (0,) * (depth + 1)
        else:
            with pytest.raises(ModuleFormatError, match="deeper than 100"):
                found.modules()

    def test_a_million_deep(self) -> None:
        """A million components inside each other are refused in no time; no stack is as deep."""
        depth = 1_000_000
        # From the inside out, each one has eight bytes, a number and the size of all that is in it.
        sizes: list[bytes] = []
        size = 8
        for _ in range(depth):
            sizes.append(leb(size))
            size += 9 + len(sizes[-1])
        data = b"".join(HEADER + b"\4" + s for s in reversed(sizes)) + HEADER
        started = time.process_time()

        with pytest.raises(ModuleFormatError, match="deeper than 100"):
            Component(data).modules()
        assert time.process_time() - started < 30

    def test_many(self) -> None:
        """A thousand modules and a thousand components are accepted, and no more."""
        assert len(Component(HEADER + section(1, module()) * 1000).modules()) == 1000
        with pytest.raises(ModuleFormatError, match="more than 1,000 modules"):
            Component(HEADER + section(1, module()) * 1001).modules()
        with pytest.raises(ModuleFormatError, match="more than 1,000 components"):
            Component(HEADER + section(4, HEADER) * 1001).modules()

    @pytest.mark.parametrize("contents", [b"\0\5\4a", b"\0\3\2\xff\xff", b"\1\x7f", b""])
    def test_name(self, contents: bytes) -> None:
        """A component's name that cannot be read is none."""
        data = HEADER + section(0, leb(14) + b"component-name" + contents)

        assert Component(data).name() is None
