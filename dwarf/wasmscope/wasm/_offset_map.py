"""Where the bytes of a file are after it was rewritten."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable

__all__ = ["OffsetMap"]


class OffsetMap:
    """Byte offsets in a file, before and after.

    Every byte that was kept is there exactly once before and after.
    """

    __slots__ = ("_new", "_old")

    def __init__(self, kept: Iterable[tuple[int, int, int]]) -> None:
        """Take what was kept.

        Args:
            kept: Where each part was, where it is, and how many bytes it has. No two have a byte in common.
        """
        parts = [part for part in kept if part[2]]
        self._old = _Ranges((old, new, size) for old, new, size in parts)
        self._new = _Ranges((new, old, size) for old, new, size in parts)

    def to_new(self, old: int) -> int | None:
        """Tell where a byte is now; None if it was dropped or replaced.

        Args:
            old: Where it was.
        """
        return self._old.find(old)

    def to_old(self, new: int) -> int | None:
        """Tell where a byte was; None if it is new.

        Args:
            new: Where it is.
        """
        return self._new.find(new)


class _Ranges:
    __slots__ = ("_sizes", "_starts", "_targets")

    def __init__(self, ranges: Iterable[tuple[int, int, int]]) -> None:
        ordered = sorted(ranges)
        self._starts = array("Q", [start for start, _, _ in ordered])
        self._targets = array("Q", [target for _, target, _ in ordered])
        self._sizes = array("Q", [size for _, _, size in ordered])

    def find(self, offset: int) -> int | None:
        position = bisect_right(self._starts, offset) - 1
        if position < 0:
            return None
        inside = offset - self._starts[position]
        return self._targets[position] + inside if inside < self._sizes[position] else None
