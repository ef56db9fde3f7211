"""A real OTLP receiver on this machine that keeps what comes, and can be told to behave badly.

::

    with otlp_receiver("grpc") as receiver:
        receiver.answer_next(Answer(code="UNAVAILABLE"))  # to the next request; then success again
        ... send to receiver.endpoint ...
        receiver.wait_for(lambda: len(receiver.spans) == 3)

"""

import contextlib
import gzip
import select
import socket
import ssl
import struct
import subprocess
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

Signal = Literal["traces", "logs", "metrics"]
Protocol = Literal["grpc", "http/protobuf"]

REQUESTS: dict[Signal, Any] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
RESPONSES: dict[Signal, Any] = {
    "traces": ExportTraceServiceResponse,
    "logs": ExportLogsServiceResponse,
    "metrics": ExportMetricsServiceResponse,
}
REJECTED: dict[Signal, str] = {
    "traces": "rejected_spans",
    "logs": "rejected_log_records",
    "metrics": "rejected_data_points",
}
WAIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request is answered; as it stands, with success.

    Attributes:
        code: The gRPC status, by name.
        status: The HTTP status.
        message: What comes with a failure, or with a partial success.
        rejected: How many records a partial success refuses.
        retry_after: The header ``Retry-After`` (HTTP).
        retry_info_s: The delay of a ``RetryInfo`` (gRPC).
        delay_s: How long the answer takes.
        body: The body of the answer, instead of what it ought to be.
        content_type: Its type (HTTP).
        headers: More headers (HTTP).
        resets: Whether the connection is reset instead of an answer (HTTP; for gRPC there is `Relay`).
        hangs: Whether there is no answer as long as the receiver runs.
        trickles: Whether the answer comes a byte at a time and never ends (HTTP).
        keeps: Whether the records are kept; None: if the answer is a success.
    """

    code: str = "OK"
    status: int = 200
    message: str = ""
    rejected: int = 0
    retry_after: str | None = None
    retry_info_s: float | None = None
    delay_s: float = 0.0
    body: bytes | None = None
    content_type: str = "application/x-protobuf"
    headers: tuple[tuple[str, str], ...] = ()
    resets: bool = False
    hangs: bool = False
    trickles: bool = False
    keeps: bool | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the records are kept."""
        if self.keeps is not None:
            return self.keeps
        return self.code == "OK" and 200 <= self.status < 300 and not self.resets

    def success(self, signal: Signal) -> bytes:
        """The body of a success, perhaps a partial one."""
        if self.body is not None:
            return self.body
        if not (self.rejected or self.message):
            return b""
        response = RESPONSES[signal]()
        setattr(response.partial_success, REJECTED[signal], self.rejected)
        response.partial_success.error_message = self.message
        content: bytes = response.SerializeToString()
        return content


@dataclass(frozen=True, slots=True)
class Request:
    """An export request that was kept.

    Attributes:
        signal: Which signal.
        message: The request, decoded.
        headers: Its headers (or gRPC metadata).
        size: Its length in bytes, before it was compressed.
        at: When it came, in seconds of the monotonic clock.
    """

    signal: Signal
    message: Any
    headers: dict[str, str]
    size: int
    at: float

    @property
    def records(self) -> list[Any]:
        """All spans, all log records, or all metrics of it."""
        names = {"traces": ("resource_spans", "scope_spans", "spans")}
        names["logs"] = ("resource_logs", "scope_logs", "log_records")
        names["metrics"] = ("resource_metrics", "scope_metrics", "metrics")
        of_resource, of_scope, of_record = names[self.signal]
        return [
            record
            for resource in getattr(self.message, of_resource)
            for scope in getattr(resource, of_scope)
            for record in getattr(scope, of_record)
        ]


