"""Counts of records that the SDK did not take."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Final, Literal

from wasmscope.delivery._notices import Notices
from wasmscope.delivery._target import SignalName

__all__ = ["Losses", "SdkLossReason"]

SdkLossReason = Literal["failed", "instrument_count", "malformed", "no_sdk"]
"""Why the SDK did not take a record.

- ``failed``: a processor or exporter of the application raised, or an instrument did.
- ``instrument_count``: its module has too many instruments.
- ``malformed``: it is not what a collector writes: a defect.
- ``no_sdk``: the application's tracer provider is not (or not any more) the SDK's.
"""

_SHOWN: Final = 200
_RECORDS: Final[dict[SignalName, str]] = {"traces": "spans", "logs": "log records", "metrics": "metric values"}


class Losses:
    """Lost records by signal and reason. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[SignalName, SdkLossReason]] = Counter()
        self._notices = Notices()

    def add(self, signal: SignalName, reason: SdkLossReason, count: int, detail: str) -> None:
        """Count lost records, and warn.

        Args:
            signal: Whose records.
            reason: Why.
            count: How many.
            detail: What exactly and what to try, for the log.
        """
        if count <= 0:
            return
        with self._lock:
            self._counts[signal, reason] += count
        shown = (detail if detail.isprintable() else repr(detail))[:_SHOWN]
        self._notices.warn((signal, reason), "%s of guests were lost: %s", _RECORDS[signal], shown)

    def snapshot(self) -> dict[tuple[SignalName, SdkLossReason], int]:
        """Give the counts so far."""
        with self._lock:
            return dict(self._counts)
