"""What stands around encoded records."""

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from tests.support.otlp_records import ids, logs, metrics, spans
from wasmscope.delivery import Scope
from wasmscope.delivery._wrapper import Wrapper, encoded_resource, split

RESOURCE = Resource({"service.name": "s", "numbers": [1, 2], "flag": True, "half": 0.5}, "https://schema.example/1")


class TestWrapper:
    def test_as_the_sdk(self) -> None:
        """Resource, schema URL and scope are byte for byte those of the SDK's own encoder."""
        context = SpanContext(trace_id=1, span_id=2, is_remote=False)
        span = ReadableSpan("n", context, resource=RESOURCE, instrumentation_scope=InstrumentationScope("m", "1"))
        expected = encode_spans([span])
        body = expected.resource_spans[0].scope_spans[0].SerializeToString()
        body = body[body.index(b"\x12", 2 + body[1]) :]  # behind the scope

        request = Wrapper(*encoded_resource(RESOURCE)).records({Scope("m", "1"): [body]})
        assert expected.SerializeToString() == request

    def test_scopes(self) -> None:
        """Records of several scopes go into one request, each with its own scope; a scope may have no version."""
        bodies = {Scope("a", "1"): [spans([1])[0], spans([2, 3])[0]], Scope("b"): [spans([4])[0]]}
        request = ExportTraceServiceRequest.FromString(Wrapper(*encoded_resource(RESOURCE)).records(bodies))
        (resource,) = request.resource_spans

        assert resource.schema_url == "https://schema.example/1"
        assert [(data.scope.name, data.scope.version, ids(data.spans)) for data in resource.scope_spans] == [
            ("a", "1", [1, 2, 3]),
            ("b", "", [4]),
        ]

    def test_logs(self) -> None:
        """Log records are wrapped in the same way."""
        request = Wrapper(*encoded_resource(RESOURCE)).records({Scope("a"): [logs(range(1, 4))[0]]})
        (resource,) = ExportLogsServiceRequest.FromString(request).resource_logs

        assert [record.time_unix_nano for record in resource.scope_logs[0].log_records] == [1, 2, 3]

    def test_metrics(self) -> None:
        """Metrics come with their scopes; only the resource is put around them."""
        request = Wrapper(*encoded_resource(RESOURCE)).metrics([metrics("a", [1]), metrics("b", [2, 3])])
        (resource,) = ExportMetricsServiceRequest.FromString(request).resource_metrics

        assert [data.metrics[0].name for data in resource.scope_metrics] == ["a", "b"]
        assert {pair.key for pair in resource.resource.attributes} == {"service.name", "numbers", "flag", "half"}

    def test_long_parts(self) -> None:
        """Lengths of more than one byte are right: 16,384 and 2,097,152 need three and four."""
        for size in (100, 127, 128, 16_383, 16_384, 2_097_152):
            request = Wrapper(b"").records({Scope("m"): [spans([1], padding=size)[0]]})
            (span,) = ExportTraceServiceRequest.FromString(request).resource_spans[0].scope_spans[0].spans

            assert len(span.name) == size

    def test_odd_names(self) -> None:
        """A name that UTF-8 has no form for, a lone surrogate, is replaced, not refused."""
        request = Wrapper(b"").records({Scope("a\ud800"): [spans([1])[0]]})

        assert ExportTraceServiceRequest.FromString(request).resource_spans[0].scope_spans[0].scope.name == "a?"

    def test_many_scopes(self) -> None:
        """Scopes from anywhere do not fill the memory, and come out right all the same."""
        wrapper = Wrapper(b"")
        for number in range(2_500):
            wrapper.records({Scope(f"m{number}"): [spans([1])[0]]})
        request = wrapper.records({Scope("m2499"): [spans([1])[0]]})

        assert ExportTraceServiceRequest.FromString(request).resource_spans[0].scope_spans[0].scope.name == "m2499"
        assert len(wrapper._scopes) <= 1_000


class TestSplit:
    def test_pieces(self) -> None:
        """Pieces end between records, are as long as they may be, and are the whole body together."""
        body, _ = spans(range(1, 1001), padding=200)
        pieces = split(body, 10_000)

        assert b"".join(piece for piece, _ in pieces) == body
        assert sum(count for _, count in pieces) == 1000
        assert all(8_000 < len(piece) <= 10_000 for piece, _ in pieces[:-1])

    def test_long_record(self) -> None:
        """A record that is longer than the limit is a piece of its own."""
        long, _ = spans([2], padding=5_000)
        pieces = split(spans([1])[0] + long + spans([3])[0], 1_000)

        assert [(spans([1])[0], 1), (long, 1), (spans([3])[0], 1)] == pieces

    def test_malformed(self) -> None:
        """What is no sequence of records stays whole, wherever it is cut or wrong."""
        body, _ = spans([1, 2, 3])

        assert split(b"", 10) == []
        for end in range(1, len(body)):
            cut = body[:end]
            if end % (len(body) // 3):
                assert split(cut, 10) == [(cut, 0)]
        for bad in (b"\x12", b"\x12\x80", b"\x12" + b"\xff" * 20, b"\x0a\x01x", b"\x12\x05abc"):
            assert split(bad, 1) == [(bad, 0)]
