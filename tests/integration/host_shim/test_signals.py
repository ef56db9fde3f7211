"""Signals that arrive while a guest runs: their handlers run inside telemetry calls, and may raise.

Each case is a process of its own, because what goes wrong here ends the process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.abi import functions
from tests.support.guests import abi_imports

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
