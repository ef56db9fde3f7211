"""Host functions for one guest: the ABI, AssemblyScript's imports, and WASI watched."""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable
from struct import Struct
from time import perf_counter
from typing import Any, Final

import wasmtime

from wasmscope.host_shim import _abi, _assemblyscript
from wasmscope.host_shim._callbacks import public_callback, raw_callback
from wasmscope.host_shim._guest import Guest
from wasmscope.host_shim._plan import ImportPlan, PlannedImport
from wasmscope.host_shim._runtime import GuestBytes
from wasmscope.host_shim._shield import shielded
from wasmscope.host_shim._store_watch import StoreOwned
from wasmscope.host_shim._wasi import Environment, Stdio
from wasmscope.host_shim._wasmtime import RawMemory, SlowMemory, failure_of, public_view
from wasmscope.host_shim._wasmtime_ffi import CALLBACK, Native, store_address

__all__ = ["Binding", "Natives", "function_types"]

_TEXT_LIMIT: Final = 16_384
_E_IO: Final = 29
_F64: Final = Struct("<d")
_I64: Final = Struct("<q")
# The values of a call, two words each: as many as the functions of `_OTHERS` take, and more.
_Slots = ctypes.c_int64 * 16
_FORWARDED: Final = {
    "fd_write": "(param i32 i32 i32 i32) (result i32)",
    "environ_get": "(param i32 i32) (result i32)",
    "environ_sizes_get": "(param i32 i32) (result i32)",
}


def function_types(*, memory64: bool) -> dict[str, wasmtime.FuncType]:
    """Make wasmtime's types of the ABI's functions.

    A type belongs to the first engine that it is used with, and wasmtime ends the process where it meets another: so
    none is kept.
    """
    make: dict[str, Callable[[], wasmtime.ValType]] = {
        "i32": wasmtime.ValType.i32,
        "i64": wasmtime.ValType.i64,
        "f64": wasmtime.ValType.f64,
    }
    types: dict[str, wasmtime.FuncType] = {}
    for name, signature in _abi.FUNCTIONS.items():
        params, results = signature.lowered(memory64=memory64)
        types[name] = wasmtime.FuncType([make[p]() for p in params], [make[r]() for r in results])
    return types


class Binding:
    """A guest and what its host functions need of wasmtime.

    Attributes:
        key: The environment of its callbacks; not 0.
        guest: The guest.
        plan: What it imports.
        stdio: Its watched output, or None.
        has_aborted: Whether it called ``env.abort`` in the call that runs.
        environment: Its environment, or None.
        context: Address of its store's context, if it was adopted.
        store: Its store, if WASI is watched by the C API.
        wasi: The linker's own functions behind the WASI functions that are watched, by name.
        forward: Calls one of those on the guest's memory: name, arguments -> errno. None until the memory is there.
    """

    def __init__(self, key: int, guest: Guest, plan: ImportPlan | None) -> None:
        self.key = key
        self.guest = guest
        self.plan = plan
        self.stdio: Stdio | None = None
        self.has_aborted = False
        self.environment: Environment | None = None
        self.wasi: dict[str, wasmtime.Func] = {}
        self.forward: Callable[[str, tuple[int, ...]], int] | None = None
        self.context: int | None = None
        self.store: weakref.ref[wasmtime.Store] | None = None

    # WASI, on top of the linker's own functions.

    def fd_write(self, fd: int, pointer: int, count: int, written: int) -> int:
        """Serve ``fd_write``."""
        stdio = self.stdio
        if stdio is None or not stdio.is_watched(fd):
            return self._forward("fd_write", fd, pointer, count, written)
        if stdio.mode == "log":
            return stdio.write_only_logs(fd, pointer, count, written)
        # Now: the number that the call writes may lie over them.
        vectors = stdio.vectors(pointer, count)
        errno = self._forward("fd_write", fd, pointer, count, written)
        if errno == 0 and vectors is not None:
            # Not before: a guest may want all of its memory written, which takes it nothing and would take us as much.
            data = stdio.gather(vectors, stdio.written(written))
            if data is not None:
                stdio.take(fd, data)
        return errno

    def environ_sizes_get(self, count_pointer: int, size_pointer: int) -> int:
        """Serve ``environ_sizes_get``."""
        errno = self._forward("environ_sizes_get", count_pointer, size_pointer)
        if errno == 0 and self.environment is not None:
            try:
                self.environment.sizes(count_pointer, size_pointer)
            except BaseException as error:
                # The application's propagator; what WASI itself wrote stands.
                self.guest.failed(error)
        return errno

    def environ_get(self, pointers: int, buffer: int) -> int:
        """Serve ``environ_get``."""
        errno = self._forward("environ_get", pointers, buffer)
        if errno == 0 and self.environment is not None:
            self.environment.fill(pointers, buffer)
        return errno

    def _forward(self, name: str, *args: int) -> int:
        return _E_IO if self.forward is None else self.forward(name, args)


