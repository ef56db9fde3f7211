"""What there is to say about a module's debug information, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wasmscope.dwarf._examination import Examination

__all__ = ["Finding", "Severity", "find"]

_MANY_LINES_ZERO: Final = 0.6  # 18 to 28 % is what optimizing compilers leave


class Severity(Enum):
    """How bad it is."""

    ERROR = "error"
    """Answers are wrong, or there are none: the debug information is not to be trusted."""
    WARNING = "warning"
    """Something is missing; what there is is right."""
    NOTE = "note"
    """Good to know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a module's debug information.

    Attributes:
        code: What it is, in a word that stays the same from release to release.
        severity: How bad it is.
        message: What it is, for people.
        remedy: What to do about it; None if nothing is to be done.
    """

    code: str
    severity: Severity
    message: str
    remedy: str | None = None


def find(examination: Examination) -> tuple[Finding, ...]:
    """Say all that there is to say about a module, the worst first.

    Args:
        examination: What was found out about it.
    """
    rules = (_debug_files, _dwarf, _references, _names, _lines, _split, _build_id, _rewritten, _units, _sources)
    found = [finding for rule in rules for finding in rule(examination)]
    order = list(Severity)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))
