"""Real modules, read here and by wasmtime."""

from __future__ import annotations

from pathlib import Path

import pytest
import wasmtime

from wasmscope.wasm import FunctionType, Module

ROOT = Path(__file__).parents[3]
MODULES = sorted(
    str(path.relative_to(ROOT))
    for folder in ("examples", "host_shim", "tests/guests")
    for path in (ROOT / folder).rglob("*.wasm")
    if not {"node_modules", "target"} & set(path.parts)
)
KINDS: dict[type[object], str] = {
    wasmtime.FuncType: "func",
    wasmtime.TableType: "table",
    wasmtime.MemoryType: "memory",
    wasmtime.GlobalType: "global",
}


def test_there_are_modules() -> None:
    """Modules of Rust and AssemblyScript, and one of ours, are among those that are read."""
    assert {
        "tests/guests/rust/conformance.wasm",
        "tests/guests/assemblyscript/conformance.wasm",
        "host_shim/wasmscope/host_shim/_collector.wasm",
    } <= set(MODULES)


@pytest.mark.parametrize("path", MODULES)
def test_interface(path: str) -> None:
    """Imports and exports are those that wasmtime finds, with the same types."""
    with Module.open(ROOT / path) as ours:
        theirs = wasmtime.Module(wasmtime.Engine(), (ROOT / path).read_bytes())

        assert [(i.module, i.name, i.kind) for i in ours.imports()] == [
            (i.module, i.name, KINDS[type(i.type)]) for i in theirs.imports
        ]
        assert [(e.name, e.kind) for e in ours.exports()] == [(e.name, KINDS[type(e.type)]) for e in theirs.exports]
        memories, tables, globals_ = ours.memories(), ours.tables(), ours.globals()
        for export, their in zip(ours.exports(), theirs.exports, strict=True):
            match their.type:
                case wasmtime.FuncType() as kind:
                    assert ours.function_type(export.index) == FunctionType(
                        tuple(map(str, kind.params)), tuple(map(str, kind.results))
                    )
                    assert export.index >= ours.imported_function_count
                    assert ours.bodies.of_function(export.index) is not None
                case wasmtime.MemoryType() as kind:
                    our = memories[export.index].type
                    assert (our.limits, our.is_64) == ((kind.limits.min, kind.limits.max), kind.is_64)
                case wasmtime.TableType() as kind:
                    assert tables[export.index].type.limits == (kind.limits.min, kind.limits.max)
                case wasmtime.GlobalType() as kind:
                    our_global = globals_[export.index].type
                    assert (our_global.value_type, our_global.is_mutable) == (str(kind.content), kind.mutable)
                case other:
                    pytest.fail(f"nothing is compared for {other}")


def looked_at() -> list[str]:
    """Modules whose memory can be looked at as it is before anything ran."""
    modules = {path: Module((ROOT / path).read_bytes()) for path in MODULES}
    return [p for p, m in modules.items() if any(e.kind == "memory" for e in m.exports()) and not m.has_start]


def test_most_are_looked_at() -> None:
    """Most of the modules have a memory whose beginning can be looked at, and data in it."""
    found = looked_at()

    assert len(found) > len(MODULES) / 2
    assert sum(len(Module((ROOT / path).read_bytes()).data_segments()) for path in found) > 10


@pytest.mark.parametrize("path", looked_at())
def test_data(path: str) -> None:
    """Memory begins with the data at the addresses that the reader gives, in an instance that wasmtime made."""
    data = (ROOT / path).read_bytes()
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    linker = wasmtime.Linker(engine)
    module = wasmtime.Module(engine, data)
    linker.define_unknown_imports_as_traps(module)
    ours = Module(data)
    name = next(e.name for e in ours.exports() if e.kind == "memory")
    memory = linker.instantiate(store, module).exports(store)[name]
    assert isinstance(memory, wasmtime.Memory)

    for segment in ours.data_segments():
        assert segment.address is not None
        expected = data[segment.offset : segment.offset + segment.size]
        assert memory.read(store, segment.address, segment.address + segment.size) == expected
