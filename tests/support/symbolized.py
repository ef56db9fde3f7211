"""The modules with debug information below tests/fixtures/dwarf: where they are, their sources, and how they trap."""

from __future__ import annotations

from pathlib import Path

import wasmtime

from wasmscope.wasm import Address, AddressKind, Module

FIXTURES = Path(__file__).parents[1] / "fixtures" / "dwarf"


def trap_frames(module: Path | bytes, export: str, *arguments: int) -> list[wasmtime.Frame]:
    """Run an export that traps; what wasmtime says where, innermost first. Offsets are those of the file."""
    config = wasmtime.Config()
    config.wasm_memory64 = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    compiled = wasmtime.Module(engine, module if isinstance(module, bytes) else module.read_bytes())
    linker = wasmtime.Linker(engine)
    linker.define_unknown_imports_as_traps(compiled)
    function = linker.instantiate(store, compiled).exports(store)[export]
    assert isinstance(function, wasmtime.Func)
    try:
        function(store, *arguments)
    except wasmtime.Trap as trap:
        return list(trap.frames)
    raise AssertionError(f"{export} did not trap")


def all_addresses(module: Module) -> list[Address]:
    """Every byte of every function's body, as file offsets."""
    return [Address(AddressKind.FILE, offset) for body in module.bodies for offset in range(body.offset, body.end)]


def source_line(folder: str, file: str | None, line: int | None) -> str:
    """The text of a line, given what a symbolizer says of a fixture: its sources are below /src."""
    assert file is not None and line is not None
    name = Path(file).name
    assert file == f"/src/{folder}/{name}"
    return (FIXTURES / folder / name).read_text().splitlines()[line - 1]
