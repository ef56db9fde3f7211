"""The syntax of the ``tracestate`` header."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["TRACEPARENT_BYTES", "TRACESTATE_BYTES", "is_tracestate"]

TRACEPARENT_BYTES: Final = 512
"""The longest ``traceparent`` that OpenTelemetry reads; one of version 00 has 55."""
TRACESTATE_BYTES: Final = 512
"""What must be passed on at least (https://www.w3.org/TR/trace-context/#tracestate-limits), and all that
OpenTelemetry reads."""

_MEMBERS: Final = 32
_KEY: Final = r"[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}"
_VALUE: Final = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER: Final = re.compile(rf"(?:{_KEY})={_VALUE}")


def is_tracestate(text: str) -> bool:
    """Whether a text is a ``tracestate`` header's value, by https://www.w3.org/TR/trace-context/#tracestate-header.

    OpenTelemetry's propagator would find out, too, but log what it finds each time, in the guest's words.

    Args:
        text: The value.
    """
    members = [member for member in (part.strip(" \t") for part in text.split(",")) if member]
    return (
        len(text) <= TRACESTATE_BYTES
        and len(members) <= _MEMBERS
        and len({member.partition("=")[0] for member in members}) == len(members)
        and all(_MEMBER.fullmatch(member) for member in members)
    )
