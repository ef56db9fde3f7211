"""A guest's memory, as its telemetry calls read and write it."""

from __future__ import annotations

from collections.abc import Callable

from wasmscope.host_shim._packed import cut_text
from wasmscope.host_shim._rejections import Rejections
from wasmscope.host_shim._runtime import NOTHING, GuestBytes, GuestMemory

__all__ = ["GuestReader"]


class GuestReader:
    """Reads texts and bytes where a guest says they are, and writes results.

    Guarantees: nothing outside the memory is touched, whatever the addresses; what is not there is counted.
    """

    __slots__ = ("_memory", "_still", "_still_end", "_view", "rejections")

    def __init__(self, rejections: Rejections) -> None:
        """Start without a memory.

        Args:
            rejections: Counts what cannot be read.
        """
        self.rejections = rejections
        self._memory: GuestMemory | None = None
        self._view: Callable[[], GuestBytes] = _nothing
        # The bytes of a memory that cannot move: no need to ask for them each time.
        self._still = NOTHING
        self._still_end = 0

    def attach_memory(self, memory: GuestMemory | None) -> None:
        """Say where the guest's addresses point; None if it has no memory."""
        self._memory = memory
        self._view = _nothing if memory is None else memory.view
        self._still = memory.refreshed() if memory is not None and memory.is_fixed else NOTHING
        self._still_end = len(self._still)

    @property
    def memory(self) -> GuestMemory | None:
        """The guest's memory."""
        return self._memory

    def _far(self, pointer: int, size: int) -> bytes | None:
        """Read what the view at hand does not cover: after growth, or out of bounds."""
        if self._memory is None:
            self.rejections.add("no_memory")
            return None
        view = self._memory.refreshed()
        if self._still_end:
            self._still, self._still_end = view, len(view)
        raw = view[pointer : pointer + size]
        if len(raw) != size:
            self.rejections.add("out_of_bounds", f"{size} bytes at {pointer:#x}")
            return None
        return raw

    def read(self, view: GuestBytes, pointer: int, size: int) -> bytes | None:
        """Read bytes; None and counted if they are not all there."""
        raw = view[pointer : pointer + size]
        return raw if len(raw) == size else self._far(pointer, size)

    def text(self, view: GuestBytes, pointer: int, size: int, limit: int, cut: list[str] | None = None) -> str:
        """Read text.

        Args:
            view: The memory.
            pointer: Its address.
            size: Its length in bytes.
            limit: Where to cut it.
            cut: Gets a note if it was cut, as for a log's body.
        """
        if size > limit:
            head = self._far(pointer, limit + 1) if self._is_inside(pointer, size) else None
            if head is None:
                return ""
            if cut is not None:
                cut.append(f"body={size}")
            raw = cut_text(head, limit)
        else:
            raw = view[pointer : pointer + size]
            if len(raw) != size:
                raw = self._far(pointer, size) or b""
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.rejections.add("utf8")
            return raw.decode("utf-8", "replace")

    def _is_inside(self, pointer: int, size: int) -> bool:
        if self._memory is None:
            self.rejections.add("no_memory")
            return False
        if pointer + size > len(self._memory.refreshed()):
            self.rejections.add("out_of_bounds", f"{size} bytes at {pointer:#x}")
            return False
        return True

    def _write(self, pointer: int, data: bytes) -> bool:
        if not self._is_inside(pointer, len(data)):
            return False
        assert self._memory is not None
        self._memory.refreshed()[pointer : pointer + len(data)] = data
        return True

    def _give(self, pointer: int, capacity: int, text: str) -> int:
        """Write a result where it fits, and give its length."""
        raw = text.encode("utf-8", "replace")
        if 0 < len(raw) <= capacity and not self._write(pointer, raw):
            return 0
        return len(raw)


def _nothing() -> GuestBytes:
    return NOTHING
