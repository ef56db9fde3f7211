"""A shop takes an order. Three guests take part: two do their work, one has a bug.

Run it with script/demo. With --otlp, or with OTEL_EXPORTER_OTLP_ENDPOINT set, the same goes to a collector or a Jaeger.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import structlog
import wasmtime
from opentelemetry import trace
from structlog.typing import EventDict, WrappedLogger

from wasmscope.errors import WasmscopeError
from wasmscope.exporters import Recording, add_trace_context, print_recording, providers_from_environment
from wasmscope.host_shim import Bridge, GuestInstance

GUESTS = Path(__file__).parent / "demo"
PRICES = {1: 1999, 2: 450, 3: 8990}
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("demo")


class Shop:
    """The host program: what guests may call, and the guests."""

    def __init__(self) -> None:
        self.tracer = trace.get_tracer("shop-host")
        # Jaeger shows no log records: as span events they are there, too.
        self.bridge = Bridge(logs_as_span_events=True)
        self.engine = wasmtime.Engine()
        self.linker = self.bridge.linker(self.engine)
        number = wasmtime.ValType.i32()
        self.linker.define_func("env", "fetch_price", wasmtime.FuncType([number], [number]), self.fetch_price)
        self.checkout = self.load("shop", version="1.4")  # Rust
        self.stock = self.load("stock", version="0.9")  # AssemblyScript
        self.discounts = self.load("crash", name="discounts", tenant="acme")  # Rust, with a bug

    def load(
        self, guest: str, *, name: str | None = None, version: str | None = None, tenant: str | None = None
    ) -> GuestInstance:
        module = wasmtime.Module(self.engine, (GUESTS / guest / f"{guest}.wasm").read_bytes())
        return self.bridge.instantiate(
            self.linker, wasmtime.Store(self.engine), module, name=name or guest, version=version, tenant=tenant
        )

    def fetch_price(self, item: int) -> int:
        """Called by a guest: its span is the current one here, and this one becomes its child."""
        with self.tracer.start_as_current_span("SELECT price", attributes={"item": item}):
            return PRICES.get(item, -1)

    def take_order(self, customer: int, tier: int, items: int) -> str:
        """Take an order, and give the trace's id."""
        with self.tracer.start_as_current_span("POST /orders", kind=trace.SpanKind.SERVER) as span:
            log.info("order received", customer=customer, items=items)
            total = self.checkout.call("checkout", customer, items)
            left = [self.stock.call("reserve", item, 3) for item in range(1, items + 1)]
            try:
                self.discounts.call("apply_discount", tier)
            except wasmtime.Trap as trap:
                log.error("no discount", tier=tier, trap=trap.trap_code.name if trap.trap_code else "?")
            log.info("order taken", total=total / 100, left=left)
            return trace.format_trace_id(span.get_span_context().trace_id)


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/demo", description="A shop takes an order, with the help of guests.")
    parser.add_argument("--otlp", metavar="ENDPOINT", nargs="?", const=True, default=False, help="send it by OTLP, too")
    endpoint: str | bool = parser.parse_args().otlp or any(os.environ.get(name) for name in ENDPOINTS)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            add_trace_context,
            only_trace_id,
            structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty() and not os.environ.get("NO_COLOR")),
        ]
    )
    recording = Recording()
    try:
        providers = providers_from_environment(otlp=endpoint, recording=recording, service_name="demo")
    except WasmscopeError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    with providers:
        providers.make_global()
        print("What the host program logs, with the ids of its trace:\n")
        trace_id = Shop().take_order(customer=7, tier=9, items=3)
        print("\nWhat happened, in the host and in its guests:\n", flush=True)
        print_recording(recording, sys.stdout)
    for line in providers.report():
        print(f"demo: {line}", file=sys.stderr)
    print(f"\n{what_next(trace_id, endpoint)}")
    return 0


def only_trace_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Leave out what would make the lines too long for a terminal."""
    for name in ("span_id", "trace_flags"):
        event.pop(name, None)
    return event


def what_next(trace_id: str, endpoint: str | bool) -> str:
    """Say what to type next."""
    command = os.path.relpath(Path(sys.executable).with_name("wasmscope"))
    guest = os.path.relpath(Path(__file__).parent / "01_hello_rust" / "guest.wasm")
    lines = ["Next, run a guest without writing a host program:", "", f"    {command} run --invoke hello {guest} 3", ""]
    if not endpoint:
        lines += ["or look at all this in Jaeger:", "", "    docker compose -f docker-compose.otel.yml up -d --wait"]
        lines += ["    script/demo --otlp"]
    else:
        given = endpoint if isinstance(endpoint, str) else next(filter(None, map(os.environ.get, ENDPOINTS)), "")
        host = urlsplit(given).hostname or "localhost"
        lines += ["or look at this trace; with Jaeger as in docker-compose.otel.yml it is at", ""]
        lines += [f"    http://{host}:16686/trace/{trace_id}"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
