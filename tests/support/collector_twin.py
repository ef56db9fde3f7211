"""The live path and the collector side by side: each call is made of both, and what comes of it compared.

Left out, because the collector leaves it to the live path: functions that change the host's span of the call.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from tests.support import packing
from tests.support.collecting import OUTSIDE, Collector, attributes_of, value_of
from tests.support.telemetry import Telemetry
from wasmscope.host_shim import Limits
from wasmscope.host_shim._accounting import Usage
from wasmscope.host_shim._calls import Caller, CallFrame
from wasmscope.host_shim._clock import ThreadClock
from wasmscope.host_shim._guest import Guest
from wasmscope.host_shim._rejections import Rejections, RejectionTotals
from wasmscope.host_shim._signals import ModuleIdentity, Signals
from wasmscope.host_shim._spans import RunningCalls

__all__ = ["Twin", "comparable", "random_attributes", "random_callsite", "random_text"]

_SIZE = 1 << 21


class _Memory:
    """A guest's memory."""

    is_fixed = False

    def __init__(self) -> None:
        self.data = bytearray(_SIZE)

    def view(self) -> Any:
        return memoryview_of(self.data)

    refreshed = view

    def size_bytes(self) -> int:
        return _SIZE


class memoryview_of:
    """Slices as copies."""

    def __init__(self, data: bytearray) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, at: slice) -> bytes:
        return bytes(self._data[at])

    def __setitem__(self, at: slice, data: bytes) -> None:
        self._data[at] = data


class _Store:
    def fuel(self) -> int | None:
        return None


