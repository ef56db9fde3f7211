from __future__ import annotations

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wasm.encoding import HEADER, leb, module, name, section, vector
from wasmscope.errors import ModuleFormatError
from wasmscope.wasm import Address, AddressKind, Body, Module

NOTHING = b"\0\x0b"
ONE_IMPORT = section(2, vector(name("a") + name("f") + b"\0\0", name("a") + name("m") + b"\x02\0\1"))

TRAPPING = """
(module
  (import "a" "f" (func $imported))
  (import "a" "m" (memory 1))
  (func (export "bare") unreachable)
  (func (export "with locals") (local i32 i64 f64) nop nop unreachable)
  (func $silent (result i32) i32.const 5)
  (func (export "long") %s unreachable))
"""


class TestPlaces:
    def test_by_hand(self) -> None:
        """A body begins after its size; its function's index counts imported functions, and nothing else imported."""
        data = module(ONE_IMPORT, section(10, vector(leb(2, 5) + NOTHING, leb(3) + b"\0\1\x0b")))
        code = len(HEADER) + len(ONE_IMPORT) + 2

        found = Module(data).bodies

        assert list(found) == [Body(1, code + 6, 2), Body(2, code + 9, 3)]
        assert (list(found.starts), list(found.ends)) == ([code + 6, code + 9], [code + 8, code + 12])
        assert (found[1], found[-1], len(found)) == (Body(2, code + 9, 3), Body(2, code + 9, 3), 2)
        assert [found.of_function(index) for index in (0, 1, 3)] == [None, Body(1, code + 6, 2), None]

    def test_none(self) -> None:
        """A module without a code section, such as a file for debug information alone, has no bodies."""
        found = Module(module(ONE_IMPORT))

        assert (found.code, list(found.bodies), found.bodies.find(8), found.imported_function_count) == (
            None,
            [],
            None,
            1,
        )

    @given(st.lists(st.integers(2, 300), max_size=8))
    def test_find(self, sizes: list[int]) -> None:
        """Each byte of a body is found in that body; the bytes of its size, and all others, in none."""
        data = module(section(10, vector(*(leb(size) + bytes(size) for size in sizes))))
        found = Module(data).bodies
        expected: dict[int, int] = {}
        at = len(data)
        for index in reversed(range(len(sizes))):
            expected |= dict.fromkeys(range(at - sizes[index], at), index)
            at -= sizes[index] + len(leb(sizes[index]))

        for offset in range(-1, len(data) + 2):
            body = found.find(offset)
            assert (body.function_index if body else None) == found.function_at(offset) == expected.get(offset)

    @pytest.mark.parametrize("filler", ["", "nop " * 100, "nop " * 20_000])
    def test_as_wasmtime(self, filler: str) -> None:
        """Where wasmtime says a trap is, in the module and in the function, gives the same starts of bodies."""
        data = bytes(wasmtime.wat2wasm(TRAPPING % filler))
        engine = wasmtime.Engine()
        store = wasmtime.Store(engine)
        imported = wasmtime.Func(store, wasmtime.FuncType([], []), lambda: None)
        memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(1, None)))
        instance = wasmtime.Instance(store, wasmtime.Module(engine, data), [imported, memory])
        found = Module(data)

        for export in ("bare", "with locals", "long"):
            function = instance.exports(store)[export]
            assert isinstance(function, wasmtime.Func)
            with pytest.raises(wasmtime.Trap) as caught:
                function(store)
            frame = caught.value.frames[0]
            body = found.bodies.of_function(frame.func_index)
            assert body is not None
            assert frame.module_offset - frame.func_offset == body.offset
            assert found.bodies.find(frame.module_offset) == body
            place = Address(AddressKind.FILE, frame.module_offset)
            assert found.to_function(place) == Address(AddressKind.FUNC, frame.func_offset, frame.func_index)


