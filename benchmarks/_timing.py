"""Times functions beside each other, on a machine that does other things too.

*Method*: thread CPU time, or what another process says of itself; each function runs many times in turn with all the
others, so that a slow moment hits all of them. Of the runs the least is taken: whatever else the machine does only ever
adds to a run (cache misses, a shared core's other half), so that the least is nearest to what the code itself costs.
The median says how quiet it was.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from time import thread_time_ns

__all__ = ["Timed", "time_together", "timed"]

_RUN_NS = 20_000_000
# How often something is done at first, to see how long it takes.
_FEW = 100


@dataclass(frozen=True, slots=True)
class Timed:
    """What one operation costs.

    Attributes:
        least_us: In the quickest run, in us.
        median_us: In the run in the middle, in us.
    """

    least_us: float
    median_us: float

    @property
    def least_ns(self) -> float:
        """In the quickest run, in ns."""
        return self.least_us * 1000


def time_together(
    functions: Mapping[str, Callable[[int], object]],
    *,
    empty: Mapping[str, Callable[[int], object]] | None = None,
    elsewhere: Mapping[str, Callable[[int], int]] | None = None,
    after: Callable[[], object] = lambda: None,
    repeats: int = 25,
    most: int = 100_000,
) -> dict[str, Timed]:
    """Time functions that do something a number of times.

    Args:
        functions: By name; the argument is how many times.
        empty: For each, by the same name, what does the same loop with nothing in it; its time is taken away.
        elsewhere: What else to time, by name: functions that do something a number of times in another process, and
            give the ns of CPU time that it took.
        after: Called after each run, untimed: to throw away what has piled up.
        repeats: How many runs of each.
        most: How many times at most in a run.
    """
    empty = empty or {}
    here = {loop: functools.partial(_run, loop) for loop in (*functions.values(), *empty.values())}
    counts: dict[Callable[[int], int], int] = {}
    everything: list[Callable[[int], int]] = [*here.values(), *(elsewhere or {}).values()]
    for run in everything:
        counts[run] = _how_many(run, after, most)
    runs: dict[Callable[[int], int], list[float]] = {run: [] for run in counts}
    for _ in range(repeats):
        for run, count in counts.items():
            runs[run].append(run(count) / count)
            after()
    result: dict[str, Timed] = {}
    for name, loop in functions.items():
        result[name] = timed(runs[here[loop]], runs[here[empty[name]]] if name in empty else None)
    for name, run in (elsewhere or {}).items():
        result[name] = timed(runs[run])
    return result


def _how_many(run: Callable[[int], int], after: Callable[[], object], most: int) -> int:
    """How often to do something in a run: it is tried with more and more, which is also its warm-up."""
    count = min(_FEW, most)
    while True:
        # Twice: the first may be the one in which something is made, and either may be disturbed.
        taken = run(count)
        after()
        taken = min(taken, run(count))
        after()
        if taken >= _RUN_NS / 10 or count == most:
            return max(20, min(most, int(_RUN_NS / max(taken / count, 1.0))))
        count = min(10 * count, most)


def timed(runs_ns: Sequence[float], idle_ns: Sequence[float] | None = None) -> Timed:
    """Sum up the runs of something.

    Args:
        runs_ns: What one operation took in each run.
        idle_ns: Likewise for the same loop with nothing in it, which is taken away.
    """
    idle = idle_ns or [0.0]
    return Timed((min(runs_ns) - min(idle)) / 1000, (median(runs_ns) - median(idle)) / 1000)


def _run(loop: Callable[[int], object], count: int) -> int:
    started = thread_time_ns()
    loop(count)
    return thread_time_ns() - started
