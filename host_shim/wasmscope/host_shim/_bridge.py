"""The bridge: what an application makes one of."""

from __future__ import annotations

import atexit
import functools
import itertools
import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from time import time_ns
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import wasmtime
from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import TracerProvider

from wasmscope.delivery import OtlpSender
from wasmscope.errors import ConfigurationError, LinkError
from wasmscope.host_shim._accounting import ModuleUsage, Usage
from wasmscope.host_shim._calls import Caller, CallFrame
from wasmscope.host_shim._clock import ThreadClock
from wasmscope.host_shim._collected import CollectedGuest
from wasmscope.host_shim._collecting import LEFT_OPEN, Collecting
from wasmscope.host_shim._deliveries import Deliveries, DeliveryName
from wasmscope.host_shim._flusher import Flusher
from wasmscope.host_shim._guest import Guest
from wasmscope.host_shim._headroom import require_headroom
from wasmscope.host_shim._instance import CallRunner, GuestInstance
from wasmscope.host_shim._late import LateActions
from wasmscope.host_shim._limits import Limits
from wasmscope.host_shim._link import Binding, Natives
from wasmscope.host_shim._linker import BridgeLinker
from wasmscope.host_shim._own_metrics import observe, observe_pipeline
from wasmscope.host_shim._plan import ImportPlan, plan_imports
from wasmscope.host_shim._rejections import Rejections, RejectionTotals
from wasmscope.host_shim._signals import Inject, ModuleIdentity, Signals, inject_global, inject_with
from wasmscope.host_shim._spans import RunningCalls
from wasmscope.host_shim._version import version as own_version
from wasmscope.host_shim._wasi import Environment, Stdio, StdioMode
from wasmscope.host_shim._wasmtime import StoreFuel
from wasmscope.host_shim._wasmtime_ffi import Native, store_address

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Bridge"]

P = ParamSpec("P")
R = TypeVar("R")
_logger = logging.getLogger("wasmscope.host_shim")
_STDIO_MODES = ("tee", "log", "off")


