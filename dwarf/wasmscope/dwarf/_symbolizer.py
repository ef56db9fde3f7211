"""From addresses in WebAssembly code to functions, files and lines, whoever knows them."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from threading import RLock, Timer
from time import monotonic
from typing import TYPE_CHECKING, Final

from wasmscope.dwarf._build_ids import debug_path as debug_path_of_environment
from wasmscope.dwarf._debug_info import DebugSources
from wasmscope.dwarf._frame import Place
from wasmscope.dwarf._resolver import Resolver
from wasmscope.wasm import AddressKind, Module

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from wasmscope.dwarf._bulk import Bulk
    from wasmscope.dwarf._engine import Engine, EngineLimits
    from wasmscope.dwarf._health import Health
    from wasmscope.wasm import Address, Component

    ModuleSource = str | os.PathLike[str] | bytes | bytearray | memoryview | Module | Component
    """What a module can be given as: a path, its bytes, or already read."""

__all__ = ["Symbolizer"]

_IDLE_AFTER_S: Final = 60.0


class Symbolizer:
    """Resolves addresses in a module, or in the modules of a component.

    It asks, in this order: DWARF in the module, DWARF in a separate file, its split parts, a source map, the name
    section, exports and imports. Whoever answered is in each `Frame.origin`. What does not fit the module's code is not
    asked at all, and `notes` says so.

    Reading takes place when the first address is asked for. The memory that it takes is freed when nothing has been
    asked for a while, and comes back when something is. All methods may be called from any thread.
    """

    def __init__(
        self,
        module: ModuleSource,
        *,
        debug_file: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
        debug_path: Sequence[str | os.PathLike[str]] | None = None,
        source_map: str | os.PathLike[str] | None = None,
        debuginfod_urls: Sequence[str] = (),
        limits: EngineLimits | None = None,
        idle_after_s: float | None = _IDLE_AFTER_S,
    ) -> None:
        """Open the module.

        Args:
            module: The module or component that is executed: its path, its bytes, or as `wasmscope.wasm` reads it. One
                that is given already read is not closed.
            debug_file: Where the module's debug information is: a debug file, ``.dwo`` files, a ``.dwp``. It is
                preferred to what is in the module.
            debug_path: Folders with debug files by build id; None for those that ``WASMSCOPE_DEBUG_PATH`` names.
            source_map: The module's source map; None for the one that the module names.
            debuginfod_urls: Servers to ask for debug files by build id; `wasmscope.dwarf.debuginfod_urls` gives those
                of the environment. What they send is kept in the first folder of `debug_path`, or, if there is none,
                in the user's cache.
            limits: What reading DWARF may cost; None for what is usual.
            idle_after_s: After how many seconds without a question the memory is freed; None for when it is closed.

        Raises:
            OSError: If the module cannot be read.
            ModuleFormatError: If it is no module or component.
            ConfigurationError: If a server's URL is none.
        """
        binary, path, self._is_ours = _opened(module)
        folders = _paths(debug_path_of_environment() if debug_path is None else debug_path)
        if debuginfod_urls:
            from wasmscope.dwarf._debuginfod import check_urls

            check_urls(debuginfod_urls)
        sources = DebugSources(
            path=path,
            given=_paths(debug_file),
            folders=folders,
            urls=tuple(debuginfod_urls),
            cache=folders[0] if folders else _user_cache(),
            limits=limits,
        )
        mapped = None if source_map is None else os.fspath(source_map)
        self._binary = binary
        self._component = None if isinstance(binary, Module) else binary
        inner = (binary,) if isinstance(binary, Module) else tuple(nested.module for nested in binary.modules())
        self._resolvers = tuple(Resolver(each, sources, mapped) for each in inner)
        self._notes: list[str] = []
        self._notes_taken = [0] * len(inner)
        self._lock = RLock()
        self._idle_after_s = idle_after_s
        self._last_use = monotonic()
        self._timer: Timer | None = None
        self._is_closed = False

    # --- answers ---

    def symbolize(self, addresses: Iterable[Address], *, module: int | None = None) -> list[Place]:
        """Resolve addresses. Give many at a time: they cost little more than one.

        Args:
            addresses: The addresses. Of a component, file offsets count from the component's first byte, and all other
                kinds need `module`, unless it has but one.
            module: Number of the module in the component, as in `wasmscope.wasm.Component.modules`; None for the module
                that has the address.

        Returns:
            A place for each, in the same order. An address that is in no function has no frames, and a note.

        Raises:
            ValueError: If the symbolizer is closed, or the component has no such module.
        """
        wanted = addresses if isinstance(addresses, list) else list(addresses)
        with self._lock:
            self._check_open()
            try:
                if module is not None:
                    return self._resolver(module).resolve(wanted)
                if len(self._resolvers) == 1:
                    return self._resolvers[0].resolve(wanted)
                return self._resolve_by_offset(wanted)
            finally:
                self._used()

    def in_bulk(self) -> Bulk | None:
        """Give a way to resolve a million addresses that makes no object for each; None for a component.

        It may be used until the symbolizer is closed.
        """
        if self._component is not None:
            return None
        from wasmscope.dwarf._bulk import Bulk

        return Bulk(self._resolvers[0], self._lock)

    def _resolve_by_offset(self, addresses: Sequence[Address]) -> list[Place]:
        """Resolve addresses in a component by the module that has them."""
        places: list[Place | None] = [None] * len(addresses)
        by_module: dict[int, list[int]] = {}
        starts = [resolver.module.start for resolver in self._resolvers]  # in the order of the file
        for position, address in enumerate(addresses):
            if address.kind is not AddressKind.FILE:
                note = f"the component has {len(starts):,} modules: say which one is meant"
                places[position] = Place(address, None, (), note)
                continue
            found = bisect_right(starts, address.offset) - 1
            if found < 0 or address.offset >= self._resolvers[found].module.end:
                places[position] = Place(address, None, (), "outside of the component's modules")
            else:
                by_module.setdefault(found, []).append(position)
        for number, positions in by_module.items():
            resolved = self._resolvers[number].resolve([addresses[p] for p in positions])
            for position, place in zip(positions, resolved, strict=True):
                places[position] = place
        return [place for place in places if place is not None]

    def function_name(self, index: int, *, module: int = 0) -> str | None:
        """Give a function's name as the module has it, without looking into debug information.

        Args:
            index: The function's index, imported ones counted first.
            module: Number of the module in the component.

        Returns:
            Its name, demangled; None if it has none.

        Raises:
            ValueError: If the symbolizer is closed, or the component has no such module.
        """
        with self._lock:
            self._check_open()
            try:
                return self._resolver(module).names.find(index).name
            finally:
                self._used()

    def source_text(self, file: str) -> str | None:
        """Give the text of a source file that a source map carries.

        Args:
            file: As in `Frame.file`.

        Returns:
            The text; None if no source map has it.

        Raises:
            ValueError: If the symbolizer is closed.
        """
        with self._lock:
            self._check_open()
            maps = (r.source_map for r in self._resolvers)
            return next((text for m in maps if m is not None and (text := m.content(file)) is not None), None)

    # --- what they are based on ---

    @property
    def module(self) -> Module | Component:
        """The module or component that is executed."""
        return self._binary

    @property
    def engine(self) -> Engine | None:
        """The reader of the module's DWARF; None if there is no DWARF that fits, or for a component.

        It belongs to the symbolizer, which may close it whenever `symbolize` could.

        Raises:
            ValueError: If the symbolizer is closed.
            DebugInfoError: If the DWARF cannot be read.
        """
        with self._lock:
            self._check_open()
            info = None if self._component is not None else self._resolvers[0].info
            return None if info is None else info.engine

    @property
    def health(self) -> Health | None:
        """How the DWARF that is used lies on the module's code; None if none is used, or for a component.

        Raises:
            ValueError: If the symbolizer is closed.
        """
        with self._lock:
            self._check_open()
            info = None if self._component is not None else self._resolvers[0].info
            return None if info is None else info.health

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know about the answers so far: what was found and not used, and why. One line each.

        There may be more after the next question; those that are there stay, in their order.
        """
        with self._lock:
            for number, resolver in enumerate(self._resolvers):
                new = resolver.notes[self._notes_taken[number] :]
                self._notes_taken[number] += len(new)
                prefix = "" if self._component is None else f"module {number}: "
                for note in dict.fromkeys(prefix + note for note in new):
                    if note not in self._notes:
                        self._notes.append(note)
            return tuple(self._notes)

    # --- its life ---

    def free(self) -> None:
        """Free the memory that reading took. It comes back with the next question."""
        with self._lock:
            for resolver in self._resolvers:
                resolver.free()

    def close(self) -> None:
        """Free all memory, and close all files. Places that were given stay valid."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            for resolver in self._resolvers:
                resolver.close()
            if self._is_ours:
                self._binary.close()

    def __enter__(self) -> Self:
        """Give the symbolizer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def _resolver(self, number: int) -> Resolver:
        if not 0 <= number < len(self._resolvers):
            raise ValueError(f"there is no module {number}: the component has {len(self._resolvers):,}")
        return self._resolvers[number]

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValueError("the symbolizer is closed")

    def _used(self) -> None:
        """Note that somebody asked, and see to it that memory is freed when nobody does any more."""
        self._last_use = monotonic()
        if self._idle_after_s is not None and self._timer is None and any(r.is_open for r in self._resolvers):
            self._wait(self._idle_after_s)

    def _wait(self, seconds: float) -> None:
        self._timer = Timer(seconds, self._free_if_idle)
        self._timer.name = "wasmscope-idle"
        self._timer.daemon = True
        self._timer.start()

    def _free_if_idle(self) -> None:
        with self._lock:
            self._timer = None
            if self._is_closed or self._idle_after_s is None:
                return
            left = self._last_use + self._idle_after_s - monotonic()
            if left > 0:
                self._wait(left)
            else:
                self.free()


def _opened(module: ModuleSource) -> tuple[Module | Component, str | None, bool]:
    """Give what is executed, its path, and whether it is ours to close."""
    if isinstance(module, Module):
        return module, None, False
    if isinstance(module, (str, os.PathLike)):
        from wasmscope.wasm import open_binary

        path = os.fspath(module)
        return open_binary(path), path, True
    from wasmscope.wasm import Component

    if isinstance(module, Component):
        return module, None, False
    is_component = bytes(module[:8]) == b"\0asm\x0d\0\x01\0"
    return (Component if is_component else Module)(module), None, True


def _paths(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None) -> tuple[str, ...]:
    if paths is None:
        return ()
    return (os.fspath(paths),) if isinstance(paths, (str, os.PathLike)) else tuple(os.fspath(path) for path in paths)


def _user_cache() -> str:
    """Where downloaded debug files are kept: https://specifications.freedesktop.org/basedir-spec/latest/."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "wasmscope", "debug")
