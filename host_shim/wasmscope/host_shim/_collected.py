"""Guests whose telemetry a collector keeps: the bridge's side of it, one object a store."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    TraceState,
    get_current_span,
    set_span_in_context,
)

from wasmscope.host_shim._call_context import CURRENT, CallContext, span_context_of
from wasmscope.host_shim._control import REASONS, Block, Control
from wasmscope.host_shim._deliveries import Sink
from wasmscope.host_shim._limits import Limits
from wasmscope.host_shim._packer import pack_attributes
from wasmscope.host_shim._rejections import Rejections
from wasmscope.host_shim._spans import LOST, NO_SPAN, GuestSpan, RunningCalls, Spans

if TYPE_CHECKING:
    from wasmscope.host_shim._calls import CallFrame
    from wasmscope.host_shim._collector import Drained, GuestLink, StoreCollector

__all__ = ["CollectedGuest", "CollectedSpans", "StoreCalls"]

# Offsets and layouts are those of host_shim/collector/README.md.
_FRAME: Final = Struct("<Q16s8sI4BIIQ64x")
_FRAME_AT: Final = 8
_SAVED: Final = Struct("<120s")
_CURRENT_IN_SAVED: Final = 56
_STATE: Final = Struct("<6I")
_STATE_AT: Final = 128
_U32: Final = Struct("<I")
_BASE_AT: Final = 52
_REPORTED: Final = Struct("<QII")
_REJECTIONS: Final = Struct("<64I")
_DETAIL: Final = Struct("<I160s")
_CONTEXT: Final = Struct("<16s8sBB6xI")
_KEPT: Final = Struct("<16s8sBI")
_TRACE_FLAGS: Final = 0x03
_KNOWN_STATES: Final = 1_024


class CollectedSpans(Spans):
    """The spans of one guest as the host's side of the ABI sees them; the collector has them.

    Of what a table of spans can do, this does what is asked for in such a guest: the guest's own calls go to the
    collector.
    """

    __slots__ = ("_guest",)

    def __init__(self, guest: CollectedGuest, limits: Limits, rejections: Rejections, calls: RunningCalls) -> None:
        """Stand for a guest's spans.

        Args:
            guest: The guest.
            limits: Its limits.
            rejections: Counts what cannot be done.
            calls: The calls that run.
        """
        super().__init__(limits, rejections, calls)
        self._guest = guest

    def target(self, handle: int) -> GuestSpan | None:
        """Resolve the current span, be it the guest's or the host's span of the call; None for any other handle."""
        frame = self._calls.frame
        if frame is None or handle != 0:
            return None
        span = frame.context.span() if isinstance(frame.context, CallContext) else frame.span
        # What the host does to a guest's span is bounded by the collector.
        return frame.target if span is frame.span else GuestSpan(0, span, (), frame)

    def context(self, handle: int) -> Context | None:
        """Resolve a context argument, as `Spans.context` does."""
        if handle in (0, LOST) and self.frame is not None:
            return None
        if handle == -1:
            return NO_SPAN
        found = self._guest.resolve("context_of", handle)
        return None if found is None else set_span_in_context(NonRecordingSpan(found))

    def span_context(self, handle: int) -> SpanContext | None:
        """Resolve a context argument to its ids; None if there are none."""
        if handle == -1:
            return None
        context = get_current_span(self.context(handle)).get_span_context()
        return context if context.is_valid else None

    def link_target(self, handle: int) -> SpanContext | None:
        """Resolve a link target; None and counted if it is unknown."""
        return self._guest.resolve("link_context", handle)

    def keep(self, context: SpanContext) -> int:
        """Keep a remote context and give its handle."""
        return self._guest.keep(context)

    def forget_reported(self) -> None:
        """What the collector was told last by ``exception`` is not the last any more."""
        self._guest.calls.forget_reported()

    def fail(
        self,
        frame: CallFrame | None,
        reason: str,
        event: Mapping[str, object] | None = None,
        *,
        end_time_ns: int | None = None,
    ) -> None:
        """End open spans with status ERROR, as `Spans.fail` does; those of a call, `StoreCalls.fail` ended already."""
        if frame is None:
            self._guest.fail(0, reason, event, end_time_ns or 0)


class CollectedGuest:
    """A guest in a store with a collector.

    Attributes:
        number: Its number in the store.
        calls: The calls of its store.
        link: Its way to the collector.
    """

    def __init__(self, calls: StoreCalls, link: GuestLink, sink: Sink) -> None:
        """Take a guest into a store's calls.

        Args:
            calls: The store's.
            link: Its way to the collector.
            sink: Where its records go.
        """
        self.number = link.number
        self.calls = calls
        self.link = link
        self._sink = sink
        self._counted: tuple[int, ...] = (0,) * 64
        calls.guests[link.number] = self

    def resolve(self, function: str, handle: int) -> SpanContext | None:
        """Ask the collector for the context of a handle."""
        collector = self.calls.collector
        if not collector.is_open or not collector.call(function, self.number, handle):
            return None
        raw = self.calls.scratch(_CONTEXT.size)
        trace_id, span_id, flags, is_remote, state = _CONTEXT.unpack(raw)
        return span_context_of(trace_id, span_id, flags, bool(is_remote), self.calls.tracestate(state))

    def keep(self, context: SpanContext) -> int:
        """Have the collector remember a context; gives its handle."""
        collector = self.calls.collector
        state = self.calls.number_of(context.trace_state)
        raw = _KEPT.pack(
            context.trace_id.to_bytes(16), context.span_id.to_bytes(8), context.trace_flags & _TRACE_FLAGS, state
        )
        return collector.call("remote_keep", self.number) if collector.write_scratch(raw) else 0

    def fail(self, frame_number: int, reason: str, event: Mapping[str, object] | None, end_time_ns: int) -> None:
        """End open spans with status ERROR.

        Args:
            frame_number: Those started in that call or one into the same guest nested in it; 0 for all.
            reason: The status description.
            event: Attributes of an exception event, or None.
            end_time_ns: When they ended, 0 for now.
        """
        collector = self.calls.collector
        if not collector.is_open or not self.calls.open_spans():
            return
        text = reason.encode("utf-8", "replace")
        attributes = b"" if event is None else pack_attributes(event)
        if not collector.write_scratch(text + attributes):
            text = attributes = b""
        collector.call("fail", self.number, frame_number, len(text), len(attributes), end_time_ns)

    def deliver(self) -> None:
        """Take what is in the buffers and pass it on."""
        self._sink.deliver(self.calls.collector.drain(self.number))

    def pass_on(self, drained: Drained) -> None:
        """Pass on what was in the buffers."""
        self._sink.deliver(drained)

    def finish(self, rejected: tuple[int, ...] | None) -> None:
        """Take note that nothing more comes.

        Args:
            rejected: The counters of rejections as they were last; None if they are counted.
        """
        if rejected is not None:
            self.count_rejections(rejected)
        self._sink.close()

    def close(self) -> None:
        """Pass on what is left, and take note that little or nothing more comes."""
        self.calls.drain()
        self._sink.close()

    def rejected(self) -> tuple[int, ...]:
        """Read the counters of rejections, by the collector's number of the reason."""
        return _REJECTIONS.unpack(self.calls.collector.read(self.link.block + Block.REJECTIONS, _REJECTIONS.size))

    def count_rejections(self, rejected: tuple[int, ...], details: Sequence[str] = ()) -> None:
        """Count what was rejected since the last time.

        Args:
            rejected: What `rejected` gives.
            details: Of each reason, what exactly was the last, for the log.
        """
        before, self._counted = self._counted, rejected
        for index, (now, then) in enumerate(zip(rejected, before, strict=True)):
            if now != then:
                reason = REASONS[index] if index < len(REASONS) else "internal"
                # Counters of 32 bits.
                detail = details[index] if index < len(details) else ""
                self.link.guest.rejections.add(reason, detail, (now - then) & 0xFFFFFFFF)


