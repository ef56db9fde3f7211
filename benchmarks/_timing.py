"""Times functions beside each other, on a machine that does other things too.

*Method*: thread CPU time; each function runs many times in turn with all the others, so that a slow moment hits all of
them. Of the runs the least is taken: whatever else the machine does only ever adds to a run (cache misses, a shared
core's other half), so that the least is nearest to what the code itself costs. The median says how quiet it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import thread_time_ns

__all__ = ["Timed", "time_together"]

_RUN_NS = 20_000_000


@dataclass(frozen=True, slots=True)
class Timed:
    """What one operation costs.

    Attributes:
        least_us: In the quickest run, in us.
        median_us: In the run in the middle, in us.
    """

    least_us: float
    median_us: float


def time_together(
    functions: Mapping[str, Callable[[int], object]],
    *,
    empty: Mapping[str, Callable[[int], object]] | None = None,
    after: Callable[[], object] = lambda: None,
    repeats: int = 25,
    most: int = 100_000,
) -> dict[str, Timed]:
    """Time functions that do something a number of times.

    Args:
        functions: By name; the argument is how many times.
        empty: For each, by the same name, what does the same loop with nothing in it; its time is taken away.
        after: Called after each run, untimed: to throw away what has piled up.
        repeats: How many runs of each.
        most: How many times at most in a run.
    """
    empty = empty or {}
    loops = dict.fromkeys([*functions.values(), *empty.values()])
    counts: dict[Callable[[int], object], int] = {}
    for loop in loops:
        # The first run is warm-up.
        _run(loop, 100)
        after()
        once = _run(loop, 100) / 100
        after()
        counts[loop] = max(20, min(most, int(_RUN_NS / max(once, 1.0))))
    runs: dict[Callable[[int], object], list[float]] = {loop: [] for loop in loops}
    for _ in range(repeats):
        for loop, count in counts.items():
            runs[loop].append(_run(loop, count) / count)
            after()
    result: dict[str, Timed] = {}
    for name, loop in functions.items():
        idle = runs[empty[name]] if name in empty else [0.0]
        result[name] = Timed((min(runs[loop]) - min(idle)) / 1000, (median(runs[loop]) - median(idle)) / 1000)
    return result


def _run(loop: Callable[[int], object], count: int) -> int:
    started = thread_time_ns()
    loop(count)
    return thread_time_ns() - started