class Bridge:
    """Makes the telemetry of WebAssembly guests OpenTelemetry's.

    One for an application is enough; it can be shared by threads (a `wasmtime.Store` cannot). ::

        bridge = Bridge()
        instance = bridge.instantiate(linker, store, module, name="plugin")
        instance.exports(store)["run"](store)

    Guarantees: a guest's telemetry never raises into the application and never traps the guest; what cannot be used
    is counted.

    *Security*: names, versions and tenants come from the host; a guest cannot set attributes under ``wasm.``.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        propagator: TextMapPropagator | None = None,
        limits: Limits | None = None,
        logs_as_span_events: bool = False,
        min_severity: int = 0,
        native: bool = True,
        delivery: DeliveryName | None = None,
        otlp: OtlpSender | None = None,
        clock_uses: int = 1,
    ) -> None:
        """Make a bridge.

        Args:
            tracer_provider: For spans; None for the global one, resolved late.
            meter_provider: For metrics; likewise.
            logger_provider: For logs; likewise.
            propagator: For outgoing context; None for the global one, which ``OTEL_PROPAGATORS`` sets.
            limits: What a guest may send at most.
            logs_as_span_events: Whether each log record also becomes an event of the current span, for backends that
                show only traces.
            min_severity: Logs below this OpenTelemetry severity number (1-24) are dropped, and guests are told not
                to make them.
            native: Whether to use wasmtime's C API where it works; False uses the public API, slower and otherwise
                the same.
            delivery: How guests' records are delivered (docs/deliveries.md): ``otlp``, ``sdk`` or ``live``; None for
                what the environment's ``WASMSCOPE_DELIVERY`` says, else the quickest that loses nothing: ``otlp`` if
                there is a sender, else ``sdk`` if the tracer provider is the SDK's, else ``live``.
            otlp: Sends OTLP for the ``otlp`` delivery, as `Providers.otlp_sender` gives it; it stays the caller's.
                None to have one made, from the ``OTEL_EXPORTER_OTLP_*`` variables, if ``delivery`` says ``otlp``.
            clock_uses: How many time stamps, one after the other, one look at the clock may serve. The two looks are
                half of what a span costs; with 2, the end of one and the start of the next share one, and a span may
                seem shorter than it was by as much. Does nothing for guests that are served live.

        Raises:
            ConfigurationError: If ``min_severity`` is not 0-24, or ``delivery`` is none or cannot be.
        """
        if not 0 <= min_severity <= 24:
            raise ConfigurationError(f"min_severity={min_severity}: a severity number is 1-24, or 0 for all")
        obstacle = "logs_as_span_events=True" if logs_as_span_events else None if native else "native=False"
        self._deliveries = Deliveries(
            delivery,
            otlp,
            tracer_provider,
            meter_provider,
            logger_provider,
            obstacle=obstacle,
            clock_uses=clock_uses,
        )
        self._limits = limits or Limits()
        self._logs_as_events = logs_as_span_events
        self._min_severity = min_severity
        self._inject: Inject = inject_global if propagator is None else functools.partial(inject_with, propagator)
        self._signals = Signals(tracer_provider, meter_provider, logger_provider)
        self._tracer = self._signals.tracer("wasmscope", own_version())
        self._rejections = RejectionTotals()
        self._clock = ThreadClock()
        self._calls = RunningCalls()
        self._flusher = Flusher(lambda: (*self._signals.providers(), self._deliveries))
        self._lock = threading.RLock()
        self._usages: dict[tuple[str, str | None], Usage] = {}
        self._keys = itertools.count(1)
        self._closers: dict[int, Callable[[int | None], None]] = {}
        self._contexts: dict[int, int] = {}
        self._late = LateActions()
        self._end_late = self._late.run
        self._counts_fuel: weakref.WeakKeyDictionary[wasmtime.Engine, bool] = weakref.WeakKeyDictionary()
        self._running: dict[int, CallFrame] = {}
        self._plans: weakref.WeakKeyDictionary[wasmtime.Module, ImportPlan] = weakref.WeakKeyDictionary()
        found = Native.load() if native else None
        self._natives = Natives(found, self._arrive)
        self._collecting = None
        if found is not None and obstacle is None:
            self._collecting = Collecting(
                found,
                self._limits,
                self._deliveries,
                self._calls,
                min_severity=min_severity,
                flush=self._flusher.request,
                later=self._late.put_off,
            )
        meter = self._signals.meter("wasmscope", own_version())
        observe(meter, self)
        observe_pipeline(meter, self._deliveries)

    # Instances.

    def instantiate(
        self,
        linker: wasmtime.Linker,
        store: wasmtime.Store,
        module: wasmtime.Module,
        *,
        name: str,
        version: str | None = None,
        tenant: str | None = None,
        stdio: StdioMode = "tee",
    ) -> GuestInstance:
        """Instantiate a module, as ``linker.instantiate(store, module)`` does, and watch the instance.

        wasmscope's own imports are defined for this instance alone; all others come from the linker.
        AssemblyScript's ``env.abort``,
        ``env.trace`` and ``env.seed`` are served if the linker does not define them.

        Args:
            linker: Defines the module's other imports.
            store: Where to instantiate.
            module: The module.
            name: What the module is called in all telemetry.
            version: Its version, or None.
            tenant: On whose behalf it runs, or None.
            stdio: What becomes of lines a WASI guest writes to standard output and error; see `StdioMode`.

        Raises:
            AbiError: If the module imports a wasmscope function or version that this host does not have. Nothing of
            it has run.
            LinkError: If it imports something that the linker does not define.
            ConfigurationError: If ``stdio`` is not a mode.
            wasmtime.Trap: If the module's start function traps.
            RecursionError: If too little of Python's stack is left.
        """
        require_headroom()
        if stdio not in _STDIO_MODES:
            raise ConfigurationError(f"stdio={stdio!r}: one of {', '.join(_STDIO_MODES)}")
        self._end_late()
        plan = self._plan(module, name)
        binding = self._bind(ModuleIdentity(name, version, tenant), plan)
        guest = binding.guest
        natives = self._natives
        is_watched = False
        collected: CollectedGuest | None = None
        try:
            if self._collecting is not None:
                collected = self._collecting.guest(store, plan, guest)
            externs = self._imports(linker, store, plan, binding, stdio, collected)
            if plan.memory_import is not None:
                memory = externs[plan.memory_import]
                if isinstance(memory, wasmtime.Memory):
                    guest.attach_memory(natives.memory(store, memory, is_64=plan.has_memory64))
                    if collected is not None:
                        collected.link.bind(memory)
            runner, caller = self._runner(binding, store, collected)
            gone = functools.partial(self._store_gone, binding.key)
            if collected is None:
                natives.watch(store, gone)
                make: Callable[..., wasmtime.Instance] = functools.partial(wasmtime.Instance, store)
            else:
                collected.link.when_gone(gone)
                make = collected.link.instantiate
            is_watched = True
            instance: wasmtime.Instance = runner.run("instantiate", make, module, externs, is_instantiation=True)
        except BaseException:
            self._close_guest(binding.key)
            if not is_watched:
                natives.remove(binding.key)
            raise
        if plan.memory_import is not None:
            memory = externs[plan.memory_import]
        elif collected is not None:
            memory = collected.link.memory_of(instance)
        else:
            memory = None if plan.memory_export is None else instance.exports(store)[plan.memory_export]
        if isinstance(memory, wasmtime.Memory):
            guest.attach_memory(natives.memory(store, memory, is_64=plan.has_memory64))
            natives.prepare_forward(binding, store, memory)
        if collected is not None:
            collected.link.bind(memory if isinstance(memory, wasmtime.Memory) else None)
        natives.arrived(binding)
        caller.note_memory()
        return self._watched(store, instance, runner, binding)

    def adopt(
        self,
        store: wasmtime.Store,
        instance: wasmtime.Instance,
        *,
        name: str,
        version: str | None = None,
        tenant: str | None = None,
    ) -> GuestInstance:
        """Watch an instance that was made by a linker with this bridge's functions (`define`).

        Guests made so are told apart by their store: for several in one store use `instantiate`. What the guest
        registered and opened before (in its start function) belongs to it, too; what it logged and ended before went
        out under the name ``wasm``.

        Args:
            store: The instance's store.
            instance: The instance.
            name: What the module is called in all telemetry from now on.
            version: Its version, or None.
            tenant: On whose behalf it runs, or None.

        Raises:
            ConfigurationError: If the store has an adopted guest already.
        """
        self._end_late()
        address = store_address(store)
        with self._lock:
            if address in self._contexts:
                raise ConfigurationError(
                    f"adopt(name={name!r}): the store has an adopted guest already; "
                    "use Bridge.instantiate for several in one store"
                )
            early = self._natives.by_context.get(address)
            binding = self._bind(ModuleIdentity(name, version, tenant), None, early)
            binding.context = address
            self._contexts[address] = binding.key
            self._natives.by_context[address] = binding.guest
        exports = instance.exports(store)
        memories = [item for item in exports.by_index if isinstance(item, wasmtime.Memory)]
        memory = exports.get("memory")
        if not isinstance(memory, wasmtime.Memory):
            memory = memories[0] if memories else None
        if isinstance(memory, wasmtime.Memory):
            binding.guest.attach_memory(self._natives.memory(store, memory))
        runner, caller = self._runner(binding, store)
        self._natives.watch(store, functools.partial(self._store_gone, binding.key))
        caller.note_memory()
        return self._watched(store, instance, runner, binding)

    def define(self, linker: wasmtime.Linker, *, memory64: bool = False) -> None:
        """Define the guest ABI's functions in a linker, for code that instantiates by itself and calls `adopt`.

        Args:
            linker: Where.
            memory64: Whether its guests have 64-bit memories.

        Raises:
            wasmtime.WasmtimeError: If the linker has them already.
        """
        self._natives.define(linker, memory64=memory64)

    def check(self, module: wasmtime.Module, name: str) -> None:
        """Check that this host serves a module's wasmscope imports; `instantiate` does by itself.

        Args:
            module: The module.
            name: What to call it in the error.

        Raises:
            AbiError: If it does not.
        """
        self._plan(module, name)

    def linker(self, engine: wasmtime.Engine) -> BridgeLinker:
        """Make a linker whose host functions are told apart from guest code in all accounts.

        Args:
            engine: The engine.
        """
        return BridgeLinker(self, engine)

    def host_function(self, function: Callable[P, R]) -> Callable[P, R]:
        """Wrap a host function so that the bridge knows of it.

        Its time is then not counted as the guest's, and its exception reaches the thread it was raised in.

        Args:
            function: What is given to ``Linker.define_func`` or `wasmtime.Func`.
        """
        clock = self._clock

        @functools.wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
            stretch = clock.push(is_guest=False)
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                if stretch.parent is not None:
                    stretch.parent.error = error
                raise
            finally:
                clock.pop(stretch)

        return wrapped

    def deliver_while_running(
        self, store: wasmtime.Store, *, ticks: int = 1, may_go_on: Callable[[], bool] = lambda: True
    ) -> None:
        """Have a store's guests deliver while they run, for guests that go on for minutes without returning.

        Without this, records leave the collector when the outermost call ends, when a buffer is full, and when the
        guest tells something a second after what waits. This takes the place of ``store.set_epoch_deadline``: the
        store's engine has to have ``epoch_interruption``, and the application to advance its epoch, by
        ``engine.increment_epoch()``, some times a second.

        Args:
            store: The store.
            ticks: How often: at each so many ticks of the epoch.
            may_go_on: Asked each time, in the guest's thread; if it says no, the guest is interrupted, as it is by a
                deadline. Then it is asked again when something runs in the store next.

        Raises:
            ConfigurationError: If the bridge has ``native=False``.
        """
        native = self._natives.native
        if native is None:
            raise ConfigurationError("deliver_while_running cannot be with native=False, or with this wasmtime")
        if self._collecting is None:
            native.on_epoch(store, ticks, lambda _context: may_go_on(), self._calls.interrupt)
        else:
            self._collecting.deliver_while_running(store, ticks, may_go_on)

    def flush(self, timeout_s: float = 5.0) -> None:
        """Deliver now what the guests of this thread told, and send what waits to be sent.

        What guests tell in a call goes on its way when the outermost call ends; what they tell outside of one (an
        export that was called directly) with the next call, or with this.

        Args:
            timeout_s: How long to wait for an endpoint at most, in seconds.
        """
        self._end_late()
        if self._collecting is not None:
            self._collecting.drain()
        self._deliveries.flush(timeout_s)

    def usage(self) -> tuple[ModuleUsage, ...]:
        """Give what each module used for each tenant, in the order they first came."""
        self._end_late()
        return self.usage_now()

    def usage_now(self) -> tuple[ModuleUsage, ...]:
        """Give the same without ending anything, as in the middle of a collection of metrics."""
        with self._lock:
            return tuple(usage.snapshot() for usage in self._usages.values())

    def rejected(self) -> dict[tuple[str, str | None, str], int]:
        """Give how much of guests' telemetry could not be used, by module, tenant and reason.

        A guest that is in a call is looked at when the outermost call ends.
        """
        return self._rejections.snapshot()

    def close(self) -> None:
        """End the telemetry of all instances. Calls into them still work; they are not traced well any more.

        Instances made afterwards need another close. What is not closed is, when the interpreter exits.
        """
        self._end_late()
        for key in list(self._closers):
            self._close_guest(key)
        self._flusher.wait(5.0)
        self._deliveries.close()

    def __enter__(self) -> Self:
        """Give the bridge itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    # Making guests.

    def _plan(self, module: wasmtime.Module, name: str) -> ImportPlan:
        with self._lock:
            plan = self._plans.get(module)
        if plan is None:
            # A module may have so many imports that this takes seconds: nobody else has to wait for it.
            plan = plan_imports(module, name)
            with self._lock:
                plan = self._plans.setdefault(module, plan)
        return plan

    def _guest(self, identity: ModuleIdentity) -> Guest:
        return Guest(
            identity,
            self._signals.module(identity),
            Rejections(identity.name, identity.tenant, self._rejections),
            limits=self._limits,
            clock=self._clock,
            calls=self._calls,
            inject=self._inject,
            flush=self._flusher.request,
            logs_as_span_events=self._logs_as_events,
            min_severity=self._min_severity,
        )

    def _bind(self, identity: ModuleIdentity, plan: ImportPlan | None, guest: Guest | None = None) -> Binding:
        if guest is None:
            guest = self._guest(identity)
        else:
            guest.rename(
                identity, self._signals.module(identity), Rejections(identity.name, identity.tenant, self._rejections)
            )
        binding = Binding(next(self._keys), guest, plan)
        self._natives.add(binding)
        return binding

    def _arrive(self, context: int) -> Guest:
        """Make the guest for a store that calls before `adopt`."""
        return self._guest(ModuleIdentity("wasm"))

    def _imports(
        self,
        linker: wasmtime.Linker,
        store: wasmtime.Store,
        plan: ImportPlan,
        binding: Binding,
        stdio: StdioMode,
        collected: CollectedGuest | None,
    ) -> Sequence[Any]:
        """Find all imports."""
        if collected is not None and len(plan.abi) == len(plan.imports):
            return collected.link.functions()
        natives = self._natives
        externs: list[Any] = []
        missing: list[tuple[str, str]] = []
        for item in plan.imports:
            if item.server == "abi":
                externs.append(
                    natives.abi(store, binding, item) if collected is None else collected.link.function(item.name)
                )
                continue
            try:
                found: Any = linker.get(store, item.module, item.name)
            except wasmtime.WasmtimeError:
                if item.server == "assemblyscript":
                    externs.append(natives.other(store, binding, item))
                else:
                    missing.append((item.module, item.name))
                continue
            is_output = item.name == "fd_write"
            if item.server == "wasi" and isinstance(found, wasmtime.Func) and not (is_output and stdio == "off"):
                binding.wasi[item.name] = found
                if is_output:
                    binding.stdio = Stdio(binding.guest, stdio, self._limits.line_bytes)
                else:
                    binding.environment = Environment(binding.guest, self._inject)
                found = natives.other(store, binding, item)
            externs.append(found)
        if missing:
            names = ", ".join(f"{module}.{name}" for module, name in missing[:10])
            raise LinkError(
                f"module {binding.guest.identity.name!r} imports {names}{' …' if len(missing) > 10 else ''}, "
                "which the linker does not define",
                missing=tuple(missing),
            )
        return externs

    def _runner(
        self, binding: Binding, store: wasmtime.Store, collected: CollectedGuest | None = None
    ) -> tuple[CallRunner, Caller]:
        identity = binding.guest.identity
        with self._lock:
            key = (identity.name, identity.tenant)
            usage = self._usages.get(key)
            if usage is None:
                usage = self._usages[key] = Usage(*key)
        fuel = StoreFuel(store, self._counts_fuel)
        caller = Caller(
            binding.guest,
            self._tracer,
            self._clock,
            self._calls,
            usage,
            fuel,
            self._running,
            id(store),
            self._end_late,
            {} if self._collecting is None else self._collecting.calls,
            # A guest that is served live gets a number that no collector gives.
            -binding.key & 0xFFFFFFFF if collected is None else collected.number,
        )
        guest = binding.guest

        def close(end_time_ns: int | None) -> None:
            if binding.stdio is not None:
                binding.stdio.flush()
            guest.spans.fail(None, LEFT_OPEN, end_time_ns=end_time_ns)
            if collected is not None:
                collected.close()
            caller.close()

        with self._lock:
            self._closers[binding.key] = close
            # Functions registered last run first: before those of providers that the application made meanwhile.
            atexit.unregister(self.close)
            atexit.register(self.close)
        return CallRunner(binding, caller, self._natives.native), caller

    def _watched(
        self, store: wasmtime.Store, instance: wasmtime.Instance, runner: CallRunner, binding: Binding
    ) -> GuestInstance:
        return GuestInstance(store, instance, runner, functools.partial(self._close_guest, binding.key))

    # The end of guests.

    def _close_guest(self, key: int, end_time_ns: int | None = None) -> None:
        with self._lock:
            close = self._closers.pop(key, None)
            if not self._closers:
                atexit.unregister(self.close)
        if close is not None:
            close(end_time_ns)

    def _store_gone(self, key: int) -> None:
        """Hear that a guest's store goes."""
        try:
            natives = self._natives
            binding = natives.bindings.get(key)
            natives.remove(key)
            if binding is not None:
                binding.guest.attach_memory(None)
                if binding.context is not None:
                    self._contexts.pop(binding.context, None)
                    natives.by_context.pop(binding.context, None)
            if key not in self._closers:
                return
            close = functools.partial(self._close_guest, key, time_ns())
            if not self._late.put_off(close):
                self._close_guest(key)
        except Exception as error:
            # There is nobody to raise to; a lost instance costs its open spans.
            _logger.warning("the end of a store could not be handled: %r", error)