class _PublicFailure(Exception):
    """What a function that was called from a host function raised: the host function has to, too."""


class _PassedTrapError(Exception):
    """A function that was called from a callback trapped: the callback has to, too. Carries the trap's address."""


class Natives:
    """Makes host functions by the C API where it works, and by wasmtime's public API where not.

    The callbacks are shared by all guests of a bridge and told apart by their environment.
    """

    def __init__(self, native: Native | None, arriving: Callable[[int], Guest]) -> None:
        """Prepare.

        Args:
            native: The C functions, or None to use the public API.
            arriving: Gives the guest for a store's context that called a function of `define` and is not known yet.
        """
        self.native = native
        self.bindings: dict[int, Binding] = {}
        self.by_context: dict[int, Guest] = {}
        self._arriving_context = arriving
        self._guests: dict[int, Guest] = {}
        self._abi: dict[tuple[str, bool, bool], Any] = {}
        self._others: dict[str, Any] = {}
        self._forwarders: weakref.WeakKeyDictionary[wasmtime.Engine, dict[tuple[str, ...], wasmtime.Module]] = (
            weakref.WeakKeyDictionary()
        )
        self._is_fixed: weakref.WeakKeyDictionary[wasmtime.Engine, bool] = weakref.WeakKeyDictionary()

    # Guests come and go.

    def add(self, binding: Binding) -> None:
        """Know a guest by its key from now on."""
        self.bindings[binding.key] = binding

    def arrived(self, binding: Binding) -> None:
        """The guest's memory is attached: its calls need no look-up any more."""
        self._guests[binding.key] = binding.guest

    def remove(self, key: int) -> None:
        """Forget a guest."""
        self._guests.pop(key, None)
        self.bindings.pop(key, None)

    def watch(self, store: wasmtime.Store, gone: Callable[[], None]) -> None:
        """Hear of the end of a store, and live as long as it.

        Args:
            store: The store.
            gone: Called when it goes, be it closed or collected.
        """
        watch = _StoreWatch(self, gone)
        if self.native is not None:
            self.native.hold(store_address(store), watch)
        else:
            wasmtime.Func(store, wasmtime.FuncType([], []), watch)

    def _arriving(self, key: int, caller: int) -> Guest:
        """Find a guest that calls before its instance is finished, as its start function does."""
        binding = self.bindings[key]
        guest = binding.guest
        if guest.memory is None and binding.plan is not None and binding.plan.memory_export is not None:
            self.attach_caller_memory(guest, caller, binding.plan.memory_export)
        self._guests[key] = guest
        return guest

    def attach_caller_memory(self, guest: Guest, caller: int, name: str) -> None:
        """Attach the memory that the calling instance exports."""
        assert self.native is not None
        item = self.native.caller_memory(caller, name)
        if item is not None:
            guest.attach_memory(RawMemory(self.native, self.native.caller_context(caller), item))

    def _failed(self, key: int, error: BaseException) -> None:
        binding = self.bindings.get(key)
        if binding is not None:
            binding.guest.failed(error)

    def _context_failed(self, key: int, error: BaseException) -> None:
        guest = self.by_context.get(key)
        if guest is not None:
            guest.failed(error)

    # The ABI.

    def _callback(self, name: str, *, memory64: bool, by_context: bool) -> Any:
        callback = self._abi.get((name, memory64, by_context))
        if callback is None:
            assert self.native is not None
            function = raw_callback(
                name,
                _abi.FUNCTIONS[name],
                memory64=memory64,
                space=self.native.space,
                guests=self.by_context if by_context else self._guests,
                arriving=self._arrive_by_context if by_context else self._arriving,
                failed=self._context_failed if by_context else self._failed,
                context_of=self.native.caller_context if by_context else None,
            )
            # Two threads may come here at once: what one of them has passed on must stay.
            callback = self._abi.setdefault((name, memory64, by_context), CALLBACK(function))
        return callback

    def _arrive_by_context(self, context: int, caller: int) -> Guest:
        assert self.native is not None
        guest = self._arriving_context(context)
        if guest.memory is None:
            self.attach_caller_memory(guest, caller, "memory")
        self.by_context[context] = guest
        # Another store may come to lie there.
        self.native.hold(context, _StoreWatch(self, functools.partial(self._forget_context, context)))
        return guest

    def _forget_context(self, context: int) -> None:
        self.by_context.pop(context, None)

    def abi(self, store: wasmtime.Store, binding: Binding, item: PlannedImport) -> wasmtime.Func:
        """Make one of the ABI's functions for one guest."""
        assert binding.plan is not None
        assert item.kind is not None
        memory64 = binding.plan.memory64
        kind = item.kind
        if self.native is not None:
            callback = self._callback(item.name, memory64=memory64, by_context=False)
            return self.native.func(store, kind, callback, binding.key)
        function = public_callback(item.name, _abi.FUNCTIONS[item.name], memory64=memory64)
        return self._public_func(store, binding, kind, functools.partial(function, binding.guest))

    def _public_func(
        self, store: wasmtime.Store, binding: Binding, kind: wasmtime.FuncType, function: Callable[..., Any]
    ) -> wasmtime.Func:
        """Make a function by the public API that finds the guest's memory when a start function calls it."""
        guest, plan = binding.guest, binding.plan
        # What the store owns must not own the store.
        reference = weakref.ref(store)

        def with_memory(caller: wasmtime.Caller, *values: Any) -> Any:
            is_early = guest.memory is None or (binding.forward is None and bool(binding.wasi))
            if is_early and plan is not None and plan.memory_export is not None:
                memory, alive = caller.get(plan.memory_export), reference()
                if isinstance(memory, wasmtime.Memory) and alive is not None:
                    guest.attach_memory(SlowMemory(alive, memory))
                    self.prepare_forward(binding, alive, memory)
            return function(*values)

        return wasmtime.Func(store, kind, with_memory, access_caller=True)

    def define(self, linker: wasmtime.Linker, *, memory64: bool) -> None:
        """Define the ABI in a linker, for guests that are told apart by their store."""
        # Made for each linker: a type belongs to the engine that it is first used with.
        for name, kind in function_types(memory64=memory64).items():
            if self.native is not None:
                callback = self._callback(name, memory64=memory64, by_context=True)
                self.native.define(linker, _abi.MODULE, name, kind, callback, self)
            else:
                linker.define_func(_abi.MODULE, name, kind, self._public_by_context(name, memory64=memory64), True)

    def _public_by_context(self, name: str, *, memory64: bool) -> Callable[..., Any]:
        """Make a function for the public API that finds its guest by the caller's store."""
        serve = public_callback(name, _abi.FUNCTIONS[name], memory64=memory64)

        def function(caller: wasmtime.Caller, *values: int) -> Any:
            address = ctypes.cast(caller._context(), ctypes.c_void_p).value or 0
            guest = self.by_context.get(address)
            if guest is None:
                guest = self.by_context[address] = self._arriving_context(address)
            if guest.memory is None:
                memory = caller.get("memory")
                if isinstance(memory, wasmtime.Memory):
                    guest.attach_memory(_CallerMemory(caller, memory))
            try:
                return serve(guest, *values)
            finally:
                if isinstance(guest.memory, _CallerMemory):
                    guest.attach_memory(None)

        return function

    # AssemblyScript and WASI.

    def other(self, store: wasmtime.Store, binding: Binding, item: PlannedImport) -> wasmtime.Func:
        """Make a function of AssemblyScript's or a watched WASI function for one guest."""
        assert item.kind is not None
        if self.native is not None:
            binding.store = weakref.ref(store)
            callback = self._others.get(item.name)
            if callback is None:
                callback = self._others.setdefault(item.name, CALLBACK(self._raw_other(item.name)))
            return self.native.func(store, item.kind, callback, binding.key)
        return self._public_func(store, binding, item.kind, self._public_other(item.name, binding))

    def _raw_other(self, name: str) -> Callable[[int, int, int], int]:
        serve, native = _OTHERS[name], self.native
        assert native is not None

        def function(env: int, caller: int, at: int) -> int:
            try:
                started = perf_counter()
                binding = self.bindings[env]
                if env not in self._guests:
                    self._arriving(env, caller)
                if binding.wasi and binding.forward is None:
                    self._forward_early(binding, caller)
                trap = serve(binding, _Slots.from_address(at))
                binding.guest.charge(perf_counter() - started)
                return 0 if trap is None else native.trap(trap)
            except _PassedTrapError as passed:
                address: int = passed.args[0]
                return address
            except BaseException as error:
                # A signal may arrive here, too.
                try:
                    trap = _fail(name, _Slots.from_address(at))
                    self._failed(env, error)
                    return 0 if trap is None else native.trap(trap)
                except BaseException:
                    return 0

        return shielded(function)

    def _public_other(self, name: str, binding: Binding) -> Callable[..., Any]:
        serve = _OTHERS[name]

        def function(*args: float) -> Any:
            values = _Slots()
            for index, arg in enumerate(args):
                values[2 * index] = _I64.unpack(_F64.pack(arg))[0] if isinstance(arg, float) else arg
            started = perf_counter()
            try:
                trap = serve(binding, values)
                binding.guest.charge(perf_counter() - started)
            except _PublicFailure as failure:
                raise failure.args[0] from None
            except BaseException as error:
                binding.guest.failed(error)
                trap = _fail(name, values)
            if trap is not None:
                raise wasmtime.Trap(trap)
            if name == "seed":
                return _F64.unpack(_I64.pack(values[0]))[0]
            return None if name in {"abort", "trace"} else values[0]

        return function

    def _forward_early(self, binding: Binding, caller: int) -> None:
        """Make the way back to WASI in the middle of a start function."""
        store = None if binding.store is None else binding.store()
        if self.native is None or store is None or binding.plan is None or binding.plan.memory_export is None:
            return
        memory = self.native.public_memory(caller, binding.plan.memory_export)
        if memory is not None:
            self.prepare_forward(binding, store, memory)

    def prepare_forward(self, binding: Binding, store: wasmtime.Store, memory: wasmtime.Memory) -> None:
        """Make the way back to WASI for a guest that needs it, if it is not there yet."""
        if binding.wasi and binding.forward is None:
            binding.forward = self._forwarder(store, memory, binding.guest, binding.wasi)

    def _forwarder(
        self, store: wasmtime.Store, memory: wasmtime.Memory, guest: Guest, functions: dict[str, wasmtime.Func]
    ) -> Callable[[str, tuple[int, ...]], int]:
        """Make the way back to the linker's WASI functions.

        They look for the memory among the exports of whoever calls them, so a small module that re-exports the
        guest's memory calls them.

        Args:
            store: The guest's store.
            memory: The guest's memory.
            guest: The guest.
            functions: The linker's functions, by name.
        """
        names = tuple(sorted(functions))
        kind = "i64 0" if memory.type(store).is_64 else "0"
        modules = self._forwarders.setdefault(store.engine, {})
        module = modules.get((kind, *names))
        if module is None:
            imports = "".join(f'(import "w" "{n}" (func ${n} {_FORWARDED[n]}))' for n in names)
            bodies = "".join(
                f'(func (export "{n}") {_FORWARDED[n]} '
                + "".join(f"(local.get {i})" for i in range(_FORWARDED[n].split(")")[0].count("i32")))
                + f"(call ${n}))"
                for n in names
            )
            text = f'(module (import "g" "memory" (memory {kind})) {imports} (export "memory" (memory 0)) {bodies})'
            module = modules[(kind, *names)] = wasmtime.Module(store.engine, text)
        exports = wasmtime.Instance(store, module, [memory, *(functions[n] for n in names)]).exports(store)
        reference = weakref.ref(store)

        def forward(name: str, args: tuple[int, ...]) -> int:
            target, alive = exports[name], reference()
            if alive is None or not isinstance(target, wasmtime.Func):
                return _E_IO
            if self.native is None:
                try:
                    errno: int = target(alive, *(a - (1 << 32) if a & 0x80000000 else a for a in args))
                except BaseException as error:
                    raise _PublicFailure(error) from None
                return errno
            values = (ctypes.c_int64 * 8)()
            for index, arg in enumerate(args):
                values[2 * index] = arg
            try:
                trap = self.native.call(alive, target, values)
            except wasmtime.WasmtimeError as error:
                trap = self.native.trap(failure_of(error).message)
                stretch = guest.stretch
                if stretch is not None and not self.native.is_raised(error):
                    # The call fails as if the linker's function had been called directly.
                    stretch.error = error
            if trap is not None:
                raise _PassedTrapError(trap)
            return values[0] & 0xFFFFFFFF

        return forward

    def memory(
        self, store: wasmtime.Store, memory: wasmtime.Memory, *, is_64: bool | None = None
    ) -> RawMemory | SlowMemory:
        """Wrap a memory of an open store.

        Args:
            store: The store.
            memory: The memory.
            is_64: Whether its addresses have 64 bits; None to ask it, which takes long.
        """
        if self.native is None:
            return SlowMemory(store, memory)
        is_fixed = False
        if not (memory.type(store).is_64 if is_64 is None else is_64):
            known = self._is_fixed.get(store.engine)
            if known is None:
                known = self._is_fixed[store.engine] = self.native.is_fixed(store.engine)
            is_fixed = known
        address = self.native.memory_address(memory)
        raw = RawMemory(self.native, store_address(store), address, is_fixed=is_fixed)
        raw.watch(store)
        return raw


