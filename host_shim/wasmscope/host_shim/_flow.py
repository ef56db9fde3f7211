"""How many records of guests went through collectors, and what handing them on took."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasmscope.host_shim._collector import Drained
    from wasmscope.host_shim._deliveries import Sink

__all__ = ["CountedSink", "Flow", "FlowTotals"]


@dataclass(slots=True)
class Flow:
    """What guests told and what came out of their collectors.

    Attributes:
        spans_started: Spans that guests started, those that are not sampled included.
        spans_unsampled: Of these, the ones that are not sampled.
        logs: Log records that guests emitted.
        measurements: Values that guests measured.
        spans_out: Spans that were handed on.
        logs_out: Log records that were handed on.
        span_bytes: Their size as OTLP.
        log_bytes: Their size as OTLP.
        metric_bytes: Size of what was handed on for measurements, which collectors add up.
        delivery_ns: Wall time that handing on took in the guests' threads.
    """

    spans_started: int = 0
    spans_unsampled: int = 0
    logs: int = 0
    measurements: int = 0
    spans_out: int = 0
    logs_out: int = 0
    span_bytes: int = 0
    log_bytes: int = 0
    metric_bytes: int = 0
    delivery_ns: int = 0

    def add(self, other: Flow) -> None:
        """Add what others told."""
        self.spans_started += other.spans_started
        self.spans_unsampled += other.spans_unsampled
        self.logs += other.logs
        self.measurements += other.measurements
        self.spans_out += other.spans_out
        self.logs_out += other.logs_out
        self.span_bytes += other.span_bytes
        self.log_bytes += other.log_bytes
        self.metric_bytes += other.metric_bytes
        self.delivery_ns += other.delivery_ns


class FlowTotals:
    """What went through the collectors of a bridge in its life, by module and tenant. Thread-safe.

    A guest counts for itself, in the thread that runs it and without a lock; what it counted is kept when it is gone.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gone: dict[tuple[str, str | None], Flow] = {}
        self._there: dict[CountedSink, None] = {}

    def enter(self, sink: CountedSink) -> None:
        """Take a guest into account."""
        with self._lock:
            self._there[sink] = None

    def leave(self, sink: CountedSink) -> None:
        """Keep what a guest counted, and look at it no more."""
        with self._lock:
            if sink in self._there:
                del self._there[sink]
                self._gone.setdefault(sink.key, Flow()).add(sink.take())

    def snapshot(self) -> dict[tuple[str, str | None], Flow]:
        """Give the totals so far, by module and tenant."""
        totals: dict[tuple[str, str | None], Flow] = {}
        with self._lock:
            for key, flow in self._gone.items():
                totals.setdefault(key, Flow()).add(flow)
            for sink in self._there:
                totals.setdefault(sink.key, Flow()).add(sink.flow())
        return totals


class CountedSink:
    """A guest's sink that counts what goes through.

    Attributes:
        key: The guest's module and tenant.
    """

    __slots__ = (
        "_counters",
        "_counters_taken",
        "_delivery_ns",
        "_is_closed",
        "_log_bytes",
        "_logs",
        "_metric_bytes",
        "_sink",
        "_span_bytes",
        "_spans",
        "_totals",
        "key",
    )

    def __init__(self, sink: Sink, totals: FlowTotals, module: str, tenant: str | None) -> None:
        """Count for a sink.

        Args:
            sink: Where the records go.
            totals: Where the counts go.
            module: The guest's module.
            tenant: On whose behalf it runs, or None.
        """
        self.key = (module, tenant)
        self._sink = sink
        self._totals = totals
        # What the guest told in its life, and how much of that has been taken into account already.
        self._counters: tuple[int, ...] = (0,) * 6
        self._counters_taken: tuple[int, ...] = (0,) * 6
        self._is_closed = False
        self._reset()
        totals.enter(self)

    def _reset(self) -> None:
        self._spans = self._logs = self._span_bytes = self._log_bytes = self._metric_bytes = self._delivery_ns = 0

    def deliver(self, drained: Drained) -> None:
        """Hand on what was in the guest's buffers."""
        started = perf_counter_ns()
        self._sink.deliver(drained)
        if self._is_closed:
            # A guest whose instance was closed can still be called.
            self._is_closed = False
            self._totals.enter(self)
        spans, span_count, logs, log_count, metrics, self._counters = drained
        if span_count:
            self._spans += span_count
            self._span_bytes += len(spans)
        if log_count:
            self._logs += log_count
            self._log_bytes += len(logs)
        if metrics:
            self._metric_bytes += len(metrics)
        self._delivery_ns += perf_counter_ns() - started

    def close(self) -> None:
        """Take note that nothing more comes."""
        self._sink.close()
        self._is_closed = True
        self._totals.leave(self)

    def flow(self) -> Flow:
        """Give what was counted since it was last taken."""
        now, before = self._counters, self._counters_taken
        return Flow(
            spans_started=now[0] - before[0],
            spans_unsampled=now[1] - before[1],
            logs=now[3] - before[3],
            measurements=now[4] - before[4],
            spans_out=self._spans,
            logs_out=self._logs,
            span_bytes=self._span_bytes,
            log_bytes=self._log_bytes,
            metric_bytes=self._metric_bytes,
            delivery_ns=self._delivery_ns,
        )

    def take(self) -> Flow:
        """Give the same, and begin anew."""
        flow = self.flow()
        self._counters_taken = self._counters
        self._reset()
        return flow
