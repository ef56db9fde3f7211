"""Calls from the host into a guest: the span around each, and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Token
from types import MappingProxyType
from typing import Final, ParamSpec

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)

from wasmscope.host_shim._accounting import CallCost, Usage
from wasmscope.host_shim._clock import Stretch, ThreadClock
from wasmscope.host_shim._collected import StoreCalls
from wasmscope.host_shim._guest import Guest
from wasmscope.host_shim._packed import Attributes
from wasmscope.host_shim._runtime import GuestStore
from wasmscope.host_shim._spans import GuestSpan, RunningCalls, Spans
from wasmscope.host_shim._traps import Failure
from wasmscope.host_shim.attributes import (
    WASM_CALL_CPU_TIME,
    WASM_CALL_FUEL,
    WASM_CALL_HOST_TIME,
    WASM_MEMORY_SIZE,
    WASM_MODULE_NAME,
    WASM_MODULE_VERSION,
    WASM_TENANT,
    WASM_TRAP_CODE,
)

__all__ = ["CallFrame", "Caller"]

P = ParamSpec("P")
# What the host sets on the span of a call; guests' attributes leave room for it.
_HOSTS_KEYS: Final = frozenset(
    {
        WASM_CALL_CPU_TIME,
        WASM_CALL_FUEL,
        WASM_CALL_HOST_TIME,
        WASM_MEMORY_SIZE,
        WASM_MODULE_NAME,
        WASM_MODULE_VERSION,
        WASM_TENANT,
        WASM_TRAP_CODE,
        "code.function.name",
        "process.exit.code",
    }
)
_NOT_STARTED: Final = Stretch(None, is_guest=True)


class CallFrame:
    """One call into a guest, while it runs.

    Attributes:
        span: The host's span of the call.
        context: OpenTelemetry's context with that span.
        entered: The guest spans that are entered, innermost last.
        target: The host's span, for functions that change "the current span".
        outer: The call into any guest that this one is nested in, or None.
        previous: The call into the same guest that this one is nested in (by re-entrancy), or None.
        tables: The span tables of the guests that started spans in it: its own, and those of guests linked to it.
        is_stale: Whether a nested call ended the span that was current, so that another one is now.
        stretch: Its time.
        cpu_ns: CPU time of the guest's own code, once stopped.
        duration_ns: Wall time, once stopped.
        reported: What the guest last said by ``exception``, or None.
        pending: What interrupted a telemetry call (a KeyboardInterrupt), for the host to raise when the guest is done.
        counts: Whether it counts as a call.
        late_ns: How long its records took to be passed on when it was over.
        number: Its number in a store with a collector.
        store_calls: The calls of its store, if that has a collector.
        saved: What the collector knew of the call around it, to be put back.
    """

    __slots__ = (
        "_attached",
        "_fuel_after",
        "_fuel_before",
        "_nested_fuel",
        "_store_outer",
        "_token",
        "context",
        "counts",
        "cpu_ns",
        "duration_ns",
        "entered",
        "is_stale",
        "late_ns",
        "number",
        "outer",
        "pending",
        "previous",
        "reported",
        "saved",
        "span",
        "store_calls",
        "stretch",
        "tables",
        "target",
    )

    def __init__(
        self, span: Span, context: Context, outer: CallFrame | None, previous: CallFrame | None, *, counts: bool
    ) -> None:
        self.span = span
        self.context = context
        self.stretch: Stretch = _NOT_STARTED
        self.cpu_ns = 0
        self.duration_ns = 0
        self.outer = outer
        self.previous = previous
        self.tables: set[Spans] = set()
        self.is_stale = False
        self.entered: list[GuestSpan] = []
        self.target = GuestSpan(0, span, (), self, _HOSTS_KEYS)
        self.reported: str | None = None
        self.pending: BaseException | None = None
        self.counts = counts
        self.number = 0
        self.late_ns = 0
        self.saved = b""
        self.store_calls: StoreCalls | None = None
        self._token: Token[Context] | None = None
        self._fuel_before: int | None = None
        self._fuel_after: int | None = None
        self._nested_fuel = 0
        self._store_outer: CallFrame | None = None
        self._attached = context

    def attach_current(self) -> None:
        """Make the innermost entered span OpenTelemetry's current one, or the call's own."""
        self.is_stale = False
        entered = self.entered
        self._attached = set_span_in_context(entered[-1].span, self.context) if entered else self.context
        # No token is kept: the end of the call resets the context to what it was before.
        attach(self._attached)

    def refresh(self) -> None:
        """Put right what a nested call, now over, made stale.

        A host function between the two that has made a span of its own current keeps it: it will put back what it
        found.
        """
        if self.is_stale and get_current() is self._attached:
            self.attach_current()


class Caller:
    """Begins and ends the calls into one guest.

    Guarantees: every `begin` is followed by one `stop` and one `end`; they nest like the calls. The host's context
    after
    `end` is what it was before
    `begin`, whatever the guest entered.
    """

    __slots__ = (
        "_attributes",
        "_calls",
        "_clock",
        "_end_late",
        "_guest",
        "_is_closed",
        "_memory_bytes",
        "_number",
        "_running",
        "_store",
        "_store_calls",
        "_store_key",
        "_tracer",
        "_usage",
    )

    def __init__(
        self,
        guest: Guest,
        tracer: Tracer,
        clock: ThreadClock,
        calls: RunningCalls,
        usage: Usage,
        store: GuestStore,
        running: dict[int, CallFrame],
        store_key: int,
        end_late: Callable[[], None],
        store_calls: Mapping[int, StoreCalls] = MappingProxyType({}),
        number: int = 0,
    ) -> None:
        self._guest = guest
        # The calls of stores that have a collector, and the guest's number there. It may be served live itself and
        # call one that is not.
        self._store_calls = store_calls
        self._number = number
        self._tracer = tracer
        self._clock = clock
        self._calls = calls
        self._usage = usage
        self._store = store
        # The innermost call of each store, by the store's key: guests in one store share its fuel.
        self._running = running
        self._store_key = store_key
        # Ends what guests left open that are gone meanwhile.
        self._end_late = end_late
        identity = guest.identity
        self._attributes: Attributes = {WASM_MODULE_NAME: identity.name, **identity.attributes()}
        if identity.version is not None:
            self._attributes[WASM_MODULE_VERSION] = identity.version
        self._memory_bytes = 0
        self._is_closed = False
        usage.add_instance()

    def begin(self, function: str, *, is_instantiation: bool = False) -> CallFrame:
        """Begin a call.

        Args:
            function: The export's name.
            is_instantiation: Whether the module is being instantiated rather than called. That gets a span only
                where there is one to be
                the child of: an application that loads its plugins at start does not want a trace for each.
        """
        self._end_late()
        parent = get_current()
        try:
            span = self._start_span(function, parent, is_instantiation=is_instantiation)
        except Exception as error:
            # A defect of the application's telemetry; the call is not to blame.
            self._guest.failed(error)
            span = NonRecordingSpan(get_current_span(parent).get_span_context())
        context = set_span_in_context(span, parent)
        calls, guest = self._calls, self._guest
        key = self._store_key
        store_calls = self._store_calls.get(key)
        if store_calls is not None:
            context = store_calls.context(context, span)
        frame = CallFrame(span, context, calls.frame, guest.frame, counts=not is_instantiation)
        frame._token = attach(context)
        calls.frame = guest.frame = frame
        frame._store_outer = self._running.get(key)
        self._running[key] = frame
        if store_calls is not None:
            frame.store_calls = store_calls
            self._or_pending(frame, store_calls.begin, frame, self._number, frame._store_outer)
        frame._fuel_before = self._store.fuel()
        # Last, so that only the call itself is measured.
        frame.stretch = guest.stretch = self._clock.push(is_guest=True)
        return frame

    def _start_span(self, function: str, parent: Context, *, is_instantiation: bool) -> Span:
        if not is_instantiation:
            attributes = {**self._attributes, "code.function.name": function}
            return self._tracer.start_span(f"wasm.call {function}", context=parent, attributes=attributes)
        if get_current_span(parent).get_span_context().is_valid:
            return self._tracer.start_span("wasm.instantiate", context=parent, attributes=self._attributes)
        return INVALID_SPAN

    def stop(self, frame: CallFrame) -> None:
        """Stop the clocks of a call that is over.

        Args:
            frame: What `begin` gave.
        """
        frame.cpu_ns, frame.duration_ns = self._clock.pop(frame.stretch)
        frame._fuel_after = self._store.fuel()

    def end(self, frame: CallFrame, failure: Failure | None = None) -> CallCost:
        """End a call.

        Args:
            frame: What `begin` gave.
            failure: How it failed, or None if it returned.
        """
        fuel_after = frame._fuel_after
        reason = None
        if failure is not None and failure.is_error:
            reason = frame.reported or failure.message
        if frame.store_calls is not None:
            reason = self._end_collected(frame.store_calls, frame, failure, reason)
        memory = self._guest.memory
        memory_bytes = None if memory is None else memory.size_bytes()
        fuel = None
        if fuel_after is not None and frame._fuel_before is not None:
            # A host that refuels in the middle of the call makes the difference meaningless.
            spent = frame._fuel_before - fuel_after
            fuel = spent - frame._nested_fuel if spent >= frame._nested_fuel else None
            if frame._store_outer is not None and spent > 0:
                frame._store_outer._nested_fuel += spent
        self._leave_store(frame)
        stretch = frame.stretch
        cost = CallCost(
            cpu_ns=frame.cpu_ns,
            host_ns=stretch.host_ns + stretch.telemetry_ns + frame.late_ns,
            telemetry_ns=stretch.telemetry_ns + frame.late_ns,
            duration_ns=frame.duration_ns + frame.late_ns,
            fuel=fuel,
            memory_bytes=memory_bytes,
        )
        is_error = failure is not None and failure.is_error
        guest, previous = self._guest, frame.previous
        for entry in frame.entered:
            entry.entered -= 1
        frame.entered.clear()
        self._calls.frame = frame.outer
        guest.frame = previous
        guest.stretch = None if previous is None else previous.stretch
        if frame._token is not None:
            detach(frame._token)
        if previous is not None:
            previous.tables |= frame.tables
        if frame.outer is not None:
            frame.outer.refresh()
        grown = 0 if memory_bytes is None or self._is_closed else memory_bytes - self._memory_bytes
        self._memory_bytes += grown
        self._usage.add_call(cost, grown_bytes=grown, is_call=frame.counts, is_error=is_error and frame.counts)
        # Last, and whatever the application's processors make of it.
        if failure is not None and reason is not None:
            for spans in {guest.spans, *frame.tables}:
                spans.fail(frame, reason, failure.event())
            self._try(self._fail, frame.span, reason, failure)
        self._try(self._finish, frame.span, cost, failure)
        return cost

    def _end_collected(
        self, calls: StoreCalls, frame: CallFrame, failure: Failure | None, reason: str | None
    ) -> str | None:
        """End a call for the collector; gives the reason of its failure, if it failed."""
        if failure is not None:
            self._or_pending(frame, calls.has_failed)
        if failure is not None and reason is not None:
            said = calls.reported(frame)
            if said is not None:
                reason = said or failure.message
            self._or_pending(frame, calls.fail, frame, reason, failure.event())
        # What was passed on in the middle of the call is charged to it already.
        calls.passed_ns = 0
        self._or_pending(frame, calls.end, frame, frame._store_outer)
        frame.late_ns = calls.passed_ns
        return reason

    def _or_pending(self, frame: CallFrame, function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Do something for a call; what interrupts it is raised when the call has ended."""
        try:
            function(*args, **kwargs)
        except Exception as error:
            if _is_foreign(error):
                frame.pending = frame.pending or error
            else:
                self._guest.failed(error)
        except BaseException as error:
            frame.pending = frame.pending or error

    def _try(self, function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except Exception as error:
            self._guest.failed(error)

    def _leave_store(self, frame: CallFrame) -> None:
        key = self._store_key
        if frame._store_outer is None:
            self._running.pop(key, None)
        else:
            self._running[key] = frame._store_outer

    def _fail(self, span: Span, reason: str, failure: Failure) -> None:
        span.add_event("exception", failure.event())
        span.set_status(Status(StatusCode.ERROR, reason))
        if failure.code is not None:
            span.set_attribute(WASM_TRAP_CODE, failure.code)

    def _finish(self, span: Span, cost: CallCost, failure: Failure | None) -> None:
        if span.is_recording():
            attributes: Attributes = {WASM_CALL_CPU_TIME: cost.cpu_ns, WASM_CALL_HOST_TIME: cost.host_ns}
            if cost.fuel is not None:
                attributes[WASM_CALL_FUEL] = cost.fuel
            if cost.memory_bytes is not None:
                attributes[WASM_MEMORY_SIZE] = cost.memory_bytes
            if failure is not None and failure.exit_code is not None:
                attributes["process.exit.code"] = failure.exit_code
            span.set_attributes(attributes)
        span.end()

    def note_memory(self) -> None:
        """Look at the memory now, as after instantiation."""
        memory = self._guest.memory
        if memory is not None:
            grown = memory.size_bytes() - self._memory_bytes
            self._memory_bytes += grown
            self._usage.note_memory(grown)

    def close(self) -> None:
        """Take the instance out of the accounts. The store may be gone already."""
        self._is_closed = True
        self._usage.remove_instance(self._memory_bytes)
        self._memory_bytes = 0


def _is_foreign(error: BaseException) -> bool:
    """Whether what struck was raised by code that nobody here calls: the handler of a signal, for a timeout.

    What processors and exporters raise does not come here: deliveries keep it.
    """
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    module: str = trace.tb_frame.f_globals.get("__name__", "")
    return module.partition(".")[0] not in {"wasmscope", "opentelemetry", "wasmtime", "ctypes"}