class _StoreWatch(StoreOwned):
    """Owned by a store, so that it goes with it."""

    def __init__(self, natives: Natives, gone: Callable[[], None]) -> None:
        # The callbacks that functions in the store point to.
        self._natives = natives
        self._gone = gone

    def __call__(self) -> None:
        """Do nothing: it stands where wasmtime-py wants a function."""

    def gone(self) -> None:
        """Pass it on."""
        self._gone()


class _CallerMemory:
    """A memory for the length of one host call, by the public API."""

    def __init__(self, caller: wasmtime.Caller, memory: wasmtime.Memory) -> None:
        self._caller = caller
        self._memory = memory

    @property
    def is_fixed(self) -> bool:
        return False

    def view(self) -> GuestBytes:
        return self.refreshed()

    def refreshed(self) -> GuestBytes:
        return public_view(self._memory, self._caller)

    def size_bytes(self) -> int:
        return self._memory.data_len(self._caller)


def _fail(name: str, values: Any) -> str | None:
    """Give the result of a function that a defect of ours kept from giving its own; a text if it must be a trap."""
    if name == "abort":
        return "abort"
    if name != "trace":
        values[0] = 0 if name == "seed" else _E_IO
    return None


def _u32(values: Any, index: int) -> int:
    result: int = values[2 * index] & 0xFFFFFFFF
    return result


