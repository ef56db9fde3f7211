"""Collectors at work for a bridge: which guests get one, and what they ask the host for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from struct import Struct
from typing import Final

import wasmtime
from opentelemetry.context import get_current
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanKind,
    TraceState,
    get_current_span,
    set_span_in_context,
)

from wasmscope.delivery import decide
from wasmscope.host_shim._call_context import span_context_of
from wasmscope.host_shim._collected import CollectedGuest, CollectedSpans, StoreCalls
from wasmscope.host_shim._collector import Collectors, StoreCollector
from wasmscope.host_shim._control import Control, Op
from wasmscope.host_shim._deliveries import Deliveries, DeliveryName
from wasmscope.host_shim._descriptors import CallSite, DescriptorError, read_callsite
from wasmscope.host_shim._guest import Guest
from wasmscope.host_shim._limits import Limits
from wasmscope.host_shim._packed import Packed
from wasmscope.host_shim._packer import pack_attributes
from wasmscope.host_shim._plan import ImportPlan
from wasmscope.host_shim._rejections import Rejections, RejectionTotals
from wasmscope.host_shim._spans import NO_SPAN, RunningCalls
from wasmscope.host_shim._store_watch import watch_stores
from wasmscope.host_shim._wasmtime_ffi import Native

__all__ = ["LEFT_OPEN", "Collecting"]


_logger = logging.getLogger("wasmscope.host_shim")
LEFT_OPEN: Final = "the span was still open when its instance was closed"
"""The status of a span that nobody ended."""
_CONTEXT: Final = Struct("<16s8s")
_FLAGS: Final = Struct("<4BI")
_TRACE_FLAGS: Final = 0x03
# OTLP's span kinds count from "unspecified".
_KINDS: Final = (SpanKind.INTERNAL, *SpanKind)


class _Silent(Rejections):
    """Counts nothing: what the collector has accepted has been counted already."""

    def add(self, reason: str, detail: str = "", count: int = 1) -> None:
        self.count += count


class Collecting:
    """Gives guests to collectors, and serves what these ask for. Thread-safe, as far as stores are."""

    def __init__(
        self,
        native: Native,
        limits: Limits,
        deliveries: Deliveries,
        calls: RunningCalls,
        *,
        min_severity: int,
        flush: Callable[[], None],
        later: Callable[[Callable[[], None]], bool],
    ) -> None:
        """Prepare.

        Args:
            native: The C functions.
            limits: What a guest may send.
            deliveries: Where records go.
            calls: The calls that run.
            min_severity: Logs below it are dropped.
            flush: Asks for delivery soon.
            later: Takes what is to be done when nobody is in the middle of anything, if that is the case now; says
                whether it did.
        """
        self._native = native
        self._limits = limits
        self._deliveries = deliveries
        self._calls = calls
        self._min_severity = min_severity
        self._flush = flush
        self._later = later
        self._lock = threading.Lock()
        self._collectors: dict[DeliveryName, Collectors] = {}
        self._stores: dict[StoreCollector, StoreCalls] = {}
        self.calls: dict[int, StoreCalls] = {}
        """The same by the store's id."""
        silent = _Silent("", None, RejectionTotals())
        self._packed = Packed(limits, silent)
        self._silent = silent
        # Now, and not with the first guest: its store is there by then, and would have to do with Python's clock.
        watch_stores()

    def guest(self, store: wasmtime.Store, plan: ImportPlan, guest: Guest) -> CollectedGuest | None:
        """Link a guest that is about to be instantiated to its store's collector.

        Args:
            store: The store.
            plan: What it imports.
            guest: Its live path, which serves what is rare.

        Returns:
            The guest, or None if it is to be served live.

        Raises:
            ConfigurationError: If the delivery that the application wants cannot be.
        """
        name = self._deliveries.name()
        if name == "live" or all(item.server != "abi" for item in plan.imports):
            return None
        collector = self._of(name).of(store)
        if collector is None:
            return None
        calls = self._stores.get(collector)
        if calls is None:
            calls = self._stores[collector] = self.calls[id(store)] = StoreCalls(collector, id(store))
        has_memory = plan.memory_export is not None or plan.memory_import is not None
        base = pack_attributes(guest.identity.attributes())
        link = collector.add(plan, guest, base, has_memory=has_memory)
        if link is None:
            return None
        collected = CollectedGuest(calls, link, self._deliveries.sink(name, guest.identity, self._packed.decode))
        guest.spans = CollectedSpans(collected, self._limits, guest.rejections, self._calls)
        return collected

    def drain(self) -> None:
        """Take what is ready in the stores that this thread uses; those of other threads may be running."""
        thread = threading.get_ident()
        for calls in list(self._stores.values()):
            if calls.thread == thread:
                try:
                    calls.drain_between()
                except Exception as error:
                    _logger.warning("what a guest told could not be taken: %r", error)

    def deliver_while_running(self, store: wasmtime.Store, ticks: int, may_go_on: Callable[[], bool]) -> None:
        """Take what is ready whenever a store's epoch deadline is reached.

        Args:
            store: The store.
            ticks: How many ticks of the engine's epoch from one time to the next.
            may_go_on: Says whether the guest may go on; if not, it is interrupted.
        """

        def reached(context: int) -> bool:
            found = [calls for calls in self._stores.copy().values() if calls.collector.context == context]
            if any(calls.collector.is_called for calls in found):
                # No guest runs. It may be the garbage collector that closes the store, in the middle of anything.
                return True
            try:
                for calls in found:
                    calls.drain_between()
            except Exception as error:
                _logger.warning("what a running guest told could not be taken: %r", error)
            return may_go_on()

        self._native.on_epoch(store, ticks, reached, self._calls.interrupt)

    def _of(self, name: DeliveryName) -> Collectors:
        with self._lock:
            collectors = self._collectors.get(name)
            if collectors is None:
                settings = self._deliveries.settings(name, self._min_severity)
                collectors = Collectors(self._native, self._limits, settings, self._serve, self._closing)
                self._collectors[name] = collectors
            return collectors

    def _closing(self, collector: StoreCollector) -> None:
        """Hear that a store is about to go."""
        calls = self._stores.get(collector)
        if calls is None:
            return
        # While it is still known: the collector may ask for room meanwhile.
        deliver = calls.finish(LEFT_OPEN)
        self._stores.pop(collector, None)
        self.calls.pop(calls.store_key, None)
        if not self._later(deliver):
            deliver()

    # What a collector asks for.

    def _serve(self, collector: StoreCollector, op: int, number: int) -> int:
        calls = self._stores.get(collector)
        if calls is None:
            return 0
        # Also outside of any call, as when an export is called directly.
        calls.thread = threading.get_ident()
        match op:
            case Op.FULL:
                calls.take()
            case Op.FLUSH:
                calls.drain()
                self._flush()
            case Op.AMBIENT:
                self._ambient(calls)
            case Op.ROOT:
                self._root(calls, number)
            case Op.START:
                calls.start()
            case _:
                pass
        return 0

    def _ambient(self, calls: StoreCalls) -> None:
        """Tell the collector OpenTelemetry's current span, outside of any call that the bridge knows."""
        collector = calls.collector
        context = get_current_span().get_span_context()
        at = collector.base + collector.control
        ids = context.trace_id.to_bytes(16), context.span_id.to_bytes(8)
        _CONTEXT.pack_into(collector._space, at + Control.FRAME_TRACE_ID, *ids)
        flags = context.trace_flags & _TRACE_FLAGS
        _FLAGS.pack_into(
            collector._space, at + Control.FRAME_TRACE_FLAGS, flags, context.is_remote, context.is_valid, 0, 0
        )
        if context.trace_state:
            self._write_state(collector, context.trace_state)

    def _root(self, calls: StoreCalls, number: int) -> None:
        """Have the application's sampler decide about a span without a local parent."""
        collector = calls.collector
        control = collector.control
        guest = calls.guests[number].link.guest
        collector.set_u32(control + Control.ROOT_EXTRA_LENGTH, 0)
        parent_id = collector.read(control + Control.ROOT_PARENT_SPAN_ID, 8)
        context, before = NO_SPAN, TraceState()
        if any(parent_id):
            trace_id = collector.read(control + Control.ROOT_TRACE_ID, 16)
            flags = collector.read(control + Control.ROOT_PARENT_FLAGS, 1)[0]
            before = calls.tracestate(collector.u32(control + Control.ROOT_TRACESTATE))
            parent = span_context_of(trace_id, parent_id, flags, True, before)
            context = set_span_in_context(NonRecordingSpan(parent))
        elif not get_current_span().get_span_context().is_valid:
            # Samplers may look at what else there is, such as baggage.
            context = get_current()
        name = self._bytes(collector, Control.ROOT_NAME_POINTER).decode("utf-8", "replace")
        site = self._site(self._bytes(collector, Control.ROOT_SITE_POINTER))
        given = self._packed.decode(self._bytes(collector, Control.ROOT_ATTRIBUTES_POINTER), site.fields)
        attributes = {**site.attributes, **given, **guest.identity.attributes()}
        kind = collector.u32(control + Control.ROOT_KIND)
        tracer = self._deliveries.tracer(guest.identity)
        if tracer is None:
            return
        result = decide(tracer, context, None, name, _KINDS[kind if kind < len(_KINDS) else 0], attributes)
        extra = pack_attributes(result.attributes)
        to, room = (collector.u32(control + at) for at in (Control.ROOT_EXTRA_POINTER, Control.ROOT_EXTRA_CAPACITY))
        if extra and len(extra) <= room:
            collector.write(to, extra)
            collector.set_u32(control + Control.ROOT_EXTRA_LENGTH, len(extra))
        else:
            extra = b""
        if result.trace_state != before:
            self._write_state(collector, result.trace_state, behind=len(extra))
        collector.write(control + Control.ROOT_TRACE_ID, result.trace_id.to_bytes(16))
        collector.write(control + Control.ROOT_DECISION, bytes((result.decision, result.trace_flags & _TRACE_FLAGS)))

    @staticmethod
    def _write_state(collector: StoreCollector, state: TraceState, *, behind: int = 0) -> None:
        """Answer with a trace state, behind so many bytes of attributes; one that has no room is left out."""
        to, room = (
            collector.u32(collector.control + at) for at in (Control.ROOT_EXTRA_POINTER, Control.ROOT_EXTRA_CAPACITY)
        )
        raw = state.to_header().encode("utf-8", "replace")
        if len(raw) <= room - behind:
            collector.write(to + behind, raw)
            collector.set_u32(collector.control + Control.ROOT_STATE_LENGTH, len(raw))

    @staticmethod
    def _bytes(collector: StoreCollector, pointer: int) -> bytes:
        at = collector.control + pointer
        size = collector.u32(at + 4)
        return collector.read(collector.u32(at), size) if size else b""

    def _site(self, descriptor: bytes) -> CallSite:
        try:
            return read_callsite(descriptor, self._packed, self._limits, self._silent, host_attributes={})
        except DescriptorError:
            return CallSite("", 0, "", (), {})
