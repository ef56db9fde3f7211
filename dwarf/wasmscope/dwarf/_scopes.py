"""A function's variables, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from wasmscope.dwarf._locations import Location, optimized_out
from wasmscope.dwarf._types import TypeName

__all__ = ["FunctionVariables", "Scope", "ScopeKind", "Variable"]


class ScopeKind(Enum):
    """What a part of a function is."""

    FUNCTION = "function"
    """The whole of it."""
    INLINED = "inlined"
    """Another function, inlined into it."""
    BLOCK = "block"
    """A block of the source."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A parameter or a local.

    Attributes:
        name: Its name; None for a parameter that has none in the source.
        is_parameter: Whether it is a parameter.
        type: Its type.
        file: Path of the file where it is declared, joined with its folder; None if unknown.
        line: Line of the declaration, from 1; None if unknown.
        locations: Where it is. One without code offsets holds in all of the scope where no other one does; elsewhere
            the variable is optimised out.
    """

    name: str | None
    is_parameter: bool
    type: TypeName
    file: str | None
    line: int | None
    locations: tuple[Location, ...]

    def location(self, code_offset: int) -> Location:
        """Say where it is at a place in the code.

        Args:
            code_offset: The place, as an offset in the code section's contents.
        """
        everywhere = optimized_out()
        for location in self.locations:
            if location.low is None or location.high is None:
                everywhere = location
            elif location.low <= code_offset < location.high:
                return location
        return everywhere


@dataclass(frozen=True, slots=True)
class Scope:
    """Part of a function, with the variables that are declared in it and in no scope inside of it.

    Attributes:
        kind: What it is.
        name: Name of the function, inlined or not, with its namespaces; None for a block.
        parent: Number of the scope around it in `FunctionVariables.scopes`; None for the function.
        ranges: Its code: pairs of the first offset in the code section's contents, and the one after the last.
        variables: Parameters first, then locals, in the order of the source.
        call_file: Of an inlined function: the file of the call; None if unknown.
        call_line: The line of the call, from 1; None if unknown.
        call_column: The column of the call, from 1; None if unknown.
    """

    kind: ScopeKind
    name: str | None
    parent: int | None
    ranges: tuple[tuple[int, int], ...]
    variables: tuple[Variable, ...]
    call_file: str | None = None
    call_line: int | None = None
    call_column: int | None = None

    def covers(self, code_offset: int) -> bool:
        """Whether code at a place belongs to it."""
        return any(low <= code_offset < high for low, high in self.ranges)


@dataclass(frozen=True, slots=True)
class FunctionVariables:
    """What the source says about a function's variables.

    Attributes:
        name: Name of the function, with its namespaces; None if it has none.
        linkage_name: Its name as the linker knows it; None if there is no other.
        function_index: Its index, imported ones counted first; None if there was no code to find it in.
        return_type: Type of what it returns; ``void`` if that is nothing.
        file: Path of the file where it is declared, joined with its folder; None if unknown.
        line: Line of the declaration, from 1; None if unknown.
        frame_base: What `LocationKind.FRAME_BASE` counts from; None if it is not said.
        scopes: The function first, then all that is inside of it; each after the one around it.
    """

    name: str | None
    linkage_name: str | None
    function_index: int | None
    return_type: TypeName
    file: str | None
    line: int | None
    frame_base: Location | None
    scopes: tuple[Scope, ...]

    @property
    def parameters(self) -> tuple[Variable, ...]:
        """Its own parameters, in order; not those of inlined functions."""
        return tuple(variable for variable in self.scopes[0].variables if variable.is_parameter)

    @property
    def locals(self) -> tuple[Variable, ...]:
        """Its own locals, those in blocks too; not those of inlined functions."""
        own: set[int] = set()
        found: list[Variable] = []
        for number, scope in enumerate(self.scopes):
            if scope.parent is None or (scope.kind is ScopeKind.BLOCK and scope.parent in own):
                own.add(number)
                found.extend(variable for variable in scope.variables if not variable.is_parameter)
        return tuple(found)

    def at(self, code_offset: int) -> tuple[Scope, ...]:
        """Give the scopes that a place in the code is in, the innermost first; none if it is not in the function.

        Args:
            code_offset: The place, as an offset in the code section's contents.
        """
        inside: set[int] = set()
        innermost: int | None = None
        for number, scope in enumerate(self.scopes):
            if (scope.parent is None or scope.parent in inside) and scope.covers(code_offset):
                inside.add(number)
                innermost = number
        chain: list[Scope] = []
        while innermost is not None:
            chain.append(self.scopes[innermost])
            innermost = self.scopes[innermost].parent
        return tuple(chain)
