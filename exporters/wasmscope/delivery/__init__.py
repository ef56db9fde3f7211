"""How a guest's telemetry goes from its collector to where the application wants it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from wasmscope.delivery._environment import SenderSettings, SignalSettings, Tls, sender_settings
from wasmscope.delivery._losses import SdkLossReason
from wasmscope.delivery._metric_lane import MetricFeed, MetricPart
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
from wasmscope.delivery._resource import resource_of
from wasmscope.delivery._retry import RetryPolicy
from wasmscope.delivery._sampling import Policy, SamplerPolicies, Sampling, decide, policies
from wasmscope.delivery._scope import Scope
from wasmscope.delivery._sender import OtlpSender
from wasmscope.delivery._stats import Latency, Listener, LossReason, SenderStats, SignalStats
from wasmscope.delivery._target import OtlpProtocol, OtlpTarget, SignalName, otlp_target

if TYPE_CHECKING:
    from wasmscope.delivery._metrics import MetricChunk, MetricSource, MetricStreams
    from wasmscope.delivery._sdk import SdkDelivery
    from wasmscope.delivery._sdk_metrics import SdkMetricSource

__all__ = [
    "ExponentialRecord",
    "GaugeRecord",
    "HistogramRecord",
    "Instrument",
    "InstrumentKind",
    "InstrumentRecord",
    "Latency",
    "Listener",
    "LossReason",
    "MalformedMetricsError",
    "MeasurementRecord",
    "MetricChunk",
    "MetricFeed",
    "MetricPart",
    "MetricRecord",
    "MetricSource",
    "MetricStreams",
    "OtlpProtocol",
    "OtlpSender",
    "OtlpTarget",
    "Policy",
    "RetryPolicy",
    "SamplerPolicies",
    "Sampling",
    "Scope",
    "SdkDelivery",
    "SdkLossReason",
    "SdkMetricSource",
    "SenderSettings",
    "SenderStats",
    "SetRecord",
    "SignalName",
    "SignalSettings",
    "SignalStats",
    "SumRecord",
    "Tls",
    "decide",
    "otlp_target",
    "policies",
    "prefers_delta",
    "prefers_exponential",
    "read_metrics",
    "resource_of",
    "sender_settings",
]

_LATE: Final = {
    "MetricChunk": "_metrics",
    "MetricSource": "_metrics",
    "MetricStreams": "_metrics",
    "SdkDelivery": "_sdk",
    "SdkMetricSource": "_sdk_metrics",
}
"""What needs protobuf, which takes long to load, by the module that has it: loaded when it is asked for."""


def __getattr__(name: str) -> object:
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
