"""What guests say arrives in a real Jaeger, by both protocols, as its own API shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import wasmtime
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import format_trace_id

from tests.conformance.guests import GUESTS, Guest, engine, module
from tests.support.jaeger import Jaeger
from wasmscope.host_shim import Bridge

_SCENARIOS = ("span_nested", "span_details", "exception", "unicode", "log_attributes", "log_event", "metrics", "trap")
_LANGUAGES = tuple(guest for guest in GUESTS if guest.name in {"wat", "rust", "assemblyscript"})


def exporters(jaeger: Jaeger, protocol: str) -> tuple[SpanExporter, MetricExporter, LogRecordExporter]:
    if protocol == "grpc":
        url = jaeger.otlp_grpc
        return (
            GrpcSpanExporter(endpoint=url, insecure=True),
            GrpcMetricExporter(endpoint=url, insecure=True),
            GrpcLogExporter(endpoint=url, insecure=True),
        )
    url = jaeger.otlp_http
    return (
        HttpSpanExporter(endpoint=f"{url}/v1/traces"),
        HttpMetricExporter(endpoint=f"{url}/v1/metrics"),
        HttpLogExporter(endpoint=f"{url}/v1/logs"),
    )


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent.

    Attributes:
        jaeger: Where to.
        guest: Who said it.
        service: The service's name.
        traces: Trace ids in hex, by scenario.
    """

    jaeger: Jaeger
    guest: Guest
    service: str
    traces: dict[str, str]

    def spans(self, scenario: str, count: int) -> dict[str, Span]:
        """Wait for a scenario's trace; its spans by name, the host's included."""
        trace = self.jaeger.trace(self.traces[scenario], count)
        found = {item["operationName"]: Span(item, trace["processes"]) for item in trace["spans"]}
        assert len(found) == len(trace["spans"]) == count
        return found


class Span:
    """A span as Jaeger's API shows it."""

    def __init__(self, item: dict[str, Any], processes: dict[str, Any]) -> None:
        self.id: str = item["spanID"]
        self.tags = {tag["key"]: (tag["type"], tag["value"]) for tag in item["tags"]}
        self.references = [(r["refType"], r["spanID"]) for r in item["references"]]
        self.events = [{f["key"]: f["value"] for f in log["fields"]} for log in item["logs"]]
        self.service: str = processes[item["processID"]]["serviceName"]

    def tag(self, key: str) -> object:
        """Give a tag's value."""
        return self.tags[key][1]

    def parent(self) -> str:
        """Give the id of the only parent."""
        found: str
        (found,) = [span for kind, span in self.references if kind == "CHILD_OF"]
        return found


