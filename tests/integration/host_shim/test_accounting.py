"""Who used how much: CPU, host time, fuel, compared with the clocks and with arithmetic.

CPU time is compared with the thread's own clock read around the same code, so that a busy machine changes nothing: a
thread that waits for a processor uses none. What remains is the work of the bridge itself around a call, some 30 us.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import wasmtime
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord

from tests.support.guests import abi_imports, compiled, engine
from tests.support.telemetry import Telemetry
from wasmscope.host_shim import Bridge, GuestInstance, ModuleUsage

MS = 1_000_000
TOLERANCE_NS = 15 * MS
"""How far a sum may be off: half of the least that could be charged twice or not at all, which is 30 ms.

A thread that is moved to another processor is charged for filling its caches, so less than this is not certain.
"""

GUEST = f"""(module
    {abi_imports("log")}
    (import "host" "f" (func $f))
    (memory (export "memory") 1)
    (func $burn (export "burn") (param $n i32) (result i32) (local $x i32)
        (loop (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1103515245)) (i32.const 12345)))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $x))
    (func $say (export "say") (param $n i32)
        (loop
            (call $log (i32.const 0) (i32.const 9) (i64.const 0) (i32.const 0) (i32.const 8)
                (i32.const 0) (i32.const 0))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func (export "host") (call $f))
    (func (export "burn_host_burn") (param i32) (drop (call $burn (local.get 0))) (call $f)
        (drop (call $burn (local.get 0))))
    (func (export "burn_say_burn") (param i32 i32) (drop (call $burn (local.get 0))) (call $say (local.get 1))
        (drop (call $burn (local.get 0))))
    (func (export "burn_trap") (param i32) (drop (call $burn (local.get 0))) unreachable))"""


@pytest.fixture(autouse=True)
def no_collections() -> Iterator[None]:
    """Garbage collections take as long as what is measured here, at any moment."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def burn_python(milliseconds: float) -> int:
    """Use CPU time in Python; how much, in ns."""
    start = time.thread_time_ns()
    while time.thread_time_ns() - start < milliseconds * MS:
        pass
    return time.thread_time_ns() - start


class Costs:
    """What a piece of code took by the thread's clocks."""

    def __enter__(self) -> Costs:
        self._wall = time.perf_counter_ns()
        self._cpu = time.thread_time_ns()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu_ns = time.thread_time_ns() - self._cpu
        self.wall_ns = time.perf_counter_ns() - self._wall


def instance_of(
    bridge: Bridge, host: Callable[[], Any] = lambda: None, *, known: bool = True, **options: Any
) -> GuestInstance:
    linker = bridge.linker(engine()) if known else wasmtime.Linker(engine())
    linker.define_func("host", "f", wasmtime.FuncType([], []), lambda: [host(), None][1])
    store = options.pop("store", None) or wasmtime.Store(engine())
    given: dict[str, Any] = {"name": "guest", **options}
    return bridge.instantiate(linker, store, compiled(GUEST), **given)


@pytest.fixture(scope="module")
def iterations() -> int:
    """How many iterations of the guests' loop take some 40 ms here."""
    store = wasmtime.Store(engine())
    linker = wasmtime.Linker(engine())
    linker.define_unknown_imports_as_traps(compiled(GUEST))
    function = linker.instantiate(store, compiled(GUEST)).exports(store)["burn"]
    assert isinstance(function, wasmtime.Func)
    with Costs() as costs:
        function(store, 10_000_000)
    return int(10_000_000 * 40 * MS / costs.cpu_ns)


def one(bridge: Bridge, name: str = "guest") -> ModuleUsage:
    (found,) = [usage for usage in bridge.usage() if usage.module == name]
    return found


def near(found: int, expected: int, tolerance: int = TOLERANCE_NS) -> bool:
    return abs(found - expected) <= tolerance


