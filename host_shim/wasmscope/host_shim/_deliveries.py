"""How guests' records get to where the application wants them, and who chooses that."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from opentelemetry import trace
from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from wasmscope.delivery import (
    OtlpSender,
    Policy,
    SamplerPolicies,
    Scope,
    SenderStats,
    policies,
    prefers_delta,
    prefers_exponential,
    resource_of,
)
from wasmscope.errors import ConfigurationError
from wasmscope.host_shim._control import CollectorSettings
from wasmscope.host_shim._flow import CountedSink, Flow, FlowTotals
from wasmscope.host_shim._signals import ModuleIdentity

if TYPE_CHECKING:
    from wasmscope.delivery import MetricChunk, SdkDelivery
    from wasmscope.host_shim._collector import Drained

__all__ = ["Deliveries", "DeliveryName", "Sink"]

DeliveryName = Literal["live", "sdk", "otlp"]
"""How records are delivered: each call through OpenTelemetry's API at once; in bulk to the SDK; as OTLP bytes."""

Decode = Callable[[bytes], Mapping[str, object]]
"""Decodes a packed attribute list that the collector has accepted."""

_logger = logging.getLogger("wasmscope.host_shim")
_MAX_AGE_NS = 1_000_000_000
_PENDING_BYTES = 65_536
_VARIABLE = "WASMSCOPE_DELIVERY"
_FLUSH_S = 5.0
_DEFAULT_POLICIES = SamplerPolicies(Policy.KEEP, Policy.KEEP, Policy.DROP)


class Sink(Protocol):
    """Where one guest's finished records go.

    Guarantees: nothing raises.
    """

    def deliver(self, drained: Drained) -> None:
        """Take what was in the guest's buffers."""
        ...

    def close(self) -> None:
        """Take note that nothing more comes."""
        ...


