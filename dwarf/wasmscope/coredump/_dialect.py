"""The ways in which core dumps are encoded."""

from __future__ import annotations

from enum import Enum

__all__ = ["Dialect"]


class Dialect(Enum):
    """An encoding of core dumps, by what writes it."""

    STANDARD = "standard"
    """As tool-conventions has it since May 2023: wasmtime, wasm-tools, newer WasmEdge."""
    FIXED = "fixed-width"
    """As `STANDARD`, and integers in 4 or 8 bytes instead of LEB128."""
    WASMGDB = "wasmgdb"
    """What wasmgdb reads: xtuc/wasm-coredump 0.2, WasmEdge for wasmgdb. Both counts of a frame come before its values,
    integers have 4 or 8 bytes, and the operand stack is counted and not written."""
    WASMEDGE = "wasmedge"
    """WasmEdge 0.14: as `WASMGDB_2023`, and the operand stack is written."""
    STANDARD_2023 = "standard-2023"
    """As tool-conventions had it until May 2023: frames do not say which instance was running. So did wasmtime."""
    FIXED_2023 = "fixed-width-2023"
    """As `STANDARD_2023`, and integers in 4 or 8 bytes instead of LEB128."""
    WASMGDB_2023 = "wasmgdb-2023"
    """As `WASMGDB`, and frames do not say which instance was running: xtuc/wasm-coredump 0.1, WasmEdge 0.14 for
    wasmgdb."""
    MEMORY_IMAGE = "memory-image"
    """xtuc/wasm-coredump in 2022: the bytes of the memory and nothing else, with the frames at their beginning.
    Frames do not say where in their function they were, and all their locals have 32 bits."""
