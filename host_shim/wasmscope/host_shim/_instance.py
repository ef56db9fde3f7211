"""Instances whose calls are traced and accounted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import wasmtime

from wasmscope.errors import ExportError
from wasmscope.host_shim._calls import Caller
from wasmscope.host_shim._guest import Guest
from wasmscope.host_shim._link import Binding
from wasmscope.host_shim._traps import Failure
from wasmscope.host_shim._wasmtime import failure_of
from wasmscope.host_shim._wasmtime_ffi import take_func, take_instance

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["GuestExports", "GuestFunc", "GuestInstance"]

Extern = wasmtime.Func | wasmtime.Table | wasmtime.Memory | wasmtime.SharedMemory | wasmtime.Global | wasmtime.Tag


class CallRunner:
    """Runs calls into one guest between `Caller.begin` and `Caller.end`."""

    __slots__ = ("_binding", "_caller")

    def __init__(self, binding: Binding, caller: Caller) -> None:
        self._binding = binding
        self._caller = caller

    @property
    def guest(self) -> Guest:
        """The guest."""
        return self._binding.guest

    def run(self, name: str, function: Callable[..., Any], *args: Any, is_instantiation: bool = False) -> Any:
        """
        Run a call.

        Args:
            name: The export's name.
            function: Does the call.
            args: Its arguments.
            is_instantiation: Whether it is not an export that is called, but the module being instantiated.
        """
        frame = self._caller.begin(name, is_instantiation=is_instantiation)
        failure: Failure | None = None
        try:
            return function(*args)
        except BaseException as error:
            # The package keeps a host function's exception in one place for all threads: what arrives may be another thread's, or a bare trap.
            own = frame.stretch.error
            if own is not None and own is not error:
                failure = failure_of(own)
                raise own from None
            failure = failure_of(error)
            raise
        finally:
            stdio = self._binding.stdio
            if stdio is not None and frame.previous is None:
                stdio.flush()
            self._caller.end(frame, failure)
            guest = self._binding.guest
            if frame.previous is None and guest.pending is not None:
                pending, guest.pending = guest.pending, None
                raise pending


class GuestFunc(wasmtime.Func):
    """An exported function: a `wasmtime.Func` whose calls get a span and are accounted."""

    def __init__(self, name: str, func: wasmtime.Func, runner: CallRunner) -> None:
        """
        Stand for an export.

        Args:
            name: The export's name.
            func: The export.
            runner: Runs the calls.
        """
        take_func(self, func)
        self._plain = func
        self._name = name
        self._runner = runner

    def __call__(self, store: Any, *params: Any) -> Any:
        """Call it; arguments, results and exceptions are those of `wasmtime.Func`."""
        return self._runner.run(self._name, self._plain, store, *params)


class GuestExports(wasmtime._instance.InstanceExports):
    """The exports of an instance, by name or (``by_index``) in order; functions are traced."""

    def __init__(self, exports: Any, runner: CallRunner) -> None:
        """
        Wrap exports.

        Args:
            exports: wasmtime's.
            runner: Runs the calls of functions.
        """
        self._map: dict[str, Extern] = {
            name: GuestFunc(name, item, runner) if isinstance(item, wasmtime.Func) else item for name, item in exports.items()
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
    """
    A `wasmtime.Instance` that is watched.

    It can be used wherever the instance could. Calls of its exports get a span; spans that the guest leaves open are ended when the instance is closed, by
    `close`, by leaving its ``with`` block, or with its store.
    """

    def __init__(self, store: wasmtime.Store, instance: wasmtime.Instance, runner: CallRunner, close: Callable[[], None]) -> None:
        """
        Wrap an instance; `Bridge.instantiate` and `Bridge.adopt` do.

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
        """
        Call an export by name.

        Args:
            name: The export's name.
            params: Its arguments.

        Raises:
            ExportError: If there is no function of that name.
            wasmtime.Trap: If the guest traps, and whatever else `wasmtime.Func` raises.
        """
        exports = self.exports(self._store)
        item = exports[name] if name in exports else None
        if not isinstance(item, wasmtime.Func):
            functions = [n for n in exports if isinstance(exports[n], wasmtime.Func)]
            raise ExportError(
                f"module {self.name!r} has no function {name!r}; it exports {', '.join(functions[:20]) or 'no functions'}"
                + (" …" if len(functions) > 20 else "")
            )
        return item(self._store, *params)

    def close(self) -> None:
        """End the instance's telemetry: open spans are ended, its memory leaves the accounts. The wasmtime instance lives as long as its store."""
        self._close()

    def __enter__(self) -> Self:
        """Give the instance itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()
