"""Collectors in stores, and the guests that are linked to them.

In each store with guests lives one collector, a small module of ours that keeps open spans and encodes records. What a
guest imports are trampolines, one instance for each guest; between them and the collector lies the glue, made when the
guest's memory is there (`_glue`). The collector and the glue call back one host function.
"""

from __future__ import annotations

import ctypes
import logging
import os
import struct
import threading
import weakref
from collections.abc import Callable
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import wasmtime

from wasmscope.host_shim._abi import FUNCTIONS
from wasmscope.host_shim._control import CollectorSettings, Control, Op, configuration
from wasmscope.host_shim._glue import COLLECTOR_FUNCTIONS, NAMES
from wasmscope.host_shim._guest_link import GuestLink
from wasmscope.host_shim._limits import Limits
from wasmscope.host_shim._modules import ENOUGH_FUEL, HOST, EngineModules, Modules, UnsuitableError
from wasmscope.host_shim._plan import ImportPlan, PlannedImport
from wasmscope.host_shim._roll import ROLL
from wasmscope.host_shim._shield import shielded
from wasmscope.host_shim._store_watch import StoreNote, note_of, watch_stores
from wasmscope.host_shim._wasmtime_ffi import CALLBACK, Native, store_address
from wasmscope.host_shim._wasmtime_instances import Instances

if TYPE_CHECKING:
    from wasmscope.host_shim._guest import Guest

__all__ = ["Collectors", "Drained", "GuestLink", "StoreCollector"]

_logger = logging.getLogger("wasmscope.host_shim")
_shared: Final = Modules()
"""Compiled modules are the process's: bridges may share an engine."""
_FAR: Final = 1 << 62
_U64: Final = 0xFFFFFFFFFFFFFFFF
_BUSY: Final = 1
_E_IO: Final = 29
_MOST_ARGS: Final = 10
_Values = ctypes.c_int64 * (2 * _MOST_ARGS)
_SEED: Final = struct.Struct("<4q")
_I64: Final = struct.Struct("<q")
_HOST_ARGS: Final = struct.Struct("<I12xI12x")
_CLOCK_ARGS: Final = struct.Struct("<32xI")
_OUT: Final = struct.Struct("<8I")
_BLOCK: Final = struct.Struct("<8I6Q")
_WORD: Final = struct.Struct("<Q")
_HALF: Final = struct.Struct("<I")
_SCRATCH: Final = struct.Struct("<II")
# The arguments of a call that Python serves: 64 bits each.
_SLOTS: Final = {"i": "Q", "l": "q", "d": "d", "p": "Q"}
_ARGS: Final = tuple(struct.Struct("<" + "".join(_SLOTS[kind] for kind in FUNCTIONS[name].params)) for name in NAMES)


class Drained(NamedTuple):
    """What waited in the collector for a guest. A tuple, because one is made for each call from the host.

    Attributes:
        spans: Fields of OTLP's ``ScopeSpans``, each a span.
        span_count: How many they are.
        logs: Fields of OTLP's ``ScopeLogs``, each a log record.
        log_count: How many they are.
        metrics: What `StoreCollector.call` of ``drain_metrics`` wrote.
        counters: What the guest told in its life so far: the counters of its block from `Block.SPANS_STARTED` on.
    """

    spans: bytes
    span_count: int
    logs: bytes
    log_count: int
    metrics: bytes
    counters: tuple[int, ...] = (0,) * 6


