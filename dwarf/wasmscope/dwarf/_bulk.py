"""A great many addresses in one module: numbers instead of objects, so that each place costs a microsecond or two."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from wasmscope.wasm import Address, AddressKind

if TYPE_CHECKING:
    from threading import RLock

    from wasmscope.dwarf._engine_tables import EngineFrame, Tables
    from wasmscope.dwarf._frame import Frame
    from wasmscope.dwarf._resolver import Resolver

__all__ = ["Bulk"]

_NONE: Final = 0xFFFFFFFF
_FRAME_WORDS: Final = 5


class Bulk:
    """Gives addresses numbers; places with the same frames have the same number, so that each is looked at once.

    A number stands for a frame and the number of the frames around it: `frame_of` and `outer`. 0 stands for nothing.
    Those of the engine count up from 1, and `count` is one more than the last; others count down from -1. They are
    valid until `epoch` changes.

    Attributes:
        epoch: Changes when numbers above 0 that were given before mean nothing any more.
        frame_size: How many of `frame_words` a frame has.
    """

    frame_size: Final = _FRAME_WORDS

    def __init__(self, resolver: Resolver, lock: RLock) -> None:
        """Begin.

        Args:
            resolver: Who knows the module.
            lock: What keeps others from using it meanwhile.
        """
        self.epoch = 0
        self._resolver = resolver
        self._lock = lock
        self._tables: Tables | None = None
        # Of numbers below 0: the frame, and the number of what is around it.
        self._others: list[tuple[Frame, int]] = []
        self._other_numbers: dict[tuple[Frame, ...], int] = {(): 0}
        self._by_position: dict[int, int] = {-1: 0}
        self._starts: list[int] = []
        # By number of the engine, whether the function around all that was inlined has no name; and these numbers.
        self._nameless = bytearray(1)
        self._doubtful: set[int] = set()

    @property
    def count(self) -> int:
        """How many numbers of the engine there are, with 0."""
        return 1 if self._tables is None else len(self._tables._chains) // 2

    def numbers(self, kind: AddressKind, offsets: Sequence[int], *, with_names: bool) -> Sequence[int]:
        """Give the numbers of places.

        Args:
            kind: What all offsets count from; not `AddressKind.FUNC`.
            offsets: The offsets.
            with_names: Whether functions' names matter, and not only files and lines.
        """
        resolver = self._resolver
        with self._lock:
            code, bodies = resolver.module.code, resolver._bodies
            if code is None or bodies is None:
                return self._resolved(kind, offsets)
            base = 0 if kind is AddressKind.CODE else code.offset
            in_code = [offset - base for offset in offsets]
            try:
                wanted = array("I", in_code)
            except OverflowError:
                # At 0 is the count of functions, and so nothing.
                in_code = [offset if 0 <= offset < code.size else 0 for offset in in_code]
                wanted = array("I", in_code)
            answers = None if resolver.info is None else resolver._ask(wanted)
            if answers is None:
                return self._named(kind, offsets)
            if answers._tables is not self._tables:
                self._tables = answers._tables
                self._nameless = bytearray(1)
                self._doubtful.clear()
                self.epoch += 1
            numbers = answers.ids
            if with_names:
                self._judge()
            found = list(numbers)
            doubtful = self._doubtful if with_names else ()
            is_unsure = bool(doubtful) and not self._doubtful.isdisjoint(found)
            if not is_unsure and 0 not in found:
                return numbers
            nobody = [i for i, number in enumerate(found) if not number]
            unsure = [i for i, number in enumerate(found) if number in doubtful] if is_unsure else []
            for at, ask in ((nobody, self._named), (unsure, self._resolved)):
                for i, number in zip(at, ask(kind, [offsets[i] for i in at]), strict=True):
                    found[i] = number
            return found

    def frame_of(self, number: int) -> EngineFrame | Frame:
        """Give the frame of a number that is not 0."""
        if number < 0:
            return self._others[-number - 1][0]
        assert self._tables is not None
        return self._tables.frame(self._tables._chains[2 * number])

    def outer(self, number: int) -> int:
        """Give the number of what the frame was inlined into; 0 if it was not."""
        if number < 0:
            return self._others[-number - 1][1]
        assert self._tables is not None
        return self._tables._chains[2 * number + 1]

    def chains(self, first: int) -> Iterable[tuple[int, int]]:
        """Give for numbers of the engine, from one on, the number of the frame and `outer`."""
        if self._tables is None:
            return ()
        words = self._tables._chains
        return zip(words[2 * first :: 2], words[2 * first + 1 :: 2], strict=True)

    def frame_words(self) -> Sequence[int]:
        """Give `frame_size` numbers for each of the engine's frames: of `function`, of its file's `text`, line, column.

        Line and column are 0 where they are not known.
        """
        return () if self._tables is None else self._tables._frames

    def text(self, number: int) -> str | None:
        """Give a text of the engine; None for 0."""
        return None if self._tables is None else self._tables.text(number)

    def function(self, number: int) -> tuple[str | None, str | None]:
        """Give a function's name as it is written, and as the linker has it."""
        if self._tables is None:
            return None, None
        words = self._tables._functions
        return self.text(words[2 * number]), self.text(words[2 * number + 1])

    def _judge(self) -> None:
        """Find out which of the engine's new numbers are of a function that the engine cannot name.

        That the others are named rightly needs no look: the engine's functions lie inside of one body, which is the
        body of the place.
        """
        assert self._tables is not None
        frames, functions = self._tables._frames, self._tables._functions
        nameless, known = self._nameless, len(self._nameless)
        for number, (frame, outer) in enumerate(self.chains(known), known):
            if outer:
                # What is around has a smaller number.
                is_nameless = nameless[outer]
            else:
                at = _FRAME_WORDS * frame
                is_nameless = frames[at + 4] >= _NONE - 1 or not functions[2 * frames[at]]
            nameless.append(is_nameless)
            if is_nameless:
                self._doubtful.add(number)

    def _resolved(self, kind: AddressKind, offsets: Sequence[int]) -> list[int]:
        """Ask the resolver about each."""
        places = self._resolver.resolve([Address(kind, offset) for offset in offsets]) if offsets else ()
        return [self._number(place.frames) for place in places]

    def _named(self, kind: AddressKind, offsets: Sequence[int]) -> list[int]:
        """Ask those that speak where there is no DWARF."""
        if not offsets:
            return []
        resolver = self._resolver
        code, bodies = resolver.module.code, resolver._bodies
        if code is None or bodies is None or resolver.source_map is not None:
            return self._resolved(kind, offsets)
        # A list: looking into an array makes a number each time.
        starts = self._starts = self._starts or list(bodies.starts)
        ends = bodies.ends
        base = code.offset if kind is AddressKind.CODE else 0
        positions = [
            at if (at := bisect_right(starts, offset + base) - 1) >= 0 and offset + base < ends[at] else -1
            for offset in offsets
        ]
        known = self._by_position
        new = set(positions) - known.keys()
        resolver.names.prepare(bodies.first_function + position for position in new)
        for position in new:
            known[position] = self._number(resolver._named(bodies.first_function + position))
        return [known[position] for position in positions]

    def _number(self, frames: tuple[Frame, ...]) -> int:
        number = self._other_numbers.get(frames)
        return self._new(frames) if number is None else number

    def _new(self, frames: tuple[Frame, ...]) -> int:
        outer = 0
        for start in range(len(frames) - 1, -1, -1):
            number = self._other_numbers.get(frames[start:])
            if number is None:
                self._others.append((frames[start], outer))
                number = self._other_numbers[frames[start:]] = -len(self._others)
            outer = number
        return outer
