"""Files made to be slow or large once they are read: time and memory stay in proportion to the file."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.support.cpu_time import cpu_seconds
from tests.unit.wasm.encoding import custom, leb, module, section
from wasmscope.errors import ModuleFormatError
from wasmscope.wasm import Component, Module

COMPONENT: Final = b"\0asm\x0d\0\1\0"


def entries(number: int, entry: bytes) -> Callable[[int], bytes]:
    return lambda count: module(section(number, leb(count) + entry * count))


def names(kind: int, entry: bytes) -> Callable[[int], bytes]:
    def make(count: int) -> bytes:
        part = leb(count) + entry * count
        return module(custom("name", bytes([kind]) + leb(len(part)) + part))

    return make


def falling_names(count: int) -> bytes:
    part = leb(count) + b"".join(leb(index) + b"\0" for index in reversed(range(count)))
    return module(custom("name", b"\1" + leb(len(part)) + part))


def nested_names(count: int) -> bytes:
    part = leb(count) + b"".join(leb(index) + b"\0" for index in range(count))
    return module(custom("name", b"\2" + leb(len(part)) + part))


def long_sum(count: int) -> bytes:
    return module(section(6, b"\1\x7f\0\x41\0" + b"\x41\0\x6a" * count + b"\x0b"))


HOSTILE: Final[dict[str, tuple[Callable[[int], bytes], Callable[[Module], Any]]]] = {
    "imports": (entries(2, b"\0\0\0\0"), Module.imports),
    "imports in groups": (lambda n: module(section(2, b"\1\0\0\x7e\0\0" + leb(n) + bytes(n))), Module.imports),
    "exports": (entries(7, b"\0\0\0"), Module.exports),
    "types": (entries(1, b"\x60\0\0"), lambda m: m.types),
    "parameters": (lambda n: module(section(1, b"\1\x60" + leb(n) + b"\x7f" * n + b"\0")), lambda m: m.types),
    "groups of types": (entries(1, b"\x4e\0"), lambda m: m.types),
    "functions": (entries(3, b"\0"), lambda m: m.function_count),
    "tables": (entries(4, b"\x70\0\0"), Module.tables),
    "memories": (entries(5, b"\0\0"), Module.memories),
    "globals": (entries(6, b"\x7f\0\x0b"), Module.globals),
    "a long constant": (long_sum, Module.globals),
    "bodies": (entries(10, b"\2\0\x0b"), lambda m: m.bodies),
    "data": (entries(11, b"\1\0"), Module.data_segments),
    "names of one function": (names(1, b"\0\0"), lambda m: len(m.names().functions)),
    "names in the wrong order": (falling_names, lambda m: len(m.names().functions)),
    "broken names": (names(1, b"\0\1\xff"), lambda m: dict(m.names().functions)),
    "locals of one function": (names(2, b"\0\0"), lambda m: len(m.names().locals)),
    "locals": (nested_names, lambda m: len(m.names().locals)),
    "producers": (
        lambda n: module(custom("producers", b"\1\x08language" + leb(n) + b"\0\0" * n)),
        lambda m: m.producers(),
    ),
    "features": (lambda n: module(custom("target_features", leb(n) + b"+\0" * n)), Module.target_features),
}


def cost(data: bytes, read: Callable[[Module], Any]) -> float:
    return cpu_seconds(lambda: read(Module(data)))


@pytest.mark.parametrize("what", HOSTILE)
class TestModules:
    def test_time(self, what: str) -> None:
        """Eight times the file takes about eight times as long, and not 64 times: nothing is gone over again."""
        make, read = HOSTILE[what]
        small, large = make(10_000), make(80_000)

        least = min(cost(small, read) for _ in range(3))

        assert min(cost(large, read) for _ in range(3)) < 32 * least + 0.05

    def test_memory(self, what: str) -> None:
        """What is read of a file takes no more than a hundred and fifty times the file."""
        make, read = HOSTILE[what]
        data = make(20_000)
        tracemalloc.start()
        try:
            kept = read(Module(data))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

        assert peak < 150 * len(data) + 200_000, kept


@pytest.mark.parametrize("what", [key for key in HOSTILE if key != "a long constant"])
def test_endless(what: str) -> None:
    """A count of four thousand million, with little behind it, is refused at once, or ends what can be read."""
    make, read = HOSTILE[what]
    data = make(300)
    broken = Module(rebuilt(data, data.index(leb(300))))
    started = time.process_time()

    if broken.sections[0].id:
        with pytest.raises(ModuleFormatError, match="4,294,967,295 entries are announced"):
            read(broken)
    else:
        read(broken)
    assert time.process_time() - started < 20


def rebuilt(data: bytes, count: int) -> bytes:
    """The module with its one section, and the count in it as large as can be."""
    whole = Module(data).sections[0]
    start = whole.offset
    contents = data[start:count] + leb(2**32 - 1) + data[count + 2 :]
    if whole.id:
        return module(section(whole.id, contents))
    if whole.name == "name":
        # The part's own size is before the count.
        contents = contents[:1] + leb(len(data) - count + 3) + contents[count - start :]
    return module(custom(whole.name, contents))


class TestComponents:
    def test_wide(self) -> None:
        """A component with a hundred thousand sections of other kinds is gone over once."""
        data = COMPONENT + section(7, b"") * 50_000 + section(1, module()) * 1000
        started = time.process_time()

        assert len(Component(data).modules()) == 1000
        assert time.process_time() - started < 30

    def test_deep_and_wide(self) -> None:
        """Each level of a hundred is gone over once, however much is in it."""
        data = COMPONENT
        for _ in range(100):
            data = COMPONENT + section(7, b"") * 300 + section(4, data) + section(1, module())
        started = time.process_time()

        assert len(Component(data).modules()) == 100
        assert time.process_time() - started < 30

    def test_full_modules(self) -> None:
        """Modules of two-byte sections take memory for some of them, and not for as many as fit into the file."""
        data = COMPONENT + section(1, module(section(1, b"") * 100_000)) * 30
        tracemalloc.start()
        with pytest.raises(ModuleFormatError, match="more than 1,000,000 sections"):
            Component(data).modules()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert peak < 200_000_000
