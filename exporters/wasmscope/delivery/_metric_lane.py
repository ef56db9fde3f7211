"""Metrics on their way: feeds that are asked in regular intervals."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from wasmscope.delivery._answer import Transport
from wasmscope.delivery._courier import Lost
from wasmscope.delivery._environment import SignalSettings
from wasmscope.delivery._lane import Circumstances, Lane
from wasmscope.delivery._wrapper import Wrapper

__all__ = ["MetricFeed", "MetricLane", "MetricPart"]

_logger = logging.getLogger("wasmscope.delivery")


class MetricPart(Protocol):
    """Some metrics."""

    @property
    def scope_metrics(self) -> bytes:
        """A serialized OTLP ``ScopeMetrics``."""
        ...

    @property
    def points(self) -> int:
        """How many data points it holds."""
        ...


Part = TypeVar("Part", bound=MetricPart)


class MetricFeed(Protocol[Part]):
    """Where metrics come from. Asked by the sender's thread."""

    def collect(self, now_ns: int) -> Sequence[Part]:
        """Give the metrics of this moment.

        Args:
            now_ns: The time, in nanoseconds since 1970.
        """
        ...

    def give_back(self, chunk: Part, /) -> None:
        """Take back what did not get to the endpoint, before the next `collect`."""
        ...


class MetricLane(Lane):
    """Collects from its feeds in regular intervals, on request and at the end, and sends what they give."""

    def __init__(
        self,
        settings: SignalSettings,
        transport: Transport,
        circumstances: Circumstances,
        wrapper: Wrapper,
        *,
        interval_s: float,
        request_bytes: int,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        super().__init__("metrics", settings, transport, circumstances)
        self._wrapper = wrapper
        self._interval_s = interval_s
        self._request_bytes = request_bytes
        self._now_ns = now_ns
        self._feeds: list[MetricFeed[Any]] = []
        self._due_at = 0.0
        self._wanted_rounds = 0
        self._done_rounds = 0

    @property
    def unlocked_feeds(self) -> tuple[MetricFeed[Any], ...]:
        """Who is asked. Without the lock: for a child process, in which nobody can release it."""
        return tuple(self._feeds)

    def add(self, feed: MetricFeed[Any]) -> None:
        """Ask a feed, too."""
        with self._condition:
            if feed not in self._feeds:
                self._feeds.append(feed)
            if self._thread is None:
                self._due_at = self._clock() + self._interval_s
            self._ensure_thread()

    def remove(self, feed: MetricFeed[Any]) -> None:
        """Ask a feed no more."""
        with self._condition:
            if feed in self._feeds:
                self._feeds.remove(feed)

    def request_flush(self) -> int:
        """Have all feeds asked now; gives what to wait for with `wait`."""
        with self._condition:
            if self._feeds:
                self._wanted_rounds += 1
                self._ensure_thread()
                self._condition.notify_all()
            return self._wanted_rounds

    def wait(self, place: int, timeout_s: float) -> bool:
        """Wait until what was wanted with a `request_flush` is done; False if that takes longer."""
        with self._condition:
            return self._condition.wait_for(
                lambda: self._done_rounds >= place or self._is_given_up, max(timeout_s, 0)
            ) and not (self._is_given_up and self._done_rounds < place)

    def _work(self) -> None:
        while True:
            with self._condition:
                while not (is_last := self._closing.has_begun) and self._wanted_rounds <= self._done_rounds:
                    wait_s = self._due_at - self._clock()
                    if wait_s <= 0:
                        break
                    self._condition.wait(wait_s)
                wanted = self._wanted_rounds
                # A round that took long is not made up for, and one that was asked for puts nothing off.
                if self._due_at <= (now := self._clock()):
                    self._due_at = max(self._due_at + self._interval_s, now)
                feeds = tuple(self._feeds)
            for feed in feeds:
                self._export(feed)
            with self._condition:
                self._done_rounds = wanted
                self._condition.notify_all()
            if is_last:
                return

    def _export(self, feed: MetricFeed[Any]) -> None:
        try:
            parts = feed.collect(self._now_ns())
            for part in self._send(parts):
                feed.give_back(part)
        except Exception:
            _logger.exception("metrics cannot be collected")

    def _send(self, parts: Sequence[Part]) -> list[Part]:
        """Send parts; gives those that did not get there and may be sent in another form."""
        points = sum(part.points for part in parts)
        if points == 0:
            return []
        self._tell_handed_over(points)
        with self._condition:
            self._tally.records += points
            if is_too_late := self._is_given_up:
                self._tally.drop(points, "shutdown")
            else:
                self._tally.waiting_records += points
                self._tally.waiting_bytes += sum(len(part.scope_metrics) for part in parts)
        if is_too_late:
            self._tell_lost(points, "shutdown", "")
            return []
        left: list[Part] = []
        for group in self._requests(parts):
            bodies = [part.scope_metrics for part in group]
            # When it is time for the next values, these are not worth another try.
            fate = self._deliver(partial(self._wrapper.metrics, bodies), self._interval_s)
            self._settle(sum(part.points for part in group), sum(map(len, bodies)), fate)
            if isinstance(fate, Lost):
                if fate.reason == "shutdown":
                    self.give_up(fate.message)
                    break
                # What the endpoint refuses, no program may send again.
                if fate.reason != "refused":
                    left += group
        return left

    def _requests(self, parts: Sequence[Part]) -> Iterator[list[Part]]:
        """Put as many parts into a request as fit."""
        group: list[Part] = []
        size = 0
        for part in parts:
            if group and size + len(part.scope_metrics) > self._request_bytes:
                yield group
                group, size = [], 0
            group.append(part)
            size += len(part.scope_metrics)
        if group:
            yield group

    def _passed(self, count: int) -> None:
        pass

    def _forget(self) -> None:
        self._wanted_rounds = self._done_rounds
