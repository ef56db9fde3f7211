"""Calls that do not return: traps, exits, exceptions of host functions, interrupts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime
from opentelemetry import context
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode

from tests.support.guests import Guest, abi_imports, compiled, engine
from tests.support.telemetry import Telemetry
from wasmscope.host_shim import Bridge, GuestInstance

CRASHES = """(module
    (import "wasmscope_v1" "log" (func $log (param i32 i32 i64 i32 i32 i32 i32)))
    (memory (export "memory") 1)
    (table 1 funcref)
    (func (export "unreachable") unreachable)
    (func (export "memory_out_of_bounds") (drop (i32.load (i32.const 0x7ffffff0))))
    (func $deep (export "stack_overflow") (call $deep))
    (func (export "integer_division_by_zero") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
    (func (export "indirect_call_to_null") (call_indirect (i32.const 0)))
    (func (export "forever") (loop (br 0)))
    (func (export "fine") (result i32) (i32.const 7)))"""

SPANS = f"""(module
    {abi_imports("span_start", "span_enter", "exception", "log")}
    (memory (export "memory") 1)
    (data (i32.const 16) "doomedpanicboom")
    (func $start (param $name i32) (result i64)
        (call $span_start (i32.const 0) (i32.const 16) (i32.const 6) (i64.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0)))
    (func (export "earlier") (drop (call $start (i32.const 0))))
    (func (export "trap") (call $span_enter (call $start (i32.const 0))) (drop (call $start (i32.const 0))) unreachable)
    (func (export "panic") (call $span_enter (call $start (i32.const 0)))
        (call $exception (i64.const 0) (i32.const 22) (i32.const 5) (i32.const 27) (i32.const 4)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))
        unreachable)
    (func (export "fine") (drop (call $start (i32.const 0)))))"""


def instance_of(bridge: Bridge, text: str, linker: wasmtime.Linker | None = None, **options: Any) -> GuestInstance:
    store = wasmtime.Store(engine())
    return bridge.instantiate(linker or bridge.linker(engine()), store, compiled(text), name="guest", **options)


def errors(bridge: Bridge) -> tuple[int, int]:
    """Calls and errors so far."""
    (usage,) = bridge.usage()
    return usage.calls, usage.errors


@pytest.fixture(autouse=True)
def same_context_after() -> Any:
    """However a call ends, the host's context is afterwards what it was."""
    before = context.get_current()
    yield
    assert context.get_current() is before


