"""The ``wasmscope`` command. One module a command; what they share has names of its own."""

from __future__ import annotations

from wasmscope.cli._main import main

__all__ = ["main"]
