"""Delivery of encoded telemetry to an OTLP endpoint."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from wasmscope.delivery._answer import Transport
from wasmscope.delivery._environment import SenderSettings, SignalSettings, sender_settings
from wasmscope.delivery._grpc import Channels, GrpcTransport
from wasmscope.delivery._http import HttpTransport
from wasmscope.delivery._lane import Circumstances, Lane
from wasmscope.delivery._metric_lane import MetricFeed, MetricLane
from wasmscope.delivery._notices import Notices
from wasmscope.delivery._record_lane import RecordLane
from wasmscope.delivery._retry import RetryPolicy
from wasmscope.delivery._scope import Scope
from wasmscope.delivery._stats import Listener, SenderStats, SignalStats, Tally
from wasmscope.delivery._target import OtlpTarget, SignalName
from wasmscope.delivery._wrapper import Wrapper, encoded_resource

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

__all__ = ["OtlpSender"]

_GRACE_S: Final = 0.5
"""How long threads may take to notice that they are broken off."""


class OtlpSender:
    """Delivers telemetry that is OTLP bytes already; only resource and scope are put around it. Thread-safe.

    A context manager: leaving it shuts the sender down.

    Guarantees: `spans` and `logs` neither wait nor raise; memory stays bounded; what the endpoint took is never sent
    again; every record that does not arrive is counted with its reason. If the answer to a request gets lost it is
    sent again, as the specification asks: then records can arrive twice.

    After a fork, the child's sender starts with an empty queue and counters at zero: what waited is the parent's.

    Attributes:
        settings: What the sender was told.
    """

    def __init__(
        self,
        settings: SenderSettings,
        resource: Resource,
        *,
        listener: Listener | None = None,
        policy: RetryPolicy | None = None,
    ) -> None:
        """Prepare; threads and connections come with the first record.

        Args:
            settings: Where to send and how.
            resource: Whose telemetry it is.
            listener: Who is told at once what becomes of records.
            policy: When to try again.
        """
        self.settings: Final = settings
        self._wrapper = Wrapper(*encoded_resource(resource))
        self._listener = listener
        self._policy = policy or RetryPolicy()
        self._inherited: list[object] = []
        self._start()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_forked(weakref.ref(self)))
        # For programs that forget to shut it down; as OpenTelemetry's providers do.
        atexit.register(self.shutdown)

    @classmethod
    def from_environment(
        cls,
        *,
        resource: Resource,
        otlp: str | bool = False,
        targets: Mapping[SignalName, OtlpTarget] | None = None,
        listener: Listener | None = None,
    ) -> Self:
        """Make a sender as the ``OTEL_EXPORTER_OTLP_*`` variables say; docs/deliveries.md lists them.

        Args:
            resource: Whose telemetry it is.
            otlp: An OTLP endpoint for all three signals, or True to guess the protocol from the environment's.
            targets: Where signals go, if that is known already; other signals are discarded.
            listener: Who is told at once what becomes of records.

        Raises:
            ConfigurationError: If a variable cannot be used.
        """
        return cls(sender_settings(otlp, targets), resource, listener=listener)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._is_closing = False
        self._channels = Channels()
        self._lanes: dict[SignalName, Lane] = {}
        self._spans: RecordLane | None = None
        self._logs: RecordLane | None = None
        self._metrics: MetricLane | None = None
        settings = self.settings
        circumstances = Circumstances(self._policy, Notices(), self._listener)
        for signal, own in settings.signals.items():
            transport = self._transport(signal, own)
            if signal == "metrics":
                self._metrics = self._lanes[signal] = MetricLane(
                    own,
                    transport,
                    circumstances,
                    self._wrapper,
                    interval_s=settings.metrics_interval_s,
                    request_bytes=settings.request_bytes,
                )
                continue
            lane = self._lanes[signal] = RecordLane(
                signal,
                own,
                transport,
                circumstances,
                self._wrapper,
                delay_s=settings.spans_delay_s if signal == "traces" else settings.logs_delay_s,
                queue_bytes=settings.queue_bytes,
                request_bytes=settings.request_bytes,
            )
            if signal == "traces":
                self._spans = lane
            else:
                self._logs = lane

    def _transport(self, signal: SignalName, own: SignalSettings) -> Transport:
        if own.target.protocol == "grpc":
            return GrpcTransport(signal, own, self._channels)
        return HttpTransport(own)

    def spans(self, scope: Scope, body: bytes, count: int) -> None:
        """Send spans; returns at once. Where no spans are wanted, they are discarded.

        Args:
            scope: The scope of all of them.
            body: Encoded fields ``spans`` of OTLP ``ScopeSpans``, one after the other.
            count: How many there are.
        """
        if self._spans is not None:
            self._spans.put(scope, body, count)

    def logs(self, scope: Scope, body: bytes, count: int) -> None:
        """Send log records; returns at once. Where no log records are wanted, they are discarded.

        Args:
            scope: The scope of all of them.
            body: Encoded fields ``log_records`` of OTLP ``ScopeLogs``, one after the other.
            count: How many there are.
        """
        if self._logs is not None:
            self._logs.put(scope, body, count)

    def add_metrics(self, feed: MetricFeed[Any]) -> None:
        """Ask a feed for metrics from now on: in regular intervals, in each `flush` and at the end."""
        if self._metrics is not None and not self._is_closing:
            self._metrics.add(feed)

    def remove_metrics(self, feed: MetricFeed[Any]) -> None:
        """Ask a feed no more."""
        if self._metrics is not None:
            self._metrics.remove(feed)

    def flush(self, timeout_s: float) -> bool:
        """Send everything that is here now.

        Returns:
            Whether all of it was settled in time and nothing got lost meanwhile.
        """
        deadline = time.monotonic() + timeout_s
        lost = self._lost()
        # First all of them are asked, so that they send side by side.
        places = [(lane, lane.request_flush()) for lane in (self._spans, self._logs, self._metrics) if lane is not None]
        in_time = [lane.wait(place, deadline - time.monotonic()) for lane, place in places]
        return all(in_time) and self._lost() == lost

    def _lost(self) -> int:
        return sum(sum(lane.stats().dropped.values()) for lane in self._lanes.values())

    def shutdown(self, timeout_s: float = 3.0) -> None:
        """Deliver what is left and stop; never raises, and a second call does nothing.

        A pause before another try is cut short. An endpoint that has never been there gets one more try, not more.

        Args:
            timeout_s: Seconds to wait at most. What is not delivered then is given up.
        """
        if not self._lock.acquire(blocking=False):
            return
        atexit.unregister(self.shutdown)
        deadline = time.monotonic() + timeout_s
        self._is_closing = True
        for lane in self._lanes.values():
            lane.close(timeout_s)
        for lane in self._lanes.values():
            if not lane.is_given_up:
                lane.join(deadline - time.monotonic())
        self.give_up()
        grace_end = time.monotonic() + _GRACE_S
        for lane in self._lanes.values():
            lane.join(grace_end - time.monotonic())

    def give_up(self, *signals: SignalName) -> None:
        """Send nothing more: what is left counts as dropped. Never raises.

        Args:
            signals: Which signals; all if none is named.
        """
        for signal, lane in self._lanes.items():
            if not signals or signal in signals:
                lane.give_up()
        if not signals:
            self._is_closing = True
            self._channels.close()

    def stats(self) -> SenderStats:
        """Give the counters of this moment."""

        def of(lane: Lane | None) -> SignalStats:
            return Tally().snapshot() if lane is None else lane.stats()

        return SenderStats(of(self._spans), of(self._logs), of(self._metrics))

    def _restart(self) -> None:
        """Begin anew in a child process: the threads are gone, and locks may be held by them for ever."""
        was_closing = self._is_closing
        feeds = self._metrics.unlocked_feeds if self._metrics is not None else ()
        # Not closed, and kept: that would end the parent's connections, or wait for threads that are not there.
        self._inherited += [self._channels, *self._lanes.values()]
        self._start()
        if was_closing:
            self._lock.acquire(blocking=False)
            self.give_up()
            return
        for feed in feeds:
            self.add_metrics(feed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()


def _forked(sender: weakref.ref[OtlpSender]) -> Any:
    """Make the function that runs in a child process; it does not keep the sender alive."""

    def restart() -> None:
        known = sender()
        if known is not None:
            known._restart()

    return restart
