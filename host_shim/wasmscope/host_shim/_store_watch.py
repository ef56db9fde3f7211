"""What a store does not tell: whether it has a WASI context, what limits it has, and that it is about to go.

wasmtime-py has no function that asks, and no hook. So `watch_stores` wraps four methods of `wasmtime.Store`, once in a
process and when it is first needed. What they do stays the same, also for subclasses and for wrappers of others
around or below these.
"""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable
from types import CodeType
from typing import Any, Final

import wasmtime

__all__ = ["StoreNote", "StoreOwned", "is_end_of_store", "note_of", "watch_stores"]

_logger = logging.getLogger("wasmscope.host_shim")
_NOTE: Final = "_wasmscope_note"
_lock: Final = threading.Lock()
# How `Store.set_limits` calls the limits that count what is in a store.
_COUNTED: Final = ("instances", "tables", "memories")


class StoreOwned:
    """An object that a store owns: goes with it, and says so.

    It may be the garbage collector that lets it go, in the middle of anything, in any thread.
    """

    def __del__(self) -> None:
        """Hear that the store is gone."""
        self.gone()

    def gone(self) -> None:
        """Do what is to be done when the store is gone."""
        raise NotImplementedError


def is_end_of_store(code: CodeType) -> bool:
    """Whether some code is what hears of the end of a store."""
    return code is StoreOwned.__del__.__code__


class StoreNote:
    """What is known of one store.

    Attributes:
        is_watched: Whether it was made under the watch: else a WASI context or limits may be there unseen.
        has_wasi: Whether ``set_wasi`` was called.
        held: What others keep with the store, by owner. It must not refer to the store.
    """

    __slots__ = ("_closing", "_limits", "_own", "has_wasi", "held", "is_watched")

    def __init__(self, *, is_watched: bool) -> None:
        self.is_watched = is_watched
        self.has_wasi = False
        self.held: dict[object, Any] = {}
        self._closing: list[Callable[[], None]] = []
        # What the application set, and how much in the store is not its own.
        self._limits: inspect.BoundArguments | None = None
        self._own = (0, 0, 0)

    def before_close(self, function: Callable[[], None]) -> None:
        """Have a function called once, before the store goes, while all in it can still be used.

        It may be called by the garbage collector: in the middle of anything, in any thread.
        """
        self._closing.append(function)

    def closing(self) -> None:
        """Call what is to be called before the store goes."""
        while self._closing:
            try:
                self._closing.pop()()
            except Exception as error:
                # Whoever closes the store has nothing to do with it.
                _logger.warning("the end of a store could not be handled: %r", error)

    def make_room(self, store: wasmtime.Store, instances: int, tables: int = 0, memories: int = 0) -> None:
        """Add to what the store's limits allow, so that they hold for what is the application's own.

        Args:
            store: The store.
            instances: How many instances more.
            tables: How many tables more.
            memories: How many memories more.
        """
        own = self._own
        self._own = (own[0] + instances, own[1] + tables, own[2] + memories)
        if self._limits is not None:
            self._apply(store)

    def _apply(self, store: wasmtime.Store) -> None:
        assert self._limits is not None
        given = inspect.BoundArguments(self._limits.signature, self._limits.arguments.copy())
        for name, count in zip(_COUNTED, self._own, strict=True):
            limit = given.arguments.get(name, -1)
            if limit >= 0:
                given.arguments[name] = limit + count
        _original("set_limits")(store, *given.args[1:], **given.kwargs)

    def limit(self, store: wasmtime.Store, given: inspect.BoundArguments) -> None:
        """Set the limits that the application wants.

        Args:
            store: The store.
            given: The arguments of ``set_limits``, with its defaults.
        """
        before, self._limits = self._limits, given
        try:
            self._apply(store)
        except BaseException:
            self._limits = before
            raise


def note_of(store: wasmtime.Store) -> StoreNote:
    """Give the note of a store."""
    note = store.__dict__.get(_NOTE)
    if note is None:
        note = store.__dict__[_NOTE] = StoreNote(is_watched=False)
    return note


def watch_stores() -> None:
    """Begin to watch, if nobody has yet."""
    with _lock:
        if "_wasmscope_originals" in vars(wasmtime.Store):
            return
        store: Any = wasmtime.Store
        store._wasmscope_originals = {
            name: getattr(store, name) for name in ("__init__", "close", "set_limits", "set_wasi")
        }
        for name, make in _WRAPPERS.items():
            setattr(store, name, make(_original(name)))


def _original(name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = vars(wasmtime.Store)["_wasmscope_originals"][name]
    return function


def _init(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def __init__(self: wasmtime.Store, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.__dict__[_NOTE] = StoreNote(is_watched=True)

    return __init__


def _close(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def close(self: wasmtime.Store, *args: Any, **kwargs: Any) -> None:
        try:
            note = self.__dict__.get(_NOTE)
            if note is not None:
                note.closing()
        finally:
            original(self, *args, **kwargs)

    return close


def _set_wasi(original: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(original)
    def set_wasi(self: wasmtime.Store, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        # Only now: a configuration that is refused leaves the store without.
        note_of(self).has_wasi = True

    return set_wasi


def _set_limits(original: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def set_limits(self: wasmtime.Store, *args: Any, **kwargs: Any) -> None:
        # Without the store, which must not refer to itself.
        given = signature.bind(None, *args, **kwargs)
        given.apply_defaults()
        note_of(self).limit(self, given)

    return set_limits


_WRAPPERS: Final[dict[str, Callable[[Callable[..., None]], Callable[..., None]]]] = {
    "__init__": _init,
    "close": _close,
    "set_limits": _set_limits,
    "set_wasi": _set_wasi,
}
