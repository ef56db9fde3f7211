"""What a module calls its functions without debug information."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from wasmscope.dwarf._demangle import demangle, is_mangled
from wasmscope.dwarf._frame import Origin
from wasmscope.errors import DebugInfoError, ModuleFormatError

if TYPE_CHECKING:
    from wasmscope.wasm import Module

__all__ = ["FunctionName", "FunctionNames"]


class FunctionName(NamedTuple):
    """What a function is called, and who said so.

    Attributes:
        name: As its author wrote it, as far as we can tell; None if nobody says.
        linkage_name: As the linker knows it; None if that is the same.
        origin: Who said so.
    """

    name: str | None
    linkage_name: str | None
    origin: Origin


_NOBODY = FunctionName(None, None, Origin.INDEX)


class FunctionNames:
    """Names of functions by their index: of the name section, else of exports, else of imports."""

    def __init__(self, module: Module, notes: list[str]) -> None:
        """Read nothing yet.

        Args:
            module: The module.
            notes: Gets a line if names cannot be demangled.
        """
        self._module = module
        self._notes = notes
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
        if index not in self._known:
            self.prepare((index,))
        return self._known[index]

    def prepare(self, indices: Iterable[int]) -> None:
        """Find the names of many functions at a time: to demangle many takes as long as to demangle one.

        Args:
            indices: Their indices.
        """
        found = {index: self._raw(index) for index in indices if index not in self._known}
        mangled = {name.name for name in found.values() if name.name is not None and is_mangled(name.name)}
        meanings: Mapping[str, str] = {}
        if mangled:
            try:
                meanings = demangle(mangled)
            except DebugInfoError as error:
                self._notes.append(f"names are as the linker knows them: {error}")
        for index, name in found.items():
            meaning = meanings.get(name.name or "")
            self._known[index] = name if meaning is None else FunctionName(meaning, name.name, name.origin)

    def _raw(self, index: int) -> FunctionName:
        if name := self._module.names().functions.get(index) or self._more.get(index):
            return FunctionName(name, None, Origin.NAMES)
        if name := self._exports.get(index):
            return FunctionName(name, None, Origin.EXPORTS)
        if 0 <= index < len(self._imports):
            return FunctionName(self._imports[index], None, Origin.IMPORTS)
        return _NOBODY

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
