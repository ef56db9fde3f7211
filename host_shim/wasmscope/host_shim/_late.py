"""What has to wait until the garbage collector is done."""

from __future__ import annotations

import sys
from collections.abc import Callable

from wasmscope.host_shim._store_watch import is_end_of_store

__all__ = ["LateActions"]


class LateActions:
    """Actions that were put off.

    A collection may run in the middle of anything, also of an exporter that holds a lock: what goes with a store that
    is collected, has to wait for the bridge's next activity.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._actions: list[Callable[[], None]] = []

    def __len__(self) -> int:
        """Count them."""
        return len(self._actions)

    def put_off(self, action: Callable[[], None]) -> bool:
        """Put something off if the garbage collector is at work; says whether it was."""
        if not _is_collected():
            return False
        self._actions.append(action)
        return True

    def run(self) -> None:
        """Do what was put off."""
        while self._actions:
            try:
                action = self._actions.pop(0)
            except IndexError:  # another thread was faster
                return
            action()


def _is_collected() -> bool:
    """Whether a store goes because nobody refers to it any more, rather than by its ``close``.

    Or by a ``close`` in the ``__del__`` of something that nobody refers to, which is the same.
    """
    frame = sys._getframe()
    for _ in range(64):
        if frame.f_code.co_name == "__del__" and not is_end_of_store(frame.f_code):
            return True
        if frame.f_back is None:
            break
        frame = frame.f_back
    return False
