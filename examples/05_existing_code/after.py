"""A program that calls a guest, with OpenTelemetry set up for the program itself."""

from __future__ import annotations

from pathlib import Path

import wasmtime
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from wasmscope.host_shim import Bridge


def one_line(span: ReadableSpan) -> str:
    parent = f"{span.parent.span_id:016x}" if span.parent else "none"
    return f"span {span.name}, parent {parent}, status {span.status.status_code.name}\n"


provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=one_line)))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("walks")

engine = wasmtime.Engine()
store = wasmtime.Store(engine)
linker = wasmtime.Linker(engine)
module = wasmtime.Module(engine, Path(__file__).with_name("guest.wat").read_text())
instance = Bridge().instantiate(linker, store, module, name="collatz")
steps = instance.exports(store)["steps"]
assert isinstance(steps, wasmtime.Func)

for number in (27, -1):
    with tracer.start_as_current_span(f"walk from {number}"):
        try:
            print(f"{number}: {steps(store, number)} steps")
        except wasmtime.Trap as trap:
            print(f"{number}: no walk ({trap.trap_code})")
