"""Whether all spans arrive, and how fast: in a real Jaeger, and many more in a receiver that counts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter_ns, process_time_ns, thread_time_ns

from _ours import Ours
from _receiver import receiver
from _report import Bound, Figure, Report
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.util.types import AnyValue

from tests.support.jaeger import Jaeger, jaeger_place, start

__all__ = ["into_jaeger", "into_receiver"]

_NONE = Bound(most=0)
_FLUSH_MS = 60_000
_TRACES = 100
_SPANS = 1_000
_PEER_TRACES = 10
_MANY = 1_000_000
_CALLS = 100
# What waits is bounded (64 MiB), and a guest is faster than any receiver: the host waits for it now and then.
_CALLS_PER_FLUSH = 20


class _TraceIds(SpanProcessor):
    """Remembers the traces that begin here."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def on_end(self, span: ReadableSpan) -> None:
        context = span.get_span_context()
        if span.parent is None and context is not None:
            self.found.append(f"{context.trace_id:032x}")


def into_jaeger(report: Report) -> None:
    """Spans from a guest into Jaeger, through the product's own sender, beside those of OpenTelemetry's SDK."""
    report.title(f"Into a real Jaeger ({_TRACES} calls of {_SPANS:,} spans with 4 attributes, over gRPC)")
    program = jaeger_place()
    if not program.exists():
        report.left_out("Jaeger", "it is not there; get it with script/setup jaeger")
        return
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        process, jaeger = start(program, Path(folder, "jaeger.log"))
        stack.callback(process.wait)
        stack.callback(process.kill)

        ours = Ours(endpoint=jaeger.otlp_grpc)
        stack.callback(ours.close)
        traces = _TraceIds()
        ours.provider.add_span_processor(traces)
        ours.flush()

        def calls() -> None:
            for _ in range(_TRACES):
                ours.instance.call("span", _SPANS)
            ours.flush()

        took = _Took(calls)
        count = _TRACES * (_SPANS + 1)
        peer, peer_took = _sdk_alone(jaeger)
        wall, peer_wall = took.wall_us / count, peer_took.wall_us / (_PEER_TRACES * (_SPANS + 1))
        report.add(Figure("Jaeger: time a span until it has taken all", wall, "us", peer, peer_wall))
        cpu, peer_cpu = took.cpu_us / count, peer_took.cpu_us / (_PEER_TRACES * (_SPANS + 1))
        report.add(Figure("  Jaeger: CPU time a span of this process", cpu, "us", peer, peer_cpu))
        report.add(Figure("  Jaeger: CPU time a span of the guest's thread", took.thread_us / count, "us"))
        report.note(f"That is {1_000_000 / wall:,.0f} spans per second.")
        arrived = _arrived(jaeger, traces.found)
        report.add(Figure(f"  Jaeger: lost of {count:,} spans", count - arrived, "", bound=_NONE))


class _Took:
    """Runs something and says what it took.

    Attributes:
        wall_us: Time.
        cpu_us: CPU time of the process.
        thread_us: CPU time of this thread.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        wall, cpu, thread = perf_counter_ns(), process_time_ns(), thread_time_ns()
        function()
        self.thread_us = (thread_time_ns() - thread) / 1000
        self.cpu_us = (process_time_ns() - cpu) / 1000
        self.wall_us = (perf_counter_ns() - wall) / 1000


def _sdk_alone(jaeger: Jaeger) -> tuple[str, _Took]:
    """The same spans from Python, without a guest."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=jaeger.otlp_grpc, insecure=True)))
    tracer = provider.get_tracer("alone")

    def calls() -> None:
        for _ in range(_PEER_TRACES):
            with tracer.start_as_current_span("host"):
                for _ in range(_SPANS):
                    attributes: dict[str, AnyValue] = {
                        "method": "GET",
                        "route": "/orders",
                        "status": 200,
                        "cached": True,
                    }
                    tracer.start_span("GET /orders", attributes=attributes).end()
            # Its queue holds 2,048 spans, and drops what is more.
            provider.force_flush(_FLUSH_MS)

    took = _Took(calls)
    provider.shutdown()
    return "OTel Python SDK", took


def _arrived(jaeger: Jaeger, traces: list[str]) -> int:
    """How many different spans Jaeger has of these traces."""
    arrived, awaited = 0, _SPANS + 1
    for trace in traces:
        try:
            found = jaeger.trace(trace, awaited)
        except TimeoutError:
            # It has had its time: what is missing in the other traces is lost as well.
            awaited = 1
            found = jaeger.trace(trace)
        arrived += len({span["spanID"] for span in found["spans"]})
    return arrived


def into_receiver(report: Report) -> None:
    """A million spans from one guest."""
    report.title(f"{_MANY:,} spans with 4 attributes from one guest into a receiver that counts, over gRPC")
    with receiver() as receiving:
        ours = Ours(endpoint=receiving.endpoint)
        ours.flush()

        def calls() -> None:
            for number in range(_CALLS):
                ours.instance.call("span", _MANY // _CALLS)
                if number % _CALLS_PER_FLUSH == 0:
                    ours.flush()
            ours.flush()

        took = _Took(calls)
        sent = ours.sender.stats().spans
        ours.close()
    # Beside the million: the span that the guest has said at first, and the host's span of each call.
    count = _MANY + 1 + _CALLS + 2
    report.add(Figure("receiver: time a span", took.wall_us / _MANY, "us"))
    report.add(Figure("  receiver: CPU time a span of this process", took.cpu_us / _MANY, "us"))
    report.note(
        f"That is {_MANY / took.wall_us * 1_000_000:,.0f} spans per second, {receiving.size / 1e6:,.0f} MB in all."
    )
    report.add(Figure(f"  receiver: lost of {count:,} spans", count - receiving.different, "", bound=_NONE))
    report.add(Figure("  receiver: came twice", receiving.spans - receiving.different, "", bound=_NONE))
    report.add(Figure("  receiver: counted as dropped", sum(sent.dropped.values()), "", bound=_NONE))
