"""Trace context and baggage into and out of guests, through real wasm."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tests.support.guests import PAGE, Guest
from tests.support.telemetry import Telemetry
from wasmscope.host_shim import Limits

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
REMOTE_IDS = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7 01 01 000000000000")
REMOTE_SPAN = 0x00F067AA0BA902B7


@contextmanager
def baggage_of(**entries: str) -> Generator[None]:
    """The host's context with baggage."""
    with_baggage = context.get_current()
    for key, value in entries.items():
        with_baggage = baggage.set_baggage(key, value, with_baggage)
    token = context.attach(with_baggage)
    try:
        yield
    finally:
        context.detach(token)


class TestSpanContext:
    def test_of_each_context(self, guest: Guest, telemetry: Telemetry) -> None:
        """Ids of the current span, of a given one and of a remote one are written in the order W3C prints them."""
        seen: dict[str, bytes] = {}

        def ids(name: str, handle: int) -> None:
            out = guest.put(b"\xff" * 34)
            assert guest.abi("span_context", handle, out) == 1
            raw = guest.get(out, 34)
            assert raw[32:] == b"\xff\xff"
            seen[name] = raw[:32]

        def body() -> None:
            ids("wasm.call run", 0)
            span = guest.entered("work")
            ids("work", 0)
            other = guest.start("other")
            ids("other", other)
            guest.abi("span_end", other)
            ids("other", other)
            ids("remote", guest.abi("remote_context", *guest.text(TRACEPARENT), 0, 0))
            guest.abi("span_end", span)

        guest.run(body)

        assert seen.pop("remote") == REMOTE_IDS
        for name, raw in seen.items():
            found = telemetry.span(name).context
            assert raw == found.trace_id.to_bytes(16) + found.span_id.to_bytes(8) + b"\x01\x00" + bytes(6)
        assert guest.rejected() == {}

    def test_none(self, guest: Guest) -> None:
        """Without a valid span nothing is written."""
        out = guest.put(b"\xff" * 32)

        assert guest.abi("span_context", -1, out) == 0
        assert guest.abi("span_context", 0, out) == 0
        assert guest.get(out, 32) == b"\xff" * 32
        assert guest.rejected() == {}

    def test_at_the_end_of_memory(self, guest: Guest) -> None:
        """The last 32 bytes can be written; one further is out of bounds and writes nothing."""
        end = 2 * PAGE

        def body() -> None:
            assert guest.abi("span_context", 0, end - 32) == 1
            guest.memory.write(guest.store, b"\xff" * 31, end - 31)
            assert guest.abi("span_context", 0, end - 31) == 0

        guest.run(body)

        assert guest.get(end - 31, 31) == b"\xff" * 31
        assert guest.rejected() == {"out_of_bounds": 1}

    def test_unknown(self, guest: Guest, telemetry: Telemetry) -> None:
        """An unknown handle is counted and means the current span."""
        out = guest.put(bytes(32))

        guest.run(lambda: guest.abi("span_context", 99, out))

        assert guest.get(out + 16, 8) == telemetry.span("wasm.call run").context.span_id.to_bytes(8)
        assert guest.rejected() == {"handle": 1}


