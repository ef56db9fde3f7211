"""From addresses in WebAssembly code to functions, files, lines and variables."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from wasmscope.dwarf._frame import Frame, Origin, Place

if TYPE_CHECKING:
    from wasmscope.dwarf._build_ids import store_path
    from wasmscope.dwarf._debug_split import (
        SplitModule,
        add_build_id,
        content_id,
        has_dwarf,
        is_dwarf,
        split_module,
        strip_module,
    )
    from wasmscope.dwarf._health import Health, Verdict, health

__all__ = [
    "Frame",
    "Health",
    "Origin",
    "Place",
    "SplitModule",
    "Verdict",
    "add_build_id",
    "content_id",
    "has_dwarf",
    "health",
    "is_dwarf",
    "split_module",
    "store_path",
    "strip_module",
]

_LATE: Final = {
    "Health": "_health",
    "SplitModule": "_debug_split",
    "Verdict": "_health",
    "add_build_id": "_debug_split",
    "content_id": "_debug_split",
    "has_dwarf": "_debug_split",
    "health": "_health",
    "is_dwarf": "_debug_split",
    "split_module": "_debug_split",
    "store_path": "_build_ids",
    "strip_module": "_debug_split",
}
"""What is loaded when it is asked for, by the module that has it."""


def __getattr__(name: str) -> object:
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