class Deliveries:
    """Chooses a delivery for each instance, and gives it a sink. Thread-safe.

    A provider that is looked up late, because it is the global one, is looked at when an instance is made.
    """

    def __init__(
        self,
        chosen: str | None,
        sender: OtlpSender | None,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        logger_provider: LoggerProvider | None,
        *,
        obstacle: str | None,
        clock_uses: int = 1,
    ) -> None:
        """Prepare.

        Args:
            chosen: What the application wants; None for what ``WASMSCOPE_DELIVERY`` says, where that can be, else for
                the best that can serve.
            sender: Sends OTLP; None if nobody has made one.
            tracer_provider: For spans; None for the global one.
            meter_provider: For metrics; likewise.
            logger_provider: For logs; likewise.
            obstacle: Why no collector may be used, or None.
            clock_uses: How many time stamps one look at the clock may serve.

        Raises:
            ConfigurationError: If what is chosen is no delivery, or cannot be.
        """
        source = "delivery="
        if chosen is None and (wanted := os.environ.get(_VARIABLE, "").strip()):
            source, chosen = f"{_VARIABLE}=", wanted
        if chosen is not None and chosen not in get_args(DeliveryName):
            raise ConfigurationError(f"{source}{chosen!r}: one of {', '.join(get_args(DeliveryName))}, or none of them")
        if source != "delivery=" and obstacle is not None:
            chosen = "live"
        if obstacle is not None and chosen in {"sdk", "otlp"}:
            raise ConfigurationError(f"delivery={chosen!r} cannot be with {obstacle}: leave one of them out")
        if clock_uses < 1:
            raise ConfigurationError(f"clock_uses={clock_uses}: each look at the clock serves one time stamp at least")
        self._clock_uses = clock_uses
        self._chosen = chosen
        self._obstacle = obstacle
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._logger_provider = logger_provider
        self._made_sdk: SdkDelivery | None = None
        self._flow = FlowTotals()
        self._lock = threading.Lock()
        self._looked_at: tuple[TracerProvider | None, bool] = (None, False)
        self._sender = sender
        self._owns_sender = False
        self._is_closed = False
        self._metrics: _Metrics | None = None

    def name(self) -> DeliveryName:
        """Choose a delivery as things are now.

        Raises:
            ConfigurationError: If the one that the application wants cannot be.
        """
        if self._chosen == "live" or self._obstacle is not None:
            return "live"
        if self._chosen == "otlp" or (self._chosen is None and self._sender is not None):
            return "otlp"
        if self._is_sdk():
            return "sdk"
        if self._chosen == "sdk":
            raise ConfigurationError(
                "delivery='sdk' needs a tracer provider of OpenTelemetry's SDK: give one to the bridge, or set the "
                "global one before the first instance is made"
            )
        return "live"

    def _is_sdk(self) -> bool:
        # To find out takes as long as making an instance. The global provider may be set after the first one.
        provider = self._tracer_provider or trace.get_tracer_provider()
        known, is_sdk = self._looked_at
        if known is not provider:
            is_sdk = self._sdk().can_serve(provider)
            self._looked_at = provider, is_sdk
        return is_sdk

    def policies(self) -> SamplerPolicies:
        """Say what is certain about the application's sampler."""
        tracer = self._sdk().tracer(Scope("wasmscope", None))
        return _DEFAULT_POLICIES if tracer is None else policies(tracer)

    def tracer(self, identity: ModuleIdentity) -> Any:
        """Give the SDK's tracer of a module, or None."""
        return self._sdk().tracer(Scope(identity.name, identity.version))

    def settings(self, name: DeliveryName, min_severity: int) -> CollectorSettings:
        """Say how collectors are to behave.

        Args:
            name: The delivery.
            min_severity: Logs below it are dropped.
        """
        certain = self.policies()
        return CollectorSettings(
            min_severity=min_severity,
            raw_histograms=name == "sdk",
            unsampled=name == "sdk",
            exponential=name == "otlp" and prefers_exponential(os.environ),
            root_policy=certain.root,
            remote_sampled_policy=certain.remote_sampled,
            remote_unsampled_policy=certain.remote_unsampled,
            max_age_ns=_MAX_AGE_NS,
            clock_uses=self._clock_uses - 1,
        )

    def sink(self, name: DeliveryName, identity: ModuleIdentity, decode: Decode) -> Sink:
        """Make a guest's sink.

        Args:
            name: The delivery.
            identity: Whose it is.
            decode: Decodes its attribute sets.
        """
        sink: Sink
        if name == "otlp":
            sender, metrics = self._otlp()
            sink = _OtlpSink(sender, metrics, identity, decode)
        else:
            sink = _SdkSink(self._sdk(), identity, decode)
        return CountedSink(sink, self._flow, identity.name, identity.tenant)

    def _sdk(self) -> SdkDelivery:
        with self._lock:
            if self._made_sdk is None:
                # Takes long to load, and not every program needs it.
                from wasmscope.delivery import SdkDelivery

                self._made_sdk = SdkDelivery(
                    tracer_provider=self._tracer_provider,
                    meter_provider=self._meter_provider,
                    logger_provider=self._logger_provider,
                )
            return self._made_sdk

    def _otlp(self) -> tuple[OtlpSender, _Metrics]:
        with self._lock:
            if self._sender is None or (self._is_closed and self._owns_sender):
                self._sender = OtlpSender.from_environment(resource=resource_of(self._tracer_provider))
                self._owns_sender = True
                self._metrics = None
            if self._metrics is None:
                self._metrics = _Metrics()
            # A feed that is there is not added again.
            self._sender.add_metrics(self._metrics)
            self._is_closed = False
            return self._sender, self._metrics

    @property
    def sender(self) -> OtlpSender | None:
        """What sends OTLP, if it was needed."""
        return self._sender if self._metrics is not None else None

    def flow(self) -> dict[tuple[str, str | None], Flow]:
        """Give what went through collectors so far, by module and tenant."""
        return self._flow.snapshot()

    def sent(self) -> SenderStats | None:
        """Give what the sender did so far, for whomever; None if it was not needed here."""
        sender = self.sender
        return None if sender is None else sender.stats()

    def lost(self) -> dict[tuple[str, str], int]:
        """Give how many records were lost on this side of the sender, by signal and reason."""
        sdk = self._made_sdk
        lost = {(str(signal), str(reason)): count for (signal, reason), count in (sdk.lost() if sdk else {}).items()}
        metrics = self._metrics
        if metrics is not None and metrics.streams.dropped:
            key = ("metrics", "instrument_count")
            lost[key] = lost.get(key, 0) + metrics.streams.dropped
        return lost

    def force_flush(self) -> None:
        """Send what waits to be sent."""
        self.flush(_FLUSH_S)

    def flush(self, timeout_s: float) -> None:
        """Send what waits to be sent, and wait for that.

        Args:
            timeout_s: How long, at most.
        """
        sender = self.sender
        if sender is not None:
            sender.flush(timeout_s)

    def close(self) -> None:
        """Send what is left, and stop what was made here. It begins anew with the next guest."""
        sender, metrics = self.sender, self._metrics
        if sender is None or metrics is None:
            return
        with self._lock:
            self._is_closed = True
        if self._owns_sender:
            sender.shutdown()
        else:
            # Somebody else's, who goes on.
            sender.flush(_FLUSH_S)
            sender.remove_metrics(metrics)


