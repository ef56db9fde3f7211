"""The sender's settings, from environment variables.

Sources: https://opentelemetry.io/docs/specs/otel/protocol/exporter/ and, where that leaves a choice or OpenTelemetry's
Python exporters differ, those: one variable has to mean one thing in a program. (They take
``OTEL_EXPORTER_OTLP_TIMEOUT`` in seconds.)
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast, get_args
from urllib.parse import urlsplit

from opentelemetry.util.re import parse_env_headers

from wasmscope.delivery._target import OtlpTarget, SignalName, otlp_target
from wasmscope.errors import ConfigurationError

__all__ = ["Compression", "SenderSettings", "SignalSettings", "Tls", "sender_settings", "signal_settings"]

Compression = Literal["none", "gzip", "deflate"]

_logger = logging.getLogger("wasmscope.delivery")

_SIGNALS: Final[tuple[SignalName, ...]] = ("traces", "logs", "metrics")
_PREFIX: Final = "OTEL_EXPORTER_OTLP_"
_HEADER_NAME: Final = re.compile(r"[0-9a-z_.-]+")
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_TIMEOUT_S: Final = 10.0
# Beyond, sockets (2^31 ms) and threads (2^63 ns) raise instead of waiting.
_LONGEST_TIMEOUT_S: Final = 2e6
_LONGEST_MS: Final = 1e12
_QUEUE_BYTES: Final = 64 << 20
_REQUEST_BYTES: Final = 2 << 20


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is secured. Files are in PEM format.

    Attributes:
        certificate: The certificates to trust; None for those that are usual on this machine.
        client_key: The client's private key, for servers that ask for it.
        client_certificate: Its certificate.
    """

    certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None

    @property
    def client(self) -> str | tuple[str, str] | None:
        """The client's certificate and key, as ``requests`` wants them."""
        if self.client_certificate and self.client_key:
            return self.client_certificate, self.client_key
        return self.client_certificate


@dataclass(frozen=True, slots=True)
class SignalSettings:
    """How one signal gets to its endpoint.

    Attributes:
        target: Where it goes.
        headers: Headers, or gRPC metadata, of each request.
        compression: How requests are compressed.
        timeout_s: How long to wait for the answer to a request.
        tls: How the connection is secured; None if it is not.
    """

    target: OtlpTarget
    # Often a secret.
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    compression: Compression = "none"
    timeout_s: float = _TIMEOUT_S
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """All that a sender can be told.

    Attributes:
        signals: How each signal is sent. What is not here is not sent: nobody wants it.
        spans_delay_s: The least time between two requests with spans, unless there is much to send.
        logs_delay_s: The same for log records.
        metrics_interval_s: The time between two exports of metrics.
        queue_bytes: How much may wait, for spans and for log records each.
        request_bytes: How long a request is at most, before it is compressed; a longer record is sent alone.
    """

    signals: Mapping[SignalName, SignalSettings]
    spans_delay_s: float = 5.0
    logs_delay_s: float = 1.0
    metrics_interval_s: float = 60.0
    queue_bytes: int = _QUEUE_BYTES
    request_bytes: int = _REQUEST_BYTES


def sender_settings(otlp: str | bool = False, targets: Mapping[SignalName, OtlpTarget] | None = None) -> SenderSettings:
    """Read the settings.

    Args:
        otlp: An endpoint for all signals, or True to guess the protocol from the environment's endpoint; see
            `otlp_target`.
        targets: Where signals go, if that is known already; signals that are not in it are not sent.

    Raises:
        ConfigurationError: If a variable cannot be used.
    """
    if targets is None:
        targets = {signal: otlp_target(signal, otlp) for signal in _SIGNALS}
    return SenderSettings(
        signals={signal: signal_settings(signal, target) for signal, target in targets.items()},
        spans_delay_s=_milliseconds("OTEL_BSP_SCHEDULE_DELAY", 5_000) / 1_000,
        logs_delay_s=_milliseconds("OTEL_BLRP_SCHEDULE_DELAY", 1_000) / 1_000,
        metrics_interval_s=_milliseconds("OTEL_METRIC_EXPORT_INTERVAL", 60_000) / 1_000,
        queue_bytes=_bytes("WASMSCOPE_OTLP_QUEUE_BYTES", _QUEUE_BYTES),
        request_bytes=_bytes("WASMSCOPE_OTLP_REQUEST_BYTES", _REQUEST_BYTES),
    )


def signal_settings(signal: SignalName, target: OtlpTarget) -> SignalSettings:
    """Read how a signal gets to its endpoint.

    Raises:
        ConfigurationError: If a variable cannot be used.
    """
    return SignalSettings(
        target=target,
        headers=_headers(signal),
        compression=_compression(signal),
        timeout_s=_timeout_s(signal),
        tls=_tls(signal, target) if _is_secure(signal, target) else None,
    )


def _setting(signal: SignalName, name: str) -> tuple[str, str | None]:
    """Give a variable's name and value: the signal's own if it is set, else the general one."""
    general = f"{_PREFIX}{name}"
    for variable in (f"{_PREFIX}{signal.upper()}_{name}", general):
        if value := os.environ.get(variable, "").strip():
            return variable, value
    return general, None


def _headers(signal: SignalName) -> tuple[tuple[str, str], ...]:
    variable, value = _setting(signal, "HEADERS")
    headers = parse_env_headers(value or "", liberal=True)
    for name, content in headers.items():
        if _HEADER_NAME.fullmatch(name) is None or _HEADER_VALUE.fullmatch(content) is None:
            raise ConfigurationError(f"{variable}: the header {name!r} has characters that no header may have")
    return tuple(headers.items())


def _compression(signal: SignalName) -> Compression:
    variable, value = _setting(signal, "COMPRESSION")
    compression = (value or "none").lower()
    if compression not in get_args(Compression):
        raise ConfigurationError(f"{variable}={value!r} is not supported; use gzip, deflate or none")
    return cast(Compression, compression)


def _timeout_s(signal: SignalName) -> float:
    variable, value = _setting(signal, "TIMEOUT")
    return min(_positive(variable, value, _TIMEOUT_S), _LONGEST_TIMEOUT_S)


def _is_secure(signal: SignalName, target: OtlpTarget) -> bool:
    if "://" in target.url and (scheme := urlsplit(target.url).scheme) in {"http", "https"}:
        return scheme == "https"
    return (_setting(signal, "INSECURE")[1] or "").lower() != "true"


def _tls(signal: SignalName, target: OtlpTarget) -> Tls:
    files: dict[str, str | None] = {}
    for name in ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"):
        variable, file = _setting(signal, name)
        # Over HTTP, a folder of certificates is as good.
        is_folder = target.protocol == "grpc" and file is not None and Path(file).is_dir()
        if file is not None and (is_folder or not os.access(file, os.R_OK)):
            raise ConfigurationError(f"{variable}={file!r} cannot be read; it has to be a file in PEM format")
        files[name.lower()] = file
    return Tls(**files)


def _milliseconds(variable: str, default: float) -> float:
    return min(_positive(variable, os.environ.get(variable, "").strip() or None, default), _LONGEST_MS)


def _positive(variable: str, value: str | None, default: float) -> float:
    """Read a number; what is none is warned of and ignored, as the specification asks."""
    if value is None:
        return default
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        _logger.warning("%s=%r is no number above 0; %g is used", variable, value, default)
        return default
    return number


def _bytes(variable: str, default: int) -> int:
    value = os.environ.get(variable, "").strip()
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and 0 < len(value) < 16 and int(value) > 0):
        raise ConfigurationError(f"{variable}={value!r} is not a number of bytes, for example {default}")
    return int(value)
