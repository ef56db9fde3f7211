"""What telemetry costs a guest in fuel."""

from __future__ import annotations

import pytest
import wasmtime

from tests.support.guests import abi_imports
from tests.support.telemetry import Telemetry

TALKS = f"""(module {abi_imports("log", "span_start", "span_end")} (memory (export "memory") 1)
  (data (i32.const 16) "some words")
  (func (export "run") (param $times i32)
    (loop
      i32.const 0 i32.const 16 i32.const 4 i64.const 0 i32.const 1 i32.const 0 i32.const 0 call $span_start
      (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 16) (i32.const 10) (i32.const 0) (i32.const 0))
      call $span_end
      (br_if 0 (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))))"""


def fuel_of_each_call(telemetry: Telemetry, delivery: str, calls: int) -> list[int]:
    """Run the guest some times in a new store; the fuel that each call burns."""
    config = wasmtime.Config()
    config.consume_fuel = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    store.set_fuel(10**9)
    bridge = telemetry.bridge(delivery=delivery)
    instance = bridge.instantiate(wasmtime.Linker(engine), store, wasmtime.Module(engine, TALKS), name="talks")
    burnt: list[int] = []
    for _ in range(calls):
        before = store.get_fuel()
        instance.call("run", 500)
        burnt.append(before - store.get_fuel())
    store.close()
    return burnt


class TestFuel:
    def test_the_same_each_time(self, telemetry: Telemetry) -> None:
        """The same calls burn the same fuel, with other ids and at other times, also where buffers fill up."""
        first = fuel_of_each_call(telemetry, "sdk", 3)

        assert fuel_of_each_call(telemetry, "sdk", 3) == first
        assert len(telemetry.logs()) == 2 * 3 * 500

    @pytest.mark.parametrize(("delivery", "least", "most"), [("live", 0, 100), ("sdk", 1_000, 6_000)])
    def test_who_pays(self, telemetry: Telemetry, delivery: str, least: int, most: int) -> None:
        """The collector's work is the guest's fuel; what Python does costs it none."""
        (burnt,) = fuel_of_each_call(telemetry, delivery, 1)

        assert least < burnt / 500 < most
