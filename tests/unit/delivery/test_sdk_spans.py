"""Spans of guests in the SDK."""

from __future__ import annotations

import pytest
from opentelemetry import baggage
from opentelemetry.context import Context, attach, detach
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status as OtlpStatus
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, StatusCode, TraceState, get_current_span

from tests.unit.delivery.sdk import SCOPE, SPAN_ID, TRACE_ID, Sdk, pairs, span, spans_body
from wasmscope.delivery import Scope


class OnStart(SpanProcessor):
    """Keeps what it sees when a span starts, and changes the span."""

    def __init__(self) -> None:
        self.contexts: list[Context | None] = []
        self.seen: list[tuple[str, dict[str, object]]] = []

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self.contexts.append(parent_context)
        self.seen.append((span.name, dict(span.attributes or {})))
        for key, value in baggage.get_all(parent_context).items():
            span.set_attribute(key, str(value))
        span.add_event("seen", timestamp=7)
        span.update_name(f"{span.name} (seen)")


class TestFields:
    """Each field of a span arrives."""

    def test_ids_and_times(self) -> None:
        """Ids and times are the given ones."""
        got = Sdk().span(span())

        assert got.context.trace_id == int.from_bytes(TRACE_ID)
        assert got.context.span_id == int.from_bytes(SPAN_ID)
        assert (got.start_time, got.end_time) == (1_000, 2_000)
        assert got.context.is_remote is False

    def test_provider(self) -> None:
        """Resource and scope are those that the provider gives its own spans."""
        sdk = Sdk()
        got = sdk.span(span())
        sdk.tracer_provider.get_tracer(SCOPE.name, SCOPE.version).start_span("own").end()
        own = sdk.exporter.get_finished_spans()[-1]

        assert got.resource == own.resource == sdk.resource
        assert got.instrumentation_scope == own.instrumentation_scope == InstrumentationScope("module", "1.2")

    def test_scope_without_version(self) -> None:
        """A scope without version is the same as the provider's own."""
        sdk = Sdk()
        sdk.delivery.spans(Scope("module"), spans_body(span()), 1)
        sdk.tracer_provider.get_tracer("module").start_span("own").end()
        got, own = sdk.exporter.get_finished_spans()

        assert got.instrumentation_scope == own.instrumentation_scope

    @pytest.mark.parametrize(
        ("number", "kind"),
        [
            (0, SpanKind.INTERNAL),
            (1, SpanKind.INTERNAL),
            (2, SpanKind.SERVER),
            (3, SpanKind.CLIENT),
            (4, SpanKind.PRODUCER),
            (5, SpanKind.CONSUMER),
            (77, SpanKind.INTERNAL),
        ],
    )
    def test_kind(self, number: int, kind: SpanKind) -> None:
        """Kinds are those of OTLP's trace.proto; an unknown one is internal."""
        assert Sdk().span(span(kind=number)).kind is kind

    @pytest.mark.parametrize("item", ["", "text", True, False, 0, -(2**63), 2.5, 0.0, b"\x00\xff", None])
    def test_scalar(self, item: object) -> None:
        """A value keeps its type, also where it is the type's default."""
        got = (Sdk().span(span(attributes={"key": item})).attributes or {})["key"]

        assert got == item and type(got) is type(item)

    def test_collections(self) -> None:
        """Arrays are tuples, as the SDK keeps them, and maps are maps, at any depth."""
        got = Sdk().span(span(attributes={"list": [1, "a", [None, {"k": [b""]}]], "map": {"a": {"b": 1}}, "none": []}))

        assert got.attributes == {"list": (1, "a", (None, {"k": (b"",)})), "map": {"a": {"b": 1}}, "none": ()}

    def test_repeated_key(self) -> None:
        """Of an attribute that comes twice, the later value holds."""
        given = span()
        given.attributes.extend([*pairs({"a": 1}), *pairs({"a": 2})])

        assert Sdk().span(given).attributes == {"a": 2}

    def test_events(self) -> None:
        """Events have their own names, times and attributes, in order."""
        events = [
            OtlpSpan.Event(name="first", time_unix_nano=1_100, attributes=pairs({"a": 1})),
            OtlpSpan.Event(name="second", time_unix_nano=1_050),
        ]
        got = Sdk().span(span(events=events)).events

        assert [(e.name, e.timestamp, dict(e.attributes or {})) for e in got] == [
            ("first", 1_100, {"a": 1}),
            ("second", 1_050, {}),
        ]

    def test_links(self) -> None:
        """Links have ids, flags, trace state and attributes of what they point to."""
        links = [
            OtlpSpan.Link(
                trace_id=TRACE_ID, span_id=SPAN_ID, flags=0x303, trace_state="v=x", attributes=pairs({"a": 1})
            ),
            OtlpSpan.Link(trace_id=TRACE_ID, span_id=SPAN_ID, flags=0x100),
        ]
        remote, local = Sdk().span(span(links=links)).links

        assert remote.context.trace_id == int.from_bytes(TRACE_ID)
        assert remote.context.span_id == int.from_bytes(SPAN_ID)
        assert (remote.context.is_remote, remote.context.trace_flags) == (True, 3)
        assert remote.context.trace_state == TraceState([("v", "x")])
        assert remote.attributes == {"a": 1}
        assert (local.context.is_remote, local.context.trace_flags) == (False, 0)

    @pytest.mark.parametrize(
        ("status", "code", "text"),
        [
            (None, StatusCode.UNSET, None),
            (OtlpStatus(code=OtlpStatus.STATUS_CODE_OK), StatusCode.OK, None),
            (OtlpStatus(code=OtlpStatus.STATUS_CODE_ERROR), StatusCode.ERROR, None),
            (OtlpStatus(code=OtlpStatus.STATUS_CODE_ERROR, message="no stock"), StatusCode.ERROR, "no stock"),
        ],
    )
    def test_status(self, status: OtlpStatus | None, code: StatusCode, text: str | None) -> None:
        """The status, with its description."""
        got = Sdk().span(span(status=status)).status

        assert (got.status_code, got.description) == (code, text)