class TestCpu:
    def test_guest(self, bridge: Bridge, iterations: int, telemetry: Telemetry) -> None:
        """A guest that computes is charged what the thread used, in the sums and on the call's span."""
        instance = instance_of(bridge)
        before = one(bridge)

        with Costs() as costs:
            instance.call("burn", iterations)

        usage = one(bridge)
        assert costs.cpu_ns > 20 * MS
        assert near(usage.cpu_ns - before.cpu_ns, costs.cpu_ns)
        assert usage.cpu_ns - before.cpu_ns <= costs.cpu_ns
        attributes = telemetry.span("wasm.call burn").attributes or {}
        assert attributes["wasm.call.cpu_time_ns"] == usage.cpu_ns - before.cpu_ns
        assert attributes["wasm.call.host_time_ns"] == usage.host_ns == 0

    @pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
    def test_sleeping_host(self, bridge: Bridge, iterations: int, known: bool) -> None:
        """A host function that waits costs the guest no CPU time; if the bridge knows it, the wait is host time."""
        instance = instance_of(bridge, lambda: time.sleep(0.05), known=known)

        with Costs() as costs:
            instance.call("burn_host_burn", iterations)

        usage = one(bridge)
        assert near(usage.cpu_ns, costs.cpu_ns)
        assert costs.cpu_ns > 40 * MS
        assert 50 * MS <= usage.host_ns <= costs.wall_ns if known else usage.host_ns == 0

    def test_busy_host(self, bridge: Bridge, iterations: int) -> None:
        """CPU time of a host function that the bridge knows is not the guest's; one it does not know is."""
        used: list[int] = []
        known = instance_of(bridge, lambda: used.append(burn_python(40)))
        unknown = instance_of(bridge, lambda: used.append(burn_python(40)), known=False, name="unknown")

        with Costs() as costs:
            known.call("burn_host_burn", iterations)
        with Costs() as costs_unknown:
            unknown.call("burn_host_burn", iterations)

        usage = one(bridge)
        assert near(usage.cpu_ns + used[0], costs.cpu_ns)
        assert usage.cpu_ns < costs.cpu_ns - 30 * MS
        assert usage.host_ns >= used[0]
        assert near(one(bridge, "unknown").cpu_ns, costs_unknown.cpu_ns)

    def test_trap(self, bridge: Bridge, iterations: int) -> None:
        """What a call used that trapped or raised is counted, too."""
        instance = instance_of(bridge, lambda: burn_python(40) and 1 / 0)

        with Costs() as costs, pytest.raises(wasmtime.Trap):
            instance.call("burn_trap", iterations)
        assert near(one(bridge).cpu_ns, costs.cpu_ns)
        before = one(bridge)
        with Costs() as costs, pytest.raises(ZeroDivisionError):
            instance.call("burn_host_burn", iterations)
        usage = one(bridge)
        assert near(usage.cpu_ns - before.cpu_ns, costs.cpu_ns - 40 * MS)
        assert (usage.calls, usage.errors) == (2, 2)

    def test_instantiation(self, bridge: Bridge, iterations: int) -> None:
        """A start function's CPU time is the guest's; it is no call."""
        text = GUEST.removesuffix(")") + f"(func $go (drop (call $burn (i32.const {iterations})))) (start $go))"
        linker = bridge.linker(engine())
        linker.define_func("host", "f", wasmtime.FuncType([], []), lambda: None)

        with Costs() as costs:
            instance = bridge.instantiate(linker, wasmtime.Store(engine()), compiled(text), name="guest")

        usage = one(bridge)
        assert near(usage.cpu_ns, costs.cpu_ns)
        assert usage.cpu_ns > 20 * MS
        assert (usage.calls, usage.instances) == (0, 1)
        instance.close()


