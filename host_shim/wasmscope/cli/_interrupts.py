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
_TICK_S: Final = 0.25
"""How often a running guest is asked for what it told so far."""


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
        self._next_tick: float | None = None
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

    def may_go_on(self) -> bool:
        """Whether nothing speaks against the guest's going on."""
        return self.signal is None and not self.timed_out

    @contextmanager
    def running(
        self, stop: Callable[[], None] | None, timeout_s: float | None = None, *, is_asked: bool = False
    ) -> Generator[None]:
        """Say that a guest runs.

        Args:
            stop: Stops it, from any thread; None if it cannot be stopped.
            timeout_s: How long it may run, in seconds.
            is_asked: Whether what `stop` does makes it ask `may_go_on`. Then it is done four times a second.
        """
        now = time.monotonic()
        with self._lock:
            self._stop = stop
            self._deadline = None if timeout_s is None else now + timeout_s
            self._next_tick = now + _TICK_S if is_asked else None
        self._wake()
        try:
            yield
        finally:
            with self._lock:
                self._stop = self._deadline = self._next_tick = None
            self._wake()

    def _wake(self) -> None:
        with suppress(OSError):
            self._far.send(b"\0")

    def _watch(self) -> None:
        while True:
            with self._lock:
                due = [moment for moment in (self._deadline, self._next_tick) if moment is not None]
            wait = max(0.0, min(due) - time.monotonic()) if due else None
            ready, _, _ = select.select([self._near], [], [], wait)
            if not ready:
                self._moment_has_come()
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

    def _moment_has_come(self) -> None:
        now = time.monotonic()
        with self._lock:
            if self._stop is None:
                return
            if self._deadline is not None and now >= self._deadline:
                if self.signal is not None:
                    self._die(self.signal)
                self.timed_out = True
                self._deadline = None
                self._stop()
            elif self._next_tick is not None and now >= self._next_tick:
                self._next_tick = now + _TICK_S
                self._stop()

    def _came(self, number: int) -> None:
        with self._lock:
            if self._stop is None:
                self._die(number)
            else:
                self.signal = number
                self._deadline = time.monotonic() + _GRACE_S
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
