"""Runs one scenario of one guest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import wasmtime
from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, attach, detach
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tests.conformance.guests import Guest, engine, module
from tests.conformance.picture import Json, picture_of
from tests.conformance.recorder import Recorder
from tests.support.otlp_receiver import OtlpReceiver
from wasmscope.host_shim import Bridge

__all__ = ["MEASURED", "Performance", "Way", "perform"]

Way = Literal["live", "live-public", "sdk", "otlp"]
"""A delivery; of ``live`` there are two, by C functions of wasmtime or by its public API."""
MODULE = "conformance"
_HOST = "host program"
MEASURED = ("wasm.call.cpu_time_ns", "wasm.call.host_time_ns", "wasm.memory.size_bytes")
"""Attributes of the span of a call that are not the same twice."""


@dataclass(frozen=True, slots=True)
class Performance:
    """What came of a scenario.

    Attributes:
        recorder: All that was recorded.
        rejected: What the bridge refused, by reason.
        error: What the call raised, or None.
    """

    recorder: Recorder
    rejected: Mapping[str, int]
    error: Exception | None

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The guest's spans."""
        spans = self.recorder.spans()
        return tuple(s for s in spans if s.instrumentation_scope is not None and s.instrumentation_scope.name == MODULE)

    @property
    def call(self) -> ReadableSpan:
        """The span of the call."""
        (found,) = [s for s in self.recorder.spans() if s.name.startswith("wasm.call ")]
        return found

    @property
    def logs(self) -> Sequence[ReadableLogRecord]:
        """The guest's logs."""
        return self.recorder.logs()

    def picture(self) -> Json:
        """Draw all but what the scenarios leave to the languages, or what is not the same twice."""
        picture = picture_of(self.recorder, guest=MODULE, host=_HOST, leave_out=_is_apart)
        for span in picture["spans"]:
            for event in span.get("events", ()):
                _leave_out_backtrace(event.get("attributes", {}))
        if self.rejected:
            picture["rejected"] = dict(sorted(self.rejected.items()))
        return picture


def _is_apart(signal: str, scope: str, key: str) -> bool:
    if scope != MODULE:
        # A trap's code is the language's way to trap.
        return key in MEASURED or key == "wasm.trap.code"
    # The scenarios name a target for logs only; a language may have one for all its call sites.
    return key.startswith("code.") or key == "wasm.trap.code" or (signal == "span" and key == "wasmscope.target")


def _leave_out_backtrace(exception: dict[str, Any]) -> None:
    """Leave out how a trap looks from outside, and the stack of a language's own report."""
    if exception.get("exception.type") == "wasm.trap":
        del exception["exception.message"], exception["exception.stacktrace"]
    elif exception.get("exception.message") == "boom":
        exception.pop("exception.stacktrace", None)


def perform(
    guest: Guest,
    scenario: str,
    *,
    way: Way = "live",
    tenant: str | None = None,
    receiver: OtlpReceiver | None = None,
) -> Performance:
    """Run a scenario in an instance of its own, inside a span of the host and with a baggage entry `tenant`.

    Args:
        guest: Who performs it.
        scenario: Which one.
        way: How its telemetry gets to OpenTelemetry.
        tenant: On whose behalf the instance runs.
        receiver: Where it is sent to, if the way is ``otlp``; it must have nothing yet.
    """
    recorder = Recorder(receiver)
    error: Exception | None = None
    with Bridge(
        tracer_provider=recorder.tracer_provider,
        meter_provider=recorder.meter_provider,
        logger_provider=recorder.logger_provider,
        propagator=CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()]),
        native=way != "live-public",
        delivery="live" if way == "live-public" else way,
        otlp=recorder.sender,
    ) as bridge:
        linker = wasmtime.Linker(engine())
        store = wasmtime.Store(engine())
        token = attach(baggage.set_baggage("tenant", "acme", Context()))
        try:
            with bridge.instantiate(linker, store, module(guest), name=MODULE, version="1.2.3", tenant=tenant) as it:
                tracer = recorder.tracer_provider.get_tracer(_HOST)
                with tracer.start_as_current_span("host"):
                    try:
                        it.call(guest.export(scenario))
                    except (wasmtime.Trap, wasmtime.WasmtimeError) as trap:
                        error = trap
        finally:
            detach(token)
            store.close()
        rejected = {reason: count for (_, _, reason), count in bridge.rejected().items()}
    recorder.settle()
    return Performance(recorder, rejected, error)
