"""The parameters and locals of a function: what they are called, of which type they are, and where.

with Module.open("app.wasm") as module:
    function = DebugVariables(module).of(Address(AddressKind.FUNC, 0, 42))
    for scope in function.at(code_offset):
        for variable in scope.variables: ...
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from wasmscope.dwarf._dwarf_codes import At, Form, Tag
from wasmscope.dwarf._line_files import LineFiles, read_files
from wasmscope.dwarf._lists import entry_ranges, read_locations
from wasmscope.dwarf._locations import Location, constant, locate, optimized_out
from wasmscope.dwarf._scopes import FunctionVariables, Scope, ScopeKind, Variable
from wasmscope.dwarf._types import Language, TypeName, TypeNames, language_of, scoped_name
from wasmscope.dwarf._units import Dwarf, Entry, Unit
from wasmscope.errors import DebugInfoError, ModuleFormatError
from wasmscope.wasm import Address, AddressKind, Module
from wasmscope.wasm._cursor import Cursor

__all__ = ["DebugVariables", "variables"]

_MAX_VARIABLES: Final = 20_000
_MAX_SCOPES: Final = 20_000
_MAX_LOCATIONS: Final = 50_000
_MAX_OPERATIONS: Final = 500_000
_MAX_CONSTANT_BYTES: Final = 4_096
_MAX_UNIT_RANGES: Final = 2_000_000
_MAX_RANGES_KEPT: Final = 1_000_000
"""Of the functions of all units together; units can share a list, and so have more than there are bytes."""
_MAX_ORIGINS: Final = 16
_BLOCKS: Final = (Form.EXPRLOC, Form.BLOCK, Form.BLOCK1, Form.BLOCK2, Form.BLOCK4)


def variables(module: Module, address: Address) -> FunctionVariables | None:
    """Read the variables of one function; to ask for several, keep a `DebugVariables`.

    Args:
        module: The module, with DWARF in it.
        address: A place in the function.

    Raises:
        DebugInfoError: As `DebugVariables.of`.
    """
    return DebugVariables(module).of(address)


class DebugVariables:
    """Finds the variables of functions. Reads what is asked for, one unit at a time, and keeps where it was found.

    Guarantees: whatever the debug information is, each call takes time and memory in proportion to the largest unit,
    and ends with an answer or with `DebugInfoError`.
    """

    def __init__(self, debug: Module | Mapping[str, bytes | memoryview], *, code: Module | None = None) -> None:
        """Take the debug information. Nothing is read yet.

        Args:
            debug: The module that has it, or its sections by name (``.debug_info`` and so on).
            code: The module that runs, if the debug information is in a file without code.
        """
        if isinstance(debug, Module):
            # Of several with one name the first one counts.
            custom = [section for section in reversed(debug.sections) if section.name.startswith(".debug_")]
            self._dwarf = Dwarf({section.name: debug.view(section) for section in custom})
            code = code or debug
        else:
            self._dwarf = Dwarf(debug)
        self._code = code if code is not None and code.code is not None else None
        self._types = TypeNames()
        self._coverage: _Coverage | None = None
        self._functions: dict[int, list[tuple[int, int, int]]] = {}
        self._ranges_kept = 0
        self._files: dict[int, LineFiles] = {}
        self._forgotten = 0

    def of(self, address: Address) -> FunctionVariables | None:
        """Read the variables of the function that has a place; None if nothing is known about it.

        Args:
            address: The place. Without code, only an offset in the code section's contents will do.

        Raises:
            DebugInfoError: If the debug information cannot be read, or if it is in a file of its own (split DWARF).
            ModuleFormatError: If the code section cannot be read.
        """
        self._dwarf.begin()
        if self._code is None:
            if address.kind is not AddressKind.CODE:
                raise DebugInfoError(
                    f"there is no code section to find a {address.kind.value} address in; "
                    "give an offset in the code section, or the module that runs"
                )
            return self._find(address.offset, address.offset + 1, None, None)
        place = self._code.to_function(address)
        body = None if place is None or place.function is None else self._code.bodies.of_function(place.function)
        if body is None or self._code.code is None:
            return None
        base = self._code.code.offset
        first_instruction = _first_instruction(self._code, body.offset, body.end) - base
        return self._find(body.offset - base, body.end - base, first_instruction, body.function_index)

    # --- finding the function ---

    def _find(
        self, low: int, high: int, first_instruction: int | None, function_index: int | None
    ) -> FunctionVariables | None:
        """Find the function of a body, or, without a body, the one that covers a place."""
        if self._coverage is None:
            self._coverage = _Coverage(self._dwarf)
        split: str | None = None
        for number in self._coverage.units(low, high):
            unit = self._dwarf.units[number]
            position = self._position(number, unit, low, high, first_instruction)
            if position is not None:
                return _Reader(self, unit, function_index).function(position)
            split = split or unit.top.text(At.DWO_NAME) or unit.top.text(At.GNU_DWO_NAME)
        if split is not None:
            raise DebugInfoError(
                f"what is known about this function's variables is in {split} (split DWARF), which is not read; "
                "build without -gsplit-dwarf"
            )
        return None

    def _position(self, number: int, unit: Unit, low: int, high: int, first_instruction: int | None) -> int | None:
        """Find the function in a unit that is a body's, or, without a body, the one that covers a place.

        A function goes from its body's beginning, or from the first instruction, to the body's end. A range that does
        not is stale; or it is of a weak function that the linker replaced by this one.
        """
        if self._forgotten != self._dwarf.forgotten:
            self._forgotten = self._dwarf.forgotten
            self._ranges_kept = 0
            self._functions.clear()
            self._files.clear()
        functions = self._functions.get(number)
        if functions is None:
            functions = sorted(_functions(unit))
            self._ranges_kept += len(functions)
            if self._ranges_kept > _MAX_RANGES_KEPT:
                self._ranges_kept = len(functions)
                self._functions.clear()
            self._functions[number] = functions
        for at in range(bisect_right(functions, high - 1, key=lambda each: each[0]) - 1, -1, -1):
            first, after, position = functions[at]
            if first_instruction is None:
                return position if first <= low < after else None
            if first < low:
                return None
            if first in (low, first_instruction) and after == high:
                return position
        return None

    # --- what readers share ---

    def type_of(self, entry: Entry) -> TypeName:
        """Give an entry's type."""
        return self._types.of(entry)

    def file(self, entry: Entry, attribute: int) -> str | None:
        """Give the file that an entry refers to by number."""
        number = entry.number(attribute)
        if number is None:
            return None
        unit = entry.unit
        files = self._files.get(unit.offset)
        if files is None:
            files = self._files[unit.offset] = read_files(unit)
        return files.path(number)


