"""The two ways to bind wasmtime, and what happens when the first is not there."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from tests.support.guests import Guest, engine
from tests.support.telemetry import Telemetry
from wasmscope.errors import ConfigurationError
from wasmscope.host_shim import Limits
from wasmscope.host_shim._wasmtime_ffi import Native

REPOSITORY = Path(__file__).parents[3]


class TestNative:
    def test_serves(self, caplog: pytest.LogCaptureFixture) -> None:
        """The C API works with the pinned wasmtime, so that all tests of it test it."""
        caplog.set_level(logging.INFO, "wasmscope.host_shim")

        assert Native.load() is not None
        assert caplog.records == []

    def test_functions_gone(self) -> None:
        """If a release lacks functions, the bridge says so once, at level INFO, and works by the public API."""
        program = """
import ctypes, logging, sys
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
from wasmtime import _ffi
_ffi.dll = ctypes.CDLL(None)
from tests.support.telemetry import Telemetry
from tests.support.guests import Guest
telemetry = Telemetry()
guest = Guest(telemetry.bridge())
guest.run(lambda: guest.log("works"))
print(telemetry.log("works").body)
"""
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
        )

        assert done.stderr == ""
        first, last = done.stdout.splitlines()
        assert first.startswith(f"INFO wasmscope.host_shim wasmtime {version('wasmtime')} is bound by its public API")
        assert "undefined symbol: wasmtime_" in first
        assert last == "works"

    def test_misbehaving(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        """If arguments arrive otherwise than expected, the C API is not used."""
        caplog.set_level(logging.INFO, "wasmscope.host_shim")
        real = Native.caller_memory
        monkeypatch.setattr(Native, "caller_memory", lambda self, caller, name: real(self, caller, "other"))

        assert Native.load() is None
        assert "is bound by its public API" in caplog.text

    def test_speed(self, telemetry: Telemetry) -> None:
        """A telemetry call by the C API is several times faster than by the public API: it is what it is for."""
        loop = """(func (export "loop") (param $n i32)
            (loop (call $measure_i64 (i32.const 0) (i64.const 1) (i32.const 0))
                (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))"""
        times: dict[bool, float] = {}
        for native in (True, False):
            guest = Guest(telemetry.bridge(native=native), extra=loop)
            guest.instance.call("loop", 100)
            samples: list[int] = []
            for _ in range(5):
                start = time.thread_time_ns()
                guest.instance.call("loop", 2_000)
                samples.append(time.thread_time_ns() - start)
            times[native] = min(samples) / 2_000

        assert times[True] * 3 < times[False]


class TestOptions:
    @pytest.mark.parametrize("severity", [-1, 25, 100])
    def test_severity(self, telemetry: Telemetry, severity: int) -> None:
        """A minimum that is no severity number is refused."""
        with pytest.raises(ConfigurationError, match=f"min_severity={severity}: a severity number is 1-24"):
            telemetry.bridge(min_severity=severity)

    @pytest.mark.parametrize("value", [-1, 1.5, "1", None])
    def test_limits(self, value: Any) -> None:
        """A limit that is no whole number from 0 is refused, by name."""
        with pytest.raises(ConfigurationError, match="Limits\\(body_bytes="):
            Limits(body_bytes=value)

    def test_no_room_at_all(self, telemetry: Telemetry, native: bool) -> None:
        """With all limits at 0 nothing of a guest is kept, and nothing breaks."""
        limits = Limits(**dict.fromkeys(Limits.__dataclass_fields__, 0))
        guest = Guest(telemetry.bridge(limits=limits, native=native))

        def body() -> None:
            guest.log("body", {"a": "text"})
            assert guest.start("a") == 0
            assert guest.callsite(b"") == guest.callsite(b"xyz") == 0
            assert guest.instrument(1, 0, b"xyz") == 0
            guest.abi("measure_i64", guest.attribute_set({"a": 1}), 1, guest.attribute_set({"a": 1}))
            guest.event(0, "e", {"a": 1})
            guest.abi("span_link", 0, 0, 0, 0)
            guest.exception(0, "type", "message", "stack")
            guest.abi("span_rename", 0, *guest.text("name"))
            guest.abi("remote_context", *guest.text("00-" + "1" * 32 + "-" + "1" * 16 + "-01"), 0, 0)

        guest.run(body)

        (record,) = telemetry.logs()
        assert record.body == ""
        assert "internal" not in guest.rejected()


class TestDefaults:
    def test_global_providers(self) -> None:
        """Without providers of its own a bridge reports to the global ones, also to those that are set after it was
        made and after its guests were."""
        program = """
from opentelemetry import _logs, metrics, trace
from tests.support.guests import Guest
from tests.support.telemetry import Telemetry
from wasmscope.host_shim import Bridge
from tests.support import packing

guest = Guest(Bridge())
number = guest.instrument(1, 0, packing.instrument("orders"))
telemetry = Telemetry()
trace.set_tracer_provider(telemetry.tracer_provider)
metrics.set_meter_provider(telemetry.meter_provider)
_logs.set_logger_provider(telemetry.logger_provider)
guest.run(lambda: guest.log("late"), lambda: guest.abi("span_end", guest.start("span")),
          lambda: guest.abi("measure_i64", number, 3, 0))
print(telemetry.span_names(), telemetry.log("late").body, telemetry.points("guest", "orders")[0].value,
      telemetry.points("wasmscope", "wasm.calls")[0].value)
"""
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
        )

        assert (done.stdout, done.stderr) == ("['span', 'wasm.call run'] late 3 1\n", "")

    def test_without_sdk(self) -> None:
        """Without an SDK guests run all the same, and nothing is printed."""
        program = """
from tests.support.guests import Guest
from wasmscope.host_shim import Bridge
from tests.support import packing
guest = Guest(Bridge())
def body():
    guest.log("x", {"a": 1})
    span = guest.entered("s")
    assert guest.abi("span_context", span, 1024) == 0
    guest.abi("span_end", span)
    guest.abi("measure_i64", guest.instrument(1, 0, packing.instrument("orders")), 3, 0)
    guest.abi("flush")
guest.run(body)
print(guest.bridge.usage()[0].calls, guest.rejected())
"""
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
        )

        assert (done.stdout, done.stderr) == ("1 {}\n", "")


class TestFlush:
    def test_never_blocks(self, guest: Guest, telemetry: Telemetry) -> None:
        """A guest's ``flush`` returns at once, however long delivery takes, and however often it is called."""
        started, goes_on = threading.Event(), threading.Event()

        def slow_flush(timeout_millis: int = 30_000) -> bool:
            started.set()
            return goes_on.wait(20)

        provider: Any = telemetry.tracer_provider
        provider.force_flush = slow_flush
        start = time.monotonic()
        guest.run(*[lambda: guest.abi("flush")] * 100)

        assert time.monotonic() - start < 10
        assert started.wait(10)
        assert sum(thread.name == "wasmscope-flush" for thread in threading.enumerate()) == 1
        goes_on.set()
        assert guest.rejected() == {}


class TestThreads:
    def test_instantiation(self, telemetry: Telemetry) -> None:
        """Threads may make their first instances of a bridge at once."""
        for _ in range(10):
            bridge = telemetry.bridge()
            start = threading.Barrier(4)
            failures: list[BaseException] = []

            def work() -> None:
                try:
                    start.wait()
                    guest = Guest(bridge)
                    guest.run(lambda: guest.log("x", {"a": 1}))
                except BaseException as error:
                    failures.append(error)

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert failures == []
            assert bridge.usage()[0].calls == 4

    def test_one_store_in_turn(self, telemetry: Telemetry, native: bool) -> None:
        """A store may be used by one thread after the other."""
        guest = Guest(telemetry.bridge(native=native), store=wasmtime.Store(engine()))
        for number in range(4):
            thread = threading.Thread(target=lambda: guest.run(lambda: guest.entered("a"), lambda: guest.log("x")))
            thread.start()
            thread.join()
            guest.run(lambda: guest.log("y"))
            spans = [span for span in telemetry.spans() if span.name == "wasm.call run"]
            assert telemetry.logs()[-1].span_id == spans[-1].context.span_id
            assert len(spans) == 2 * (number + 1)
