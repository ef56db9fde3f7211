"""A guest's open spans, its stack of entered ones, and the contexts it may still refer to."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)

from wasmscope.host_shim._limits import Limits
from wasmscope.host_shim._rejections import Rejections

if TYPE_CHECKING:
    from wasmscope.host_shim._calls import CallFrame

__all__ = ["LOST", "NO_SPAN", "GuestSpan", "RunningCalls", "Spans"]

# An empty Context is falsy, which the logs API takes for "the current one".
NO_SPAN: Final = set_span_in_context(INVALID_SPAN, Context())
"""A context without any span."""


LOST: Final = -2
"""What guests pass for a span that the host did not keep."""


class GuestSpan:
    """An open span and what the guest did with it.

    Attributes:
        handle: The guest's name for it; 0 for the host's span of a call.
        span: OpenTelemetry's span.
        fields: Field names of its call site.
        frame: The call during which it was started, or None outside of one.
        events: How many events it has.
        links: How many links it has.
        kept_bytes: How many bytes of the guest it holds.
        later: What each attribute that was added to it counts for in them; None if none was.
        entered: How many times it stands on the stack.
    """

    __slots__ = ("_keys", "entered", "events", "fields", "frame", "handle", "kept_bytes", "later", "links", "span")

    def __init__(
        self, handle: int, span: Span, fields: Sequence[str], frame: CallFrame | None, keys: Iterable[str] = ()
    ) -> None:
        self.handle = handle
        self.span = span
        self.fields = fields
        self.frame = frame
        self.events = 0
        self.links = 0
        self.kept_bytes = 0
        self.later: dict[str, int] | None = None
        self.entered = 0
        # Of its attributes; a set once there are more than it was started with.
        self._keys = keys

    def was_started_in(self, frame: CallFrame) -> bool:
        """Whether it was started during a call, or during one into the same guest that was nested in it."""
        own = self.frame
        while own is not None and own is not frame:
            own = own.previous
        return own is frame

    def keys(self) -> set[str]:
        """Give the keys of its attributes, to be added to."""
        if not isinstance(self._keys, set):
            self._keys = set(self._keys)
        return self._keys


class RunningCalls(threading.local):
    """The innermost call from the host into any guest that runs in each thread."""

    frame: CallFrame | None = None

    def interrupt(self, error: BaseException) -> None:
        """Have the call that runs raise something when its guest is done."""
        if self.frame is not None:
            self.frame.pending = self.frame.pending or error


class Spans:
    """The span table of one guest instance.

    Guarantees: handles count up and are never given out again; the number of open spans, entries and kept contexts
    is bounded.
    """

    __slots__ = ("_calls", "_ended", "_limits", "_loose", "_next", "_open", "_remote", "kept_bytes", "rejections")

    def __init__(self, limits: Limits, rejections: Rejections, calls: RunningCalls) -> None:
        self._limits = limits
        self.rejections = rejections
        self._calls = calls
        self._next = 1
        self.kept_bytes = 0
        """How many bytes of the guest its open spans hold."""
        self._open: dict[int, GuestSpan] = {}
        # Usable as parents and link targets only, oldest first. Apart, so that a remote context that many spans are
        # children of is not lost when they end.
        # Ordered dictionaries, because the first of a plain one is found the slower the more were deleted before it.
        self._ended: OrderedDict[int, SpanContext] = OrderedDict()
        self._remote: OrderedDict[int, SpanContext] = OrderedDict()
        # Entries made outside of any call through the bridge (a start function, an export called directly).
        self._loose: list[GuestSpan] = []

    @property
    def frame(self) -> CallFrame | None:
        """The call that the guest runs in: into it, or into a guest that it is linked to."""
        return self._calls.frame

    def __len__(self) -> int:
        """Count the open spans."""
        return len(self._open)

    def is_full(self) -> bool:
        """Whether there is no room for another open span; counts the refusal."""
        if len(self._open) < self._limits.open_spans:
            return False
        self.rejections.add("open_spans", f"{self._limits.open_spans} are open")
        return True

    def add(self, span: Span, fields: Sequence[str], keys: Iterable[str] = (), kept_bytes: int = 0) -> int:
        """Keep an open span and give its handle.

        Args:
            span: The span.
            fields: Field names of its call site.
            keys: Keys of its attributes.
            kept_bytes: How many bytes of the guest it holds.
        """
        handle = self._next
        self._next = handle + 1
        frame = self._calls.frame
        if frame is not None:
            frame.tables.add(self)
        self._open[handle] = found = GuestSpan(handle, span, fields, frame, keys)
        found.kept_bytes = kept_bytes
        self.kept_bytes += kept_bytes
        return handle

    def keep(self, context: SpanContext) -> int:
        """Keep a remote context and give its handle."""
        handle = self._next
        self._next = handle + 1
        self._remember(self._remote, handle, context)
        return handle

    def _remember(self, kept: OrderedDict[int, SpanContext], handle: int, context: SpanContext) -> None:
        kept[handle] = context
        if len(kept) > self._limits.kept_contexts:
            kept.popitem(last=False)

    def _kept(self, handle: int) -> SpanContext | None:
        return self._ended.get(handle) or self._remote.get(handle)

    def context(self, handle: int) -> Context | None:
        """Resolve a context argument.

        Returns:
            A context to start spans or emit logs in; None for OpenTelemetry's current one.
        """
        if handle in (0, LOST):
            return self._current()
        if handle == -1:
            return NO_SPAN
        found = self._open.get(handle)
        if found is not None:
            return set_span_in_context(found.span)
        kept = self._kept(handle)
        if kept is not None:
            return set_span_in_context(NonRecordingSpan(kept))
        self.rejections.add("handle", str(handle))
        return self._current()

    def _current(self) -> Context | None:
        if self.frame is None and self._loose:
            return set_span_in_context(self._loose[-1].span)
        return None

    def link_target(self, handle: int) -> SpanContext | None:
        """Resolve a link target; None and counted if it is unknown, because the current span is not what was meant."""
        if handle == LOST:
            return None
        if handle == 0 or handle in self._open or self._kept(handle) is not None:
            return self.span_context(handle)
        self.rejections.add("handle", str(handle))
        return None

    def span_context(self, handle: int) -> SpanContext | None:
        """Resolve a context argument to its ids; None if there are none."""
        if handle == -1:
            return None
        span = get_current_span(self.context(handle))
        context = span.get_span_context()
        return context if context.is_valid else None

    def target(self, handle: int) -> GuestSpan | None:
        """Resolve a span to change; 0 is the current one.

        Returns:
            The open span, or None: counted, unless there is just no current one.
        """
        if handle == 0:
            frame = self._calls.frame
            stack = self._loose if frame is None else frame.entered
            return stack[-1] if stack else None if frame is None else frame.target
        if handle == LOST:
            return None
        found = self._open.get(handle)
        if found is None:
            self._reject(handle, "ended")
        return found

    def _reject(self, handle: int, reason: str) -> None:
        """Count what cannot be done to a span: for a reason if it was one once."""
        is_known = handle in self._open or self._kept(handle) is not None
        self.rejections.add(reason if is_known else "handle", str(handle))

    def enter(self, handle: int) -> None:
        """Make a span current."""
        if handle in (0, LOST):
            return
        found = self.target(handle)
        if found is None:
            return
        frame = self._calls.frame
        stack = self._loose if frame is None else frame.entered
        if len(stack) >= self._limits.span_depth:
            self.rejections.add("span_depth", f"{len(stack)} are entered")
            return
        stack.append(found)
        found.entered += 1
        if frame is not None:
            frame.attach_current()

    def exit(self, handle: int) -> None:
        """Take a span's innermost entry away."""
        if handle in (0, LOST):
            return
        found = self._open.get(handle)
        frame = self._calls.frame
        stack = self._loose if frame is None else frame.entered
        for index in range(len(stack) - 1, -1, -1):
            if stack[index] is found:
                break
        else:
            self._reject(handle, "not_entered")
            return
        stack.pop(index).entered -= 1
        if frame is not None and index == len(stack):
            frame.attach_current()

    def _take_off(self, found: GuestSpan) -> None:
        """Take all entries of a span away, those of the calls around the innermost one, too."""
        frame = self._calls.frame
        innermost = frame
        while found.entered and frame is not None:
            if found in frame.entered:
                is_current = frame.entered[-1] is found
                found.entered -= frame.entered.count(found)
                frame.entered = [entry for entry in frame.entered if entry is not found]
                if is_current and frame is innermost:
                    frame.attach_current()
                elif is_current:
                    frame.is_stale = True
            frame = frame.outer
        if found.entered:
            self._loose = [entry for entry in self._loose if entry is not found]

    def end(self, handle: int) -> None:
        """End a span, or forget a remote context."""
        if handle in (0, LOST):
            return
        found = self._open.pop(handle, None)
        if found is None:
            if self._remote.pop(handle, None) is None:
                self._reject(handle, "ended")
            return
        if found.entered:
            self._take_off(found)
        self._remember(self._ended, handle, found.span.get_span_context())
        self.kept_bytes -= found.kept_bytes
        found.span.end()

    def forget_reported(self) -> None:
        """The host was told of an exception: what was noted elsewhere is not the last one any more."""

    def fail(
        self,
        frame: CallFrame | None,
        reason: str,
        event: dict[str, str] | None = None,
        *,
        end_time_ns: int | None = None,
    ) -> None:
        """End open spans with status ERROR, the innermost first.

        Args:
            frame: Only those that were started during this call; None for all.
            reason: The status description.
            event: Attributes of an exception event, if there was one.
            end_time_ns: When they ended, if not now.
        """
        doomed = [h for h, s in self._open.items() if frame is None or s.was_started_in(frame)]
        for handle in reversed(doomed):
            found = self._open.pop(handle)
            self._remember(self._ended, handle, found.span.get_span_context())
            self.kept_bytes -= found.kept_bytes
            try:
                if event is not None:
                    found.span.add_event("exception", event)
                found.span.set_status(Status(StatusCode.ERROR, reason))
                found.span.end(end_time_ns)
            except Exception as error:
                # A defect of the application's telemetry; the other spans are not to blame.
                self.rejections.add("internal", repr(error))
