"""From addresses in WebAssembly code to functions, files, lines and variables."""

from __future__ import annotations

from wasmscope.dwarf._frame import Frame, Origin, Place

__all__ = ["Frame", "Origin", "Place"]