class TestInject:
    def inject(self, guest: Guest, field: str, capacity: int = 300, handle: int = 0) -> tuple[int, bytes]:
        """What the guest gets for a field: the length returned, and what was written."""
        out = guest.put(b"\xff" * 300)
        size = guest.abi("inject", handle, *guest.text(field), out, capacity)
        return size, guest.get(out, 300).rstrip(b"\xff")

    def test_traceparent(self, guest: Guest, telemetry: Telemetry) -> None:
        """``traceparent`` is that of the current span, or of the one given; field names are case-insensitive."""
        got: dict[str, tuple[int, bytes]] = {}

        def body() -> None:
            got["wasm.call run"] = self.inject(guest, "traceparent")
            span = guest.start("work")
            got["work"] = self.inject(guest, "TraceParent", handle=span)
            guest.abi("span_end", span)

        guest.run(body)

        for name, (size, text) in got.items():
            found = telemetry.span(name).context
            assert text.decode() == f"00-{found.trace_id:032x}-{found.span_id:016x}-01"
            assert size == 55

    def test_remote(self, guest: Guest) -> None:
        """A remote context is passed on as it came."""
        remote = guest.abi("remote_context", *guest.text(TRACEPARENT), *guest.text("a=1,b=2"))

        assert self.inject(guest, "traceparent", handle=remote) == (55, TRACEPARENT.encode())
        assert self.inject(guest, "tracestate", handle=remote) == (7, b"a=1,b=2")

    def test_nothing(self, guest: Guest) -> None:
        """A field that the propagator does not send gives 0, as does the absence of a span."""
        got: list[tuple[int, bytes]] = []
        guest.run(
            lambda: got.append(self.inject(guest, "x-unknown")),
            lambda: got.append(self.inject(guest, "")),
            lambda: got.append(self.inject(guest, "traceparent", handle=-1)),
            lambda: got.append(self.inject(guest, "tracestate")),
        )

        assert got == [(0, b"")] * 4
        assert guest.rejected() == {}

    @pytest.mark.parametrize(("capacity", "written"), [(0, 0), (54, 0), (55, 55), (56, 55), (2**31, 55)])
    def test_capacity(self, guest: Guest, capacity: int, written: int) -> None:
        """What does not fit is not written, and its length returned."""
        got: list[tuple[int, bytes]] = []

        guest.run(lambda: got.append(self.inject(guest, "traceparent", capacity)))

        ((size, text),) = got
        assert (size, len(text)) == (55, written)
        assert guest.rejected() == {}

    def test_baggage(self, guest: Guest) -> None:
        """Baggage goes out as header, too."""
        got: list[tuple[int, bytes]] = []

        with baggage_of(tenant="acme"):
            guest.run(lambda: got.append(self.inject(guest, "baggage")))

        assert got == [(11, b"tenant=acme")]

    def test_own_propagator(self, telemetry: Telemetry, native: bool) -> None:
        """A bridge's propagator goes before the global one."""
        guest = Guest(telemetry.bridge(propagator=W3CBaggagePropagator(), native=native))
        got: list[tuple[int, bytes]] = []

        with baggage_of(a="b"):
            guest.run(
                lambda: got.append(self.inject(guest, "baggage")), lambda: got.append(self.inject(guest, "traceparent"))
            )

        assert got == [(3, b"a=b"), (0, b"")]

    def test_global_propagator_set_late(self, guest: Guest) -> None:
        """The global propagator is looked up when it is used."""
        got: list[tuple[int, bytes]] = []
        before = propagate.get_global_textmap()

        propagate.set_global_textmap(CompositePropagator([TraceContextTextMapPropagator()]))
        try:
            with baggage_of(a="b"):
                guest.run(
                    lambda: got.append(self.inject(guest, "baggage")),
                    lambda: got.append(self.inject(guest, "traceparent")),
                )
        finally:
            propagate.set_global_textmap(before)

        assert [size for size, _ in got] == [0, 55]