class _Coverage:
    """Which units have which code."""

    def __init__(self, dwarf: Dwarf) -> None:
        ranges: list[tuple[int, int, int]] = []
        self._unknown: list[int] = []
        for number, unit in enumerate(dwarf.units):
            if unit.signature is not None or not {At.LOW_PC, At.RANGES} & unit.top.attributes.keys():
                continue
            try:
                found = entry_ranges(unit.top, most=_MAX_UNIT_RANGES - len(ranges))
            except DebugInfoError:
                # Its list of ranges is missing or cut off: its functions have to be looked at.
                self._unknown.append(number)
            else:
                ranges.extend((low, high, number) for low, high in found)
        self._ranges = sorted(ranges)
        # The furthest end so far: where it is not behind a place, nothing before covers that.
        self._ends = array("Q", accumulate((high for _, high, _ in self._ranges), max))

    def units(self, low: int, high: int) -> Iterator[int]:
        """Go over the units that may have code between two places, each once."""
        seen: set[int] = set()
        for at in range(bisect_right(self._ranges, high - 1, key=lambda each: each[0]) - 1, -1, -1):
            if self._ends[at] <= low:
                break
            _, after, number = self._ranges[at]
            if after > low and number not in seen:
                seen.add(number)
                yield number
        yield from self._unknown


def _first_instruction(module: Module, start: int, end: int) -> int:
    """Where a body's first instruction is in the file, behind its vector of locals; its start if that is broken.

    Source: https://webassembly.github.io/spec/core/binary/modules.html#code-section
    """
    cursor = Cursor(memoryview(module.data), start, end, "code section")
    try:
        for _ in range(cursor.count(2)):
            cursor.u32()
            if cursor.take_if(0x63, 0x64):  # a reference to a type that follows
                cursor.s33()
            else:
                cursor.byte()
    except ModuleFormatError:
        return start
    return cursor.position


