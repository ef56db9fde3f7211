"""What the OTEL_* variables say about metrics over OTLP.

https://opentelemetry.io/docs/specs/otel/metrics/sdk_exporters/otlp/
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

__all__ = ["prefers_delta", "prefers_exponential"]

_TEMPORALITY: Final = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
_HISTOGRAM: Final = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
_logger = logging.getLogger("wasmscope.delivery")


def prefers_delta(environ: Mapping[str, str]) -> bool:
    """Whether counters and histograms are reported as deltas.

    Up-down counters are cumulative under each preference. ``delta`` and ``lowmemory`` differ in observable counters
    only, and guests have none.

    Args:
        environ: The environment; a value in it that means nothing is logged and taken for ``cumulative``.
    """
    return _choice(environ, _TEMPORALITY, ("cumulative", "delta", "lowmemory")) != "cumulative"


def prefers_exponential(environ: Mapping[str, str]) -> bool:
    """Whether histograms without boundaries of their own are exponential: the collector's flag ``exponential``.

    Args:
        environ: The environment; a value in it that means nothing is logged and taken for explicit buckets.
    """
    choices = ("explicit_bucket_histogram", "base2_exponential_bucket_histogram")
    return _choice(environ, _HISTOGRAM, choices) == choices[1]


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """Read a variable; the first choice is its default."""
    # Case does not matter, and empty is unset: "Configuration" in OpenTelemetry's specification.
    value = environ.get(name, "").strip().lower()
    if not value or value in choices:
        return value or choices[0]
    _logger.warning("%s=%r is none of %s; using %s", name, environ[name], ", ".join(choices), choices[0])
    return choices[0]
