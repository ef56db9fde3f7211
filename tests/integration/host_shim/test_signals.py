"""Signals that arrive while a guest runs: their handlers run inside telemetry calls, and may raise.

Each case is a process of its own, because what goes wrong here ends the process.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from opentelemetry.sdk._logs import LogRecordProcessor

from tests.support.abi import functions
from tests.support.guests import Guest, abi_imports
from tests.support.telemetry import Telemetry
from wasmscope.host_shim._collected import StoreCalls
from wasmscope.host_shim._store_collector import StoreCollector

REPOSITORY = Path(__file__).parents[3]

# The guest computes long enough for the alarm to ring meanwhile, and then makes a call.
PROGRAM = """
import signal, sys
import wasmtime
from tests.support.guests import compiled, engine
from tests.support.telemetry import Telemetry

class Late(Exception):
    pass

def ring(*_):
    raise {exception}

signal.signal(signal.SIGALRM, ring)
telemetry = Telemetry()
bridge = telemetry.bridge()
linker = bridge.linker(engine())
linker.define_wasi()
text = '''(module
    {imports}
    (memory (export "memory") 1)
    (func (export "run") (param $n i32)
        (loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        {call}))'''
store = wasmtime.Store(engine())
store.set_wasi(wasmtime.WasiConfig())
instance = bridge.instantiate(linker, store, compiled(text), name="guest")
for turn in range(3):
    # Long enough for the call to have begun on a busy machine, and the guest runs longer.
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        instance.call("run", 1_500_000_000)
        print("returned")
    except BaseException as error:
        print(type(error).__name__)
instance.call("run", 1)
print(bridge.usage()[0].calls, bridge.rejected())
"""


# Calls the guest with ever fewer frames left, by Python alone and by way of C, and through a host function.
DEEP = """
import functools
import wasmtime
from tests.support.guests import compiled, engine
from tests.support.telemetry import Telemetry

telemetry = Telemetry()
telemetry.delivery = {delivery!r}
bridge = telemetry.bridge(native={native})
text = '''(module
    {imports}
    (import "test" "host" (func $host))
    (memory (export "memory") 1)
    (func (export "run") (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 0) (i32.const 3) (i32.const 0)
        (i32.const 0)))
    (func (export "through") (call $host)))'''
outcomes = set()
calls = 0

def call(n):
    if n:
        return call(n - 1)
    return instance.call("run")

def by_c(n):
    if n:
        return functools.reduce(lambda _, left: by_c(left), [None, n - 1])
    return instance.call("run")

def tell(function, n):
    global calls
    try:
        function(n)
        outcomes.add("returned")
        calls += 1
    except RecursionError as error:
        outcomes.add(type(error).__name__)

for depths, function in ((range(840, 1000), call), (range(200, 500), by_c)):
    for depth in depths:
        # Each is a new guest: the collector begins in this very call.
        linker = bridge.linker(engine())
        linker.define_func("test", "host", wasmtime.FuncType([], []), lambda: tell(call, depth - 20))
        with wasmtime.Store(engine()) as store:
            instance = bridge.instantiate(linker, store, compiled(text), name="guest")
            # Its items are got now: wasmtime-py fails in other ways there.
            instance.exports(store)
            tell(function, depth)
            if function is call:
                instance.call("through")
print(sorted(outcomes), calls == len(telemetry.logs()), bridge.rejected())
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )


def numbers(letters: str) -> str:
    kinds = {"i": "i32", "l": "i64", "d": "f64", "p": "i32"}
    return " ".join(f"({kinds[letter]}.const 0)" for letter in letters)


class TestHandlerThatRaises:
    @pytest.mark.parametrize("exception", ["Late", "KeyboardInterrupt", "SystemExit"])
    @pytest.mark.parametrize("name", ["flush", "measure_f64", "span_start", "log"])
    def test_in_a_telemetry_call(self, name: str, exception: str) -> None:
        """What a handler raises in a telemetry call (an interrupt, a timeout) does not end the process: the call from
        the host raises it, once the guest is done."""
        params, result = functions()[name]
        call = f"(call ${name} {numbers(params)})"
        program = PROGRAM.format(
            exception=exception,
            imports=abi_imports(name),
            call=f"(drop {call})" if result else call,
        )

        done = run(program)

        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [exception] * 3 + ["4 {}"]

    def test_without_a_call(self) -> None:
        """In a guest that calls nothing, the handler runs when the guest is done, and the accounts are in order."""
        done = run(PROGRAM.format(exception="Late", imports="", call=""))

        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == ["Late"] * 3 + ["4 {}"]

    def test_in_a_wasi_call(self) -> None:
        """The same in a WASI function that is watched."""
        program = PROGRAM.format(
            exception="KeyboardInterrupt",
            imports='(import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))',
            call="(drop (call $w (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 16)))",
        )

        done = run(program)

        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == ["KeyboardInterrupt"] * 3 + ["4 {}"]


