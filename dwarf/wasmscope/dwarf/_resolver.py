"""From addresses in one core module to frames."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from wasmscope.dwarf._debug_info import DebugInfo, DebugSources, find_debug_info
from wasmscope.dwarf._frame import Frame, Origin, Place
from wasmscope.dwarf._function_names import FunctionNames
from wasmscope.errors import DebugInfoError, ModuleFormatError
from wasmscope.wasm import AddressKind

if TYPE_CHECKING:
    from wasmscope.dwarf._engine_tables import Answers, EngineFrame, Tables
    from wasmscope.dwarf._source_map import SourceMap
    from wasmscope.wasm import Address, Bodies, Module

__all__ = ["Resolver"]

_MAX_CHAINS: Final = 200_000


class Resolver:
    """All that speaks for one core module, asked in order.

    Attributes:
        module: The module that is executed.
        notes: What people should know about the answers: a line each time that something is found and not used.
        problems: What is broken in the DWARF that is used, as far as it was met.
        names: What its functions are called without debug information.
    """

    def __init__(self, module: Module, sources: DebugSources, source_map: str | None) -> None:
        """Read nothing yet.

        Args:
            module: The module that is executed.
            sources: Where debug information may be.
            source_map: The source map that the user names; None for the one that the module names.
        """
        self.module = module
        self.notes: list[str] = []
        self.problems: tuple[str, ...] = ()
        self.names = FunctionNames(module, self.notes)
        self._sources = sources
        self._given_map = source_map
        self._names_file: Module | None = None
        # Frames by the number of their chain, and by function where there is nothing else.
        self._tables: Tables | None = None
        self._chains: dict[tuple[int, int], tuple[Frame, ...]] = {}
        self._plain: dict[int, tuple[Frame, ...]] = {}

    @cached_property
    def info(self) -> DebugInfo | None:
        """The DWARF that fits; None if there is none."""
        info, names = find_debug_info(self.module, self._sources, self.notes)
        self._names_file = names
        if names is not None:
            self.names.add(names.names().functions)
        return info

    @cached_property
    def source_map(self) -> SourceMap | None:
        """The source map; None if there is none that can be used."""
        from wasmscope.dwarf._source_map_file import find_source_map

        return find_source_map(self.module, self._sources.path, self._given_map, self.notes)

    @cached_property
    def _bodies(self) -> Bodies | None:
        try:
            return self.module.bodies
        except ModuleFormatError as error:
            self.notes.append(f"its functions cannot be found: {error}")
            return None

    def resolve(self, addresses: Sequence[Address]) -> list[Place]:
        """Resolve addresses, with one look into the DWARF for all of them.

        Args:
            addresses: Those in this module. File offsets are those of the file that the module is, or is in.
        """
        code, bodies = self.module.code, self._bodies
        if code is None or bodies is None:
            if code is None:
                self.notes.append("it has no code; if it is a debug file, name the module that is executed, too")
            return [Place(a, None, *self._nowhere(a)) for a in addresses]
        base, starts, ends, first = code.offset, bodies.starts, bodies.ends, bodies.first_function
        # Of each address the number of its body, or -1; and the offsets of those in a body.
        positions = array("q")
        offsets = array("I")
        for kind, offset, function in addresses:
            if kind is AddressKind.FUNC:
                position = -1 if function is None else function - first
                if 0 <= position < len(starts) and 0 <= offset < ends[position] - starts[position]:
                    offset += starts[position]
                else:
                    position = -1
            else:
                if kind is AddressKind.CODE:
                    offset += base
                position = bisect_right(starts, offset) - 1
                if position >= 0 and (
                    offset >= ends[position] or (function is not None and function != first + position)
                ):
                    position = -1
            positions.append(position)
            if position >= 0:
                offsets.append(offset - base)
        found = iter(zip(offsets, self._chains_of(offsets, positions, first), strict=True))
        places: list[Place] = []
        for address, position in zip(addresses, positions, strict=True):
            if position < 0:
                places.append(Place(address, *self._astray(address)))
            else:
                offset, frames = next(found)
                places.append(Place(address, offset, frames))
        return places

    def _chains_of(self, offsets: array[int], positions: array[int], first: int) -> list[tuple[Frame, ...]]:
        """Give the frames of offsets in the code, each in the body whose number is at its place among `positions`."""
        functions = [first + position for position in positions if position >= 0]
        answers = self._ask(offsets)
        ids: Sequence[int] = bytes(len(offsets)) if answers is None else answers.ids
        if answers is not None and self._tables is not answers._tables:
            # Numbers are those of one engine, from its start to its end.
            self._tables = answers._tables
            self._chains.clear()
        if len(self._chains) > _MAX_CHAINS:
            self._chains.clear()
        known = self._chains
        keys = list(zip(ids, functions, strict=True))
        new = {key for key in keys if key[0] and key not in known}
        chains = {key: answers.frames(key[0]) for key in new} if answers is not None else {}
        nameless = {function for number, function in keys if not number}
        self.names.prepare(nameless | {function for (_, function), c in chains.items() if c[-1].function is None})
        for (number, function), chain in chains.items():
            known[number, function] = self._from_dwarf(chain, function)
        if nameless and self.source_map is not None:
            return [
                known[key] if key[0] else self._from_source_map(offset, key[1])
                for key, offset in zip(keys, offsets, strict=True)
            ]
        return [known[key] if key[0] else self._named(key[1]) for key in keys]

    def _ask(self, offsets: array[int]) -> Answers | None:
        if not offsets or self.info is None:
            return None
        try:
            answers = self.info.lookup(offsets)
            self.problems = self.info.engine.problems
            return answers
        except (DebugInfoError, ModuleFormatError) as error:
            self.problems = (f"no answer: {error}",)
            return None

    def _from_dwarf(self, chain: tuple[EngineFrame, ...], function: int) -> tuple[Frame, ...]:
        assert self.info is not None and self._bodies is not None and self.module.code is not None
        outer = chain[-1]
        origin = self.info.origin_of(outer.low_pc)
        frames = [
            Frame(f.function, _other(f.linkage_name, f.function), function, f.file, f.line, f.column, True, origin)
            for f in chain[:-1]
        ]
        name, linkage_name = outer.function, _other(outer.linkage_name, outer.function)
        body = self._bodies.of_function(function)
        base = self.module.code.offset
        if name is None or outer.low_pc is None or body is None or not body.offset <= outer.low_pc + base < body.end:
            # Who the function is, its index says, and not what DWARF has nearby.
            name, linkage_name, by = self.names.find(function)
            origin = origin if outer.line is not None else by
        frames.append(Frame(name, linkage_name, function, outer.file, outer.line, outer.column, False, origin))
        return tuple(frames)

    def _from_source_map(self, offset: int, function: int) -> tuple[Frame, ...]:
        code, bodies = self.module.code, self._bodies
        body = None if bodies is None else bodies.of_function(function)
        if self.source_map is None or code is None or body is None:
            return self._named(function)
        # A map counts from the module's beginning, also if the module is part of a component by now.
        start = self.module.start
        found = self.source_map.find(offset + code.offset - start, body.offset - start, body.end - start)
        if found is None:
            return self._named(function)
        name, linkage_name, _ = self.names.find(function)
        return (Frame(name, linkage_name, function, found.source, found.line, found.column, False, Origin.SOURCE_MAP),)

    def _named(self, function: int) -> tuple[Frame, ...]:
        known = self._plain.get(function)
        if known is None:
            name, linkage_name, origin = self.names.find(function)
            frame = Frame(name, linkage_name, function, None, None, None, False, origin)
            known = self._plain[function] = (frame,)
        return known

    def _nowhere(self, address: Address) -> tuple[tuple[Frame, ...], str]:
        """Answer for a module whose bodies are not known: a function's name needs no body."""
        if address.kind is AddressKind.FUNC and address.function is not None and address.function >= 0:
            frames = self._named(address.function)
            if frames[0].function is not None:
                return frames, "the module has no code that can be read"
        return (), "the module has no code that can be read"

    def _astray(self, address: Address) -> tuple[int | None, tuple[Frame, ...], str | None]:
        """Answer for an address that is in no body, or not in that of the function that it names."""
        kind, offset, function = address
        bodies, code = self._bodies, self.module.code
        assert bodies is not None and code is not None
        count = bodies.first_function + len(bodies)
        if function is None:
            if kind is AddressKind.FUNC:
                return None, (), "an offset in a function, and no function"
            start, end = (code.offset, code.end) if kind is AddressKind.FILE else (0, code.size)
            if not start <= offset < end:
                return None, (), f"outside of the code, which is at {start:#x} to {end:#x}"
            return offset - start, (), "between two functions"
        if not 0 <= function < count:
            return None, (), f"there is no function {function}: the module has {count:,}"
        if function < bodies.first_function:
            return None, self._named(function), None
        body = bodies.of_function(function)
        assert body is not None
        if kind is AddressKind.FUNC:
            return None, self._named(function), f"beyond the end of function {function}, which has {body.size:,} bytes"
        start = 0 if kind is AddressKind.FILE else code.offset
        return (
            None,
            self._named(function),
            f"function {function} is at {body.offset - start:#x} to {body.end - start:#x}; is this what ran?",
        )

    @property
    def is_open(self) -> bool:
        """Whether reading DWARF takes memory at the moment."""
        info = self.__dict__.get("info")
        return info is not None and info.is_open

    def free(self) -> None:
        """Free the engine; it comes back when it is needed."""
        if "info" in self.__dict__ and self.info is not None:
            self.info.free()

    def close(self) -> None:
        """Free the engine, and close all files but the module."""
        if "info" in self.__dict__ and self.info is not None:
            self.info.close()
        if self._names_file is not None:
            self._names_file.close()


def _other(linkage_name: str | None, name: str | None) -> str | None:
    return None if linkage_name == name else linkage_name