class StoreCalls:
    """The calls into the guests of one store, as its collector is told of them.

    Not thread-safe, as a store is not. See `wasmscope.host_shim._call_context.SpanKeeper` for what it guarantees.
    """

    def __init__(self, collector: StoreCollector, store_key: int) -> None:
        """Begin with a collector.

        Args:
            collector: The store's.
            store_key: Tells stores that are open apart.
        """
        self.collector = collector
        self.store_key = store_key
        self.guests: dict[int, CollectedGuest] = {}
        self.thread = threading.get_ident()
        """The thread that called into the store last."""
        self.passed_ns = 0
        """How long records took to be passed on, since `end` was last called."""
        self._frames = 0
        # The calls that run while the collector has not begun, and the numbers of their guests.
        self._waiting: list[tuple[CallFrame, int, CallFrame | None]] = []
        self._rejected = 0
        self._states: OrderedDict[int, TraceState] = OrderedDict()
        # What is taken while the store goes, to be passed on afterwards.
        self._last: list[tuple[CollectedGuest, Drained]] | None = None

    # Calls.

    def begin(self, frame: CallFrame, number: int, outer: CallFrame | None) -> None:
        """Tell the collector of a call that begins.

        Args:
            frame: The call.
            number: The number of its guest.
            outer: The call in the same store that it is nested in, or None.
        """
        self.thread = threading.get_ident()
        if self.collector.is_begun:
            self._tell(frame, number, outer)
        else:
            self._waiting.append((frame, number, outer))

    def start(self) -> None:
        """Hear that the collector has begun: tell it of the calls that run."""
        waiting = self._waiting
        while waiting:
            self._tell(*waiting[0])
            del waiting[0]

    def _tell(self, frame: CallFrame, number: int, outer: CallFrame | None) -> None:
        collector = self.collector
        space, at = collector._space, collector.base + collector.control
        # A signal's handler may raise when this is done, and have it done again: then it is the call's own.
        saved = frame.saved = frame.saved or _SAVED.unpack_from(space, at + _FRAME_AT)[0]
        if outer is not None:
            # The collector has room for one, and the nested call may report, too.
            said = self.reported(outer)
            if said is not None:
                outer.reported = said
        if outer is not None and isinstance(outer.context, CallContext):
            outer.context.pinned = saved[_CURRENT_IN_SAVED : _CURRENT_IN_SAVED + CURRENT.size]
        self._frames = frame.number = self._frames + 1
        context = frame.span.get_span_context()
        state = self.number_of(context.trace_state) if context.trace_state else 0
        entered = _U32.unpack_from(space, at + _STATE_AT)[0]
        _FRAME.pack_into(
            space,
            # Asked again: to number a trace state may have made memory grow.
            (collector.base + collector.control if state else at) + _FRAME_AT,
            frame.number,
            context.trace_id.to_bytes(16),
            context.span_id.to_bytes(8),
            number,
            context.trace_flags & _TRACE_FLAGS,
            context.is_remote,
            context.is_valid,
            frame.span.is_recording(),
            state,
            entered,
            0,
        )

    def has_failed(self) -> None:
        """Put the collector in order after a trap, which may have struck inside of it."""
        collector = self.collector
        if collector.is_begun and not collector.u32(collector.control + Control.IDLE):
            collector.call("recover")

    def reported(self, frame: CallFrame) -> str | None:
        """Give what the guest last said by ``exception`` in a call."""
        collector = self.collector
        if not collector.is_begun or not frame.number:
            return None
        number, pointer, size = _REPORTED.unpack_from(
            collector._space, collector.base + collector.control + Control.REPORTED_FRAME
        )
        return collector.read(pointer, size).decode("utf-8", "replace") if number == frame.number else None

    def forget_reported(self) -> None:
        """What the collector was told last by ``exception`` is not the last any more."""
        collector = self.collector
        if collector.is_begun:
            collector.set_u64(collector.control + Control.REPORTED_FRAME, 0)

    def fail(self, frame: CallFrame, reason: str, event: Mapping[str, object]) -> None:
        """End the spans that were started in a call, of all guests of the store."""
        if not frame.number:
            # The collector was not told of it: none were. 0 would be all.
            return
        for guest in self.guests.values():
            guest.fail(frame.number, reason, event, 0)

    def open_spans(self) -> int:
        """Count the open spans of all guests."""
        collector = self.collector
        return collector.u32(collector.control + Control.OPEN_SPANS) if collector.is_begun else 0

    def end(self, frame: CallFrame, outer: CallFrame | None) -> None:
        """Tell the collector that a call is over, and pass on what it has.

        Args:
            frame: The call.
            outer: The call in the same store that it was nested in, or None.
        """
        if isinstance(frame.context, CallContext):
            frame.context.is_over = True
        collector = self.collector
        if not collector.is_begun:
            # Those after it did not end, because a signal's handler raised.
            while any(call is frame for call, _, _ in self._waiting):
                self._waiting.pop()
            return
        space, at = collector._space, collector.base + collector.control
        try:
            entered = _U32.unpack_from(space, at + _STATE_AT)[0]
            if entered != _U32.unpack_from(space, at + _BASE_AT)[0]:
                collector.call("frame_end")
            if outer is None:
                self.drain()
        finally:
            # It is over, whatever became of its records.
            at = collector.base + collector.control
            if frame.saved:
                _SAVED.pack_into(space, at + _FRAME_AT, frame.saved)
            if outer is not None and isinstance(outer.context, CallContext):
                outer.context.pinned = None
        if _U32.unpack_from(space, at + _STATE_AT + 4)[0]:
            _U32.pack_into(space, at + _STATE_AT + 4, 0)
            collector.call("refresh")

    # Records.

    def drain(self) -> None:
        """Take everything that is ready, and pass it on."""
        collector = self.collector
        if not collector.is_begun:
            return
        _, _, _, out, dirty, rejected = self._state()
        if rejected != self._rejected:
            self._rejected = rejected
            self._count_rejections()
        if dirty:
            for number, guest in self.guests.items():
                # What does not fit into the buffer comes when that has been taken.
                while collector.call("drain_metrics", number):
                    guest.deliver()
        if out or dirty:
            self.take()

    def _state(self) -> tuple[int, ...]:
        collector = self.collector
        return _STATE.unpack_from(collector._space, collector.base + collector.control + _STATE_AT)

    def drain_between(self) -> None:
        """Take everything that is ready while a guest runs, unless it is in the collector just now."""
        collector = self.collector
        if collector.is_begun and collector.u32(collector.control + Control.IDLE):
            self.drain()

    def take(self) -> None:
        """Take what is in the buffers, also in the middle of a call."""
        last = self._last
        if last is not None:
            last += [(guest, self.collector.drain(guest.number)) for guest in self.guests.values()]
            return
        started = perf_counter_ns()
        for guest in self.guests.values():
            guest.deliver()
        self.passed_ns += perf_counter_ns() - started

    def finish(self, reason: str) -> Callable[[], None]:
        """End all spans and take everything out, because the store goes; gives a function that passes it on.

        Nothing is passed on here, for the garbage collector may be calling in the middle of anything.

        Args:
            reason: Why the spans end.
        """
        taken = self._last = []
        if not self.collector.is_begun:
            return self._finish_all
        for guest in self.guests.values():
            guest.fail(0, reason, None, 0)
        _, _, _, _, dirty, count = self._state()
        if dirty:
            for guest in self.guests.values():
                while self.collector.call("drain_metrics", guest.number):
                    self.take()
        self.take()
        is_new = count != self._rejected
        rejected = [(guest, guest.rejected() if is_new else None) for guest in self.guests.values()]

        def deliver() -> None:
            for guest, drained in taken:
                guest.pass_on(drained)
            for guest, counts in rejected:
                guest.finish(counts)

        return deliver

    def _finish_all(self) -> None:
        for guest in self.guests.values():
            guest.finish(None)

    def _count_rejections(self) -> None:
        collector = self.collector
        texts = collector.u32(collector.control + Control.TEXT_POINTER)
        raw = collector.read(texts, len(REASONS) * _DETAIL.size) if texts else b""
        details = [text[:size].decode("utf-8", "replace") for size, text in _DETAIL.iter_unpack(raw)]
        for guest in self.guests.values():
            guest.count_rejections(guest.rejected(), details)

    def scratch(self, size: int) -> bytes:
        """Read what the collector left for the host."""
        collector = self.collector
        return collector.read(collector.u32(collector.control + Control.SCRATCH_POINTER), size)

    # What host functions see: a `SpanKeeper`.

    def context(self, context: Context, span: Span) -> CallContext:
        """Make the context of a call."""
        return CallContext(context, span, self)

    def current(self, context: CallContext) -> bytes | None:
        """Give the bytes of `CURRENT`."""
        collector = self.collector
        if not collector.is_begun:
            return None
        return collector.read(collector.control + Control.CURRENT_HANDLE, CURRENT.size)

    def tracestate(self, number: int) -> TraceState:
        """Give a trace state by the collector's number for it."""
        if number == 0:
            return TraceState()
        found = self._states.get(number)
        if found is None:
            size = self.collector.call("tracestate_text", number)
            text = self.scratch(size).decode("utf-8", "replace")
            found = TraceState.from_header([text])
        return found

    def number_of(self, state: TraceState | None) -> int:
        """Give the collector's number for a trace state."""
        if not state:
            return 0
        raw = state.to_header().encode("utf-8", "replace")
        number = self.collector.call("tracestate", len(raw)) if self.collector.write_scratch(raw) else 0
        if number:
            # Remembered here, because a sampler may look at it while the collector waits and cannot be asked.
            self._states[number] = state
            self._states.move_to_end(number)
            if len(self._states) > _KNOWN_STATES:
                self._states.popitem(last=False)
        return number

    def change(self, guest: int, function: str, handle: int, *parts: str | int | Mapping[str, object]) -> None:
        """Do to a span what a function of the ABI does, for the host."""
        collector = self.collector
        if not collector.is_open:
            return
        data: list[bytes] = []
        arguments: list[int] = []
        for part in parts:
            if isinstance(part, int):
                arguments.append(part)
                continue
            raw = part.encode("utf-8", "replace") if isinstance(part, str) else pack_attributes(part)
            data.append(raw)
            arguments.append(len(raw))
        if not data or collector.write_scratch(b"".join(data)):
            # The host may set what guests may not: reserved keys, and values of any length.
            collector.set_u32(collector.control + Control.FOR_HOST, 1)
            try:
                collector.call(function, guest, handle, *arguments)
            finally:
                collector.set_u32(collector.control + Control.FOR_HOST, 0)
        else:
            self._drop(guest, function)

    def _drop(self, guest: int, function: str) -> None:
        """Count what the host cannot do to a guest's span."""
        reason = "internal" if self.collector.is_waiting else "kept_bytes"
        self.guests[guest].link.guest.rejections.add(reason, f"{function}, by the host")

    def link(self, guest: int, handle: int, target: SpanContext, attributes: Mapping[str, object]) -> None:
        """Add a link to any span context, for the host."""
        if not self.collector.is_open:
            return
        kept = self.guests[guest].keep(target)
        if not kept:
            self._drop(guest, "span_link")
            return
        self.change(guest, "span_link", handle, kept, attributes)
        self.change(guest, "span_end", kept)
