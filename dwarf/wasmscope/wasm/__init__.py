"""WebAssembly's binary format, read with the standard library alone.

Source: https://webassembly.github.io/spec/core/binary/
"""

from __future__ import annotations

from wasmscope.wasm._address import Address, AddressKind
from wasmscope.wasm._kind import FileFormat, FileKind, identify
from wasmscope.wasm._module import Export, Import, Module, Section
from wasmscope.wasm._types import FunctionType

__all__ = [
    "Address",
    "AddressKind",
    "Export",
    "FileFormat",
    "FileKind",
    "FunctionType",
    "Import",
    "Module",
    "Section",
    "identify",
]
