"""Words on the terminal while something takes more than a moment."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import TracebackType
from typing import Final

__all__ = ["Progress"]

_PATIENCE_S: Final = 1.0
_TICK_S: Final = 0.5
_ERASE: Final = "\r\x1b[K"


class Progress:
    """Shows what is being done and for how long; a context manager.

    Nothing is shown in the first second, nor where standard error is no terminal; afterwards the line is erased.
    """

    def __init__(self, what: str) -> None:
        """Prepare.

        Args:
            what: What is being done, for example "compiling x.wasm".
        """
        self._what = what
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> None:
        """Begin."""
        stream = sys.stderr
        if stream is not None and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            self._thread = threading.Thread(target=self._show, name="wasmscope-progress", daemon=True)
            self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Erase the line."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def _show(self) -> None:
        started = time.monotonic()
        if self._done.wait(_PATIENCE_S):
            return
        while True:
            sys.stderr.write(f"{_ERASE}{self._what} … {time.monotonic() - started:.0f} s")
            sys.stderr.flush()
            if self._done.wait(_TICK_S):
                break
        sys.stderr.write(_ERASE)
        sys.stderr.flush()