class TestNesting:
    def test_two_guests(self, bridge: Bridge, iterations: int) -> None:
        """A guest that is called by way of the host is charged for itself, and the guest around it is not."""
        used: list[int] = []
        inner = instance_of(bridge, name="inner", tenant="b")

        def host() -> None:
            used.append(burn_python(30))
            inner.call("burn", 2 * iterations)

        outer = instance_of(bridge, host, name="outer", tenant="a")

        with Costs() as costs:
            outer.call("burn_host_burn", iterations)

        first, second = one(bridge, "inner"), one(bridge, "outer")
        assert near(first.cpu_ns + second.cpu_ns + used[0], costs.cpu_ns)
        # Both run the same loop equally often.
        assert near(first.cpu_ns, second.cpu_ns, (first.cpu_ns + second.cpu_ns) // 4)
        # The host's time is without the inner guest's.
        assert second.host_ns >= used[0]
        assert second.host_ns <= costs.wall_ns - first.cpu_ns - second.cpu_ns
        assert first.host_ns == 0

    def test_reentrancy(self, bridge: Bridge, iterations: int) -> None:
        """A guest that is called again by a host function it called is charged once for each part."""
        depth: list[int] = []

        def host() -> None:
            if len(depth) < 3:
                depth.append(1)
                burn_python(10)
                instance.call("burn_host_burn", iterations)

        instance = instance_of(bridge, host)

        with Costs() as costs:
            instance.call("burn_host_burn", iterations)

        usage = one(bridge)
        assert near(usage.cpu_ns + 30 * MS, costs.cpu_ns)
        assert (usage.calls, usage.errors) == (4, 0)
        assert usage.host_ns >= 30 * MS

    def test_linked(self, bridge: Bridge, iterations: int) -> None:
        """A guest that another one calls directly works on that one's account: there is one call from the host."""
        store = wasmtime.Store(engine())
        library = instance_of(bridge, name="library", store=store)
        linker = wasmtime.Linker(engine())
        linker.define(store, "library", "burn", wasmtime.Instance.exports(library, store)["burn"])
        text = """(module (import "library" "burn" (func $f (param i32) (result i32))) (export "run" (func $f)))"""
        caller = bridge.instantiate(linker, store, compiled(text), name="caller")

        with Costs() as costs:
            caller.call("run", iterations)

        assert near(one(bridge, "caller").cpu_ns, costs.cpu_ns)
        assert one(bridge, "library").calls == 0

    def test_threads(self, bridge: Bridge, iterations: int) -> None:
        """Threads that compute at once are charged each by its own clock."""
        expected: dict[str, int] = {}

        def work(number: int) -> None:
            instance = instance_of(bridge, lambda: time.sleep(0.01), tenant=str(number))
            with Costs() as costs:
                for _ in range(2):
                    instance.call("burn_host_burn", iterations // 2)
            expected[str(number)] = costs.cpu_ns

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        for usage in bridge.usage():
            assert usage.tenant is not None
            assert near(usage.cpu_ns, expected[usage.tenant])
            assert usage.calls == 2
            assert usage.host_ns >= 20 * MS


class Slow(LogRecordProcessor):
    """A processor of the application that takes its time."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        self.work()

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class TestTelemetry:
    def test_many_calls(self, bridge: Bridge, telemetry: Telemetry, native: bool) -> None:
        """Telemetry calls are not the guest's CPU time but for the way to and from the host: a fifth by the C API,
        where the guest does nothing else."""
        instance = instance_of(bridge)
        times = 4_000
        shares: list[float] = []
        for attempt in range(1, 11):
            before = one(bridge)
            with Costs() as costs:
                instance.call("say", times)
            usage = one(bridge)
            cpu_ns, telemetry_ns = usage.cpu_ns - before.cpu_ns, usage.telemetry_ns - before.telemetry_ns

            assert len(telemetry.logs()) == times * attempt
            assert usage.telemetry_ns == usage.host_ns > 0
            assert cpu_ns < costs.cpu_ns
            # What is not the guest's is telemetry, or the thread waited for a processor meanwhile.
            assert cpu_ns + telemetry_ns >= costs.cpu_ns - TOLERANCE_NS
            assert telemetry_ns <= costs.wall_ns
            shares.append(cpu_ns / costs.cpu_ns)
            # While others use the processors, waits are charged to the guest: some time they do not.
            if shares[-1] < 0.2:
                break
        # wasmtime-py's own work for each call cannot be told from the guest's.
        assert min(shares) < 0.2 or not native

    def test_waiting(self, bridge: Bridge, telemetry: Telemetry, iterations: int) -> None:
        """Telemetry that waits (for a lock, a disk) neither adds to nor takes from the guest's CPU time."""
        telemetry.logger_provider.add_log_record_processor(Slow(lambda: time.sleep(0.004)))
        instance = instance_of(bridge)

        with Costs() as costs:
            instance.call("burn_say_burn", iterations, 20)

        usage = one(bridge)
        assert usage.telemetry_ns >= 80 * MS
        assert near(usage.cpu_ns, costs.cpu_ns)
        assert usage.cpu_ns <= costs.cpu_ns

    def test_busy(self, bridge: Bridge, telemetry: Telemetry, iterations: int) -> None:
        """Telemetry that computes (compresses, encrypts) is not charged to the guest.

        A wait of the guest's thread before such a call cannot be told from one in it: as much as one call may be
        charged to the guest each time the thread has to wait for a processor.
        """
        used: list[int] = []
        telemetry.logger_provider.add_log_record_processor(Slow(lambda: used.append(burn_python(0.5))))
        instance = instance_of(bridge)

        with Costs() as costs:
            instance.call("burn_say_burn", iterations, 100)

        usage = one(bridge)
        assert sum(used) >= 50 * MS
        assert near(usage.cpu_ns + sum(used), costs.cpu_ns, sum(used) // 2)
        assert usage.cpu_ns >= costs.cpu_ns - usage.telemetry_ns - TOLERANCE_NS
        assert usage.cpu_ns < costs.cpu_ns - sum(used) // 2


@pytest.fixture(scope="module")
def fueled() -> wasmtime.Engine:
    """An engine that counts fuel."""
    config = wasmtime.Config()
    config.consume_fuel = True
    return wasmtime.Engine(config)


class TestFuel:
    def instance(
        self, bridge: Bridge, store: wasmtime.Store, host: Callable[[], Any] = lambda: None, **options: Any
    ) -> GuestInstance:
        linker = bridge.linker(store.engine)
        linker.define_func("host", "f", wasmtime.FuncType([], []), lambda: [host(), None][1])
        module = wasmtime.Module(store.engine, GUEST)
        given: dict[str, Any] = {"name": "guest", **options}
        return bridge.instantiate(linker, store, module, **given)

    def test_exact(self, bridge: Bridge, fueled: wasmtime.Engine, telemetry: Telemetry) -> None:
        """A call's fuel is the difference that wasmtime tells, to the unit; telemetry and host functions use none."""
        store = wasmtime.Store(fueled)
        store.set_fuel(1_000_000)
        instance = self.instance(bridge, store)
        before = one(bridge).fuel or 0
        spent: list[int] = []
        for name, args in (("burn", (1_000,)), ("say", (50,)), ("host", ()), ("burn_say_burn", (10, 10))):
            left = store.get_fuel()
            instance.call(name, *args)
            spent.append(left - store.get_fuel())

        found = [(span.attributes or {})["wasm.call.fuel"] for span in telemetry.spans()]
        assert found == spent
        assert all(fuel > 0 for fuel in spent)
        assert (one(bridge).fuel or 0) - before == sum(spent)

    def test_nested(self, bridge: Bridge, fueled: wasmtime.Engine, telemetry: Telemetry) -> None:
        """Guests in one store share its fuel: each call is charged what it used itself, and the sum is the whole."""
        store = wasmtime.Store(fueled)
        store.set_fuel(1_000_000)
        inner = self.instance(bridge, store, name="inner")

        def host() -> None:
            inner.call("burn", 500)
            inner.call("burn", 300)

        outer = self.instance(bridge, store, host, name="outer")
        alone = self.instance(bridge, store, name="alone")
        start = {usage.module: usage.fuel or 0 for usage in bridge.usage()}
        left = store.get_fuel()

        outer.call("burn_host_burn", 100)
        whole = left - store.get_fuel()
        alone.call("burn_host_burn", 100)

        used = {usage.module: (usage.fuel or 0) - start[usage.module] for usage in bridge.usage()}
        assert used["inner"] + used["outer"] == whole
        assert used["outer"] == used["alone"]

    def test_reentrant_and_trapping(self, bridge: Bridge, fueled: wasmtime.Engine) -> None:
        """The sum is the whole also where a guest calls itself by way of the host, and where a call traps."""
        store = wasmtime.Store(fueled)
        store.set_fuel(1_000_000)
        depth: list[int] = []

        def host() -> None:
            depth.append(1)
            if len(depth) < 4:
                instance.call("burn_host_burn", 10 * len(depth))
            with pytest.raises(wasmtime.Trap):
                instance.call("burn_trap", 7)

        instance = self.instance(bridge, store, host)
        before, left = one(bridge).fuel or 0, store.get_fuel()

        instance.call("burn_host_burn", 5)

        assert (one(bridge).fuel or 0) - before == left - store.get_fuel()

    def test_refueled(self, bridge: Bridge, fueled: wasmtime.Engine, telemetry: Telemetry) -> None:
        """A call during which the host refuels is charged no wrong number."""
        store = wasmtime.Store(fueled)
        store.set_fuel(10_000)
        instance = self.instance(bridge, store, lambda: store.set_fuel(1_000_000))

        instance.call("host")

        assert "wasm.call.fuel" not in (telemetry.span("wasm.call host").attributes or {})

    def test_not_counted(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """Where the engine counts no fuel, none is told."""
        instance_of(bridge).call("host")

        assert one(bridge).fuel is None
        assert "wasm.call.fuel" not in (telemetry.span("wasm.call host").attributes or {})
        assert telemetry.points("wasmscope", "wasm.fuel.consumed") == []


class TestMetrics:
    def test_usage(self, bridge: Bridge, telemetry: Telemetry, fueled: wasmtime.Engine) -> None:
        """All accounts are metrics, by module and tenant."""
        store = wasmtime.Store(fueled)
        store.set_fuel(1_000_000)
        fuel = TestFuel()
        one_ = fuel.instance(bridge, store, lambda: time.sleep(0.001), name="one", tenant="a")
        two = fuel.instance(bridge, store, name="two")
        one_.call("burn_host_burn", 100)
        one_.call("say", 3)
        with pytest.raises(wasmtime.Trap):
            two.call("burn_trap", 1)

        usages = bridge.usage()
        metrics = {name: metric for (scope, name), metric in telemetry.metrics().items() if scope == "wasmscope"}
        expected: dict[str, tuple[str, Callable[[ModuleUsage], Any]]] = {
            "wasm.calls": ("{call}", lambda u: u.calls),
            "wasm.call.errors": ("{call}", lambda u: u.errors),
            "wasm.cpu.time": ("s", lambda u: u.cpu_ns / 1e9),
            "wasm.host.time": ("s", lambda u: u.host_ns / 1e9),
            "wasm.telemetry.time": ("s", lambda u: u.telemetry_ns / 1e9),
            "wasm.fuel.consumed": ("{fuel}", lambda u: u.fuel),
            "wasm.instances": ("{instance}", lambda u: u.instances),
            "wasm.memory.usage": ("By", lambda u: u.memory_bytes),
            "wasm.memory.peak": ("By", lambda u: u.memory_peak_bytes),
        }
        assert {name for name in metrics if name.startswith("wasm.")} == set(expected)
        for name, (unit, pick) in expected.items():
            assert metrics[name].unit == unit
            assert metrics[name].data.is_monotonic == (
                name not in {"wasm.instances", "wasm.memory.usage", "wasm.memory.peak"}
            )
            assert [(dict(point.attributes), point.value) for point in metrics[name].data.data_points] == [
                ({"wasm.module.name": "one", "wasm.tenant": "a"}, pick(usages[0])),
                ({"wasm.module.name": "two"}, pick(usages[1])),
            ]
        assert [(usage.calls, usage.errors, usage.instances) for usage in usages] == [(2, 0, 1), (1, 1, 1)]

    def test_closed_bridge(self, telemetry: Telemetry) -> None:
        """A bridge that is gone reports nothing and breaks no collection."""
        bridge = telemetry.bridge()
        instance_of(bridge).call("host")
        bridge.close()
        telemetry._bridges.clear()
        del bridge

        assert all(scope != "wasmscope" or metric is not None for (scope, _), metric in telemetry.metrics().items())