class _OtlpSink:
    """Gives records to the sender as they are."""

    def __init__(self, sender: OtlpSender, metrics: _Metrics, identity: ModuleIdentity, decode: Decode) -> None:
        from wasmscope.delivery import MetricSource

        self._scope = Scope(identity.name, identity.version)
        self._sender = sender
        self._metrics = metrics
        self._source = MetricSource(
            metrics.streams, decode, name=identity.name, version=identity.version, base=identity.attributes()
        )
        self._lock = threading.Lock()
        self._pending: list[bytes] = []
        self._pending_bytes = 0

    def deliver(self, drained: Drained) -> None:
        if drained.spans:
            self._sender.spans(self._scope, drained.spans, drained.span_count)
        if drained.logs:
            self._sender.logs(self._scope, drained.logs, drained.log_count)
        if drained.metrics:
            # To merge them takes longer than all else: that is left to the thread that sends them.
            with self._lock:
                self._pending.append(drained.metrics)
                self._pending_bytes += len(drained.metrics)
            self._metrics.wait_for(self)
            if self._pending_bytes > _PENDING_BYTES:
                self.merge()

    def merge(self) -> None:
        """Add what came since the last time to what all instances measured."""
        with self._lock:
            data, self._pending, self._pending_bytes = b"".join(self._pending), [], 0
            try:
                self._source.merge(data)
            except Exception:
                _logger.exception("metrics of a guest could not be read; please report it")

    def close(self) -> None:
        self.merge()


class _Metrics:
    """What all guests measured: asked by the sender's thread."""

    def __init__(self) -> None:
        from wasmscope.delivery import MetricStreams

        self.streams = MetricStreams(time.time_ns(), prefers_delta=prefers_delta(os.environ))
        self._lock = threading.Lock()
        self._waiting: set[_OtlpSink] = set()

    def wait_for(self, sink: _OtlpSink) -> None:
        with self._lock:
            self._waiting.add(sink)

    def collect(self, now_ns: int) -> Sequence[MetricChunk]:
        with self._lock:
            waiting, self._waiting = self._waiting, set()
        for sink in waiting:
            sink.merge()
        return self.streams.collect(now_ns)

    def give_back(self, chunk: MetricChunk, /) -> None:
        self.streams.give_back(chunk)


class _SdkSink:
    """Gives records to the application's processors, in the thread that runs the guest."""

    def __init__(self, sdk: SdkDelivery, identity: ModuleIdentity, decode: Decode) -> None:
        self._scope = Scope(identity.name, identity.version)
        self._sdk = sdk
        self._source = sdk.metric_source(self._scope, identity.attributes(), decode)

    def deliver(self, drained: Drained) -> None:
        if drained.spans:
            self._sdk.spans(self._scope, drained.spans, drained.span_count)
        if drained.logs:
            self._sdk.logs(self._scope, drained.logs, drained.log_count)
        if drained.metrics:
            self._source.merge(drained.metrics)

    def close(self) -> None:
        pass
