"""Real OTLP receivers on this machine: what a collector's doors look like from outside."""

import gzip
import socket
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

KINDS: dict[str, tuple[Any, Any]] = {
    "traces": (ExportTraceServiceRequest, ExportTraceServiceResponse),
    "metrics": (ExportMetricsServiceRequest, ExportMetricsServiceResponse),
    "logs": (ExportLogsServiceRequest, ExportLogsServiceResponse),
}


@dataclass
class Received:
    """What arrived.

    Attributes:
        endpoint: Where to send.
        requests: The export requests, by signal.
        headers: The headers (or gRPC metadata) of the last request.
    """

    endpoint: str
    requests: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in KINDS})
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def spans(self) -> list[Any]:
        """All spans."""
        return [
            span
            for request in self.requests["traces"]
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def logs(self) -> list[Any]:
        """All log records."""
        return [
            record
            for request in self.requests["logs"]
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    @property
    def metric_names(self) -> set[str]:
        """The names of all metrics."""
        return {
            metric.name
            for request in self.requests["metrics"]
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def resource(self, signal: str) -> dict[str, str]:
        """Give the text attributes of a signal's resource."""
        request = self.requests[signal][0]
        (part, *_) = getattr(
            request, {"traces": "resource_spans", "logs": "resource_logs"}.get(signal, f"resource_{signal}")
        )
        return {pair.key: pair.value.string_value for pair in part.resource.attributes}


@contextmanager
def http_receiver(status: Callable[[], int] = lambda: 200) -> Generator[Received]:
    """Receive OTLP over HTTP.

    Args:
        status: Gives the status to answer with.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers["content-encoding"] == "gzip":
                body = gzip.decompress(body)
            signal = self.path.removeprefix("/v1/")
            request_type, response_type = KINDS[signal]
            code = status()
            if code == 200:
                received.headers = {key.lower(): value for key, value in self.headers.items()}
                received.requests[signal].append(request_type.FromString(body))
            answer = response_type().SerializeToString()
            self.send_response(code)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    received = Received(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def grpc_receiver() -> Generator[Received]:
    """Receive OTLP over gRPC."""
    grpc: Any = import_module("grpc")  # has no types
    server = grpc.server(ThreadPoolExecutor(4))
    port = server.add_insecure_port("127.0.0.1:0")
    received = Received(f"http://127.0.0.1:{port}")
    services = {
        "traces": "trace.v1.TraceService",
        "metrics": "metrics.v1.MetricsService",
        "logs": "logs.v1.LogsService",
    }
    for signal, service in services.items():
        request_type, response_type = KINDS[signal]

        def export(request: Any, context: Any, signal: str = signal, response_type: Any = response_type) -> Any:
            received.headers = {pair.key: pair.value for pair in context.invocation_metadata()}
            received.requests[signal].append(request)
            return response_type()

        method = grpc.unary_unary_rpc_method_handler(
            export,
            request_deserializer=request_type.FromString,
            response_serializer=response_type.SerializeToString,
        )
        name = f"opentelemetry.proto.collector.{service}"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": method}),))
    server.start()
    try:
        yield received
    finally:
        server.stop(0).wait()


@contextmanager
def silent_server() -> Generator[str]:
    """Take connections and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def closed_port() -> str:
    """Give an endpoint at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"
