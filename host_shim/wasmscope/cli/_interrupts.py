"""Stopping: on Ctrl-C, on SIGTERM, and when the guest's time is over.

Python handles a signal only between its own instructions, and a guest may run for ever without one. So a thread waits
for the signal at the other end of Python's wake-up descriptor and stops the guest through the engine's epoch.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from wasmscope.cli._exits import SIGNAL

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Self

__all__ = ["Interrupts"]

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_GRACE_S: Final = 1.0
"""How long a guest may take to stop. It cannot while it waits in the host, for example for input."""


class Interrupts:
    """Watches for signals and the deadline while it is entered; a context manager.

    Guarantees: while a guest runs that can be stopped, a signal stops it, so that what it did until then can be shown;
    if it does not stop within a second, or where there is none, the process ends at once, and so it does at a second
    signal.

    Attributes:
        signal: The signal that came, or None.
        timed_out: Whether the deadline passed.
    """

    def __init__(self) -> None:
        """Prepare; nothing is watched yet."""
        self.signal: int | None = None
        self.timed_out = False
        self._stop: Callable[[], None] | None = None
        self._deadline: float | None = None
        self._lock = threading.Lock()
        self._near, self._far = socket.socketpair()
        self._thread: threading.Thread | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._before_fd = -1

    def __enter__(self) -> Self:
        """Begin to watch; signals only where Python allows it, in the main thread."""
        if threading.current_thread() is threading.main_thread():
            self._far.setblocking(False)
            for number in _SIGNALS:
                # A process in the background of a shell ignores Ctrl-C, and goes on doing so.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, _nothing)
            self._before_fd = signal.set_wakeup_fd(self._far.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._watch, name="wasmscope-interrupts", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching; everything is as it was before."""
        if self._before:
            signal.set_wakeup_fd(self._before_fd)
            for number, handler in self._before.items():
                signal.signal(number, handler)
        self._far.close()
        if self._thread is not None:
            self._thread.join()
        self._near.close()

    @contextmanager
    def running(self, stop: Callable[[], None] | None, timeout_s: float | None = None) -> Generator[None]:
        """Say that a guest runs.

        Args:
            stop: Stops it, from any thread; None if it cannot be stopped.
            timeout_s: How long it may run, in seconds.
        """
        with self._lock:
            self._stop = stop
            self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._wake()
        try:
            yield
        finally:
            with self._lock:
                self._stop = self._deadline = None
            self._wake()

    def _wake(self) -> None:
        with suppress(OSError):
            self._far.send(b"\0")

    def _watch(self) -> None:
        while True:
            with self._lock:
                deadline = self._deadline
                is_running = self._stop is not None
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            if self.signal is not None:
                wait = _GRACE_S if is_running else None
            ready, _, _ = select.select([self._near], [], [], wait)
            if not ready:
                self._time_is_over(deadline)
                continue
            try:
                received = self._near.recv(64)
            except OSError:
                return
            if not received:
                return
            for number in filter(None, received):
                if self.signal is not None:
                    self._die(number)
                self._came(number)

    def _time_is_over(self, deadline: float | None) -> None:
        with self._lock:
            if self._stop is None:
                return
            if self.signal is not None:
                self._die(self.signal)
            if self._deadline == deadline:
                self.timed_out = True
                self._deadline = None
                self._stop()

    def _came(self, number: int) -> None:
        with self._lock:
            if self._stop is None:
                self._die(number)
            else:
                self.signal = number
                self._stop()

    @staticmethod
    def _die(number: int) -> None:
        """End the process from this thread: the main one may not come back."""
        with suppress(OSError, ValueError):
            sys.stderr.write("\nwasmscope: stopped\n")
            sys.stderr.flush()
        os._exit(SIGNAL + number)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Take a signal; the thread has heard of it already."""