class Twin:
    """One guest, twice."""

    def __init__(self, *, limits: Limits | None = None, tenant: str | None = None, min_severity: int = 0) -> None:
        limits = limits or Limits()
        self.limits = limits
        self.telemetry = Telemetry()
        # As the SDK's own generator does, and the collector.
        ids: Any = self.telemetry.tracer_provider.id_generator
        ids.is_trace_id_random = lambda: True
        self.totals = RejectionTotals()
        identity = ModuleIdentity("guest", tenant=tenant)
        signals = Signals(self.telemetry.tracer_provider, self.telemetry.meter_provider, self.telemetry.logger_provider)
        clock, calls = ThreadClock(), RunningCalls()
        self.live = Guest(
            identity,
            signals.module(identity),
            Rejections("guest", tenant, self.totals),
            limits=limits,
            clock=clock,
            calls=calls,
            inject=lambda carrier, context: None,
            flush=lambda: None,
            logs_as_span_events=False,
            min_severity=min_severity,
        )
        self.memory = _Memory()
        self.live.attach_memory(self.memory)
        self._caller = Caller(
            self.live,
            self.telemetry.tracer_provider.get_tracer("host"),
            clock,
            calls,
            Usage("guest", None),
            _Store(),
            {},
            1,
            lambda: None,
        )
        base = {} if tenant is None else {"wasm.tenant": tenant}
        self.own = Collector(limits=limits, base=base, min_severity=min_severity, buffer_bytes=4_096)
        # Counts of calls that the glue gives to the live path.
        self._slow: dict[str, int] = {}
        self._ids: dict[bytes, str] = {bytes(8): ""}
        self.handles: list[tuple[int, int]] = []
        self.remotes: set[int] = set()
        self.sites: list[tuple[int, int]] = [(0, 0)]
        self.frames: list[tuple[CallFrame, bytes]] = []

    # Calls from the host.

    def begin(self) -> None:
        frame = self._caller.begin("f")
        found = frame.span.get_span_context()
        raw = found.span_id.to_bytes(8)
        self._ids.setdefault(raw, f"frame{len(self._ids)}")
        saved = self.own.frame(
            trace_id=found.trace_id.to_bytes(16),
            span_id=raw,
            flags=int(found.trace_flags),
            is_recording=frame.span.is_recording(),
            tracestate=found.trace_state.to_header(),
        )
        self.frames.append((frame, saved))

    def end(self, *, fails: bool = False) -> None:
        frame, saved = self.frames.pop()
        number = self.own.u64(8)
        self._caller.stop(frame)
        self._caller.end(frame)
        if fails:
            event = {"exception.type": "trap", "exception.message": "boom"}
            self.live.spans.fail(frame, "reason", event)
            self.own.call("frame_end")
            self.own.fail(number, "reason", event)
        self.own.frame_back(saved)

    # What the guest passes.

    def place(self, *items: bytes | int) -> list[int]:
        """Write ranges to the live path's memory: address and length of each."""
        at = 64
        out: list[int] = []
        for item in items:
            if isinstance(item, int):
                out += [_SIZE - 1, 2] if item == OUTSIDE else [0, item]
            else:
                self.memory.data[at : at + len(item)] = item
                out += [at, len(item)]
                at += len(item)
        return out

    def started(self, live: int, own: int) -> None:
        assert (live == 0) == (own == 0), (live, own)
        if live == 0:
            return
        self.handles.append((live, own))
        context = self.live.spans._open[live].span.get_span_context()
        found = self.own.context(own)
        assert found is not None
        label = f"span{len(self.handles)}"
        self._ids[context.span_id.to_bytes(8)] = self._ids[found[1]] = label
        # Of a root, the trace id is new.
        self._ids[context.trace_id.to_bytes(16)] = self._ids.setdefault(found[0], label)
        assert found[2:] == (int(context.trace_flags), 0)

    def remote(self, flags: int, tracestate: str = "") -> None:
        trace_id, span_id = random.Random(len(self.handles)).randbytes(16), b"remote%02d" % (len(self.handles) % 100)
        context = SpanContext(
            int.from_bytes(trace_id),
            int.from_bytes(span_id),
            True,
            TraceFlags(flags),
            TraceState.from_header([tracestate]),
        )
        live = self.live.spans.keep(context)
        own = self.own.remote(trace_id, span_id, flags, tracestate)
        self.handles.append((live, own))
        self.remotes.add(own)

    # What came of it.

    def live_rejected(self) -> dict[str, int]:
        counts = {reason: count for (_, _, reason), count in self.totals.snapshot().items()}
        for reason, count in self._slow.items():
            counts[reason] -= count
        return {reason: count for reason, count in counts.items() if count}

    def to_live(self, is_slow: bool, function: Callable[..., object], *args: Any) -> None:
        """A call that the live path gets after the collector, which may have left it to that alone."""
        if is_slow:
            self.slow(function, *args)
        else:
            function(*args)

    def slow(self, function: Any, *args: Any) -> None:
        """A call that only the live path gets: what it counts is not the collector's."""
        before = self.live_rejected()
        function(*args)
        for reason, count in self.live_rejected().items():
            if count != before.get(reason, 0):
                self._slow[reason] = self._slow.get(reason, 0) + count - before.get(reason, 0)

    def label(self, raw: bytes) -> str:
        return self._ids.get(raw, raw.hex())

    def span_data(self, message: Any) -> dict[str, Any]:
        """A span without times, with names for ids."""
        return {
            "trace_id": self.label(message.trace_id),
            "span_id": self.label(message.span_id),
            "parent": self.label(message.parent_span_id or bytes(8)),
            "name": message.name,
            "kind": message.kind,
            # The collector adds the trace flags, as OTLP says and the SDK's encoder does not.
            "flags": message.flags & 0x300,
            "trace_state": message.trace_state,
            "attributes": comparable(attributes_of(message.attributes)),
            "events": [(e.name, comparable(attributes_of(e.attributes))) for e in message.events],
            "links": [
                (
                    self.label(link.trace_id),
                    self.label(link.span_id),
                    link.flags,
                    comparable(attributes_of(link.attributes)),
                )
                for link in message.links
            ],
            "status": (message.HasField("status"), message.status.code, message.status.message),
            "has_times": message.end_time_unix_nano >= message.start_time_unix_nano > 0,
        }

    def log_data(self, message: Any) -> dict[str, Any]:
        return {
            "trace_id": self.label(message.trace_id),
            "span_id": self.label(message.span_id),
            "severity": (message.severity_number, message.severity_text),
            "body": value_of(message.body),
            "attributes": comparable(attributes_of(message.attributes)),
            "flags": message.flags,
            "event_name": message.event_name,
            "has_times": message.time_unix_nano > 0 and message.observed_time_unix_nano > 0,
        }

    def live_spans(self) -> list[dict[str, Any]]:
        spans = [span for span in self.telemetry.spans() if getattr(span.instrumentation_scope, "name", "") == "guest"]
        encoded: Message = encode_spans(spans)
        messages = [s for r in encoded.resource_spans for scope in r.scope_spans for s in scope.spans]
        for span, message in zip(spans, messages, strict=True):
            # The low bits are the W3C trace flags, says OTLP; the SDK's encoder leaves them out.
            message.flags |= int(span.context.trace_flags)
            for link, linked in zip(span.links, message.links, strict=True):
                linked.flags |= int(link.context.trace_flags)
        return [self.span_data(message) for message in messages]

    def live_logs(self) -> list[dict[str, Any]]:
        encoded: Message = encode_logs(self.telemetry.log_exporter.get_finished_logs())
        return [self.log_data(x) for r in encoded.resource_logs for scope in r.scope_logs for x in scope.log_records]

    def compare(self) -> None:
        """All records so far and all counts are the same."""
        recorded = self.own.drain()
        assert [self.span_data(span) for span in recorded.spans] == self.live_spans()
        assert [self.log_data(log) for log in recorded.logs] == self.live_logs()
        assert self.own.rejected() == self.live_rejected()


