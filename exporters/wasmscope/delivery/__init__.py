"""Telemetry that comes as OTLP bytes, on its way to where it belongs."""

from __future__ import annotations

__all__: list[str] = []
