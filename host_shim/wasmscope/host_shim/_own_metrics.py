"""The bridge's metrics of guests and of itself."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Protocol

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from wasmscope.host_shim._accounting import ModuleUsage
from wasmscope.host_shim.attributes import WASM_MODULE_NAME, WASM_TENANT

__all__ = ["Observed", "observe"]


class Observed(Protocol):
    """What is observed."""

    def usage_now(self) -> tuple[ModuleUsage, ...]:
        """Give what each module used for each tenant. Nothing is ended in the middle of a collection of metrics."""
        ...

    def rejected(self) -> dict[tuple[str, str | None, str], int]:
        """Give rejections by module, tenant and reason."""
        ...


def observe(meter: Meter, observed: Observed) -> None:
    """Make the instruments. They do not keep alive what they observe.

    Args:
        meter: Makes them.
        observed: What they show.
    """
    reference = weakref.ref(observed)

    def usage(pick: Callable[[ModuleUsage], float | None]) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def callback(_options: CallbackOptions) -> Iterable[Observation]:
            alive = reference()
            for item in () if alive is None else alive.usage_now():
                value = pick(item)
                if value is not None:
                    yield Observation(value, _attributes(item.module, item.tenant))

        return callback

    def rejected(_options: CallbackOptions) -> Iterable[Observation]:
        alive = reference()
        for (module, tenant, reason), count in ({} if alive is None else alive.rejected()).items():
            yield Observation(count, {**_attributes(module, tenant), "reason": reason})

    counter = meter.create_observable_counter
    gauge = meter.create_observable_up_down_counter
    counter("wasm.calls", [usage(lambda u: u.calls)], "{call}", "Calls from the host into the guest")
    counter(
        "wasm.call.errors",
        [usage(lambda u: u.errors)],
        "{call}",
        "Calls that trapped, raised or exited with an error",
    )
    counter("wasm.cpu.time", [usage(lambda u: u.cpu_ns / 1e9)], "s", "Thread CPU time of guest code")
    counter("wasm.host.time", [usage(lambda u: u.host_ns / 1e9)], "s", "Wall time in host functions")
    counter("wasm.telemetry.time", [usage(lambda u: u.telemetry_ns / 1e9)], "s", "Wall time in telemetry calls")
    counter("wasm.fuel.consumed", [usage(lambda u: u.fuel)], "{fuel}", "Fuel consumed")
    gauge("wasm.instances", [usage(lambda u: u.instances)], "{instance}", "Live instances")
    gauge("wasm.memory.usage", [usage(lambda u: u.memory_bytes)], "By", "Linear memory of live instances")
    gauge("wasm.memory.peak", [usage(lambda u: u.memory_peak_bytes)], "By", "The most linear memory so far")
    counter("wasmscope.rejected", [rejected], "{record}", "Guest telemetry that could not be used, by reason")


def _attributes(module: str, tenant: str | None) -> dict[str, str]:
    return {WASM_MODULE_NAME: module} if tenant is None else {WASM_MODULE_NAME: module, WASM_TENANT: tenant}
