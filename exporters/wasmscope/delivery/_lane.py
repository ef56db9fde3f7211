"""The way of one signal through the sender: what all signals have in common."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from opentelemetry import context

from wasmscope.delivery._answer import Accepted, Transport
from wasmscope.delivery._courier import Closing, Courier, Lost
from wasmscope.delivery._environment import SignalSettings
from wasmscope.delivery._notices import Notices
from wasmscope.delivery._retry import RetryPolicy
from wasmscope.delivery._stats import Listener, LossReason, SignalStats, Tally
from wasmscope.delivery._target import SignalName

__all__ = ["Circumstances", "Lane"]

_logger = logging.getLogger("wasmscope.delivery")

_NOUNS: dict[SignalName, str] = {"traces": "spans", "logs": "log records", "metrics": "metric points"}


class Circumstances:
    """What the lanes of a sender share."""

    def __init__(
        self,
        policy: RetryPolicy,
        notices: Notices,
        listener: Listener | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy
        self.notices = notices
        self.listener = listener
        self.clock = clock


class Lane(ABC):
    """A signal's thread, which exists from the first record on, and its counters."""

    def __init__(
        self, signal: SignalName, settings: SignalSettings, transport: Transport, circumstances: Circumstances
    ) -> None:
        self._signal: SignalName = signal
        self._target = settings.target
        self._circumstances = circumstances
        self._clock = circumstances.clock
        self._closing = Closing(self._clock)
        self._condition = threading.Condition()
        self._tally = Tally()
        self._thread: threading.Thread | None = None
        self._is_given_up = False
        self._courier = Courier(
            transport,
            settings.timeout_s,
            circumstances.policy,
            self._closing,
            clock=self._clock,
            on_request=self._count_request,
            on_failing=self._tell_failing,
        )

    def stats(self) -> SignalStats:
        """Give the counters."""
        with self._condition:
            return self._tally.snapshot()

    @property
    def is_given_up(self) -> bool:
        """Whether nothing is sent any more."""
        return self._is_given_up

    def close(self, timeout_s: float) -> None:
        """Take nothing more, send what is left in the time that is given, and let the thread end then."""
        self._closing.begin(timeout_s)
        with self._condition:
            self._condition.notify_all()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread, but no longer than the timeout."""
        with self._condition:
            thread = self._thread
        if thread is not None:
            thread.join(max(timeout_s, 0))

    def give_up(self, message: str = "", reason: LossReason = "shutdown") -> None:
        """Send nothing more: what is left counts as dropped, and what comes of a request under way does not count."""
        self._closing.end()
        with self._condition:
            if self._is_given_up:
                return
            self._is_given_up = True
            count = self._tally.waiting_records
            if count:
                self._tally.drop(count, reason)
            self._tally.waiting_records = self._tally.waiting_bytes = 0
            self._forget()
            self._condition.notify_all()
        if count:
            self._tell_lost(count, reason, message)

    @abstractmethod
    def _forget(self) -> None:
        """Let go of what waits, under the lock."""

    @abstractmethod
    def _passed(self, count: int) -> None:
        """Note that records have left, whatever became of them, under the lock."""

    @abstractmethod
    def _work(self) -> None:
        """Send until the sender closes and nothing is left."""

    def _ensure_thread(self) -> None:
        """Start the thread if there is none, under the lock."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=f"wasmscope-otlp-{self._signal}", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # No more threads, or the interpreter ends: perhaps next time.
                _logger.debug("the thread for %s cannot be started: %s", self._signal, error)
                return
            self._thread = thread

    def _run(self) -> None:
        # Instrumented HTTP and gRPC libraries look for this: or each request would make spans, and so on.
        context.attach(context.set_value("suppress_instrumentation", True))
        try:
            self._work()
        except Exception as error:
            _logger.exception("sending %s ended by a defect", self._signal)
            self.give_up(f"{type(error).__name__}: {error}", "error")

    def _deliver(self, request: Callable[[], bytes], patience_s: float | None = None) -> Accepted | Lost:
        """Make a request and send it; a defect costs no more than its records."""
        try:
            return self._courier.deliver(request(), patience_s)
        except Exception as error:
            _logger.exception("%s cannot be sent", _NOUNS[self._signal])
            return Lost("error", f"{type(error).__name__}: {error}")

    def _settle(self, count: int, size: int, fate: Accepted | Lost) -> None:
        """Count what became of a request."""
        rejected = 0
        with self._condition:
            if self._is_given_up:
                return
            tally = self._tally
            tally.waiting_records -= count
            tally.waiting_bytes -= size
            if isinstance(fate, Accepted):
                rejected = min(fate.rejected, count)
                tally.sent += count - rejected
                if rejected:
                    tally.drop(rejected, "rejected")
            else:
                tally.drop(count, fate.reason)
            self._passed(count)
            self._condition.notify_all()
        if isinstance(fate, Lost):
            self._tell_lost(count, fate.reason, fate.message)
            return
        if self._circumstances.listener is not None:
            self._circumstances.listener.delivered(self._signal, count - rejected)
        if rejected:
            self._tell_lost(rejected, "rejected", fate.message)
        elif fate.message:
            self._circumstances.notices.warn(
                (self._signal, "odd"), "%s (%s): %s", self._target.name, self._target.protocol, fate.message
            )

    def _tell_handed_over(self, count: int) -> None:
        if self._circumstances.listener is not None:
            self._circumstances.listener.handed_over(self._signal, count)

    def _tell_lost(self, count: int, reason: LossReason, message: str) -> None:
        if self._circumstances.listener is not None:
            self._circumstances.listener.lost(self._signal, count, reason, message)
        self._circumstances.notices.warn(
            (self._signal, reason),
            "%s %s not delivered to %s (%s): %s",
            f"{count:,}",
            _NOUNS[self._signal],
            self._target.name,
            self._target.protocol,
            f"{reason}, {message}" if message else reason,
        )

    def _tell_failing(self, message: str) -> None:
        if self._circumstances.listener is not None:
            self._circumstances.listener.failing(self._signal, message)
        self._circumstances.notices.warn(
            (self._signal, "failing"),
            "%s do not get to %s (%s), trying again: %s",
            _NOUNS[self._signal],
            self._target.name,
            self._target.protocol,
            message,
        )

    def _count_request(self, size: int, duration_s: float, is_retry: bool) -> None:
        with self._condition:
            self._tally.request(size, duration_s, is_retry=is_retry)
