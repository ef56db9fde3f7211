"""Counts of what guests sent and nobody could use."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from typing import Final

__all__ = ["RejectionTotals", "Rejections"]

_SHOWN: Final = 160
_logger = logging.getLogger("wasmscope.host_shim")


class RejectionTotals:
    """Rejections of all guests of a bridge, by module, tenant and reason. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: Counter[tuple[str, str | None, str]] = Counter()

    def add(self, module: str, tenant: str | None, reason: str, count: int) -> None:
        """Count one more."""
        with self._lock:
            self._totals[module, tenant, reason] += count

    def snapshot(self) -> dict[tuple[str, str | None, str], int]:
        """Give the counts so far, by (module, tenant, reason)."""
        with self._lock:
            return dict(self._totals)


class Rejections:
    """Rejections of one guest: counted always, logged once per reason.

    The reasons are those of ``docs/abi.md``; there are about 35, so the counts are bounded.
    """

    __slots__ = ("_module", "_seen", "_tenant", "_totals", "count")

    def __init__(self, module: str, tenant: str | None, totals: RejectionTotals) -> None:
        self._module = module
        self._tenant = tenant
        self._totals = totals
        self._seen: set[str] = set()
        self.count = 0
        """All rejections of this guest so far; a reader compares it before and after."""

    def add(self, reason: str, detail: str = "", count: int = 1) -> None:
        """Count a rejection.

        Args:
            reason: One of the reasons of the ABI.
            detail: What exactly, for the log.
            count: How many things were dropped.
        """
        self.count += count
        self._totals.add(self._module, self._tenant, reason, count)
        if reason not in self._seen:
            self._seen.add(reason)
            # It may be in the guest's words: those shall not look like lines or colours of the log.
            shown = (detail if detail.isprintable() else repr(detail))[:_SHOWN]
            _logger.warning(
                "guest %r sent something unusable: %s%s "
                "(further ones of this guest are only counted, in wasmscope.rejected)",
                self._module,
                reason,
                f": {shown}" if shown else "",
            )
