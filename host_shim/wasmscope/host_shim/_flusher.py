"""Delivery on request, off the guest's thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

__all__ = ["Flusher"]

_logger = logging.getLogger("wasmscope.host_shim")


class Flusher:
    """Flushes the providers in a thread of its own.

    Guarantees: `request` returns at once; any number of requests during a flush lead to one more flush; the thread
    exists only while there is something to do.
    """

    def __init__(self, providers: Callable[[], tuple[object, ...]]) -> None:
        """Remember what to flush.

        Args:
            providers: Gives the providers; those with a ``force_flush`` (the SDK's have one) are flushed.
        """
        self._providers = providers
        self._lock = threading.Lock()
        self._is_wanted = False
        self._thread: threading.Thread | None = None

    def request(self) -> None:
        """Ask for a flush soon."""
        with self._lock:
            self._is_wanted = True
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="wasmscope-flush", daemon=True)
                # Remembered once it runs: the system may refuse it.
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._is_wanted:
                    self._thread = None
                    return
                self._is_wanted = False
            for provider in self._providers():
                flush = getattr(provider, "force_flush", None)
                if flush is None:
                    continue
                try:
                    flush()
                except Exception:
                    _logger.exception("a flush that a guest asked for failed")

    def wait(self, timeout_s: float) -> bool:
        """Wait until requested flushes are done; False if that takes longer."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)
            return not thread.is_alive()
        return True