def comparable(attributes: dict[str, Any]) -> Any:
    """Floats as bits, so that NaN is itself."""
    return {key: _bits(value) for key, value in sorted(attributes.items())}


def _bits(value: Any) -> Any:
    match value:
        case float():
            return struct.pack("<d", value)
        case tuple():
            items: tuple[Any, ...] = value
            return tuple(map(_bits, items))
        case dict():
            return {key: _bits(item) for key, item in sorted(value.items())}
        case _:
            return (type(value).__name__, value)


def random_text(rng: random.Random, longest: int = 40) -> bytes:
    """Some UTF-8, mostly short and well-formed."""
    kind = rng.random()
    size = rng.randrange(longest) if rng.random() < 0.5 else rng.randrange(12)
    if kind < 0.6:
        return bytes(rng.choice(b"abcdefghij. /-_") for _ in range(size))
    if kind < 0.8:
        return "".join(rng.choice("äöü€🦀ab") for _ in range(size // 2)).encode()
    return bytes(rng.choice(b"ab\x80\xbf\xc3\xa4\xe2\x82\xac\xf0\x9f\xa6\x80\xff\xed\xa0") for _ in range(size))


_KEYS = [
    b"a",
    b"b",
    b"key",
    b"http.request.method",
    b"http.request.header",
    b"code.file.path",
    b"wasm.tenant",
    b"wasmscope.x",
    b"wasmscope",
    b"exception.type",
    b"exception.message",
    b"k1",
    b"k2",
    b"k3",
    b"k4",
    b"k5",
    b"k6",
    b"k7",
]


def _random_value(rng: random.Random, depth: int = 0) -> bytes:
    match rng.randrange(14 if depth < 5 else 9):
        case 0:
            return packing.value(None)
        case 1 | 2 | 3:
            raw = random_text(rng)
            return b"\x01" + struct.pack("<I", len(raw)) + raw
        case 4:
            return packing.value(rng.random() < 0.5)
        case 5 | 6:
            return packing.value(rng.choice([0, 1, -1, 2**63 - 1, -(2**63), rng.randrange(-(2**40), 2**40)]))
        case 7:
            return packing.value(rng.choice([0.0, -0.0, 1.5, float("inf"), float("nan"), -1e300]))
        case 8:
            return packing.value(rng.randbytes(rng.randrange(40)))
        case 9 | 10 | 11:
            count = rng.randrange(4)
            return b"\x06" + struct.pack("<I", count) + b"".join(_random_value(rng, depth + 1) for _ in range(count))
        case _:
            count = rng.randrange(4)
            body = b"".join(_random_key(rng) + _random_value(rng, depth + 1) for _ in range(count))
            return b"\x07" + struct.pack("<I", count) + body


def _random_key(rng: random.Random) -> bytes:
    raw = rng.choice(_KEYS) if rng.random() < 0.8 else random_text(rng, 24)
    return struct.pack("<H", len(raw)) + raw


def random_attributes(rng: random.Random, *, fields: int = 0) -> bytes:
    """Some attribute list, mostly well-formed."""
    out = b""
    for _ in range(rng.choice([0, 1, 2, 3, 4, 4, 8, 12])):
        if fields and rng.random() < 0.3:
            out += struct.pack("<H", 0x8000 | rng.randrange(fields + 1))
        else:
            out += _random_key(rng)
        out += _random_value(rng)
    kind = rng.random()
    if kind < 0.1 and out:
        return out[: rng.randrange(len(out))]
    if kind < 0.15 and out:
        at = rng.randrange(len(out))
        return out[:at] + rng.randbytes(1) + out[at + 1 :]
    return out


def random_callsite(rng: random.Random) -> bytes:
    """Some call site descriptor, mostly well-formed."""
    fields = [
        random_text(rng, 12) if rng.random() < 0.1 else rng.choice([b"f1", b"field", b"a"])
        for _ in range(rng.randrange(4))
    ]
    texts = [random_text(rng), rng.choice([b"", b"target"]), rng.choice([b"", b"file.rs"]), *fields]
    raw = struct.pack(
        "<BBHI", rng.choice([1, 1, 2, 2, 2, 3]), rng.choice([0, 5, 9, 17, 25]), len(fields), rng.choice([0, 7])
    )
    raw += b"".join(struct.pack("<H", len(text)) + text for text in texts) + random_attributes(rng)
    return raw[: rng.randrange(len(raw))] if rng.random() < 0.05 else raw
