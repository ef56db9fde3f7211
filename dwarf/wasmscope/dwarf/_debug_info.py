"""Which DWARF speaks for a module, and the engine that reads it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmscope.dwarf._debug_files import (
    DebugFile,
    find_debug_files,
    find_split_files,
    has_debug_info,
    misfit,
    open_debug_file,
)
from wasmscope.dwarf._frame import Origin
from wasmscope.dwarf._local_files import shown
from wasmscope.errors import DebugInfoError, ModuleFormatError

if TYPE_CHECKING:
    from wasmscope.dwarf._engine import Engine, EngineLimits
    from wasmscope.dwarf._engine_tables import Answers
    from wasmscope.dwarf._health import Health
    from wasmscope.wasm import Module

__all__ = ["DebugInfo", "DebugSources", "find_debug_info"]

# DW_AT_GNU_dwo_name (0x2130) as LEB128, and DW_AT_dwo_name with the forms string, strp, line_strp, strx and strx1.
_SPLIT_MARKS: Final = (b"\xb0\x42", b"\x76\x08", b"\x76\x0e", b"\x76\x1f", b"\x76\x1a", b"\x76\x25")
_BODIES_LOOKED_AT: Final = 200
_FITTING: Final = 0.9  # the share from which on `Health` believes DWARF, too


class DebugSources(NamedTuple):
    """Where debug information may be, besides the module.

    Attributes:
        path: Where the module is; None if it was not read from a file.
        given: Files that the user names: debug files, ``.dwo``, ``.dwp``.
        folders: Stores of debug files by build id.
        urls: debuginfod servers to ask.
        cache: The store for what they send.
        limits: What reading may cost; None for what is usual.
    """

    path: str | None
    given: tuple[str, ...]
    folders: tuple[str, ...]
    urls: tuple[str, ...]
    cache: str
    limits: EngineLimits | None


class DebugInfo:
    """DWARF that fits a module, with an engine that is there while it is needed.

    Attributes:
        origin: Who speaks, if it is not a split part.
        health: How it lies on the module's code.
        container: The file that it is in: the module itself, or a debug file.
        path: Where that is, if it is a debug file.
    """

    def __init__(
        self,
        module: Module,
        container: Module,
        origin: Origin,
        split: Sequence[Module],
        limits: EngineLimits | None,
        path: str | None = None,
    ) -> None:
        """Take what may have the DWARF; nothing is read yet.

        Args:
            module: The module that is executed.
            container: The file with the DWARF.
            origin: Who speaks, if it is not a split part.
            split: The split parts, if they are known already.
            limits: What reading may cost; None for what is usual.
            path: Where the file is, if it is a debug file.
        """
        self.origin = origin
        self.container = container
        self.path = path
        self.health: Health | None = None
        self._module = module
        self._split = tuple(split)
        self._limits = limits
        self._engine: Engine | None = None
        self._split_functions: frozenset[int] | None = None

    @property
    def engine(self) -> Engine:
        """The engine; it is made if it is not there.

        Raises:
            DebugInfoError: If the DWARF cannot be read.
            ModuleFormatError: If the module's code section cannot be.
        """
        if self._engine is None:
            self._engine = self._open()
        return self._engine

    @property
    def is_open(self) -> bool:
        """Whether the engine is there, and takes memory."""
        return self._engine is not None

    def _open(self) -> Engine:
        from wasmscope.dwarf._engine import Engine

        starts, ends = self.bodies()
        engine = Engine(
            _debug_sections(self.container),
            body_starts=starts,
            body_ends=ends,
            split=[_debug_sections(part) for part in self._split],
            limits=self._limits,
        )
        # The engine has a copy of what it needs; of a large module that is most of what takes memory here.
        for each in (self._module, self.container, *self._split):
            each.release_pages()
        return engine

    def bodies(self) -> tuple[array[int], array[int]]:
        """Give where the functions' bodies start and end, as offsets in the code section's contents.

        Raises:
            ModuleFormatError: As `engine`.
        """
        code, bodies = self._module.code, self._module.bodies
        base = 0 if code is None else code.offset
        return array("I", [start - base for start in bodies.starts]), array("I", [end - base for end in bodies.ends])

    def locals_size(self, position: int) -> int:
        """Give how many bytes of a body declare its locals; its first instruction is behind them.

        Args:
            position: The body's number among the bodies.

        Raises:
            ModuleFormatError: If they cannot be read.
        """
        from wasmscope.wasm._cursor import Cursor

        body = self._module.bodies[position]
        cursor = Cursor(self._module.data, body.offset, body.end, "code section")
        for _ in range(cursor.u32()):
            cursor.u32()
            cursor.byte()
        return cursor.position - body.offset

    def add_split(self, parts: Sequence[Module]) -> None:
        """Take split parts; the engine is made anew with them."""
        self.free()
        self._split += tuple(parts)

    def lookup(self, offsets: array[int]) -> Answers:
        """Look up offsets in the code section's contents.

        Raises:
            DebugInfoError: As `engine`.
            ModuleFormatError: As `engine`.
        """
        return self.engine.lookup(offsets)

    def origin_of(self, function_low_pc: int | None) -> Origin:
        """Tell who speaks about a function.

        Args:
            function_low_pc: Where its code begins, as an offset in the code section's contents.
        """
        if not self._split:
            return self.origin
        if self._split_functions is None:
            split_units = {number for number, unit in enumerate(self.engine.units()) if unit.is_split}
            self._split_functions = frozenset(f.low for f in self.engine.functions() if f.unit in split_units)
        return Origin.SPLIT_DWARF if function_low_pc in self._split_functions else self.origin

    def free(self) -> None:
        """Free the engine; it comes back when it is needed."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def close(self) -> None:
        """Free the engine, and close all files but the module."""
        self.free()
        for part in self._split:
            part.close()
        if self.container is not self._module:
            self.container.close()


