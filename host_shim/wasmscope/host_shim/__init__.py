"""The host side of the bridge: guests' logs, metrics and spans become the application's OpenTelemetry signals.

Start with `Bridge`.
"""

from __future__ import annotations

from wasmscope.host_shim._accounting import ModuleUsage
from wasmscope.host_shim._bridge import Bridge
from wasmscope.host_shim._instance import GuestExports, GuestFunc, GuestInstance
from wasmscope.host_shim._limits import Limits
from wasmscope.host_shim._linker import BridgeLinker
from wasmscope.host_shim._wasi import StdioMode

__all__ = [
    "Bridge",
    "BridgeLinker",
    "GuestExports",
    "GuestFunc",
    "GuestInstance",
    "Limits",
    "ModuleUsage",
    "StdioMode",
]
