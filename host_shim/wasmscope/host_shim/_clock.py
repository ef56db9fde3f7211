"""Who uses a thread's time: guests, host functions, telemetry.

*Accuracy*: CPU time is ``time.thread_time_ns`` around each call into a guest, less what host functions took. Host
functions that
the bridge knows (``Bridge.host_function``) and nested guests are measured by the same clock, exactly. Telemetry
calls are
too short for it (the clock costs about as much as they do): they are timed by ``perf_counter``, which is the same
as long as the
thread is not waiting; one that takes over 50 us is checked against the thread's clock and what the thread
waited is taken out. A wait between two checks is attributed to the telemetry call that ends at the later one, at
most its own duration.
Host functions the bridge does not know, and the runtime's own WASI functions, count as the guest's.

*Security*: a guest can read none of these numbers.
"""

from __future__ import annotations

import threading
from time import perf_counter_ns, thread_time_ns
from typing import Final

__all__ = ["SLOW_S", "Stretch", "ThreadClock"]

SLOW_S: Final = 50e-6
"""A telemetry call that takes longer may have waited, and is checked."""


class Stretch:
    """A stretch of a thread's time that belongs to one party: a call into a guest, or a host function.

    Stretches nest; what a nested one takes is not its parent's own.

    Attributes:
        parent: The stretch around this one, or None.
        is_guest: Whether it is a call into a guest.
        host_ns: Of a guest: wall time of host functions, without guests nested in them.
        telemetry_s: Of a guest: wall time of telemetry calls, in seconds, because floats are added the quickest.
        error: Of a guest: what a host function raised, to tell it from another thread's.
    """

    __slots__ = (
        "_child_cpu_ns",
        "_cpu_started_ns",
        "_guest_wall_ns",
        "_offset_ns",
        "_waited_ns",
        "_wall_started_ns",
        "error",
        "host_ns",
        "is_guest",
        "parent",
        "telemetry_s",
    )

    def __init__(self, parent: Stretch | None, *, is_guest: bool) -> None:
        self.parent = parent
        self.is_guest = is_guest
        self.host_ns = 0
        self.telemetry_s = 0.0
        self.error: BaseException | None = None
        self._child_cpu_ns = 0
        self._guest_wall_ns = 0
        self._waited_ns = 0
        self._wall_started_ns = perf_counter_ns()
        self._cpu_started_ns = thread_time_ns()
        self._offset_ns = self._cpu_started_ns - self._wall_started_ns

    @property
    def telemetry_ns(self) -> int:
        """Wall time of telemetry calls, in ns."""
        return int(self.telemetry_s * 1e9)

    def charge(self, duration_s: float) -> None:
        """Charge a telemetry call that took so long."""
        self.telemetry_s += duration_s
        if duration_s >= SLOW_S:
            offset = thread_time_ns() - perf_counter_ns()
            self._waited_ns += min(int(duration_s * 1e9), max(0, self._offset_ns - offset))
            self._offset_ns = offset

    def finish(self) -> tuple[int, int]:
        """End it, and pass its time on to its parent.

        Returns:
            Its own CPU time, without all that was nested, and its wall time, both in ns.
        """
        cpu = thread_time_ns()
        wall = perf_counter_ns()
        cpu_ns = cpu - self._cpu_started_ns
        wall_ns = wall - self._wall_started_ns
        parent = self.parent
        if parent is not None:
            parent._child_cpu_ns += cpu_ns
            parent._offset_ns = cpu - wall
            if self.is_guest:
                # Directly under a guest, the host function between the two is unknown: it is nobody's host time.
                parent._guest_wall_ns += wall_ns
            else:
                parent.host_ns += wall_ns - self._guest_wall_ns
        return max(0, cpu_ns - self._child_cpu_ns - self.telemetry_ns + self._waited_ns), wall_ns


class ThreadClock(threading.local):
    """The innermost stretch of each thread."""

    top: Stretch | None = None

    def push(self, *, is_guest: bool) -> Stretch:
        """Begin a stretch inside the current one."""
        stretch = Stretch(self.top, is_guest=is_guest)
        self.top = stretch
        return stretch

    def pop(self, stretch: Stretch) -> tuple[int, int]:
        """End a stretch; see `Stretch.finish`."""
        self.top = stretch.parent
        return stretch.finish()
