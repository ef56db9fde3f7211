"""Core dumps of WebAssembly: what a module's stacks were when it failed.

Source: https://github.com/WebAssembly/tool-conventions/blob/main/Coredump.md
"""

from __future__ import annotations

__all__: list[str] = []
