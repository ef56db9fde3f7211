"""How a guest's telemetry leaves the collector: decoded, merged, encoded as OTLP and sent."""

from __future__ import annotations

from wasmscope.delivery._environment import SenderSettings, SignalSettings, Tls, sender_settings
from wasmscope.delivery._metric_lane import MetricFeed, MetricPart
from wasmscope.delivery._retry import RetryPolicy
from wasmscope.delivery._scope import Scope
from wasmscope.delivery._sender import OtlpSender
from wasmscope.delivery._stats import LATENCY_BOUNDS_S, Latency, Listener, LossReason, SenderStats, SignalStats
from wasmscope.delivery._target import OtlpProtocol, OtlpTarget, SignalName, otlp_target

__all__ = [
    "LATENCY_BOUNDS_S",
    "Latency",
    "Listener",
    "LossReason",
    "MetricFeed",
    "MetricPart",
    "OtlpProtocol",
    "OtlpSender",
    "OtlpTarget",
    "RetryPolicy",
    "Scope",
    "SenderSettings",
    "SenderStats",
    "SignalName",
    "SignalSettings",
    "SignalStats",
    "Tls",
    "otlp_target",
    "sender_settings",
]
