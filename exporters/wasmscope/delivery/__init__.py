"""How a guest's telemetry leaves the collector: decoded, merged, encoded as OTLP and sent."""

from __future__ import annotations

from wasmscope.delivery._metric_preferences import prefers_delta, prefers_exponential
from wasmscope.delivery._metric_records import (
    ExponentialRecord,
    GaugeRecord,
    HistogramRecord,
    Instrument,
    InstrumentKind,
    InstrumentRecord,
    MalformedMetricsError,
    MeasurementRecord,
    MetricRecord,
    SetRecord,
    SumRecord,
    read_metrics,
)
from wasmscope.delivery._metrics import MetricChunk, MetricSource, MetricStreams

__all__ = [
    "ExponentialRecord",
    "GaugeRecord",
    "HistogramRecord",
    "Instrument",
    "InstrumentKind",
    "InstrumentRecord",
    "MalformedMetricsError",
    "MeasurementRecord",
    "MetricChunk",
    "MetricRecord",
    "MetricSource",
    "MetricStreams",
    "SetRecord",
    "SumRecord",
    "prefers_delta",
    "prefers_exponential",
    "read_metrics",
]
