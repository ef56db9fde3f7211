"""Names in the data that wasmscope's bridge produces, as far as they are shown here.

The bridge documents them in ``wasmscope.host_shim.attributes``. They are repeated and
not imported, because exporters work on any OpenTelemetry data, without the bridge.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ACCOUNTING_METRICS",
    "CALL_CPU_TIME",
    "CALL_FUEL",
    "CALL_HOST_TIME",
    "CODE_FILE",
    "CODE_FUNCTION",
    "CODE_LINE",
    "IO_STREAM",
    "LOG_MARKER",
    "MEMORY_SIZE",
    "METRIC_CALLS",
    "METRIC_CPU_TIME",
    "METRIC_ERRORS",
    "METRIC_FUEL",
    "METRIC_HOST_TIME",
    "METRIC_MEMORY",
    "METRIC_MEMORY_PEAK",
    "METRIC_REJECTED",
    "MODULE_NAME",
    "MODULE_VERSION",
    "REASON",
    "TARGET",
    "TENANT",
    "TRAP_CODE",
]

MODULE_NAME: Final = "wasm.module.name"
"""On the span of a call into a guest, and on no other; guests cannot set such names."""
MODULE_VERSION: Final = "wasm.module.version"
TENANT: Final = "wasm.tenant"
TRAP_CODE: Final = "wasm.trap.code"
CALL_CPU_TIME: Final = "wasm.call.cpu_time_ns"
CALL_HOST_TIME: Final = "wasm.call.host_time_ns"
CALL_FUEL: Final = "wasm.call.fuel"
MEMORY_SIZE: Final = "wasm.memory.size_bytes"

TARGET: Final = "wasmscope.target"
LOG_MARKER: Final = "wasmscope.log"
"""On a span event: it repeats a log record; the value is the severity text."""
REASON: Final = "reason"

CODE_FUNCTION: Final = "code.function.name"
CODE_FILE: Final = "code.file.path"
CODE_LINE: Final = "code.line.number"
IO_STREAM: Final = "log.iostream"

METRIC_CALLS: Final = "wasm.calls"
METRIC_ERRORS: Final = "wasm.call.errors"
METRIC_CPU_TIME: Final = "wasm.cpu.time"
METRIC_HOST_TIME: Final = "wasm.host.time"
METRIC_MEMORY: Final = "wasm.memory.usage"
METRIC_MEMORY_PEAK: Final = "wasm.memory.peak"
METRIC_FUEL: Final = "wasm.fuel.consumed"
METRIC_REJECTED: Final = "wasmscope.rejected"

ACCOUNTING_METRICS: Final = frozenset(
    {
        METRIC_CALLS,
        METRIC_ERRORS,
        METRIC_CPU_TIME,
        METRIC_HOST_TIME,
        METRIC_MEMORY,
        METRIC_MEMORY_PEAK,
        METRIC_FUEL,
        METRIC_REJECTED,
        "wasm.instances",
        "wasm.telemetry.time",
    }
)
"""Metrics that the accounting table tells of, or leaves to the back end."""

PIPELINE_METRICS: Final = frozenset(
    {
        "wasmscope.delivered",
        "wasmscope.delivered.bytes",
        "wasmscope.delivery.time",
        "wasmscope.dropped",
        "wasmscope.export.requests",
        "wasmscope.export.retries",
        "wasmscope.export.time",
        "wasmscope.queue.length",
        "wasmscope.queue.size",
        "wasmscope.records",
        "wasmscope.sent",
        "wasmscope.sent.bytes",
        "wasmscope.spans.unsampled",
    }
)
"""Metrics of the way to the back end, which are shown there only."""
