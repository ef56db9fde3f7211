"""Where a variable is, as an expression of DWARF says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from wasmscope.dwarf._units import Unit

if TYPE_CHECKING:
    from elftools.dwarf.dwarf_expr import DWARFExprParser

__all__ = ["Location", "LocationKind", "Operation", "Piece", "constant", "locate", "optimized_out"]

_MAX_EXPRESSION_BYTES: Final = 4_096
"""Compilers write some ten; a whole structure as a constant has a few hundred."""


class LocationKind(Enum):
    """How one gets to a variable."""

    LOCAL = "local"
    """A local of the WebAssembly function."""
    GLOBAL = "global"
    """A global of the module."""
    OPERAND_STACK = "operand-stack"
    """A place on the WebAssembly operand stack, which is seldom in a dump."""
    FRAME_BASE = "frame-base"
    """In memory, at a distance from the function's frame base."""
    MEMORY = "memory"
    """In memory, at a fixed address."""
    CONSTANT = "constant"
    """It has a value and no place."""
    COMPOSITE = "composite"
    """In pieces."""
    COMPUTED = "computed"
    """By the operations, which do more than the other kinds say."""
    OPTIMIZED_OUT = "optimized-out"
    """Nowhere: the compiler did without it."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A step of an expression.

    Attributes:
        name: As DWARF calls it: ``DW_OP_fbreg``.
        arguments: Its operands. For ``DW_OP_WASM_location`` which kind of place (0 local, 1 and 3 global, 2 operand
            stack), and its index.
    """

    name: str
    arguments: tuple[int | bytes, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a variable that has a place of its own.

    Attributes:
        location: Where it is.
        size_bits: How long it is, in bits.
    """

    location: Location
    size_bits: int


@dataclass(frozen=True, slots=True)
class Location:
    """Where a variable is.

    Source: https://yurydelendik.github.io/webassembly-dwarf/#dwarf-locals

    Attributes:
        kind: How one gets there.
        index: Of a local, global or place on the operand stack; else None.
        offset: Bytes from the frame base, or the address in memory; else None.
        value: Of a constant: the number, or its bytes; else None.
        is_value: Whether what is there is the variable's value. If not, a local, global or operand holds the address in
            memory of the variable.
        pieces: Of a composite, in order.
        operations: The whole expression.
        low: First code offset where this holds; None if it does in all of the variable's scope.
        high: The code offset after the last.
    """

    kind: LocationKind
    index: int | None = None
    offset: int | None = None
    value: int | bytes | None = None
    is_value: bool = False
    pieces: tuple[Piece, ...] = ()
    operations: tuple[Operation, ...] = ()
    low: int | None = None
    high: int | None = None


def optimized_out() -> Location:
    """Give the place of a variable that has none."""
    return Location(LocationKind.OPTIMIZED_OUT)


def constant(value: int | bytes) -> Location:
    """Give the place of a variable whose value the compiler knew."""
    return Location(LocationKind.CONSTANT, value=value, is_value=True)


def locate(unit: Unit, expression: bytes, low: int | None = None, high: int | None = None) -> Location:
    """Say what an expression means; what cannot be read is `LocationKind.COMPUTED` without operations.

    Args:
        unit: The unit that has it.
        expression: Its bytes.
        low: First code offset where it holds, or None.
        high: The code offset after the last, or None.
    """
    operations = _parse(unit, expression)
    if operations is None:
        return Location(LocationKind.COMPUTED, low=low, high=high)
    pieces: list[Piece] = []
    current: list[Operation] = []
    for operation in operations:
        if operation.name not in ("DW_OP_piece", "DW_OP_bit_piece"):
            current.append(operation)
            continue
        size = operation.arguments[0]
        bits = (size if isinstance(size, int) else 0) * (8 if operation.name == "DW_OP_piece" else 1)
        pieces.append(Piece(_simple(unit, tuple(current), None, None), bits))
        current = []
    if pieces:
        return Location(
            LocationKind.COMPOSITE, pieces=tuple(pieces), operations=operations, low=low, high=high, is_value=False
        )
    return _simple(unit, operations, low, high)


_WASM_KINDS: Final = {
    0: LocationKind.LOCAL,
    1: LocationKind.GLOBAL,
    2: LocationKind.OPERAND_STACK,
    3: LocationKind.GLOBAL,
}
_CONSTANTS: Final = frozenset(
    {f"DW_OP_const{size}{sign}" for size in (1, 2, 4, 8) for sign in "us"}
    | {"DW_OP_constu", "DW_OP_consts"}
    | {f"DW_OP_lit{number}" for number in range(32)}
)


def _simple(unit: Unit, operations: tuple[Operation, ...], low: int | None, high: int | None) -> Location:
    """Say what an expression without pieces means."""

    def location(kind: LocationKind, **what: Any) -> Location:
        return Location(kind, operations=operations, low=low, high=high, **what)

    if not operations:
        return location(LocationKind.OPTIMIZED_OUT)
    first, rest = operations[0], operations[1:]
    is_value = bool(rest) and rest[-1].name == "DW_OP_stack_value"
    # With more than one step and the mark that it is a value, it has to be computed.
    if len(rest) > is_value:
        return location(LocationKind.COMPUTED, is_value=is_value)
    number = next((argument for argument in reversed(first.arguments) if isinstance(argument, int)), None)
    match first.name:
        case "DW_OP_WASM_location":
            kind = first.arguments[0]
            return location(_WASM_KINDS[kind if isinstance(kind, int) else 0], index=number, is_value=is_value)
        case "DW_OP_fbreg" if not is_value:
            return location(LocationKind.FRAME_BASE, offset=number)
        case "DW_OP_addr" if not is_value:
            return location(LocationKind.MEMORY, offset=number)
        case "DW_OP_addrx" | "DW_OP_GNU_addr_index" if not is_value:
            address = None if number is None else unit.indexed_address(number)
            return location(LocationKind.COMPUTED if address is None else LocationKind.MEMORY, offset=address)
        case "DW_OP_implicit_value" if not rest:
            return location(LocationKind.CONSTANT, value=first.arguments[0], is_value=True)
        case name if is_value and name in _CONSTANTS:
            value = int(name.removeprefix("DW_OP_lit")) if number is None else number
            return location(LocationKind.CONSTANT, value=value, is_value=True)
        case _:
            return location(LocationKind.COMPUTED, is_value=is_value)


def _parse(unit: Unit, expression: bytes) -> tuple[Operation, ...] | None:
    """Take an expression apart; None if it cannot be read."""
    if len(expression) > _MAX_EXPRESSION_BYTES:
        return None
    sizes = unit.sizes
    try:
        parsed = _parser(sizes.address, sizes.offset, sizes.version).parse_expr(expression)
        return tuple(Operation(step.op_name, tuple(_argument(each) for each in step.args)) for step in parsed)
    except Exception:
        # pyelftools raises what the place in its code happens to raise: KeyError for an operation it does not know,
        # its own errors and those of its parser for what is cut off, RecursionError for what is nested.
        return None


def _argument(argument: Any) -> int | bytes:
    """Give an operand as plain data; a nested expression (DW_OP_entry_value) only by its operations' numbers."""
    if isinstance(argument, int):
        return argument
    return bytes(each if isinstance(each, int) else each.op for each in argument)


@lru_cache(maxsize=8)
def _parser(address_bytes: int, offset_bytes: int, version: int) -> DWARFExprParser:
    from elftools.dwarf.dwarf_expr import DWARFExprParser
    from elftools.dwarf.structs import DWARFStructs

    return DWARFExprParser(
        DWARFStructs(
            little_endian=True, dwarf_format=8 * offset_bytes, address_size=address_bytes, dwarf_version=version
        )
    )
