"""The two ways to run the engine: without importing wasmtime, and through its Python API."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.dwarf_assembler import (
    COMPILE_UNIT,
    HIGH_PC,
    LOW_PC,
    NAME,
    SUBPROGRAM,
    Address,
    Data,
    Entry,
    Sections,
    Text,
)
from wasmscope.dwarf import _runtime
from wasmscope.dwarf._engine import Engine, EngineLimits, FileRange
from wasmscope.dwarf._engine_cache import EngineCache
from wasmscope.dwarf._runtime import LeanRuntime, PublicRuntime, Runtime, RuntimeUnavailableError
from wasmscope.errors import DebugInfoError
from wasmscope.wasm import Module

FIXTURES = Path(__file__).parents[2] / "fixtures" / "dwarf"
Start = Callable[[bytes, int, EngineCache], Runtime]


@pytest.fixture(params=[LeanRuntime, PublicRuntime])
def runtime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Either way, put in place of the choice."""
    monkeypatch.setattr(_runtime, "start", request.param)
    chosen: Start = request.param
    return chosen


def small(name: str = "found") -> dict[str, bytes]:
    made = Sections()
    body = Entry(SUBPROGRAM, {NAME: Text(name), LOW_PC: Address(3), HIGH_PC: Data(17)})
    made.add_unit(Entry(COMPILE_UNIT, {}, [body]))
    return made.encode()


def engine_of(path: Path, limits: EngineLimits | None = None) -> tuple[Engine, range]:
    """An engine for a module, and the offsets of its code."""
    module = Module(path.read_bytes())
    code = module.code
    assert code is not None
    sections = {s.name: module.contents(s) for s in module.sections if s.name.startswith(".debug_")}
    starts, ends = module.bodies.starts, module.bodies.ends
    engine = Engine(
        sections,
        body_starts=[s - code.offset for s in starts],
        body_ends=[e - code.offset for e in ends],
        limits=limits,
    )
    return engine, range(code.size)


class TestBoth:
    """What holds either way."""

    def test_answers(self, runtime: Start) -> None:
        """Both find functions, and state what they hold."""
        with Engine(small(), body_starts=[3], body_ends=[20]) as engine:
            assert engine.lookup([5])[0][0].function == "found"
            assert engine.memory_bytes > 65536
        assert engine.memory_bytes == 0

    def test_memory_limit(self, runtime: Start) -> None:
        """Debug information that needs more memory than is allowed is refused, by a message that says so."""
        with pytest.raises(DebugInfoError, match="limit"):
            Engine(small("x" * 5_000_000), body_starts=[3], body_ends=[20], limits=EngineLimits(memory_bytes=4_000_000))
        with pytest.raises(DebugInfoError, match="memory"):
            Engine(small("x" * 1_500_000), body_starts=[3], body_ends=[20], limits=EngineLimits(memory_bytes=2_000_000))

    def test_fuel(self, runtime: Start) -> None:
        """What takes too many instructions ends, and the message says so; after three times it is not tried again."""
        engine, offsets = engine_of(FIXTURES / "cpp" / "O2-dwarf5.wasm")
        with engine:
            limits = engine._limits
            engine._limits = limits._replace(fuel=-40_000_000)
            engine._bytes = 0
            for _ in range(3):
                with pytest.raises(DebugInfoError, match="fuel"):
                    engine.lookup(offsets[:1000])
            with pytest.raises(DebugInfoError, match="again and again"):
                engine.lookup(offsets[:1000])

    def test_recovery(self, runtime: Start) -> None:
        """After it ran out of fuel, an engine that is given enough answers as before."""
        engine, offsets = engine_of(FIXTURES / "cpp" / "O2-dwarf5.wasm")
        with engine:
            expected = list(engine.lookup(offsets))
            limits, size = engine._limits, engine._bytes
            engine._limits, engine._bytes = limits._replace(fuel=-40_000_000), 0
            with pytest.raises(DebugInfoError):
                engine.lookup(offsets[:1000])
            engine._limits, engine._bytes = limits, size
            assert list(engine.lookup(offsets)) == expected

    def test_sections_in_a_file(self, runtime: Start, tmp_path: Path) -> None:
        """Sections can be read straight from a file; one that has become shorter is an error."""
        path = tmp_path / "sections"
        ranges: dict[str, tuple[int, int]] = {}
        with path.open("wb") as file:
            file.write(b"header")
            for name, data in small().items():
                ranges[name] = (file.tell(), len(data))
                file.write(data)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            sections = {name: FileRange(descriptor, *place) for name, place in ranges.items()}
            with Engine(sections, body_starts=[3], body_ends=[20]) as engine:
                assert engine.lookup([5])[0][0].function == "found"
            os.truncate(path, 20)
            with pytest.raises(DebugInfoError, match="shorter"):
                Engine(sections, body_starts=[3], body_ends=[20])
        finally:
            os.close(descriptor)


