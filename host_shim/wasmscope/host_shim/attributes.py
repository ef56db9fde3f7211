"""Names of attributes and metrics that OpenTelemetry's semantic conventions do not have.

Provisional: should the conventions come to cover WebAssembly, these names follow them. Everything under ``wasm.`` is
set by
the host only; a guest's attributes with such names are refused, so that bills and alerts cannot be forged.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "LOG_MARKER",
    "RESERVED_PREFIXES",
    "TARGET",
    "TRUNCATED",
    "WASM_CALL_CPU_TIME",
    "WASM_CALL_FUEL",
    "WASM_CALL_HOST_TIME",
    "WASM_MEMORY_SIZE",
    "WASM_MODULE_NAME",
    "WASM_MODULE_VERSION",
    "WASM_TENANT",
    "WASM_TRAP_CODE",
]

WASM_MODULE_NAME: Final = "wasm.module.name"
"""The module's name, chosen by the host (str)."""
WASM_MODULE_VERSION: Final = "wasm.module.version"
"""The module's version, chosen by the host (str)."""
WASM_TENANT: Final = "wasm.tenant"
"""On whose behalf the instance runs, chosen by the host (str)."""
WASM_TRAP_CODE: Final = "wasm.trap.code"
"""Why the guest trapped, for example ``unreachable`` (str)."""
WASM_CALL_CPU_TIME: Final = "wasm.call.cpu_time_ns"
"""Thread CPU time of a call into the guest, without host functions and nested guests (int, ns)."""
WASM_CALL_HOST_TIME: Final = "wasm.call.host_time_ns"
"""Wall time of a call that was spent in host functions, without nested guests (int, ns)."""
WASM_CALL_FUEL: Final = "wasm.call.fuel"
"""Fuel that a call consumed, where the engine counts fuel (int)."""
WASM_MEMORY_SIZE: Final = "wasm.memory.size_bytes"
"""Size of the guest's linear memory at the end of a call (int, bytes)."""

TARGET: Final = "wasmscope.target"
"""Target, category or logger name of a guest's record (str)."""
TRUNCATED: Final = "wasmscope.truncated"
"""What was cut in a record, as ``name=original length in bytes`` (str array)."""
LOG_MARKER: Final = "wasmscope.log"
"""On a span event: it repeats a log record, with this severity text (str)."""

RESERVED_PREFIXES: Final = ("wasm.", "wasmscope.")
"""Keys that guests cannot set."""