def _debug_sections(container: Module) -> Mapping[str, memoryview]:
    """Give a file's DWARF. Of sections with the same name the first counts, as for all other readers."""
    found: dict[str, memoryview] = {}
    for section in container.sections:
        if section.id == 0 and section.name.startswith(".debug_"):
            found.setdefault(section.name, container.view(section))
    return found


def find_debug_info(module: Module, sources: DebugSources, notes: list[str]) -> tuple[DebugInfo | None, Module | None]:
    """Find DWARF that fits a module.

    Args:
        module: The module that is executed.
        sources: Where to look.
        notes: Gets a line for each file that is named and not used, and for each that does not fit.

    Returns:
        The DWARF, and a file that fits and may have names that the module lacks; None for what there is not.
    """
    split: list[str] = []
    names: Module | None = None
    for container, source, path in _containers(module, sources, split, notes):
        if container is not module and (reason := misfit(module, container)) is not None:
            notes.append(f"{source} is not used: {reason}")
            container.close()
            continue
        if not has_debug_info(container):
            if container is not module:
                notes.append(f"{source} has no DWARF")
                if names is None and container.custom_sections("name"):
                    names = container
                else:
                    container.close()
            continue
        origin = Origin.DWARF if container is module else Origin.DEBUG_FILE
        info = DebugInfo(module, container, origin, (), sources.limits, path)
        found = _checked(info, source, sources.path, split, notes)
        if found is not None:
            return found, names or (None if container is module else container)
        if container is not module:
            container.close()
    for path in split:
        notes.append(f"the debug file {shown(path)} is not used: no DWARF that fits the module has units elsewhere")
    return None, names


