"""Bringing one request after the other to its endpoint, as often as it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wasmscope.delivery._answer import Accepted, Failed, Transport
from wasmscope.delivery._retry import RetryPolicy
from wasmscope.delivery._stats import LossReason

__all__ = ["Closing", "Courier", "Lost"]

_LEAST_TIMEOUT_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Lost:
    """A request was given up.

    Attributes:
        reason: Why.
        message: What went wrong at last, in the words of the protocol.
    """

    reason: LossReason
    message: str


class Closing:
    """The end of a sender: whether it has begun, and by when it has to be over. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = threading.Event()
        self._over = threading.Event()
        self._deadline = float("inf")

    def begin(self, timeout_s: float) -> None:
        """Begin to close, and wake who pauses."""
        self._deadline = self._clock() + timeout_s
        self._begun.set()

    def end(self) -> None:
        """Let nothing more be sent, and wake who pauses."""
        self._deadline = float("-inf")
        self._begun.set()
        self._over.set()

    @property
    def has_begun(self) -> bool:
        """Whether the sender is closing."""
        return self._begun.is_set()

    @property
    def is_over(self) -> bool:
        """Whether nothing may be sent any more."""
        return self._over.is_set()

    @property
    def left_s(self) -> float:
        """How much time is left; infinite while nobody closes the sender."""
        return self._deadline - self._clock()

    def pause(self, pause_s: float) -> bool:
        """Wait between two tries.

        Returns:
            Whether there is another try. The beginning of the end cuts a pause short; after it, there is no pause
            longer than the time that is left.
        """
        if not self.has_begun:
            self._begun.wait(pause_s)
            return not self.is_over
        if pause_s > self.left_s:
            return False
        return not self._over.wait(pause_s)


class Courier:
    """Sends requests through a transport. Used by one thread at a time.

    Guarantees: a request that the endpoint answered with success is never sent again, nor is one that it refused for
    good; every `deliver` ends.
    """

    def __init__(
        self,
        transport: Transport,
        timeout_s: float,
        policy: RetryPolicy,
        closing: Closing,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_request: Callable[[int, float, bool], None],
        on_failing: Callable[[str], None],
    ) -> None:
        """Prepare.

        Args:
            transport: The way to the endpoint.
            timeout_s: How long to wait for each answer.
            policy: When to try again.
            closing: The sender's end.
            clock: A clock, in seconds.
            on_request: Called after each try with the request's length, the seconds it took and whether it was a retry.
            on_failing: Called with what went wrong before each pause.
        """
        self._transport = transport
        self._timeout_s = timeout_s
        self._policy = policy
        self._closing = closing
        self._clock = clock
        self._on_request = on_request
        self._on_failing = on_failing
        self._has_delivered = False

    def deliver(self, request: bytes, patience_s: float | None = None) -> Accepted | Lost:
        """Send a request until it is taken, refused or given up.

        Args:
            request: The request.
            patience_s: After how many seconds it is given up, if sooner than the policy says.
        """
        patience_s = min(self._policy.patience_s, patience_s or self._policy.patience_s)
        packed = self._transport.pack(request)
        failures = 0
        began = self._clock()
        while True:
            timeout_s = min(self._timeout_s, max(self._closing.left_s, _LEAST_TIMEOUT_S))
            started = self._clock()
            answer = self._transport.send(packed, timeout_s)
            ended = self._clock()
            self._on_request(len(request), ended - started, failures > 0)
            if isinstance(answer, Accepted):
                self._has_delivered = True
                return answer
            failures += 1
            if self._closing.is_over:
                return Lost("shutdown", answer.message)
            if not answer.is_retryable:
                return Lost("refused", answer.message)
            if ended - began >= patience_s:
                return Lost("expired", answer.message)
            if not self._may_retry(answer, failures):
                return Lost("shutdown", answer.message)

    def _may_retry(self, answer: Failed, failures: int) -> bool:
        """Wait for the next try; False if there is none, because the sender closes."""
        if self._closing.has_begun and not self._has_delivered and failures > 1:
            return False  # nobody has ever been there: a program shall not end late because of that
        self._on_failing(answer.message)
        return self._closing.pause(self._policy.pause_s(failures, answer.after_s))