class TestRemoteContext:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "x",
            TRACEPARENT[:-1],
            "ff" + TRACEPARENT[2:],
            TRACEPARENT.upper(),
            "00-" + "0" * 32 + "-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
            TRACEPARENT + "-extra",
            "x" * 2_000,
            "\x00" * 55,
        ],
        ids=range(10),
    )
    def test_malformed(self, guest: Guest, text: str) -> None:
        """What is no ``traceparent`` is counted and gives 0."""
        assert guest.abi("remote_context", *guest.text(text), 0, 0) == 0
        assert guest.rejected() == {"traceparent": 1}

    @pytest.mark.parametrize("state", ["", "not a state", "a=1,a=2", "x" * 5_000, "=", ",", "\x00", "\nInjected: 1"])
    def test_malformed_state(
        self, make_guest: Callable[..., Guest], state: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A malformed ``tracestate`` does not harm the rest, and floods no log."""
        guest = make_guest()
        out = guest.put(bytes(32))

        for _ in range(20):
            remote = guest.abi("remote_context", *guest.text(TRACEPARENT), *guest.text(state))
            assert guest.abi("span_context", remote, out) == 1

        assert guest.get(out, 32) == REMOTE_IDS
        assert len(caplog.records) <= 1

    def test_forgotten(self, guest: Guest) -> None:
        """``span_end`` forgets a remote context; a second time it is unknown."""
        remote = guest.abi("remote_context", *guest.text(TRACEPARENT), 0, 0)

        guest.abi("span_end", remote)
        assert guest.rejected() == {}
        guest.abi("span_end", remote)
        guest.abi("span_context", remote, 1024)
        assert guest.rejected() == {"handle": 2}

    def test_kept(self, make_guest: Callable[..., Guest]) -> None:
        """The last 1,024 remote contexts are remembered, however many spans end meanwhile, and the last 1,024 ended
        spans, however many remote contexts come in."""
        guest = make_guest()
        out = guest.put(bytes(32))
        parent = guest.text(TRACEPARENT)

        def ended() -> int:
            span: int = guest.start("a")
            guest.abi("span_end", span)
            return span

        remotes = [guest.abi("remote_context", *parent, 0, 0) for _ in range(1_024)]
        spans = [ended() for _ in range(1_024)]
        assert all(guest.abi("span_context", handle, out) == 1 for handle in (*remotes, *spans))
        assert guest.rejected() == {}

        guest.abi("remote_context", *parent, 0, 0)
        ended()
        for handle in (remotes[0], spans[0]):
            assert guest.abi("span_context", handle, out) == 0
        for handle in (remotes[1], spans[1]):
            assert guest.abi("span_context", handle, out) == 1
        assert guest.rejected() == {"handle": 2}

    def test_kept_limit(self, make_guest: Callable[..., Guest]) -> None:
        """The number remembered is the embedder's to choose."""
        guest = make_guest(limits=Limits(kept_contexts=2))
        out = guest.put(bytes(32))

        remotes = [guest.abi("remote_context", *guest.text(TRACEPARENT), 0, 0) for _ in range(4)]

        assert [guest.abi("span_context", handle, out) for handle in remotes] == [0, 0, 1, 1]


class TestBaggage:
    def get(self, guest: Guest, key: str, capacity: int = 100) -> tuple[int, bytes]:
        """What the guest gets for a key."""
        out = guest.put(b"\xff" * 100)
        size = guest.abi("baggage_get", *guest.text(key), out, capacity)
        return size, guest.get(out, 100).rstrip(b"\xff")

    def test_present(self, guest: Guest) -> None:
        """An entry of the host's baggage is read, whatever span is entered."""
        got: list[tuple[int, bytes]] = []

        with baggage_of(tenant="äcme", empty=""):
            guest.run(
                lambda: got.append(self.get(guest, "tenant")),
                lambda: guest.entered("s"),
                lambda: got.append(self.get(guest, "tenant")),
                lambda: got.append(self.get(guest, "tenant", 4)),
                lambda: got.append(self.get(guest, "empty")),
                lambda: got.append((guest.abi("baggage_get", *guest.text("empty"), -1, 0), b"")),
            )

        assert got == [(5, "äcme".encode()), (5, "äcme".encode()), (5, b""), (0, b""), (0, b"")]
        assert guest.rejected() == {}

    def test_absent(self, guest: Guest) -> None:
        """An entry that is not there gives -1."""
        got: list[tuple[int, bytes]] = []

        guest.run(lambda: got.append(self.get(guest, "tenant")), lambda: got.append(self.get(guest, "")))

        assert got == [(-1, b""), (-1, b"")]
        assert guest.rejected() == {}


class TestHostContext:
    def test_host_span_is_the_parent(self, guest: Guest, telemetry: Telemetry) -> None:
        """The call's span is a child of the host's current span."""
        tracer = telemetry.tracer_provider.get_tracer("host")

        with tracer.start_as_current_span("request"):
            guest.run(lambda: None)

        parent = telemetry.span("wasm.call run").parent
        assert parent is not None
        assert parent.span_id == telemetry.span("request").context.span_id

    def test_host_functions_see_the_guests_span(self, guest: Guest, telemetry: Telemetry) -> None:
        """Host functions that the guest calls see its current span and the host's baggage."""
        seen: list[tuple[int, object]] = []

        def look() -> None:
            seen.append((trace.get_current_span().get_span_context().span_id, baggage.get_baggage("k")))

        with baggage_of(k="v"):
            guest.run(look, lambda: guest.entered("a"), look, lambda: guest.entered("b"), look,
                      lambda: guest.abi("span_end", 2), look, lambda: guest.abi("span_exit", 1), look,
                      lambda: guest.abi("span_end", 1))  # fmt: skip

        call, a, b = (telemetry.span(name).context.span_id for name in ("wasm.call run", "a", "b"))
        assert seen == [(call, "v"), (a, "v"), (b, "v"), (a, "v"), (call, "v")]