@pytest.fixture(scope="module", params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module", params=_LANGUAGES, ids=lambda guest: guest.name)
def sent(jaeger: Jaeger, protocol: str, request: pytest.FixtureRequest) -> Iterator[Sent]:
    guest: Guest = request.param
    service = f"conformance-{guest.name}-{protocol}"
    resource = Resource({"service.name": service, "service.instance.id": "one"})
    span_exporter, metric_exporter, log_exporter = exporters(jaeger, protocol)
    tracer_provider = TracerProvider(resource=resource)
    tracer_provider.add_span_processor(BatchSpanProcessor(span_exporter))
    meter_provider = MeterProvider([PeriodicExportingMetricReader(metric_exporter, 60_000)], resource=resource)
    logger_provider = LoggerProvider(resource=resource)
    logger_provider.add_log_record_processor(BatchLogRecordProcessor(log_exporter))
    tracer = tracer_provider.get_tracer("host program")
    traces: dict[str, str] = {}
    with Bridge(
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
        logger_provider=logger_provider,
        logs_as_span_events=True,
    ) as bridge:
        for scenario in _SCENARIOS:
            store = wasmtime.Store(engine())
            linker = wasmtime.Linker(engine())
            with bridge.instantiate(
                linker, store, module(guest), name="conformance", version="1.2.3", tenant="acme"
            ) as it:
                with tracer.start_as_current_span(f"host {scenario}") as host:
                    try:
                        it.call(guest.export(scenario))
                    except wasmtime.Trap:
                        assert scenario == "trap"
                traces[scenario] = format_trace_id(host.get_span_context().trace_id)
        for provider in (tracer_provider, meter_provider, logger_provider):
            assert provider.force_flush()
        yield Sent(jaeger, guest, service, traces)
        tracer_provider.shutdown()
        meter_provider.shutdown()
        logger_provider.shutdown()


class TestTraces:
    """Spans, by Jaeger's query API."""

    def test_parents(self, sent: Sent) -> None:
        """Guest spans hang beneath the span of the call, and that beneath the host program's, in one trace."""
        spans = sent.spans("span_nested", 4)
        assert spans["inner"].parent() == spans["outer"].id
        assert spans["outer"].parent() == spans["wasm.call span_nested"].id
        assert spans["wasm.call span_nested"].parent() == spans["host span_nested"].id
        assert spans["host span_nested"].references == []
        assert {span.service for span in spans.values()} == {sent.service}

    def test_attributes_and_kind(self, sent: Sent) -> None:
        """Attributes of a guest's span are its tags, with their types; so is its kind, and the host's own."""
        outer = sent.spans("span_nested", 4)["outer"]
        assert outer.tags["a"] == ("int64", 1)
        assert outer.tag("span.kind") == "server"
        assert outer.tag("wasm.tenant") == "acme"
        assert "error" not in outer.tags
        call = sent.spans("span_nested", 4)["wasm.call span_nested"]
        assert call.tag("wasm.module.name") == "conformance"
        assert call.tag("wasm.module.version") == "1.2.3"
        assert call.tag("code.function.name") == "span_nested"
        assert call.tags["wasm.memory.size_bytes"][0] == "int64"

    def test_scope(self, sent: Sent) -> None:
        """The instrumentation scope of guest spans is the module; that of the call's span is wasmscope."""
        spans = sent.spans("span_nested", 4)
        for name in ("outer", "inner"):
            assert (spans[name].tag("otel.scope.name"), spans[name].tag("otel.scope.version")) == (
                "conformance",
                "1.2.3",
            )
        assert spans["wasm.call span_nested"].tag("otel.scope.name") == "wasmscope"

    def test_event_link_and_status(self, sent: Sent) -> None:
        """An event is a log of the span, a link a reference that follows from, an error status an error tag."""
        spans = sent.spans("span_details", 4)
        details = spans["details.renamed"]
        assert details.events == [{"event": "cache.miss", "key": "k"}]
        assert ("FOLLOWS_FROM", spans["target"].id) in details.references
        assert details.tag("later") == "yes"
        assert details.tags["error"] == ("bool", True)
        assert details.tag("otel.status_code") == "ERROR"
        assert details.tag("otel.status_description") == "no stock"
        assert "error" not in spans["target"].tags

    def test_exception(self, sent: Sent) -> None:
        """A recorded exception is an event with its type, message and stack."""
        failing = sent.spans("exception", 3)["failing"]
        assert failing.events == [
            {
                "event": "exception",
                "exception.type": "ValueError",
                "exception.message": "bad value",
                "exception.stacktrace": "at f",
            }
        ]
        assert failing.tags["error"] == ("bool", True)

    def test_trap(self, sent: Sent) -> None:
        """A trap's reason stands on the call's span and on the span that was open, and both are errors."""
        spans = sent.spans("trap", 3)
        for name in ("wasm.call trap", "doomed"):
            assert spans[name].tags["error"] == ("bool", True)
            assert spans[name].tag("otel.status_description") == f"{sent.guest.panic}: boom"
            assert spans[name].events[-1]["wasm.trap.code"] == "unreachable"
        log, panic, _ = spans["doomed"].events
        assert log["event"] == "about to fail"
        assert (panic["exception.type"], panic["exception.message"]) == (sent.guest.panic, "boom")

    def test_unicode(self, sent: Sent) -> None:
        """Names, keys and values outside ASCII arrive as they were."""
        assert sent.spans("unicode", 3)["späń 🦀"].tag("🔑") == "日本語"

    def test_log_as_event(self, sent: Sent) -> None:
        """A log record shows in the trace as event of its span, with all types of attributes."""
        (event,) = sent.spans("log_attributes", 2)["wasm.call log_attributes"].events
        event = {key: value for key, value in event.items() if not key.startswith("code.")}
        assert event == {
            "event": "attributes",
            "wasmscope.log": "INFO",
            "wasmscope.target": "conformance",
            "wasm.tenant": "acme",
            "s": "text",
            "t": True,
            "i": -7,
            "f": 2.5,
            # What Jaeger has no type for it shows as JSON, and bytes as base64.
            "b": "AP8=",
            "list": '["a","b"]',
            "ints": "[1,2]",
            "map": '{"k":true}',
        }


class TestMetrics:
    """Metrics, where Prometheus would read them."""

    @pytest.mark.parametrize(
        ("name", "labels", "value"),
        [
            ("requests_total", "", "1"),
            ("requests_total", 'route="/a"', "5"),
            ("queue", "", "3"),
            ("temperature", "", "21.5"),
            ("volume_total", "", "1.5"),
            ("latency_milliseconds_sum", 'route="/a"', "55.5"),
            ("latency_milliseconds_count", 'route="/a"', "3"),
            ("latency_milliseconds_bucket", 'le="1"', "1"),
            ("latency_milliseconds_bucket", 'le="10"', "2"),
            ("latency_milliseconds_bucket", 'le="+Inf"', "3"),
        ],
    )
    def test_instrument(self, sent: Sent, name: str, labels: str, value: str) -> None:
        """Each of the guest's instruments has its value, by the attributes it was measured with."""
        rows = self._rows(sent, name)
        (row,) = [row for row in rows if (labels in row if labels else "route=" not in row)]
        assert row.rsplit(" ", 1)[1] == value
        for label in ('otel_scope_name="conformance"', 'otel_scope_version="1.2.3"', 'wasm_tenant="acme"'):
            assert label in row

    def test_accounting(self, sent: Sent) -> None:
        """What the host counts of the module is there, too."""
        (calls,) = self._rows(sent, "wasm_calls_total")
        assert calls.endswith(f" {len(_SCENARIOS)}")
        (errors,) = self._rows(sent, "wasm_call_errors_total")
        assert errors.endswith(" 1")

    def _rows(self, sent: Sent, name: str) -> list[str]:
        job = f'job="{sent.service}"'
        text = sent.jaeger.metrics(job)
        return [row for row in text.splitlines() if row.startswith(name + "{") and job in row]


class TestLogs:
    """Log records, in Jaeger's output: it receives them and keeps none."""

    def test_in_a_span(self, sent: Sent) -> None:
        """A record has severity, body, target, and the trace and span that it was logged in."""
        spans = sent.spans("span_nested", 4)
        for name in ("outer", "inner"):
            record = self._record(sent, f"Body: Str(inside {name})", "span_nested")
            assert "SeverityText: INFO" in record
            assert "SeverityNumber: Info(9)" in record
            assert "wasmscope.target: Str(conformance)" in record
            assert f"Span ID: {spans[name].id}" in record

    def test_event_name(self, sent: Sent) -> None:
        """A record keeps its event name."""
        record = self._record(sent, "EventName: order.created", "log_event")
        assert "Body: Str(created)" in record
        assert "id: Int(42)" in record

    def test_attributes(self, sent: Sent) -> None:
        """A record's attributes keep their types."""
        record = self._record(sent, "Body: Str(attributes)", "log_attributes")
        for attribute in (
            "s: Str(text)",
            "t: Bool(true)",
            "i: Int(-7)",
            "f: Double(2.5)",
            "b: Bytes(AP8=)",
            'list: Slice(["a","b"])',
            "ints: Slice([1,2])",
            'map: Map({"k":true})',
        ):
            assert f"     -> {attribute}\n" in record

    def _record(self, sent: Sent, what: str, scenario: str) -> str:
        """Wait for a record in a scenario's trace; all that is printed of it."""
        trace = f"Trace ID: {sent.traces[scenario]}"
        records = sent.jaeger.log(trace).split("LogRecord #")
        (found,) = [record for record in records if what in record and trace in record]
        return found
