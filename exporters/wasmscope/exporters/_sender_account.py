"""What an OTLP sender delivers, in the account of its destinations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wasmscope.delivery import LossReason, SignalName
from wasmscope.exporters._delivery import Destination, Signal

__all__ = ["SenderAccount"]

_RECORDS: Final[dict[SignalName, Signal]] = {"traces": "span", "logs": "log record", "metrics": "metric point"}


class SenderAccount:
    """Listens to a sender."""

    def __init__(self, destinations: Mapping[SignalName, Destination]) -> None:
        """Begin.

        Args:
            destinations: Where each signal goes that the sender sends.
        """
        self._destinations = dict(destinations)

    def handed_over(self, signal: SignalName, count: int) -> None:
        """Count records that came."""
        if signal == "metrics":
            self._destinations[signal].begin_metrics(self, count)
        else:
            self._destinations[signal].finish(_RECORDS[signal], count)

    def delivered(self, signal: SignalName, count: int) -> None:
        """Count records that the endpoint took."""
        self._destinations[signal].deliver(_RECORDS[signal], count, self)

    def lost(self, signal: SignalName, count: int, reason: LossReason, message: str) -> None:
        """Note why records got lost."""
        destination = self._destinations[signal]
        match reason:
            case "queue_full":
                destination.lose("more came than the queue holds", "set WASMSCOPE_OTLP_QUEUE_BYTES higher")
            case "rejected":
                destination.lose(message or "rejected", "look into its log")
            case "error" | "expired" | "refused" | "shutdown":
                if message:
                    destination.note(message)
                    destination.lose()
                else:
                    destination.lose("no answer in time", "check endpoint and firewalls")

    def failing(self, signal: SignalName, message: str) -> None:
        """Note why deliveries fail now."""
        self._destinations[signal].note(message)
