"""The trace context in the environment of WASI guests, and what AssemblyScript imports."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from opentelemetry import baggage, context, trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import StatusCode

from tests.support.guests import PAGE, compiled, engine
from tests.support.telemetry import Telemetry
from wasmscope.errors import LinkError
from wasmscope.host_shim import Bridge, GuestInstance

# Prints its environment as a C program would see it: each variable with its NUL, in the order of the pointers.
PRINTER = """(module
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 2)
    (func (export "sizes") (param i32 i32) (result i32) (call $sizes (local.get 0) (local.get 1)))
    (func (export "get") (param i32 i32) (result i32) (call $get (local.get 0) (local.get 1)))
    (func (export "print") (result i32) (local $at i32)
        (drop (call $sizes (i32.const 16) (i32.const 20)))
        (drop (call $get (i32.const 1024) (i32.const 4096)))
        (i32.store (i32.const 32) (i32.const 4096))
        (i32.store (i32.const 36) (i32.load (i32.const 20)))
        (call $write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 40)))
    (func (export "_start") (drop (call $sizes (i32.const 16) (i32.const 20)))))"""


class Printer:
    """A WASI guest and its environment."""

    def __init__(self, bridge: Bridge, directory: Path, *variables: tuple[str, str]) -> None:
        linker = wasmtime.Linker(engine())
        linker.define_wasi()
        self.store = wasmtime.Store(engine())
        wasi = wasmtime.WasiConfig()
        self.stdout = directory / "stdout"
        wasi.stdout_file = str(self.stdout)
        wasi.env = variables
        self.store.set_wasi(wasi)
        self.instance: GuestInstance = bridge.instantiate(
            linker, self.store, compiled(PRINTER), name="guest", stdio="off"
        )
        memory = self.instance.exports(self.store)["memory"]
        assert isinstance(memory, wasmtime.Memory)
        self.memory = memory

    def variables(self) -> list[str]:
        """The variables as the array of pointers names them."""
        self.stdout.unlink(missing_ok=True)
        assert self.instance.call("print") == 0
        count, size = struct.unpack("<II", self.memory.read(self.store, 16, 24))
        pointers = struct.unpack(f"<{count}I", self.memory.read(self.store, 1024, 1024 + 4 * count))
        texts = bytes(self.memory.read(self.store, 4096, 4096 + size))
        return [texts[at - 4096 : texts.index(b"\0", at - 4096)].decode() for at in pointers]


@contextmanager
def host_span(telemetry: Telemetry, **entries: str) -> Iterator[trace.Span]:
    """A span of the host, with a tracestate and baggage."""
    state = trace.TraceState([("vendor", "x")])
    remote = trace.SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=trace.TraceFlags(1), trace_state=state)
    around = trace.set_span_in_context(trace.NonRecordingSpan(remote))
    for key, value in entries.items():
        around = baggage.set_baggage(key, value, around)
    token = context.attach(around)
    try:
        with telemetry.tracer_provider.get_tracer("host").start_as_current_span("request") as span:
            yield span
    finally:
        context.detach(token)


class TestVariables:
    def test_added(self, bridge: Bridge, telemetry: Telemetry, tmp_path: Path) -> None:
        """A guest's environment has the call's span, the trace state and the baggage, after its own variables."""
        printer = Printer(bridge, tmp_path, ("HOME", "/"), ("EMPTY", ""))

        with host_span(telemetry, tenant="acme"):
            found = printer.variables()

        call = telemetry.span("wasm.call print").context
        assert found == [
            "HOME=/",
            "EMPTY=",
            f"TRACEPARENT=00-{call.trace_id:032x}-{call.span_id:016x}-01",
            "TRACESTATE=vendor=x",
            "BAGGAGE=tenant=acme",
        ]
        assert bridge.rejected() == {}

    def test_without_variables(self, bridge: Bridge, telemetry: Telemetry, tmp_path: Path) -> None:
        """A guest that was given no environment gets it, too; each call its own."""
        printer = Printer(bridge, tmp_path)

        found = [printer.variables(), printer.variables()]

        spans = [span.context for span in telemetry.spans()]
        assert found == [[f"TRACEPARENT=00-{span.trace_id:032x}-{span.span_id:016x}-01"] for span in spans]

    def test_own_wins(self, bridge: Bridge, telemetry: Telemetry, tmp_path: Path) -> None:
        """A trace context that the host's configuration set is the only one there is, with its state, wherever a
        program looks for it."""
        own = f"TRACEPARENT=00-{1:032x}-{2:016x}-01"
        printer = Printer(bridge, tmp_path, ("A", "1"), ("TRACEPARENT", own.split("=", 1)[1]), ("TRACEPARENTS", "x"))

        with host_span(telemetry, tenant="acme"):
            found = printer.variables()

        assert {text for text in found if text.startswith(("TRACEPARENT=", "TRACESTATE="))} == {own}
        assert found[:3] == ["A=1", own, "TRACEPARENTS=x"]
        assert found[-1] == "BAGGAGE=tenant=acme"

    def test_own_baggage_wins(self, bridge: Bridge, telemetry: Telemetry, tmp_path: Path) -> None:
        """The same for baggage."""
        printer = Printer(bridge, tmp_path, ("BAGGAGE", "own=1"))

        with host_span(telemetry, tenant="acme"):
            found = printer.variables()

        assert {text for text in found if text.startswith("BAGGAGE=")} == {"BAGGAGE=own=1"}
        assert [text for text in found if text.startswith("TRACESTATE=")] == ["TRACESTATE=vendor=x"]

    def test_wrong_buffers(self, bridge: Bridge, tmp_path: Path) -> None:
        """Addresses beyond memory give an error number or an error, as WASI's own, and write nothing elsewhere."""
        printer = Printer(bridge, tmp_path, ("A", "1"))
        end = 2 * PAGE

        for name, args in [
            ("sizes", (end, 16)),
            ("sizes", (16, end - 3)),
            ("sizes", (-1, -1)),
            ("get", (end, 4096)),
            ("get", (1024, end)),
            ("get", (-1, -1)),
        ]:
            with suppress(wasmtime.WasmtimeError):
                assert printer.instance.call(name, *args) != 0
        # Room for the guest's own variable, but not for ours.
        assert printer.instance.call("sizes", 16, 20) == 0
        assert printer.instance.call("get", end - 4, 4096) == 0
        assert printer.instance.call("get", 1024, end - 4) == 0
        assert bytes(printer.memory.read(printer.store, end - 4, end)) == b"A=1\0"

    def test_get_without_sizes(self, bridge: Bridge, tmp_path: Path) -> None:
        """A guest that has not asked for sizes gets only its own variables: it has no room for more."""
        printer = Printer(bridge, tmp_path, ("A", "1"))

        assert printer.instance.call("get", 1024, 4096) == 0

        assert bytes(printer.memory.read(printer.store, 4096, 4104)) == b"A=1\0" + bytes(4)

    def test_failing_propagator(self, telemetry: Telemetry, native: bool, tmp_path: Path) -> None:
        """A propagator that raises costs the guest nothing but the variables."""

        class Fails(TextMapPropagator):
            def extract(self, *args: Any, **kwargs: Any) -> Any:
                raise ValueError("propagator")

            def inject(self, *args: Any, **kwargs: Any) -> None:
                raise ValueError("propagator")

            @property
            def fields(self) -> set[str]:
                return set()

        bridge = telemetry.bridge(propagator=Fails(), native=native)

        assert Printer(bridge, tmp_path, ("A", "1")).variables() == ["A=1"]
        assert bridge.rejected() == {("guest", None, "internal"): 1}