class Collectors:
    """The collectors of a bridge, one in each store that can have one. Thread-safe, as far as stores are.

    Attributes:
        modules: Where compiled modules are kept.
    """

    def __init__(
        self,
        native: Native,
        limits: Limits,
        settings: CollectorSettings,
        host: Callable[[StoreCollector, int, int], int],
        closing: Callable[[StoreCollector], None],
        *,
        modules: Modules | None = None,
    ) -> None:
        """Prepare; begins to watch stores.

        Args:
            native: The C functions.
            limits: What a guest may send at most.
            settings: How the collectors behave.
            host: Serves ``host.call`` but for what this module serves itself: collector, `Op`, the guest's number.
            closing: Called once before a store with a collector goes, while all in it can still be used. It may be
                the garbage collector that calls, in the middle of anything, in any thread.
            modules: Where compiled modules are kept, and which; None for the package's.
        """
        self.native = native
        self.modules = modules or _shared
        self._host = host
        self._closing = closing
        self._settings = settings
        self._configuration = configuration(limits, settings)
        self._stores: dict[int, StoreCollector] = {}
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._host_callback = CALLBACK(self._make_host())
        self._clock_callback = CALLBACK(self._make_clock())
        self._instances = Instances.load(native)
        if self._instances is not None:
            watch_stores()

    def of(self, store: wasmtime.Store) -> StoreCollector | None:
        """Give a store's collector; made if it has none yet. None, and a log line for each reason, if it cannot have.

        Args:
            store: An open store.
        """
        note = note_of(store)
        held = note.held
        if self not in held:
            held[self] = self._make(store, note)
        found: StoreCollector | None = held[self]
        return found

    def _make(self, store: wasmtime.Store, note: StoreNote) -> StoreCollector | None:
        instances = self._instances
        if instances is None:
            return None
        try:
            modules = self.modules.of(self.native, instances, store.engine)
            collector = StoreCollector(self, instances, modules, store, note)
        except (UnsuitableError, wasmtime.WasmtimeError, wasmtime.Trap) as error:
            self._tell(f"telemetry takes the slower path, because a collector cannot be made: {error}")
            return None
        note.before_close(collector.end)
        return collector

    def _tell(self, text: str) -> None:
        with self._lock:
            is_new = text not in self._told
            self._told.add(text)
        if is_new:
            _logger.info("%s", text)

    def _enter(self, key: int, collector: StoreCollector) -> None:
        self._stores[key] = collector

    def _forget(self, key: int) -> None:
        """Forget a collector whose store is gone."""
        collector = self._stores.pop(key, None)
        if collector is not None:
            collector.lose()

    def _make_host(self) -> Callable[[int, int, int], int]:
        space, stores = self.native.space, self._stores
        unpack, pack = _HOST_ARGS.unpack_from, _I64.pack_into
        failed = self._failed

        def call(env: int, caller: int, at: int) -> int:
            try:
                started = perf_counter()
                op, number = unpack(space, at)
                collector = stores[env]
                pack(space, at, collector.serve(op, number, caller))
                collector.charge(number, perf_counter() - started)
                return 0
            except BaseException as error:
                # Nothing that was set above is sure to be.
                _, number = unpack(space, at)
                pack(space, at, 0)
                failed(env, number, error)
                return 0

        return shielded(call)

    def _failed(self, key: int, number: int, error: BaseException) -> None:
        collector = self._stores.get(key)
        # Calls for the time do not say whose they are: an interrupt is the call's, and that is the thread's.
        links = {} if collector is None else collector.links
        link = links.get(number) or next(iter(links.values()), None)
        if link is not None:
            link.guest.failed(error)
        else:
            _logger.warning("a collector's call of the host failed: %r", error)

    def _make_clock(self) -> Callable[[int, int, int], int]:
        space, stores = self.native.space, self._stores
        now = self._settings.clock or time_ns
        unpack, write, pack = _CLOCK_ARGS.unpack_from, _WORD.pack_into, _I64.pack_into

        def clock_time_get(env: int, _caller: int, at: int) -> int:
            try:
                (pointer,) = unpack(space, at)
                # As WASI has it: the time where the collector wants it, and no error.
                write(space, stores[env].base + pointer, now() & _U64)
                pack(space, at, 0)
                return 0
            except BaseException as error:
                self._failed(env, -1, error)
                pack(space, at, _E_IO)
                return 0

        return shielded(clock_time_get)


class _End:
    """Owned by a store, so that it goes with it."""

    def __init__(self, collectors: Collectors) -> None:
        # With the callbacks that functions in the store point to.
        self.collectors = collectors
        self.key = 0

    def __del__(self) -> None:
        self.collectors._forget(self.key)