class TestBroken:
    @pytest.mark.parametrize(
        ("contents", "words", "offset"),
        [
            pytest.param(leb(2**32 - 1) + b"\x02\0\x0b", "4,294,967,295 entries", 0, id="count"),
            pytest.param(b"\2\2\0\x0b", "2 entries are announced and 3 bytes", 0, id="no room"),
            pytest.param(b"\2\2\0\x0b\7\0\x0b\0", "body 1 of 2 goes on after", 4, id="too long"),
            pytest.param(b"\1\2\0\x0b\0", "1 bytes are left after the last", 4, id="left over"),
            pytest.param(b"\1\1\x0b\0", "a body of 1 bytes", 1, id="too short"),
            pytest.param(b"\1\x80\x80\x80\x80\x80\0", "32 bits", 1, id="size"),
            pytest.param(b"\1\x82\x80\x80\x80", "middle of a body's size", 5, id="cut off in a size"),
        ],
    )
    @pytest.mark.parametrize("tail", [b"", section(0, name("x") + bytes(20))])
    def test_refused(self, contents: bytes, words: str, offset: int, tail: bytes) -> None:
        """Bodies that do not fill the code section are refused with the place, whatever follows the section."""
        found = Module(module(section(10, contents)) + tail)
        if tail and words.startswith("middle"):
            words = "goes on after"
            offset = 1

        with pytest.raises(ModuleFormatError, match=words) as caught:
            _ = found.bodies
        assert caught.value.offset == len(HEADER) + 2 + offset


class TestAddresses:
    DATA = module(ONE_IMPORT, section(10, vector(leb(2, 5) + NOTHING, leb(3) + b"\0\1\x0b")), section(0, name("x")))
    CODE = len(HEADER) + len(ONE_IMPORT) + 2

    @pytest.mark.parametrize(
        ("code", "function"),
        [(0, None), (5, None), (6, (1, 0)), (7, (1, 1)), (8, None), (9, (2, 0)), (11, (2, 2))],
    )
    def test_three_ways(self, code: int, function: tuple[int, int] | None) -> None:
        """The same byte has an address of each kind, and each is converted into all; some bytes are in no body."""
        found = Module(self.DATA)
        same = [Address(AddressKind.FILE, self.CODE + code), Address(AddressKind.CODE, code)]
        if function:
            same.append(Address(AddressKind.FUNC, function[1], function[0]))

        for address in same:
            assert found.to_file(address) == self.CODE + code
            assert found.to_code(address) == code
            assert found.to_function(address) == (same[2] if function else None)
            assert found.function_of(address) == (function[0] if function else None)

    @pytest.mark.parametrize(
        "address",
        [
            Address(AddressKind.FILE, 0),
            Address(AddressKind.FILE, CODE - 1),
            Address(AddressKind.FILE, CODE + 12),
            Address(AddressKind.FILE, -1),
            Address(AddressKind.FILE, 2**70),
            Address(AddressKind.CODE, 12),
            Address(AddressKind.CODE, -1),
            Address(AddressKind.FUNC, 0),
            Address(AddressKind.FUNC, 0, 0),
            Address(AddressKind.FUNC, 0, 3),
            Address(AddressKind.FUNC, 2, 1),
            Address(AddressKind.FUNC, -1, 2),
            Address(AddressKind.FUNC, 0, -1),
        ],
    )
    def test_nowhere(self, address: Address) -> None:
        """What is outside the code section, or outside a function's body, or in an imported function, is nowhere."""
        found = Module(self.DATA)

        assert [found.to_file(address), found.to_code(address), found.function_of(address)] == [None, None, None]

    def test_without_code(self) -> None:
        """Where there is no code section, a code address is taken as it is, and no other has a meaning."""
        found = Module(module(ONE_IMPORT))

        assert found.to_code(Address(AddressKind.CODE, 500)) == 500
        assert found.to_file(Address(AddressKind.CODE, 500)) is None
        assert found.to_code(Address(AddressKind.FILE, 500)) is None
        assert found.to_code(Address(AddressKind.FUNC, 0, 1)) is None
        assert found.function_of(Address(AddressKind.CODE, 500, 7)) is None