def _functions(unit: Unit) -> Iterator[tuple[int, int, int]]:
    """Go over a unit's functions with code: where they begin and end, and the number of their entry."""
    for position in unit.index.subprograms:
        entry = unit.entry(position)
        if At.LOW_PC in entry.attributes:
            for low, high in entry_ranges(entry):
                yield low, high, position


# --- reading it ---


@dataclass(slots=True)
class _OpenScope:
    """A scope while its variables are read."""

    kind: ScopeKind
    name: str | None
    parent: int | None
    ranges: tuple[tuple[int, int], ...]
    call: tuple[str | None, int | None, int | None]
    origin: Entry | None
    variables: list[Variable] = field(default_factory=list[Variable])
    origins: set[int] = field(default_factory=set[int])

    def close(self) -> Scope:
        ordered = sorted(self.variables, key=lambda variable: not variable.is_parameter)
        return Scope(self.kind, self.name, self.parent, self.ranges, tuple(ordered), *self.call)


class _Reader:
    """Reads one function."""

    def __init__(self, owner: DebugVariables, unit: Unit, function_index: int | None) -> None:
        self._owner = owner
        self._unit = unit
        self._function_index = function_index
        self._language = language_of(unit)
        self._variables_left = _MAX_VARIABLES
        self._locations_left = _MAX_LOCATIONS
        self._operations_left = _MAX_OPERATIONS
        self._abstract: dict[int, tuple[Entry, ...]] = {}

    def function(self, position: int) -> FunctionVariables:
        """Read the function whose entry has a number."""
        entry = self._unit.entry(position)
        chain = _origins(entry)
        declared, typed = (_first_with(chain, attribute) for attribute in (At.DECL_LINE, At.TYPE))
        bases = self._locations(entry, At.FRAME_BASE)
        scopes = tuple(scope.close() for scope in self._scopes(position, entry))
        return FunctionVariables(
            name=_function_name(chain, self._language),
            linkage_name=_linkage_name(chain),
            function_index=self._function_index,
            return_type=self._owner.type_of(typed),
            file=self._owner.file(declared, At.DECL_FILE),
            line=declared.number(At.DECL_LINE) or None,
            frame_base=bases[0] if bases else None,
            scopes=scopes,
        )

    def _scopes(self, position: int, function: Entry) -> list[_OpenScope]:
        parents = self._unit.index.parents
        found = [self._open(function, ScopeKind.FUNCTION, None)]
        numbers = {position: 0}
        for at in range(position + 1, len(parents)):
            if parents[at] < position:
                break
            number = numbers.get(parents[at])
            if number is None:
                continue  # inside a type, say, that is declared in the function
            entry = self._unit.entry(at)
            if entry.tag in (Tag.FORMAL_PARAMETER, Tag.VARIABLE):
                self._add(found[number], entry)
            elif entry.tag in (Tag.LEXICAL_BLOCK, Tag.INLINED_SUBROUTINE):
                if len(found) == _MAX_SCOPES:
                    raise DebugInfoError(f"{self._unit.where}: a function with more than {_MAX_SCOPES:,} scopes")
                kind = ScopeKind.BLOCK if entry.tag == Tag.LEXICAL_BLOCK else ScopeKind.INLINED
                numbers[at] = len(found)
                found.append(self._open(entry, kind, number))
        for scope in found:
            self._add_missing(scope)
        return found

    def _open(self, entry: Entry, kind: ScopeKind, parent: int | None) -> _OpenScope:
        chain = _origins(entry)
        ranges = entry_ranges(entry)
        self._locations_left -= len(ranges)
        self._check_locations()
        call: tuple[str | None, int | None, int | None] = (None, None, None)
        if kind is ScopeKind.INLINED:
            file = self._owner.file(entry, At.CALL_FILE)
            call = file, entry.number(At.CALL_LINE) or None, entry.number(At.CALL_COLUMN) or None
        name = None if kind is ScopeKind.BLOCK else _function_name(chain, self._language)
        origin = chain[1] if len(chain) > 1 and At.ABSTRACT_ORIGIN in entry.attributes else None
        return _OpenScope(kind, name, parent, ranges, call, origin)

    def _add(self, scope: _OpenScope, entry: Entry) -> None:
        if At.DECLARATION in entry.attributes:
            return
        self._variables_left -= 1
        if self._variables_left < 0:
            raise DebugInfoError(f"{self._unit.where}: a function with more than {_MAX_VARIABLES:,} variables")
        chain = _origins(entry)
        scope.origins.update(each.offset for each in chain[1:])
        named, declared, typed = (_first_with(chain, at) for at in (At.NAME, At.DECL_LINE, At.TYPE))
        locations = self._locations(entry, At.LOCATION)
        if locations is None:
            value = _first_with(chain, At.CONST_VALUE).attributes.get(At.CONST_VALUE)
            is_known = value is not None and (isinstance(value.raw, int) or len(value.raw) <= _MAX_CONSTANT_BYTES)
            locations = (constant(value.raw) if value is not None and is_known else optimized_out(),)
        scope.variables.append(
            Variable(
                name=named.text(At.NAME),
                is_parameter=entry.tag == Tag.FORMAL_PARAMETER,
                type=self._owner.type_of(typed),
                file=self._owner.file(declared, At.DECL_FILE),
                line=declared.number(At.DECL_LINE) or None,
                locations=locations,
            )
        )

    def _add_missing(self, scope: _OpenScope) -> None:
        """Add the variables that the function has in the source and this copy of it has not."""
        if scope.origin is None:
            return
        key = scope.origin.offset
        if key not in self._abstract:
            unit = scope.origin.unit
            position = unit.position(key)
            children = () if position is None else (unit.entry(child) for child in unit.children(position))
            self._abstract[key] = tuple(each for each in children if each.tag in (Tag.FORMAL_PARAMETER, Tag.VARIABLE))
        for entry in self._abstract[key]:
            if entry.offset not in scope.origins:
                self._add(scope, entry)

    def _locations(self, entry: Entry, attribute: int) -> tuple[Location, ...] | None:
        """Read where something is; None if that is not said."""
        value = entry.attributes.get(attribute)
        if value is None:
            return None
        unit = entry.unit
        if value.form in _BLOCKS and isinstance(value.raw, bytes):
            return (self._locate(unit, value.raw),)
        items = read_locations(unit, value)
        self._locations_left -= len(items) + 1
        self._check_locations()
        return tuple(self._locate(unit, *item) for item in items) or (optimized_out(),)

    def _locate(self, unit: Unit, expression: bytes, low: int | None = None, high: int | None = None) -> Location:
        location = locate(unit, expression, low, high)
        self._operations_left -= len(location.operations)
        self._check_locations()
        return location

    def _check_locations(self) -> None:
        if self._locations_left < 0 or self._operations_left < 0:
            raise DebugInfoError(
                f"{self._unit.where}: the variables of a function have more than {_MAX_LOCATIONS:,} places, "
                f"or {_MAX_OPERATIONS:,} operations to find them"
            )


def _origins(entry: Entry) -> tuple[Entry, ...]:
    """Give an entry and those that say more about it: what it is a copy of, or where it was declared."""
    chain = [entry]
    for _ in range(_MAX_ORIGINS):
        last = chain[-1]
        following = last.target(At.ABSTRACT_ORIGIN) or last.target(At.SPECIFICATION)
        if following is None or any(following.offset == each.offset for each in chain):
            break
        chain.append(following)
    return tuple(chain)


def _first_with(chain: tuple[Entry, ...], attribute: int) -> Entry:
    """Give the first entry that has an attribute; the first one of all if none has it."""
    return next((entry for entry in chain if attribute in entry.attributes), chain[0])


def _function_name(chain: tuple[Entry, ...], language: Language) -> str | None:
    # The declaration is where the scopes around it are; it is the last one.
    return scoped_name(chain[-1], language) or scoped_name(_first_with(chain, At.NAME), language)


def _linkage_name(chain: tuple[Entry, ...]) -> str | None:
    for entry in chain:
        name = entry.text(At.LINKAGE_NAME) or entry.text(At.MIPS_LINKAGE_NAME)
        if name is not None:
            return name
    return None
