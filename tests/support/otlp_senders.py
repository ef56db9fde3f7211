"""Senders for the tests: quick to try again, and told all settings."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.resources import Resource

from wasmscope.delivery import (
    Listener,
    OtlpProtocol,
    OtlpSender,
    OtlpTarget,
    RetryPolicy,
    SenderSettings,
    SignalName,
    SignalSettings,
    SignalStats,
)

SIGNALS: tuple[SignalName, ...] = ("traces", "logs", "metrics")
QUICK = RetryPolicy(first_s=0.02, longest_s=0.05)
RESOURCE = Resource({"service.name": "tested"}, "https://schema.example/1")


def own_settings(endpoint: str, protocol: OtlpProtocol, signal: SignalName, **changes: Any) -> SignalSettings:
    """Settings of a signal."""
    url = f"{endpoint}/v1/{signal}" if protocol == "http/protobuf" else endpoint
    return SignalSettings(OtlpTarget(protocol, url, endpoint), **changes)


@contextmanager
def sender_to(
    endpoint: str,
    protocol: OtlpProtocol,
    *,
    own: dict[str, Any] | None = None,
    listener: Listener | None = None,
    policy: RetryPolicy = QUICK,
    **changes: Any,
) -> Generator[OtlpSender]:
    """Make a sender.

    Args:
        endpoint: Where all signals go.
        protocol: How.
        own: Settings that each signal has.
        listener: Who listens.
        policy: When to try again.
        changes: Other settings.
    """
    signals: dict[SignalName, SignalSettings] = {
        signal: own_settings(endpoint, protocol, signal, **(own or {})) for signal in SIGNALS
    }
    sender = OtlpSender(SenderSettings(signals, **changes), RESOURCE, listener=listener, policy=policy)
    try:
        yield sender
    finally:
        sender.shutdown(3)


def is_consistent(stats: SignalStats) -> bool:
    """Whether every record is somewhere."""
    return stats.records == stats.sent + sum(stats.dropped.values()) + stats.waiting_records