def _containers(
    module: Module, sources: DebugSources, split: list[str], notes: list[str]
) -> Iterator[tuple[Module, str, str | None]]:
    """Open what may have the DWARF, one after the other: first what the user names, then the module, then the rest.

    Yields:
        A file, what it is called in messages, and where it is, if it is not the module.
    """
    for path in sources.given:
        try:
            container = open_debug_file(DebugFile(path, path, True))
        except DebugInfoError as error:
            notes.append(f"the debug file is not used: {error}")
            continue
        if _is_split(container):
            container.close()
            split.append(path)
        else:
            yield container, f"the debug file {shown(path)}", path
    yield module, "the DWARF in the module", None
    folders = sources.folders + ((sources.cache,) if sources.urls else ())
    for file in find_debug_files(module, sources.path, folders, notes):
        try:
            container = open_debug_file(file)
        except DebugInfoError as error:
            notes.append(f"{file.source} is not used: {error}")
            continue
        yield container, f"{file.source}, {shown(file.path)},", file.path
    build_id = module.build_id()
    if sources.urls and build_id is not None:
        from wasmscope.dwarf._debuginfod import fetch

        fetched, lines = fetch(sources.urls, build_id, sources.cache)
        notes.extend(lines)
        if fetched is not None:
            try:
                container = open_debug_file(DebugFile(fetched, fetched, False))
            except DebugInfoError as error:
                notes.append(f"the downloaded file is not used: {error}")
            else:
                yield container, f"the downloaded file {shown(fetched)}", fetched


def _is_split(container: Module) -> bool:
    from wasmscope.dwarf._split_dwarf import is_split

    return is_split(container)


def _checked(
    found: DebugInfo, source: str, module_path: str | None, given: Sequence[str], notes: list[str]
) -> DebugInfo | None:
    """Give DWARF, with its split parts, if it describes the module's code, else None and a note."""
    parts: list[Module] = []
    try:
        units = found.engine.units() if given or _may_be_split(found.container) else ()
        if given or any(unit.dwo_id is not None for unit in units):
            beside = [path for path in (module_path, found.path) if path is not None]
            parts = find_split_files(units, beside, given, notes)
            if parts:
                found.add_split(parts)
                unread = sum(unit.is_split and not unit.is_found for unit in found.engine.units())
                if unread:
                    notes.append(f"split DWARF: of {unread:,} units there is no other half that can be read")
        problem = _problem(found)
    except (DebugInfoError, ModuleFormatError) as error:
        problem = str(error)
    if problem is None:
        return found
    found.free()
    for part in parts:
        part.close()
    notes.append(f"{source} is not used: {problem}")
    return None


def _may_be_split(container: Module) -> bool:
    """Tell whether a file may have skeletons of units: false alarms cost a look at its units."""
    for section in container.custom_sections(".debug_abbrev"):
        table = container.contents(section)
        if any(mark in table for mark in _SPLIT_MARKS):
            return True
    return False


def _problem(info: DebugInfo) -> str | None:
    """Tell why DWARF is not to be believed; None if it is."""
    from wasmscope.dwarf._health import Verdict, health

    info.health = found = health(info.engine)
    if found.verdict is Verdict.FRESH or (found.verdict is Verdict.EMPTY and _lines_fit(info)):
        return None
    if found.verdict is Verdict.STALE:
        return (
            f"it is stale: {found.matching:,} of the {found.live:,} functions that it describes are where the code has "
            "one; a tool has changed the module and not the DWARF"
        )
    reasons = info.engine.problems
    if found.tombstones:
        reasons += (f"{found.tombstones:,} functions that the linker left out",)
    return "it describes no function of this module" + (f", but has {', '.join(reasons)}" if reasons else "")


def _lines_fit(info: DebugInfo) -> bool:
    """Tell whether lines begin where functions do: all that can be judged by if there are lines and nothing else."""
    starts, ends = info.bodies()
    seen = fitting = 0
    for position in range(0, len(starts), max(1, len(starts) // _BODIES_LOOKED_AT)):
        first = next(info.engine.each_row(starts[position], ends[position]), None)
        if first is not None:
            seen += 1
            fitting += first.address - starts[position] in (0, info.locals_size(position))
    return seen > 0 and fitting >= _FITTING * seen
