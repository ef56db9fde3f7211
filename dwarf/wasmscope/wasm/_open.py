"""A file that may be a module or a component."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmscope.wasm._component import COMPONENT_HEADER, Component
from wasmscope.wasm._file import open_data
from wasmscope.wasm._module import Module

if TYPE_CHECKING:
    import os

__all__ = ["open_binary"]


def open_binary(path: str | os.PathLike[str]) -> Module | Component:
    """Open a module or a component. A large file is mapped into memory, and must not be cut while it is open.

    Args:
        path: Where it is.

    Raises:
        OSError: If it cannot be read.
        ModuleFormatError: If it is neither, or is cut off.
    """
    data = open_data(path)
    if data[: len(COMPONENT_HEADER)] == COMPONENT_HEADER:
        return Component.own(data)
    return Module.own(data)
