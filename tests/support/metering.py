"""The collector's metrics, driven without a guest: what the glue does is done here in Python."""

from __future__ import annotations

import functools
import struct
import weakref
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import wasmtime

from tests.support import packing
from wasmscope.delivery import MetricRecord, read_metrics

__all__ = [
    "COUNTER",
    "EXPONENTIAL",
    "F64",
    "GAUGE",
    "HISTOGRAM",
    "I64",
    "PLENTY",
    "RAW_HISTOGRAMS",
    "REASONS",
    "UP_DOWN",
    "Metering",
]

COUNTER, UP_DOWN, HISTOGRAM, GAUGE = 1, 2, 3, 4
I64, F64 = 0, 1
RAW_HISTOGRAMS, EXPONENTIAL = 1, 4

REASONS = [
    "body_cut",
    "no_memory",
    "out_of_bounds",
    "utf8",
    "attribute",
    "attribute_type",
    "attribute_field",
    "attribute_reserved",
    "attribute_key",
    "attributes_size",
    "attribute_count",
    "attribute_elements",
    "attribute_depth",
    "severity",
    "kind",
    "status",
    "ended",
    "not_entered",
    "descriptor",
    "callsite",
    "instrument",
    "attribute_set",
    "handle",
    "traceparent",
    "tracestate",
    "measurement",
    "event_count",
    "link_count",
    "open_spans",
    "span_depth",
    "callsite_count",
    "instrument_count",
    "kept_bytes",
    "internal",
    "interrupted",
    "buffer_full",
]

# Offsets in the CONTROL block, and the limits that are none of these tests' business.
_METRICS_DIRTY = 144
_SCRATCH = 176
_LIMITS = {
    "body": 65_536,
    "value": 16_384,
    "name": 1_024,
    "message": 16_384,
    "stack": 65_536,
    "key": 256,
    "attributes_bytes": 1_048_576,
    "attributes": 128,
    "elements": 1_024,
    "depth": 8,
    "events": 128,
    "links": 128,
    "open_spans": 10_000,
    "span_depth": 1_024,
    "callsites": 4_096,
    "instruments": 1_000,
    "attribute_sets": 2_000,
    "descriptor": 65_536,
    "kept_bytes": 16_777_216,
    "kept_contexts": 1_024,
}

PLENTY = 2**62


@functools.cache
def _compiled(fuel: bool) -> tuple[wasmtime.Engine, wasmtime.Module]:
    config = wasmtime.Config()
    config.consume_fuel = fuel
    engine = wasmtime.Engine(config)
    return engine, wasmtime.Module(engine, files("wasmscope.host_shim").joinpath("_collector.wasm").read_bytes())