def assemblyscript_string(text: str) -> tuple[str, int]:
    """WAT data of a string as AssemblyScript lays it out, and its length in bytes: the length stands before it."""
    raw = text.encode("utf-16-le", "surrogatepass")
    return "".join(f"\\{byte:02x}" for byte in struct.pack("<I", len(raw)) + raw), len(raw)


def assemblyscript(bridge: Bridge, extra: str = "", **options: Any) -> GuestInstance:
    """A guest with AssemblyScript's imports; the message is at 20, the file at 220."""
    text = f"""(module
        (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
        (import "env" "trace" (func $trace (param i32 i32 f64 f64 f64 f64 f64)))
        (import "env" "seed" (func $seed (result f64)))
        (memory (export "memory") 1)
        (data (i32.const 16) "{assemblyscript_string("späť 🦀")[0]}")
        (data (i32.const 216) "{assemblyscript_string("assembly/index.ts")[0]}")
        (func (export "abort") (param i32 i32 i32 i32)
            (call $abort (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
        (func (export "trace") (param i32 i32)
            (call $trace (local.get 0) (local.get 1) (f64.const 1) (f64.const 2.5) (f64.const -3) (f64.const nan)
                (f64.const 5)))
        (func (export "seed") (result f64) (call $seed))
        {extra})"""
    store = wasmtime.Store(engine())
    given: dict[str, Any] = {"name": "guest", **options}
    return bridge.instantiate(wasmtime.Linker(engine()), store, compiled(text), **given)


