"""Counting what a sender does."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from wasmscope.delivery._target import SignalName

__all__ = ["Latency", "Listener", "LossReason", "SenderStats", "SignalStats", "Tally"]

LossReason = Literal["error", "expired", "queue_full", "refused", "rejected", "shutdown"]
"""Why records are not delivered.

- ``queue_full``: more came than may wait.
- ``refused``: the endpoint answered that it will never take the request.
- ``rejected``: it took the request but for these records (partial success).
- ``expired``: it did not take the request for so long that it was given up.
- ``shutdown``: the sender was shut down before; or they came afterwards.
- ``error``: a defect.
"""


@dataclass(frozen=True, slots=True)
class Latency:
    """How long requests took, from sending to the answer or to giving up on it.

    Attributes:
        count: How many requests.
        sum_s: Their time together.
        max_s: The longest; 0 if there was none.
        buckets: How many were in each bucket.
        bounds_s: Upper bounds of the buckets, included; one more bucket is above them.
    """

    bounds_s: ClassVar = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
    count: int
    sum_s: float
    max_s: float
    buckets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SignalStats:
    """What became of the records of a signal so far.

    ``records == sent + sum(dropped.values()) + waiting_records`` at any moment.

    Attributes:
        records: How many were handed over. For metrics: points that were collected.
        sent: How many the endpoint took.
        dropped: How many will never arrive, by reason. When a sender is shut down, what is on its way at this moment
            counts as dropped, though it may arrive. Points that are dropped are no lost values: the next export has
            them again, but for the last one.
        waiting_records: How many wait in the queue or are on their way.
        waiting_bytes: How much memory they take, about.
        request_bytes: How many bytes of requests were sent, before compression; retries count.
        requests: How many requests were sent; retries count.
        retries: How many of them were sent before.
        latency: How long they took.
    """

    records: int
    sent: int
    dropped: Mapping[LossReason, int]
    waiting_records: int
    waiting_bytes: int
    request_bytes: int
    requests: int
    retries: int
    latency: Latency


@dataclass(frozen=True, slots=True)
class SenderStats:
    """What a sender did so far.

    Attributes:
        spans: Spans.
        logs: Log records.
        metrics: Metric points.
    """

    spans: SignalStats
    logs: SignalStats
    metrics: SignalStats


class Listener(Protocol):
    """Who wants to know at once what becomes of records. Called in any thread; must be quick and not raise."""

    def handed_over(self, signal: SignalName, count: int) -> None:
        """Records came."""

    def delivered(self, signal: SignalName, count: int) -> None:
        """The endpoint took them."""

    def lost(self, signal: SignalName, count: int, reason: LossReason, message: str) -> None:
        """They will never arrive. The message says more, in the words of the protocol; it may be empty."""

    def failing(self, signal: SignalName, message: str) -> None:
        """A request failed and will be sent again."""


def _no_buckets() -> list[int]:
    return [0] * (len(Latency.bounds_s) + 1)


@dataclass(slots=True)
class Tally:
    """Counters of one signal, for whoever holds the lock that guards them."""

    records: int = 0
    sent: int = 0
    dropped: dict[LossReason, int] = field(default_factory=dict[LossReason, int])
    waiting_records: int = 0
    waiting_bytes: int = 0
    request_bytes: int = 0
    requests: int = 0
    retries: int = 0
    latency_sum_s: float = 0.0
    latency_max_s: float = 0.0
    latency_buckets: list[int] = field(default_factory=_no_buckets)

    def drop(self, count: int, reason: LossReason) -> None:
        """Count records that will not arrive."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def request(self, size: int, duration_s: float, *, is_retry: bool) -> None:
        """Count a request that was sent."""
        self.requests += 1
        self.retries += is_retry
        self.request_bytes += size
        self.latency_sum_s += duration_s
        self.latency_max_s = max(self.latency_max_s, duration_s)
        self.latency_buckets[bisect_left(Latency.bounds_s, duration_s)] += 1

    def snapshot(self) -> SignalStats:
        """Give the figures as they are now."""
        return SignalStats(
            records=self.records,
            sent=self.sent,
            dropped=dict(self.dropped),
            waiting_records=self.waiting_records,
            waiting_bytes=self.waiting_bytes,
            request_bytes=self.request_bytes,
            requests=self.requests,
            retries=self.retries,
            latency=Latency(self.requests, self.latency_sum_s, self.latency_max_s, tuple(self.latency_buckets)),
        )
