"""Instances whose calls are traced and accounted."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

import wasmtime

from wasmscope.errors import ExportError
from wasmscope.host_shim._calls import Caller, CallFrame
from wasmscope.host_shim._guest import Guest
from wasmscope.host_shim._headroom import require_headroom
from wasmscope.host_shim._link import Binding
from wasmscope.host_shim._wasmtime import failure_of
from wasmscope.host_shim._wasmtime_ffi import InstanceExports, Native, take_func, take_instance, value_type_name

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["GuestExports", "GuestFunc", "GuestInstance"]

Extern = wasmtime.Func | wasmtime.Table | wasmtime.Memory | wasmtime.SharedMemory | wasmtime.Global | wasmtime.Tag


class CallRunner:
    """Runs calls into one guest between `Caller.begin` and `Caller.end`."""

    __slots__ = ("_binding", "_caller", "native")

    def __init__(self, binding: Binding, caller: Caller, native: Native | None) -> None:
        self._binding = binding
        self._caller = caller
        self.native = native

    @property
    def guest(self) -> Guest:
        """The guest."""
        return self._binding.guest

    def run(self, name: str, function: Callable[..., Any], *args: Any, is_instantiation: bool = False) -> Any:
        """Run a call.

        Args:
            name: The export's name.
            function: Does the call.
            args: Its arguments.
            is_instantiation: Whether it is not an export that is called, but the module being instantiated.
        """
        frame = self._caller.begin(name, is_instantiation=is_instantiation)
        failed: BaseException | None = None
        result: Any = None
        try:
            result = function(*args)
        except BaseException as error:
            failed = error
        self._caller.stop(frame)
        self._end(frame, failed)
        return result

    def run_native(self, native: Native, name: str, prepared: tuple[Any, ...]) -> None:
        """Run a call that is prepared for the C API.

        Args:
            native: The C functions.
            name: The export's name.
            prepared: What `Native.prepare` gave.
        """
        frame = self._caller.begin(name)
        failed: BaseException | None = None
        error: int | None = None
        try:
            error = native.run(prepared)
        except BaseException as interrupt:
            failed = interrupt
        self._caller.stop(frame)
        if failed is None:
            try:
                native.check(prepared, error)
            except BaseException as raised:
                failed = raised
        self._end(frame, failed)

    def _end(self, frame: CallFrame, error: BaseException | None) -> None:
        """End a call, and raise what failed it."""
        binding = self._binding
        if error is not None and frame.stretch.error is not None:
            # Told by the host function itself: what came through wasmtime-py may be another thread's, or a bare trap.
            error = frame.stretch.error
        frame.stretch.error = None
        if binding.has_aborted:
            binding.has_aborted = False
            if isinstance(error, wasmtime.WasmtimeError):
                # A trap that a host function makes comes back as an error. To the application it is the guest's trap.
                error = wasmtime.Trap(str(error))
        if binding.stdio is not None and frame.previous is None:
            binding.stdio.flush()
        self._caller.end(frame, None if error is None else failure_of(error))
        raised, frame.pending = frame.pending or error, None
        if raised is not None:
            try:
                raise raised
            finally:
                # A traceback holds this call's variables: no circle of the two.
                del raised, error, frame


_PACK_F32: Final = Struct("<fi").pack
_PACK_F64: Final = Struct("<d").pack
_I64: Final = Struct("<q")
_F32: Final = Struct("<f4x").unpack
_F64: Final = Struct("<d").unpack
_NUMBERS: Final = {"i32", "i64", "f32", "f64"}


class _Shape:
    """A function type of numbers only, and how its values are passed raw."""

    __slots__ = ("_params", "_results", "size")

    def __init__(self, params: Sequence[str], results: Sequence[str]) -> None:
        self._params = tuple(params)
        self._results = tuple(results)
        self.size = 2 * max(len(params), len(results), 1)

    @classmethod
    def of(cls, kind: wasmtime.FuncType) -> _Shape | None:
        params, results = [list(map(value_type_name, types)) for types in (kind.params, kind.results)]
        return cls(params, results) if _NUMBERS.issuperset(params + results) else None

    def pack(self, values: Any, args: Sequence[Any]) -> bool:
        """Write arguments; False if they are not plainly of the right types, which wasmtime then says in its words."""
        if len(args) != len(self._params):
            return False
        for index, (kind, arg) in enumerate(zip(self._params, args, strict=True)):
            if kind[0] == "i":
                bits = 32 if kind == "i32" else 64
                if type(arg) is not int or not -(1 << (bits - 1)) <= arg < 1 << (bits - 1):
                    return False
                values[2 * index] = arg
            elif type(arg) is not float:
                return False
            else:
                raw = _PACK_F64(arg) if kind == "f64" else _pack_f32(arg)
                if raw is None:
                    return False
                values[2 * index] = _I64.unpack(raw)[0]
        return True

    def unpack(self, values: Any) -> Any:
        """Read results, as `wasmtime.Func` gives them."""
        results = [_read(kind, values[2 * index]) for index, kind in enumerate(self._results)]
        return None if not results else results[0] if len(results) == 1 else results


def _pack_f32(arg: float) -> bytes | None:
    try:
        return _PACK_F32(arg, 0)
    except OverflowError:
        return None


def _read(kind: str, raw: int) -> int | float:
    if kind == "i64":
        return raw
    if kind == "i32":
        return ((raw & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
    number: float = (_F64 if kind == "f64" else _F32)(_I64.pack(raw))[0]
    return number


class GuestFunc(wasmtime.Func):
    """An exported function: a `wasmtime.Func` whose calls get a span and are accounted."""

    def __init__(self, name: str, func: wasmtime.Func, runner: CallRunner) -> None:
        """Stand for an export.

        Args:
            name: The export's name.
            func: The export.
            runner: Runs the calls.
        """
        take_func(self, func)
        self._plain = func
        self._name = name
        self._runner = runner
        self._shape: _Shape | None = None
        self._is_typed = False

    def __call__(self, store: Any, *params: Any) -> Any:
        """Call it; arguments, results and exceptions are those of `wasmtime.Func`.

        Raises:
            RecursionError: If too little of Python's stack is left for what the guest may call; nothing has run then.
        """
        require_headroom()
        native = self._runner.native
        if native is not None and isinstance(store, wasmtime.Store):
            if not self._is_typed:
                self._shape = _Shape.of(self._plain.type(store))
                self._is_typed = True
            shape = self._shape
            if shape is not None:
                values = (ctypes.c_int64 * shape.size)()
                if shape.pack(values, params):
                    self._runner.run_native(native, self._name, native.prepare(store, self._plain, values))
                    return shape.unpack(values)
        return self._runner.run(self._name, self._plain, store, *params)


class GuestExports(InstanceExports):
    """The exports of an instance, by name or (``by_index``) in order; functions are traced."""

    def __init__(self, exports: Any, runner: CallRunner) -> None:
        """Wrap exports.

        Args:
            exports: wasmtime's.
            runner: Runs the calls of functions.
        """
        self._map: dict[str, Extern] = {
            name: GuestFunc(name, item, runner) if isinstance(item, wasmtime.Func) else item
            for name, item in exports.items()
        }

    @property
    def by_index(self) -> Sequence[Extern]:
        """The exports in the module's order."""
        return tuple(self._map.values())

    def __getitem__(self, name: str) -> Extern:
        """Give an export; KeyError if there is none of that name."""
        return self._map[name]

    def __len__(self) -> int:
        """Count them."""
        return len(self._map)

    def __iter__(self) -> Iterator[str]:
        """Go through their names."""
        return iter(self._map)


