"""The collector in one store: its memory, calls of it from outside, and its end."""

from __future__ import annotations

import ctypes
import os
import struct
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import wasmtime

from wasmscope.host_shim._abi import FUNCTIONS
from wasmscope.host_shim._control import Control, Op
from wasmscope.host_shim._glue import NAMES, ROLL, STACK_POINTER, TABLE
from wasmscope.host_shim._guest_link import GuestLink
from wasmscope.host_shim._modules import ENOUGH_FUEL, HOST, EngineModules, UnsuitableError
from wasmscope.host_shim._plan import ImportPlan
from wasmscope.host_shim._store_watch import StoreNote, StoreOwned, note_of
from wasmscope.host_shim._wasmtime import failure_of
from wasmscope.host_shim._wasmtime_ffi import store_address
from wasmscope.host_shim._wasmtime_instances import Instances

if TYPE_CHECKING:
    from wasmscope.host_shim._collector import Collectors
    from wasmscope.host_shim._guest import Guest

__all__ = ["Drained", "StoreCollector"]

# What is got of each instance, in the order of its places.
_NEEDED: Final = tuple((name, len(name)) for name in (b"memory", TABLE.encode()))
_FAR: Final = 1 << 62
# Both words of the control block's head: a trap struck in an operation, or nothing began.
_NOT_IDLE: Final = 0
_ATTEMPTS: Final = 2
_INTERRUPT: Final = "interrupt"
_MOST_ARGS: Final = 10
_Values = ctypes.c_int64 * (2 * _MOST_ARGS)
_SEED: Final = struct.Struct("<4q")
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


_NOTHING: Final = Drained(b"", 0, b"", 0, b"")


class _End(StoreOwned):
    """Owned by a store, so that it goes with it.

    Attributes:
        key: The collector's.
        others: What else is to be called when the store is gone. With it, the store owns what these belong to.
    """

    def __init__(self, collectors: Collectors) -> None:
        # With the callbacks that functions in the store point to.
        self.collectors = collectors
        self.key = 0
        self.others: list[Callable[[], None]] = []

    def gone(self) -> None:
        """Forget the collector, then pass it on."""
        self.collectors.forget(self.key)
        for other in self.others:
            other()


