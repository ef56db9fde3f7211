"""Where OTLP goes, by a switch or by the environment.

The rules are those of https://opentelemetry.io/docs/specs/otel/protocol/exporter/ and,
for what an unset protocol means, those of OpenTelemetry's Python SDK (grpc).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args
from urllib.parse import SplitResult, urlsplit

from wasmscope.errors import ConfigurationError

__all__ = ["OtlpProtocol", "OtlpTarget", "SignalName", "otlp_target"]

SignalName = Literal["traces", "metrics", "logs"]
OtlpProtocol = Literal["grpc", "http/protobuf"]

_DEFAULTS: Final[dict[OtlpProtocol, str]] = {
    "grpc": "http://localhost:4317",
    "http/protobuf": "http://localhost:4318",
}
_HTTP_PORT: Final = 4318
_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_EXAMPLE: Final = "an endpoint looks like http://localhost:4317"
_SIGNAL_PATH: Final = re.compile(r"/v1/(traces|metrics|logs)/?$")


@dataclass(frozen=True, slots=True)
class OtlpTarget:
    """Where a signal goes by OTLP.

    Attributes:
        protocol: Which OTLP protocol is spoken there.
        url: Where requests go. For HTTP the whole URL, with the signal's path; for gRPC as it was given: a URL, or
            host:port.
        name: The endpoint as people know it: without the path of a signal, and without a password.
        is_given: Whether a switch said so, and not the environment.
    """

    protocol: OtlpProtocol
    url: str
    name: str
    is_given: bool = False


def otlp_target(
    signal: SignalName,
    switch: str | bool = False,
    *,
    protocol: OtlpProtocol | None = None,
) -> OtlpTarget:
    """Find out where a signal goes by OTLP.

    Args:
        signal: Which signal.
        switch: An endpoint that is not taken from the environment; True to take it
            from there, but to guess the protocol from it where that is not set: port
            4318 or a path is HTTP. False to do only what the environment says.
        protocol: The protocol, if it is not to be read from the environment.

    Raises:
        ConfigurationError: If a protocol or an endpoint cannot be used.
    """
    given = switch if isinstance(switch, str) else None
    source, endpoint = _endpoint(signal, given)
    parts = None if endpoint is None else _split(source, endpoint)
    protocol = protocol or _protocol(signal)
    if protocol is None:
        looks_like_http = parts is not None and (parts.port == _HTTP_PORT or parts.path not in {"", "/"})
        protocol = "http/protobuf" if switch and looks_like_http else "grpc"
    if parts is None or endpoint is None:
        return OtlpTarget(protocol, _url(_DEFAULTS[protocol], signal, protocol), _DEFAULTS[protocol])
    if protocol == "http/protobuf" and parts.scheme not in {"http", "https"}:
        raise ConfigurationError(f"{source}={endpoint!r} is not a URL; {_EXAMPLE}")
    base = _SIGNAL_PATH.sub("", endpoint).rstrip("/")
    name = base.replace(f"{parts.netloc.rpartition('@')[0]}@", "", 1) if "@" in parts.netloc else base
    if given is not None:
        return OtlpTarget(protocol, _url(base, signal, protocol), name, is_given=True)
    # A signal's own endpoint is a whole URL; the general one is what paths are added to.
    url = _url(endpoint, signal, protocol) if source == _ENDPOINT else endpoint
    return OtlpTarget(protocol, url, name)


def _url(base: str, signal: SignalName, protocol: OtlpProtocol) -> str:
    return f"{base.removesuffix('/')}/v1/{signal}" if protocol == "http/protobuf" else base


def _endpoint(signal: SignalName, given: str | None) -> tuple[str, str | None]:
    """Give an endpoint and where it comes from."""
    if given is not None:
        stripped = given.strip()
        return "--otlp", stripped if "://" in stripped else f"http://{stripped}"
    for name in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", _ENDPOINT):
        if value := os.environ.get(name):
            return name, value
    return _ENDPOINT, None


def _split(source: str, endpoint: str) -> SplitResult:
    """Take an endpoint apart.

    A gRPC endpoint may come without a scheme, as host:port; it is taken apart as if it
    had one.
    """
    with_scheme = endpoint if "://" in endpoint else f"grpc://{endpoint}"
    try:
        parts = urlsplit(with_scheme)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ConfigurationError(f"{source}={endpoint!r} is not a URL; {_EXAMPLE}") from None
    known = parts.scheme in {"http", "https", "grpc"}
    if not usable or not known or any(c.isspace() for c in endpoint):
        raise ConfigurationError(f"{source}={endpoint!r} is not a URL; {_EXAMPLE}")
    return parts


def _protocol(signal: SignalName) -> OtlpProtocol | None:
    for name in (
        f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ):
        if value := os.environ.get(name, "").strip():
            if value not in get_args(OtlpProtocol):
                raise ConfigurationError(f"{name}={value!r} is not supported; use grpc or http/protobuf")
            return cast(OtlpProtocol, value)
    return None
