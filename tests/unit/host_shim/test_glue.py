"""The glue, the readers and the trampolines, between a guest's memory and a stand-in for the collector.

The stand-in notes how it is called.
"""

from __future__ import annotations

import functools
import struct
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import collector_double as double
from tests.support.abi import functions
from wasmscope.host_shim._glue import FURTHER, NAMES, ROLL, TABLE, first_name, glue, reader, trampolines
from wasmscope.host_shim._weld import outline, weld

PAGE = 65_536
# The number of a guest that is not its store's first, and of one that is.
FIFTH = 5
FIRST = 0
# Name of each limit: where it is in the control block, what it is here.
LIMITS = {
    "body": (256, 64), "name": (264, 16), "message": (268, 24), "stack": (272, 40), "attributes": (280, 96),
    "descriptor": (324, 48),
}  # fmt: skip
# Which limit bounds each range of each function (docs/abi.md, "Limits").
RANGES = {
    "attribute_set": ["attributes"],
    "callsite": ["descriptor"],
    "exception": ["name", "message", "stack", "attributes"],
    "instrument": ["descriptor"],
    "log": ["body", "attributes"],
    "span_attributes": ["attributes"],
    "span_event": ["name", "attributes"],
    "span_link": ["attributes"],
    "span_rename": ["name"],
    "span_start": ["name", "attributes"],
    "span_status": ["name"],
}
IN_PYTHON = ["baggage_get", "inject", "remote_context"]
ASKS = {name: "target" for name in RANGES if name.startswith("span_") and name != "span_start"}
ASKS["exception"] = "exception_target"
PLAIN = ["enabled", "measure_f64", "measure_i64", "span_end", "span_enter", "span_exit"]
WIDTHS = [(False, "i32"), (True, "i64"), (False, "i64"), (True, "i32")]
# Addresses of 64 bits, the memory's, the guest's number.
GUESTS = [(memory64, memory, number) for memory64, memory in WIDTHS for number in (FIRST, FIFTH)]
Values = tuple[int | float, ...]


@functools.cache
def engine() -> wasmtime.Engine:
    return wasmtime.Engine()


@functools.cache
def module(kind: str, *args: Any) -> wasmtime.Module:
    if kind == "reader":
        return wasmtime.Module(engine(), reader(args[0], is_first=args[1]))
    if kind == "trampolines":
        return wasmtime.Module(engine(), trampolines(memory64=args[0]))
    wasm = double.double(traps=args[0])
    return wasmtime.Module(engine(), weld(wasm, bytes(wasmtime.wat2wasm(glue(outline(wasm))))))


@pytest.fixture(scope="module", autouse=True)
def _forgotten() -> Iterator[None]:
    yield
    rig_for.cache_clear()
    module.cache_clear()
    engine.cache_clear()


def signed(value: float, kind: str) -> int | float:
    """A number as wasmtime's API takes it."""
    if kind == "d":
        return value
    bits = 32 if kind == "i" else 64
    number = int(value) % (1 << bits)
    return number - (1 << bits) if number >> (bits - 1) else number


