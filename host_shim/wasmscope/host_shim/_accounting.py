"""What each module and tenant used."""

from __future__ import annotations

import threading
from dataclasses import dataclass

__all__ = ["CallCost", "ModuleUsage", "Usage"]


@dataclass(frozen=True, slots=True)
class CallCost:
    """What one call into a guest cost.

    Attributes:
        cpu_ns: Thread CPU time of the guest's own code.
        host_ns: Wall time in host functions, telemetry included, without nested guests.
        telemetry_ns: Of that, wall time in telemetry calls.
        duration_ns: Wall time of the call.
        fuel: Fuel consumed by the guest and not by guests nested in the same store; None where the engine does not
            count it.
        memory_bytes: Size of the linear memory at the end, or None without memory.
    """

    cpu_ns: int
    host_ns: int
    telemetry_ns: int
    duration_ns: int
    fuel: int | None
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class ModuleUsage:
    """What a module used for a tenant, over all its instances.

    *Accuracy*: see `wasmscope.host_shim._clock`. Memory is looked at when a call ends and when an instance is made
    or goes: growth that is undone in between
    cannot happen (linear memory never shrinks), but a peak over several instances may be missed if one grows and
    goes inside another's call.

    Attributes:
        module: The module's name.
        tenant: The tenant, or None.
        instances: Live instances.
        calls: Calls from the host.
        errors: Of those, the ones that trapped, raised, or exited with a code other than 0.
        cpu_ns: Thread CPU time of guest code.
        host_ns: Wall time in host functions.
        telemetry_ns: Of that, in telemetry calls.
        fuel: Fuel consumed, or None where no engine counts it.
        memory_bytes: Linear memory of the live instances together.
        memory_peak_bytes: The most that was.
    """

    module: str
    tenant: str | None
    instances: int
    calls: int
    errors: int
    cpu_ns: int
    host_ns: int
    telemetry_ns: int
    fuel: int | None
    memory_bytes: int
    memory_peak_bytes: int


class Usage:
    """The running totals of one module and tenant. Thread-safe."""

    def __init__(self, module: str, tenant: str | None) -> None:
        self.module = module
        self.tenant = tenant
        self._lock = threading.Lock()
        self._instances = 0
        self._calls = 0
        self._errors = 0
        self._cpu_ns = 0
        self._host_ns = 0
        self._telemetry_ns = 0
        self._fuel: int | None = None
        self._memory_bytes = 0
        self._memory_peak_bytes = 0

    def add_instance(self) -> None:
        """Count an instance."""
        with self._lock:
            self._instances += 1

    def note_memory(self, grown_bytes: int) -> None:
        """Count memory that an instance has more than it was last known to have."""
        with self._lock:
            self._grow(grown_bytes)

    def remove_instance(self, memory_bytes: int) -> None:
        """Take an instance and its last known memory away."""
        with self._lock:
            self._instances -= 1
            self._memory_bytes -= memory_bytes

    def add_call(self, cost: CallCost, *, grown_bytes: int, is_call: bool, is_error: bool) -> None:
        """Count what a call cost.

        Args:
            cost: What it cost.
            grown_bytes: How much linear memory the instance has more than before.
            is_call: Whether it was a call and not an instantiation.
            is_error: Whether it failed.
        """
        with self._lock:
            self._calls += is_call
            self._errors += is_error
            self._cpu_ns += cost.cpu_ns
            self._host_ns += cost.host_ns
            self._telemetry_ns += cost.telemetry_ns
            if cost.fuel is not None:
                self._fuel = (self._fuel or 0) + cost.fuel
            self._grow(grown_bytes)

    def _grow(self, size: int) -> None:
        self._memory_bytes += size
        self._memory_peak_bytes = max(self._memory_peak_bytes, self._memory_bytes)

    def snapshot(self) -> ModuleUsage:
        """Give the totals so far."""
        with self._lock:
            return ModuleUsage(
                module=self.module,
                tenant=self.tenant,
                instances=self._instances,
                calls=self._calls,
                errors=self._errors,
                cpu_ns=self._cpu_ns,
                host_ns=self._host_ns,
                telemetry_ns=self._telemetry_ns,
                fuel=self._fuel,
                memory_bytes=self._memory_bytes,
                memory_peak_bytes=self._memory_peak_bytes,
            )
