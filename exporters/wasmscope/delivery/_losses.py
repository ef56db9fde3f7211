"""Counts of records that could not be handed on."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Final, Literal

__all__ = ["Losses", "LostReason", "SignalName"]

SignalName = Literal["spans", "logs", "metrics"]
LostReason = Literal["failed", "malformed", "no_sdk", "instrument_count"]
"""Why a record was lost: a processor or exporter raised; its bytes are not OTLP; the application's provider is not (or
not any more) the SDK's; the module has too many instruments."""

_SHOWN: Final = 200
_logger = logging.getLogger("wasmscope.delivery")


class Losses:
    """Lost records by signal and reason. Thread-safe. Each signal and reason is logged once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[SignalName, LostReason]] = Counter()

    def add(self, signal: SignalName, reason: LostReason, count: int, detail: str) -> None:
        """Count lost records.

        Args:
            signal: Whose records.
            reason: Why.
            count: How many.
            detail: What exactly and what to try, for the log.
        """
        if count <= 0:
            return
        with self._lock:
            is_first = (signal, reason) not in self._counts
            self._counts[signal, reason] += count
        if is_first:
            shown = (detail if detail.isprintable() else repr(detail))[:_SHOWN]
            _logger.warning("%s of guests were lost: %s (further ones are only counted)", signal, shown)

    def snapshot(self) -> dict[tuple[SignalName, LostReason], int]:
        """Give the counts so far."""
        with self._lock:
            return dict(self._counts)
