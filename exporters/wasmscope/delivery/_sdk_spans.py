"""OTLP spans as spans of OpenTelemetry's SDK."""

from __future__ import annotations

from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.sdk.trace import Span, SpanLimits, Tracer
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

from wasmscope.delivery._contexts import IS_REMOTE, Contexts, read_flags
from wasmscope.delivery._scope import Scope
from wasmscope.delivery._values import read_attributes

__all__ = ["DeliveredSpan", "SpanSink"]

# OTLP's kinds and status codes by number (trace.proto); those that are not here are the default.
_KINDS: Final = {
    2: SpanKind.SERVER,
    3: SpanKind.CLIENT,
    4: SpanKind.PRODUCER,
    5: SpanKind.CONSUMER,
}
_CODES: Final = {1: StatusCode.OK, 2: StatusCode.ERROR}


class DeliveredSpan(Span):
    """A span of the SDK that is handed to processors after it ended.

    `Span` refuses to be made by others than a tracer, and a tracer chooses the ids: a class of its own may be made.
    """


class SpanSink:
    """Hands spans of one scope to the processors of a tracer. Thread-safe.

    The provider's own span limits are not public: what holds is what the environment says (``OTEL_SPAN_*_LIMIT``).
    """

    def __init__(self, tracer: Tracer, scope: Scope) -> None:
        self.tracer = tracer
        # What a provider makes of the same arguments, so that exporters put both under one heading.
        self._scope = InstrumentationScope(scope.name, scope.version or "")
        self._limits = SpanLimits()

    def hand_on(self, given: OtlpSpan, contexts: Contexts) -> None:
        """Start and end a span as if it happened now, with the times it really has.

        Args:
            given: The span.
            contexts: Those of its batch.

        Raises:
            Exception: Whatever a processor raises; it may have seen the span started and not ended.
        """
        tracer = self.tracer
        flags = given.flags
        header = given.trace_state
        # OTLP does not say what the parent's flags and trace state are: a child is as sampled as its parent, and has
        # its state.
        parent, parent_context = contexts.of(given.trace_id, given.parent_span_id, flags, header)
        span = DeliveredSpan(
            name=given.name,
            context=SpanContext(
                int.from_bytes(given.trace_id),
                int.from_bytes(given.span_id),
                is_remote=False,
                trace_flags=read_flags(flags),
                trace_state=contexts.trace_state(header),
            ),
            parent=parent,
            sampler=tracer.sampler,
            resource=tracer.resource,
            attributes=read_attributes(given.attributes),
            kind=_KINDS.get(given.kind, SpanKind.INTERNAL),
            span_processor=tracer.span_processor,
            limits=self._limits,
            instrumentation_scope=self._scope,
        )
        problem: Exception | None = None
        try:
            span.start(start_time=given.start_time_unix_nano, parent_context=parent_context)
        except Exception as error:
            # The span is started all the same, and those that come after the processor that failed shall see its end.
            problem = error
        for event in given.events:
            span.add_event(event.name, read_attributes(event.attributes), timestamp=event.time_unix_nano)
        for link in given.links:
            linked = SpanContext(
                int.from_bytes(link.trace_id),
                int.from_bytes(link.span_id),
                is_remote=bool(link.flags & IS_REMOTE),
                trace_flags=read_flags(link.flags),
                trace_state=contexts.trace_state(link.trace_state),
            )
            span.add_link(linked, read_attributes(link.attributes))
        status = given.status
        code = _CODES.get(status.code)
        if code is not None:
            span.set_status(Status(code, (status.message or None) if code is StatusCode.ERROR else None))
        span.end(end_time=given.end_time_unix_nano)
        if problem is not None:
            raise problem
