"""A bridge whose guests' telemetry goes through the collector, and comes out in Python as OTLP bytes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import wasmtime
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON

from wasmscope.delivery import OtlpSender, Scope, sender_settings
from wasmscope.host_shim import Bridge, GuestInstance

__all__ = ["WAT", "LostRecordsError", "Ours"]

WAT = Path(__file__).with_name("pipeline.wat").read_text(encoding="utf-8")
_FLUSH_S = 60.0


class LostRecordsError(Exception):
    """Not all records came out: the time is then that of less work."""


class _Counting(OtlpSender):
    """Counts the records whose bytes come, and lets them go."""

    def __init__(self) -> None:
        super().__init__(sender_settings(targets={}), Resource.get_empty())
        self.records = 0

    def spans(self, scope: Scope, body: bytes, count: int) -> None:
        self.records += count

    def logs(self, scope: Scope, body: bytes, count: int) -> None:
        self.records += count


class Ours:
    """A bridge, and one instance of the guest that is measured.

    Args:
        delivery: How the bridge delivers.
        sampled: Whether spans are kept.
        endpoint: Where to send over gRPC, the host's own spans, too; None: what comes out is counted and thrown away.
    """

    def __init__(
        self, *, delivery: Literal["otlp", "live"] = "otlp", sampled: bool = True, endpoint: str | None = None
    ) -> None:
        self.provider = TracerProvider(sampler=ALWAYS_ON if sampled else ALWAYS_OFF, shutdown_on_exit=False)
        self._counting = None if endpoint else _Counting()
        if endpoint is not None:
            exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True)
            self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self.sender = self._counting or OtlpSender.from_environment(
            resource=self.provider.resource, otlp=endpoint or False
        )
        self.bridge = Bridge(delivery=delivery, otlp=self.sender, tracer_provider=self.provider)
        self.engine = wasmtime.Engine()
        self.module = wasmtime.Module(self.engine, WAT)
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

    def encoded(self, export: str, *, comes_out: bool = False) -> Callable[[int], object]:
        """Give an export of the instance that does something a number of times; what a call makes comes out at its end.

        Args:
            export: Its name.
            comes_out: Whether a record has to come out for each time.
        """
        call = functools.partial(self.instance.call, export)
        counting = self._counting
        assert counting is not None

        def run(count: int) -> None:
            before = counting.records
            call(count)
            came = counting.records - before
            if came != (count if comes_out else 0):
                raise LostRecordsError(f"{came} records of {count} calls came out ({export})")

        return run

    def flush(self) -> bool:
        """Send everything, and say whether all of it was taken."""
        return self.sender.flush(_FLUSH_S) and self.provider.force_flush(int(_FLUSH_S * 1000))

    def close(self) -> None:
        """End it."""
        self.bridge.close()
        self.sender.shutdown(_FLUSH_S)
        self.provider.shutdown()
