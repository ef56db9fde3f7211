"""Where telemetry goes: terminal, OTLP, JSON lines, structlog.

Everything here works on any OpenTelemetry data and knows no WebAssembly runtime.
"""

from __future__ import annotations

from wasmscope.exporters._layout import Layout
from wasmscope.exporters._providers import Providers, providers_from_environment
from wasmscope.exporters._recording import Recording
from wasmscope.exporters._render import (
    print_recording,
    render_accounting,
    render_metrics,
    render_recording,
    render_traces,
)
from wasmscope.exporters._structlog import add_trace_context, structlog_sink

__all__ = [
    "Layout",
    "Providers",
    "Recording",
    "add_trace_context",
    "print_recording",
    "providers_from_environment",
    "render_accounting",
    "render_metrics",
    "render_recording",
    "render_traces",
    "structlog_sink",
]
