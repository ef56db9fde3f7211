"""Who says to be the sender."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["user_agent"]


def user_agent() -> str:
    """Give the name under which requests are sent.

    Source: https://opentelemetry.io/docs/specs/otel/protocol/exporter/#user-agent.
    """
    try:
        number = version("wasmscope")
    except PackageNotFoundError:  # a source tree that is not installed
        number = "0"
    return f"wasmscope-OTLP-Exporter-Python/{number}"