def _f64(values: Any, index: int) -> float:
    number: float = _F64.unpack(_I64.pack(values[2 * index]))[0]
    return number


def _abort(binding: Binding, values: Any) -> str:
    args = [_u32(values, index) for index in range(4)]
    binding.has_aborted = True
    return _assemblyscript.abort(binding.guest, *args, limit=_TEXT_LIMIT)


def _trace(binding: Binding, values: Any) -> None:
    numbers = tuple(_f64(values, index) for index in range(2, 7))
    _assemblyscript.trace(binding.guest, _u32(values, 0), _u32(values, 1), numbers, limit=_TEXT_LIMIT)


def _seed(binding: Binding, values: Any) -> None:
    values[0] = _I64.unpack(_F64.pack(_assemblyscript.seed()))[0]


def _fd_write(binding: Binding, values: Any) -> None:
    values[0] = binding.fd_write(_u32(values, 0), _u32(values, 1), _u32(values, 2), _u32(values, 3))


def _environ_get(binding: Binding, values: Any) -> None:
    values[0] = binding.environ_get(_u32(values, 0), _u32(values, 1))


def _environ_sizes_get(binding: Binding, values: Any) -> None:
    values[0] = binding.environ_sizes_get(_u32(values, 0), _u32(values, 1))


_OTHERS: Final[dict[str, Callable[[Binding, Any], str | None]]] = {
    "abort": _abort,
    "trace": _trace,
    "seed": _seed,
    "fd_write": _fd_write,
    "environ_get": _environ_get,
    "environ_sizes_get": _environ_sizes_get,
}
