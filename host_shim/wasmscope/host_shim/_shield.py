"""Functions that C calls and that let nothing out, not even what strikes at their first instruction.

When a signal arrives while WebAssembly runs in the main thread, Python runs its handler at the next instruction that
it executes: the first one of the callback that the guest calls next, before any ``try``. Whatever the handler raises
(KeyboardInterrupt, by default) then leaves the callback; ctypes prints it and returns whatever lies in memory where a
result should be, which wasmtime takes for the address of a trap, and the process dies.

So the table that says which instructions a ``try`` covers is given one more entry, for those before the first. Its
format is that of CPython 3.11 and later (``Objects/exception_handling_notes.txt`` in its sources).
"""

from __future__ import annotations

from types import FunctionType
from typing import Final, TypeVar

__all__ = ["shielded"]

F = TypeVar("F")
_ENTRY_STARTS: Final = 0x80
_MORE: Final = 0x40
_BITS: Final = 6


def shielded(function: F) -> F:
    """Have a function's first ``try`` also cover what comes before it; nothing may that it needs.

    Args:
        function: A Python function that begins with a ``try`` that catches all and covers all the rest.

    Returns:
        The same function. If its table cannot be read, it is as it was.
    """
    if not isinstance(function, FunctionType):
        return function
    code = function.__code__
    table: bytes = code.co_exceptiontable
    # The first entry: start and length of what is covered, where to go, and how deep the stack is there.
    numbers: list[int] = []
    at = 0
    while len(numbers) < 4 and at < len(table):
        number, at = _read(table, at)
        numbers.append(number)
    if len(numbers) < 4:
        return function
    start, _, target, depth_and_lasti = numbers
    first = _number(0) + _number(start) + _number(target) + _number(depth_and_lasti)
    function.__code__ = code.replace(co_exceptiontable=bytes([first[0] | _ENTRY_STARTS]) + first[1:] + table)
    return function


def _read(table: bytes, at: int) -> tuple[int, int]:
    """Read a number in groups of six bits, the highest first; also where the next one begins."""
    number = table[at] & (_MORE - 1)
    while table[at] & _MORE:
        at += 1
        number = number << _BITS | table[at] & (_MORE - 1)
    return number, at + 1


def _number(number: int) -> bytes:
    """Write a number in groups of six bits, the highest first."""
    groups = [number & (_MORE - 1)]
    while number := number >> _BITS:
        groups.append(number & (_MORE - 1) | _MORE)
    return bytes(reversed(groups))
