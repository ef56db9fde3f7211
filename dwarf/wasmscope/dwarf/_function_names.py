"""What a module calls its functions without debug information."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from wasmscope.dwarf._frame import Origin
from wasmscope.errors import ModuleFormatError

if TYPE_CHECKING:
    from wasmscope.wasm import Module

__all__ = ["FunctionName", "FunctionNames"]

_MANGLED = ("_Z", "_R", "__Z", "__R")


class FunctionName:
    """What a function is called, and who said so.

    Attributes:
        name: As its author wrote it, as far as we can tell; None if nobody says.
        linkage_name: As the linker knows it; None if that is the same.
        origin: Who said so.
    """

    __slots__ = ("linkage_name", "name", "origin")

    def __init__(self, name: str | None, linkage_name: str | None, origin: Origin) -> None:
        """Take all three."""
        self.name = name
        self.linkage_name = linkage_name
        self.origin = origin


_NOBODY = FunctionName(None, None, Origin.INDEX)


class FunctionNames:
    """Names of functions by their index: of the name section, else of exports, else of imports."""

    def __init__(self, module: Module, demangle: Callable[[str], str | None]) -> None:
        """Read nothing yet.

        Args:
            module: The module.
            demangle: Gives a name as its author wrote it, None if it is not mangled.
        """
        self._module = module
        self._demangle = demangle
        self._more: Mapping[int, str] = {}
        self._known: dict[int, FunctionName] = {}

    def add(self, functions: Mapping[int, str]) -> None:
        """Take the name section of a debug file, for a module that was shipped without.

        Args:
            functions: Names by index.
        """
        self._more = functions
        self._known.clear()

    def find(self, index: int) -> FunctionName:
        """Give what a function is called.

        Args:
            index: Its index, imported ones counted first.
        """
        found = self._known.get(index)
        if found is None:
            found = self._known[index] = self._find(index)
        return found

    def _find(self, index: int) -> FunctionName:
        for names, origin in ((self._module.names().functions, Origin.NAMES), (self._more, Origin.NAMES)):
            if name := names.get(index):
                return self._named(name, origin)
        if name := self._exports.get(index):
            return self._named(name, Origin.EXPORTS)
        if index < len(self._imports):
            return FunctionName(self._imports[index], None, Origin.IMPORTS)
        return _NOBODY

    def _named(self, name: str, origin: Origin) -> FunctionName:
        demangled = self._demangle(name) if name.startswith(_MANGLED) else None
        if demangled is None or demangled == name:
            return FunctionName(name, None, origin)
        return FunctionName(demangled, name, origin)

    @cached_property
    def _exports(self) -> dict[int, str]:
        found: dict[int, str] = {}
        try:
            for export in self._module.exports():
                if export.kind == "func" and export.name:
                    found.setdefault(export.index, export.name)
        except ModuleFormatError:
            pass  # the runtime's to complain about: what is known so far is true
        return found

    @cached_property
    def _imports(self) -> tuple[str, ...]:
        try:
            return tuple(f"{item.module}.{item.name}" for item in self._module.imports() if item.kind == "func")
        except ModuleFormatError:
            return ()
