"""Finds out about a module's debug information what there is to find out."""

from __future__ import annotations

import os
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from wasmscope.dwarf._debug_files import DebugFile, has_debug_info, misfit, open_debug_file
from wasmscope.dwarf._debug_info import DebugInfo, DebugSources, find_debug_info
from wasmscope.dwarf._examination import Examination, Fit, Link, LinkKind, SourceFiles, UnitGroup
from wasmscope.dwarf._frame import Origin
from wasmscope.dwarf._health import Verdict, health
from wasmscope.dwarf._local_files import is_regular, local_path
from wasmscope.dwarf._source_map_file import find_source_map
from wasmscope.dwarf._sources import Sources
from wasmscope.errors import DebugInfoError, ModuleFormatError

if TYPE_CHECKING:
    from wasmscope.dwarf._engine import Engine
    from wasmscope.dwarf._health import Health
    from wasmscope.dwarf._sources import PathMap
    from wasmscope.wasm import Module

__all__ = ["examine"]

_CHUNK_BYTES: Final = 1 << 20  # of code, whose rows are in memory at a time
# How notes begin on files that nobody named, neither the user nor the module.
_FOUND: Final = ("the file beside it", "the store's file")
_OWN: Final = "the DWARF in the module"
_MISSING_SPLIT: Final = "split part"  # in what the engine says of them
_MOST_SOURCES: Final = 100_000
# A call or a use of a global whose operand the linker filled in: it leaves room for five bytes. A tool that decodes the
# code and encodes it anew leaves none.
_LINKED: Final = re.compile(rb"[\x10\x23\x24][\x80-\xff]{3}\x80\x00")
_ENOUGH_CODE: Final = 4096
_LINKERS: Final = ("clang", "rustc", "LLD")
# https://dwarfstd.org/languages.html: those that are compiled to WebAssembly
_LANGUAGES: Final = {
    0x01: "C89",
    0x02: "C",
    0x04: "C++",
    0x0C: "C99",
    0x13: "D",
    0x16: "Go",
    0x19: "C++03",
    0x1A: "C++11",
    0x1C: "Rust",
    0x1D: "C11",
    0x1E: "Swift",
    0x21: "C++14",
    0x23: "Fortran08",
    0x26: "Kotlin",
    0x27: "Zig",
    0x28: "Crystal",
    0x2A: "C++17",
    0x2B: "C++20",
    0x2C: "C17",
    0x31: "Assembly",
    0x8001: "Mips_Assembler",  # what LLVM says of assembly
}


def examine(
    module: Module,
    sources: DebugSources,
    *,
    place: tuple[int, ...] = (),
    debug_file: str | None = None,
    source_map: str | None = None,
    path_maps: Sequence[PathMap] = (),
) -> Examination:
    """Examine a module.

    Args:
        module: The module.
        sources: Where its debug information may be.
        place: As `Examination.place`.
        debug_file: A debug file to hold against it; also in `sources`, if lines are to come from there.
        source_map: Its source map; None for the one that it names.
        path_maps: Where source files are on this machine.

    Raises:
        ModuleFormatError: If its imports or its code section cannot be read.
    """
    notes: list[str] = []
    fit = None if debug_file is None else _fit(module, debug_file, sources)
    info, spare = find_debug_info(module, sources, notes)
    own = info
    if own is None and has_debug_info(module):
        # It is not used, and why is what people want to know.
        own = DebugInfo(module, module, Origin.DWARF, (), sources.limits)
    map_notes: list[str] = []
    found_map = find_source_map(module, sources.path, source_map, map_notes) if info is None else None
    try:
        dwarf = _NO_DWARF if own is None else _dwarf(own)
    finally:
        for each in (own, spare):
            if each is not None:
                each.close()
    if info is not None:
        origin: Origin | None = info.origin
    elif found_map is not None:
        origin = Origin.SOURCE_MAP
    else:
        origin = None
    first, count = module.imported_function_count, len(module.bodies)
    names = module.names()
    named = sum(first <= index < first + count for index in names.functions)
    if origin is None and named:
        origin = Origin.NAMES
    paths = dwarf.paths if info is not None else set(found_map.sources if found_map is not None else ())
    return Examination(
        place=place,
        offset=module.start,
        size_bytes=module.end - module.start,
        code_bytes=module.code.size if module.code is not None else 0,
        imported_functions=first,
        functions=count,
        named_functions=named,
        name_problems=names.problems,
        build_id=module.build_id(),
        producers=module.producers(),
        is_rewritten=_is_rewritten(module),
        origin=origin,
        file=None if info is None or info.container is module else info.path,
        health=dwarf.health,
        problems=dwarf.problems,
        line_bytes=dwarf.line_bytes if info is not None else 0,
        line_zero_bytes=dwarf.line_zero_bytes if info is not None else 0,
        units=dwarf.units,
        split_units=dwarf.split_units,
        missing_split_units=dwarf.missing_split_units,
        sources=_source_files((path for path in paths if path is not None), Sources(path_maps)),
        links=tuple(_links(module, sources, map_notes)),
        debug_file=fit,
        # Of the module's own DWARF there is more to say, unless that of another file serves.
        unused=tuple(note for note in notes if note.startswith(_FOUND if info is None else (*_FOUND, _OWN))),
    )


