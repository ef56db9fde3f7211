"""What WASI programs say and learn without any SDK: lines on standard output and error, trace context in variables."""

from __future__ import annotations

from struct import Struct
from typing import Final, Literal

from wasmscope.host_shim._guest import Guest
from wasmscope.host_shim._packed import cut_text
from wasmscope.host_shim._runtime import NOTHING, GuestBytes
from wasmscope.host_shim._signals import Inject

__all__ = ["Environment", "Stdio", "StdioLines", "StdioMode"]

StdioMode = Literal["tee", "log", "off"]
"""
What happens to a WASI guest's standard output and error: ``tee`` also logs the lines, ``log`` only logs them,
``off`` leaves them alone.
"""

_IOVEC: Final = Struct("<II")
_U32: Final = Struct("<I")
_STREAMS: Final = {1: "stdout", 2: "stderr"}
_MAX_IOVECS: Final = 1_024
_E_INVAL: Final = 28
_FIELDS: Final = ("traceparent", "tracestate", "baggage")
_NAMES: Final = {b"TRACEPARENT", b"BAGGAGE"}
_NAME_BYTES: Final = len(b"TRACEPARENT=")


class StdioLines:
    """One stream's bytes, cut into lines."""

    __slots__ = ("_guest", "_kept", "_limit", "_stream")

    def __init__(self, guest: Guest, stream: str, limit: int) -> None:
        self._guest = guest
        self._stream = stream
        self._limit = limit
        self._kept = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes; each full line becomes a log record, longer ones than the limit several."""
        kept = self._kept
        # What was kept has no newline.
        start, searched = 0, len(kept)
        kept += data
        while True:
            end = kept.find(b"\n", searched)
            is_line = end >= 0
            if not is_line:
                end = len(kept)
            while end - start > self._limit:
                size = len(cut_text(bytes(kept[start : start + self._limit + 1]), self._limit)) or self._limit
                self._emit(kept[start : start + size])
                start += size
            if not is_line:
                break
            self._emit(kept[start:end])
            start = searched = end + 1
        del kept[:start]

    def flush(self) -> None:
        """Emit what is left without a newline."""
        if self._kept:
            self._emit(self._kept)
            self._kept = bytearray()

    def _emit(self, raw: bytearray) -> None:
        line = raw.decode("utf-8", "replace").removesuffix("\r")
        if line:
            # A stream says nothing about severity: it stays unspecified.
            try:
                self._guest.emit(0, line, {"log.iostream": self._stream, **self._guest.identity.attributes()})
            except BaseException as error:
                self._guest.failed(error)


class Stdio:
    """Watches a guest's ``fd_write``."""

    __slots__ = ("_guest", "_lines", "mode")

    def __init__(self, guest: Guest, mode: StdioMode, line_limit: int) -> None:
        self._guest = guest
        self.mode = mode
        self._lines = {fd: StdioLines(guest, stream, max(1, line_limit)) for fd, stream in _STREAMS.items()}

    def is_watched(self, fd: int) -> bool:
        """Whether a descriptor is standard output or error."""
        return fd in _STREAMS

    def vectors(self, pointer: int, count: int) -> bytes | None:
        """Read the array that says what an ``fd_write`` call wants to write.

        Args:
            pointer: Address of the ciovec array.
            count: Its length.

        Returns:
            The array, or None if it is not readable.
        """
        memory = self._guest.memory
        if memory is None or count > _MAX_IOVECS:
            return None
        size = count * _IOVEC.size
        vectors = memory.refreshed()[pointer : pointer + size]
        return vectors if len(vectors) == size else None

    def gather(self, vectors: bytes, limit: int | None = None) -> bytes | None:
        """Read what an ``fd_write`` call writes.

        Args:
            vectors: What `vectors` gave.
            limit: How many bytes of it are wanted; None for all.

        Returns:
            The bytes, or None if they are not readable.
        """
        memory = self._guest.memory
        if memory is None:
            return None
        view = memory.refreshed()
        total = bytearray()
        for start, size in _IOVEC.iter_unpack(vectors):
            wanted = size if limit is None else min(size, limit - len(total))
            # Vectors may overlap: their sum may be many times the memory.
            if start + wanted > len(view) or len(total) + wanted > len(view):
                return None
            total += view[start : start + wanted]
        return bytes(total)

    def write_only_logs(self, fd: int, pointer: int, count: int, written: int) -> int:
        """Serve ``fd_write`` for a guest whose output goes nowhere else; returns a WASI errno."""
        vectors = self.vectors(pointer, count)
        data = None if vectors is None else self.gather(vectors)
        memory = self._guest.memory
        if data is None or memory is None:
            return _E_INVAL
        view = memory.refreshed()
        if written + 4 > len(view):
            return _E_INVAL
        view[written : written + 4] = _U32.pack(len(data))
        self.take(fd, data)
        return 0

    def written(self, pointer: int) -> int:
        """Read how much an ``fd_write`` wrote."""
        memory = self._guest.memory
        raw = b"" if memory is None else memory.refreshed()[pointer : pointer + 4]
        return _U32.unpack(raw)[0] if len(raw) == 4 else 0

    def take(self, fd: int, data: bytes) -> None:
        """Log what was written."""
        self._lines[fd].feed(data)

    def flush(self) -> None:
        """Emit unfinished lines."""
        for lines in self._lines.values():
            lines.flush()


