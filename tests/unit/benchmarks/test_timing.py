"""The arithmetic of benchmarks: what is made of the times of runs."""

from __future__ import annotations

import itertools

from benchmarks._timing import time_together, timed


class TestTimed:
    """Runs of one thing become its figures."""

    def test_least_and_median(self) -> None:
        """The least run counts, and the middle one says how quiet it was; ns go in, us come out."""
        found = timed([3000.0, 1000.0, 2000.0])
        assert (found.least_us, found.median_us, found.least_ns) == (1.0, 2.0, 1000.0)

    def test_idle_loop(self) -> None:
        """What the loop takes with nothing in it is taken away: the least of the least, the median of the median."""
        found = timed([500.0, 700.0, 900.0], [100.0, 300.0, 200.0])
        assert (round(found.least_us, 6), round(found.median_us, 6)) == (0.4, 0.5)


class TestElsewhere:
    """What another process does takes turns with the rest, and says itself what it took."""

    def test_its_own_word_counts(self) -> None:
        """Its figure is the ns that it says, divided by how often it did it, whatever this process did meanwhile."""
        found = time_together({}, elsewhere={"peer": lambda count: 5 * count + 0}, repeats=3)
        assert found["peer"].least_ns == found["peer"].least_us * 1000 == 5.0

    def test_turns(self) -> None:
        """After the warm-up, runs of all of them alternate, as many as asked for."""
        order: list[str] = []

        def peer(name: str) -> int:
            order.append(name)
            return 10_000_000

        time_together(
            {"here": lambda _: order.append("here")},
            elsewhere={"a": lambda _: peer("a"), "b": lambda _: peer("b")},
            repeats=4,
            most=100,
        )
        assert order[-12:] == ["here", "a", "b"] * 4

    def test_as_often_as_a_run_needs(self) -> None:
        """A run takes about 20 ms, which is found out with more and more; and it does no more than the most."""
        counts: list[int] = []

        def peer(count: int) -> int:
            counts.append(count)
            return 1_000 * count

        time_together({}, elsewhere={"peer": peer}, repeats=2, most=1_000_000)
        assert counts[-2:] == [20_000, 20_000]
        assert counts[:-2] == [100, 100, 1_000, 1_000, 10_000, 10_000]
        counts.clear()
        time_together({}, elsewhere={"peer": peer}, repeats=2, most=500)
        assert counts[-2:] == [500, 500]

    def test_after_each_run(self) -> None:
        """What has piled up is thrown away after every run, warm-up and all."""
        runs, thrown = itertools.count(), itertools.count()

        def peer(count: int) -> int:
            next(runs)
            return 10_000_000

        time_together({}, elsewhere={"peer": peer}, after=lambda: next(thrown), repeats=3)
        assert next(runs) == next(thrown)
