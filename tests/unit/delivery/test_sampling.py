"""The application's sampler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import Tracer, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    AlwaysRecordSampler,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    StaticSampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
)

from wasmscope.delivery import Policy, SamplerPolicies, decide, policies

TRACE = 0x4BF92F3577B34DA6A3CE929D0E0E4736


def tracer(sampler: Sampler | None = None, id_generator: IdGenerator | None = None) -> Tracer:
    provider = TracerProvider(sampler=sampler, id_generator=id_generator, shutdown_on_exit=False)
    found = provider.get_tracer("module")
    assert isinstance(found, Tracer)
    return found


def parent(flags: int, *, is_remote: bool = True, state: TraceState | None = None) -> Context:
    context = SpanContext(TRACE, 0xAA, is_remote, TraceFlags(flags), state)
    return set_span_in_context(NonRecordingSpan(context), Context())


NO_PARENT = Context({"there is": "something"})


class Counting(IdGenerator):
    """Ids that count; not random."""

    def generate_span_id(self) -> int:
        return 1

    def generate_trace_id(self) -> int:
        return 77


class Custom(Sampler):
    """Keeps what it was asked; records only, adds attributes, and changes the trace state."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str, SpanKind | None, Mapping[str, Any], Sequence[Link] | None]] = []

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        self.asked.append((trace_id, name, kind, attributes, links))
        state = get_current_span(parent_context).get_span_context().trace_state.add("s", "1")
        return SamplingResult(Decision.RECORD_ONLY, {**(attributes or {}), "a": True, "sampler.rate": 0.5}, state)

    def get_description(self) -> str:
        return "AlwaysOnSampler"


class Inheriting(StaticSampler):
    """Has the description of a sampler that always says the same, and does not."""

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        return SamplingResult(Decision.DROP)


def three(root: Policy, sampled: Policy, unsampled: Policy) -> SamplerPolicies:
    return SamplerPolicies(root, sampled, unsampled)


KEEP, DROP, ASK = Policy.KEEP, Policy.DROP, Policy.ASK


class TestPolicies:
    """What is known beforehand."""

    @pytest.mark.parametrize(
        ("sampler", "expected"),
        [
            (None, three(KEEP, KEEP, DROP)),
            (DEFAULT_ON, three(KEEP, KEEP, DROP)),
            (DEFAULT_OFF, three(DROP, KEEP, DROP)),
            (ALWAYS_ON, three(KEEP, KEEP, KEEP)),
            (ALWAYS_OFF, three(DROP, DROP, DROP)),
            (StaticSampler(Decision.RECORD_AND_SAMPLE), three(KEEP, KEEP, KEEP)),
            (StaticSampler(Decision.DROP), three(DROP, DROP, DROP)),
            # Its description is that of ALWAYS_ON.
            (StaticSampler(Decision.RECORD_ONLY), three(ASK, ASK, ASK)),
            (Inheriting(Decision.RECORD_AND_SAMPLE), three(ASK, ASK, ASK)),
            (ParentBased(ALWAYS_OFF, local_parent_sampled=Custom()), three(ASK, ASK, ASK)),
            (ParentBased(Custom()), three(ASK, ASK, ASK)),
            (TraceIdRatioBased(1.0), three(ASK, ASK, ASK)),
            (AlwaysRecordSampler(ALWAYS_ON), three(ASK, ASK, ASK)),
            (Custom(), three(ASK, ASK, ASK)),
        ],
    )
    def test_sampler(self, sampler: Sampler | None, expected: SamplerPolicies) -> None:
        """Only the SDK's own, unchanged samplers are certain; None is the SDK's default."""
        assert policies(tracer(sampler)) == expected

    @pytest.mark.parametrize("sampler", [DEFAULT_ON, DEFAULT_OFF, ALWAYS_ON, ALWAYS_OFF])
    @pytest.mark.parametrize("flags", [None, 0, 1])
    def test_is_true(self, sampler: Sampler, flags: int | None) -> None:
        """What is certain is what the sampler says when it is asked."""
        asked = tracer(sampler)
        found = policies(asked)
        known = found.root if flags is None else found.remote_sampled if flags else found.remote_unsampled
        context = NO_PARENT if flags is None else parent(flags)

        assert decide(asked, context, None, "n", SpanKind.SERVER, {}).decision == {KEEP: 2, DROP: 0}[known]

    def test_ids(self) -> None:
        """A generator of other than random ids has to be asked for those of roots."""

        class Own(RandomIdGenerator):
            pass

        assert policies(tracer(ALWAYS_ON, Counting())) == three(ASK, KEEP, KEEP)
        assert policies(tracer(ALWAYS_OFF, Own())) == three(ASK, DROP, DROP)


