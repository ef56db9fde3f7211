"""What an application's sampler decides about guests' spans, asked through the SDK's public parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, cast

from opentelemetry.context import Context
from opentelemetry.sdk.trace import Tracer
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import DEFAULT_OFF, DEFAULT_ON, Decision, Sampler, StaticSampler
from opentelemetry.trace import Link, SpanKind, TraceFlags, TraceState, get_current_span
from opentelemetry.util.types import AnyValue

__all__ = ["Policy", "SamplerPolicies", "Sampling", "decide", "policies"]


class Policy(IntEnum):
    """What is known beforehand about the sampler's decision; the numbers are the collector's."""

    KEEP = 0
    """It records and samples, and adds nothing."""
    DROP = 1
    """It neither records nor samples."""
    ASK = 2
    """It has to be asked."""


@dataclass(frozen=True, slots=True)
class SamplerPolicies:
    """What is known beforehand about the decisions of a sampler.

    Attributes:
        root: About spans without a parent. Where it is certain, their trace id may be any random one.
        remote_sampled: About spans whose parent is remote and sampled.
        remote_unsampled: About spans whose parent is remote and not sampled.
    """

    root: Policy
    remote_sampled: Policy
    remote_unsampled: Policy


@dataclass(frozen=True, slots=True)
class Sampling:
    """The sampler's decision about one span.

    Attributes:
        decision: 0 not to be recorded, 1 to be recorded only, 2 to be recorded and sampled.
        trace_id: The trace that it belongs to.
        trace_flags: W3C trace flags of the span: sampled, and whether the trace id is random.
        trace_state: The span's trace state.
        attributes: What the sampler adds to the span's attributes, or changes.
    """

    decision: int
    trace_id: int
    trace_flags: int
    trace_state: TraceState
    attributes: dict[str, AnyValue]


_ASK_ALWAYS: Final = SamplerPolicies(Policy.ASK, Policy.ASK, Policy.ASK)
_OF_DECISION: Final = {Decision.DROP: Policy.DROP, Decision.RECORD_AND_SAMPLE: Policy.KEEP}


def policies(tracer: Tracer) -> SamplerPolicies:
    """Say what is certain about the decisions of a tracer's sampler.

    Certain are the decisions of the SDK's samplers that always say the same, and of its two that follow the parent and
    otherwise always say the same. A sampler's description proves nothing, because a subclass inherits it; one that has
    to be asked is always right, and slower.

    Args:
        tracer: The tracer.
    """
    found = _policies(tracer.sampler)
    # Other generators of ids mean something by them (the time, for AWS X-Ray), or count.
    if type(tracer.id_generator) is not RandomIdGenerator:
        return SamplerPolicies(Policy.ASK, found.remote_sampled, found.remote_unsampled)
    return found


def _policies(sampler: Sampler) -> SamplerPolicies:
    if sampler is DEFAULT_ON:
        return SamplerPolicies(Policy.KEEP, Policy.KEEP, Policy.DROP)
    if sampler is DEFAULT_OFF:
        return SamplerPolicies(Policy.DROP, Policy.KEEP, Policy.DROP)
    if type(sampler) is StaticSampler:
        # It gives the same for anything, and keeps no count.
        policy = _OF_DECISION.get(sampler.should_sample(None, 1, "").decision, Policy.ASK)
        return SamplerPolicies(policy, policy, policy)
    return _ASK_ALWAYS


def decide(
    tracer: Tracer,
    parent_context: Context | None,
    trace_id: int | None,
    name: str,
    kind: SpanKind,
    attributes: Mapping[str, AnyValue],
    links: Sequence[Link] = (),
) -> Sampling:
    """Ask a tracer's sampler about a span, as the tracer does when it starts one.

    Args:
        tracer: The tracer.
        parent_context: A context with the parent span; None for the current one.
        trace_id: The trace id of a span without parent; None to have the tracer's generator make it.
        name: The span's name.
        kind: Its kind.
        attributes: Its attributes.
        links: Its links.

    Raises:
        Exception: Whatever the sampler or the id generator raises.
    """
    parent = get_current_span(parent_context).get_span_context()
    if parent.is_valid:
        trace_id = parent.trace_id
        is_random = parent.trace_flags.random_trace_id
    else:
        is_random = tracer.id_generator.is_trace_id_random()
        if trace_id is None:
            trace_id = tracer.id_generator.generate_trace_id()
    # The SDK does not say what its attributes are.
    result = cast("Any", tracer.sampler.should_sample(parent_context, trace_id, name, kind, attributes, links))
    flags = TraceFlags.SAMPLED if result.decision is Decision.RECORD_AND_SAMPLE else TraceFlags.DEFAULT
    if is_random:
        flags |= TraceFlags.RANDOM_TRACE_ID
    given: Mapping[str, AnyValue] = result.attributes
    return Sampling(
        decision=result.decision.value,
        trace_id=trace_id,
        trace_flags=flags,
        trace_state=result.trace_state or TraceState(),
        # Samplers of the SDK give back what they were given.
        attributes={
            key: value for key, value in given.items() if key not in attributes or attributes[key] is not value
        },
    )
