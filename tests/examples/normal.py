"""What stays the same in the output of a program from run to run."""

from __future__ import annotations

import re

__all__ = ["normal"]

_CHANGING = (
    (r"\b[0-9a-f]{32}\b", "TRACE"),
    (r"\b[0-9a-f]{16}\b", "SPAN"),
    (r"\d+(?:\.\d+)? (?:ns|µs|ms|s)\b", "TIME"),
    (r"(?<= )[━─]+ *(?= TIME|$)", ""),  # bars: before the times, after a blank
    (r"(?<=\S) +", " "),
    (r" +$", ""),
)


def normal(text: str) -> str:
    """Replace ids, durations and bars; columns become single blanks."""
    for pattern, replacement in _CHANGING:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text
