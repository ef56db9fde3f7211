"""Stores that close, are collected, or fail to make an instance; and what is left of them: nothing."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from opentelemetry.trace import StatusCode

from tests.support import packing
from tests.support.guests import Guest, abi_imports, compiled, engine
from tests.support.telemetry import Telemetry
from wasmscope.errors import AbiError, ConfigurationError, LinkError
from wasmscope.host_shim import Bridge, Limits

LEFT_OPEN = "the span was still open when its instance was closed"
REPOSITORY = Path(__file__).parents[3]


def tables(bridge: Bridge) -> dict[str, int]:
    """How much the bridge keeps for instances. Private, because nothing public may show it."""
    natives = bridge._natives
    collecting = bridge._collecting
    return {
        # A store that is open keeps its own.
        "collectors": 0 if collecting is None else sum(not c.collector.is_open for c in collecting.calls.values()),
        "bindings": len(natives.bindings),
        "guests": len(natives._guests),
        "by_context": len(natives.by_context),
        "closers": len(bridge._closers),
        "contexts": len(bridge._contexts),
        "late": len(bridge._late),
        "running": len(bridge._running),
    }


def open_span(guest: Guest) -> None:
    """Have a guest leave a span open, and more behind."""
    guest.run(
        lambda: guest.start("open"),
        lambda: guest.callsite(packing.callsite(name="x" * 1000)),
        lambda: guest.log("x" * 1000),
    )


def assert_nothing_left(bridge: Bridge) -> None:
    bridge.usage()
    assert set(tables(bridge).values()) == {0}, tables(bridge)


class TestClose:
    def test_store(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """Closing a store ends its guests' open spans at once and takes them out of the accounts."""
        guest = Guest(bridge)
        open_span(guest)

        guest.store.close()

        span = telemetry.span("open")
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, LEFT_OPEN)
        (usage,) = bridge.usage()
        assert (usage.instances, usage.memory_bytes) == (0, 0)
        assert usage.memory_peak_bytes == 2 * 65_536
        assert_nothing_left(bridge)

    def test_instance(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """Closing an instance does the same for it alone, once; the instance still works."""
        guest = Guest(bridge)
        other = Guest(bridge, name="other", store=guest.store)
        open_span(guest)
        other.run(lambda: other.start("other's"))

        with guest.instance:
            pass
        guest.instance.close()

        assert telemetry.span("open").status.description == LEFT_OPEN
        assert "other's" not in telemetry.span_names()
        usage, _ = bridge.usage()
        assert (usage.instances, usage.memory_bytes) == (0, 0)
        guest.run(lambda: guest.log("still works"))
        assert telemetry.log("still works")
        usage, _ = bridge.usage()
        assert (usage.instances, usage.memory_bytes, usage.calls) == (0, 0, 2)
        guest.store.close()
        assert bridge.usage()[0].instances == bridge.usage()[1].instances == 0
        assert_nothing_left(bridge)

    def test_calls_on_a_closed_store(self, bridge: Bridge) -> None:
        """A call on a closed store fails as wasmtime's does."""
        guest = Guest(bridge)
        guest.run(lambda: None)
        guest.store.close()

        for _ in range(2):
            with pytest.raises(ValueError, match="already closed"):
                guest.instance.call("run")

    def test_bridge(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """Closing the bridge ends all; guests and new instances still work, and are closed by a second close."""
        guest = Guest(bridge)
        open_span(guest)

        with bridge:
            pass
        bridge.close()
        assert telemetry.span_names() == ["wasm.call run", "open"]

        guest.run(lambda: guest.log("x"))
        assert telemetry.log("x")
        late = Guest(bridge, name="late")
        late.run(lambda: late.start("late"))
        bridge.close()
        assert telemetry.span("late").status.description == LEFT_OPEN
        assert [usage.instances for usage in bridge.usage()] == [0, 0]

    def test_bridge_goes_first(self, telemetry: Telemetry, native: bool) -> None:
        """Guests of a bridge that nobody refers to any more still run: their host functions live as long as the store
        and whatever it was linked by."""
        bridge = telemetry.bridge(native=native)
        telemetry._bridges.clear()
        guest = Guest(bridge)
        raw = dict(wasmtime.Instance.exports(guest.instance, guest.store))
        store = guest.store
        linker = wasmtime.Linker(engine())
        bridge.define(linker)
        bridge.close()
        del guest, bridge
        gc.collect()
        # Where freed callbacks lay there is something else now.
        _ = [bytearray(200) for _ in range(10_000)]

        function = raw["abi_version"]
        assert isinstance(function, wasmtime.Func)
        assert function(store) == 0x0001_0000
        other = wasmtime.Store(engine())
        text = f'(module {abi_imports("abi_version")} (export "f" (func $abi_version)))'
        exported = linker.instantiate(other, compiled(text)).exports(other)["f"]
        del linker
        gc.collect()
        assert isinstance(exported, wasmtime.Func)
        assert exported(other) == 0x0001_0000
        store.close()
        other.close()


class TestCollected:
    def test_ended_later_at_the_right_time(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A store that is collected ends its spans at the bridge's next activity, with the time of its end."""
        guest = Guest(bridge)
        open_span(guest)
        reference = weakref.ref(guest.store)

        del guest
        gc.collect()
        collected_ns = time.time_ns()
        assert reference() is None
        time.sleep(0.05)
        usage = bridge.usage()

        span = telemetry.span("open")
        assert span.status.description == LEFT_OPEN
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time < span.end_time <= collected_ns
        assert usage[0].instances == 0
        assert_nothing_left(bridge)

    def test_closed_by_a_finalizer(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A store that an application's object closes when it is collected itself is treated alike: its spans are not
        ended in the middle of a collection."""

        class Owner:
            def __init__(self, guest: Guest) -> None:
                self.guest = guest

            def __del__(self) -> None:
                self.guest.store.close()

        guest = Guest(bridge)
        open_span(guest)
        owner = Owner(guest)
        del guest, owner

        assert "open" not in [span.name for span in telemetry.span_exporter.get_finished_spans()]
        bridge.usage()
        assert telemetry.span("open").status.description == LEFT_OPEN
        assert_nothing_left(bridge)

    def test_next_call(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """Any call of another guest is such an activity."""
        other = Guest(bridge, name="other")
        guest = Guest(bridge)
        open_span(guest)

        del guest
        gc.collect()
        other.run(lambda: None)

        assert telemetry.span("open").status.description == LEFT_OPEN

    def test_in_another_thread(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A store may be collected by any thread, while others make and use instances."""
        stop = threading.Event()
        failures: list[BaseException] = []

        def collect() -> None:
            while not stop.wait(0.002):
                gc.collect()

        def work() -> None:
            try:
                for _ in range(15):
                    guest = Guest(bridge)
                    open_span(guest)
                    # Only the collector finds it.
                    circle: list[Any] = [guest]
                    circle.append(circle)
                    del guest, circle
            except BaseException as error:
                failures.append(error)

        collector = threading.Thread(target=collect)
        workers = [threading.Thread(target=work) for _ in range(2)]
        for thread in (collector, *workers):
            thread.start()
        for thread in workers:
            thread.join()
        stop.set()
        collector.join()
        gc.collect()
        bridge.usage()

        assert failures == []
        assert telemetry.span_names().count("open") == 30
        assert_nothing_left(bridge)


class TestHandedOver:
    def test_told_outside_of_calls(self, telemetry: Telemetry) -> None:
        """A store is the thread's that uses it, also if exports are called directly there: a flush in that thread takes
        what was told, and one in the thread that made the store leaves it alone."""
        bridge = telemetry.bridge(delivery="sdk")
        guest = Guest(bridge)
        guest.log("by the maker")
        bridge.flush()
        told, go_on = threading.Event(), threading.Event()
        seen: list[int] = []

        def flush() -> None:
            bridge.flush()
            seen.append(len(telemetry.log_exporter.get_finished_logs()))

        def work() -> None:
            guest.log("by the worker")
            told.set()
            go_on.wait()
            flush()

        worker = threading.Thread(target=work)
        worker.start()
        told.wait()
        flush()
        go_on.set()
        worker.join()

        assert seen == [1, 2]


class TestFailedInstantiation:
    def test_start_traps(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A start function that traps fails the instantiation; what it reported is kept and its spans are ended."""
        text = f"""(module {abi_imports("log", "span_start")}
            (memory (export "memory") 1) (data (i32.const 16) "started")
            (func $start
                (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 16) (i32.const 7)
                    (i32.const 0) (i32.const 0))
                (drop (call $span_start (i32.const 0) (i32.const 16) (i32.const 7) (i64.const 0) (i32.const 0)
                    (i32.const 0) (i32.const 0)))
                unreachable)
            (start $start))"""
        store = wasmtime.Store(engine())

        with pytest.raises(wasmtime.Trap):
            bridge.instantiate(wasmtime.Linker(engine()), store, compiled(text), name="guest")

        assert telemetry.log("started")
        assert telemetry.span("started").status.status_code is StatusCode.ERROR
        (usage,) = bridge.usage()
        assert (usage.instances, usage.calls, usage.errors, usage.memory_bytes) == (0, 0, 0, 0)
        assert bridge.rejected() == {}
        store.close()
        assert_nothing_left(bridge)

    def test_missing_import(self, bridge: Bridge) -> None:
        """Imports that nobody defines are named, all of them, before anything runs."""
        text = f"""(module {abi_imports("flush")} (import "env" "one" (func)) (import "env" "two" (memory 1))
            (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32))))"""
        store = wasmtime.Store(engine())

        with pytest.raises(LinkError) as raised:
            bridge.instantiate(wasmtime.Linker(engine()), store, compiled(text), name="shop")

        assert raised.value.missing == (("env", "one"), ("env", "two"), ("wasi_snapshot_preview1", "fd_write"))
        assert str(raised.value) == (
            "module 'shop' imports env.one, env.two, wasi_snapshot_preview1.fd_write, which the linker does not define"
        )
        assert_nothing_left(bridge)

    @pytest.mark.parametrize(
        ("module", "name", "kind"),
        [
            ("wasmscope_v1", "nonsense", "(func)"),
            ("wasmscope_v2", "log", "(func)"),
            ("wasmscope_v1", "flush", "(func (param i32))"),
            ("wasmscope_v1", "log", "(func (param i32 i32 i64 i32 i64 i32 i32))"),
            ("wasmscope_v1", "flush", "(memory 1)"),
            ("wasmscope_v1", "flush", "(global i32)"),
        ],
    )
    def test_unknown_function(self, bridge: Bridge, module: str, name: str, kind: str) -> None:
        """A function, a version or a type that this host does not have is refused by name, before anything runs."""
        text = f'(module (import "{module}" "{name}" {kind}) (func $f unreachable) (start $f))'

        with pytest.raises(AbiError, match=f"module 'shop' imports {module}.{name}") as raised:
            bridge.instantiate(
                wasmtime.Linker(engine()), wasmtime.Store(engine()), compiled(text), name="shop"
            )  # fmt: skip

        assert (raised.value.module, raised.value.name) == (module, name)
        assert "\n" not in str(raised.value)
        with pytest.raises(AbiError):
            bridge.check(compiled(text), "shop")
        assert_nothing_left(bridge)

    def test_both_widths(self, bridge: Bridge) -> None:
        """A module that mixes 32- and 64-bit addresses is refused."""
        text = f"""(module {abi_imports("callsite")}
            (import "wasmscope_v1" "log" (func (param i32 i32 i64 i64 i64 i64 i64))))"""

        with pytest.raises(AbiError, match="32-bit and with 64-bit"):
            bridge.check(compiled(text), "shop")

    def test_wrong_type_of_the_linkers(self, bridge: Bridge) -> None:
        """An import that the linker defines with another type fails as it does in wasmtime, and leaves nothing."""
        linker = wasmtime.Linker(engine())
        linker.define_func("env", "f", wasmtime.FuncType([], []), lambda: None)
        text = '(module (import "env" "f" (func (param i32))))'
        store = wasmtime.Store(engine())

        with pytest.raises(wasmtime.WasmtimeError, match="incompatible import type"):
            bridge.instantiate(linker, store, compiled(text), name="shop")
        store.close()
        assert_nothing_left(bridge)

    def test_mode(self, bridge: Bridge) -> None:
        """A mode of standard output that does not exist is named."""
        options: dict[str, Any] = {"stdio": "loud"}
        with pytest.raises(ConfigurationError, match="stdio='loud': one of tee, log, off"):
            bridge.instantiate(
                wasmtime.Linker(engine()), wasmtime.Store(engine()), compiled("(module)"), name="x", **options
            )


class TestEngines:
    def test_two(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """One bridge serves stores of several engines, made by `instantiate` or by linkers of the application."""
        text = f"""(module {abi_imports("flush", "span_start")} (memory (export "memory") 1)
            (func (export "run") (call $flush)))"""
        for _ in range(3):
            own = wasmtime.Engine()
            module = wasmtime.Module(own, text)
            bridge.instantiate(wasmtime.Linker(own), wasmtime.Store(own), module, name="one").call("run")
            linker = wasmtime.Linker(own)
            bridge.define(linker)
            store = wasmtime.Store(own)
            bridge.adopt(store, linker.instantiate(store, module), name="two").call("run")

        assert [usage.calls for usage in bridge.usage()] == [3, 3]


class TestStartFunction:
    def test_reports(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """A start function may report; its span is a child of the instantiation's, where the host has a span."""
        text = f"""(module {abi_imports("span_start", "span_end", "callsite", "log")}
            (memory (export "memory") 1) (data (i32.const 16) "started")
            (func (export "f"))
            (func $start
                (call $span_end (call $span_start (i32.const 0) (i32.const 16) (i32.const 7) (i64.const 0)
                    (i32.const 0) (i32.const 0) (i32.const 0))))
            (start $start))"""
        module = compiled(text)
        with telemetry.tracer_provider.get_tracer("host").start_as_current_span("request"):
            one = bridge.instantiate(wasmtime.Linker(engine()), wasmtime.Store(engine()), module, name="guest")
        two = bridge.instantiate(wasmtime.Linker(engine()), wasmtime.Store(engine()), module, name="guest")

        first, instantiation, request, second = telemetry.spans()
        assert [span.name for span in telemetry.spans()] == ["started", "wasm.instantiate", "request", "started"]
        assert first.parent is not None
        assert instantiation.parent is not None
        assert first.parent.span_id == instantiation.context.span_id
        assert instantiation.parent.span_id == request.context.span_id
        assert second.parent is None
        (usage,) = bridge.usage()
        assert (usage.instances, usage.calls) == (2, 0)
        assert bridge.rejected() == {}
        assert one.name == two.name == "guest"


class TestNothingLeaks:
    def test_instances(self, telemetry: Telemetry, native: bool) -> None:
        """A thousand instances come and go: the bridge keeps nothing of them, and memory stays where it was."""
        bridge = telemetry.bridge(native=native)
        times = 1_000 if native else 400  # the public API is slow

        def round_(times: int) -> None:
            for number in range(times):
                guest = Guest(bridge, tenant=str(number % 7))
                open_span(guest)
                if number % 2:
                    guest.store.close()
                del guest
                if number % 50 == 0:
                    gc.collect()
                    telemetry.span_exporter.clear()
                    telemetry.log_exporter.clear()
            gc.collect()
            bridge.usage()
            telemetry.span_exporter.clear()
            telemetry.log_exporter.clear()

        round_(100)
        before = resident_bytes()
        round_(times - 100)

        assert_nothing_left(bridge)
        assert sum(usage.instances for usage in bridge.usage()) == 0
        assert sum(usage.memory_bytes for usage in bridge.usage()) == 0
        assert sum(usage.calls for usage in bridge.usage()) == times
        # An instance's memory alone is 128 KiB, its tables some 20 KiB.
        assert resident_bytes() - before < 8 << 20

    def test_calls(self, telemetry: Telemetry, native: bool) -> None:
        """Calls leave nothing, whether they return, trap or raise."""
        bridge = telemetry.bridge(native=native, limits=Limits(kept_contexts=10))
        guest = Guest(bridge)

        def fail() -> None:
            raise ValueError("x")

        def round_(times: int) -> None:
            for _ in range(times):
                guest.run(lambda: guest.abi("span_end", guest.entered("a")))
                for export, body in (("run_then_trap", lambda: None), ("run", fail)):
                    with pytest.raises((wasmtime.Trap, ValueError)):
                        guest.run(lambda: guest.entered("a"), body, export=export)
            telemetry.span_exporter.clear()
            gc.collect()

        round_(20)
        objects = len(gc.get_objects())
        round_(100)

        assert len(gc.get_objects()) - objects < 300
        assert tables(bridge)["running"] == 0


def resident_bytes() -> int:
    """The process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


EXIT_PROGRAMS = {
    "open instances": "keep = [run(), run()]",
    "closed store": "guest = run(); guest.store.close()",
    "collected": "run()",
    "in a circle": "guest = run(); circle = [guest]; circle.append(circle); del guest, circle",
    "bridge closed first": "guest = run(); bridge.close()",
    "kept by a module": "import json; json.kept = run()",
    "bridge forgotten": "guest = run().instance; del bridge",
    "flush wanted": "guest = run(); guest.run(lambda: guest.abi('flush'))",
    "adopted": (
        "linker = wasmtime.Linker(engine()); bridge.define(linker); store = wasmtime.Store(engine());"
        "instance = linker.instantiate(store, wasmtime.Module(engine(), '(module)'));"
        "guest = bridge.adopt(store, instance, name='adopted')"
    ),
    "traceback": "guest = run()\ntry:\n    guest.run(lambda: 1 / 0)\nexcept ZeroDivisionError as e:\n    keep = e",
}


class TestInterpreterExit:
    @pytest.mark.parametrize("what", EXIT_PROGRAMS)
    def test_quiet(self, what: str, native: bool, tmp_path: Path) -> None:
        """A program that ends with instances in any state ends with code 0 and without a word, and its open spans
        are delivered."""
        program = tmp_path / "program.py"
        program.write_text(
            textwrap.dedent("""\
                import wasmtime
                from opentelemetry.sdk.trace import TracerProvider
                from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
                from opentelemetry.trace import set_tracer_provider
                from tests.support.guests import Guest, engine
                from wasmscope.host_shim import Bridge

                bridge = Bridge(native=NATIVE)
                provider = TracerProvider()
                provider.add_span_processor(
                    BatchSpanProcessor(ConsoleSpanExporter(formatter=lambda span: span.name + "\\n"))
                )
                set_tracer_provider(provider)

                def run():
                    guest = Guest(bridge)
                    guest.run(lambda: guest.start("open"))
                    return guest

            """).replace("NATIVE", str(native))
            + EXIT_PROGRAMS[what]
            + "\n"
        )

        done = subprocess.run(
            [sys.executable, "-X", "dev", "-W", "ignore", str(program)],
            cwd=REPOSITORY,
            env={"PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("open") == {"open instances": 2, "adopted": 0}.get(what, 1)