class TestContext:
    """A span's place in its trace."""

    @pytest.mark.parametrize(("flags", "is_remote"), [(0x101, False), (0x301, True), (0x303, True), (0x103, False)])
    def test_parent(self, flags: int, is_remote: bool) -> None:
        """The parent is remote where the flags say so, and as sampled as the span."""
        parent = Sdk().span(span(flags=flags, trace_state="v=x")).parent

        assert parent is not None
        assert parent.trace_id == int.from_bytes(TRACE_ID)
        assert parent.span_id == 0xAA
        assert parent.is_remote is is_remote
        assert parent.trace_flags == flags & 3
        assert parent.trace_state == TraceState([("v", "x")])

    def test_root(self) -> None:
        """A span without parent has none, and processors see no current span in the context."""
        seen = OnStart()
        got = Sdk(seen).span(span(parent_span_id=b""))

        assert got.parent is None
        assert not get_current_span(seen.contexts[0]).get_span_context().is_valid

    def test_flags(self) -> None:
        """The lowest eight bits of the flags are the span's W3C trace flags; exporters skip what is not sampled."""
        sdk = Sdk()
        ended: list[ReadableSpan] = []

        class Keep(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                ended.append(span)

        sdk.tracer_provider.add_span_processor(Keep())
        sdk.spans(span("sampled", flags=0x103), span("recorded only", flags=0x102))

        assert [s.name for s in sdk.exporter.get_finished_spans()] == ["sampled"]
        assert [s.context.trace_flags for s in ended] == [3, 2]

    def test_trace_state(self) -> None:
        """The span has the trace state of the header, in order; none is the empty one."""
        first, second = Sdk().spans(span(trace_state="b=2,a=1"), span())

        assert first.context.trace_state.to_header() == "b=2,a=1"
        assert second.context.trace_state == TraceState()


class TestProcessors:
    """What the application's processors see and do."""

    def test_on_start(self) -> None:
        """They see the span started with its name and attributes, and in the context its parent and the baggage."""
        seen = OnStart()
        sdk = Sdk(seen)
        token = attach(baggage.set_baggage("tenant", "acme", Context()))
        try:
            got = sdk.span(span(attributes={"a": 1}))
        finally:
            detach(token)

        assert seen.seen == [("work", {"a": 1})]
        parent = get_current_span(seen.contexts[0]).get_span_context()
        assert parent == got.parent
        assert dict(got.attributes or {}) == {"a": 1, "tenant": "acme"}

    def test_given_context(self) -> None:
        """A context that is given is used instead of the current one."""
        seen = OnStart()
        sdk = Sdk(seen)
        given = baggage.set_baggage("tenant", "other", Context())
        sdk.delivery.spans(SCOPE, spans_body(span()), 1, context=given)

        assert baggage.get_all(seen.contexts[0]) == {"tenant": "other"}

    def test_changes(self) -> None:
        """What they change in a started span stays, and comes before what the guest did."""
        event = OtlpSpan.Event(name="guest's", time_unix_nano=1_100)
        got = Sdk(OnStart()).span(span(events=[event]))

        assert got.name == "work (seen)"
        assert [e.name for e in got.events] == ["seen", "guest's"]

    def test_ok_is_final(self) -> None:
        """A status OK that a processor set stays, as it does in the SDK."""

        class Approve(SpanProcessor):
            def on_start(self, span: Span, parent_context: Context | None = None) -> None:
                span.set_status(StatusCode.OK)

        got = Sdk(Approve()).span(span(status=OtlpStatus(code=OtlpStatus.STATUS_CODE_ERROR, message="no")))

        assert got.status.status_code is StatusCode.OK

    def test_filter(self) -> None:
        """A processor in front of an exporter can keep spans from it."""
        sdk = Sdk()

        class Filter(SpanProcessor):
            def __init__(self) -> None:
                self.kept: list[str] = []

            def on_end(self, span: ReadableSpan) -> None:
                if (span.attributes or {}).get("http.route") != "/health":
                    self.kept.append(span.name)

        chosen = Filter()
        sdk.tracer_provider.add_span_processor(chosen)
        sdk.spans(span("a"), span("b", {"http.route": "/health"}), span("c", {"http.route": "/"}))

        assert chosen.kept == ["a", "c"]

    def test_recording(self) -> None:
        """A span records in `on_start`, and no more in `on_end`."""
        states: list[bool] = []

        class Look(SpanProcessor):
            started: Span

            def on_start(self, span: Span, parent_context: Context | None = None) -> None:
                self.started = span
                states.append(span.is_recording())

            def on_end(self, span: ReadableSpan) -> None:
                states.append(self.started.is_recording())

        Sdk(Look()).span(span())

        assert states == [True, False]

    def test_processor_added_later(self) -> None:
        """Processors that are added after the first span get the next."""
        sdk = Sdk()
        sdk.span(span())
        late = OnStart()
        sdk.tracer_provider.add_span_processor(late)
        sdk.span(span("next"))

        assert [name for name, _ in late.seen] == ["next"]

    def test_sampler_is_not_asked(self) -> None:
        """A span that is delivered was decided about when it started."""
        assert len(Sdk(sampler=ALWAYS_OFF).spans(span())) == 1


class TestLimits:
    """The SDK's own limits, from the environment."""

    def test_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Attributes, events and links over the limits are dropped as the SDK does, and the span says how many."""
        monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "2")
        monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "1")
        monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "1")
        events = [OtlpSpan.Event(name=name, time_unix_nano=1) for name in "ab"]
        links = [OtlpSpan.Link(trace_id=TRACE_ID, span_id=SPAN_ID) for _ in range(3)]
        got = Sdk().span(span(attributes={"a": 1, "b": 2, "c": 3}, events=events, links=links))

        assert dict(got.attributes or {}) == {"b": 2, "c": 3}
        assert (got.dropped_attributes, got.dropped_events, got.dropped_links) == (1, 1, 2)

    def test_lengths(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Long texts are cut, in events too."""
        monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "3")
        event = OtlpSpan.Event(name="e", attributes=pairs({"a": "abcdef"}))
        got = Sdk().span(span(attributes={"a": "abcdef"}, events=[event]))

        assert got.attributes == {"a": "abc"}
        assert got.events[0].attributes == {"a": "abc"}