@pytest.mark.parametrize(
    ("delivery", "native"), [("sdk", True), ("live", True), (None, False)], ids=["sdk", "live", "public"]
)
def test_little_stack(delivery: str | None, native: bool) -> None:
    """A guest that is called near the limit of recursion tells all or is not called: nothing dies, nothing is lost."""
    done = run(DEEP.format(delivery=delivery, native=native, imports=abi_imports("log")))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "['RecursionError', 'returned'] True {}\n"


class Struck(LogRecordProcessor):
    """An application's processor in which a signal's handler raises, once."""

    def __init__(self) -> None:
        self._has_struck = False

    def on_emit(self, log_record: Any) -> None:
        if not self._has_struck:
            self._has_struck = True
            raise KeyboardInterrupt

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 0) -> bool:
        return True


class TestCollector:
    """What a collector knows of the calls that run stays true, wherever a handler raises."""

    def test_end_of_a_call(self, telemetry: Telemetry) -> None:
        """A handler that raises while records are passed on does not keep the call from being over."""
        telemetry.logger_provider.add_log_record_processor(Struck())
        guest = Guest(telemetry.bridge(delivery="sdk"))

        with pytest.raises(KeyboardInterrupt):
            guest.run(lambda: guest.log("in the call"))
        guest.log("outside")
        guest.run(lambda: guest.log("in the next"))
        guest.log("outside again")

        assert telemetry.log("outside").span_id == telemetry.log("outside again").span_id == 0
        assert telemetry.log("in the next").span_id == telemetry.spans()[-1].context.span_id

    @pytest.mark.parametrize("inner_tells", [True, False])
    def test_first_telling(self, inner_tells: bool) -> None:
        """A handler that raises while a collector begins and is told of the calls that run: whatever line it strikes
        at, what the outer call tells is the outer call's, and what is told outside of one is nobody's."""
        codes = {
            function.__code__
            for function in (
                StoreCalls.begin,
                StoreCalls.start,
                StoreCalls._tell,
                StoreCollector.begin,
                StoreCollector._begin,
            )
        }
        strike = 0
        while True:
            telemetry = Telemetry()
            guest = Guest(telemetry.bridge(delivery="sdk"))
            line = _Line(codes, strike)

            def outer(guest: Guest = guest, line: _Line = line) -> None:
                sys.settrace(line.trace)
                with suppress(KeyboardInterrupt):
                    guest.run(lambda: guest.log("inner") if inner_tells else None)
                guest.log("outer")
                sys.settrace(None)

            with suppress(KeyboardInterrupt):
                guest.run(outer)
            sys.settrace(None)
            guest.log("outside")

            outer_span = telemetry.spans()[-1]
            assert outer_span.parent is None
            # The record in hand may be lost.
            told = {log.span_id for log in telemetry.logs() if log.body == "outer"}
            assert told <= {outer_span.context.span_id}, line.struck
            assert telemetry.log("outside").span_id == 0, line.struck
            telemetry.close()
            if line.struck is None:
                assert told
                break
            strike += 1
        assert strike > 30


class _Line:
    """Raises as a signal's handler does, at one of the lines of some functions that are executed."""

    def __init__(self, codes: set[CodeType], number: int) -> None:
        self._codes = codes
        self._left = number
        self.struck: tuple[str, int] | None = None

    def trace(self, frame: Any, event: str, _arg: object) -> Any:
        if frame.f_code not in self._codes:
            return None
        if event == "line" and self.struck is None:
            if self._left == 0:
                self.struck = frame.f_code.co_name, frame.f_lineno
                raise KeyboardInterrupt
            self._left -= 1
        return self.trace
