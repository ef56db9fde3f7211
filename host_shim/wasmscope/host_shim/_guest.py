"""The functions of the guest ABI, for one guest instance."""

from __future__ import annotations

from collections.abc import Callable
from time import time_ns
from typing import TYPE_CHECKING, Final

from opentelemetry import baggage
from opentelemetry.trace import SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from wasmscope.host_shim._abi import VERSION
from wasmscope.host_shim._clock import Stretch, ThreadClock
from wasmscope.host_shim._descriptors import CallSite, DescriptorError, read_callsite
from wasmscope.host_shim._encoded_size import attribute_bytes
from wasmscope.host_shim._limits import Limits
from wasmscope.host_shim._meter import GuestMeter
from wasmscope.host_shim._packed import Attributes, Packed, fit
from wasmscope.host_shim._rejections import Rejections
from wasmscope.host_shim._runtime import GuestBytes
from wasmscope.host_shim._shield import is_from_a_signal
from wasmscope.host_shim._signals import SEVERITIES, Inject, ModuleIdentity, ModuleSignals
from wasmscope.host_shim._spans import LOST, GuestSpan, RunningCalls, Spans
from wasmscope.host_shim._tracestate import TRACEPARENT_BYTES, TRACESTATE_BYTES, is_tracestate
from wasmscope.host_shim.attributes import LOG_MARKER, TRUNCATED

if TYPE_CHECKING:
    from wasmscope.host_shim._calls import CallFrame

__all__ = ["Guest"]

# OTLP's span kinds (trace.proto), which count from "unspecified".
_KINDS: Final = (
    SpanKind.INTERNAL,
    SpanKind.INTERNAL,
    SpanKind.SERVER,
    SpanKind.CLIENT,
    SpanKind.PRODUCER,
    SpanKind.CONSUMER,
)
_STATUSES: Final = (StatusCode.UNSET, StatusCode.OK, StatusCode.ERROR)
_ERROR: Final = 17
_NEVER: Final = 2
_ALWAYS: Final = 3
_W3C: Final = TraceContextTextMapPropagator()
# What an event or a link takes, whatever is in it.
_ITEM_BYTES: Final = 256
# Attribute lists that are remembered: so many, so long each, so long together.
_CACHED_LISTS: Final = 256
_CACHED_BYTES: Final = 1_024
_ALL_CACHED_BYTES: Final = 65_536


