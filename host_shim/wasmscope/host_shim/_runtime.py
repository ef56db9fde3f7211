"""The seam to a WebAssembly runtime.

Decoding, signals and accounting know a guest by these protocols only; ``_wasmtime`` implements them for wasmtime-py.
"""

from __future__ import annotations

import ctypes
from typing import Final, Protocol, cast

__all__ = ["NOTHING", "GuestBytes", "GuestMemory", "GuestStore"]


class GuestBytes(Protocol):
    """Bytes of a guest's memory, by slices with a step of 1; ends beyond the last byte are cut off, as everywhere.

    A slice is a copy: check its length before, and what was read cannot change or go afterwards.
    """

    def __len__(self) -> int:
        """Count them."""
        ...

    def __getitem__(self, at: slice, /) -> bytes:
        """Copy some."""
        ...

    def __setitem__(self, at: slice, data: bytes, /) -> None:
        """Overwrite some with as many."""
        ...


NOTHING: Final = cast("GuestBytes", (ctypes.c_char * 0)())
"""The bytes of no memory."""


class GuestMemory(Protocol):
    """A guest's linear memory, while the guest waits in a host function.

    Guarantees: a view is read or written within its own length only; it is not kept beyond the host function that
    asked for it,
    because the memory may grow, move or go afterwards.
    """

    @property
    def is_fixed(self) -> bool:
        """Whether the bytes stay where they are as long as the store lives: a kept view is then too short at worst."""
        ...

    def view(self) -> GuestBytes:
        """Give the memory's bytes. The view may be shorter than the memory, if that has grown since."""
        ...

    def refreshed(self) -> GuestBytes:
        """Give all of the memory's bytes as it is now."""
        ...

    def size_bytes(self) -> int:
        """Give the memory's size now. Also right between calls, as long as the store is open."""
        ...


class GuestStore(Protocol):
    """What accounting asks of the runtime's store."""

    def fuel(self) -> int | None:
        """Give the fuel that is left, or None where the engine does not count fuel."""
        ...