class TestAbort:
    def test_message_and_place(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """An abort is an exception with its message, file, line and column, and fails the call."""
        with pytest.raises((wasmtime.Trap, wasmtime.WasmtimeError), match=r"abort: späť 🦀 at assembly/index\.ts:12:3"):
            assemblyscript(bridge).call("abort", 20, 220, 12, 3)

        span = telemetry.span("wasm.call abort")
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "abort: späť 🦀")
        reported = dict(span.events[0].attributes or {})
        assert reported == {
            "exception.type": "abort",
            "exception.message": "späť 🦀",
            "exception.stacktrace": "assembly/index.ts:12:3",
            "code.file.path": "assembly/index.ts",
            "code.line.number": 12,
            "code.column.number": 3,
        }
        assert bridge.usage()[0].errors == 1

    @pytest.mark.parametrize("address", [0, 3, 1, -1, PAGE, PAGE + 4, -4])
    def test_no_message(self, bridge: Bridge, telemetry: Telemetry, address: int) -> None:
        """Without a readable message or file, the abort still is one."""
        with pytest.raises((wasmtime.Trap, wasmtime.WasmtimeError), match="abort: abort"):
            assemblyscript(bridge).call("abort", address, address, 0, 0)

        assert telemetry.span("wasm.call abort").status.description == "abort: abort"

    def test_odd_strings(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """Lone surrogates are replaced; a length beyond memory is no string."""
        lone = assemblyscript_string("\ud800x")[0]
        extra = f'(data (i32.const 516) "{lone}") (data (i32.const 616) "\\ff\\ff\\ff\\7fabcd")'
        for address, message in ((520, "\ufffdx"), (620, "abort")):
            with pytest.raises((wasmtime.Trap, wasmtime.WasmtimeError)):
                assemblyscript(bridge, extra).call("abort", address, 0, 0, 0)
            assert telemetry.spans()[-1].status.description == f"abort: {message}"

    def test_open_spans(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """An abort in a start function fails the instantiation with its message."""
        start = """(func $start (call $abort (i32.const 20) (i32.const 220) (i32.const 1) (i32.const 2)))
            (start $start)"""

        with pytest.raises((wasmtime.Trap, wasmtime.WasmtimeError), match="abort: späť 🦀"):
            assemblyscript(bridge, start)


class TestTraceAndSeed:
    @pytest.mark.parametrize(
        ("count", "expected"),
        [(0, None), (1, (1.0,)), (3, (1.0, 2.5, -3.0)), (5, 5), (6, 5), (2**31 - 1, 5), (-1, None)],
    )
    def test_trace(self, bridge: Bridge, telemetry: Telemetry, count: int, expected: Any) -> None:
        """``trace()`` is a log record of severity TRACE with as many numbers as were given."""
        assemblyscript(bridge, tenant="acme").call("trace", 20, count)

        record = telemetry.log("späť 🦀")
        assert record.severity_number is SeverityNumber.TRACE
        attributes = dict(record.attributes)
        assert attributes.pop("wasm.tenant") == "acme"
        if expected is None:
            assert attributes == {}
        elif expected == 5:
            assert repr(attributes) == "{'arguments': (1.0, 2.5, -3.0, nan, 5.0)}"
        else:
            assert attributes == {"arguments": expected}
        assert record.span_id == telemetry.span("wasm.call trace").context.span_id

    def test_below_the_minimum(self, telemetry: Telemetry, native: bool) -> None:
        """It is subject to the minimum severity."""
        assemblyscript(telemetry.bridge(min_severity=5, native=native)).call("trace", 20, 0)

        assert telemetry.logs() == []

    def test_seed(self, bridge: Bridge) -> None:
        """Seeds are numbers that differ."""
        instance = assemblyscript(bridge)
        seeds = {instance.call("seed") for _ in range(10)}

        assert len(seeds) == 10
        assert all(isinstance(seed, float) and seed >= 0 for seed in seeds)

    def test_the_linkers_go_first(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """What the application's linker defines is taken, as it is."""
        linker = wasmtime.Linker(engine())
        linker.define_func("env", "seed", wasmtime.FuncType([], [wasmtime.ValType.f64()]), lambda: 4.0)
        text = '(module (import "env" "seed" (func $seed (result f64))) (export "seed" (func $seed)))'

        instance = bridge.instantiate(linker, wasmtime.Store(engine()), compiled(text), name="guest")

        assert instance.call("seed") == 4.0

    def test_other_types(self, bridge: Bridge) -> None:
        """A function of such a name and another type is none of AssemblyScript's."""
        text = '(module (import "env" "abort" (func (param i32))) (import "env" "seed" (global f64)))'

        with pytest.raises(LinkError, match=r"env\.abort, env\.seed"):
            bridge.instantiate(wasmtime.Linker(engine()), wasmtime.Store(engine()), compiled(text), name="guest")

    def test_failing_processor(self, telemetry: Telemetry, bridge: Bridge) -> None:
        """An abort traps and a trace returns, also if the application's telemetry raises."""

        def fails(*args: Any, **kwargs: Any) -> None:
            raise ValueError("telemetry")

        class Fails:
            on_emit = on_start = staticmethod(fails)
            shutdown = force_flush = staticmethod(lambda *args, **kwargs: True)

        processor: Any = Fails()
        telemetry.logger_provider.add_log_record_processor(processor)
        instance = assemblyscript(bridge)

        instance.call("trace", 20, 1)
        with pytest.raises((wasmtime.Trap, wasmtime.WasmtimeError)):
            instance.call("abort", 20, 220, 1, 1)
        assert bridge.rejected() == {("guest", None, "internal"): 1}