class StoreCollector:
    """The collector in one store. Not thread-safe, as a store is not.

    Addresses are those of the collector's memory.

    Attributes:
        owner: The bridge's collectors.
        instances: The C functions.
        modules: The modules of its engine.
        context: Address of the store's context; 0 once that is gone.
        control: Address of the control block (`Control`).
        links: The guests, by number.
        key: The environment of its callbacks.
        host: Address of the extern of the host function.
        instance: Its wasmtime_instance_t.
        places: Address of three externs: for a guest's memory, of its own, and of its table.
        table: Address of the wasmtime_table_t.
        is_new: Whether nothing was made in the store since it was.
        has_guests: Whether its functions for the first guest were given out.
        is_called: Whether the host calls it just now, which is not the guest's running.
        is_begun: Whether there is anything in its memory. It begins when a guest first tells something, which many a
            guest never does; at once where fuel is counted, so that telling costs the same each time.
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
        self.owner = collectors
        self.instances = instances
        self.modules = modules
        self._space = collectors.native.space
        self._data = collectors.native.memory_data
        # What the store owns must not own the store.
        self._store = weakref.ref(store)
        self.context = context = store_address(store)
        self._values = _Values()
        # Where a call puts its trap. That is taken away at once: calls may be nested.
        self._trap = ctypes.c_void_p()
        self._prepared = (self._values, _MOST_ARGS, ctypes.byref(self._trap))
        self.control = modules.control
        self.links: dict[int, GuestLink] = {}
        self._fixed_base = 0
        self._is_ending = False
        self.is_called = False
        self.is_begun = False
        self.is_new = True
        self.has_guests = False
        # What is put on all records of the first guest, and its flags.
        self._first: tuple[bytes, int] = b"", 0
        size, offset = instances.extern_size, instances.value_offset
        # What the first guest's reader imports: the guest's memory, the collector's, the table. Then the
        # host function, and what the collector imports.
        self._items, self.places = instances.externs(4 + len(modules.imports))
        self._memory = self.places + size + offset
        self.table = self.places + 2 * size + offset
        self._functions: dict[str, int] = {}
        self._kept: list[Any] = [self._items]
        self.host = self.places + 3 * size
        end = _End(collectors)
        self._when_gone = end.others
        end.key = self.key = instances.put_owner(context, modules.host_kind, collectors.host_callback, end, self.host)
        collectors.enter(self.key, self)
        try:
            imports = at = self.host + size
            for name in modules.imports:
                if name == HOST:
                    ctypes.memmove(at, self.host, size)
                else:
                    self._put_clock(note, at)
                at += size
            self.instance = self.instantiate(modules.collector, imports, len(modules.imports), 1, 1)
            instances.put_exports(context, self.instance, _NEEDED, self.places + size)
            if modules.is_fixed:
                self._fixed_base = self.base
        except BaseException:
            collectors.forget(self.key)
            raise

    def _put_clock(self, note: StoreNote, to: int) -> None:
        """Give the collector wasmtime's own clock where it can be used, else one in Python."""
        modules, instances = self.modules, self.instances
        clock = modules.clock
        if self.owner.settings.clock is not None or clock is None or not note.is_watched:
            instances.put_func(self.context, modules.clock_kind, self.owner.clock_callback, self.key, to)
            return
        if not note.has_wasi:
            # The application's own, if it comes, replaces it.
            instances.give_wasi(self.context)
            note.has_wasi = True
        clock.put(self.context, to)

    # The end of the store.

    def when_gone(self, function: Callable[[], None]) -> None:
        """Have a function called when the store is gone. The store owns what it belongs to until then.

        Args:
            function: Must not raise, and must not refer to the store.
        """
        self._when_gone.append(function)

    @property
    def is_open(self) -> bool:
        """Whether the store is there."""
        return self.context != 0

    def end(self) -> None:
        """Hear that the store is about to go."""
        if not self._is_ending:
            self._is_ending = True
            self.owner.closing(self)

    def lose(self) -> None:
        """Hear that the store is gone."""
        self._is_ending = True
        self.is_begun = False
        self.context = self._fixed_base = 0
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
        if not self.context:
            raise ValueError("the store is closed")
        base: int = self._data(self.context, self._memory)
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
        if not self.context:
            raise ValueError("the store is closed")
        if address + size > self.owner.native.memory_data_size(self.context, self._memory):
            raise ValueError(f"{size} bytes at {address:#x} are not in the collector's memory")

    @property
    def is_waiting(self) -> bool:
        """Whether the collector waits for the host, and can be asked for nothing."""
        return bool(self.u32(self.control + Control.IN_HOST))

    def write_scratch(self, data: bytes) -> bool:
        """Put bytes into the scratch area, where the next call expects them.

        Returns:
            Whether that could be done: not if there is no room, nor while the collector waits for the host, with what a
            guest sent in that area.

        Raises:
            wasmtime.Trap: If making room traps.
        """
        self.begin()
        if self.is_waiting:
            return False
        if self.u64(self.control) == _NOT_IDLE:
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
        if not self.is_begun:
            return _NOTHING
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

    def begin(self) -> None:
        """Have the collector begin, if it has not.

        Raises:
            ValueError: If the store is closed.
            wasmtime.Trap: If it traps, as `call` does. It can be tried again.
            UnsuitableError: If there is no memory for what the host puts on records. Likewise.
        """
        if self.is_begun:
            return
        if not self.context:
            raise ValueError("the store is closed")
        failure: BaseException | None = None
        # A signal's handler may raise anywhere here. What was done then is done once more: the guest would not ask
        # again, and its records must not lack what the host puts on them.
        for _ in range(_ATTEMPTS):
            try:
                self._begin()
                break
            except BaseException as error:
                self.is_begun = False
                failure = error
        if failure is not None:
            # If it was only not told of all calls that run, the guest will not ask again, and its records come all the
            # same.
            self.is_begun = bool(self.u32(self.control + Control.IDLE))
            raise failure

    def _begin(self) -> None:
        # It is idle if this was interrupted when that was done.
        if not self.u32(self.control + Control.IDLE):
            base, configuration = self.base, self.owner.configuration
            for address, data in self.modules.data:
                ctypes.memmove(base + address, data, len(data))
            ctypes.memmove(base + self.control + Control.LIMIT_BODY, configuration, len(configuration))
            seed = self.owner.settings.seed or _random_seed
            attributes, flags = self._first
            size = len(attributes)
            block = self._call_early("init", *_SEED.unpack(seed()), flags, size)
            link = self.links.get(0)
            if link is not None:
                link.block = block
            if block:
                ctypes.memmove(self.base + self.u32(self.control + Control.SCRATCH_POINTER), attributes, size)
            if not block or not self._call_early("ready", size):
                raise UnsuitableError("the collector has no memory left")
        self.is_begun = True
        self.owner.host(self, Op.START, 0)

    def _call_early(self, name: str, *args: int) -> int:
        """Call a function before the collector has begun; gives its result, of 32 bits."""
        failure = self._charged_to_nobody(self._run, self._functions.get(name) or self._look_up(name), args)
        if failure is not None:
            raise failure
        return int(self._values[0]) & 0xFFFFFFFF

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
        self.begin()
        failure = self._charged_to_nobody(self._attempt, self._functions.get(name) or self._look_up(name), args)
        if failure is not None:
            raise failure
        result: int = self._values[0]
        kind = self.modules.results[name]
        if kind == "i64":
            return result
        return ((result & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000 if kind else 0

    def _charged_to_nobody(self, run: Callable[..., Exception | None], *args: Any) -> Exception | None:
        """Run something in the store as if there was no end to its fuel and time; it may be run twice."""
        context, instances = self.context, self.instances
        fuel = None
        is_late = False
        was_called, self.is_called = self.is_called, True
        try:
            if self.modules.counts_fuel:
                fuel = instances.fuel(context)
                instances.set_fuel(context, ENOUGH_FUEL)
            failure = run(*args)
            if failure is None:
                return None
            if failure_of(failure).code == _INTERRUPT:
                # The deadline has passed; when it was cannot be asked.
                is_late = True
                instances.set_epoch_deadline(context, _FAR)
                failure = run(*args)
            return failure
        finally:
            self.is_called = was_called
            if is_late:
                instances.set_epoch_deadline(context, 0)
            if fuel is not None:
                instances.set_fuel(context, fuel)

    def _attempt(self, function: int, args: tuple[int, ...]) -> Exception | None:
        state: int = _WORD.unpack_from(self._space, self.base + self.control)[0]
        if state == _NOT_IDLE:
            # A trap struck inside: what it left on the stack is nobody's.
            instances = self.instances
            item, to = instances.externs(1)
            instances.export(self.context, self.instance, STACK_POINTER.encode(), to)
            instances.set_global_i32(self.context, to + instances.value_offset, self.modules.stack_pointer)
            del item
            failure = self._run(self._functions.get("recover") or self._look_up("recover"), ())
            if failure is not None:
                return failure
        return self._run(function, args)

    def _run(self, function: int, args: tuple[int, ...]) -> Exception | None:
        values = self._values
        for index, arg in enumerate(args):
            values[2 * index] = arg
        return self.instances.call_prepared(self.context, function, self._prepared, self._trap)

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
        store = self._store()
        if store is not None:
            note_of(store).make_room(store, 1, tables, memories)
        instance = self.instances.new_instance()
        failure = self._charged_to_nobody(self.instances.instantiate, self.context, module, imports, count, instance)
        if failure is not None:
            raise failure
        return instance

    def roll(self, instance: Any, count: int, to: int) -> None:
        """Get functions by one that returns references to them (`wasmscope.host_shim._glue.ROLL`).

        Args:
            instance: The instance.
            count: How many they are.
            to: Address of as many externs.
        """
        instances, context = self.instances, self.context
        # Where the first of them will be.
        instances.export(context, instance, ROLL.encode(), to)
        function = to + instances.value_offset
        failure = self._charged_to_nobody(instances.put_functions, context, function, count, to)
        if failure is not None:
            raise failure

    def _look_up(self, name: str) -> int:
        items, at = self.instances.externs(1)
        self.instances.export(self.context, self.instance, name.encode(), at)
        self._kept.append(items)
        function = self._functions[name] = at + self.instances.value_offset
        return function

    # Guests.

    def add(
        self,
        plan: ImportPlan,
        guest: Guest,
        base: bytes,
        *,
        has_memory: bool = True,
    ) -> GuestLink | None:
        """Link a guest that is about to be instantiated; None if the store has no room for it.

        To be called right after `Collectors.of`, and before anything else is made in the store.

        Args:
            plan: What it imports.
            guest: Its live path, for what Python serves.
            base: Packed attributes of the host for all its records.
            has_memory: Whether it has a memory.
        """
        try:
            return GuestLink(self, plan, guest, base, has_memory=has_memory)
        except (UnsuitableError, wasmtime.WasmtimeError, wasmtime.Trap) as error:
            self.owner.tell(f"telemetry takes the slower path, because a guest cannot be linked: {error}")
            return None

    def add_first(self, link: GuestLink, base: bytes, *, has_memory: bool) -> None:
        """Take the first guest, whose number is 0.

        Args:
            link: Its way here.
            base: Packed attributes of the host for all its records.
            has_memory: Whether it has a memory.
        """
        self._first = base, int(not has_memory)
        self.links[0] = link
        if self.modules.counts_fuel:
            self.begin()

    def add_guest(self, base: bytes, *, has_memory: bool) -> tuple[int, int]:
        """Have the collector count one more guest; gives its number, and the address of its block.

        Args:
            base: Packed attributes of the host for all its records.
            has_memory: Whether it has a memory.

        Raises:
            UnsuitableError: If there is no room for it.
        """
        number = -1
        if not base or self.write_scratch(base):
            number = self.call("wasmscope_guest", int(not has_memory), len(base))
        if number < 0:
            raise UnsuitableError("the collector takes no more guests")
        return number, self._values[2] & 0xFFFFFFFF

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
        if op == Op.START:
            self.begin()
            return 0
        if op < Op.BIND:
            return self.owner.host(self, op, number)
        link = self.links[number]
        if op == Op.BIND:
            return int(link.bind_early())
        if not link.is_bound:
            # The live path needs the memory, too.
            link.bind_early()
        index = op - Op.SLOW
        args = _ARGS[index].unpack_from(self._space, self.base + self.modules.args)
        result: int | None = getattr(link.guest, NAMES[index])(*args)
        return result or 0


def _random_seed() -> bytes:
    return os.urandom(_SEED.size)
