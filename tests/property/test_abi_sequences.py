"""Random calls of the whole ABI with random numbers and random memory, through real wasm."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import context

from tests.support import packing
from tests.support.abi import functions
from tests.support.guests import PAGE, Guest, engine
from tests.support.telemetry import Telemetry
from wasmscope.host_shim import Limits

LIMITS = Limits(
    body_bytes=64, value_bytes=32, name_bytes=32, message_bytes=32, stack_bytes=32, key_bytes=16, attributes_bytes=256,
    attributes=6, elements=8, depth=3, events=4, links=4, open_spans=6, span_depth=5, callsites=6, instruments=6,
    attribute_sets=6, descriptor_bytes=128, kept_contexts=5,
)  # fmt: skip

# Something to point at: (address, length) of well-formed things at the beginning of memory.
THINGS = [
    b"plain text",
    "späť 🦀".encode(),
    b"\xff\xfe",
    b"traceparent",
    b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    b"a=1,b=2",
    packing.attributes({"a": 1, "s": "x" * 40, "l": [1, [2]]}),
    packing.attributes([(packing.Field(0), True), (packing.Field(9), 1), ("wasm.tenant", "no")]),
    packing.attributes([(f"k{number}", number) for number in range(9)]),
    packing.callsite(1, severity=9, name="event", fields=["f"], constants={"c": 1}),
    packing.callsite(2, name="span", target="t", file="f", line=3, fields=["f"]),
    packing.instrument("counter", unit="1"),
    packing.instrument("histogram", boundaries=[1.0, 2.0]),
]
PLACES: list[tuple[int, int]] = []
for _thing in THINGS:
    PLACES.append(((PLACES[-1][0] + PLACES[-1][1]) if PLACES else 64, len(_thing)))

numbers = {
    "i": st.integers(-1, 8) | st.sampled_from([9, 24, 25, 255, 2**31 - 1, -(2**31), 2**31, 2**32 - 1]),
    "l": st.integers(-3, 12)
    | st.sampled_from([2**31, 2**63 - 1, -(2**63), -(2**62)])
    | st.integers(-(2**63), 2**63 - 1),
    "d": st.floats() | st.sampled_from([0.0, 1.5, -1.0]),
}
pointers = st.integers(0, 1_200) | st.sampled_from([2 * PAGE - 1, 2 * PAGE, 2**31, 2**32 - 1, 2**63, 2**64 - 1])
lengths = st.integers(0, 40) | st.sampled_from([64, 65, 129, 256, 257, 2 * PAGE, 2**31, 2**32 - 1, 2**64 - 1])
ranges = st.sampled_from(PLACES) | st.tuples(pointers, lengths)


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, list[Any]]:
    """A call: a function and its arguments."""
    name = draw(st.sampled_from(sorted(functions())))
    letters = functions()[name][0]
    args: list[Any] = []
    while len(args) < len(letters):
        rest = letters[len(args) :]
        if rest.startswith("pp"):
            args.extend(draw(ranges))
        elif rest[0] == "p":
            args.append(draw(pointers))
        else:
            args.append(draw(numbers[rest[0]]))
    return name, args


# What a guest does: calls, in calls from the host, some of which are nested, trap, or are made outside of any.
steps = st.lists(calls(), max_size=25)
programs = st.lists(st.tuples(st.sampled_from(["call", "nested", "trap", "loose", "grow"]), steps), max_size=4)


class Complaints(logging.Handler):
    """What OpenTelemetry complains about, once for each call and in the guest's words, and defects of the bridge."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.name.startswith("opentelemetry") or "unusable: internal" in text:
            self.messages.append(text)


def run(guest: Guest, program: list[tuple[str, list[tuple[str, list[Any]]]]]) -> None:
    """Have a guest do it all."""
    for how, calls_ in program:
        bodies: list[Callable[[], Any]] = [
            lambda name=name, args=args: guest.abi(name, *args)  # type: ignore[misc]
            for name, args in calls_
        ]
        half = len(bodies) // 2
        match how:
            case "call":
                guest.run(*bodies)
            case "nested":
                guest.run(*bodies[:half], lambda: guest.run(*bodies[half:]), *bodies[:half])
            case "trap":
                with pytest.raises(wasmtime.Trap):
                    guest.run(*bodies, export="run_then_trap")
            case "loose":
                for body in bodies:
                    body()
            case _:
                guest.run(*bodies, lambda: guest.grow(1), *bodies)


def assert_bounded(guest: Guest) -> None:
    """Nothing that is kept for a guest is more than its limits. Private, because nothing public may show it."""
    inner = guest.instance._runner.guest
    spans = inner.spans
    assert len(spans) <= LIMITS.open_spans
    assert len(spans._loose) <= LIMITS.span_depth
    assert len(spans._ended) <= LIMITS.kept_contexts
    assert len(spans._remote) <= LIMITS.kept_contexts
    assert len(inner._sites) <= LIMITS.callsites + 1
    assert len(inner._recorders) <= LIMITS.instruments + 1
    assert len(inner._sets) <= LIMITS.attribute_sets + 2
    assert len(inner._set_ids) <= LIMITS.attribute_sets + 1
    assert len(inner._caches) <= 256
    assert inner.frame is None
    assert inner.stretch is None


