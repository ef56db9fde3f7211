"""OTLP over gRPC.

Source: https://opentelemetry.io/docs/specs/otlp/#otlpgrpc. The generated stubs are not used: they would decode and
encode each request.
"""

from __future__ import annotations

import threading
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from wasmscope.delivery._answer import (
    Accepted,
    Answer,
    Failed,
    Transport,
    accepted,
    bare_retry_delay_s,
    plain,
    retry_delay_s,
)
from wasmscope.delivery._environment import Compression, SignalSettings, Tls
from wasmscope.delivery._target import SignalName
from wasmscope.delivery._version import user_agent

__all__ = ["Channels", "GrpcTransport"]

_METHODS: Final[dict[SignalName, str]] = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
_RETRYABLE: Final = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS"})
"""Codes after which a request is sent again; RESOURCE_EXHAUSTED is one if the server says when."""
_COMPRESSIONS: Final[dict[Compression, str]] = {"none": "NoCompression", "gzip": "Gzip", "deflate": "Deflate"}
_OPTIONS: Final = (
    # Answers are a few bytes long.
    ("grpc.max_receive_message_length", 1 << 20),
    # gRPC's own pause between connects grows to two minutes; until it is over every request fails at once.
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5000),
    # After a fork, nothing may be shared with the parent.
    ("grpc.use_local_subchannel_pool", 1),
)


class Channels:
    """The channels of a sender, one a target: signals that go to one place share a connection. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channels: dict[tuple[str, Tls | None], Any] = {}
        self._is_closed = False

    def get(self, address: str, tls: Tls | None) -> Any:
        """Give the channel to an address.

        Args:
            address: host:port, or what else gRPC understands.
            tls: How the connection is secured; None if it is not.

        Raises:
            ValueError: If the channels are closed.
            OSError: If a certificate cannot be read.
        """
        with self._lock:
            if self._is_closed:
                raise ValueError("channel closed")
            key = (address, tls)
            if key not in self._channels:
                self._channels[key] = _channel(address, tls)
            return self._channels[key]

    def close(self) -> None:
        """Close all, which breaks off requests under way."""
        with self._lock:
            self._is_closed = True
            channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            channel.close()


def _channel(address: str, tls: Tls | None) -> Any:
    grpc: Any = import_module("grpc")  # has no types
    options = (*_OPTIONS, ("grpc.primary_user_agent", user_agent()))
    if tls is None:
        return grpc.insecure_channel(address, options=options)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_read(tls.certificate),
        private_key=_read(tls.client_key),
        certificate_chain=_read(tls.client_certificate),
    )
    return grpc.secure_channel(address, credentials, options=options)


def _read(file: str | None) -> bytes | None:
    return None if file is None else Path(file).read_bytes()


class GrpcTransport(Transport):
    """Sends a signal's requests over gRPC."""

    def __init__(self, signal: SignalName, settings: SignalSettings, channels: Channels) -> None:
        # Loading it takes longer than most requests: now, not with the first one.
        self._grpc: Any = import_module("grpc")
        self._channels = channels
        self._method = _METHODS[signal]
        parts = urlsplit(settings.target.url) if "://" in settings.target.url else None
        self._address = settings.target.url if parts is None else parts.netloc.rpartition("@")[2]
        self._tls = settings.tls
        self._options: dict[str, Any] = {
            "metadata": settings.headers,
            "compression": getattr(self._grpc.Compression, _COMPRESSIONS[settings.compression]),
        }
        self._call: Any = None

    def send(self, packed: bytes, timeout_s: float) -> Answer:
        """Send once and wait for the answer."""
        try:
            if self._call is None:
                self._call = self._channels.get(self._address, self._tls).unary_unary(self._method)
            # Not .future(): that needs a new thread, which the interpreter refuses while it ends.
            body, _ = self._call.with_call(packed, timeout=timeout_s, **self._options)
        except self._grpc.RpcError as error:
            return self._failure(error)
        except Exception as error:
            # A closed channel, metadata that gRPC does not like, a file that has gone.
            return Failed(plain(f"{type(error).__name__}: {error}"))
        return accepted(body) if body else Accepted()

    def _failure(self, error: Any) -> Failed:
        code: str = error.code().name
        after_s: float | None = None
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                after_s = retry_delay_s(value)
            elif key == "google.rpc.retryinfo-bin":  # which OpenTelemetry's exporters look for
                after_s = bare_retry_delay_s(value)
        is_retryable = code in _RETRYABLE or (code == "RESOURCE_EXHAUSTED" and after_s is not None)
        return Failed(plain(f"code: {code}, details: {error.details()}"), is_retryable, after_s)
