"""A bridge whose guests' telemetry goes through the collector, and comes out in Python as OTLP bytes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import wasmtime
from _subjects import Providers
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from wasmscope.host_shim import Bridge, GuestInstance

__all__ = ["WAT", "Ours"]

WAT = Path(__file__).with_name("pipeline.wat").read_text(encoding="utf-8")


class Ours:
    """A bridge, and one instance of the guest that is measured."""

    def __init__(self, *, sampled: bool = True) -> None:
        self.providers = Providers(sdk=True, sampler=ALWAYS_ON if sampled else ALWAYS_OFF)
        self.engine = wasmtime.Engine()
        self.module = wasmtime.Module(self.engine, WAT)
        self.bridge = _bridge(self.providers)
        self._linker = wasmtime.Linker(self.engine)
        self.instance = self.said_some(self.instantiate())

    def new_store(self) -> wasmtime.Store:
        """Make a store, with WASI, as most hosts have it."""
        store = wasmtime.Store(self.engine)
        store.set_wasi(wasmtime.WasiConfig())
        return store

    def instantiate(self, store: wasmtime.Store | None = None) -> GuestInstance:
        """Make an instance, in a store of its own if none is given."""
        return self.bridge.instantiate(self._linker, store or self.new_store(), self.module, name="bench")

    def said_some(self, instance: GuestInstance) -> GuestInstance:
        """Have an instance register all that it uses, and say one of each."""
        instance.call("prepare")
        instance.call("some")
        return instance

    def encoded(self, export: str) -> Callable[[int], object]:
        """Give an export of the instance, followed by what brings its bytes to Python."""

        def run(count: int) -> None:
            self.instance.call(export, count)
            self.drain()

        return run

    def drain(self) -> None:
        """Have all that collectors hold come out as bytes."""

    def empty(self) -> None:
        """Throw away what came out."""
        self.providers.empty()

    def close(self) -> None:
        """End it."""
        self.bridge.close()
        self.providers.close()


def _bridge(providers: Providers) -> Bridge:
    """Make the bridge."""
    return Bridge(
        delivery="otlp",
        tracer_provider=providers.tracer,
        meter_provider=providers.meter,
        logger_provider=providers.logger,
    )