@dataclass(frozen=True, slots=True)
class _Dwarf:
    """What DWARF says."""

    health: Health | None = None
    problems: tuple[str, ...] = ()
    line_bytes: int = 0
    line_zero_bytes: int = 0
    units: tuple[UnitGroup, ...] = ()
    split_units: int = 0
    missing_split_units: tuple[str, ...] = ()
    paths: frozenset[str] = frozenset()


_NO_DWARF: Final = _Dwarf()


def _dwarf(info: DebugInfo) -> _Dwarf:
    """Read all that is to be said about DWARF."""
    try:
        engine = info.engine
        found = health(engine, is_thorough=True)
        units = engine.units()
        split = [unit for unit in units if unit.is_split]
        line_bytes, zero_bytes, paths = _lines(engine, info.bodies()[1])
    except DebugInfoError as error:
        return _Dwarf(problems=(str(error),))
    groups = Counter((_LANGUAGES.get(unit.language), unit.producer, unit.version) for unit in units)
    return _Dwarf(
        found,
        # Those whose other file is missing are told of one by one.
        tuple(problem for problem in engine.problems if _MISSING_SPLIT not in problem),
        line_bytes,
        zero_bytes,
        tuple(
            UnitGroup(language=language, producer=producer, version=version, units=number)
            for (language, producer, version), number in groups.most_common()
        ),
        len(split),
        tuple(unit.dwo_name or "" for unit in split if not unit.is_found),
        frozenset(paths),
    )


def _lines(engine: Engine, body_ends: Sequence[int]) -> tuple[int, int, set[str]]:
    """Add up the bytes of code that have a line, those of them that have the line 0, and the files."""
    covered = zero = 0
    paths: set[str] = set()
    low, end = 0, body_ends[-1] if body_ends else 0
    while low < end:
        # Up to the end of a body, so that each row's end is in the same part.
        high = body_ends[min(bisect_left(body_ends, low + _CHUNK_BYTES), len(body_ends) - 1)]
        for row, following in pairwise(engine.each_row(low, high + 1)):
            if not row.is_end and row.body == following.body:
                size = following.address - row.address
                covered += size
                if not row.line:
                    zero += size
                if row.file is not None:
                    paths.add(row.file)
        low = high + 1
    return covered, zero, paths


def _fit(module: Module, path: str, sources: DebugSources) -> Fit:
    """Hold a debug file against a module."""
    try:
        container = open_debug_file(DebugFile(path, path, True))
    except DebugInfoError as error:
        return Fit(path=path, problem=str(error))
    with container:
        found = problem = functions = None
        code = container.code
        try:
            functions = None if code is None else len(container.bodies)
        except ModuleFormatError as error:
            return Fit(path=path, problem=str(error))
        if has_debug_info(container):
            info = DebugInfo(module, container, Origin.DEBUG_FILE, (), sources.limits)
            try:
                found = health(info.engine, is_thorough=True)
            except DebugInfoError as error:
                problem = str(error)
            finally:
                info.free()
        return Fit(
            path=path,
            build_id=container.build_id(),
            code_bytes=None if code is None else code.size,
            functions=functions,
            is_code_equal=None
            if code is None
            else module.code is not None and container.view(code) == module.view(module.code),
            health=found,
            problem=problem,
        )


def _links(module: Module, sources: DebugSources, map_notes: Sequence[str]) -> Iterator[Link]:
    """Look where the module says to have what it does not have itself."""
    url = module.external_debug_info()
    if url is not None:
        yield Link(LinkKind.DEBUG_FILE, url, _problem_of_link(module, url, sources))
    url = module.source_mapping_url()
    if url is not None:
        if not map_notes:
            notes: list[str] = []
            find_source_map(module, sources.path, None, notes)
            map_notes = notes
        shown = "the map in the module itself" if url[:5].lower() == "data:" else url
        yield Link(LinkKind.SOURCE_MAP, shown, map_notes[0] if map_notes else None)


def _problem_of_link(module: Module, url: str, sources: DebugSources) -> str | None:
    """Tell why a debug file that the module names is not one; None if it is."""
    try:
        path = local_path(url, None if sources.path is None else os.path.dirname(sources.path))
        with open_debug_file(DebugFile(path, path, True)) as container:
            reason = misfit(module, container)
        found = None if reason is not None else _fit(module, path, sources)
    except DebugInfoError as error:
        return str(error)
    if found is None:
        return reason
    if found.health is not None and found.health.verdict is Verdict.STALE:
        return f"it describes other code: {found.health.matching:,} of its {found.health.live:,} functions match"
    return found.problem


def _is_rewritten(module: Module) -> bool:
    """Tell whether the code of a module with DWARF was encoded anew after the linker.

    Only linkers of LLVM are known to leave traces, and only in modules with DWARF: without, they may leave no room for
    operands, either (``--compress-relocations``).
    """
    producers = module.producers()
    if module.code is None or not has_debug_info(module) or producers is None:
        return False
    if not any(linker in tool.name for tool in producers.processed_by for linker in _LINKERS):
        return False
    names = [section.name for section in module.sections if section.id == 0]
    # The linker writes names last.
    if "name" in names and names.index("name") < names.index(".debug_info"):
        return True
    return module.code.size >= _ENOUGH_CODE and _LINKED.search(module.view(module.code)) is None


def _source_files(paths: Iterable[str], sources: Sources) -> SourceFiles | None:
    known = sorted(set(paths))[:_MOST_SOURCES]
    if not known:
        return None
    return SourceFiles(tuple(known), tuple(path for path in known if not is_regular(sources.path(path))))
