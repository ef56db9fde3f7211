"""One line in the log for each cause of trouble."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

__all__ = ["Notices"]

_logger = logging.getLogger("wasmscope.delivery")

_QUIET_S: Final = 60.0


class Notices:
    """Warns of each cause when it first comes up, and then at most once a minute. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # A signal's handler, or a finalizer, may warn while its thread does.
        self._lock = threading.RLock()
        self._said_at: dict[tuple[str, ...], float] = {}

    def warn(self, cause: tuple[str, ...], message: str, *arguments: object) -> None:
        """Log a warning, unless the cause has been told lately.

        Args:
            cause: What the warning is about; of a fixed set of values.
            message: The format.
            arguments: What goes into it.
        """
        now = self._clock()
        with self._lock:
            said_at = self._said_at.get(cause)
            if said_at is not None and now - said_at < _QUIET_S:
                return
            self._said_at[cause] = now
        _logger.warning(message, *arguments)
