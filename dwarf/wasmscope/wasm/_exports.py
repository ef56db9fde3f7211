"""What a module offers."""

from __future__ import annotations

from dataclasses import dataclass

from wasmscope.wasm._cursor import Cursor
from wasmscope.wasm._imports import read_kind

__all__ = ["Export", "read_exports"]


@dataclass(frozen=True, slots=True)
class Export:
    """Something that a module offers.

    Attributes:
        name: Its name.
        kind: As `Import.kind`.
        index: Its index in the index space of its kind.
    """

    name: str
    kind: str
    index: int


def read_exports(cursor: Cursor) -> list[Export]:
    """Read an export section, in its order.

    Args:
        cursor: Its contents.

    Raises:
        ModuleFormatError: If it cannot be read.
    """
    return [Export(cursor.name(), read_kind(cursor), cursor.u32()) for _ in range(cursor.count(3))]
