"""Whose telemetry it is."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import TracerProvider

__all__ = ["resource_of"]


def resource_of(provider: TracerProvider | None) -> Resource:
    """Give the resource of a tracer provider, or, where it has none, that of the environment's variables.

    Args:
        provider: The provider; None for the global one as it is now.
    """
    found = getattr(provider or trace.get_tracer_provider(), "resource", None)
    return found if isinstance(found, Resource) else Resource.create()
