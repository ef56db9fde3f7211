"""Quantities as people read them: three significant digits and a unit."""

from __future__ import annotations

import math

__all__ = ["bytes_text", "count_text", "counted", "duration_text", "measured_text"]

_DURATIONS = ((1, "ns"), (1_000, "µs"), (1_000_000, "ms"), (1_000_000_000, "s"))
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def _digits(value: float) -> str:
    """Three significant digits, and no exponent below 1,000."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def duration_text(duration_ns: float) -> str:
    """Write a duration, for example ``12.4 ms``.

    Args:
        duration_ns: Nanoseconds; negative counts as 0.
    """
    if not math.isfinite(duration_ns):
        return "?"
    duration_ns = max(duration_ns, 0)
    if duration_ns < 999.5:
        return f"{duration_ns:.0f} ns"
    for scale, unit in _DURATIONS[1:]:
        if duration_ns < scale * 999.5:
            return f"{_digits(duration_ns / scale)} {unit}"
    minutes, seconds = divmod(round(duration_ns / 1_000_000_000), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,}h {minutes:02}m"
    return f"{minutes}m {seconds:02}s"


def bytes_text(size_bytes: float) -> str:
    """Write a size in bytes with a binary unit, for example ``1.12 MiB``."""
    if not math.isfinite(size_bytes):
        return "?"
    sign, value = ("-", -size_bytes) if size_bytes < 0 else ("", size_bytes)
    if value < 1024:
        return f"{sign}{value:.0f} B"
    for unit in _SIZES[1:]:
        value /= 1024
        if value < 1023.5:
            return f"{sign}{_digits(value)} {unit}"
    return f"{sign}{value:,.0f} {_SIZES[-1]}"


def counted(count: int, noun: str) -> str:
    """Write how many there are of something, for example ``1 span`` or ``2,000 spans``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def count_text(value: int | float) -> str:
    """Write a plain number, with thousands separators and six digits at most."""
    if math.isfinite(value) and value == int(value) and abs(value) < 2**64:
        return f"{int(value):,}"
    return f"{value:,.6g}"


def measured_text(value: float, unit: str) -> str:
    """Write a measured value with its unit, which is a UCUM code.

    Seconds and bytes are scaled; annotations such as ``{request}`` and the unit ``1``
    are left away, because the instrument's name says it already.
    """
    if unit in {"s", "ms", "us", "ns"} and value >= 0:
        scale = {"s": 1e9, "ms": 1e6, "us": 1e3, "ns": 1.0}[unit]
        return duration_text(value * scale)
    if unit == "By":
        return bytes_text(value)
    if unit in {"", "1"} or unit.startswith("{"):
        return count_text(value)
    return f"{count_text(value)} {unit}"
