"""Trace contexts as OTLP carries them, and as OpenTelemetry's API does."""

from __future__ import annotations

from typing import Final

from opentelemetry.context import Context, get_current
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

__all__ = ["IS_REMOTE", "Contexts", "read_flags", "read_trace_state"]

IS_REMOTE: Final = 0x200
"""Bit of OTLP's span and link flags (trace.proto, SpanFlags): the parent, or what is linked to, is remote."""
_W3C_FLAGS: Final = 0xFF
_FLAGS: Final = tuple(TraceFlags(number) for number in range(256))
_NO_STATE: Final = TraceState()


def read_flags(flags: int) -> TraceFlags:
    """Give the W3C trace flags in OTLP's flags of a span, link or log record: the lowest eight bits."""
    return _FLAGS[flags & _W3C_FLAGS]


def read_trace_state(header: str) -> TraceState:
    """Read a trace state in the form of the W3C header."""
    return TraceState.from_header([header]) if header else _NO_STATE


class Contexts:
    """The contexts of one batch of records: what they have for current span, each made once.

    Everything else in them, such as baggage, is what is current when the batch is handed on.
    """

    def __init__(self, base: Context | None = None) -> None:
        """Prepare for a batch.

        Args:
            base: The context that the others are made from; None for the current one.
        """
        self._base = get_current() if base is None else base
        self._known: dict[tuple[bytes, bytes, int, str], tuple[SpanContext | None, Context]] = {}
        self._states: dict[str, TraceState] = {"": _NO_STATE}

    def trace_state(self, header: str) -> TraceState:
        """Give a trace state of the batch."""
        state = self._states.get(header)
        if state is None:
            state = self._states[header] = read_trace_state(header)
        return state

    def of(self, trace_id: bytes, span_id: bytes, flags: int, header: str = "") -> tuple[SpanContext | None, Context]:
        """Give a span's context, and a context in which that span is current.

        Args:
            trace_id: Its trace.
            span_id: The span; empty for none.
            flags: OTLP's flags: the W3C ones and `IS_REMOTE`.
            header: Its trace state.
        """
        key = (trace_id, span_id, flags, header)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._make(trace_id, span_id, flags, header)
        return found

    def _make(self, trace_id: bytes, span_id: bytes, flags: int, header: str) -> tuple[SpanContext | None, Context]:
        own = SpanContext(
            int.from_bytes(trace_id),
            int.from_bytes(span_id),
            is_remote=bool(flags & IS_REMOTE),
            trace_flags=read_flags(flags),
            trace_state=self.trace_state(header),
        )
        if not own.is_valid:
            return None, set_span_in_context(INVALID_SPAN, self._base)
        return own, set_span_in_context(NonRecordingSpan(own), self._base)