class StoreCollector:
    """The collector in one store. Not thread-safe, as a store is not.

    Addresses are those of the collector's memory.

    Attributes:
        control: Address of the control block (`Control`).
        links: The guests, by number.
    """

    def __init__(
        self,
        collectors: Collectors,
        instances: Instances,
        modules: EngineModules,
        store: wasmtime.Store,
        note: StoreNote,
    ) -> None:
        """Make the collector.

        Args:
            collectors: Those of the bridge.
            instances: The C functions.
            modules: The modules of the store's engine.
            store: The store.
            note: What is known of it.

        Raises:
            wasmtime.WasmtimeError: If the store has no room for it.
            UnsuitableError: If it does not work.
        """
        self._collectors = collectors
        self._instances = instances
        self._modules = modules
        self._space = collectors.native.space
        self._data = collectors.native.memory_data
        # What the store owns must not own the store.
        self._store = weakref.ref(store)
        self._context = context = store_address(store)
        self._values = _Values()
        # Where a call puts its trap. That is taken away at once: calls may be nested.
        self._trap = ctypes.c_void_p()
        self._prepared = (self._values, _MOST_ARGS, ctypes.byref(self._trap))
        self.control = modules.layout.control
        self.links: dict[int, GuestLink] = {}
        self._fixed_base = 0
        self._is_ending = False
        size, offset = instances.extern_size, instances.value_offset
        # The collector's functions, its stack pointer and memory, the host function; then room for three of a guest.
        # What the glue imports of it all is at the end, in its order. At the very end what the collector imports.
        count = len(modules.functions)
        self._items, self._functions = instances.externs(count + 6 + len(modules.imports))
        self._imports = self._functions + (count - len(COLLECTOR_FUNCTIONS)) * size
        self._stack_pointer, self._memory_item, self._host, self._last = (
            self._functions + (count + index) * size for index in range(4)
        )
        self._memory = self._memory_item + offset
        end = _End(collectors)
        end.key = self._key = instances.put_owner(
            context, modules.host_kind, collectors._host_callback, end, self._host
        )
        collectors._enter(self._key, self)
        try:
            imports = at = self._last + 3 * size
            for name in modules.imports:
                if name == HOST:
                    ctypes.memmove(at, self._host, size)
                else:
                    self._put_clock(note, at)
                at += size
            self._instance = self.instantiate(modules.collector, imports, len(modules.imports), modules.tables, 1)
            instances.export(context, self._instance, b"__stack_pointer", self._stack_pointer)
            instances.export(context, self._instance, b"memory", self._memory_item)
            self.roll(self._instance, count, self._functions)
            if modules.is_fixed:
                self._fixed_base = self.base
            data = collectors._configuration
            ctypes.memmove(self.base + self.control + Control.LIMIT_BODY, data, len(data))
            seed = collectors._settings.seed or _random_seed
            self.call("init", *_SEED.unpack(seed()))
        except BaseException:
            collectors._forget(self._key)
            raise

    def _put_clock(self, note: StoreNote, to: int) -> None:
        """Give the collector wasmtime's own clock where it can be used, else one in Python."""
        modules, instances = self._modules, self._instances
        clock = modules.clock
        if self._collectors._settings.clock is not None or clock is None or not note.is_watched:
            instances.put_func(self._context, modules.clock_kind, self._collectors._clock_callback, self._key, to)
            return
        if not note.has_wasi:
            # The application's own, if it comes, replaces it.
            instances.give_wasi(self._context)
            note.has_wasi = True
        clock.put(self._context, to)

    # The end of the store.

    @property
    def is_open(self) -> bool:
        """Whether the store is there."""
        return self._context != 0

    def end(self) -> None:
        """Hear that the store is about to go."""
        if not self._is_ending:
            self._is_ending = True
            self._collectors._closing(self)

    def lose(self) -> None:
        """Hear that the store is gone."""
        self._is_ending = True
        self._context = self._fixed_base = 0
        self.links.clear()

    # The collector's memory.

    @property
    def base(self) -> int:
        """Where the collector's memory is in the address space; asked again each time where it may move.

        Raises:
            ValueError: If the store is gone.
        """
        return self._fixed_base or self._find_base()

    def _find_base(self) -> int:
        if not self._context:
            raise ValueError("the store is closed")
        base: int = self._data(self._context, self._memory)
        return base

    def u32(self, address: int) -> int:
        """Read a number of 32 bits."""
        number: int = _HALF.unpack_from(self._space, self.base + address)[0]
        return number

    def u64(self, address: int) -> int:
        """Read a number of 64 bits."""
        number: int = _WORD.unpack_from(self._space, self.base + address)[0]
        return number

    def set_u32(self, address: int, number: int) -> None:
        """Write a number of 32 bits."""
        _HALF.pack_into(self._space, self.base + address, number)

    def set_u64(self, address: int, number: int) -> None:
        """Write a number of 64 bits."""
        _WORD.pack_into(self._space, self.base + address, number)

    def read(self, address: int, size: int) -> bytes:
        """Copy bytes.

        Raises:
            ValueError: If they are not all in the memory.
        """
        self._check(address, size)
        return ctypes.string_at(self.base + address, size)

    def write(self, address: int, data: bytes) -> None:
        """Overwrite bytes.

        Raises:
            ValueError: If they are not all in the memory.
        """
        self._check(address, len(data))
        ctypes.memmove(self.base + address, data, len(data))

    def _check(self, address: int, size: int) -> None:
        if not self._context:
            raise ValueError("the store is closed")
        if address + size > self._collectors.native.memory_data_size(self._context, self._memory):
            raise ValueError(f"{size} bytes at {address:#x} are not in the collector's memory")

    def write_scratch(self, data: bytes) -> bool:
        """Put bytes into the scratch area, where the next call expects them; whether there was room.

        Raises:
            wasmtime.Trap: If making room traps.
        """
        if self.u64(self.control) == _BUSY:
            self.call("recover")
        size = len(data)
        pointer, capacity = _SCRATCH.unpack_from(self._space, self.base + self.control + Control.SCRATCH_POINTER)
        if size > capacity:
            if not self.call("reserve", size):
                return False
            pointer = self.u32(self.control + Control.SCRATCH_POINTER)
        ctypes.memmove(self.base + pointer, data, size)
        return True

    def drain(self, number: int) -> Drained:
        """Take what waits for a guest. Nothing is called: it can be done at any time, also in `Op.FULL`.

        Args:
            number: The guest's number.
        """
        block = self.links[number].block
        values = _BLOCK.unpack_from(self._space, self.base + block)
        spans, span_bytes, span_count, logs, log_bytes, log_count, metrics, metric_bytes = values[:8]
        drained = Drained(
            self.read(spans, span_bytes) if span_bytes else b"",
            span_count,
            self.read(logs, log_bytes) if log_bytes else b"",
            log_count,
            self.read(metrics, metric_bytes) if metric_bytes else b"",
            values[8:],
        )
        _OUT.pack_into(self._space, self.base + block, spans, 0, 0, logs, 0, 0, metrics, 0)
        out = self.control + Control.OUT_BYTES
        left = max(0, self.u32(out) - span_bytes - log_bytes)
        self.set_u32(out, left)
        if not left:
            self.set_u64(self.control + Control.OLDEST_NS, 0)
        return drained

    # Calls.

    def call(self, name: str, *args: int) -> int:
        """Call one of the collector's functions.

        It works at any time while the store is open, but in the middle of an operation of the collector's own that
        called the host: the collector then refuses. The store may be out of fuel and past its epoch deadline; it is
        afterwards as before, so that the guest does not pay.

        Args:
            name: The export.
            args: Its arguments, whole numbers.

        Returns:
            Its result, signed; 0 if it has none.

        Raises:
            ValueError: If the store is closed.
            wasmtime.Trap: If it traps: in a guest's stack that is nearly full. What was done is done or not at all.
            wasmtime.WasmtimeError: If it fails otherwise.
        """
        context, instances = self._context, self._instances
        if not context:
            raise ValueError("the store is closed")
        place, kind = self._modules.functions[name]
        function = self._functions + place * instances.extern_size + instances.value_offset
        failure = self._charged_to_nobody(lambda: self._attempt(function, args))
        if failure is not None:
            raise failure
        result: int = self._values[0]
        if kind == "i64":
            return result
        return ((result & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000 if kind else 0

    def _charged_to_nobody(self, run: Callable[[], Exception | None]) -> Exception | None:
        """Run something in the store as if there was no end to its fuel and time; it may be run twice."""
        context, instances = self._context, self._instances
        fuel = None
        is_late = False
        try:
            if self._modules.counts_fuel:
                fuel = instances.fuel(context)
                instances.set_fuel(context, ENOUGH_FUEL)
            failure = run()
            if isinstance(failure, wasmtime.Trap) and failure.trap_code is wasmtime.TrapCode.INTERRUPT:
                # The deadline has passed; when it was cannot be asked.
                is_late = True
                instances.set_epoch_deadline(context, _FAR)
                failure = run()
            return failure
        finally:
            if is_late:
                instances.set_epoch_deadline(context, 0)
            if fuel is not None:
                instances.set_fuel(context, fuel)

    def _attempt(self, function: int, args: tuple[int, ...]) -> Exception | None:
        state: int = _WORD.unpack_from(self._space, self.base + self.control)[0]
        # Both words of the control block at once: busy, and not waiting for the host.
        if state == _BUSY:
            # A trap struck inside: what it left on the stack is nobody's.
            instances, size = self._instances, self._instances.extern_size
            instances.set_global_i32(
                self._context, self._stack_pointer + instances.value_offset, self._modules.layout.stack_pointer
            )
            recover = self._functions + self._modules.functions["recover"][0] * size + instances.value_offset
            failure = self._run(recover, ())
            if failure is not None:
                return failure
        return self._run(function, args)

    def _run(self, function: int, args: tuple[int, ...]) -> Exception | None:
        values = self._values
        for index, arg in enumerate(args):
            values[2 * index] = arg
        return self._instances.call_prepared(self._context, function, self._prepared, self._trap)

    def instantiate(self, module: wasmtime.Module, imports: int, count: int, tables: int = 0, memories: int = 0) -> Any:
        """Make an instance of ours: beyond what the store's limits allow to the application, and at nobody's expense.

        Args:
            module: The module. (Filling a table takes fuel, too.)
            imports: Address of the externs that it imports.
            count: How many they are.
            tables: How many tables it makes.
            memories: How many memories it makes.

        Returns:
            The wasmtime_instance_t.
        """
        made: list[Any] = []

        def run() -> Exception | None:
            store = self._store()
            if store is not None:
                note_of(store).make_room(store, 1, tables, memories)
            try:
                made.append(self._instances.instantiate(self._context, module, imports, count))
            except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
                return error
            return None

        failure = self._charged_to_nobody(run)
        if failure is not None:
            raise failure
        return made[0]

    def roll(self, instance: Any, count: int, to: int) -> None:
        """Get all functions of an instance that has a `ROLL`.

        Args:
            instance: The instance.
            count: How many they are.
            to: Address of as many externs.
        """
        instances, context = self._instances, self._context
        # Where the first of them will be.
        instances.export(context, instance, ROLL.encode(), to)
        function = to + instances.value_offset
        failure = self._charged_to_nobody(lambda: instances.put_functions(context, function, count, to))
        if failure is not None:
            raise failure

    # Guests.

    def add(
        self,
        plan: ImportPlan,
        guest: Guest,
        live: Callable[[wasmtime.Store, PlannedImport], wasmtime.Func],
        base: bytes,
        *,
        has_memory: bool = True,
    ) -> GuestLink | None:
        """Link a guest that is about to be instantiated; None if the store has no room for it.

        Args:
            plan: What it imports.
            guest: Its live path, for what Python serves.
            live: Makes the live path's host function for an import, should the guest need it.
            base: Packed attributes of the host for all its records.
            has_memory: Whether it has a memory.
        """
        store = self._store()
        if store is None:
            return None
        try:
            return GuestLink(self, store, plan, guest, live, base, has_memory=has_memory)
        except (UnsuitableError, wasmtime.WasmtimeError, wasmtime.Trap) as error:
            self._collectors._tell(f"telemetry takes the slower path, because a guest cannot be linked: {error}")
            return None

    def charge(self, number: int, duration_s: float) -> None:
        """Charge time in Python to the call that a guest is in."""
        link = self.links.get(number)
        if link is not None:
            link.guest.charge(duration_s)

    def serve(self, op: int, number: int, caller: int) -> int:
        """Serve ``host.call``.

        Args:
            op: The `Op`.
            number: The guest's number.
            caller: What wasmtime passes to a callback.
        """
        if op < Op.BIND:
            return self._collectors._host(self, op, number)
        link = self.links[number]
        if op == Op.BIND:
            return int(link.bind_early())
        index = op - Op.SLOW
        args = _ARGS[index].unpack_from(self._space, self.base + self._modules.layout.args)
        result: int | None = getattr(link.guest, NAMES[index])(*args)
        return result or 0


def _random_seed() -> bytes:
    return os.urandom(_SEED.size)
