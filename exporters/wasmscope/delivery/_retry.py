"""Trying again, with longer and longer pauses.

Source: https://opentelemetry.io/docs/specs/otlp/#failures. The specification asks for exponential backoff with jitter
and leaves the figures open; these are those of the OpenTelemetry Collector's exporters but for the first pause
(https://github.com/open-telemetry/opentelemetry-collector/tree/main/exporter/exporterhelper).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["RetryPolicy"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait, and when to give up.

    Attributes:
        first_s: The first pause.
        factor: By how much each pause is longer than the one before.
        longest_s: The longest pause.
        longest_asked_s: The longest pause that an endpoint is granted.
        jitter: How far a pause may be from its figure, as a part of it.
        patience_s: After how many seconds a request that still fails is given up.
        random: Gives numbers from 0 to 1.
    """

    first_s: float = 1.0
    factor: float = 1.5
    longest_s: float = 30.0
    longest_asked_s: float = 300.0
    jitter: float = 0.5
    patience_s: float = 300.0
    random: Callable[[], float] = random.random

    def pause_s(self, failures: int, asked_s: float | None = None) -> float:
        """Give the pause before the next try, in seconds.

        Args:
            failures: How often the request has failed; at least 1.
            asked_s: What the endpoint asked for with its last answer.
        """
        if asked_s:
            return min(asked_s, self.longest_asked_s)
        # The exponent is bounded, or the power would overflow some day.
        figure = min(self.first_s * self.factor ** min(failures - 1, 64), self.longest_s)
        return figure * (1 + self.jitter * (2 * self.random() - 1))