class GuestInstance(wasmtime.Instance):
    """A `wasmtime.Instance` that is watched.

    It can be used wherever the instance could. Calls of its exports get a span; spans that the guest leaves open are
    ended when the instance is closed, by
    `close`, by leaving its ``with`` block, or with its store.
    """

    def __init__(
        self, store: wasmtime.Store, instance: wasmtime.Instance, runner: CallRunner, close: Callable[[], None]
    ) -> None:
        """Wrap an instance; `Bridge.instantiate` and `Bridge.adopt` do.

        Args:
            store: Its store.
            instance: wasmtime's instance.
            runner: Runs its calls.
            close: Ends its telemetry.
        """
        take_instance(self, instance)
        self._store = store
        self._runner = runner
        self._close = close
        self._wrapped: GuestExports | None = None

    @property
    def name(self) -> str:
        """The module's name, as the host chose it."""
        return self._runner.guest.identity.name

    def exports(self, store: Any) -> GuestExports:
        """Give the exports; functions among them are traced."""
        if self._wrapped is None:
            self._wrapped = GuestExports(super().exports(store), self._runner)
        return self._wrapped

    def call(self, name: str, *params: Any) -> Any:
        """Call an export by name.

        Args:
            name: The export's name.
            params: Its arguments.

        Raises:
            ExportError: If there is no function of that name.
            RecursionError: If too little of Python's stack is left.
            wasmtime.Trap: If the guest traps, and whatever else `wasmtime.Func` raises.
        """
        exports = self.exports(self._store)
        item = exports.get(name)
        if not isinstance(item, wasmtime.Func):
            functions = [n for n in exports if isinstance(exports[n], wasmtime.Func)]
            raise ExportError(
                f"module {self.name!r} has no function {name!r}; "
                f"it exports {', '.join(functions[:20]) or 'no functions'}" + (" …" if len(functions) > 20 else "")
            )
        return item(self._store, *params)

    def close(self) -> None:
        """End the instance's telemetry: open spans are ended, its memory leaves the accounts.

        The wasmtime instance lives as long as its store.
        """
        self._close()

    def __enter__(self) -> Self:
        """Give the instance itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
