"""How much of a guest the host keeps, whatever the guest registers and leaves open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime

from tests.support import packing
from tests.support.guests import Guest
from tests.support.telemetry import Point, Telemetry
from wasmscope.host_shim import Limits

KIB = 1_024


@pytest.fixture
def guest(make_guest: Callable[..., Guest]) -> Guest:
    """A guest that may have 4 KiB kept."""
    return make_guest(limits=Limits(kept_bytes=4 * KIB))


class TestRegistrations:
    def test_call_sites_and_instruments(self, guest: Guest) -> None:
        """Descriptors are kept up to the limit; beyond it 0 is given, and known ones are still found."""
        sites = [guest.callsite(packing.callsite(name=f"{number}" * 1_000)) for number in range(5)]
        meters = [guest.instrument(1, 0, packing.instrument(f"m{number}")) for number in range(10)]

        assert sites == [1, 2, 3, 4, 0]
        assert 0 < sum(number > 0 for number in meters) < 10
        assert guest.callsite(packing.callsite(name="1" * 1_000)) == 2
        assert guest.rejected() == {"kept_bytes": 1 + meters.count(0)}

    def test_attribute_sets(self, guest: Guest, telemetry: Telemetry) -> None:
        """Attribute sets beyond the limit are the overflow set."""
        counter = guest.instrument(1, 0, packing.instrument("c"))
        sets = [guest.attribute_set({"k": f"{number}" * 1_000}) for number in range(6)]

        for number in sets:
            guest.abi("measure_i64", counter, 1, number)

        assert len(set(sets)) == 5
        assert Point({"otel.metric.overflow": True}, 2) in telemetry.points("guest", "c")
        assert guest.rejected() == {"kept_bytes": 2}


class TestOpenSpans:
    def test_attributes(self, guest: Guest, telemetry: Telemetry) -> None:
        """Spans beyond the limit are started without attributes; where one has ended there is room again."""

        def body() -> None:
            handles = [guest.start(f"{number}", {"k": "x" * 1_000}) for number in range(6)]
            for handle in handles:
                guest.abi("span_attributes", handle, *guest.attrs({"late": "y" * 1_000}))
            for handle in handles:
                guest.abi("span_end", handle)
            guest.abi("span_end", guest.start("again", {"k": "x" * 1_000}))

        guest.run(body)

        assert [len(telemetry.span(f"{number}").attributes or {}) for number in range(6)] == [1, 1, 1, 1, 0, 0]
        assert len(telemetry.span("again").attributes or {}) == 1
        assert guest.rejected() == {"kept_bytes": 8}

    @pytest.mark.parametrize("delivery", ["live", "sdk"])
    @pytest.mark.parametrize("on_the_call", [False, True])
    def test_set_again(self, telemetry: Telemetry, delivery: str, on_the_call: bool) -> None:
        """An attribute that is set again and again counts once, as its last value."""
        telemetry.delivery = delivery
        guest = Guest(telemetry.bridge(limits=Limits(kept_bytes=4 * KIB)))

        def body() -> None:
            span = 0 if on_the_call else guest.start("a")
            for size in (*range(1_000), 5_000, 3_000):
                guest.abi("span_attributes", span, *guest.attrs({"n": size, "k": "x" * size}))
            guest.abi("span_attributes", span, *guest.attrs({"l": ["y" * 2_000]}))
            guest.abi("span_attributes", span, *guest.attrs({"k": None}))
            guest.abi("span_attributes", span, *guest.attrs({"l": {"of": ["z" * 2_000, 1.5, -1, b"", True, None]}}))
            guest.abi("span_end", span)

        guest.run(body)

        found = dict(telemetry.span("wasm.call run" if on_the_call else "a").attributes or {})
        assert found["n"] == 3_000
        assert "z" * 2_000 in str(found["l"])
        assert guest.rejected() == {"kept_bytes": 2}

    @pytest.mark.parametrize("on_the_call", [False, True])
    def test_events_links_exceptions(self, guest: Guest, telemetry: Telemetry, on_the_call: bool) -> None:
        """Events, links and exceptions beyond the limit are dropped, on the call's span, too."""

        def body() -> None:
            span = 0 if on_the_call else guest.start("a")
            for number in range(3):
                guest.event(span, "e", {"k": f"{number}" * 500})
                guest.abi("span_link", span, span, 0, 0)
                guest.exception(span, "E", "m" * 200, "s" * 200)
            guest.log("goes on")
            guest.abi("span_end", span)

        guest.run(body)

        span = telemetry.span("wasm.call run" if on_the_call else "a")
        # 256 each, and what is in them: 769, 256 and 657 bytes or so.
        assert [event.name for event in span.events] == ["e", "exception", "e", "exception"]
        assert len(span.links) == 3
        assert guest.rejected() == {"kept_bytes": 2}
        assert telemetry.log("goes on")

    def test_call_by_call(self, guest: Guest, telemetry: Telemetry) -> None:
        """What calls' own spans hold goes with the calls."""
        for _ in range(20):
            guest.run(lambda: guest.event(0, "e", {"k": "x" * 3_000}))

        assert guest.rejected() == {}

    def test_after_traps(self, guest: Guest) -> None:
        """Spans that are ended by a trap, or with the instance, make room, too."""
        for _ in range(20):
            with pytest.raises(wasmtime.Trap):
                guest.run(lambda: guest.start("a", {"k": "x" * 3_000}), export="run_then_trap")

        assert guest.rejected() == {}


class TestHostile:
    @pytest.mark.parametrize("what", ["attribute_set", "span_start", "span_attributes", "callsite"])
    def test_memory(self, telemetry: Telemetry, what: str) -> None:
        """A guest that gives the host a megabyte again and again, always another one, costs it some tens of them."""
        attrs = packing.attributes({f"k{number:02}": "x" * 16_000 for number in range(64)})
        site = packing.callsite(constants={"k": "x" * 16_000, "l": "x" * 16_000, "m": "x" * 16_000})
        size = len(site) if what == "callsite" else len(attrs)
        calls = {
            "attribute_set": f"(drop (call $attribute_set (i32.const 1024) (i32.const {size})))",
            "span_start": f"""(drop (call $span_start (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0)
                (i32.const 0) (i32.const 1024) (i32.const {size})))""",
            "span_attributes": f"""(call $span_attributes (call $span_start (i32.const 0) (i32.const 0) (i32.const 0)
                (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 1024) (i32.const {size}))""",
            "callsite": f"(drop (call $callsite (i32.const 1024) (i32.const {size})))",
        }
        # Four letters of the last value count.
        last = 1024 + size - 8
        extra = f"""(func (export "hog") (param $n i32)
            (loop
                (i32.store (i32.const {last}) (i32.add (i32.const 0x41414141)
                    (i32.add (i32.and (local.get $n) (i32.const 0xf))
                        (i32.shl (i32.and (local.get $n) (i32.const 0xf0)) (i32.const 4)))))
                {calls[what]}
                (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))"""
        guest = Guest(telemetry.bridge(), pages=20, extra=extra)
        guest.memory.write(guest.store, site if what == "callsite" else attrs, 1024)
        guest.instance.call("hog", 1)
        before = _resident_bytes()

        guest.instance.call("hog", 200)

        assert _resident_bytes() - before < 80 << 20
        assert what == "callsite" or guest.rejected()["kept_bytes"] > 150


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * 4_096