@dataclass
class OtlpReceiver:
    """What a receiver is told and what it has. Thread-safe.

    Attributes:
        endpoint: Where to send.
        protocol: The protocol it speaks.
        keeps: Whether requests are kept; else they are only counted.
        always: How requests are answered for which `answer_next` said nothing.
        requests: The requests that were kept, in the order in which they came.
        counts: How many spans, log records and metrics came with success.
        attempts: How many requests came at all.
        attempt_times: When, in seconds of the monotonic clock.
        closing: Set when the receiver ends.
    """

    endpoint: str
    protocol: Protocol
    keeps: bool = True
    always: Answer = field(default_factory=Answer)
    requests: list[Request] = field(default_factory=list[Request])
    counts: Counter[Signal] = field(default_factory=Counter[Signal])
    attempts: int = 0
    attempt_times: list[float] = field(default_factory=list[float])
    closing: threading.Event = field(default_factory=threading.Event)
    _next: deque[Answer] = field(default_factory=deque[Answer])
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def answer_next(self, *answers: Answer) -> None:
        """Tell how the next requests are answered, one each."""
        with self._changed:
            self._next.extend(answers)

    def of(self, signal: Signal) -> list[Any]:
        """All spans, all log records, or all metrics that came."""
        with self._changed:
            requests = list(self.requests)
        return [record for request in requests if request.signal == signal for record in request.records]

    @property
    def spans(self) -> list[Any]:
        """All spans that came."""
        return self.of("traces")

    @property
    def logs(self) -> list[Any]:
        """All log records that came."""
        return self.of("logs")

    @property
    def metrics(self) -> list[Any]:
        """All metrics that came."""
        return self.of("metrics")

    def wait_for(self, condition: Callable[[], bool], seconds: float = WAIT_S) -> None:
        """Wait until something is true of what came.

        Raises:
            TimeoutError: It did not become true.
        """
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                raise TimeoutError(f"not within {seconds} s; {self.attempts} requests came, with {self.counts}")

    def take(self, signal: Signal, body: bytes, headers: dict[str, str]) -> Answer:
        """Take a request and say how to answer it; for the servers."""
        with self._changed:
            self.attempts += 1
            self.attempt_times.append(time.monotonic())
            answer = self._next.popleft() if self._next else self.always
            self._changed.notify_all()
        if answer.is_kept:
            request = Request(signal, REQUESTS[signal].FromString(body), headers, len(body), time.monotonic())
            count = len(request.records)
            with self._changed:
                self.counts[signal] += count
                if self.keeps:
                    self.requests.append(request)
                self._changed.notify_all()
        if answer.delay_s or answer.hangs:
            self.closing.wait(None if answer.hangs else answer.delay_s)
        return answer


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: an authority, and what it vouches for.

    Attributes:
        authority: The authority's certificate.
        server: The server's certificate, for 127.0.0.1 and localhost.
        server_key: Its key.
        client: A client's certificate.
        client_key: Its key.
    """

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def make_certificates(folder: Path) -> Certificates:
    """Make certificates that are good for a day."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")
    # Python 3.13 and later take an authority only if it says that it may sign (RFC 5280, 4.2.1.3).
    usage = "keyUsage=critical,keyCertSign,cRLSign"
    openssl(*new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority", "-addext", usage)
    signed = (*new, "-CA", "ca.pem", "-CAkey", "ca.key")
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    leaf = "basicConstraints=critical,CA:FALSE"
    openssl(*signed, "-keyout", "s.key", "-out", "s.pem", "-subj", "/CN=s", "-addext", names, "-addext", leaf)
    openssl(*signed, "-keyout", "c.key", "-out", "c.pem", "-subj", "/CN=c", "-addext", leaf)
    return Certificates(*(folder / name for name in ("ca.pem", "s.pem", "s.key", "c.pem", "c.key")))


@contextmanager
def otlp_receiver(
    protocol: Protocol = "grpc", *, tls: Certificates | None = None, port: int = 0, keeps: bool = True
) -> Generator[OtlpReceiver]:
    """Run a receiver.

    Args:
        protocol: The protocol it speaks.
        tls: What to secure it with; clients then have to show a certificate, too.
        port: The port; 0 for a free one.
        keeps: Whether requests are kept; else they are only counted.
    """
    scheme = "https" if tls else "http"
    receiver = OtlpReceiver("", protocol, keeps)
    run = _grpc_server if protocol == "grpc" else _http_server
    with run(receiver, tls, port) as listening:
        receiver.endpoint = f"{scheme}://127.0.0.1:{listening}"
        try:
            yield receiver
        finally:
            receiver.closing.set()


@contextmanager
def _http_server(receiver: OtlpReceiver, tls: Certificates | None, port: int) -> Generator[int]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            match self.headers["content-encoding"]:
                case "gzip":
                    body = gzip.decompress(body)
                case "deflate":
                    body = zlib.decompress(body)
            signal: Any = self.path.removeprefix("/v1/")
            if signal not in REQUESTS:
                self.send_error(404)
                return
            answer = receiver.take(signal, body, {key.lower(): value for key, value in self.headers.items()})
            if answer.resets:
                # Closing with this option sends a reset.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            self._respond(signal, answer)

        def _respond(self, signal: Signal, answer: Answer) -> None:
            content = answer.success(signal)
            if answer.status >= 300 and answer.body is None:
                content = Status(message=answer.message).SerializeToString()
            self.send_response(answer.status)
            self.send_header("content-type", answer.content_type)
            self.send_header("content-length", str(1 << 30 if answer.trickles else len(content)))
            if answer.retry_after is not None:
                self.send_header("retry-after", answer.retry_after)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.end_headers()
            if answer.trickles:
                while not receiver.closing.wait(0.01):
                    self.wfile.write(b"\0")
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that went away, or a handshake that failed

    server = Server(("127.0.0.1", port), Handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.server, tls.server_key)
        context.load_verify_locations(tls.authority)
        context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        receiver.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def _grpc_server(receiver: OtlpReceiver, tls: Certificates | None, port: int) -> Generator[int]:
    grpc: Any = import_module("grpc")  # has no types
    options = [("grpc.max_receive_message_length", 4 << 20), ("grpc.so_reuseport", 0)]
    server = grpc.server(ThreadPoolExecutor(16), options=options)
    if tls is None:
        listening = server.add_insecure_port(f"127.0.0.1:{port}")
    else:
        pairs = [(tls.server_key.read_bytes(), tls.server.read_bytes())]
        credentials = grpc.ssl_server_credentials(pairs, tls.authority.read_bytes(), require_client_auth=True)
        listening = server.add_secure_port(f"127.0.0.1:{port}", credentials)
    services: dict[Signal, str] = {
        "traces": "trace.v1.TraceService",
        "logs": "logs.v1.LogsService",
        "metrics": "metrics.v1.MetricsService",
    }
    for signal, service in services.items():

        def export(body: bytes, context: Any, signal: Signal = signal) -> bytes:
            headers = {pair.key: pair.value for pair in context.invocation_metadata()}
            answer = receiver.take(signal, body, headers)
            if answer.code != "OK":
                if answer.retry_info_s is not None:
                    context.set_trailing_metadata((("grpc-status-details-bin", _retry_status(answer)),))
                context.abort(getattr(grpc.StatusCode, answer.code), answer.message)
            return answer.success(signal)

        # Without serializers messages stay bytes.
        method = grpc.unary_unary_rpc_method_handler(export)
        name = f"opentelemetry.proto.collector.{service}"
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Export": method}),))
    server.start()
    try:
        yield listening
    finally:
        receiver.closing.set()
        server.stop(0).wait()


def _retry_status(answer: Answer) -> bytes:
    whole = int(answer.retry_info_s or 0)
    delay = Duration(seconds=whole, nanos=int(((answer.retry_info_s or 0) - whole) * 1e9))
    status = Status(message=answer.message)
    status.details.add().Pack(RetryInfo(retry_delay=delay))
    content: bytes = status.SerializeToString()
    return content


@dataclass
class Relay:
    """A wire between sender and receiver that can be measured and cut.

    Attributes:
        endpoint: Where to send.
        sent_bytes: How many bytes the sender has sent.
        connections: How many connections were opened.
    """

    endpoint: str
    sent_bytes: int = 0
    connections: int = 0
    _sockets: list[socket.socket] = field(default_factory=list[socket.socket])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def cut(self) -> None:
        """Reset all connections that are open."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for end in sockets:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)

    def carry(self, near: socket.socket, to: tuple[str, int]) -> None:
        """Copy both ways until one side ends."""
        with near, socket.create_connection(to) as far:
            with self._lock:
                self.connections += 1
                self._sockets += [near, far]
            with contextlib.suppress(OSError):
                while True:
                    for ready in select.select([near, far], [], [])[0]:
                        data = ready.recv(1 << 16)
                        if not data:
                            return
                        self.sent_bytes += len(data) if ready is near else 0
                        (far if ready is near else near).sendall(data)


@contextmanager
def relay(receiver: OtlpReceiver) -> Generator[Relay]:
    """Put a relay in front of a receiver."""
    port = int(receiver.endpoint.rpartition(":")[2])
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        scheme = receiver.endpoint.partition("://")[0]
        wire = Relay(f"{scheme}://127.0.0.1:{server.getsockname()[1]}")

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    near, _ = server.accept()
                    thread = threading.Thread(target=wire.carry, args=(near, ("127.0.0.1", port)))
                    thread.start()
                    threads.append(thread)

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield wire
        finally:
            server.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            wire.cut()
            for thread in threads:
                thread.join()
