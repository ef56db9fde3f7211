"""Plays random scripts of ABI calls on a bridge, and tells what came of them."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from random import Random
from typing import Any, Literal, cast
from zlib import crc32

import wasmtime
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, attach, detach
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import SpanContext
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tests.conformance.recorder import sender_to
from tests.support.call_scripts import MAX_CALLS, Call, Note, encode, module_text, read_notes, script_address
from tests.support.guests import engine
from tests.support.otlp_receiver import OtlpReceiver
from tests.support.otlp_sdk_data import logs_of, metrics_of, spans_of
from tests.support.outcomes import Names, logs_by_scope, metrics_by_scope, spans_by_scope
from tests.support.random_calls import ACTIONS, REMOTE_SPANS, REMOTE_TRACES, Image, RandomCalls
from wasmscope.delivery import OtlpSender
from wasmscope.host_shim import Bridge, GuestInstance, Limits

__all__ = ["Chapter", "Outcome", "Play", "Script", "difference", "play"]

How = Literal["call", "with a span", "loose"]
_GUESTS = ("first", "second")
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Chapter:
    """Calls that a guest makes in one call from the host.

    Attributes:
        guest: Which guest, 0 or 1.
        how: Through the bridge, also with a span of the host around it; or by calling the export directly.
        calls: What it does.
    """

    guest: int
    how: How
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """All that two guests in one store do.

    Attributes:
        image: What lies in their memories.
        chapters: What they do, one after the other.
        inner: What a guest does when the host function calls it back.
        tenants: On whose behalf they run.
    """

    image: Image
    chapters: tuple[Chapter, ...]
    inner: tuple[tuple[Call, ...], ...]
    tenants: tuple[str | None, str | None] = (None, "acme")

    @classmethod
    def draw(cls, random: Random, *, calls: int, memory64: bool, forgets: bool = True) -> Script:
        """Draw a script.

        Args:
            random: Where chance comes from.
            calls: How many calls there are in the chapters.
            memory64: Whether it is for a 64-bit memory.
            forgets: Whether it ends remote contexts, too.
        """
        image = Image.draw(random)
        draw = RandomCalls(random, image, memory64=memory64, forgets=forgets)
        chapters: list[Chapter] = []
        while calls > 0:
            size = min(calls, random.choice([1, 10, 50, 200, 400]))
            calls -= size
            how: How = random.choices(("call", "with a span", "loose"), (6, 3, 1))[0]
            chapters.append(Chapter(random.choice((0, 0, 1)), how, tuple(draw.calls(size))))
        inner = tuple(tuple(draw.calls(random.choice([1, 5, 20]))) for _ in range(6))
        return cls(image, tuple(chapters), inner)


@dataclass
class Outcome:
    """What came of a script.

    Attributes:
        spans: Spans by scope, in the order in which they ended.
        logs: Log records by scope.
        metrics: Data points by scope.
        rejected: What was counted as unusable, by module and reason.
        notes: What calls returned, by guest.
        observed: What the host function saw.
        errors: What the calls into the guests raised.
        complaints: What the deliveries lost.
    """

    spans: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    logs: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    metrics: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    rejected: dict[str, int] = field(default_factory=dict[str, int])
    notes: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    observed: list[str] = field(default_factory=list[str])
    errors: list[str] = field(default_factory=list[str])
    complaints: dict[str, int] = field(default_factory=dict[str, int])


class _Keep(SpanProcessor):
    """Keeps all spans, those too that are recorded without being sampled."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