class Guest(GuestMeter):
    """One instance's side of the ABI: takes numbers and memory, gives records to OpenTelemetry.

    Guarantees: for any arguments, no method raises because of what the guest passed, and memory per guest is bounded
    by its limits. Not thread-safe, as a store is not.

    Integer arguments are unsigned for ``i32`` and ``p`` and signed for ``i64``.
    """

    __slots__ = (
        "_body_bytes",
        "_cached_bytes",
        "_caches",
        "_clock",
        "_emit",
        "_flush",
        "_inject",
        "_logs_as_events",
        "_min_severity",
        "_site_ids",
        "_sites",
        "frame",
        "stretch",
    )

    def __init__(
        self,
        identity: ModuleIdentity,
        signals: ModuleSignals,
        rejections: Rejections,
        *,
        limits: Limits,
        clock: ThreadClock,
        calls: RunningCalls,
        inject: Inject,
        flush: Callable[[], None],
        logs_as_span_events: bool,
        min_severity: int,
    ) -> None:
        super().__init__(identity, signals, rejections, limits=limits, spans=Spans(limits, rejections, calls))
        self.frame: CallFrame | None = None
        """The innermost call into this guest that is running."""
        self.stretch: Stretch | None = None
        """The time of the innermost call into this guest that is running."""
        self._emit = signals.logger.emit
        self._body_bytes = limits.body_bytes
        self._clock = clock
        self._inject = inject
        self._flush = flush
        self._logs_as_events = logs_as_span_events
        self._min_severity = min_severity
        # For each list in any call site's cache, that cache.
        self._caches: list[dict[bytes, Attributes]] = []
        self._cached_bytes = 0
        self._sites: list[CallSite] = [CallSite("", 0, "", (), self._base)]
        self._site_ids: dict[bytes, int] = {}

    def rename(self, identity: ModuleIdentity, signals: ModuleSignals, rejections: Rejections) -> None:
        """Give a guest that called before it was known its name; what it registered stays valid."""
        rejections.count = self.rejections.count
        self.identity = identity
        self.rejections = rejections
        self.spans.rejections = rejections
        self._signals = signals
        self._emit = signals.logger.emit
        self._packed = Packed(self._limits, rejections)
        self._base.update(identity.attributes())
        for site in self._sites:
            site.attributes.update(self._base)
        self._forget_seen()
        self._rename_metrics()

    def charge(self, duration_s: float) -> None:
        """Charge a telemetry call to the call it was made from.

        That may be a call into another guest that this one is linked to.
        """
        stretch = self.stretch or self._clock.top
        if stretch is not None:
            stretch.charge(duration_s)

    def failed(self, error: BaseException) -> None:
        """Note what a telemetry call raised: a defect of ours or of an SDK, or an interrupt for the host.

        An interrupt is what is no `Exception`, or what a signal's handler raised (a timeout).
        """
        frame = self.spans.frame
        is_interrupt = not isinstance(error, Exception) or is_from_a_signal(error)
        if is_interrupt and frame is not None:
            frame.pending = error
        else:
            self.rejections.add("internal", repr(error))

    # Attribute lists.

    def _attributes(self, site: CallSite, view: GuestBytes, pointer: int, size: int) -> Attributes:
        """Read an attribute list and add what the call site and the host say."""
        if size == 0:
            return site.attributes
        if size > self._limits.attributes_bytes:
            self.rejections.add("attributes_size", f"{size} bytes")
            return site.attributes
        raw = view[pointer : pointer + size]
        data = raw if len(raw) == size else self._far(pointer, size)
        if data is None:
            return site.attributes
        seen = site.seen.get(data)
        if seen is not None:
            return seen
        before = self.rejections.count
        given = self._packed.decode(data, site.fields)
        merged = {**site.attributes, **given, **self._base} if site.attributes else given
        if len(merged) > self._limits.attributes:
            merged = self._fit(site.attributes, given)
        # Lists that were counted as rejected are decoded, and so counted, each time.
        if size <= _CACHED_BYTES and before == self.rejections.count and TRUNCATED not in given:
            if len(self._caches) >= _CACHED_LISTS or self._cached_bytes + size > _ALL_CACHED_BYTES:
                self._forget_seen()
            self._cached_bytes += size
            site.seen[data] = merged
            self._caches.append(site.seen)
        return merged

    def _forget_seen(self) -> None:
        for cache in self._caches:
            cache.clear()
        self._caches.clear()
        self._cached_bytes = 0

    def _fit(self, fixed: Attributes, given: Attributes) -> Attributes:
        return fit(fixed, given, self._limits, self.rejections)

    def _plain_attributes(self, target: GuestSpan | None, view: GuestBytes, pointer: int, size: int) -> Attributes:
        """Read an attribute list that has no call site but may refer to a span's fields."""
        if size == 0:
            return {}
        if size > self._limits.attributes_bytes:
            self.rejections.add("attributes_size", f"{size} bytes")
            return {}
        data = self.read(view, pointer, size)
        return {} if data is None else self._packed.decode(data, () if target is None else target.fields)

    def _site(self, callsite: int) -> CallSite:
        if callsite < len(self._sites):
            return self._sites[callsite]
        self.rejections.add("callsite", str(callsite))
        return self._sites[0]

    # General.

    def abi_version(self) -> int:
        """Give the version of the ABI."""
        return VERSION

    def flush(self) -> None:
        """Ask for delivery soon."""
        self._flush()

    def callsite(self, pointer: int, size: int) -> int:
        """Register a call site."""
        data = self._descriptor(pointer, size)
        if data is None:
            return 0
        known = self._site_ids.get(data)
        if known is not None:
            return known
        if len(self._sites) > self._limits.callsites:
            self.rejections.add("callsite_count", f"{self._limits.callsites} are registered")
            return 0
        try:
            site = read_callsite(data, self._packed, self._limits, self.rejections, host_attributes=self._base)
        except DescriptorError as error:
            self.rejections.add("descriptor", f"call site {error}")
            return 0
        if not self._may_register(size):
            return 0
        self._site_ids[data] = number = len(self._sites)
        self._sites.append(site)
        return number

    def _may_hold(self, target: GuestSpan, size: int) -> bool:
        """Whether there is room for so many bytes more on a span, which are then taken; counts the refusal."""
        # The call's own ends with it: it has the same room for itself.
        held = self._registered_bytes + self.spans.kept_bytes if target.handle else target.kept_bytes
        if not self._has_room(held + size):
            return False
        target.kept_bytes += size
        if target.handle:
            self.spans.kept_bytes += size
        return True

    def enabled(self, callsite: int) -> int:
        """Say whether a record of a call site is kept; the answer holds for the instance's life."""
        site = self._site(callsite)
        return _NEVER if site.kind == "log" and 0 < site.severity < self._min_severity else _ALWAYS

    # Logs.

    def log(
        self,
        callsite: int,
        severity: int,
        context: int,
        body_pointer: int,
        body_size: int,
        pointer: int,
        size: int,
    ) -> None:
        """Emit a log record."""
        # The hottest path there is: no helper is called for what is usual.
        try:
            site = self._sites[callsite]
        except IndexError:
            site = self._site(callsite)
        severity = severity or site.severity
        if severity > 24:
            self.rejections.add("severity", str(severity))
            severity = 0
        if severity < self._min_severity and severity:
            return
        view, view_end = self._still, self._still_end
        if not view_end:
            view = self._view()
            view_end = len(view)
        body = attributes = None
        end = body_pointer + body_size
        if body_size <= self._body_bytes and end <= view_end:
            try:  # noqa: SIM105 - suppress() costs a third of a microsecond
                body = view[body_pointer:end].decode()
            except UnicodeDecodeError:
                pass
        end = pointer + size
        if size == 0:
            attributes = site.attributes
        elif size <= _CACHED_BYTES and end <= view_end:
            attributes = site.seen.get(view[pointer:end])
        if attributes is None:
            attributes = self._attributes(site, view, pointer, size)
        if body is None:
            cut: list[str] = []
            body = self.text(view, body_pointer, body_size, self._limits.body_bytes, cut)
            if cut:
                noted = attributes.get(TRUNCATED)
                noted = (*cut, *(noted if isinstance(noted, tuple) else ()))
                others = {key: value for key, value in attributes.items() if key != TRUNCATED}
                attributes = self._fit({**site.attributes, **self._base, TRUNCATED: noted}, others)
        if self._logs_as_events or context != 0 or self.stretch is None:
            self.emit(severity, body, attributes, site.name or None, context)
            return
        # As `emit`, in place. In a call, the current span is OpenTelemetry's.
        number, text = SEVERITIES[severity]
        self._emit(
            timestamp=time_ns(),
            severity_number=number,
            severity_text=text,
            body=body,
            attributes=attributes,
            event_name=site.name or None,
        )

    def emit(
        self, severity: int, body: str, attributes: Attributes, event_name: str | None = None, context_handle: int = 0
    ) -> None:
        """Emit a log record that is decoded already.

        Args:
            severity: OpenTelemetry severity number, 0 for none.
            body: The message.
            attributes: All its attributes, the host's included.
            event_name: Its event name, or None.
            context_handle: As for the ABI's ``log``.
        """
        if 0 < severity < self._min_severity:
            return
        # In a call, the current span is OpenTelemetry's.
        context = None if context_handle == 0 and self.stretch is not None else self.spans.context(context_handle)
        number, text = SEVERITIES[severity]
        self._emit(
            timestamp=time_ns(),
            context=context,
            severity_number=number,
            severity_text=text,
            body=body,
            attributes=attributes,
            event_name=event_name,
        )
        if self._logs_as_events:
            span = get_current_span(context)
            if span.is_recording():
                marked = self._fit({**self._base, LOG_MARKER: text or ""}, attributes)
                span.add_event(event_name or body or "log", marked)

    # Spans.

    def span_start(
        self, callsite: int, name_pointer: int, name_size: int, context: int, kind: int, pointer: int, size: int
    ) -> int:
        """Start a span."""
        if self.spans.is_full():
            return 0
        site = self._sites[callsite] if callsite < len(self._sites) else self._site(callsite)
        view = self._still or self._view()
        name = self.text(view, name_pointer, name_size, self._limits.name_bytes) if name_size else ""
        if kind >= len(_KINDS):
            self.rejections.add("kind", str(kind))
            kind = 0
        attributes = self._attributes(site, view, pointer, size)
        if attributes is site.attributes:
            size = 0
        elif not self._has_room(self._registered_bytes + self.spans.kept_bytes + size):
            attributes, size = site.attributes, 0
        span = self._signals.tracer.start_span(
            name or site.name or "span", context=self.spans.context(context), kind=_KINDS[kind], attributes=attributes
        )
        return self.spans.add(span, site.fields, attributes, size)

    def span_enter(self, span: int) -> None:
        """Make a span current."""
        self.spans.enter(span)

    def span_exit(self, span: int) -> None:
        """Make it current no longer."""
        self.spans.exit(span)

    def span_end(self, span: int) -> None:
        """End a span, or forget a remote context."""
        self.spans.end(span)

    def span_attributes(self, span: int, pointer: int, size: int) -> None:
        """Set attributes."""
        target = self.spans.target(span)
        if target is None:
            return
        given = self._plain_attributes(target, self._still or self._view(), pointer, size)
        if not given:
            return
        keys = target.keys()
        if len(keys) + len(given) > self._limits.attributes:
            # Those that are there stay, and can change.
            fitted = self._fit(dict.fromkeys(keys), given)
            given = {key: value for key, value in given.items() if key in fitted}
            if len(keys.union(given)) > self._limits.attributes:
                given.pop(TRUNCATED, None)
        # What is replaced goes, so that it does not count; but not what the span was started with.
        sizes = {key: attribute_bytes(key, value) for key, value in given.items()}
        later = {} if target.later is None else target.later
        replaced = sum(later.get(key, 0) for key in sizes)
        if not self._may_hold(target, sum(sizes.values()) - replaced):
            return
        later.update(sizes)
        target.later = later
        keys.update(given)
        target.span.set_attributes(given)

    def span_event(self, span: int, name_pointer: int, name_size: int, pointer: int, size: int) -> None:
        """Add an event."""
        target = self.spans.target(span)
        if target is None:
            return
        view = self._still or self._view()
        name = self.text(view, name_pointer, name_size, self._limits.name_bytes)
        given = self._plain_attributes(None, view, pointer, size)
        if self._may_add_event(target, len(name) + (size if given else 0)):
            target.span.add_event(name or "event", self._fit({}, given))

    def _may_add_event(self, target: GuestSpan, size: int) -> bool:
        if target.events >= self._limits.events:
            self.rejections.add("event_count")
            return False
        if not self._may_hold(target, _ITEM_BYTES + size):
            return False
        target.events += 1
        return True

    def span_link(self, span: int, target: int, pointer: int, size: int) -> None:
        """Add a link."""
        found = self.spans.target(span)
        linked = None if found is None else self.spans.link_target(target)
        if found is None or linked is None:
            return
        if found.links >= self._limits.links:
            self.rejections.add("link_count")
            return
        given = self._plain_attributes(None, self._still or self._view(), pointer, size)
        if self._may_hold(found, _ITEM_BYTES + (size if given else 0)):
            found.links += 1
            found.span.add_link(linked, self._fit({}, given))

    def span_status(self, span: int, code: int, pointer: int, size: int) -> None:
        """Set the status."""
        target = self.spans.target(span)
        if target is None:
            return
        if code >= len(_STATUSES):
            self.rejections.add("status", str(code))
            return
        status = _STATUSES[code]
        text = None
        if status is StatusCode.ERROR and size:
            text = self.text(self._still or self._view(), pointer, size, self._limits.name_bytes)
        target.span.set_status(Status(status, text))

    def span_rename(self, span: int, pointer: int, size: int) -> None:
        """Give a span another name."""
        target = self.spans.target(span)
        if target is None or not size:
            return
        name = self.text(self._still or self._view(), pointer, size, self._limits.name_bytes)
        if name:
            target.span.update_name(name)

    def exception(
        self,
        span: int,
        type_pointer: int,
        type_size: int,
        message_pointer: int,
        message_size: int,
        stack_pointer: int,
        stack_size: int,
        pointer: int,
        size: int,
    ) -> None:
        """Record an exception."""
        view = self._still or self._view()
        kind = self.text(view, type_pointer, type_size, self._limits.name_bytes)
        message = self.text(view, message_pointer, message_size, self._limits.message_bytes)
        stack = self.text(view, stack_pointer, stack_size, self._limits.stack_bytes)
        attributes = self._plain_attributes(None, view, pointer, size)
        self.record_exception(span, kind, message, stack, attributes, size if attributes else 0)

    def record_exception(
        self, span: int, kind: str, message: str, stack: str, attributes: Attributes, size: int = 0
    ) -> None:
        """Record an exception that is decoded already.

        Args:
            span: As for the ABI's ``exception``.
            kind: Its type.
            message: Its message.
            stack: Its stack trace; may be empty.
            attributes: More attributes.
            size: Their encoded size in bytes.
        """
        known: Attributes = {"exception.type": kind or "exception", "exception.message": message}
        if stack:
            known["exception.stacktrace"] = stack
        frame = self.spans.frame
        if frame is not None:
            frame.reported = f"{kind}: {message}" if kind else message
            self.spans.forget_reported()
        target = self.spans.target(0 if span == LOST else span)
        if target is None or not target.span.is_recording():
            self.emit(_ERROR, message, self._fit({**known, **self._base}, attributes))
        elif self._may_add_event(target, len(message) + len(stack) + size):
            target.span.add_event("exception", self._fit(known, attributes))

    # Context in and out.

    def span_context(self, context: int, pointer: int) -> int:
        """Write ids for the guest."""
        found = self.spans.span_context(context)
        if found is None:
            return 0
        data = (
            found.trace_id.to_bytes(16) + found.span_id.to_bytes(8) + bytes((found.trace_flags & 0xFF, found.is_remote))
        )
        return int(self._write(pointer, data + bytes(6)))

    def inject(self, context: int, field_pointer: int, field_size: int, pointer: int, capacity: int) -> int:
        """Give what the propagator would send in a header field."""
        field = self.text(self._still or self._view(), field_pointer, field_size, self._limits.key_bytes)
        carrier: dict[str, str] = {}
        self._inject(carrier, self.spans.context(context))
        value = next((v for k, v in carrier.items() if k.lower() == field.lower()), "")
        return self._give(pointer, capacity, value) if value else 0

    def remote_context(self, parent_pointer: int, parent_size: int, state_pointer: int, state_size: int) -> int:
        """Take in a W3C trace context."""
        view = self._still or self._view()
        state = self.text(view, state_pointer, state_size, TRACESTATE_BYTES + 1)
        if not is_tracestate(state):
            self.rejections.add("tracestate", repr(state[:80]))
            state = ""
        carrier = {
            "traceparent": self.text(view, parent_pointer, parent_size, TRACEPARENT_BYTES),
            "tracestate": state,
        }
        found = get_current_span(_W3C.extract(carrier, context=self.spans.context(-1))).get_span_context()
        if not found.is_valid:
            self.rejections.add("traceparent", repr(carrier["traceparent"][:80]))
            return 0
        return self.spans.keep(found)

    def baggage_get(self, key_pointer: int, key_size: int, pointer: int, capacity: int) -> int:
        """Give a baggage entry of the current context."""
        key = self.text(self._still or self._view(), key_pointer, key_size, self._limits.key_bytes)
        value = baggage.get_baggage(key)
        return -1 if value is None else self._give(pointer, capacity, str(value))
