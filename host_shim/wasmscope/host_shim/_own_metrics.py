"""The bridge's metrics of guests and of itself."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from wasmscope.delivery import SenderStats, SignalStats
from wasmscope.host_shim._accounting import ModuleUsage
from wasmscope.host_shim._flow import Flow
from wasmscope.host_shim.attributes import WASM_MODULE_NAME, WASM_TENANT

__all__ = ["Observed", "ObservedPipeline", "observe", "observe_pipeline"]

_NAMES: Final = {"traces": "spans", "logs": "logs", "metrics": "metrics"}
"""What `SenderStats` calls the signals."""


class Observed(Protocol):
    """What is observed."""

    def usage_now(self) -> tuple[ModuleUsage, ...]:
        """Give what each module used for each tenant. Nothing is ended in the middle of a collection of metrics."""
        ...

    def rejected(self) -> dict[tuple[str, str | None, str], int]:
        """Give rejections by module, tenant and reason."""
        ...


class ObservedPipeline(Protocol):
    """What takes records from guests to where the application wants them."""

    def flow(self) -> dict[tuple[str, str | None], Flow]:
        """Give what went through collectors, by module and tenant."""
        ...

    def sent(self) -> SenderStats | None:
        """Give what the sender did; None if there is none."""
        ...

    def lost(self) -> dict[tuple[str, str], int]:
        """Give how many records were lost before the sender, by signal and reason."""
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


def observe_pipeline(meter: Meter, pipeline: ObservedPipeline) -> None:
    """Make the instruments of what takes records onwards; docs/deliveries.md lists them. They do not keep it alive.

    Args:
        meter: Makes them.
        pipeline: What they show.
    """
    reference = weakref.ref(pipeline)

    def flow(**pick: Callable[[Flow], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def callback(_options: CallbackOptions) -> Iterable[Observation]:
            alive = reference()
            for (module, tenant), counted in ({} if alive is None else alive.flow()).items():
                for signal, value_of in pick.items():
                    own = {} if signal == "all" else {"signal": signal}
                    yield Observation(value_of(counted), {**_attributes(module, tenant), **own})

        return callback

    def sent(pick: Callable[[SignalStats], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def callback(_options: CallbackOptions) -> Iterable[Observation]:
            alive = reference()
            stats = None if alive is None else alive.sent()
            for signal, name in () if stats is None else _NAMES.items():
                yield Observation(pick(getattr(stats, name)), {"signal": signal})

        return callback

    def dropped(_options: CallbackOptions) -> Iterable[Observation]:
        alive = reference()
        if alive is None:
            return
        counts = alive.lost()
        stats = alive.sent()
        for signal, name in () if stats is None else _NAMES.items():
            of_signal: SignalStats = getattr(stats, name)
            for why, count in of_signal.dropped.items():
                counts[signal, why] = counts.get((signal, why), 0) + count
        for (signal, reason), count in counts.items():
            yield Observation(count, {"signal": signal, "reason": reason})

    counter = meter.create_observable_counter
    gauge = meter.create_observable_up_down_counter
    counter(
        "wasmscope.records",
        [flow(traces=lambda f: f.spans_started, logs=lambda f: f.logs, metrics=lambda f: f.measurements)],
        "{record}",
        "Spans that guests started, log records, measurements",
    )
    counter(
        "wasmscope.spans.unsampled",
        [flow(all=lambda f: f.spans_unsampled)],
        "{span}",
        "Spans that guests started and the sampler dropped",
    )
    counter(
        "wasmscope.delivered",
        [flow(traces=lambda f: f.spans_out, logs=lambda f: f.logs_out)],
        "{record}",
        "Spans and log records that left guests' collectors",
    )
    counter(
        "wasmscope.delivered.bytes",
        [flow(traces=lambda f: f.span_bytes, logs=lambda f: f.log_bytes, metrics=lambda f: f.metric_bytes)],
        "By",
        "What left guests' collectors",
    )
    counter(
        "wasmscope.delivery.time",
        [flow(all=lambda f: f.delivery_ns / 1e9)],
        "s",
        "Wall time of handing records on, in guests' threads",
    )
    counter("wasmscope.dropped", [dropped], "{record}", "Records that were lost after that, by reason")
    counter("wasmscope.sent", [sent(lambda s: s.sent)], "{record}", "Records that the endpoint took")
    counter("wasmscope.sent.bytes", [sent(lambda s: s.request_bytes)], "By", "Requests, before compression")
    counter("wasmscope.export.requests", [sent(lambda s: s.requests)], "{request}", "Requests, retries included")
    counter("wasmscope.export.retries", [sent(lambda s: s.retries)], "{request}", "Requests that were sent before")
    counter(
        "wasmscope.export.time", [sent(lambda s: s.latency.sum_s)], "s", "Time from sending requests to their answers"
    )
    gauge("wasmscope.queue.length", [sent(lambda s: s.waiting_records)], "{record}", "Records that wait to be sent")
    gauge("wasmscope.queue.size", [sent(lambda s: s.waiting_bytes)], "By", "Memory that they take")


def _attributes(module: str, tenant: str | None) -> dict[str, str]:
    return {WASM_MODULE_NAME: module} if tenant is None else {WASM_MODULE_NAME: module, WASM_TENANT: tenant}
