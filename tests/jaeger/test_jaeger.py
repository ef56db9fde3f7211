"""The real Jaeger takes all three signals, over gRPC and over HTTP."""

from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import (
    OTLPLogExporter as GrpcLogExporter,
)
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
    OTLPMetricExporter as GrpcMetricExporter,
)
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcSpanExporter,
)
from opentelemetry.exporter.otlp.proto.http._log_exporter import (
    OTLPLogExporter as HttpLogExporter,
)
from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
    OTLPMetricExporter as HttpMetricExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpSpanExporter,
)
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import LogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import format_span_id, format_trace_id

from tests.support.jaeger import Jaeger


@dataclass(frozen=True, slots=True)
class Exporters:
    """One exporter a signal, of one protocol, and a service name to find it all by."""

    service: str
    spans: SpanExporter
    metrics: MetricExporter
    logs: LogRecordExporter

    @property
    def resource(self) -> Resource:
        """The resource that all signals share."""
        return Resource({"service.name": self.service, "service.instance.id": "one"})


@pytest.fixture(params=["grpc", "http"])
def exporters(jaeger: Jaeger, request: pytest.FixtureRequest) -> Exporters:
    """Exporters to the running Jaeger, over gRPC and then over HTTP."""
    if request.param == "grpc":
        url = jaeger.otlp_grpc
        return Exporters(
            "jaeger-test-grpc",
            GrpcSpanExporter(endpoint=url, insecure=True),
            GrpcMetricExporter(endpoint=url, insecure=True),
            GrpcLogExporter(endpoint=url, insecure=True),
        )
    url = jaeger.otlp_http
    return Exporters(
        "jaeger-test-http",
        HttpSpanExporter(endpoint=f"{url}/v1/traces"),
        HttpMetricExporter(endpoint=f"{url}/v1/metrics"),
        HttpLogExporter(endpoint=f"{url}/v1/logs"),
    )


class TestJaeger:
    def test_trace(self, jaeger: Jaeger, exporters: Exporters) -> None:
        """A span and its child are found as one trace, parent, tag and scope intact."""
        provider = TracerProvider(resource=exporters.resource)
        provider.add_span_processor(SimpleSpanProcessor(exporters.spans))
        tracer = provider.get_tracer("by.hand", "1.2.3")
        with (
            tracer.start_as_current_span("outer") as outer,
            tracer.start_as_current_span("inner", attributes={"answer": 42}) as inner,
        ):
            inner.add_event("half-way", {"share": 0.5})
        provider.shutdown()
        context = outer.get_span_context()

        trace = jaeger.trace(format_trace_id(context.trace_id), spans=2)
        found: dict[str, Any] = {span["operationName"]: span for span in trace["spans"]}

        assert set(found) == {"outer", "inner"}
        assert found["outer"]["references"] == []
        [reference] = found["inner"]["references"]
        assert reference["refType"] == "CHILD_OF"
        assert reference["spanID"] == format_span_id(context.span_id)
        tags = {tag["key"]: tag["value"] for tag in found["inner"]["tags"]}
        assert tags["answer"] == 42
        assert tags["otel.scope.name"] == "by.hand"
        assert tags["otel.scope.version"] == "1.2.3"
        [event] = found["inner"]["logs"]
        fields = {field["key"]: field["value"] for field in event["fields"]}
        assert fields == {"event": "half-way", "share": 0.5}
        assert [entry["traceID"] for entry in jaeger.traces(exporters.service)] == [format_trace_id(context.trace_id)]

    def test_metrics(self, jaeger: Jaeger, exporters: Exporters) -> None:
        """A counter is found where Prometheus reads it, with its value and service."""
        reader = PeriodicExportingMetricReader(exporters.metrics, 60_000)
        provider = MeterProvider([reader], resource=exporters.resource)
        counter = provider.get_meter("by.hand").create_counter("biscuits", "{biscuit}")
        counter.add(7, {"kind": "ginger"})
        provider.shutdown()

        text = jaeger.metrics(f'job="{exporters.service}"')

        [line] = [
            line for line in text.splitlines() if line.startswith("biscuits") and f'job="{exporters.service}"' in line
        ]
        assert 'kind="ginger"' in line
        assert line.endswith(" 7")

    def test_logs(self, jaeger: Jaeger, exporters: Exporters) -> None:
        """A log record is printed by Jaeger with its text, severity and attributes."""
        provider = LoggerProvider(resource=exporters.resource)
        provider.add_log_record_processor(SimpleLogRecordProcessor(exporters.logs))
        provider.get_logger("by.hand").emit(
            body=f"hello from {exporters.service}",
            severity_number=SeverityNumber.WARN,
            attributes={"colour": "green"},
        )
        provider.shutdown()

        text = jaeger.log(f"Body: Str(hello from {exporters.service})")

        record = text[text.index(f"service.name: Str({exporters.service})") :]
        assert "SeverityNumber: Warn(13)" in record
        assert "colour: Str(green)" in record
