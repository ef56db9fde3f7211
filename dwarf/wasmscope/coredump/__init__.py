"""Core dumps of WebAssembly: what a module's stacks were when it failed.

Source: https://github.com/WebAssembly/tool-conventions/blob/main/Coredump.md
"""

from __future__ import annotations

from wasmscope.coredump._dialect import Dialect
from wasmscope.coredump._dump import (
    CoreDump,
    DumpFrame,
    DumpGlobal,
    DumpInstance,
    DumpMemory,
    DumpSegment,
    DumpThread,
    DumpValue,
    ValueKind,
)
from wasmscope.coredump._reader import is_core_dump, read

__all__ = [
    "CoreDump",
    "Dialect",
    "DumpFrame",
    "DumpGlobal",
    "DumpInstance",
    "DumpMemory",
    "DumpSegment",
    "DumpThread",
    "DumpValue",
    "ValueKind",
    "is_core_dump",
    "read",
]
