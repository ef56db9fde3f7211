"""What a module needs from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from wasmscope.wasm._cursor import Cursor
from wasmscope.wasm._types import ExternalType, read_external_type

__all__ = ["KINDS", "Import", "read_imports", "read_kind"]

KINDS: Final = ("func", "table", "memory", "global", "tag")
"""By number: https://webassembly.github.io/spec/core/binary/types.html#external-types"""
_SAME_MODULE: Final = 0x7F
_SAME_MODULE_AND_TYPE: Final = 0x7E


class Import(NamedTuple):
    """Something that a module needs.

    Attributes:
        module: Module name.
        name: Field name.
        kind: ``func``, ``table``, ``memory``, ``global`` or ``tag``.
    """

    module: str
    name: str
    kind: str


def read_kind(cursor: Cursor) -> str:
    """Read a kind of import or export."""
    start = cursor.position
    kind = cursor.byte()
    if kind >= len(KINDS):
        raise cursor.error(f"the unknown kind {kind:#x}", at=start)
    return KINDS[kind]


def read_imports(cursor: Cursor) -> Iterator[tuple[Import, ExternalType]]:
    """Go over an import section, in its order.

    Args:
        cursor: Its contents.

    Yields:
        Each import with its type.

    Raises:
        ModuleFormatError: If it cannot be read.
    """
    for _ in range(cursor.count()):
        module, name = cursor.name(), cursor.name()
        # Imports of one module in a group: https://github.com/WebAssembly/compact-import-section
        if not name and cursor.take_if(_SAME_MODULE):
            for _ in range(cursor.count()):
                name = cursor.name()
                kind = read_kind(cursor)
                yield Import(module, name, kind), read_external_type(cursor, kind)
        elif not name and cursor.take_if(_SAME_MODULE_AND_TYPE):
            kind = read_kind(cursor)
            type_ = read_external_type(cursor, kind)
            for _ in range(cursor.count()):
                yield Import(module, cursor.name(), kind), type_
        else:
            kind = read_kind(cursor)
            yield Import(module, name, kind), read_external_type(cursor, kind)