class Rig:
    """A guest's memory, its functions, and the stand-in."""

    def __init__(
        self,
        *,
        memory64: bool = False,
        memory: str | None = "i32",
        number: int = FIRST,
        pages: int = 1,
        traps: str = "",
        is_bound: bool = True,
        is_begun: bool = True,
    ) -> None:
        self.memory64 = memory64
        self.kind = memory
        self.number = number
        self.store = store = wasmtime.Store(engine())
        self.host_calls: list[tuple[int, int]] = []
        self.on_host: Callable[[int, int], int] = lambda _op, _guest: 0
        i32, i64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
        # What the store owns must not own the store.
        rig = weakref.ref(self)

        def host(op: int, guest: int) -> int:
            alive = rig()
            assert alive is not None
            alive.host_calls.append((op, guest))
            return alive.on_host(op, guest)

        self._host = wasmtime.Func(store, wasmtime.FuncType([i32, i32], [i64]), host)
        clock = wasmtime.Func(store, wasmtime.FuncType([i32, i64, i32], [i32]), lambda *_: 0)
        made = wasmtime.Instance(store, module("double", traps), [self._host, clock])
        self.collector = cast("Mapping[str, Any]", made.exports(store))
        for address, data in outline(double.double(traps=traps)).data:
            self.poke(address, data)
        self.functions = self._further() if number else self._own()
        self.guest: wasmtime.Memory | None = None
        if memory is not None:
            kind = wasmtime.MemoryType(wasmtime.Limits(pages, None), is_64=memory == "i64")
            self.guest = wasmtime.Memory(store, kind)
        for offset, limit in LIMITS.values():
            self.poke(double.CONTROL + offset, struct.pack("<I", limit))
        if is_begun:
            self.begin()
        if is_bound:
            self.bind()
        self.forget()

    def begin(self) -> None:
        assert self.collector["init"](self.store, 1, 2, 3, 4, 0, 0) == double.BLOCK
        assert self.collector["ready"](self.store, 0) == 1

    def _own(self) -> dict[str, Any]:
        return {name: self.collector[first_name(name, memory64=self.memory64)] for name in NAMES}

    def rolled(self, exports: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
        return dict(zip(names, exports[ROLL](self.store), strict=True))

    def _further(self) -> dict[str, Any]:
        for number in range(1, self.number + 1):
            assert self.collector["wasmscope_open"](self.store, number) == 1
        functions = self.rolled(self.collector, FURTHER)
        imports = [self._host, *(functions[name] for name in FURTHER)]
        made = wasmtime.Instance(self.store, module("trampolines", self.memory64), imports)
        exports = cast("Mapping[str, Any]", made.exports(self.store))
        exports["guest"].set_value(self.store, self.number)
        assert self.rolled(exports, NAMES).keys() == set(NAMES)
        return {name: exports[name] for name in NAMES}

    def bind(self) -> None:
        if self.guest is None:
            self.collector["wasmscope_close"](self.store, self.number)
            return
        imports: list[Any] = [self.guest, self.collector["memory"]]
        if not self.number:
            imports.append(self.collector[TABLE])
        made = wasmtime.Instance(self.store, module("reader", self.kind, not self.number), imports)
        if self.number:
            exports = cast("Mapping[str, Any]", made.exports(self.store))
            for index, name in enumerate(("fetch", "give")):
                self.collector[TABLE].set(self.store, 2 * self.number + index, exports[name])

    def poke(self, address: int, data: bytes) -> None:
        self.collector["memory"].write(self.store, data, address)

    def peek(self, address: int, size: int) -> bytes:
        return bytes(self.collector["memory"].read(self.store, address, address + size))

    def returns(self, name: str, value: int) -> None:
        """Have a function of the collector return something."""
        self.poke(double.RESULTS + 8 * double.NAMES.index(name), struct.pack("<q", signed(value, "l")))

    def fill(self, address: int, data: bytes) -> None:
        assert self.guest is not None
        self.guest.write(self.store, data, address)

    def call(self, name: str, *args: float) -> Any:
        params, result = functions()[name]
        wide = "l" if self.memory64 else "i"
        values = [signed(arg, wide if kind == "p" else kind) for arg, kind in zip(args, params, strict=True)]
        answer = self.functions[name](self.store, *values)
        assert (answer is None) == (not result)
        return answer

    def forget(self) -> None:
        self._noted = self._count()

    def _count(self) -> int:
        at = double.CALLS
        while self.peek(at + 12, 4) == b"\1\0\0\0":
            at += double.ENTRY
        return at

    def calls(self) -> list[tuple[str, Values]]:
        """What the collector was called for since `forget`: names and arguments, i32 unsigned, i64 signed."""
        found: list[tuple[str, Values]] = []
        for at in range(self._noted, self._count(), double.ENTRY):
            name = double.NAMES[struct.unpack("<I", self.peek(at, 4))[0]]
            params = double.FUNCTIONS[name][0]
            words = {"i": "q", "l": "q", "d": "d"}
            found.append(
                (name, struct.unpack("<" + "".join(words[p] for p in params), self.peek(at + 16, 8 * len(params))))
            )
        return found

    def scratch(self, size: int) -> bytes:
        return self.peek(double.SCRATCH, size)


def arguments(name: str, ranges: list[tuple[int, int]]) -> list[int | float]:
    """Arguments for a function that differ from each other, with the ranges given."""
    numbers: list[int | float] = []
    rest = list(ranges)
    params = functions()[name][0]
    at = 0
    while at < len(params):
        if params[at : at + 2] == "pp" and rest:
            numbers.extend(rest.pop(0))
            at += 2
        else:
            numbers.append({"i": 101, "l": -(2**40), "d": 0.5, "p": 32}[params[at]] + at)
            at += 1
    return numbers


def passed(name: str, args: list[int | float], lengths: list[int], number: int = FIRST) -> Values:
    """What the collector is to get: the guest's number, and one length for each range."""
    out: list[int | float] = [number]
    rest = list(lengths)
    params = functions()[name][0]
    at = 0
    while at < len(params):
        if params[at] == "p":
            out.append(rest.pop(0))
            at += 2
        else:
            out.append(args[at])
            at += 1
    return tuple(out)


def last(rig: Rig) -> tuple[str, Values]:
    return rig.calls()[-1]


class TestArguments:
    @pytest.mark.parametrize(("memory64", "memory", "number"), GUESTS)
    def test_plain(self, memory64: bool, memory: str, number: int) -> None:
        """Functions without ranges pass on the guest's number and exactly what they were given."""
        rig = Rig(memory64=memory64, memory=memory, number=number)
        for name in PLAIN:
            args = arguments(name, [])
            rig.call(name, *args)
            assert last(rig) == (name, (number, *args))

    @pytest.mark.parametrize(("memory64", "memory", "number"), [*GUESTS, (False, None, FIRST), (True, None, FIFTH)])
    @pytest.mark.parametrize("name", RANGES)
    def test_ranges(self, name: str, memory64: bool, memory: str | None, number: int) -> None:
        """What ranges hold lies in the scratch area one behind the other, and lengths stand in their places."""
        rig = Rig(memory64=memory64, memory=memory, number=number)
        if name in ASKS:
            rig.returns(ASKS[name], 1)
        rig.returns("span_prepare", -1)
        places: list[tuple[int, int]] = []
        expected = b""
        for index, what in enumerate(RANGES[name]):
            data = bytes(range(60 + 10 * index, 70 + index + 10 * index))
            assert len(data) <= LIMITS[what][1]
            places.append((1_000 * (index + 1), len(data)))
            if memory is not None:
                rig.fill(places[-1][0], data)
                expected += data
        args = arguments(name, places)
        rig.call(name, *args)
        lengths = [size if memory is not None else -1 for _, size in places]
        assert last(rig) == (name, passed(name, args, lengths, number))
        assert rig.scratch(len(expected) + 1) == expected + b"\0"

    @pytest.mark.parametrize("name", [n for n, (_, result) in double.FUNCTIONS.items() if result and n in functions()])
    def test_result(self, name: str) -> None:
        """What the collector returns is what the guest gets."""
        rig = Rig()
        rig.returns("span_prepare", -1)
        rig.returns(name, 0x1_2345_6789)
        result = functions()[name][1]
        answer = rig.call(name, *arguments(name, [(0, 1)] * 4))
        assert answer == (0x1_2345_6789 if result == "l" else 0x2345_6789 if name != "span_context" else 1)

    @pytest.mark.parametrize("number", [FIRST, FIFTH])
    def test_version(self, number: int) -> None:
        """The version of the ABI is 1.0, and nobody is asked."""
        rig = Rig(number=number)
        assert rig.call("abi_version") == 0x0001_0000
        assert rig.calls() == []

    @pytest.mark.parametrize("number", [FIRST, FIFTH])
    def test_flush(self, number: int) -> None:
        """`flush` asks the host for it (op 4), with the guest's number."""
        rig = Rig(number=number)
        rig.call("flush")
        assert rig.host_calls == [(4, number)]


class TestPreparedSpans:
    @pytest.mark.parametrize("answer", [0, 1 << 40, 7])
    def test_complete(self, answer: int) -> None:
        """A span that the collector has done with is not copied for, and its handle is returned."""
        rig = Rig()
        rig.returns("span_prepare", answer)
        rig.fill(0, b"name")
        assert rig.call("span_start", 3, 0, 4, -1, 2, 0, 0) == answer
        assert rig.calls() == [("span_prepare", (FIRST, 3, -1, 2))]
        assert rig.scratch(4) == bytes(4)


class TestTargets:
    @pytest.mark.parametrize("name", ASKS)
    @pytest.mark.parametrize(("memory64", "memory", "number"), GUESTS)
    def test_nothing(self, name: str, memory64: bool, memory: str, number: int) -> None:
        """Where there is nothing to do, nothing is copied and nobody else called."""
        rig = Rig(memory64=memory64, memory=memory, number=number)
        rig.fill(0, b"text")
        args = arguments(name, [(0, 4)] * 4)
        rig.call(name, *args)
        assert rig.calls() == [(ASKS[name], (number, args[0]))]
        assert rig.scratch(4) == bytes(4)
        assert rig.host_calls == []

    @pytest.mark.parametrize("name", ASKS)
    @pytest.mark.parametrize(("memory64", "memory", "number"), GUESTS)
    def test_the_hosts_span(self, name: str, memory64: bool, memory: str, number: int) -> None:
        """Where it is the host's span, Python gets all arguments as they were."""
        rig = Rig(memory64=memory64, memory=memory, number=number)
        rig.returns(ASKS[name], 2)
        top = 2**64 if memory64 else 2**32
        args = arguments(name, [(top - 7, top - 1), (1, 2), (top - 3, 4), (5, top - 6)])
        rig.call(name, *args)
        assert [call for call, _ in rig.calls()] == [ASKS[name]]
        assert rig.host_calls == [(200 + sorted(functions()).index(name), number)]
        noted = struct.unpack(f"<{len(args)}Q", rig.peek(double.ARGS, 8 * len(args)))
        assert noted == tuple(int(arg) % 2**64 for arg in args)


class TestServedByPython:
    @pytest.mark.parametrize("name", IN_PYTHON)
    @pytest.mark.parametrize("memory", ["i32", None])
    @pytest.mark.parametrize("number", [FIRST, FIFTH])
    def test_arguments(self, name: str, memory: str | None, number: int) -> None:
        """Python gets all arguments as they were, and its result is the guest's."""
        rig = Rig(memory=memory, number=number)
        result = functions()[name][1]
        rig.on_host = lambda _op, _guest: 2**40 + 77
        args = arguments(name, [(2**32 - 1, 2**31), (3, 0)])
        assert rig.call(name, *args) == (2**40 + 77 if result == "l" else 77)
        assert rig.calls() == []
        assert rig.host_calls == [(200 + sorted(functions()).index(name), number)]
        noted = struct.unpack(f"<{len(args)}Q", rig.peek(double.ARGS, 8 * len(args)))
        assert noted == tuple(int(arg) % 2**64 for arg in args)

    def test_negative(self) -> None:
        """A result of -1 stays one."""
        rig = Rig()
        rig.on_host = lambda _op, _guest: -1
        assert rig.call("baggage_get", 0, 0, 0, 0) == -1


def modelled(
    places: list[tuple[int, int]], limits: list[str], memory: bytes, capacity: int, room: int
) -> tuple[list[int], bytes]:
    """What the interface says: lengths, and bytes in the scratch area."""
    lengths: list[int] = []
    copies: list[bytes] = []
    for (address, size), what in zip(places, limits, strict=True):
        limit = LIMITS[what][1]
        must_be_whole = what in {"attributes", "descriptor"}
        if must_be_whole and size > limit:
            # Not looked at, wherever it is.
            lengths.append(min(size, 2**63 - 1))
        elif size and address + size > len(memory):
            lengths.append(-1)
        else:
            lengths.append(size)
            copies.append(memory[address : address + min(size, limit + 1)])
    data = b"".join(copies)
    if len(data) > max(capacity, room):
        return [-2] * len(lengths), b""
    return lengths, data


class TestRanges:
    @pytest.mark.parametrize("what", LIMITS)
    def test_at_the_limit(self, what: str) -> None:
        """Of a text one byte beyond its limit is copied, of what must be whole nothing beyond it."""
        name = next(name for name, kinds in RANGES.items() if what in kinds)
        limit = LIMITS[what][1]
        for size in (limit, limit + 1, limit + 2, 10 * limit):
            rig = Rig()
            rig.returns(ASKS.get(name, "span_prepare"), 1)
            data = (bytes(range(1, 251)) * 8)[:size]
            rig.fill(PAGE - size, data)
            places = [(0, 0)] * len(RANGES[name])
            places[RANGES[name].index(what)] = (PAGE - size, size)
            args = arguments(name, places)
            rig.call(name, *args)
            assert last(rig) == (name, passed(name, args, [n for _, n in places]))
            copied = min(size, limit + 1) if what not in {"attributes", "descriptor"} else size * (size <= limit)
            assert rig.scratch(size + 1) == data[:copied] + bytes(size + 1 - copied)

    @pytest.mark.parametrize(("memory64", "memory", "number"), GUESTS)
    def test_bounds(self, memory64: bool, memory: str, number: int) -> None:
        """A range is there if all of it is, and an empty one wherever it is; at both ends of both widths, too."""
        top = 2**64 if memory64 else 2**32
        rig = Rig(memory64=memory64, memory=memory, number=number)
        cases = {
            (0, PAGE): PAGE, (0, PAGE + 1): -1, (PAGE - 1, 1): 1, (PAGE, 1): -1, (PAGE - 1, 2): -1, (1, PAGE): -1,
            (PAGE, 0): 0, (top - 1, 0): 0, (top - 1, 1): -1, (top - 1, 2): -1, (top - 1, top - 1): -1,
            (0, top - 1): -1, (1, top - 1): -1, (2, top - 2): -1, (top // 2, top // 2): -1, (PAGE, top - PAGE): -1,
            (PAGE - 1, top - PAGE + 1): -1, (PAGE - 1, top - PAGE + 2): -1, (top - PAGE, PAGE): -1,
        }  # fmt: skip
        for place, length in cases.items():
            rig.forget()
            rig.call("log", 1, 2, 3, *place, 0, 0)
            assert rig.calls() == [("log", (number, 1, 2, 3, length, 0))], place
            # What must be whole is not looked at beyond its limit: there is none now.
            for offset in (280, 324):
                rig.poke(double.CONTROL + offset, b"\xff\xff\xff\xff")
            if place[1] >= 2**32 - 1:
                length = min(place[1], 2**63 - 1) if place[1] >= 2**32 else length
            for name in ("callsite", "attribute_set"):
                rig.forget()
                rig.call(name, *place)
                assert last(rig) == (name, (number, length)), place

    def test_no_pages(self) -> None:
        """A memory of no size has nothing in it."""
        rig = Rig(pages=0)
        rig.call("log", 1, 2, 3, 0, 0, 0, 1)
        assert rig.calls() == [("log", (FIRST, 1, 2, 3, 0, -1))]

    @pytest.mark.parametrize("memory", ["i32", "i64"])
    def test_growth(self, memory: str) -> None:
        """What a memory has grown by since is there."""
        rig = Rig(memory64=memory == "i64", memory=memory)
        rig.call("callsite", PAGE - 1, 3)
        assert rig.guest is not None
        rig.guest.grow(rig.store, 1)
        rig.fill(PAGE - 1, b"abc")
        rig.call("callsite", PAGE - 1, 3)
        assert rig.calls() == [("callsite", (FIRST, -1)), ("callsite", (FIRST, 3))]
        assert rig.scratch(4) == b"abc\0"

    def test_big_limits(self) -> None:
        """Limits as large as can be make no sum wrap: what is too much for the scratch area is refused."""
        for widths in (False, "i32"), (True, "i64"):
            rig = Rig(memory64=widths[0], memory=widths[1], pages=40)
            for offset, _ in LIMITS.values():
                rig.poke(double.CONTROL + offset, b"\xff\xff\xff\xff")
            rig.returns("exception_target", 1)
            size = 40 * PAGE
            rig.call("exception", 0, *[0, size] * 4)
            assert rig.calls()[-2:] == [("reserve", (4 * size,)), ("exception", (FIRST, 0, -2, -2, -2, -2))]

    @pytest.mark.parametrize("size", [double.SCRATCH_BYTES, double.SCRATCH_BYTES + 1, double.ROOM, double.ROOM + 1])
    def test_room(self, size: int) -> None:
        """More than the scratch area holds needs room first; where there is none, all lengths say so."""
        rig = Rig(pages=3)
        rig.poke(double.CONTROL + 256, struct.pack("<I", 2 * double.ROOM))
        data = bytes(index % 251 for index in range(size - 3))
        rig.fill(7, data)
        rig.call("log", 1, 2, 3, 7, size - 3, 1, 3)
        asked = [] if size <= double.SCRATCH_BYTES else [("reserve", (size,))]
        if size <= double.ROOM:
            assert rig.calls() == [*asked, ("log", (FIRST, 1, 2, 3, size - 3, 3))]
            assert rig.scratch(size) == data + bytes([0, 0, 0])
        else:
            assert rig.calls() == [*asked, ("log", (FIRST, 1, 2, 3, -2, -2))]

    @settings(max_examples=300, deadline=None)
    @given(data=st.data())
    def test_any(self, data: st.DataObject) -> None:
        """Whatever the ranges are, the collector gets what the interface says, and nothing traps."""
        memory64, memory, number = data.draw(st.sampled_from(GUESTS))
        name = data.draw(st.sampled_from(sorted(RANGES)))
        top = 2**64 if memory64 else 2**32
        edge = st.sampled_from([0, 1, PAGE - 1, PAGE, PAGE + 1, top // 2, top - 1, top - PAGE, top - PAGE - 1])
        numbers = edge | st.integers(0, 200) | st.integers(PAGE - 200, PAGE + 200) | st.integers(0, top - 1)
        places = [data.draw(st.tuples(numbers, numbers)) for _ in RANGES[name]]
        rig = rig_for(memory64, memory, number)
        rig.forget()
        capacity = data.draw(st.sampled_from([8, 64, double.SCRATCH_BYTES]))
        rig.poke(double.CONTROL + 180, struct.pack("<I", capacity))
        rig.poke(double.SCRATCH, bytes(2_048))
        rig.returns("span_prepare", -1)
        for asked in set(ASKS.values()):
            rig.returns(asked, 1)
        args = arguments(name, places)
        rig.call(name, *args)
        lengths, copied = modelled(places, RANGES[name], BYTES, capacity, double.ROOM)
        assert last(rig) == (name, passed(name, args, lengths, number))
        assert rig.scratch(2_048) == copied.ljust(2_048, b"\0")


BYTES = bytes(index * 7 % 255 + 1 for index in range(PAGE))


@functools.cache
def rig_for(memory64: bool, memory: str, number: int) -> Rig:
    rig = Rig(memory64=memory64, memory=memory, number=number)
    rig.fill(0, BYTES)
    return rig


class TestContext:
    BYTES = bytes(range(1, 33))

    def rig(self, **options: Any) -> Rig:
        rig = Rig(**options)
        rig.returns("span_context", 1)
        rig.poke(double.SCRATCH, self.BYTES)
        return rig

    @pytest.mark.parametrize(("memory64", "memory", "number"), GUESTS)
    @pytest.mark.parametrize("address", [0, 3, PAGE - 32])
    def test_written(self, memory64: bool, memory: str, number: int, address: int) -> None:
        """The collector's 32 bytes go where the guest wants them, and nowhere else."""
        rig = self.rig(memory64=memory64, memory=memory, number=number)
        rig.fill(0, b"\xee" * PAGE)
        assert rig.call("span_context", -1, address) == 1
        assert rig.guest is not None
        memory_bytes = bytes(rig.guest.read(rig.store, 0, PAGE))
        assert memory_bytes == (b"\xee" * address + self.BYTES).ljust(PAGE, b"\xee")
        assert rig.calls() == [("span_context", (number, -1))]

    @pytest.mark.parametrize("memory64", [False, True])
    def test_out_of_bounds(self, memory64: bool) -> None:
        """Where they do not fit it is counted (reason 2), and nothing is written."""
        top = 2**64 if memory64 else 2**32
        for address in (PAGE - 31, PAGE, top - 1, top - 31, top - 32, top - 33, top // 2):
            rig = self.rig(memory64=memory64, memory="i64" if memory64 else "i32")
            assert rig.call("span_context", 0, address) == 0
            assert last(rig) == ("reject", (FIRST, 2)), address
            assert rig.guest is not None
            assert not any(rig.guest.read(rig.store, 0, PAGE))

    def test_no_memory(self) -> None:
        """A guest without memory has nowhere for them (reason 1)."""
        rig = self.rig(memory=None)
        assert rig.call("span_context", 0, 0) == 0
        assert last(rig) == ("reject", (FIRST, 1))

    def test_none(self) -> None:
        """Where there is no context, nothing is written, wherever that would be."""
        rig = Rig()
        assert rig.call("span_context", 0, PAGE) == 0
        assert rig.calls() == [("span_context", (FIRST, 0))]


class TestTraps:
    @pytest.mark.parametrize("name", [*PLAIN, *RANGES, "span_context"])
    def test_recovery(self, name: str) -> None:
        """After a trap inside the collector its stack is reset and it recovers, before anything else is done."""
        rig = Rig(traps="measure_i64")
        with pytest.raises(wasmtime.Trap):
            rig.call("measure_i64", 1, 2, 3)
        pointer = rig.collector["__stack_pointer"]
        assert pointer.value(rig.store) == 16
        rig.forget()
        if name == "measure_i64":
            name = "measure_f64"
        rig.returns("span_prepare", -1)
        rig.call(name, *arguments(name, [(0, 0)] * 4))
        assert rig.calls()[0] == ("recover", ())
        assert rig.calls()[1][0] in {name, "span_prepare", ASKS.get(name, "")}
        assert pointer.value(rig.store) == double.STACK_POINTER
        rig.forget()
        rig.call("enabled", 1)
        assert rig.calls() == [("enabled", (FIRST, 1))]

    def test_waiting(self) -> None:
        """While the collector waits for the host its stack is in use: a call is passed on as it is."""
        rig = Rig()
        rig.poke(double.CONTROL, struct.pack("<II", 0, 1))
        pointer = rig.collector["__stack_pointer"]
        pointer.set_value(rig.store, 4_000)
        rig.call("span_end", 9)
        assert rig.calls() == [("span_end", (FIRST, 9))]
        assert pointer.value(rig.store) == 4_000


def call_both(rig: Rig, ready: Rig, name: str, args: list[int | float]) -> None:
    """Call a function of two guests, and see that the collector is called alike."""
    for r in (rig, ready):
        r.returns("span_prepare", -1)
        r.returns("span_context", 1)
        for asked in set(ASKS.values()):
            r.returns(asked, 1)
        r.call(name, *args)
    assert rig.calls() == ready.calls()


class TestBegin:
    @pytest.mark.parametrize("name", sorted(functions()))
    @pytest.mark.parametrize(("memory64", "memory", "number"), GUESTS)
    def test_first_call(self, name: str, memory64: bool, memory: str, number: int) -> None:
        """A first call has the host begin (op 5), but for those that concern no collector, and is served in full."""
        rig = Rig(memory64=memory64, memory=memory, number=number, is_begun=False)
        begun = Rig(memory64=memory64, memory=memory, number=number)
        idle = weakref.proxy(rig)

        def begin(op: int, _guest: int) -> int:
            if op == double.START:
                idle.begin()
                idle.forget()
            return 0

        rig.on_host = begin
        args = arguments(name, [(5, 2)] * 4)
        call_both(rig, begun, name, args)
        asks = [] if name in {"abi_version", "flush"} else [(double.START, 0)]
        assert rig.host_calls == [*asks, *begun.host_calls]

    @pytest.mark.parametrize("name", sorted(set(functions()) - {"abi_version", "flush"}))
    def test_not_begun(self, name: str) -> None:
        """Where the host cannot begin, nothing is done and the answer is 0; the next call asks again."""
        rig = Rig(is_begun=False)
        for count in (1, 2):
            assert not rig.call(name, *arguments(name, [(5, 2)] * 4))
            assert rig.calls() == []
            assert rig.host_calls == [(double.START, 0)] * count


READING = [*RANGES, "span_context"]


class TestBinding:
    @pytest.mark.parametrize("name", sorted(functions()))
    @pytest.mark.parametrize(("memory64", "memory", "number"), GUESTS)
    def test_first_call(self, name: str, memory64: bool, memory: str, number: int) -> None:
        """A first call that needs the memory asks the host (op 100) and is served in full; the next asks nothing."""
        rig = Rig(memory64=memory64, memory=memory, number=number, is_bound=False)
        bound = Rig(memory64=memory64, memory=memory, number=number)
        unbound = weakref.proxy(rig)

        def bind(op: int, _guest: int) -> int:
            if op == 100:
                unbound.bind()
                return 1
            return 0

        rig.on_host = bind
        args = arguments(name, [(5, 2)] * 4)
        call_both(rig, bound, name, args)
        asks = [(100, number)] if name in READING else []
        assert rig.host_calls == [*asks, *bound.host_calls]
        rig.host_calls.clear()
        rig.call(name, *args)
        assert rig.host_calls == bound.host_calls

    @pytest.mark.parametrize("name", READING)
    @pytest.mark.parametrize("number", [FIRST, FIFTH])
    def test_refused(self, name: str, number: int) -> None:
        """Where the host cannot give it, nothing of it is there; the next call asks again."""
        rig = Rig(is_bound=False, number=number)
        rig.returns("span_prepare", -1)
        rig.returns("span_context", 1)
        for asked in set(ASKS.values()):
            rig.returns(asked, 1)
        args = arguments(name, [(5, 2), *[(0, 0)] * 3])
        for count in (1, 2):
            rig.call(name, *args)
            assert rig.host_calls == [(100, number)] * count
            lengths = [-1, 0, 0, 0]
            expected = (
                ("reject", (number, 2)) if name == "span_context" else (name, passed(name, args, lengths, number))
            )
            assert last(rig) == expected

    def test_open(self) -> None:
        """There are places for any number of guests, as long as the table may grow."""
        rig = Rig()
        for number in range(1, 100):
            assert rig.collector["wasmscope_open"](rig.store, number) == 1
        assert rig.collector[TABLE].size(rig.store) == 200
        rig.store.set_limits(table_elements=201)
        assert rig.collector["wasmscope_open"](rig.store, 100) == 0
        assert rig.collector["wasmscope_open"](rig.store, 99) == 1


class TestWeld:
    def test_setup(self) -> None:
        """The functions for the setup do what they are said to do."""
        rig = Rig()
        found = rig.collector
        before = found["wasmscope_guest"](rig.store, 1, 9)[0]
        assert found["wasmscope_guest"](rig.store, 1, 9) == [before + 1, double.BLOCK]
        assert rig.calls()[-2:] == [("guest", (1, 9)), ("guest_address", (before + 1,))]
        found["recover"](rig.store)
        assert last(rig) == ("recover", ())
        assert found["wasmscope_open"](rig.store, 1) == 1

    def test_outline(self) -> None:
        """Constants and data of a module are found where they are, and its functions stay as they were."""
        found = outline(double.double())
        assert found.constants["control"] == double.CONTROL
        assert found.constants["args"] == double.ARGS
        assert found.constants["__stack_pointer"] == double.STACK_POINTER
        assert "guest" not in found.constants
        scratch = struct.pack("<II", double.SCRATCH, double.SCRATCH_BYTES)
        assert found.data == ((double.CONTROL + 176, scratch),)
        rig = Rig()
        for name, (params, result) in double.FUNCTIONS.items():
            kind = rig.collector[name].type(rig.store)
            letters = {"i32": "i", "i64": "l", "f64": "d"}
            assert "".join(letters[str(item)] for item in kind.params) == params
            assert "".join(letters[str(item)] for item in kind.results) == result

    @pytest.mark.parametrize(
        "more",
        ["(table 1 funcref)", "(start $f)", '(data (global.get $imported) "x")', '(data "passive")'],
    )
    def test_no_place(self, more: str) -> None:
        """A module that has what nothing can be added to is refused, not broken."""
        text = f"""(module (import "a" "b" (global $imported i32)) (memory 1) (func $f) (export "f" (func $f))
            (data (i32.const 5) "y") {more})"""
        with pytest.raises(ValueError, match=r"a table or a start function|not at a constant address"):
            outline(bytes(wasmtime.wat2wasm(text)))