@pytest.mark.parametrize("native", [True, False], ids=["native", "public"])
@pytest.mark.parametrize("memory64", [False, True], ids=["32", "64"])
def test_any_calls(native: bool, memory64: bool) -> None:
    """Whatever is called with whatever, nothing raises or traps that was not to, no defect shows, what is kept stays
    bounded, all spans end, the host's context is as before, and no log is flooded."""
    telemetry = Telemetry()
    bridge = telemetry.bridge(limits=LIMITS, native=native, logs_as_span_events=True)
    complaints = Complaints()
    logger = logging.getLogger()
    logger.addHandler(complaints)

    @settings(derandomize=True, deadline=None, max_examples=120 if native else 30)
    @given(programs, st.binary(max_size=300))
    def check(program: list[tuple[str, list[tuple[str, list[Any]]]]], noise: bytes) -> None:
        complaints.messages.clear()
        telemetry.span_exporter.clear()
        telemetry.log_exporter.clear()
        before = context.get_current()
        guest = Guest(bridge, memory64=memory64, store=wasmtime.Store(engine()), tenant="acme")
        for (address, _), thing in zip(PLACES, THINGS, strict=True):
            guest.memory.write(guest.store, thing, address)
        guest.memory.write(guest.store, noise, PLACES[-1][0] + PLACES[-1][1])

        run(guest, program)

        assert_bounded(guest)
        assert context.get_current() is before
        guest.store.close()
        assert len(guest.instance._runner.guest.spans) == 0
        # The SDK says once for each instrument what it thinks of two of the same name.
        assert [text for text in complaints.messages if "An instrument with name" not in text] == []
        for span in telemetry.spans():
            attributes = span.attributes or {}
            assert attributes.get("wasm.tenant", "acme") == "acme"
            assert span.end_time is not None
        for record in telemetry.logs():
            assert record.attributes["wasm.tenant"] == "acme"
            assert len(record.body.encode()) <= 3 * LIMITS.body_bytes

    try:
        check()
    finally:
        logger.removeHandler(complaints)
        telemetry.close()
    assert bridge._natives.bindings == {}


@settings(derandomize=True, deadline=None, max_examples=80)
@given(st.binary(max_size=80), st.integers(0, 20))
def test_any_body(raw: bytes, limit: int) -> None:
    """A body of any bytes is the text they mean, cut between characters at the limit, with what was cut noted."""
    telemetry = Telemetry()
    guest = Guest(telemetry.bridge(limits=Limits(body_bytes=limit)))

    guest.run(lambda: guest.log(raw))

    (record,) = telemetry.logs()
    attributes = dict(record.attributes or {})
    if len(raw) <= limit:
        assert record.body == raw.decode("utf-8", "replace")
        assert attributes == {}
    else:
        cut = max((end for end in range(max(0, limit - 3), limit + 1) if raw[end] >> 6 != 2), default=max(0, limit - 3))
        assert record.body == raw[:cut].decode("utf-8", "replace")
        assert attributes == {"wasmscope.truncated": (f"body={len(raw)}",)}
    telemetry.close()


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(pointers, lengths), max_size=12),
    st.integers(-1, 2_000),
    st.integers(-5, 2**33),
    st.integers(0, 3),
)
def test_any_output(vectors: list[tuple[int, int]], count: int, written: int, fd: int) -> None:
    """A WASI guest that writes whatever from wherever gets what WASI says, and the bridge has no defect."""
    telemetry = Telemetry()
    bridge = telemetry.bridge()
    text = """(module
        (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 2)
        (func (export "fd_write") (param i32 i32 i32 i32) (result i32)
            (call $w (local.get 0) (local.get 1) (local.get 2) (local.get 3))))"""
    module = wasmtime.Module(engine(), text)
    array = b"".join(struct.pack("<II", at & 0xFFFFFFFF, size & 0xFFFFFFFF) for at, size in vectors)
    outcomes: list[Any] = []
    for stdio in (None, "tee", "log"):
        linker = wasmtime.Linker(engine())
        linker.define_wasi()
        store = wasmtime.Store(engine())
        store.set_wasi(wasmtime.WasiConfig())
        instance = (
            linker.instantiate(store, module)
            if stdio is None
            else bridge.instantiate(linker, store, module, name="guest", stdio=stdio)
        )
        exports = instance.exports(store)
        memory, function = exports["memory"], exports["fd_write"]
        assert isinstance(memory, wasmtime.Memory)
        assert isinstance(function, wasmtime.Func)
        memory.write(store, array, 1024)
        written_at = (written & 0xFFFFFFFF) - ((written & 0x80000000) << 1)
        try:
            outcomes.append(function(store, fd, 1024, count, written_at))
        except wasmtime.WasmtimeError as error:
            outcomes.append(str(error).rsplit("Caused by:", 1)[-1].strip())

    assert outcomes[1] == outcomes[0]
    assert isinstance(outcomes[2], int) or fd not in {1, 2}
    assert "internal" not in {reason for _, _, reason in bridge.rejected()}
    telemetry.close()
