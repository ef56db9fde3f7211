"""The built collector as a module: what it asks of an engine and of the host, and what is in it."""

from __future__ import annotations

import re
from importlib.resources import files

import wasmtime

from tests.support.collecting import MODULE

README = MODULE.parents[2] / "collector" / "README.md"


def test_is_package_data() -> None:
    """The module lies in the package, where an installed one has it, too."""
    assert files("wasmscope.host_shim").joinpath("_collector.wasm").read_bytes() == MODULE.read_bytes()


def test_needs_old_features_only() -> None:
    """An engine without what WebAssembly got after bulk memory operations compiles it."""
    config = wasmtime.Config()
    config.wasm_gc = False
    config.wasm_function_references = False
    config.wasm_exceptions = False
    config.wasm_relaxed_simd = False
    config.wasm_simd = False
    config.wasm_multi_value = False
    config.wasm_multi_memory = False
    config.wasm_memory64 = False
    config.wasm_tail_call = False
    config.wasm_threads = False
    assert wasmtime.Module(wasmtime.Engine(config), MODULE.read_bytes()).exports


def test_imports_and_exports() -> None:
    """It imports two functions, and exports the functions that README.md lists."""
    module = wasmtime.Module(wasmtime.Engine(), MODULE.read_bytes())
    assert {(imported.module, imported.name) for imported in module.imports} == {
        ("host", "call"),
        ("wasi_snapshot_preview1", "clock_time_get"),
    }
    exported = {export.name for export in module.exports if isinstance(export.type, wasmtime.FuncType)}
    listed = set(re.findall(r"[a-z][a-z0-9_]*", " ".join(re.findall(r"`[^`]*`", README.read_text(encoding="utf-8")))))
    assert exported <= listed


def test_cannot_panic() -> None:
    """There is no message of a failed check in it, and no path of the machine that built it."""
    raw = MODULE.read_bytes()
    for trace in (b"panic", b"index out of", b"overflow", b"unwrap", b".rs", b"/home", b"/root", b"/tmp", b"cargo"):
        assert trace not in raw


def test_is_small() -> None:
    """It is small enough to be compiled in no time."""
    assert len(MODULE.read_bytes()) < 80_000
