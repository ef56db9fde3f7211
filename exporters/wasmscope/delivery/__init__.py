"""How telemetry that a guest's collector encoded gets to where the application wants it."""

from __future__ import annotations

from wasmscope.delivery._losses import LostReason, SignalName
from wasmscope.delivery._sampling import Policy, SamplerPolicies, Sampling, decide, policies
from wasmscope.delivery._scope import Scope
from wasmscope.delivery._sdk import SdkDelivery

__all__ = [
    "LostReason",
    "Policy",
    "SamplerPolicies",
    "Sampling",
    "Scope",
    "SdkDelivery",
    "SignalName",
    "decide",
    "policies",
]
