"""Files with debug information that was taken out of a module, or that never was in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from wasmscope.dwarf._build_ids import find_by_build_id
from wasmscope.dwarf._local_files import is_regular, local_path, shown
from wasmscope.errors import DebugInfoError, ModuleFormatError

if TYPE_CHECKING:
    from wasmscope.wasm import Module

__all__ = ["DebugFile", "find_debug_files", "find_split_files", "has_debug_info", "misfit", "open_debug_file"]

_MAX_SPLIT_FILES: Final = 4096
_MAX_SPLIT_NOTES: Final = 20
"""On files that units lead to; those that the user names have a note each."""


class DebugFile(NamedTuple):
    """A file that may have a module's debug information.

    Attributes:
        path: Where it is.
        source: How it was found, for messages: "its external_debug_info", for example.
        is_given: Whether somebody named it, so that it is worth a message if it is not there.
    """

    path: str
    source: str
    is_given: bool


class SplitUnit(Protocol):
    """What a unit says about its other half."""

    @property
    def comp_dir(self) -> str | None:
        """The folder where the compiler ran."""
        ...

    @property
    def dwo_name(self) -> str | None:
        """The file with the other half."""
        ...

    @property
    def dwo_id(self) -> int | None:
        """The number that both halves have; None if there are no halves."""
        ...


def find_debug_files(module: Module, path: str | None, folders: Sequence[str], notes: list[str]) -> Iterator[DebugFile]:
    """Find files that may have a module's debug information, the most likely one first.

    Args:
        module: The module that is executed.
        path: Where it is; None if it was not read from a file.
        folders: Stores of debug files by build id.
        notes: Gets a line for what is named and is no local file.
    """
    folder = None if path is None else os.path.dirname(path)
    url = module.external_debug_info()
    if url is not None:
        try:
            yield DebugFile(local_path(url, folder), "its external_debug_info", True)
        except DebugInfoError as error:
            notes.append(f"its external_debug_info: {error}")
    if path is not None:
        beside = path.removesuffix(".wasm") + ".debug.wasm"
        if is_regular(beside):
            yield DebugFile(beside, "the file beside it", False)
    build_id = module.build_id()
    if build_id is not None:
        stored = find_by_build_id(folders, build_id)
        if stored is not None:
            yield DebugFile(stored, f"the store's file for build id {build_id.hex()}", False)


def open_debug_file(file: DebugFile) -> Module:
    """Open a debug file.

    Raises:
        DebugInfoError: If it is not there, or not in WebAssembly's binary format.
    """
    from wasmscope.wasm import Module

    if not is_regular(file.path):
        raise DebugInfoError(f"there is no file {shown(file.path)}")
    try:
        return Module.open(file.path)
    except OSError as error:
        raise DebugInfoError(f"{shown(file.path)} cannot be read: {error.strerror or error}") from None
    except ModuleFormatError as error:
        raise DebugInfoError(f"{shown(file.path)}: {error}") from None


def misfit(module: Module, debug: Module) -> str | None:
    """Tell why a debug file cannot be a module's; None if nothing says so.

    Args:
        module: The module that is executed.
        debug: The debug file. It may be without code.
    """
    wanted, found = module.build_id(), debug.build_id()
    if wanted is not None and found is not None and wanted != found:
        return f"it is of another build: its build id is {found.hex()[:64]}, the module's is {wanted.hex()[:64]}"
    if module.code is not None and debug.code is not None and module.code.size != debug.code.size:
        return (
            f"it is of another build: it has {debug.code.size:,} bytes of code, and the module has {module.code.size:,}"
        )
    return None


def has_debug_info(module: Module) -> bool:
    """Tell whether a module has DWARF that says something about functions."""
    return any(section.size for section in module.custom_sections(".debug_info"))


def find_split_files(
    units: Iterable[SplitUnit], beside: Sequence[str], given: Sequence[str], notes: list[str]
) -> list[Module]:
    """Find and open the files with the other halves of units.

    Args:
        units: The units.
        beside: The modules that they are of: paths of what is executed and of what has the debug information.
        given: Files that the user names: ``.dwo`` or ``.dwp``.
        notes: Gets a line for what is named and cannot be used, and one for all that is missing.

    Returns:
        Files that have the other half of a unit at least. Each is to be closed.
    """
    from wasmscope.dwarf._split_dwarf import split_unit_ids

    wanted = {u.dwo_id: u for u in units if u.dwo_id is not None and u.dwo_name is not None}
    found: list[Module] = []
    seen: set[str] = set()
    most = len(notes) + len(given) + _MAX_SPLIT_NOTES

    def note(text: str) -> None:
        # A unit can lead to any file that is here, and there is more than one way to write where that is.
        if len(notes) < most:
            notes.append(f"split DWARF: {text}")

    def take(path: str, is_given: bool) -> None:
        if path in seen or len(seen) >= _MAX_SPLIT_FILES or not (is_given or is_regular(path)):
            return
        seen.add(path)
        try:
            module = open_debug_file(DebugFile(path, "", is_given))
        except DebugInfoError as error:
            note(str(error))
            return
        ids = split_unit_ids(module) & wanted.keys()
        if not ids:
            note(f"{shown(path)} is of another build: it has no unit of this module")
            module.close()
            return
        found.append(module)
        for number in ids:
            del wanted[number]

    for path in given:
        take(path, True)
    for module_path in beside:
        for package in (module_path + ".dwp", module_path.removesuffix(".wasm") + ".dwp"):
            if wanted:
                take(package, False)
    folders = tuple(dict.fromkeys(os.path.dirname(path) for path in beside))
    for number, unit in tuple(wanted.items()):
        for path in _split_paths(unit, folders):
            if number in wanted:
                take(path, False)
    if wanted:
        missing = sorted(unit.dwo_name or "" for unit in wanted.values())
        others = f" and {len(missing) - 1:,} others" if len(missing) > 1 else ""
        notes.append(
            f"split DWARF: {shown(missing[0])}{others} not found: no functions and inlined calls of these units"
        )
    return found


def _split_paths(unit: SplitUnit, folders: Sequence[str]) -> Iterator[str]:
    name = unit.dwo_name or ""
    yield os.path.join(unit.comp_dir or "", name)
    for folder in folders:
        # Built elsewhere, and moved together with the module: with the folders below, or without.
        yield os.path.join(folder, os.path.basename(name) if os.path.isabs(name) else name)
        yield os.path.join(folder, os.path.basename(name))