class TestTraps:
    @pytest.mark.parametrize(
        ("export", "args", "message"),
        [
            ("unreachable", (), "wasm `unreachable` instruction executed"),
            ("memory_out_of_bounds", (), "out of bounds memory access"),
            ("stack_overflow", (), "call stack exhausted"),
            ("integer_division_by_zero", (0,), "integer divide by zero"),
            ("indirect_call_to_null", (), "uninitialized element"),
        ],
    )
    def test_span(self, bridge: Bridge, telemetry: Telemetry, export: str, args: tuple[int, ...], message: str) -> None:
        """The span of a call that traps has status ERROR, the trap's code and message, and an exception event with the
        backtrace; the caller gets wasmtime's own trap."""
        instance = instance_of(bridge, CRASHES)

        with pytest.raises(wasmtime.Trap) as raised:
            instance.call(export, *args)

        assert raised.value.trap_code is not None
        assert raised.value.trap_code.name.lower() == export
        span = telemetry.span(f"wasm.call {export}")
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, message)
        assert (span.attributes or {})["wasm.trap.code"] == export
        (event,) = span.events
        attributes = dict(event.attributes or {})
        backtrace = str(attributes.pop("exception.stacktrace"))
        assert attributes == {
            "exception.type": "wasm.trap",
            "exception.message": message,
            "wasm.trap.code": export,
        }
        assert "<unknown>!" in backtrace or "guest!" in backtrace
        assert "Caused by" not in backtrace

    def test_usable_afterwards(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """After any trap the instance and the bridge go on; calls and errors are counted."""
        instance = instance_of(bridge, CRASHES)

        for number in range(1, 4):
            for export in ("unreachable", "stack_overflow"):
                with pytest.raises(wasmtime.Trap):
                    instance.call(export)
            assert instance.call("fine") == 7
            assert errors(bridge) == (3 * number, 2 * number)

        fine = [span for span in telemetry.spans() if span.name == "wasm.call fine"]
        assert {span.status.status_code for span in fine} == {StatusCode.UNSET}
        assert {span.parent for span in telemetry.spans()} == {None}

    def test_out_of_fuel(self, telemetry: Telemetry, native: bool) -> None:
        """Running out of fuel is a trap of that code; all that there was is accounted."""
        config = wasmtime.Config()
        config.consume_fuel = True
        fueled = wasmtime.Engine(config)
        store = wasmtime.Store(fueled)
        store.set_fuel(10_000)
        bridge = telemetry.bridge(native=native)
        instance = bridge.instantiate(wasmtime.Linker(fueled), store, wasmtime.Module(fueled, CRASHES), name="guest")

        with pytest.raises(wasmtime.Trap):
            instance.call("forever")

        attributes = telemetry.span("wasm.call forever").attributes or {}
        assert attributes["wasm.trap.code"] == "out_of_fuel"
        assert attributes["wasm.call.fuel"] == 10_000
        assert bridge.usage()[0].fuel == 10_000

    def test_epoch(self, telemetry: Telemetry, native: bool) -> None:
        """An epoch's end is a trap of the code ``interrupt``."""
        config = wasmtime.Config()
        config.epoch_interruption = True
        timed = wasmtime.Engine(config)
        store = wasmtime.Store(timed)
        store.set_epoch_deadline(1)
        bridge = telemetry.bridge(native=native)
        instance = bridge.instantiate(wasmtime.Linker(timed), store, wasmtime.Module(timed, CRASHES), name="guest")
        timer = threading.Timer(0.05, timed.increment_epoch)
        timer.start()

        with pytest.raises(wasmtime.Trap):
            instance.call("forever")

        timer.join()
        assert (telemetry.span("wasm.call forever").attributes or {})["wasm.trap.code"] == "interrupt"


class TestOpenSpans:
    def test_ended(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """Spans started in the call that traps are ended, the innermost first, with the trap as exception event."""
        instance = instance_of(bridge, SPANS)
        instance.call("earlier")

        with pytest.raises(wasmtime.Trap):
            instance.call("trap")

        assert telemetry.span_names() == ["wasm.call earlier", "doomed", "doomed", "wasm.call trap"]
        inner, outer, call = telemetry.spans()[1:]
        assert inner.parent is not None
        assert inner.parent.span_id == outer.context.span_id
        for span in (inner, outer):
            assert span.status.status_code is StatusCode.ERROR
            assert span.status.description == "wasm `unreachable` instruction executed"
            assert [event.name for event in span.events] == ["exception"]
            assert (span.events[0].attributes or {})["wasm.trap.code"] == "unreachable"
        assert call.status.status_code is StatusCode.ERROR

    def test_of_earlier_calls(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """Spans of earlier calls stay open: they end with the instance."""
        instance = instance_of(bridge, SPANS)
        instance.call("earlier")
        with pytest.raises(wasmtime.Trap):
            instance.call("trap")
        before = len(telemetry.spans())

        instance.close()

        (span,) = telemetry.spans()[before:]
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description == "the span was still open when its instance was closed"
        assert not span.events

    def test_of_inner_calls(self, make_guest: Callable[..., Guest], telemetry: Telemetry) -> None:
        """A trap ends what was started in the call or in calls of the same guest within it; what belongs to another
        guest that was called by way of the host stays open."""
        guest = make_guest()
        other = Guest(guest.bridge, name="other")

        def body() -> None:
            guest.run(lambda: guest.start("within"))
            other.run(lambda: other.start("session"))

        with pytest.raises(wasmtime.Trap):
            guest.run(body, export="run_then_trap")

        assert "within" in telemetry.span_names()
        assert "session" not in telemetry.span_names()
        assert telemetry.span("within").status.status_code is StatusCode.ERROR

    def test_inner_trap_that_the_host_handles(self, make_guest: Callable[..., Guest], telemetry: Telemetry) -> None:
        """A trap of an inner call ends only what the inner call started, if the host goes on."""
        guest = make_guest()

        def body() -> None:
            guest.entered("outer")
            with pytest.raises(wasmtime.Trap):
                guest.run(lambda: guest.entered("inner"), export="run_then_trap")
            guest.log("goes on")
            guest.abi("span_end", 1)

        guest.run(body)

        assert telemetry.span("inner").status.status_code is StatusCode.ERROR
        assert telemetry.span("outer").status.status_code is StatusCode.UNSET
        assert telemetry.log("goes on").span_id == telemetry.span("outer").context.span_id
        assert guest.rejected() == {}

    def test_reason_of_the_guest(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """The exception that the guest reported before it trapped is the reason on all spans."""
        instance = instance_of(bridge, SPANS)

        with pytest.raises(wasmtime.Trap):
            instance.call("panic")
        with pytest.raises(wasmtime.Trap):
            instance.call("trap")

        doomed, call = telemetry.spans()[:2]
        for span in (doomed, call):
            assert span.status.description == "panic: boom"
        assert [(event.attributes or {})["exception.type"] for event in doomed.events] == ["panic", "wasm.trap"]
        assert telemetry.span("wasm.call trap").status.description == "wasm `unreachable` instruction executed"

    def test_reason_of_a_linked_guest(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """What a guest reports that is called by another one directly is the reason of that one's call."""
        store = wasmtime.Store(engine())
        linker = bridge.linker(engine())
        library = bridge.instantiate(linker, store, compiled(SPANS), name="library")
        linker.define(store, "library", "panic", wasmtime.Instance.exports(library, store)["panic"])
        text = '(module (import "library" "panic" (func $f)) (func (export "run") (call $f)))'
        caller = bridge.instantiate(linker, store, compiled(text), name="caller")

        with pytest.raises(wasmtime.Trap):
            caller.call("run")

        assert telemetry.span("wasm.call run").status.description == "panic: boom"
        assert telemetry.span("doomed").status.description == "panic: boom"


class TestExit:
    EXIT = """(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "exit") (param i32) (call $exit (local.get 0))))"""

    def exit(self, bridge: Bridge, code: int) -> wasmtime.ExitTrap:
        linker = bridge.linker(engine())
        linker.define_wasi()
        store = wasmtime.Store(engine())
        store.set_wasi(wasmtime.WasiConfig())
        instance = bridge.instantiate(linker, store, compiled(self.EXIT), name="guest")
        with pytest.raises(wasmtime.ExitTrap) as raised:
            instance.call("exit", code)
        return raised.value

    def test_success(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """An exit with code 0 is no error."""
        assert self.exit(bridge, 0).code == 0

        span = telemetry.span("wasm.call exit")
        assert span.status.status_code is StatusCode.UNSET
        assert (span.attributes or {})["process.exit.code"] == 0
        assert not span.events
        assert errors(bridge) == (1, 0)

    def test_failure(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """An exit with another code is an error, with that code."""
        assert self.exit(bridge, 3).code == 3

        span = telemetry.span("wasm.call exit")
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "exit code 3")
        assert (span.attributes or {})["process.exit.code"] == 3
        assert [(event.attributes or {})["exception.type"] for event in span.events] == ["wasm.exit"]
        assert errors(bridge) == (1, 1)


class Problem(Exception):
    """What host functions raise here."""


RAISES = """(module (import "host" "f" (func $f)) (func (export "run") (call $f))
    (func (export "trap") unreachable))"""


class TestHostExceptions:
    @pytest.mark.parametrize("known", [True, False], ids=["known", "plain"])
    @pytest.mark.parametrize("error", [Problem("why"), KeyError("k"), SystemExit(3), KeyboardInterrupt()], ids=repr)
    def test_same_object(self, bridge: Bridge, telemetry: Telemetry, error: BaseException, known: bool) -> None:
        """What a host function raises reaches the caller as the same object, its cause untouched, and is the reason on
        the span."""

        def fail() -> None:
            raise error from ValueError("the cause")

        linker = bridge.linker(engine()) if known else wasmtime.Linker(engine())
        linker.define_func("host", "f", wasmtime.FuncType([], []), fail)
        instance = instance_of(bridge, RAISES, linker)

        with pytest.raises(type(error)) as raised:
            instance.call("run")

        assert raised.value is error
        assert isinstance(error.__cause__, ValueError)
        span = telemetry.span("wasm.call run")
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, str(error))
        attributes = span.events[0].attributes or {}
        assert str(attributes["exception.type"]).rsplit(".", 1)[-1] == type(error).__name__
        assert "in fail" in str(attributes["exception.stacktrace"])
        error.__traceback__ = None

    def test_through_two_guests(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """An exception passes through nested calls and fails each."""
        linker = bridge.linker(engine())
        inner = self.failing(bridge, Problem("deep"))
        linker.define_func("host", "f", wasmtime.FuncType([], []), lambda: inner.call("run"))
        outer = instance_of(bridge, RAISES, linker)

        with pytest.raises(Problem, match="deep"):
            outer.call("run")

        assert [span.status.description for span in telemetry.spans()] == ["deep", "deep"]

    def failing(self, bridge: Bridge, error: BaseException) -> GuestInstance:
        def fail() -> None:
            raise error

        linker = bridge.linker(engine())
        linker.define_func("host", "f", wasmtime.FuncType([], []), fail)
        return instance_of(bridge, RAISES, linker)

    def test_handled_by_the_host(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """An exception that a host function handled is not raised again by a later trap."""
        inner = self.failing(bridge, Problem("handled"))

        def handles() -> None:
            with pytest.raises(Problem):
                inner.call("run")

        linker = bridge.linker(engine())
        linker.define_func("host", "f", wasmtime.FuncType([], []), handles)
        text = '(module (import "host" "f" (func $f)) (func (export "run") (call $f) unreachable))'
        outer = instance_of(bridge, text, linker)

        with pytest.raises(wasmtime.Trap) as raised:
            outer.call("run")
        assert raised.value.trap_code is wasmtime.TrapCode.UNREACHABLE

    def test_right_thread(self, bridge: Bridge, native: bool) -> None:
        """Threads that raise at once each get their own exception, with its own cause. A trap stays a trap; not under
        the public API, where wasmtime-py itself may put another thread's exception in its place."""
        wrong: list[object] = []
        engine()  # Made now: threads that ask for it at once would each get their own.
        start = threading.Barrier(4)

        def work(number: int) -> None:
            errors = [Problem(f"{number}: {turn}") for turn in range(100)]
            turns = iter(errors)

            def fail() -> None:
                raise next(turns) from cause

            cause = ValueError(str(number))
            linker = bridge.linker(engine())
            linker.define_func("host", "f", wasmtime.FuncType([], []), fail)
            instance = instance_of(bridge, RAISES, linker)
            start.wait()
            for error in errors:
                for export in ("run", "trap") if native else ("run",):
                    try:
                        instance.call(export)
                        wrong.append("returned")
                    except Problem as got:
                        if export == "trap" or got is not error or got.__cause__ is not cause:
                            wrong.append((export, got))
                    except wasmtime.Trap as trap:
                        if export == "run":
                            wrong.append((export, trap))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert wrong == []


class TestDefects:
    """Telemetry that fails by itself: the application's processors, an interrupt."""

    class Failing(SpanProcessor, LogRecordProcessor):
        """A processor of the application with a defect."""

        def __init__(self, error: BaseException) -> None:
            self.error = error
            self.is_broken = True

        def on_start(self, span: Span, parent_context: context.Context | None = None) -> None:
            self._maybe_fail(span.name)

        def on_end(self, span: ReadableSpan) -> None:
            self._maybe_fail(span.name)

        def on_emit(self, log_record: Any) -> None:
            self._maybe_fail("")

        def _maybe_fail(self, name: str) -> None:
            if self.is_broken and not name.startswith("wasm."):
                raise self.error

        def shutdown(self) -> None:
            pass

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return True

    def break_(self, telemetry: Telemetry, error: BaseException) -> Failing:
        processor = self.Failing(error)
        telemetry.tracer_provider.add_span_processor(processor)
        telemetry.logger_provider.add_log_record_processor(processor)
        return processor

    def test_error(self, guest: Guest, telemetry: Telemetry) -> None:
        """A processor that raises is counted as a defect of the host; guest and application go on."""
        processor = self.break_(telemetry, Problem("processor"))
        results: list[int] = []

        guest.run(lambda: guest.log("x"), lambda: results.append(guest.start("a")), lambda: guest.log("y"))

        if telemetry.delivery == "sdk":
            # The span is not ended yet: processors have not heard of it.
            assert results == [1]
            assert guest.rejected() == {}
            assert guest.bridge._deliveries.lost() == {("logs", "failed"): 2}
        else:
            assert results == [0]
            assert guest.rejected() == {"internal": 3}
        before = guest.rejected()
        processor.is_broken = False
        guest.run(lambda: guest.log("z"))
        assert guest.rejected() == before
        assert telemetry.log("z")

    @pytest.mark.parametrize("hook", ["on_start", "on_end"])
    def test_error_around_the_call(self, bridge: Bridge, telemetry: Telemetry, hook: str) -> None:
        """A processor that raises at the start or the end of a call's span harms no call."""

        class Breaks(SpanProcessor):
            def fail(self, *_: object) -> None:
                raise Problem("processor")

        processor = Breaks()
        setattr(processor, hook, processor.fail)
        telemetry.tracer_provider.add_span_processor(processor)
        instance = instance_of(bridge, CRASHES)

        assert instance.call("fine") == 7
        with pytest.raises(wasmtime.Trap):
            instance.call("unreachable")
        assert errors(bridge) == (2, 1)
        assert set(bridge.rejected()) == {("guest", None, "internal")}

    def test_error_at_the_end_of_open_spans(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A processor that raises when open spans are ended keeps nothing from ending."""
        instance = instance_of(bridge, SPANS)
        for _ in range(3):
            instance.call("earlier")
        processor = self.break_(telemetry, Problem("processor"))
        processor.is_broken = True

        instance.close()
        processor.is_broken = False

        assert telemetry.span_names().count("doomed") == 3
        if telemetry.delivery == "sdk":
            assert bridge._deliveries.lost() == {("traces", "failed"): 3}
        else:
            assert bridge.rejected() == {("guest", None, "internal"): 3}

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)], ids=repr)
    def test_interrupt(self, guest: Guest, telemetry: Telemetry, error: BaseException) -> None:
        """An interrupt inside a telemetry call is raised by the call from the host, once the guest is done."""
        processor = self.break_(telemetry, error)
        reached: list[int] = []

        with pytest.raises(type(error)) as raised:
            guest.run(lambda: guest.log("x"), lambda: reached.append(1))
        processor.is_broken = False
        guest.run(lambda: guest.log("y"))

        assert raised.value is error
        assert reached == [1]
        assert telemetry.log("y")
        assert guest.rejected() == {}

    def test_interrupt_in_a_linked_guest(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """An interrupt inside a telemetry call of a guest that another one calls directly is raised by the call of
        that one."""
        store = wasmtime.Store(engine())
        linker = bridge.linker(engine())
        library = bridge.instantiate(linker, store, compiled(SPANS), name="library")
        linker.define(store, "library", "f", wasmtime.Instance.exports(library, store)["panic"])
        text = '(module (import "library" "f" (func $f)) (func (export "run") (call $f)))'
        caller = bridge.instantiate(linker, store, compiled(text), name="caller")
        processor = self.break_(telemetry, KeyboardInterrupt())

        with pytest.raises(KeyboardInterrupt):
            caller.call("run")
        processor.is_broken = False
        with pytest.raises(wasmtime.Trap):
            caller.call("run")
        library.call("fine")