class _ByName(Sampler):
    """Decides by the name, whatever the ids; says on the span that it was asked."""

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Any = None,
        links: Any = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        decision = (Decision.RECORD_AND_SAMPLE, Decision.RECORD_AND_SAMPLE, Decision.DROP, Decision.RECORD_ONLY)[
            crc32(name.encode("utf-8", "replace")) % 4
        ]
        state = trace.get_current_span(parent_context).get_span_context().trace_state.to_header()
        added: dict[str, Any] = {
            "sampler.kind": str(kind),
            "sampler.attributes": len(attributes or {}),
            "sampler.state": state,
        }
        # As the samplers of https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/ do.
        before = trace.get_current_span(parent_context).get_span_context().trace_state
        states = (None, before, before.update("ot", "th:8") if "ot" in before else before.add("ot", "th:8"))
        return SamplingResult(
            decision, {**(attributes or {}), **added}, states[crc32(name.encode("utf-8", "replace")) // 4 % 3]
        )

    def get_description(self) -> str:
        return "by name"


class _HostError(Exception):
    """Raised by the host function."""


@functools.cache
def _module(memory64: bool) -> wasmtime.Module:
    return wasmtime.Module(engine(), module_text(memory64=memory64))


class Play:
    """A script on its way."""

    def __init__(
        self,
        script: Script,
        *,
        memory64: bool,
        limits: Limits,
        min_severity: int,
        is_sampled_by_name: bool,
        keeps_unsampled: bool,
        receiver: OtlpReceiver | None,
        **bridge: Any,
    ) -> None:
        """Prepare.

        Args:
            script: What is done.
            memory64: Whether the guests have 64-bit memories.
            limits: Limits of the bridge.
            min_severity: As for the bridge.
            is_sampled_by_name: Whether not all spans are sampled.
            keeps_unsampled: Whether spans belong to what came of it that are recorded and not sampled.
            receiver: Where records are sent, if they are; what it has is forgotten.
            bridge: More arguments of the bridge.
        """
        self._script = script
        # What the host does to guests' spans counts for their limits in a collector only.
        self._has_room = limits == Limits()
        self._memory64 = memory64
        self._keep = _Keep()
        self._keeps_unsampled = keeps_unsampled
        self._logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self._metrics = InMemoryMetricReader()
        empty = Resource.get_empty()
        unlimited = SpanLimits.UNSET
        self._tracer_provider = TracerProvider(
            sampler=ParentBased(_ByName()) if is_sampled_by_name else ALWAYS_ON,
            resource=empty,
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_attributes=unlimited, max_span_attributes=unlimited),
        )
        self._tracer_provider.add_span_processor(self._keep)
        self._tracer = self._tracer_provider.get_tracer("host")
        self._logger_provider = LoggerProvider(resource=empty, shutdown_on_exit=False)
        self._logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self._meter_provider = MeterProvider([self._metrics], resource=empty, shutdown_on_exit=False)
        self._receiver = receiver
        self._sender: OtlpSender | None = None
        if receiver is not None:
            receiver.requests.clear()
            self._sender = sender_to(receiver)
        self._bridge = Bridge(
            tracer_provider=self._tracer_provider,
            meter_provider=self._meter_provider,
            logger_provider=self._logger_provider,
            propagator=CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()]),
            limits=limits,
            min_severity=min_severity,
            otlp=self._sender,
            **bridge,
        )
        self._instances: list[GuestInstance] = []
        self._store: Any = None
        self._depth = 0
        self._current = 0
        self._observed: list[tuple[str, SpanContext]] = []
        self._errors: list[str] = []

    def run(self) -> Outcome:
        """Do it all."""
        earliest = time.time_ns()
        token = attach(baggage.set_baggage("tenant", "acme", Context()))
        try:
            notes = self._run_chapters()
        finally:
            detach(token)
        self._bridge.close()
        if self._sender is not None:
            assert self._sender.flush(30.0)
            self._sender.shutdown()
        return self._outcome(earliest, time.time_ns(), notes)

    def _run_chapters(self) -> dict[str, list[Note]]:
        script = self._script
        linker = wasmtime.Linker(engine())
        self._store = store = wasmtime.Store(engine())
        # The linker's function must not keep the play, which keeps the store.
        linker.define_func("test", "host", wasmtime.FuncType([wasmtime.ValType.i32()] * 2, []), _forward(self))
        for name, tenant in zip(_GUESTS, script.tenants, strict=True):
            instance = self._bridge.instantiate(
                linker, store, _module(self._memory64), name=name, version="1.0", tenant=tenant
            )
            self._instances.append(instance)
            self._memory(instance, "memory").write(store, script.image.data, 0)
            # The inner scripts lie before those of chapters.
            self._memory(instance, "script").write(
                store, encode([call for inner in script.inner for call in inner]), script_address()
            )
        for chapter in script.chapters:
            self._play(chapter)
        notes: dict[str, list[Note]] = {}
        for name, instance in zip(_GUESTS, self._instances, strict=True):
            count = instance.exports(store)["notes"]
            assert isinstance(count, wasmtime.Global)
            notes[name] = read_notes(self._memory(instance, "script"), store, count.value(store))
        store.close()
        return notes

    def _memory(self, instance: GuestInstance, name: str) -> wasmtime.Memory:
        memory = wasmtime.Instance.exports(instance, self._store)[name]
        assert isinstance(memory, wasmtime.Memory)
        return memory

    def _play(self, chapter: Chapter) -> None:
        instance = self._instances[chapter.guest]
        start = script_address(sum(map(len, self._script.inner)))
        assert len(chapter.calls) + sum(map(len, self._script.inner)) < MAX_CALLS
        self._memory(instance, "script").write(self._store, encode(chapter.calls), start)
        self._depth, self._current = 0, chapter.guest
        with ExitStack() as around:
            if chapter.how == "with a span":
                around.enter_context(self._tracer.start_as_current_span("host span"))
            run: Callable[..., Any] = functools.partial(instance.call, "run")
            if chapter.how == "loose":
                function = wasmtime.Instance.exports(instance, self._store)["run"]
                assert isinstance(function, wasmtime.Func)
                run = functools.partial(function, self._store)
            try:
                run(start, len(chapter.calls))
            except (wasmtime.Trap, wasmtime.WasmtimeError, _HostError) as error:
                code = error.trap_code if isinstance(error, wasmtime.Trap) else None
                self._errors.append(f"{type(error).__name__} {code}")

    def host(self, action: int, number: int) -> None:
        """The host function."""
        span = trace.get_current_span()
        name = ACTIONS[action]
        if name in {"attribute", "event", "link", "status"} and not self._has_room:
            name = "look"
        match name:
            case "call":
                self._call(self._current, number)
            case "call_other":
                self._call(1 - self._current, number)
            case "attribute":
                span.set_attributes({f"host.{number % 7}": number, "list": ("a", "b")})
            case "event":
                span.add_event("of the host", {"number": number, "nested": True})
            case "status":
                span.set_status(trace.StatusCode.ERROR, f"said {number}")
            case "link":
                span.add_link(SpanContext(next(iter(REMOTE_TRACES)), number + 1, is_remote=True), {"n": number})
            case "look":
                self._observed.append((f"{self._depth} {span.is_recording()}", span.get_span_context()))
            case _:
                raise _HostError(f"number {number}")

    def _call(self, guest: int, number: int) -> None:
        if self._depth >= _DEPTH or not self._script.inner:
            return
        inner = self._script.inner
        chosen = number % len(inner)
        before = self._current
        self._depth += 1
        self._current = guest
        try:
            self._instances[guest].call("run", script_address(sum(map(len, inner[:chosen]))), len(inner[chosen]))
        except (wasmtime.Trap, wasmtime.WasmtimeError, _HostError) as error:
            self._errors.append(f"inner {type(error).__name__}")
            if number % 2:
                raise
        finally:
            self._depth -= 1
            self._current = before

    def _outcome(self, earliest: int, latest: int, notes: dict[str, list[Note]]) -> Outcome:
        spans: Sequence[ReadableSpan] = [
            span
            for span in self._keep.spans
            if self._keeps_unsampled or (span.context is not None and span.context.trace_flags.sampled)
        ]
        logs = list(self._logs.get_finished_logs())
        data = self._metrics.get_metrics_data()
        reported = [] if data is None else list(data.resource_metrics)
        if self._receiver is not None:
            spans = [*spans, *spans_of(self._receiver.requests)]
            logs += logs_of(self._receiver.requests)
            reported += metrics_of(self._receiver.requests)
        # Those of a scope stay in their order.
        spans = sorted(spans, key=lambda span: span.instrumentation_scope.name if span.instrumentation_scope else "")
        names = Names(spans, REMOTE_SPANS, REMOTE_TRACES)
        metrics = {
            (scope.scope.name, metric.name, _kind(metric), metric.unit, metric.description): (scope.scope, metric)
            for resource in reported
            for scope in resource.scope_metrics
            if scope.scope.name in _GUESTS
            for metric in scope.metrics
        }
        return Outcome(
            spans=spans_by_scope(spans, names, earliest, latest),
            logs=logs_by_scope(logs, names, earliest, latest),
            metrics=metrics_by_scope(metrics.values()),
            rejected={
                f"{module} of {tenant}: {reason}": count
                for (module, tenant, reason), count in sorted(self._bridge.rejected().items(), key=str)
            },
            notes={
                guest: [f"{note.name}: {note.result} {names.written(note.name, note.written)}" for note in of_guest]
                for guest, of_guest in notes.items()
            },
            observed=[f"{how} {names.context(context)}" for how, context in self._observed],
            errors=self._errors,
        )


