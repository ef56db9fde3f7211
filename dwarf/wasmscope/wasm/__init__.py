"""WebAssembly's binary format, read with the standard library alone.

What each start needs is loaded at once and made of named tuples; the rest, and with it ``dataclasses``, which takes as
long to load as all of this, when it is asked for.

Source: https://webassembly.github.io/spec/core/binary/
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from wasmscope.wasm._address import Address, AddressKind
from wasmscope.wasm._module import Module
from wasmscope.wasm._section import Section

if TYPE_CHECKING:
    from wasmscope.wasm._bodies import Bodies, Body
    from wasmscope.wasm._component import Component, NestedModule
    from wasmscope.wasm._encoding import (
        encode_custom_section,
        encode_module,
        encode_name,
        encode_name_map,
        encode_section,
        encode_signed,
        encode_unsigned,
    )
    from wasmscope.wasm._exports import Export
    from wasmscope.wasm._imports import Import
    from wasmscope.wasm._kind import FileFormat, FileKind, identify
    from wasmscope.wasm._names import Names
    from wasmscope.wasm._offset_map import OffsetMap
    from wasmscope.wasm._open import open_binary
    from wasmscope.wasm._producers import Producer, Producers
    from wasmscope.wasm._rewrite import Rewritten, rewrite
    from wasmscope.wasm._storage import DataSegment, Global, Memory, Table
    from wasmscope.wasm._types import FunctionType, GlobalType, Limits, MemoryType, TableType

__all__ = [
    "Address",
    "AddressKind",
    "Bodies",
    "Body",
    "Component",
    "DataSegment",
    "Export",
    "FileFormat",
    "FileKind",
    "FunctionType",
    "Global",
    "GlobalType",
    "Import",
    "Limits",
    "Memory",
    "MemoryType",
    "Module",
    "Names",
    "NestedModule",
    "OffsetMap",
    "Producer",
    "Producers",
    "Rewritten",
    "Section",
    "Table",
    "TableType",
    "encode_custom_section",
    "encode_module",
    "encode_name",
    "encode_name_map",
    "encode_section",
    "encode_signed",
    "encode_unsigned",
    "identify",
    "open_binary",
    "rewrite",
]

_LATE: Final = {
    "Bodies": "_bodies",
    "Body": "_bodies",
    "Component": "_component",
    "DataSegment": "_storage",
    "Export": "_exports",
    "FileFormat": "_kind",
    "FileKind": "_kind",
    "FunctionType": "_types",
    "Global": "_storage",
    "GlobalType": "_types",
    "Import": "_imports",
    "Limits": "_types",
    "Memory": "_storage",
    "MemoryType": "_types",
    "Names": "_names",
    "NestedModule": "_component",
    "OffsetMap": "_offset_map",
    "Producer": "_producers",
    "Producers": "_producers",
    "Rewritten": "_rewrite",
    "Table": "_storage",
    "TableType": "_types",
    "encode_custom_section": "_encoding",
    "encode_module": "_encoding",
    "encode_name": "_encoding",
    "encode_name_map": "_encoding",
    "encode_section": "_encoding",
    "encode_signed": "_encoding",
    "encode_unsigned": "_encoding",
    "identify": "_kind",
    "open_binary": "_open",
    "rewrite": "_rewrite",
}
"""What is loaded when it is asked for, by the module that has it."""


def __getattr__(name: str) -> object:
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
