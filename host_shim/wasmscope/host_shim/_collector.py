"""Collectors in stores.

In each store with guests lives one collector, a small module of ours that keeps open spans and encodes records. A guest
imports functions that were added to it (`_glue`); these read the guest's memory through a module made when that memory
is there. What they cannot do themselves they ask of one host function.
"""

from __future__ import annotations

import logging
import struct
import threading
from collections.abc import Callable
from ctypes import memmove
from time import perf_counter, time_ns
from typing import Final

import wasmtime

from wasmscope.host_shim._control import CollectorSettings, configuration
from wasmscope.host_shim._guest_link import GuestLink
from wasmscope.host_shim._limits import Limits
from wasmscope.host_shim._modules import Modules, UnsuitableError
from wasmscope.host_shim._shield import shielded
from wasmscope.host_shim._store_collector import Drained, StoreCollector
from wasmscope.host_shim._store_watch import StoreNote, note_of, watch_stores
from wasmscope.host_shim._wasmtime_ffi import CALLBACK, Native
from wasmscope.host_shim._wasmtime_instances import Instances

__all__ = ["Collectors", "Drained", "GuestLink", "StoreCollector"]

_logger = logging.getLogger("wasmscope.host_shim")
_shared: Final = Modules()
"""Compiled modules are the process's: bridges may share an engine."""
_U64: Final = 0xFFFFFFFFFFFFFFFF
_E_IO: Final = 29
_CONTEXT_BYTES: Final = 32
_I64: Final = struct.Struct("<q")
_WORD: Final = struct.Struct("<Q")
_HOST_ARGS: Final = struct.Struct("<I12xI12x")
_CLOCK_ARGS: Final = struct.Struct("<32xI")
_FETCH_ARGS: Final = struct.Struct("<I12xQ8xQ8xII")
_GIVE_ARGS: Final = struct.Struct("<I12xQ8xI12x")


class Collectors:
    """The collectors of a bridge, one in each store that can have one. Thread-safe, as far as stores are.

    Attributes:
        native: The C functions.
        modules: Where compiled modules are kept.
        settings: How the collectors behave.
        configuration: What is written into their control blocks.
        host: Serves what they ask.
        closing: Called before a store goes.
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
        self.host = host
        self.closing = closing
        self.settings = settings
        self.configuration = configuration(limits, settings)
        self._stores: dict[int, StoreCollector] = {}
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self.host_callback = CALLBACK(self._make_host())
        self.clock_callback = CALLBACK(self._make_clock())
        self.fetch_callback = CALLBACK(self._make_fetch())
        self.give_callback = CALLBACK(self._make_give())
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
            made: StoreCollector | None = held[self]
            return made
        found: StoreCollector | None = held[self]
        if found is not None:
            found.is_new = False
        return found

    def _make(self, store: wasmtime.Store, note: StoreNote) -> StoreCollector | None:
        instances = self._instances
        if instances is None:
            return None
        try:
            modules = self.modules.of(self.native, instances, store.engine)
            collector = StoreCollector(self, instances, modules, store, note)
        except (UnsuitableError, wasmtime.WasmtimeError, wasmtime.Trap) as error:
            self.tell(f"telemetry takes the slower path, because a collector cannot be made: {error}")
            return None
        note.before_close(collector.end)
        return collector

    def tell(self, text: str) -> None:
        """Say once why something takes the slower path."""
        with self._lock:
            is_new = text not in self._told
            self._told.add(text)
        if is_new:
            _logger.info("%s", text)

    def enter(self, key: int, collector: StoreCollector) -> None:
        """Know a collector by the environment of its callbacks."""
        self._stores[key] = collector

    def forget(self, key: int) -> None:
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
                # A signal may arrive here, too; and nothing that was set above is sure to be.
                try:
                    _, number = unpack(space, at)
                    pack(space, at, 0)
                    failed(env, number, error)
                except BaseException:
                    pass
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
        now = self.settings.clock or time_ns
        unpack, write, pack = _CLOCK_ARGS.unpack_from, _WORD.pack_into, _I64.pack_into

        def clock_time_get(env: int, _caller: int, at: int) -> int:
            try:
                (pointer,) = unpack(space, at)
                # As WASI has it: the time where the collector wants it, and no error.
                write(space, stores[env].base + pointer, now() & _U64)
                pack(space, at, 0)
                return 0
            except BaseException as error:
                try:
                    pack(space, at, _E_IO)
                    self._failed(env, -1, error)
                except BaseException:
                    pass
                return 0

        return shielded(clock_time_get)

    # Where a reader cannot be made, a guest's memory is read and written from here.

    def _make_fetch(self) -> Callable[[int, int, int], int]:
        space, stores = self.native.space, self._stores
        unpack, pack = _FETCH_ARGS.unpack_from, _I64.pack_into

        def fetch(env: int, _caller: int, at: int) -> int:
            try:
                number, address, size, wanted, to = unpack(space, at)
                collector = stores[env]
                found = collector.links[number].find(address, size)
                if found is not None:
                    memmove(collector.base + to, found, wanted)
                pack(space, at, found is not None)
                return 0
            except BaseException as error:
                try:
                    pack(space, at, 0)
                    self._failed(env, -1, error)
                except BaseException:
                    pass
                return 0

        return shielded(fetch)

    def _make_give(self) -> Callable[[int, int, int], int]:
        space, stores = self.native.space, self._stores
        unpack, pack = _GIVE_ARGS.unpack_from, _I64.pack_into

        def give(env: int, _caller: int, at: int) -> int:
            try:
                number, address, data = unpack(space, at)
                collector = stores[env]
                found = collector.links[number].find(address, _CONTEXT_BYTES)
                if found is not None:
                    memmove(found, collector.base + data, _CONTEXT_BYTES)
                pack(space, at, found is not None)
                return 0
            except BaseException as error:
                try:
                    pack(space, at, 0)
                    self._failed(env, -1, error)
                except BaseException:
                    pass
                return 0

        return shielded(give)
