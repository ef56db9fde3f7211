"""One guest's way to the collector of its store."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import wasmtime

from wasmscope.host_shim._glue import FURTHER, NAMES, first_name
from wasmscope.host_shim._modules import UnsuitableError
from wasmscope.host_shim._plan import ImportPlan
from wasmscope.host_shim._wasmtime import RawMemory

if TYPE_CHECKING:
    from wasmscope.host_shim._guest import Guest
    from wasmscope.host_shim._store_collector import StoreCollector

__all__ = ["GuestLink"]

_INDEX: Final = {name: index for index, name in enumerate(NAMES)}


@functools.cache
def _first_exports(memory64: bool) -> dict[str, tuple[bytes, int]]:
    """Give the collector's exports for what a first guest may import, and how long these names are."""
    names = {name: first_name(name, memory64=memory64).encode() for name in NAMES}
    return {name: (export, len(export)) for name, export in names.items()}


class GuestLink:
    """One guest's way to the collector.

    Attributes:
        number: Its number in the collector.
        block: Address of its block (`wasmscope.host_shim._control.Block`); 0 until the collector begins.
        guest: Its live path.
        is_bound: Whether the collector can read its memory, or knows that it has none.
    """

    def __init__(
        self, collector: StoreCollector, plan: ImportPlan, guest: Guest, base: bytes, *, has_memory: bool
    ) -> None:
        """Make it; see `StoreCollector.add`."""
        self._collector = collector
        self._plan = plan
        self.guest = guest
        self.is_bound = False
        self._is_known = False
        self._memory: wasmtime.Memory | None = None
        self._has_memory = has_memory
        self._base: int | None = None
        instances = collector.instances
        # The host function, the memory, and two externs more; then functions.
        self._items, self._first = instances.externs(4 + len(NAMES if collector.has_guests else plan.abi))
        self._is_first = not collector.has_guests
        collector.has_guests = True
        # Where the ABI's functions are among the externs: the first, and each of them after it.
        self._functions = self._at(4)
        if self._is_first:
            self._link_first()
        else:
            self._link_further()
        self.number: int = 0
        self.block: int = 0
        if self._is_first:
            collector.add_first(self, base, has_memory=has_memory)
        else:
            self.number, self.block = collector.add_guest(base, has_memory=has_memory)
            collector.links[self.number] = self
            self._number_it()

    def function(self, name: str) -> int:
        """Give the address of the extern of a function that it imports, by its name in the ABI."""
        index = self._plan.abi.index(name) if self._is_first else _INDEX[name]
        return self._functions + index * self._collector.instances.extern_size

    def functions(self) -> Sequence[int]:
        """Give the same of all functions that it imports of the ABI, in the module's order."""
        size = self._collector.instances.extern_size
        if self._is_first:
            return range(self._functions, self._functions + len(self._plan.abi) * size, size)
        return [self.function(name) for name in self._plan.abi]

    def instantiate(self, module: wasmtime.Module, imports: Sequence[Any]) -> wasmtime.Instance:
        """Make the guest's instance, as `wasmtime.Instance` does.

        Args:
            module: Its module.
            imports: What it imports: items of wasmtime-py, or addresses of externs.

        Raises:
            wasmtime.WasmtimeError: If it cannot be made.
            wasmtime.Trap: If its start function traps.
        """
        collector = self._collector
        instances, count = collector.instances, len(imports)
        if self._is_first and count == len(self._plan.abi):
            # All are ours, and lie there in the module's order.
            return instances.instantiate_guest(collector.context, module, self._functions, count)
        return instances.instantiate_with(collector.context, module, imports)

    def when_gone(self, function: Callable[[], None]) -> None:
        """Have a function called when the store is gone; see `StoreCollector.when_gone`."""
        self._collector.when_gone(function)

    def memory_of(self, instance: wasmtime.Instance) -> wasmtime.Memory | None:
        """Give the memory that the guest exports, or None if it exports none.

        Args:
            instance: Its instance.
        """
        name, collector = self._plan.memory_export, self._collector
        if name is None:
            return None
        self._memory = collector.instances.exported_memory(collector.context, instance, name.encode(), self._first)
        return self._memory

    def _at(self, index: int) -> int:
        """Give the address of one of the externs."""
        return self._first + index * self._collector.instances.extern_size

    def _link_first(self) -> None:
        """Have the functions that were made for the first guest."""
        collector, plan = self._collector, self._plan
        exports = _first_exports(plan.memory64)
        names = [exports[name] for name in plan.abi]
        collector.instances.put_exports(collector.context, collector.instance, names, self._functions)
        # What it is made after.
        self._mark = collector.instance if collector.is_new else collector.instantiate(collector.modules.empty, 0, 0)

    def _link_further(self) -> None:
        """Make trampolines to the functions for any guest."""
        collector = self._collector
        instances = collector.instances
        module = collector.modules.trampolines(memory64=self._plan.memory64)
        if module is None:
            raise UnsuitableError("the engine cannot run its trampolines")
        ctypes.memmove(self._at(0), collector.host, instances.extern_size)
        collector.roll(collector.instance, len(FURTHER), self._at(1))
        self._mark = collector.instantiate(module, self._at(0), 1 + len(FURTHER))
        collector.roll(self._mark, len(NAMES), self._functions)

    def _number_it(self) -> None:
        """Tell the trampolines the guest's number, and make place for its reader."""
        collector = self._collector
        instances = collector.instances
        if not collector.call("wasmscope_open", self.number):
            raise UnsuitableError("the store's tables may not grow")
        instances.export(collector.context, self._mark, b"guest", self._at(0))
        instances.set_global_i32(collector.context, self._at(0) + instances.value_offset, self.number)

    def bind(self, memory: wasmtime.Memory | None) -> None:
        """Say what the guest's memory is; nothing happens if that is known.

        The collector is made to read it when the guest first tells something, which many a guest never does; at once
        where fuel is counted, so that telling costs the same each time.

        Args:
            memory: The guest's memory, or None if it has none.
        """
        if not self._collector.is_open:
            return
        is_at_once = self._collector.modules.counts_fuel
        if memory is None:
            if is_at_once and not self.is_bound:
                self._bind_nothing()
            return
        if memory is not self._memory:
            self._collector.instances.put_memory(memory, self._first)
        self._is_known = True
        if self._memory_base(0) != self._base if self.is_bound else is_at_once:
            self._bind_known()

    def _bind_known(self) -> None:
        """Bind the memory that is known."""
        ctypes.memmove(self._at(1), self._at(0), self._collector.instances.extern_size)
        self._bind()

    def bind_early(self) -> bool:
        """Bind a guest that calls, maybe while it is being instantiated; whether that could be done."""
        if self.is_bound:
            return True
        if self._is_known:
            self._bind_known()
            return True
        plan, collector = self._plan, self._collector
        if plan.memory_export is None:
            self._bind_nothing()
            return True
        instances, context = collector.instances, collector.context
        last = collector.instantiate(collector.modules.empty, 0, 0)
        for instance in instances.between(self._mark, last):
            if tuple(instances.export_names(context, instance, len(plan.exports) + 1)) != plan.exports:
                continue
            instances.export(context, instance, plan.memory_export.encode(), self._at(1))
            item = instances.memory_at(self._at(1))
            if item is None:
                break
            if self.guest.memory is None:
                self.guest.attach_memory(RawMemory(collector.owner.native, context, item))
            self._bind()
            return True
        # Its instance was not finished, and its functions got out all the same.
        return False

    def _memory_base(self, index: int) -> int | None:
        collector = self._collector
        item = self._at(index) + collector.instances.value_offset
        base: int | None = collector.owner.native.memory_data(collector.context, item)
        return base

    def find(self, address: int, size: int) -> int | None:
        """Give where a range of the guest's memory is in the address space, or None if it is not all there.

        Args:
            address: Its address.
            size: Its size in bytes.
        """
        collector = self._collector
        native, item = collector.owner.native, self._at(1) + collector.instances.value_offset
        if address + size > native.memory_data_size(collector.context, item):
            return None
        base: int = native.memory_data(collector.context, item)
        return base + address

    def _bind_nothing(self) -> None:
        collector = self._collector
        collector.call("wasmscope_close", self.number)
        if self._has_memory:
            self._tell_memory(False)
        self.is_bound = True

    def _tell_memory(self, has_memory: bool) -> None:
        self._has_memory = has_memory
        self._collector.call("set_memory", self.number, int(has_memory))

    def _bind(self) -> None:
        """Make the reader for the memory that is among the items, or read it from Python where that cannot be."""
        collector = self._collector
        size = collector.instances.extern_size
        problem: object = None
        if not self._has_memory:
            self._tell_memory(True)
        # Nearly always a guest's functions are as wide as its memory, and to ask takes longer.
        for kind in ("i64", "i32") if self._plan.memory64 else ("i32", "i64"):
            module = collector.modules.reader(kind, is_first=self._is_first)
            if module is None:
                continue
            ctypes.memmove(collector.places, self._at(1), size)
            try:
                made = collector.instantiate(module, collector.places, 3 if self._is_first else 2)
            except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
                problem = problem or error
                continue
            if not self._is_first:
                for index, name in enumerate((b"fetch", b"give")):
                    collector.instances.export(collector.context, made, name, self._at(2 + index))
                self._place_reader()
            break
        else:
            collector.owner.tell(f"a guest's memory is read in a slower way: {problem}")
            self._read_from_python()
        self._base = self._memory_base(1)
        self.is_bound = True

    def _read_from_python(self) -> None:
        collector = self._collector
        owner, modules, instances = collector.owner, collector.modules, collector.instances
        instances.put_func(collector.context, modules.fetch_kind, owner.fetch_callback, collector.key, self._at(2))
        instances.put_func(collector.context, modules.give_kind, owner.give_callback, collector.key, self._at(3))
        self._place_reader()

    def _place_reader(self) -> None:
        """Put what reads and what writes, which are the items 2 and 3, into the table."""
        collector = self._collector
        instances, offset = collector.instances, collector.instances.value_offset
        for index in range(2):
            instances.set_table(
                collector.context, collector.table, 2 * self.number + index, self._at(2 + index) + offset
            )
