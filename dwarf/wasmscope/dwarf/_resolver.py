"""From addresses in one core module to frames."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, cast

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
# Optimizers that merge code leave such entries behind in sound modules: what they say is not used, and not missed.
_HARMLESS: Final = "inlined calls outside of their function's code"
_NO_CODE: Final = "it has no code; if it is a debug file, name the module that is executed, too"
# Makes a named tuple in half the time that its class takes, which counts for a million addresses.
_new: Callable[[type[Any], Iterable[object]], Any] = cast(Any, tuple).__new__


class Resolver:
    """All that speaks for one core module, asked in order.

    Attributes:
        module: The module that is executed.
        notes: What people should know about the answers, in the order in which it turned out.
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
        self.names = FunctionNames(module, self.notes)
        self._sources = sources
        self._given_map = source_map
        self._names_file: Module | None = None
        self._problems: set[str] = set()
        # Frames by the number of their chain; chains that may belong to several functions; frames by function where
        # there is nothing but its name.
        self._tables: Tables | None = None
        self._chains: dict[int, tuple[Frame, ...]] = {}
        self._shared: dict[int, tuple[EngineFrame, ...]] = {}
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
            if code is None and _NO_CODE not in self.notes:
                self.notes.append(_NO_CODE)
            return [Place(a, None, *self._nowhere(a)) for a in addresses]
        _ = self.info  # which may have names, too
        base, starts, ends, first = code.offset, bodies.starts, bodies.ends, bodies.first_function
        count = len(starts)
        func, by_code = AddressKind.FUNC, AddressKind.CODE
        # Function and offset in the code of those addresses that are in a body; and where among `addresses` others are.
        functions = array("I")
        offsets = array("I")
        astray: list[int] = []
        for kind, offset, function in addresses:
            if kind is func:
                position = -1 if function is None else function - first
                if 0 <= position < count and 0 <= offset < ends[position] - starts[position]:
                    offset += starts[position]
                else:
                    position = -1
            else:
                if kind is by_code:
                    offset += base
                position = bisect_right(starts, offset) - 1
                if position >= 0 and (
                    offset >= ends[position] or (function is not None and function != first + position)
                ):
                    position = -1
            if position < 0:
                astray.append(len(offsets) + len(astray))
            else:
                functions.append(first + position)
                offsets.append(offset - base)
        chains = self._chains_of(offsets, functions)
        if not astray:
            return [_new(Place, each) for each in zip(addresses, offsets, chains, repeat(None))]
        inside = zip(offsets, chains, repeat(None), strict=False)
        lost = set(astray)
        return [
            Place(address, *(self._astray(address) if number in lost else next(inside)))
            for number, address in enumerate(addresses)
        ]

    def _chains_of(self, offsets: array[int], functions: array[int]) -> list[tuple[Frame, ...]]:
        """Give the frames of offsets in the code, each in the body of the function that is at its place."""
        answers = self._ask(offsets)
        if answers is None:
            ids: Sequence[int] = bytes(len(offsets))
        else:
            ids = answers.ids
            self._learn(answers, functions)
        known, shared = self._chains, self._shared
        unknown = {function for number, function in zip(ids, functions, strict=True) if number not in known}
        self.names.prepare(unknown)
        source_map = self.source_map if unknown and 0 in ids else None
        found: list[tuple[Frame, ...]] = []
        for number, function, offset in zip(ids, functions, offsets, strict=True):
            frames = known.get(number)
            if frames is None:
                if number:
                    frames = self._from_dwarf(shared[number], function)
                elif source_map is None:
                    frames = self._named(function)
                else:
                    frames = self._from_source_map(source_map, offset, function)
            found.append(frames)
        return found

    def _learn(self, answers: Answers, functions: array[int]) -> None:
        """Make frames of chains that were not met before."""
        if self._tables is not answers._tables or len(self._chains) > _MAX_CHAINS:
            # Numbers are those of one engine, from its start to its end.
            self._tables = answers._tables
            self._chains.clear()
            self._shared.clear()
        function_of = dict(zip(answers.ids, functions, strict=True))
        for number in function_of.keys() - self._chains.keys() - self._shared.keys() - {0}:
            chain = answers.frames(number)
            if chain[-1].function is None or chain[-1].low_pc is None:
                # Lines without a function: those of several functions may be the same.
                self._shared[number] = chain
            else:
                self._chains[number] = self._from_dwarf(chain, function_of[number])

    def _ask(self, offsets: array[int]) -> Answers | None:
        if not offsets or self.info is None:
            return None
        try:
            answers = self.info.lookup(offsets)
            for problem in self.info.engine.problems:
                self._note_problem(problem)
            return answers
        except (DebugInfoError, ModuleFormatError) as error:
            self._note_problem(f"no answer: {error}")
            return None

    def _note_problem(self, problem: str) -> None:
        """Note what is broken in the DWARF, each kind once: its number grows with what is looked at."""
        kind = problem.lstrip("0123456789,")
        if kind not in self._problems and not problem.endswith(_HARMLESS):
            self._problems.add(kind)
            self.notes.append(f"in the DWARF: {problem}")

    def _from_dwarf(self, chain: tuple[EngineFrame, ...], function: int) -> tuple[Frame, ...]:
        assert self.info is not None and self._bodies is not None and self.module.code is not None
        outer = chain[-1]
        origin = self.info.origin_of(outer.low_pc)
        frames: list[Frame] = [
            _new(Frame, (f.function, _other(f), function, f.file, f.line, f.column, True, origin)) for f in chain[:-1]
        ]
        name, linkage_name = outer.function, _other(outer)
        body = self._bodies.of_function(function)
        base = self.module.code.offset
        if name is None or outer.low_pc is None or body is None or not body.offset <= outer.low_pc + base < body.end:
            # Who the function is, its index says, and not what DWARF has nearby.
            name, linkage_name, by = self.names.find(function)
            origin = origin if outer.line is not None else by
        frames.append(_new(Frame, (name, linkage_name, function, outer.file, outer.line, outer.column, False, origin)))
        return tuple(frames)

    def _from_source_map(self, source_map: SourceMap, offset: int, function: int) -> tuple[Frame, ...]:
        code, bodies = self.module.code, self._bodies
        body = None if bodies is None else bodies.of_function(function)
        if code is None or body is None:
            return self._named(function)
        # A map counts from the module's beginning, also if the module is part of a component by now.
        start = self.module.start
        found = source_map.find(offset + code.offset - start, body.offset - start, body.end - start)
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


def _other(frame: EngineFrame) -> str | None:
    return None if frame.linkage_name == frame.function else frame.linkage_name
