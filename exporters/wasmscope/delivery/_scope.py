"""Whose telemetry it is."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Scope"]


@dataclass(frozen=True, slots=True)
class Scope:
    """An instrumentation scope: the guest module that records come from.

    Attributes:
        name: Name of the module.
        version: Version of the module, or None.
    """

    name: str
    version: str | None = None