class Environment:
    """Adds the trace context to a WASI guest's environment.

    Names and meaning: OpenTelemetry specification, "Environment Variables as Context Propagation Carriers".
    """

    __slots__ = ("_count", "_guest", "_inject", "_size", "_variables")

    def __init__(self, guest: Guest, inject: Inject) -> None:
        self._guest = guest
        self._inject = inject
        self._variables: tuple[bytes, ...] = ()
        self._count = 0
        self._size = 0

    def sizes(self, count_pointer: int, size_pointer: int) -> None:
        """Add our variables to what ``environ_sizes_get`` wrote.

        Args:
            count_pointer: Address of the number of variables.
            size_pointer: Address of their size in bytes.
        """
        carrier: dict[str, str] = {}
        self._inject(carrier, self._guest.spans.context(0))
        found = {name: carrier[name] for name in _FIELDS if name in carrier}
        self._variables = tuple(
            f"{name.upper()}={value}".encode() + b"\0" for name, value in found.items() if "\0" not in value
        )
        self._count = self._add(count_pointer, len(self._variables))
        self._size = self._add(size_pointer, sum(map(len, self._variables)))

    def _add(self, pointer: int, amount: int) -> int:
        """Add to a number in the guest's memory; returns what it was."""
        memory = self._guest.memory
        view = NOTHING if memory is None else memory.refreshed()
        raw = view[pointer : pointer + 4]
        if len(raw) != 4:
            return 0
        before: int = _U32.unpack(raw)[0]
        view[pointer : pointer + 4] = _U32.pack((before + amount) & 0xFFFFFFFF)
        return before

    def fill(self, pointers: int, buffer: int) -> None:
        """Append our variables to what ``environ_get`` wrote.

        A trace context or baggage that the guest's environment has already goes before ours. Places that were
        announced must be filled: they then name the guest's own variable once more.

        Args:
            pointers: Address of the array of addresses.
            buffer: Address of the texts.
        """
        memory = self._guest.memory
        if memory is None:
            return
        view = memory.refreshed()
        own = self._own(view, pointers)
        slot, at = pointers + 4 * self._count, buffer + self._size
        for variable in self._variables:
            if slot + 4 > len(view) or at + len(variable) > len(view):
                return
            # A tracestate belongs to its traceparent.
            name = variable.partition(b"=")[0].replace(b"TRACESTATE", b"TRACEPARENT")
            view[slot : slot + 4] = _U32.pack(own.get(name, at) & 0xFFFFFFFF)
            view[at : at + len(variable)] = variable
            slot += 4
            at += len(variable)

    def _own(self, view: GuestBytes, pointers: int) -> dict[bytes, int]:
        """Find the addresses of the guest's own variables of the names that we use."""
        found: dict[bytes, int] = {}
        size = 4 * self._count
        if pointers + size > len(view):
            return found
        for (address,) in _U32.iter_unpack(view[pointers : pointers + size]):
            name, equals, _ = view[address : address + _NAME_BYTES].partition(b"=")
            if equals and name in _NAMES:
                found.setdefault(name, address)
        return found
