"""What the engine's answers are made of, fetched as it grows and turned into objects when somebody looks."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, overload

__all__ = ["Answers", "EngineFrame", "Tables"]

_NONE: Final = 0xFFFFFFFF
_FRAME_WORDS: Final = 5


class EngineFrame(NamedTuple):
    """A source-level function at a place in the code.

    Attributes:
        function: Its name, demangled; None if the debug information has none.
        linkage_name: Its name as the linker knows it; None if it has none.
        low_pc: Where the code of the function begins, an offset in the code section's contents, as the debug
            information has it; None of an inlined one, and of one that is not described.
        file: Path of the source file, joined with the folder of its compilation; None if unknown.
        line: Line, from 1; None if unknown.
        column: Column, from 1; None if unknown.
        is_inlined: Whether it was inlined into the next frame.
    """

    function: str | None
    linkage_name: str | None
    low_pc: int | None
    file: str | None
    line: int | None
    column: int | None
    is_inlined: bool


class Tables:
    """The engine's texts, functions, frames and chains of frames, each known by a number. Number 0 is nothing."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        # Where each text begins, and after the last one where that ends.
        self._bounds = array("I", [0])
        self._texts: dict[int, str | None] = {0: None}
        self._functions = array("I")
        self._frames = array("I")
        self._chains = array("I")
        self._made: dict[int, EngineFrame] = {}
        self._chained: dict[int, tuple[EngineFrame, ...]] = {0: ()}

    def fetch(self, memory: memoryview, areas: array[int]) -> None:
        """Take what is new.

        Args:
            memory: The engine's.
            areas: From its control block: address and number of items of each table.
        """
        _extend_bytes(self._bytes, memory, areas[0], areas[1])
        for words, place, width in (
            (self._bounds, 2, 1),
            (self._functions, 4, 2),
            (self._frames, 6, _FRAME_WORDS),
            (self._chains, 8, 2),
        ):
            # The bounds have one word more here than there, so that what is known is one less.
            known = len(words) - (words is self._bounds)
            start = areas[place] + known * 4
            words.frombytes(memory[start : areas[place] + areas[place + 1] * width * 4])

    def text(self, number: int) -> str | None:
        """Give a text; None for number 0."""
        known = self._texts.get(number, "")
        if known or number in self._texts:
            return known
        # Whatever the file's bytes are, they can be printed: a surrogate cannot.
        made = self._bytes[self._bounds[number] : self._bounds[number + 1]].decode("utf-8", "replace")
        self._texts[number] = made
        return made

    def frame(self, number: int) -> EngineFrame:
        """Give a frame."""
        known = self._made.get(number)
        if known is None:
            at = number * _FRAME_WORDS
            function, file, line, column, low = self._frames[at : at + _FRAME_WORDS]
            known = self._made[number] = EngineFrame(
                self.text(self._functions[2 * function]),
                self.text(self._functions[2 * function + 1]),
                None if low >= _NONE - 1 else low,
                self.text(file),
                line or None,
                column or None,
                low == _NONE,
            )
        return known

    def chain(self, number: int) -> tuple[EngineFrame, ...]:
        """Give the frames of a place, innermost first."""
        known = self._chained.get(number)
        if known is None:
            frames: list[EngineFrame] = []
            at = number
            while at:
                frames.append(self.frame(self._chains[2 * at]))
                at = self._chains[2 * at + 1]
            known = self._chained[number] = tuple(frames)
        return known


class Answers(Sequence[tuple[EngineFrame, ...]]):
    """The frames of places in the code, innermost first; empty where nothing is known.

    Places with the same frames have the same number in `ids`, and give the same object.

    Attributes:
        ids: For each place the number of its frames; 0 if nothing is known.
    """

    __slots__ = ("_tables", "ids")

    def __init__(self, ids: array[int], tables: Tables) -> None:
        self.ids = ids
        self._tables = tables

    def frames(self, number: int) -> tuple[EngineFrame, ...]:
        """Give the frames with a number of `ids`."""
        return self._tables.chain(number)

    def __len__(self) -> int:
        """Give the number of places."""
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> tuple[EngineFrame, ...]: ...

    @overload
    def __getitem__(self, index: slice) -> Answers: ...

    def __getitem__(self, index: int | slice) -> tuple[EngineFrame, ...] | Answers:
        """Give the frames of a place, or the answers for some places."""
        if isinstance(index, slice):
            return Answers(self.ids[index], self._tables)
        return self._tables.chain(self.ids[index])

    def __iter__(self) -> Iterator[tuple[EngineFrame, ...]]:
        """Give the frames of each place."""
        return map(self._tables.chain, self.ids)


def _extend_bytes(known: bytearray, memory: memoryview, address: int, size: int) -> None:
    known += memory[address + len(known) : address + size]
