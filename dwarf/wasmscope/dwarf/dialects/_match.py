"""What a dialect finds in text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from wasmscope.wasm import Address

__all__ = ["Dialect", "Match"]


class Match(NamedTuple):
    """A frame of a stack trace, as some engine prints it.

    Attributes:
        start: Where it begins in the text, as an index of characters.
        end: Where it ends.
        address: The place in the code; None if the engine tells no more than the function.
        fallback: A second reading of the address, for when the first is not in the function that the engine names;
            None if there is no other.
        module: What the engine calls the module; None if it does not know it.
        function_index: The function's index, imported ones counted first; None if it is not told.
        function_name: What the engine calls the function; None if it does not know it.
        dialect: Which engine or host writes frames like this.
    """

    start: int
    end: int
    address: Address | None
    fallback: Address | None
    module: str | None
    function_index: int | None
    function_name: str | None
    dialect: str


class Dialect(NamedTuple):
    """How one family of engines writes a frame.

    Attributes:
        name: Its name.
        needles: Texts of which each of its frames has one; a line without them is not looked at.
        find: Finds its frames in a line, from left to right, in time that grows with the line's length.
    """

    name: str
    needles: tuple[str, ...]
    find: Callable[[str], Iterator[Match]]
