"""A driver of the collector alone: does what the glue and the host do, in the plainest way.

Offsets and layouts are written down here a second time, from ``host_shim/collector/README.md``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import wasmtime
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from tests.support import packing
from wasmscope.host_shim import Limits

__all__ = ["MODULE", "NO_ROOM", "OUTSIDE", "REASONS", "Collector", "Recorded", "attributes_of", "value_of"]

MODULE = Path(__file__).parents[2] / "host_shim/wasmscope/host_shim/_collector.wasm"
REASONS = [
    "-",
    "no_memory",
    "out_of_bounds",
    "utf8",
    "attribute",
    "attribute_type",
    "attribute_field",
    "attribute_reserved",
    "attribute_key",
    "attributes_size",
    "attribute_count",
    "attribute_elements",
    "attribute_depth",
    "severity",
    "kind",
    "status",
    "ended",
    "not_entered",
    "descriptor",
    "callsite",
    "instrument",
    "attribute_set",
    "handle",
    "traceparent",
    "tracestate",
    "measurement",
    "event_count",
    "link_count",
    "open_spans",
    "span_depth",
    "callsite_count",
    "instrument_count",
    "kept_bytes",
    "internal",
    "interrupted",
    "buffer_full",
]
LIMITS = [
    "body_bytes",
    "value_bytes",
    "name_bytes",
    "message_bytes",
    "stack_bytes",
    "key_bytes",
    "attributes_bytes",
    "attributes",
    "elements",
    "depth",
    "events",
    "links",
    "open_spans",
    "span_depth",
    "callsites",
    "instruments",
    "attribute_sets",
    "descriptor_bytes",
    "kept_bytes",
    "kept_contexts",
]
OUTSIDE = -1
"""For a range: bytes of it are outside of the guest's memory."""
NO_ROOM = -2
"""For a range: there is no room for it in scratch."""

Range = bytes | int | str | dict[str, Any]
TRACE_ID = bytes.fromhex("0af7651916cd43dd8448eb211c80319c")
SPAN_ID = bytes.fromhex("b7ad6b7169203331")


def value_of(value: AnyValue) -> Any:
    """Give the Python value of an AnyValue, sequences as tuples."""
    kind = value.WhichOneof("value")
    match kind:
        case None:
            return None
        case "array_value":
            return tuple(map(value_of, value.array_value.values))
        case "kvlist_value":
            return attributes_of(value.kvlist_value.values)
        case _:
            return getattr(value, kind)


def attributes_of(pairs: Sequence[KeyValue]) -> dict[str, Any]:
    """Give attributes as a dict, and refuse a key that is there twice."""
    found = {pair.key: value_of(pair.value) for pair in pairs}
    assert len(found) == len(pairs), [pair.key for pair in pairs]
    return found


def _bytes(item: bytes | str | dict[str, Any]) -> bytes:
    match item:
        case bytes():
            return item
        case str():
            return item.encode()
        case _:
            return packing.attributes(item)


