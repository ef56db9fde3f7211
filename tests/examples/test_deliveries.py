"""The examples, with their guests' records delivered in each way.

The demo is not among them: it repeats log records as span events, which is for the ``live`` delivery alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.examples.normal import normal
from tests.examples.test_examples import EXAMPLES, PROGRAMS, run_program
from tests.support.otlp_receiver import OtlpReceiver, otlp_receiver

OTHERS = [program for program in PROGRAMS if program != "demo.py"]


@pytest.mark.parametrize("delivery", ["live", "sdk"])
@pytest.mark.parametrize("program", OTHERS)
def test_output(program: str, delivery: str) -> None:
    """Through the application's own providers, each example shows the same with either delivery."""
    shown = run_program(program, WASMSCOPE_DELIVERY=delivery)

    assert normal(shown).splitlines() == normal((EXAMPLES / PROGRAMS[program]).read_text()).splitlines()


@pytest.mark.parametrize("program", OTHERS)
def test_endpoint(program: str) -> None:
    """At an endpoint, the same records of each example's guests arrive by OTLP bytes as by the SDK's exporters."""
    arrived = {delivery: records_of(program, delivery) for delivery in ("live", "otlp")}

    assert arrived["otlp"] == arrived["live"]
    # The guest of one tells nothing: there, what the host says of its calls is all.
    assert bool(arrived["live"]) != program.startswith("05_")


def records_of(program: str, delivery: str) -> Counter[tuple[str, ...]]:
    """Run an example; what of its guests' records arrived, without ids and times."""
    with otlp_receiver("http/protobuf") as receiver:
        run_program(
            program,
            WASMSCOPE_DELIVERY=delivery,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            OTEL_TRACES_EXPORTER="otlp",
            OTEL_LOGS_EXPORTER="otlp",
            OTEL_METRICS_EXPORTER="otlp",
        )
        return _guests(_records(receiver))


def _records(receiver: OtlpReceiver) -> Iterator[tuple[object, ...]]:
    names = {span.span_id: span.name for span in receiver.spans}
    for request in receiver.requests:
        message: Any = request.message
        match request.signal:
            case "traces":
                for scope in (scope for resource in message.resource_spans for scope in resource.scope_spans):
                    for span in scope.spans:
                        yield (
                            "span",
                            scope.scope.name,
                            span.name,
                            names.get(span.parent_span_id),
                            span.kind,
                            span.status,
                        )
            case "logs":
                for scope in (scope for resource in message.resource_logs for scope in resource.scope_logs):
                    for log in scope.log_records:
                        yield "log", scope.scope.name, log.body, names.get(log.span_id), log.severity_text
            case "metrics":
                for scope in (scope for resource in message.resource_metrics for scope in resource.scope_metrics):
                    for metric in scope.metrics:
                        yield "metric", scope.scope.name, metric.name, metric.unit, metric.WhichOneof("data")


def _guests(records: Iterable[tuple[object, ...]]) -> Counter[tuple[str, ...]]:
    """Leave out what the bridge and the host say of themselves; metrics come as often as they are asked for."""
    kept = [tuple(map(str, record)) for record in records if record[1] != "wasmscope"]
    return Counter({record: 1 if record[0] == "metric" else count for record, count in Counter(kept).items()})