class TestDecide:
    """What is asked, and what is made of the answer."""

    def test_custom(self) -> None:
        """The sampler gets what it gets from the SDK; only what it adds or changes comes back."""
        sampler = Custom()
        given = {"a": 1, "b": 2}
        link = Link(SpanContext(TRACE, 1, is_remote=False))
        got = decide(
            tracer(sampler), parent(3, state=TraceState([("v", "x")])), None, "n", SpanKind.CLIENT, given, [link]
        )

        assert sampler.asked == [(TRACE, "n", SpanKind.CLIENT, given, [link])]
        assert got.decision == 1
        assert got.attributes == {"a": True, "sampler.rate": 0.5}
        assert type(got.attributes["a"]) is bool
        assert got.trace_state.to_header() == "s=1,v=x"

    @pytest.mark.parametrize("sampler", [ALWAYS_ON, ALWAYS_OFF, DEFAULT_ON, TraceIdRatioBased(0.5), Custom()])
    @pytest.mark.parametrize("ids", [RandomIdGenerator(), Counting()])
    @pytest.mark.parametrize("flags", [None, 0, 1, 2, 3])
    @pytest.mark.parametrize("is_remote", [True, False])
    def test_as_the_sdk(self, sampler: Sampler, ids: IdGenerator, flags: int | None, is_remote: bool) -> None:
        """Decision, flags, trace state and trace are those of a span that the SDK's tracer starts."""
        asked = tracer(sampler, ids)
        state = TraceState([("v", "x")])
        context = NO_PARENT if flags is None else parent(flags, is_remote=is_remote, state=state)
        own = asked.start_span("n", context)
        trace_id = own.get_span_context().trace_id
        got = decide(asked, context, trace_id if flags is None else None, "n", SpanKind.INTERNAL, {})

        assert got.trace_id == trace_id
        assert got.trace_flags == own.get_span_context().trace_flags
        assert got.trace_state == own.get_span_context().trace_state
        assert (got.decision > 0) is own.is_recording()
        assert (got.decision == 2) is own.get_span_context().trace_flags.sampled

    def test_generated_id(self) -> None:
        """Without a trace id, the tracer's generator makes it; its ids count as random if it says so."""
        got = decide(tracer(ALWAYS_ON, Counting()), NO_PARENT, None, "n", SpanKind.INTERNAL, {})
        random = decide(tracer(ALWAYS_ON), NO_PARENT, None, "n", SpanKind.INTERNAL, {})

        assert (got.trace_id, got.trace_flags) == (77, 1)
        assert random.trace_id > 2**64
        assert random.trace_flags == 3

    def test_current_context(self) -> None:
        """Without a context, the current span is the parent."""
        asked = tracer()
        with asked.start_as_current_span("host") as host:
            got = decide(asked, None, None, "n", SpanKind.INTERNAL, {})

        assert got.trace_id == host.get_span_context().trace_id

    def test_raising(self) -> None:
        """What a sampler raises gets out: the caller knows what to do without the span."""

        class Bad(Custom):
            def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
                raise ValueError("no idea")

        with pytest.raises(ValueError, match="no idea"):
            decide(tracer(Bad()), NO_PARENT, None, "n", SpanKind.INTERNAL, {})
