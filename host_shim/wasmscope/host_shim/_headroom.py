"""How much of Python's stack is left before a guest is called.

A guest's telemetry call enters Python by a callback. Where the recursion limit strikes as the callback begins, nothing
in it can catch the error: ctypes prints it and returns whatever lies in memory, which wasmtime takes for the address
of a trap, and the process dies. So a call that has too few frames left is refused before anything of it has begun.
"""

from __future__ import annotations

import sys
from typing import Final

__all__ = ["FRAMES", "require_headroom"]

FRAMES: Final = 80
"""How many frames a call must have left: what the bridge and an SDK need in a callback, and some for host functions."""
# Calls through C count, too, and have no frame in Python 3.11: where a sixth of the limit has been used by frames that
# can be seen, all of it may be.
_SHARE: Final = 6


def require_headroom() -> None:
    """Make sure that a guest can be called.

    Raises:
        RecursionError: If fewer than `FRAMES` calls can be nested in this one.
    """
    try:
        sys._getframe(sys.getrecursionlimit() // _SHARE)
    except ValueError:
        return
    try:
        _descend(FRAMES)
    except RecursionError:
        raise RecursionError(f"maximum recursion depth exceeded: a guest's call needs {FRAMES} frames") from None


def _descend(count: int) -> None:
    if count:
        _descend(count - 1)
