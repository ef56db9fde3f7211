"""Addresses and lengths that mean nothing: no trap, a count, and the rest of the record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import wasmtime
from opentelemetry import baggage, context

from tests.support import packing
from tests.support.abi import functions, wat_type
from tests.support.guests import PAGE, Guest, abi_imports, compiled, engine
from tests.support.telemetry import Telemetry
from wasmscope.host_shim import Bridge
from wasmscope.host_shim._abi import FUNCTIONS

END = 2 * PAGE
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

# Good arguments of each function that takes addresses; `None, None` stands for an address and a length to try out.
CALLS: dict[str, list[Any]] = {
    "callsite": [None, None],
    "log body": [0, 9, 0, None, None, 0, 0],
    "log attributes": [0, 9, 0, 0, 0, None, None],
    "span_start name": [0, None, None, 0, 0, 0, 0],
    "span_start attributes": [0, 0, 0, 0, 0, None, None],
    "span_attributes": [0, None, None],
    "span_event name": [0, None, None, 0, 0],
    "span_event attributes": [0, 0, 0, None, None],
    "span_link": [0, 0, None, None],
    "span_status": [0, 2, None, None],
    "span_rename": [0, None, None],
    "exception type": [0, None, None, 0, 0, 0, 0, 0, 0],
    "exception message": [0, 0, 0, None, None, 0, 0, 0, 0],
    "exception stack": [0, 0, 0, 0, 0, None, None, 0, 0],
    "exception attributes": [0, 0, 0, 0, 0, 0, 0, None, None],
    "inject field": [0, None, None, 0, 100],
    "remote_context traceparent": [None, None, 0, 0],
    "remote_context tracestate": [0, 0, None, None],
    "baggage_get key": [None, None, 0, 100],
    "instrument": [1, 0, None, None],
    "attribute_set": [None, None],
}
IS_LIST = {"span_attributes", "span_link", "attribute_set"} | {what for what in CALLS if what.endswith("attributes")}
IS_DESCRIPTOR = {"callsite", "instrument"}
RESULTS = {"inject field": 0, "remote_context traceparent": 0, "baggage_get key": -1, "callsite": 0, "instrument": 0,
           "attribute_set": 0, "remote_context tracestate": 0}  # fmt: skip


@pytest.fixture(autouse=True)
def with_baggage() -> Iterator[None]:
    """The host has baggage to read."""
    token = context.attach(baggage.set_baggage("k", "v" * 20))
    yield
    context.detach(token)


def call(guest: Guest, what: str, address: int, length: int) -> Any:
    """Make the call with an address and a length."""
    tried = iter((address, length))
    args = [next(tried) if arg is None else arg for arg in CALLS[what]]
    results: list[Any] = []
    guest.run(lambda: results.append(guest.abi(what.split()[0], *args)))
    return results[0]


def about_memory(rejected: dict[str, int]) -> dict[str, int]:
    """Rejections but for those that say that what was read, or not read, means nothing."""
    return {
        reason: count
        for reason, count in rejected.items()
        if reason not in {"traceparent", "tracestate", "utf8", "attribute"}
    }


def test_names_and_types() -> None:
    """The bridge's functions are those of the ABI's page, by name and type."""
    assert {name: (kind.params, kind.result) for name, kind in FUNCTIONS.items()} == functions()


def test_everything_is_tried() -> None:
    """The list above has each address and length of each function, but for those where results go."""
    tried = sum(args.count(None) for args in CALLS.values())
    results = {"span_context": 1, "inject": 2, "baggage_get": 2}

    assert tried + sum(results.values()) == sum(params.count("p") for params, _ in functions().values())


@pytest.mark.parametrize("what", CALLS)
class TestAddresses:
    def test_nothing(self, guest: Guest, what: str) -> None:
        """With length 0 the address is not read, whatever it is."""
        for address in (0, END, 2**32 - 1, 2**63, 2**64 - 1):
            call(guest, what, address, 0)

        assert "out_of_bounds" not in guest.rejected()
        assert "no_memory" not in guest.rejected()

    def test_last_byte(self, guest: Guest, what: str) -> None:
        """The last byte of memory can be read."""
        guest.memory.write(guest.store, b"a", END - 1)

        call(guest, what, END - 1, 1)

        assert set(about_memory(guest.rejected())) <= ({"descriptor"} if what in IS_DESCRIPTOR else set())

    def test_out_of_bounds(self, guest: Guest, what: str) -> None:
        """Bytes that are not all there are counted once each time; the call gives what it gives for nothing."""
        tried = [(END, 1), (END - 1, 2), (1, END), (2**32 - 1, 1)]
        if guest.memory64:
            tried += [(2**32, 1), (2**63, 1), (2**64 - 1, 1), (2**64 - 1, 2)]
        results = [call(guest, what, address, length) for address, length in tried]

        if what in RESULTS:
            assert results == [RESULTS[what]] * len(tried)
        expected = {"out_of_bounds": len(tried)}
        if what in IS_DESCRIPTOR:
            expected = {"out_of_bounds": len(tried) - 1, "descriptor": 1}
        assert about_memory(guest.rejected()) == expected

    def test_huge_length(self, guest: Guest, what: str) -> None:
        """A length that no memory has is counted, and nothing of that size is allocated."""
        lengths = [2**31, 2**32 - 1, *([2**32, 2**63, 2**64 - 1] if guest.memory64 else [])]

        for length in lengths:
            call(guest, what, 0, length)

        reason = "attributes_size" if what in IS_LIST else "descriptor" if what in IS_DESCRIPTOR else "out_of_bounds"
        assert about_memory(guest.rejected()) == {reason: len(lengths)}

    def test_after_growth(self, guest: Guest, what: str) -> None:
        """Memory that the guest has grown meanwhile can be read."""
        call(guest, what, 0, 1)
        before = about_memory(guest.rejected())
        guest.instance.call("grow", 1)

        call(guest, what, END, 1)

        assert "out_of_bounds" not in before
        assert "out_of_bounds" not in guest.rejected()

    def test_no_memory(self, bridge: Bridge, what: str) -> None:
        """A module without memory can call every function with length 0; any other length is counted."""
        name, params = what.split()[0], functions()[what.split()[0]][0]
        guest = MemorylessGuest(bridge, name, params)

        guest.call([0 if arg is None else arg for arg in CALLS[what]])
        assert "no_memory" not in guest.rejected()
        guest.call([1 if arg is None else arg for arg in CALLS[what]])
        assert guest.rejected()["no_memory"] == 1


class MemorylessGuest:
    """A module without memory that makes one ABI call."""

    def __init__(self, bridge: Bridge, name: str, params: str) -> None:
        result = functions()[name][1]
        kind = f"(param {wat_type(params, memory64=False)})"
        result_kind = f"(result {wat_type(result, memory64=False)})" if result else ""
        gets = " ".join(f"(local.get {index})" for index in range(len(params)))
        module = compiled(
            f'(module {abi_imports(name)} (func (export "f") {kind} {result_kind} (call ${name} {gets})))'
        )
        store = wasmtime.Store(engine())
        self._bridge = bridge
        self._instance = bridge.instantiate(wasmtime.Linker(engine()), store, module, name="guest")

    def call(self, args: list[int]) -> None:
        self._instance.call("f", *args)

    def rejected(self) -> dict[str, int]:
        return {reason: count for (_, _, reason), count in self._bridge.rejected().items()}


class TestResults:
    @pytest.mark.parametrize("address", [END, END - 1, 2**32 - 1, 2**63, 2**64 - 1])
    @pytest.mark.parametrize("name", ["span_context", "inject", "baggage_get"])
    def test_out_of_bounds(self, guest: Guest, name: str, address: int) -> None:
        """A result that has no room in memory is counted and not written, and 0 returned."""
        if not guest.memory64:
            address = min(address, 2**32 - 1)
        field, key = guest.text("traceparent"), guest.text("k")
        args: dict[str, tuple[int, ...]] = {
            "span_context": (0, address),
            "inject": (0, *field, address, 100),
            "baggage_get": (*key, address, 100),
        }
        results: list[int] = []

        guest.run(lambda: results.append(guest.abi(name, *args[name])))

        assert results == [0]
        assert guest.rejected() == {"out_of_bounds": 1}

    @pytest.mark.parametrize("capacity", [100, 2**32 - 1, 2**63, 2**64 - 1])
    def test_capacity_beyond_memory(self, guest: Guest, capacity: int) -> None:
        """A capacity larger than the memory harms nothing where the result itself fits."""
        if not guest.memory64:
            capacity = min(capacity, 2**32 - 1)
        key = guest.text("k")

        assert guest.abi("baggage_get", *key, END - 20, capacity) == 20
        assert guest.get(END - 20, 20) == b"v" * 20
        assert guest.rejected() == {}


class TestRestIsKept:
    def test_log(self, guest: Guest, telemetry: Telemetry) -> None:
        """Without a readable body the attributes are kept, and the other way round."""
        guest.run(
            lambda: guest.abi("log", 0, 9, 0, END, 10, *guest.attrs({"n": 1})),
            lambda: guest.abi("log", 0, 9, 0, *guest.text("body"), END, 10),
        )

        assert [(record.body, dict(record.attributes)) for record in telemetry.logs()] == [
            ("", {"n": 1}),
            ("body", {}),
        ]  # fmt: skip

    def test_log_of_a_call_site(self, guest: Guest, telemetry: Telemetry) -> None:
        """What the call site says is kept in any case."""
        site = guest.callsite(packing.callsite(name="e", constants={"c": 1}))

        guest.run(
            lambda: guest.abi("log", site, 9, 0, END, 10, END, 10),
            lambda: guest.abi("log", site, 9, 0, 0, 0, 0, 2**32 - 1),
        )

        assert [(record.event_name, dict(record.attributes)) for record in telemetry.logs()] == [("e", {"c": 1})] * 2

    def test_span(self, guest: Guest, telemetry: Telemetry) -> None:
        """A span without a readable name is called ``span``; unreadable parts of an exception are empty."""

        def body() -> None:
            span = guest.abi("span_start", 0, END, 10, 0, 0, *guest.attrs({"n": 1}))
            guest.abi("exception", span, END, 1, *guest.text("message"), END, 1, *guest.attrs({"k": 2}))
            guest.abi("span_rename", span, END, 1)
            guest.abi("span_end", span)

        guest.run(body)

        span = telemetry.span("span")
        assert dict(span.attributes or {}) == {"n": 1}
        assert dict(span.events[0].attributes or {}) == {
            "exception.type": "exception",
            "exception.message": "message",
            "k": 2,
        }


class TestReports:
    def test_once_for_each_reason_and_instance(
        self, bridge: Bridge, native: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Each reason is logged once for each instance, on one line, by the library's own logger."""
        caplog.set_level(logging.INFO, "wasmscope.host_shim")
        for name in ("one", "two"):
            guest = Guest(bridge, name=name)
            for _ in range(3):
                guest.run(lambda: guest.log("x", severity=99), lambda: guest.log(b"\xff", context=77))

        messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(messages) == 6
        for name in ("one", "two"):
            for reason in ("severity: 99", "utf8", "handle: 77"):
                assert len([m for m in messages if f"guest {name!r} " in m and f": {reason}" in m]) == 1
        assert {record.name for record in caplog.records} <= {"wasmscope.host_shim"}
        assert bridge.rejected() == {
            (name, None, reason): 3 for name in ("one", "two") for reason in ("severity", "utf8", "handle")
        }

    def test_by_tenant(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """Rejections are counted by module, tenant and reason, also as a metric."""
        for tenant, times in (("a", 2), ("b", 1)):
            guest = Guest(bridge, tenant=tenant)
            guest.run(*[lambda: guest.log("x", severity=99)] * times)

        counted = {
            tuple(point.attributes[key] for key in ("wasm.module.name", "wasm.tenant", "reason")): point.value
            for point in telemetry.points("wasmscope", "wasmscope.rejected")
        }
        assert counted == {("guest", "a", "severity"): 2, ("guest", "b", "severity"): 1} == bridge.rejected()

    @pytest.mark.parametrize("text", ["wasm.\x1b[31mred", "wasm.a\nforged: line", "wasm." + "x" * 250])
    def test_guests_words_are_harmless(
        self, make_guest: Callable[..., Guest], caplog: pytest.LogCaptureFixture, text: str
    ) -> None:
        """What a guest sent is quoted in the log: no control characters, no lines of its own, not at any length."""
        guest = make_guest()

        guest.run(lambda: guest.log("x", {text: 1}))
        guest.attribute_set({text.removeprefix("wasm."): b"bytes"})
        guest.callsite(packing.callsite(fields=[text]))
        guest.instrument(1, 0, packing.instrument(text))
        guest.abi("remote_context", *guest.text(text), *guest.text(text))

        guest.bridge.flush()
        assert len(caplog.records) >= 4
        for record in caplog.records:
            assert record.getMessage().isprintable()
            assert len(record.getMessage()) < 300
