"""OTLP as JSON lines."""

import base64
import io
import json
import re
from importlib import import_module
from typing import Any

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanKind

from tests.unit.exporters.spans import context_of, log
from tests.unit.exporters.story import Story, measure, tell_order
from wasmscope.exporters._otlp_json import (
    JsonLogExporter,
    JsonMetricExporter,
    JsonSpanExporter,
    JsonStream,
)


def written(stream: io.StringIO) -> Any:
    """Read the one line in a stream."""
    (line,) = stream.getvalue().splitlines()
    return json.loads(line)


class TestSpans:
    def test_the_specification_s_example(self) -> None:
        """The example in opentelemetry-proto (examples/trace.json) comes out as it stands there.

        But for the case of hexadecimal digits, which is free, for 64-bit numbers, which
        the protobuf JSON mapping writes as strings and accepts as both, and for `flags`,
        which that example leaves out.
        """
        trace_id = 0x5B8EFFF798038103D269B633813FC60C
        one = ReadableSpan(
            "I'm a server span",
            context_of(0xEEE19B7EC3C1B174, trace_id),
            context_of(0xEEE19B7EC3C1B173, trace_id),
            Resource({"service.name": "my.service"}),
            {"my.span.attr": "some value"},
            kind=SpanKind.SERVER,
            start_time=1544712660000000000,
            end_time=1544712661000000000,
            instrumentation_scope=InstrumentationScope(
                "my.library", "1.0.0", attributes={"my.scope.attribute": "some scope attribute"}
            ),
        )
        stream = io.StringIO()
        assert SpanExportResult.SUCCESS is JsonSpanExporter(JsonStream(stream)).export([one])

        def attribute(key: str, value: str) -> dict[str, object]:
            return {"key": key, "value": {"stringValue": value}}

        document = written(stream)
        found = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
        found.pop("flags")
        found.pop("status")
        expected = {
            "resourceSpans": [
                {
                    "resource": {"attributes": [attribute("service.name", "my.service")]},
                    "scopeSpans": [
                        {
                            "scope": {
                                "name": "my.library",
                                "version": "1.0.0",
                                "attributes": [attribute("my.scope.attribute", "some scope attribute")],
                            },
                            "spans": [
                                {
                                    "traceId": "5b8efff798038103d269b633813fc60c",
                                    "spanId": "eee19b7ec3c1b174",
                                    "parentSpanId": "eee19b7ec3c1b173",
                                    "name": "I'm a server span",
                                    "startTimeUnixNano": "1544712660000000000",
                                    "endTimeUnixNano": "1544712661000000000",
                                    "kind": 2,
                                    "attributes": [attribute("my.span.attr", "some value")],
                                }
                            ],
                        }
                    ],
                }
            ]
        }
        assert expected == document

    def test_ids_of_links(self) -> None:
        """Ids are hexadecimal in links as well; keys of attributes are never taken for ids."""
        link = Link(context_of(0xAB, 0xCD), {"traceId": "Zm9v"})
        one = ReadableSpan("x", context_of(1), links=[link], events=[Event("e", {"spanId": "Zm9v"})])
        stream = io.StringIO()
        JsonSpanExporter(JsonStream(stream)).export([one])
        text = stream.getvalue()

        assert f'"traceId":"{0xCD:032x}","spanId":"{0xAB:016x}"' in text
        assert '{"key":"traceId","value":{"stringValue":"Zm9v"}}' in text
        assert '{"key":"spanId","value":{"stringValue":"Zm9v"}}' in text

    def test_nothing_is_lost(self) -> None:
        """Read back by protobuf's own JSON parser, a whole trace is what was exported."""
        json_format: Any = import_module("google.protobuf.json_format")  # has no types
        spans = tell_order().recording.spans
        stream = io.StringIO()
        JsonSpanExporter(JsonStream(stream)).export(spans)
        read = ExportTraceServiceRequest()
        json_format.Parse(with_ids_in_base64(stream.getvalue()), read)

        assert encode_spans(spans) == read


def with_ids_in_base64(text: str) -> str:
    """Turn ids into what plain protobuf JSON has."""

    def encode(found: re.Match[str]) -> str:
        return f'"{found[1]}":"{base64.b64encode(bytes.fromhex(found[2])).decode()}"'

    return re.sub(r'"(traceId|spanId|parentSpanId)":"([0-9a-f]+)"', encode, text)


class TestLogs:
    def test_record(self) -> None:
        """Severity is a number, 64-bit integers are strings, every attribute type has its field."""
        values = {"s": "text", "t": True, "i": -7, "f": 2.5, "b": b"\x00\xff", "list": ["a"], "map": {"k": 1}}
        one = log("body", 1_544_712_660_300_000_000, 0xEEE19B7EC3C1B174, attributes=values)
        stream = io.StringIO()
        assert LogRecordExportResult.SUCCESS is JsonLogExporter(JsonStream(stream)).export([one])

        record = written(stream)["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
        assert int(SeverityNumber.INFO.value) == record["severityNumber"]
        assert record["timeUnixNano"] == "1544712660300000000"
        assert record["spanId"] == "eee19b7ec3c1b174"
        assert record["body"] == {"stringValue": "body"}
        assert {attribute["key"]: attribute["value"] for attribute in record["attributes"]} == {
            "s": {"stringValue": "text"},
            "t": {"boolValue": True},
            "i": {"intValue": "-7"},
            "f": {"doubleValue": 2.5},
            "b": {"bytesValue": "AP8="},
            "list": {"arrayValue": {"values": [{"stringValue": "a"}]}},
            "map": {"kvlistValue": {"values": [{"key": "k", "value": {"intValue": "1"}}]}},
        }


class TestMetrics:
    def test_request(self) -> None:
        """All metrics of a collection are one line."""
        story = Story()
        measure(story)
        data = story.recording.metrics()
        assert data is not None
        stream = io.StringIO()
        assert MetricExportResult.SUCCESS is JsonMetricExporter(JsonStream(stream)).export(data)

        scopes = written(stream)["resourceMetrics"][0]["scopeMetrics"]
        metrics = {metric["name"]: metric for scope in scopes for metric in scope["metrics"]}
        counter = metrics["greetings"]["sum"]
        assert counter["aggregationTemporality"] == 2  # cumulative
        assert counter["isMonotonic"]
        assert counter["dataPoints"][0]["asInt"] == "12"
        histogram = metrics["template.load.duration"]["histogram"]["dataPoints"][0]
        assert histogram["count"] == "8"
        assert histogram["bucketCounts"] == ["0", "1", "3", "1", "1", "1", "0", "1"]

    def test_no_metrics(self) -> None:
        """A collection without metrics is no line."""
        stream = io.StringIO()
        JsonMetricExporter(JsonStream(stream)).export(MetricsData(resource_metrics=[]))

        assert stream.getvalue() == ""


class TestStream:
    def test_hostile_text(self) -> None:
        """Whatever a guest writes, a request stays one line of ASCII."""
        one = log("a\nb\u2028\x1b[31m\U0001f980", 1)
        stream = io.StringIO()
        JsonLogExporter(JsonStream(stream)).export([one])

        assert stream.getvalue().count("\n") == 1
        assert stream.getvalue().rstrip("\n").isprintable()
        assert stream.getvalue().isascii()

    def test_closed(self) -> None:
        """A stream that cannot be written to is an error for the caller to count."""
        stream = io.StringIO()
        stream.close()

        with pytest.raises(ValueError, match="closed"):
            JsonLogExporter(JsonStream(stream)).export([log("x", 1)])