class Recorded:
    """What was taken from the collector's buffers."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.logs: list[LogRecord] = []

    def span(self, name: str) -> Span:
        (found,) = (span for span in self.spans if span.name == name)
        return found


class Collector:
    """A store with a collector and guests of it.

    The clock counts up by 1,000 ns with each reading. Host calls are noted in `calls`; FULL drains.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        guests: int = 1,
        base: dict[str, Any] | None = None,
        has_memory: bool = True,
        fuel: int | None = None,
        engine: wasmtime.Engine | None = None,
        module: wasmtime.Module | None = None,
        begin: bool = True,
        **configuration: int,
    ) -> None:
        if engine is None:
            config = wasmtime.Config()
            config.consume_fuel = fuel is not None
            engine = wasmtime.Engine(config)
        self.engine = engine
        self.store = store = wasmtime.Store(engine)
        if fuel is not None:
            store.set_fuel(fuel)
        self.module = module or wasmtime.Module(engine, MODULE.read_bytes())
        self.calls: list[tuple[int, int]] = []
        self.recorded = Recorded()
        self.now_ns = 1_000_000
        self.clock_readings = 0
        self.drains = True
        self.on_call: Any = None
        linker = wasmtime.Linker(engine)
        i32, i64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
        linker.define_func("host", "call", wasmtime.FuncType([i32, i32], [i64]), self._host_call)
        linker.define_func(
            "wasi_snapshot_preview1", "clock_time_get", wasmtime.FuncType([i32, i64, i32], [i32]), self._clock
        )
        self._exports = linker.instantiate(store, self.module).exports(store)
        memory = self._exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        self._memory = memory
        self.control = self.call("control")
        limits = limits or Limits()
        assert {field.name for field in fields(limits)} - {"line_bytes"} == set(LIMITS)
        for index, name in enumerate(LIMITS):
            self.u32(256 + 4 * index, getattr(limits, name))
        known = {
            "min_severity": 336,
            "flags": 340,
            "root_policy": 344,
            "remote_sampled_policy": 348,
            "remote_unsampled_policy": 352,
            "buffer_bytes": 356,
            "clock_uses": 368,
        }
        self.u32(356, 65_536)
        for name, value in configuration.items():
            if name == "max_age_ns":
                self.u64(360, value)
            else:
                self.u32(known[name], value)
        self.frames = 0
        if not begin:
            return
        self.begin(packing.attributes(base or {}), has_memory=has_memory)
        for _ in range(guests - 1):
            (size,) = self.scratch(base or {})
            assert self.call("guest", 0 if has_memory else 1, size) >= 0
        self.frame()

    def begin(self, base: bytes, *, has_memory: bool = True) -> None:
        """Begin, with the first guest."""
        assert self.call("init", 1, 2, 3, 4, 0 if has_memory else 1, max(1_000, len(base)))
        self.write(self.u32(176), base)
        assert self.call("ready", len(base))

    # Memory.

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._memory.read(self.store, address, address + size))

    def write(self, address: int, data: bytes) -> None:
        self._memory.write(self.store, data, address)

    def u32(self, offset: int, value: int | None = None) -> int:
        if value is not None:
            self.write(self.control + offset, struct.pack("<I", value))
        return int(struct.unpack("<I", self.read(self.control + offset, 4))[0])

    def u64(self, offset: int, value: int | None = None) -> int:
        if value is not None:
            self.write(self.control + offset, struct.pack("<Q", value))
        return int(struct.unpack("<Q", self.read(self.control + offset, 8))[0])

    @property
    def memory_bytes(self) -> int:
        return self._memory.data_len(self.store)

    def call(self, name: str, *args: Any) -> Any:
        function: Any = self._exports[name]
        return function(self.store, *args)

    def _clock(self, _clock: int, _precision: int, address: int) -> int:
        self.clock_readings += 1
        self.now_ns += 1_000
        self.write(address, struct.pack("<Q", self.now_ns))
        return 0

    def _host_call(self, op: int, guest: int) -> int:
        self.calls.append((op, guest))
        if op == 1 and self.drains:
            self.drain()
        if self.on_call is not None:
            self.on_call(op, guest)
        return 0

    # The glue's part.

    def scratch(self, *ranges: Range, caps: Sequence[int | None] = ()) -> list[int]:
        """Write ranges as the glue does: what is said of each, and its bytes one behind the other.

        Args:
            ranges: Bytes, a text, attributes, or what the glue says of a range that it could not copy.
            caps: Of each: None if it is a list or descriptor, which is not copied if it is too long; else for a text
                the most that are copied, less one.
        """
        lengths: list[int] = []
        data = b""
        for index, item in enumerate(ranges):
            if isinstance(item, int):
                lengths.append(item)
                continue
            raw = _bytes(item)
            lengths.append(len(raw))
            cap = caps[index] if index < len(caps) else None
            data += raw if cap is None else raw[: cap + 1]
        if len(data) > self.u32(180) and not self.call("reserve", len(data)):
            return [NO_ROOM] * len(ranges)
        self.write(self.u32(176), data)
        return lengths

    def limit(self, name: str) -> int:
        return self.u32(256 + 4 * LIMITS.index(name))

    def _list(self, item: Range) -> Range:
        """A list that is too long is not copied."""
        raw = packing.attributes(item) if isinstance(item, dict) else item
        if isinstance(raw, bytes) and len(raw) > self.limit("attributes_bytes"):
            return len(raw)
        return raw

    # The ABI's functions.

    def callsite(self, descriptor: Range, guest: int = 0) -> int:
        if isinstance(descriptor, bytes) and len(descriptor) > self.limit("descriptor_bytes"):
            descriptor = len(descriptor)
        return int(self.call("callsite", guest, *self.scratch(descriptor)))

    def enabled(self, site: int, guest: int = 0) -> int:
        return int(self.call("enabled", guest, site))

    def log(
        self, site: int = 0, severity: int = 9, context: int = 0, body: Range = "", attrs: Range = b"", guest: int = 0
    ) -> None:
        lengths = self.scratch(body, self._list(attrs), caps=[self.limit("body_bytes")])
        self.call("log", guest, site, severity, context, *lengths)

    def start(
        self,
        name: Range = "",
        attrs: Range = b"",
        *,
        site: int = 0,
        context: int = 0,
        kind: int = 0,
        guest: int = 0,
    ) -> int:
        handle = self.call("span_prepare", guest, site, context, kind)
        if handle != -1:
            return int(handle)
        name_len, attrs_len = self.scratch(name, self._list(attrs), caps=[self.limit("name_bytes")])
        return int(self.call("span_start", guest, site, name_len, context, kind, attrs_len))

    def enter(self, handle: int, guest: int = 0) -> None:
        self.call("span_enter", guest, handle)

    def exit(self, handle: int, guest: int = 0) -> None:
        self.call("span_exit", guest, handle)

    def end(self, handle: int, guest: int = 0) -> None:
        self.call("span_end", guest, handle)

    def attributes(self, handle: int, attrs: Range, guest: int = 0) -> int:
        target = self.call("target", guest, handle)
        if target == 1:
            self.call("span_attributes", guest, handle, *self.scratch(self._list(attrs)))
        return int(target)

    def event(self, handle: int, name: Range = "", attrs: Range = b"", guest: int = 0) -> int:
        target = self.call("target", guest, handle)
        if target == 1:
            lengths = self.scratch(name, self._list(attrs), caps=[self.limit("name_bytes")])
            self.call("span_event", guest, handle, *lengths)
        return int(target)

    def link(self, handle: int, linked: int, attrs: Range = b"", guest: int = 0) -> int:
        target = self.call("target", guest, handle)
        if target == 1:
            self.call("span_link", guest, handle, linked, *self.scratch(self._list(attrs)))
        return int(target)

    def status(self, handle: int, code: int, text: Range = "", guest: int = 0) -> int:
        target = self.call("target", guest, handle)
        if target == 1:
            self.call("span_status", guest, handle, code, *self.scratch(text, caps=[self.limit("name_bytes")]))
        return int(target)

    def rename(self, handle: int, name: Range, guest: int = 0) -> int:
        target = self.call("target", guest, handle)
        if target == 1:
            self.call("span_rename", guest, handle, *self.scratch(name, caps=[self.limit("name_bytes")]))
        return int(target)

    def exception(
        self,
        handle: int = 0,
        kind: Range = "",
        message: Range = "",
        stack: Range = "",
        attrs: Range = b"",
        guest: int = 0,
    ) -> int:
        target = self.call("exception_target", guest, handle)
        if target == 1:
            caps = [self.limit(name) for name in ("name_bytes", "message_bytes", "stack_bytes")]
            self.call("exception", guest, handle, *self.scratch(kind, message, stack, self._list(attrs), caps=caps))
        return int(target)

    def context(
        self, handle: int, guest: int = 0, function: str = "span_context"
    ) -> tuple[bytes, bytes, int, int] | None:
        """Give trace id, span id, flags and whether it is remote."""
        if not self.call(function, guest, handle):
            return None
        raw = self.read(self.u32(176), 32)
        assert raw[26:] == bytes(6)
        return raw[:16], raw[16:24], raw[24], raw[25]

    def remote(
        self, trace_id: bytes = TRACE_ID, span_id: bytes = SPAN_ID, flags: int = 1, tracestate: str = "", guest: int = 0
    ) -> int:
        state = self.tracestate(tracestate)
        self.write(self.u32(176), trace_id + span_id + bytes([flags]) + struct.pack("<I", state))
        return int(self.call("remote_keep", guest))

    def tracestate(self, text: str) -> int:
        self.write(self.u32(176), text.encode())
        return int(self.call("tracestate", len(text)))

    def fail(
        self, frame: int = 0, reason: str = "", event: dict[str, Any] | None = None, end_ns: int = 0, guest: int = 0
    ) -> int:
        reason_len, event_len = self.scratch(reason, event or b"")
        return int(self.call("fail", guest, frame, reason_len, event_len, end_ns))

    # The host's part.

    def frame(
        self,
        frame_id: int | None = None,
        *,
        guest: int = 0,
        trace_id: bytes = TRACE_ID,
        span_id: bytes = SPAN_ID,
        flags: int = 1,
        is_remote: bool = False,
        is_valid: bool = True,
        is_recording: bool = True,
        tracestate: str = "",
    ) -> bytes:
        """Begin a call; gives what `frame_back` puts back."""
        saved = self.read(self.control + 8, 120)
        if frame_id is None:
            self.frames += 1
            frame_id = self.frames
        state = self.tracestate(tracestate) if tracestate else 0
        data = struct.pack("<Q", frame_id) + trace_id + span_id + struct.pack("<I", guest)
        data += bytes([flags, is_remote, is_valid, is_recording]) + struct.pack("<II", state, self.u32(128))
        self.write(self.control + 8, data + bytes(120 - len(data)))
        return saved

    def frame_back(self, saved: bytes) -> None:
        """End a call."""
        self.call("frame_end")
        self.write(self.control + 8, saved)
        if self.u32(132):
            self.call("refresh")

    def guest_block(self, guest: int = 0) -> int:
        return int(self.call("guest_address", guest))

    def counter(self, name: str, guest: int = 0) -> int:
        offset = 32 + 8 * ["started", "unsampled", "ended", "logs", "measurements", "bytes"].index(name)
        return int(struct.unpack("<Q", self.read(self.guest_block(guest) + offset, 8))[0])

    def rejected(self, guest: int = 0) -> dict[str, int]:
        """Give the counts so far that are not 0."""
        counts = struct.unpack("<64I", self.read(self.guest_block(guest) + 128, 256))
        return {REASONS[index]: count for index, count in enumerate(counts) if count}

    def rejected_text(self) -> bytes:
        return self.read(self.u32(184), self.u32(188)) if self.u32(188) else b""

    def drain(self) -> Recorded:
        """Take all buffers, as the host does; gives all that was taken so far."""
        guest = 0
        while guest < 65_536 and (block := self._address(guest)):
            for offset, message, kept in ((0, ScopeSpans, self.recorded.spans), (12, ScopeLogs, self.recorded.logs)):
                pointer, size, count = struct.unpack("<III", self.read(block + offset, 12))
                parsed: Any = message.FromString(self.read(pointer, size))
                records = parsed.spans if offset == 0 else parsed.log_records
                assert len(records) == count
                kept.extend(records)
                self.write(block + offset + 4, bytes(8))
            guest += 1
        self.u32(140, 0)
        self.u64(152, 0)
        return self.recorded

    def take(self) -> Recorded:
        """Give what was taken since the last time."""
        taken = self.drain()
        self.recorded = Recorded()
        return taken

    def _address(self, guest: int) -> int:
        return int(self.call("guest_address", guest))
