"""OpenTelemetry's context while a guest runs whose spans a collector keeps.

A guest that enters a span does not enter Python, so nobody can make that span OpenTelemetry's current one then.
Instead the context of a call is one that looks the current span up when somebody asks for it: a host function that the
guest calls and that starts a span, injects headers or logs.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from struct import Struct
from typing import Final, Protocol

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes, AttributeValue

from wasmscope.host_shim._traps import Failure

__all__ = ["CURRENT", "CallContext", "CollectedSpan", "SpanKeeper", "span_context_of"]

# OpenTelemetry's key of the current span has no public name, but a context with nothing else has it alone.
(_SPAN_KEY,) = set_span_in_context(INVALID_SPAN, Context())

CURRENT: Final = Struct("<Q16s8sI2BxxI")
"""The innermost entered span as the collector keeps it: handle, trace id, span id, guest, flags, is it recording, trace
state. See ``host_shim/collector/README.md``."""


class SpanKeeper(Protocol):
    """What the host can do to a guest's span that a collector keeps.

    Guarantees: nothing raises; what concerns a span that has ended meanwhile is left undone.
    """

    def current(self, context: CallContext) -> bytes | None:
        """Give the bytes of `CURRENT` for a call that runs; None if it is over or cannot be asked now."""
        ...

    def tracestate(self, number: int) -> TraceState:
        """Give a trace state by the collector's number for it; 0 is the empty one."""
        ...

    def change(self, guest: int, function: str, handle: int, *parts: str | int | Mapping[str, object]) -> None:
        """Do to a span what a function of the ABI does.

        Args:
            guest: The number of the span's guest.
            function: The ABI's name.
            handle: The guest's name for the span.
            parts: The function's other arguments: texts, numbers, attributes.
        """
        ...

    def link(self, guest: int, handle: int, target: SpanContext, attributes: Mapping[str, object]) -> None:
        """Add a link to any span context."""
        ...


class CallContext(Context):
    """The context of a call: the host's, with the guest's current span in the place of the host's.

    What is read from it is as it is at that moment. It is only asked for the guest's span in the thread that the guest
    runs in, and while the call lasts: elsewhere and afterwards, the current span is the host's span of the call.
    """

    def __init__(self, context: Context, span: Span, keeper: SpanKeeper) -> None:
        """Put the current span of a call into a context.

        Args:
            context: The host's, with the host's span of the call.
            span: That span.
            keeper: Knows the guest's.
        """
        super().__init__(context)
        self.pinned: bytes | None = None
        """What was current when a call nested in this one began, while that lasts."""
        self.is_over = False
        self._span = span
        self._keeper = keeper
        self._thread = threading.get_ident()
        self._found: CollectedSpan | None = None

    def span(self) -> Span:
        """Give the span that is current now."""
        if self.is_over or threading.get_ident() != self._thread:
            return self._span
        raw = self.pinned or self._keeper.current(self)
        if raw is None:
            return self._span
        handle, trace_id, span_id, guest, flags, is_recording, state = CURRENT.unpack(raw)
        if handle == 0:
            return self._span
        found = self._found
        if found is None or found.handle != handle or found.guest != guest:
            context = span_context_of(trace_id, span_id, flags, False, self._keeper.tracestate(state))
            found = self._found = CollectedSpan(context, guest, handle, self._keeper, is_recording=bool(is_recording))
        return found

    def get(self, key: str, default: object = None) -> object:
        """Give a value; the current span is looked up."""
        return self.span() if key == _SPAN_KEY else super().get(key, default)

    def __getitem__(self, key: str) -> object:
        """Give a value; the current span is looked up."""
        return self.span() if key == _SPAN_KEY else super().__getitem__(key)

    def copy(self) -> dict[str, object]:
        """Give the values as they are now: what OpenTelemetry makes other contexts of."""
        values = super().copy()
        values[_SPAN_KEY] = self.span()
        return values


def span_context_of(
    trace_id: bytes, span_id: bytes, flags: int, is_remote: bool, tracestate: TraceState | None = None
) -> SpanContext:
    """Make a span context of the collector's bytes.

    Args:
        trace_id: 16 bytes, in the order in which W3C prints them.
        span_id: 8 bytes, likewise.
        flags: W3C trace flags.
        is_remote: Whether it came in from elsewhere.
        tracestate: W3C trace state.
    """
    return SpanContext(int.from_bytes(trace_id), int.from_bytes(span_id), is_remote, TraceFlags(flags), tracestate)


class CollectedSpan(Span):
    """A guest's span as a host function sees it. What the host sets on it goes to the collector."""

    def __init__(
        self, context: SpanContext, guest: int, handle: int, keeper: SpanKeeper, *, is_recording: bool
    ) -> None:
        """Stand for a span.

        Args:
            context: Its ids.
            guest: The number of its guest.
            handle: The guest's name for it.
            keeper: Knows it.
            is_recording: Whether it is kept.
        """
        self._context = context
        self.guest = guest
        self.handle = handle
        self._keeper = keeper
        self._is_recording = is_recording

    def _change(self, function: str, *parts: str | int | Mapping[str, object]) -> None:
        if self._is_recording:
            self._keeper.change(self.guest, function, self.handle, *parts)

    def get_span_context(self) -> SpanContext:
        """Give its ids."""
        return self._context

    def is_recording(self) -> bool:
        """Whether it is kept."""
        return self._is_recording

    def end(self, end_time: int | None = None) -> None:
        """End it, now: one clock times all that the collector keeps."""
        self._change("span_end")
        self._is_recording = False

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Set attributes."""
        self._change("span_attributes", attributes)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute."""
        self.set_attributes({key: value})

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Add an event, now."""
        self._change("span_event", name, attributes or {})

    def update_name(self, name: str) -> None:
        """Rename it."""
        self._change("span_rename", name)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Set its status."""
        code, text = (
            (status, description) if isinstance(status, StatusCode) else (status.status_code, status.description)
        )
        self._change("span_status", code.value, text or "")

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        """Add a link."""
        if self._is_recording:
            self._keeper.link(self.guest, self.handle, context, attributes or {})

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Record an exception of the host's."""
        known: dict[str, object] = {**Failure.of_exception(exception).event(), **(attributes or {})}
        self._change("span_event", "exception", known)