class Metering:
    """A collector with guests that measure. Time stands at `now_ns`."""

    def __init__(
        self,
        *,
        flags: int = 0,
        buffer_bytes: int = 65_536,
        max_size: int = 160,
        max_scale: int = 20,
        fuel: bool = False,
        **limits: int,
    ) -> None:
        self.engine, module = _compiled(fuel)
        self.store = wasmtime.Store(self.engine)
        if fuel:
            self.store.set_fuel(PLENTY)
        self.now_ns = 1_700_000_000_000_000_000
        self.asked: list[int] = []
        self.taken = b""
        self.is_taking = True
        linker = wasmtime.Linker(self.engine)
        i32, i64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
        # wasmtime keeps the functions until the store goes, which goes with this.
        this = weakref.proxy(self)
        linker.define_func("host", "call", wasmtime.FuncType([i32, i32], [i64]), lambda *args: this.host_call(*args))
        linker.define_func(
            "wasi_snapshot_preview1",
            "clock_time_get",
            wasmtime.FuncType([i32, i64, i32], [i32]),
            lambda *args: this.read_clock(*args),
        )
        exports: Any = linker.instantiate(self.store, module).exports(self.store)
        self._exports = exports
        self.memory: Any = exports["memory"]
        self._stack: Any = exports["__stack_pointer"]
        self._stack_start: int = self._stack.value(self.store)
        self.control: int = self.call("control")
        for index, value in enumerate({**_LIMITS, **limits}.values()):
            self.write(self.control + 256 + 4 * index, "I", value)
        self.write(self.control + 336, "IIIIII", 0, flags, 0, 0, 0, buffer_bytes)
        self.write(self.control + 372, "Ii", max_size, max_scale)
        assert self.call("init", 1, 2, 3, 4, 0, 1_000)
        assert self.call("ready", 0)
        self.guest = 0

    # The host's side.

    def host_call(self, operation: int, guest: int) -> int:
        """Answer the collector; only FULL is ever asked."""
        self.asked.append(operation)
        if operation == 1 and self.is_taking:
            self.taken += self._take(guest)
        return 0

    def read_clock(self, clock: int, precision: int, address: int) -> int:
        """Tell the time."""
        self.write(address, "Q", self.now_ns)
        return 0

    def call(self, name: str, *args: int | float) -> Any:
        """Call a function of the collector; a number that it gives is unsigned."""
        result = self._exports[name](self.store, *args)
        return result & 0xFFFF_FFFF if isinstance(result, int) else result

    def survives(self, fuel: int, action: Callable[[], object]) -> bool:
        """Do something with so much fuel; False if a trap struck because it was too little. Then there is plenty."""
        self.store.set_fuel(fuel)
        try:
            action()
        except wasmtime.Trap:
            self._stack.set_value(self.store, self._stack_start)
            return False
        finally:
            self.store.set_fuel(PLENTY)
        return True

    def snapshot(self) -> bytes:
        """Copy the memory: but for the stack pointer, all that a collector is."""
        return bytes(self.memory.read(self.store, 0, self.memory.data_len(self.store)))

    def restore(self, snapshot: bytes) -> None:
        """Put a collector back; its memory must not have grown."""
        assert len(snapshot) == self.memory.data_len(self.store)
        self.memory.write(self.store, snapshot, 0)
        self.taken = b""

    def write(self, address: int, form: str, *values: int) -> None:
        """Write numbers into its memory."""
        self.memory.write(self.store, struct.pack(f"<{form}", *values), address)

    def read(self, address: int, form: str) -> tuple[Any, ...]:
        """Read numbers from its memory."""
        size = struct.calcsize(f"<{form}")
        return struct.unpack(f"<{form}", bytes(self.memory.read(self.store, address, address + size)))

    # A guest's side, as the glue passes it on.

    def _range(self, data: bytes) -> int:
        assert self.call("reserve", len(data)) == 1
        (scratch,) = self.read(self.control + _SCRATCH, "I")
        self.memory.write(self.store, data, scratch)
        return len(data)

    def instrument(self, kind: int, number: int, data: bytes) -> int:
        """Register an instrument by its descriptor."""
        return int(self.call("instrument", self.guest, kind, number, self._range(data)))

    def attribute_set(self, items: Mapping[str, Any] | bytes) -> int:
        """Register attributes, or a list as it is."""
        data = items if isinstance(items, bytes) else packing.attributes(items)
        return int(self.call("attribute_set", self.guest, self._range(data)))

    def i64(self, instrument: int, value: int, attribute_set: int = 0) -> None:
        """Measure a whole number."""
        self.call("measure_i64", self.guest, instrument, value, attribute_set)

    def f64(self, instrument: int, value: float, attribute_set: int = 0) -> None:
        """Measure a number."""
        self.call("measure_f64", self.guest, instrument, value, attribute_set)

    # What comes out.

    def _take(self, guest: int) -> bytes:
        block = self.call("guest_address", guest)
        pointer, size = self.read(block + 24, "II")
        data = bytes(self.memory.read(self.store, pointer, pointer + size))
        self.write(block + 28, "I", 0)
        return data

    def drain(self) -> bytes:
        """Have the collector give out what was measured."""
        data, self.taken = self.taken, b""
        more = 1
        while more:
            more = self.call("drain_metrics", self.guest)
            data += self._take(self.guest)
        return data

    def records(self) -> list[MetricRecord]:
        """Drain, and decode."""
        return list(read_metrics(self.drain()))

    @property
    def is_dirty(self) -> bool:
        """Whether there is something to drain."""
        return bool(self.read(self.control + _METRICS_DIRTY, "I")[0])

    @property
    def measurements(self) -> int:
        """How many measurements were counted."""
        return int(self.read(self.call("guest_address", self.guest) + 64, "Q")[0])

    def rejected(self) -> dict[str, int]:
        """What was counted as unusable, by reason."""
        counts: Sequence[int] = self.read(self.call("guest_address", self.guest) + 128, "64I")
        return {REASONS[index]: count for index, count in enumerate(counts) if count}
