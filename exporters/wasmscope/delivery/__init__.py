"""How a guest's telemetry goes from its collector to where the application wants it."""

from __future__ import annotations

from wasmscope.delivery._losses import LostReason, SignalName
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
from wasmscope.delivery._sampling import Policy, SamplerPolicies, Sampling, decide, policies
from wasmscope.delivery._scope import Scope
from wasmscope.delivery._sdk import SdkDelivery

__all__ = [
    "ExponentialRecord",
    "GaugeRecord",
    "HistogramRecord",
    "Instrument",
    "InstrumentKind",
    "InstrumentRecord",
    "LostReason",
    "MalformedMetricsError",
    "MeasurementRecord",
    "MetricChunk",
    "MetricRecord",
    "MetricSource",
    "MetricStreams",
    "Policy",
    "SamplerPolicies",
    "Sampling",
    "Scope",
    "SdkDelivery",
    "SetRecord",
    "SignalName",
    "SumRecord",
    "decide",
    "policies",
    "prefers_delta",
    "prefers_exponential",
    "read_metrics",
]