@pytest.mark.parametrize("name", ["c/O2-lto", "cpp/O2-dwarf5", "rust/release", "zig/Debug", "c/O1-memory64"])
def test_equal_answers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways give the same answers to every address of a module's code."""
    found: list[object] = []
    for start in (LeanRuntime, PublicRuntime):
        monkeypatch.setattr(_runtime, "start", start)
        engine, offsets = engine_of(FIXTURES / f"{name}.wasm")
        with engine:
            found.append((list(engine.lookup(offsets)), engine.functions(), engine.units(), engine.rows(0, 1 << 31)))
    assert found[0] == found[1]


def test_forgotten_engine() -> None:
    """An engine that nobody closed and nobody has any more gives its memory back."""
    engine = Engine(small(), body_starts=[3], body_ends=[20])
    runtime = engine._runtime
    assert isinstance(runtime, LeanRuntime)
    frees = runtime._frees
    assert len(frees) == 3
    del engine, runtime
    gc.collect()
    assert frees == []


class TestChoice:
    """Which way is taken."""

    def test_wasmtime_is_not_imported(self) -> None:
        """Answers come without an import of wasmtime, which takes 40 ms."""
        script = (
            "import sys\n"
            "from wasmscope.dwarf._engine import Engine\n"
            "Engine({}, body_starts=[3], body_ends=[20]).lookup([5])\n"
            "print(sorted(name for name in sys.modules if name.split('.')[0] == 'wasmtime'))\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"

    @pytest.fixture
    def without(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """The library is not where it is looked for."""
        monkeypatch.setattr(_runtime, "_LIBRARIES", ("no such library",))
        yield

    @pytest.mark.usefixtures("without")
    def test_other_way(self) -> None:
        """If the library is not where it is expected, the Python API is used."""
        with pytest.raises(RuntimeUnavailableError, match="no library"):
            LeanRuntime(b"", 0, EngineCache(None))
        with Engine(small(), body_starts=[3], body_ends=[20]) as engine:
            assert isinstance(engine._runtime, PublicRuntime)
            assert engine.lookup([5])[0][0].function == "found"

    @pytest.mark.usefixtures("without")
    def test_no_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without wasmtime there is an error that says what to install."""
        monkeypatch.setitem(sys.modules, "wasmtime", None)
        with pytest.raises(DebugInfoError, match="pip install"):
            Engine(small(), body_starts=[3], body_ends=[20])

    def test_function_that_is_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """If the library lacks a function, as a future release might, the Python API is used."""

        def bind(self: LeanRuntime) -> None:
            del self
            raise AttributeError("undefined symbol: wasmtime_store_limiter")

        monkeypatch.setattr(LeanRuntime, "_bind", bind)
        with Engine(small(), body_starts=[3], body_ends=[20]) as engine:
            assert isinstance(engine._runtime, PublicRuntime)
