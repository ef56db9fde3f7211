"""An OTLP receiver in a process of its own that counts the spans that come, and how many of them differ.

As a program: prints its endpoint, takes what comes over gRPC until standard input ends, then prints what it counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from threading import Lock
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["Receiver", "receiver"]

_SERVICES = "opentelemetry.proto.collector."
_LARGEST = 64 << 20


@dataclass(slots=True)
class Receiver:
    """A running receiver.

    Attributes:
        endpoint: Where to send.
        spans: How many spans came; known when it has ended.
        different: How many different span identifiers they had; likewise.
        size: How many bytes the requests had; likewise.
    """

    endpoint: str
    spans: int = 0
    different: int = 0
    size: int = 0


@contextmanager
def receiver() -> Generator[Receiver]:
    """Run a receiver; when this ends, it has counted."""
    process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    running = Receiver(process.stdout.readline().strip())
    try:
        yield running
    finally:
        process.stdin.close()
        counted = json.loads(process.stdout.read())
        process.stdout.close()
        process.wait()
    running.spans, running.different, running.size = counted["spans"], counted["different"], counted["size"]


def _serve() -> None:
    grpc: Any = import_module("grpc")  # has no types
    identifiers: set[bytes] = set()
    counted = {"spans": 0, "size": 0}
    lock = Lock()

    def export(body: bytes, context: Any) -> bytes:
        request = ExportTraceServiceRequest.FromString(body)
        found = [
            span.span_id
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        with lock:
            counted["spans"] += len(found)
            counted["size"] += len(body)
            identifiers.update(found)
        return b""

    def take(_body: bytes, _context: Any) -> bytes:
        return b""

    options = [("grpc.max_receive_message_length", _LARGEST)]
    server = grpc.server(ThreadPoolExecutor(4), options=options)
    services = {"trace.v1.TraceService": export, "logs.v1.LogsService": take, "metrics.v1.MetricsService": take}
    for service, function in services.items():
        methods = {"Export": grpc.unary_unary_rpc_method_handler(function)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICES + service, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"http://127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    server.stop(10).wait()
    print(json.dumps({**counted, "different": len(identifiers)}), flush=True)


if __name__ == "__main__":
    _serve()