def _kind(metric: Metric) -> str:
    return f"{type(metric.data)} {getattr(metric.data, 'is_monotonic', '')}"


def _forward(play: Play) -> Callable[[int, int], None]:
    return lambda action, number: play.host(action, number)


def play(script: Script, **options: Any) -> Outcome:
    """Play a script; options are those of `Play`."""
    return Play(script, **options).run()


def difference(expected: Outcome, found: Outcome, *, leave_out: Collection[str] = ()) -> str:
    """Say what differs first, in a few lines; the empty text if nothing does.

    Args:
        expected: What came of it here.
        found: And there.
        leave_out: Attributes of outcomes that may differ.
    """
    told: list[str] = []
    for one in fields(Outcome):
        if one.name in leave_out:
            continue
        left, right = (_by_key(getattr(outcome, one.name)) for outcome in (expected, found))
        for key in sorted(left.keys() | right.keys()):
            wanted, got = left.get(key), right.get(key)
            if wanted != got:
                told += [f"{one.name} {key}:", *_first_difference(wanted, got)]
    return "\n".join(told[:30])


def _by_key(value: Any) -> dict[str, Any]:
    return {"": value} if isinstance(value, list) else value


def _first_difference(wanted: object, got: object) -> list[str]:
    if not (isinstance(wanted, list) and isinstance(got, list)):
        return [f"  expected {wanted}", f"  found    {got}"]
    pairs = enumerate(itertools.zip_longest(cast("list[str]", wanted), cast("list[str]", got), fillvalue="nothing"))
    at, (left, right) = next((at, pair) for at, pair in pairs if pair[0] != pair[1])
    return [f"  at {at} of {len(wanted)} and {len(got)}", f"  expected {left}", f"  found    {right}"]
