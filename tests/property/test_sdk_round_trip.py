"""What the SDK records, encoded by its own OTLP encoder, comes out of the ``sdk`` delivery as it went in."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from tests.unit.delivery.sdk import SCOPE, Sdk

texts = st.text(st.characters(codec="utf-8"), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | texts | st.binary(max_size=9)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts.filter(bool), inner, max_size=4),
    max_leaves=8,
)
attributes = st.dictionaries(texts.filter(bool), values, max_size=6)
times = st.integers(1, 2**63)
states = st.sampled_from(["", "v=x", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"])
contexts = st.builds(
    lambda trace, span, remote, flags, state: SpanContext(
        trace, span, remote, TraceFlags(flags), TraceState.from_header([state])
    ),
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.booleans(),
    st.integers(0, 3),
    states,
)
parents = st.none() | contexts
statuses = st.builds(Status, st.sampled_from([StatusCode.UNSET, StatusCode.OK])) | st.builds(
    Status, st.just(StatusCode.ERROR), st.none() | texts
)
spans = st.fixed_dictionaries(
    {
        "name": texts,
        "parent": parents,
        "kind": st.sampled_from(list(SpanKind)),
        "attributes": attributes,
        "start_time": times,
        "end_time": times,
        "events": st.lists(st.tuples(texts, attributes, times), max_size=3),
        "links": st.lists(st.tuples(contexts, attributes), max_size=3),
        "status": statuses,
    }
)
logs = st.fixed_dictionaries(
    {
        "parent": parents,
        "timestamp": times,
        "observed_timestamp": times,
        "severity_number": st.none() | st.sampled_from([n for n in SeverityNumber if n.value]),
        "severity_text": st.none() | texts.filter(bool),
        "body": values,
        "attributes": attributes,
        "event_name": st.none() | texts.filter(bool),
    }
)


def context_with(parent: SpanContext | None) -> Context:
    return set_span_in_context(INVALID_SPAN if parent is None else NonRecordingSpan(parent), Context())


def record_span(sdk: Sdk, told: dict[str, Any]) -> None:
    tracer = sdk.tracer_provider.get_tracer(SCOPE.name, SCOPE.version)
    span = tracer.start_span(
        told["name"],
        context_with(told["parent"]),
        told["kind"],
        told["attributes"],
        start_time=told["start_time"],
    )
    for name, event_attributes, time in told["events"]:
        span.add_event(name, event_attributes, time)
    for target, link_attributes in told["links"]:
        span.add_link(target, link_attributes)
    span.set_status(told["status"])
    span.end(told["end_time"])


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(spans, max_size=4))
def test_spans(told: list[dict[str, Any]]) -> None:
    """Spans of all kinds, with attributes of all types, events, links, parents and trace states."""
    sdk = Sdk(sampler=ALWAYS_ON)
    for one in told:
        record_span(sdk, one)
    encoded = encode_spans(sdk.exporter.get_finished_spans())
    expected = encoded.SerializeToString(deterministic=True)
    sdk.exporter.clear()
    for resource in encoded.resource_spans:
        for scope in resource.scope_spans:
            scope.ClearField("scope")
            for span in scope.spans:
                # As the collector does, and the SDK's encoder does not: without it, exporters skip the span.
                span.flags |= 1
            sdk.delivery.spans(SCOPE, scope.SerializeToString(), len(scope.spans))

    again = encode_spans(sdk.exporter.get_finished_spans())
    assert again.SerializeToString(deterministic=True) == expected
    assert sdk.delivery.lost() == {}


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(logs, max_size=4))
def test_logs(told: list[dict[str, Any]]) -> None:
    """Log records with bodies and attributes of all types, in spans and in none."""
    sdk = Sdk()
    logger = sdk.logger_provider.get_logger(SCOPE.name, SCOPE.version)
    for one in told:
        logger.emit(context=context_with(one["parent"]), **{k: v for k, v in one.items() if k != "parent"})
    encoded = encode_logs(sdk.log_exporter.get_finished_logs())
    expected = encoded.SerializeToString(deterministic=True)
    sdk.log_exporter.clear()
    for resource in encoded.resource_logs:
        for scope in resource.scope_logs:
            scope.ClearField("scope")
            sdk.delivery.logs(SCOPE, scope.SerializeToString(), len(scope.log_records))

    again = encode_logs(sdk.log_exporter.get_finished_logs())
    assert again.SerializeToString(deterministic=True) == expected
    assert sdk.delivery.lost() == {}
