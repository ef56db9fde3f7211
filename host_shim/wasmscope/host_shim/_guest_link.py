"""One guest's way to the collector of its store."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import wasmtime

from wasmscope.host_shim._glue import COLLECTOR_FUNCTIONS, NAMES
from wasmscope.host_shim._modules import UnsuitableError
from wasmscope.host_shim._plan import ImportPlan, PlannedImport
from wasmscope.host_shim._wasmtime import RawMemory

if TYPE_CHECKING:
    from wasmscope.host_shim._collector import StoreCollector
    from wasmscope.host_shim._guest import Guest

__all__ = ["GuestLink"]

_INDEX: Final = {name: index for index, name in enumerate(NAMES)}
# So many functions are got one by one in less time than all at once.
_FEW: Final = 8


class GuestLink:
    """One guest's way to the collector.

    Attributes:
        number: Its number in the collector.
        block: Address of its block (`wasmscope.host_shim._control.Block`).
        guest: Its live path.
        imports: The functions for its instantiation, by their name in the ABI.
        is_bound: Whether its calls have somewhere to go: to the collector, or to the live path after `fall_back`.
        is_live: Whether it has fallen back.
    """

    def __init__(
        self,
        collector: StoreCollector,
        store: wasmtime.Store,
        plan: ImportPlan,
        guest: Guest,
        live: Callable[[wasmtime.Store, PlannedImport], wasmtime.Func],
        base: bytes,
        *,
        has_memory: bool,
    ) -> None:
        """Make its trampolines; see `StoreCollector.add`."""
        self._collector = collector
        self._plan = plan
        self._live = live
        self.guest = guest
        self.is_bound = False
        self.is_live = False
        self._has_memory = has_memory
        self._bound_base: int | None = None
        instances, context = collector._instances, collector._context
        size, offset = instances.extern_size, instances.value_offset
        module = collector._modules.trampolines(memory64=plan.memory64)
        if module is None:
            raise UnsuitableError("the engine cannot run its trampolines")
        self._instance = collector.instantiate(module, collector._host, 1, tables=1)
        # What the glue imports: the table, the guest's number, and the place of its memory. Then the functions.
        self._items, self._first = instances.externs(3 + len(NAMES))
        functions = self._first + 3 * size
        instances.export(context, self._instance, b"table", self._first)
        instances.export(context, self._instance, b"guest", self._first + size)
        if len(plan.abi) > _FEW:
            collector.roll(self._instance, len(NAMES), functions)
        else:
            for name in plan.abi:
                instances.export(context, self._instance, name.encode(), functions + _INDEX[name] * size)
        self.imports = {name: instances.func_at(self._items, 3 + _INDEX[name]) for name in plan.abi}
        if base and not collector.write_scratch(base):
            raise UnsuitableError("the collector has no memory left")
        self.number = collector.call("guest", int(not has_memory), len(base))
        if self.number < 0:
            raise UnsuitableError("the collector takes no more guests")
        if self.number:
            instances.set_global_i32(context, self._first + size + offset, self.number)
        self.block = collector.call("guest_address", self.number) & 0xFFFFFFFF
        collector.links[self.number] = self

    def bind(self, memory: wasmtime.Memory | None) -> None:
        """Connect the trampolines with the collector; nothing happens if they are already.

        Args:
            memory: The guest's memory, or None if it has none.
        """
        if self.is_live or not self._collector.is_open:
            return
        if memory is None:
            if not self.is_bound:
                self._bind()
            return
        instances = self._collector._instances
        to = self._first + 2 * instances.extern_size
        before = ctypes.string_at(to, instances.extern_size)
        instances.put_memory(memory, to)
        if not self.is_bound or self._memory_base() != self._bound_base:
            self._bind()
        else:
            ctypes.memmove(to, before, instances.extern_size)

    def bind_early(self) -> bool:
        """Connect a guest that calls while it is being instantiated; whether its calls have somewhere to go now."""
        if self.is_bound:
            return True
        plan, collector = self._plan, self._collector
        if plan.memory_export is None:
            self._bind()
            return self.is_bound
        instances, context = collector._instances, collector._context
        to = self._first + 2 * instances.extern_size
        last = collector.instantiate(collector._modules.empty, 0, 0)
        for instance in instances.between(self._instance, last):
            if tuple(instances.export_names(context, instance, len(plan.exports) + 1)) != plan.exports:
                continue
            instances.export(context, instance, plan.memory_export.encode(), to)
            item = instances.memory_at(to)
            if item is None:
                break
            if self.guest.memory is None:
                self.guest.attach_memory(RawMemory(collector._collectors.native, context, item))
            self._bind()
            return self.is_bound
        # Its instance was not finished, and its functions got out all the same.
        self.guest.rejections.add("no_memory")
        return False

    def _memory_base(self) -> int | None:
        collector = self._collector
        item = self._first + 2 * collector._instances.extern_size + collector._instances.value_offset
        base: int | None = collector._data(collector._context, item)
        return base

    def _bind(self) -> None:
        """Make the glue for the memory that is among the items."""
        collector = self._collector
        instances, modules = collector._instances, collector._modules
        size = instances.extern_size
        to = self._first + 2 * size
        has_memory = instances.memory_at(to) is not None
        ctypes.memmove(collector._last, self._first, 3 * size)
        count = len(COLLECTOR_FUNCTIONS) + 5 + has_memory
        wide = ("i64", "i32") if self._plan.memory64 else ("i32", "i64")
        problem: object = None
        for kind in wide if has_memory else (None,):
            module = modules.glue(memory64=self._plan.memory64, memory=kind)
            if module is None:
                continue
            try:
                collector.instantiate(module, collector._imports, count)
            except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
                # Its addresses may be of the other kind. Nearly always they are of the guest's functions' kind, and
                # to ask takes longer.
                problem = problem or error
                continue
            self.is_bound = True
            if has_memory != self._has_memory:
                self._has_memory = has_memory
                collector.call("set_memory", self.number, int(has_memory))
            if has_memory:
                self._bound_base = self._memory_base()
            return
        collector._collectors._tell(f"telemetry takes the slower path, because a guest cannot be linked: {problem}")
        self.fall_back()

    def fall_back(self) -> None:
        """Have the guest go on by the live path, from its next call on."""
        collector = self._collector
        store = collector._store()
        if store is None or not collector.is_open:
            return
        instances = collector._instances
        table = self._first + instances.value_offset
        for item in self._plan.imports:
            if item.server == "abi":
                func = self._live(store, item)
                address = ctypes.addressof(func._func)
                instances.set_table(collector._context, table, _INDEX[item.name], address)
        self.is_bound = self.is_live = True
