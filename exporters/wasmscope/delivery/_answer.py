"""What an OTLP endpoint answers, and what it means for the sender.

Source: https://opentelemetry.io/docs/specs/otlp/, "OTLP/gRPC Response" and "OTLP/HTTP Response".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

__all__ = ["Accepted", "Answer", "Failed", "Transport", "accepted", "bare_retry_delay_s", "plain", "retry_delay_s"]

_MAX_MESSAGE: Final = 400
_NANOS: Final = 1_000_000_000
_RETRY_INFO: Final = "/google.rpc.RetryInfo"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The endpoint took the request: it is never sent again.

    Attributes:
        rejected: How many of its records the endpoint refused for good.
        message: What it says about that, or a warning; empty if nothing.
    """

    rejected: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """The endpoint did not take the request, or nobody answered.

    Attributes:
        message: What went wrong, in the words of the protocol.
        is_retryable: Whether the same request may succeed later.
        after_s: How many seconds the endpoint asks to wait before that; None if it does not say.
    """

    message: str
    is_retryable: bool = False
    after_s: float | None = None


Answer = Accepted | Failed


class Transport(ABC):
    """A way to an endpoint for one signal. Used by one thread."""

    def pack(self, body: bytes) -> bytes:
        """Make of a request what is sent, however often it is."""
        return body

    @abstractmethod
    def send(self, packed: bytes, timeout_s: float) -> Answer:
        """Send once and wait for the answer, but not much longer than the timeout. Does not raise."""


def accepted(body: bytes) -> Accepted:
    """Read the body of a success.

    Args:
        body: An encoded ``Export…ServiceResponse``; the one of traces and its sisters differ in names alone.
    """
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return Accepted(message="took the data, but what it answered is not OTLP")
    return Accepted(max(partial.rejected_spans, 0), plain(partial.error_message))


def retry_delay_s(status: bytes) -> float | None:
    """Find the delay that a server asks for, in seconds; None if it does not.

    Args:
        status: An encoded ``google.rpc.Status``, perhaps with a ``google.rpc.RetryInfo`` among its details.
    """
    from google.protobuf.message import DecodeError
    from google.rpc.status_pb2 import Status

    try:
        details = Status.FromString(status).details
    except DecodeError:
        return None
    return next((bare_retry_delay_s(any.value) for any in details if any.type_url.endswith(_RETRY_INFO)), None)


def bare_retry_delay_s(info: bytes) -> float | None:
    """Read an encoded ``google.rpc.RetryInfo``; the delay in seconds, or None if that is none."""
    from google.protobuf.message import DecodeError
    from google.rpc.error_details_pb2 import RetryInfo

    try:
        delay = RetryInfo.FromString(info).retry_delay
    except DecodeError:
        return None
    return max(float(delay.seconds) + float(delay.nanos) / _NANOS, 0.0)


def plain(text: str) -> str:
    """Make a stranger's text fit for one line of a log."""
    cut = "".join(character if character.isprintable() else " " for character in text[:_MAX_MESSAGE])
    return " ".join(cut.split())
