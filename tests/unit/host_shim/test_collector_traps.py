"""A trap inside the collector: at every place where one can strike, for every amount of fuel that is too little.

The engine looks at its fuel at each function entry, loop head and bulk memory operation: as where it looks at an epoch
deadline and for the end of the stack. A trap before the collector began is the guest's, and nothing is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime

from tests.support import packing
from tests.support.collecting import Collector, attributes_of
from wasmscope.host_shim import Limits

PLENTY = 1 << 60
SITE = packing.callsite(
    2, name="site", target="t", file="f.rs", line=3, fields=["f"], constants={"c": 1, "a": "of site"}
)
LIST = packing.attributes({"a": "text", "b": 1, "c": [1, {"k": "v"}], "a text that is longer": "x" * 80})
TWICE = packing.attributes([("a", 1), ("b", 2), ("a", 3)])


def collector(**options: Any) -> Collector:
    options.setdefault("limits", Limits(value_bytes=80))
    return Collector(fuel=PLENTY, base={"wasm.tenant": "acme"}, buffer_bytes=4_096, **options)


def interrupted(own: Collector, operation: Callable[[], Any], fuel: int) -> tuple[bool, Any]:
    """Do something with so little fuel; whether a trap struck, and else what it gave."""
    own.store.set_fuel(fuel)
    try:
        return False, operation()
    except wasmtime.Trap as trap:
        assert trap.trap_code is wasmtime.TrapCode.OUT_OF_FUEL
        return True, None
    finally:
        own.store.set_fuel(PLENTY)


def recover(own: Collector) -> bool | None:
    """Put things right; whether something was counted as interrupted. None: the trap struck before or after it all."""
    before = counted(own)
    had_begun = own.u32(0) == 0
    own.call("recover")
    assert (own.u32(0), own.u32(4)) == (1, 0)
    assert counted(own) - before in ((0, 1) if had_begun else (0,))
    return counted(own) != before if had_begun else None


def check(struck: bool, is_there: bool, is_counted: bool | None) -> None:
    """What was in hand is there or it is counted, and never both."""
    assert struck or is_there
    assert is_counted is None or is_there != is_counted


def at_every_place(own: Collector, operation: Callable[[int], Any], after: Callable[[int, bool, Any], None]) -> int:
    """Do something with 0, 1, 2 ... fuel until it is enough, each time with another number, and look at each outcome.
    Gives how much fuel it takes."""
    for fuel in range(1_000_000):
        struck, result = interrupted(own, lambda: operation(fuel), fuel)
        after(fuel, struck, result)
        if not struck:
            return fuel
    raise AssertionError


def counted(own: Collector) -> int:
    return own.rejected().get("interrupted", 0)


def test_begin() -> None:
    """Wherever a trap strikes while it begins, it can begin again, and then has what the host puts on records, once."""
    own = Collector(fuel=PLENTY, begin=False)
    base = packing.attributes({"wasm.tenant": "acme", "b": "x" * 100})
    new = own.read(0, own.memory_bytes)
    strikes = 0
    for fuel in range(1_000_000):
        own.write(0, new)
        has_struck, _ = interrupted(own, lambda: own.begin(base), fuel)
        if has_struck:
            strikes += 1
            own.begin(base)
        own.log(body="said")
        (log,) = own.take().logs
        assert log.body.string_value == "said"
        assert [attribute.key for attribute in log.attributes] == ["wasm.tenant", "b"]
        assert own.rejected() == {}
        assert own.memory_bytes == len(new)
        if not has_struck:
            break
    assert strikes > 100


@pytest.mark.parametrize("has_waiting", [False, True], ids=["room", "full"])
@pytest.mark.parametrize(
    "attributes",
    [b"", LIST, TWICE, packing.attributes({"long": "x" * 90, "b": 1})],
    ids=["none", "some", "twice", "cut"],
)
def test_log(attributes: bytes, has_waiting: bool) -> None:
    """Wherever a trap strikes in a log call, the record is there once or is counted as interrupted."""
    own = collector()
    site = own.callsite(SITE)
    lost: list[str] = []
    lengths: list[int] = []

    def log(number: int) -> None:
        own.call("log", 0, site, 9, 0, *lengths)

    number = 0

    def prepare() -> None:
        nonlocal lengths
        if has_waiting:
            own.log(body="x" * 3_500)
        lengths = own.scratch(f"body {number}", attributes)

    prepare()

    def after(fuel: int, struck: bool, _result: Any) -> None:
        nonlocal number
        is_counted = recover(own)
        found = [log.body.string_value for log in own.take().logs if log.body.string_value == f"body {number}"]
        if not found:
            lost.append(f"body {number}")
        assert len(found) <= 1
        check(struck, bool(found), is_counted)
        number += 1
        prepare()

    at_every_place(own, log, after)
    assert lost


def test_span() -> None:
    """Wherever a trap strikes in span_start, the span is open or counted; in span_end, it is open or in the output."""
    own = collector()
    site = own.callsite(SITE)
    lost = 0
    number = 0
    name, attrs = own.scratch(f"span {number}", LIST)

    def started(fuel: int, struck: bool, result: Any) -> None:
        nonlocal lost, number, name, attrs
        is_counted = recover(own)
        is_open = own.u32(136) == 1
        lost += not is_open
        check(struck, is_open, is_counted)
        # As the host does with what a failed call left open.
        assert own.fail() == is_open
        assert [span.name for span in own.take().spans if span.name == f"span {number}"] == [f"span {number}"] * is_open
        number += 1
        name, attrs = own.scratch(f"span {number}", LIST)

    at_every_place(own, lambda _: own.call("span_start", 0, site, name, 0, 0, attrs), started)
    assert lost

    for is_entered in (False, True):
        handle = own.start(f"end {number}", LIST, site=site)

        def ended(fuel: int, struck: bool, result: Any) -> None:
            nonlocal handle, number
            # A span that could not be ended is not lost.
            assert not recover(own)
            is_open = own.u32(136) == 1
            found = [span for span in own.take().spans if span.name == f"end {number}"]
            assert len(found) == (not is_open)
            if is_open:
                own.end(handle)
                assert len([span for span in own.take().spans if span.name == f"end {number}"]) == 1
            assert own.u64(64) == 0
            assert own.u32(128) == 0
            assert own.rejected().keys() <= {"interrupted"}
            number += 1
            handle = own.start(f"end {number}", LIST, site=site)
            if is_entered:
                own.enter(handle)

        if is_entered:
            own.enter(handle)
        at_every_place(own, lambda _: own.end(handle), ended)
        own.end(handle)
        own.take()


CHANGES: dict[str, tuple[Callable[[Collector, int], list[int]], Callable[[Any], Any]]] = {
    "span_attributes": (
        lambda own, n: own.scratch({"n": n, "x": "y" * 40}),
        lambda span: any(pair.key == "x" for pair in span.attributes),
    ),
    "span_event": (lambda own, n: own.scratch(f"event {n}", LIST), lambda span: len(span.events)),
    "span_link": (lambda own, n: [own.handle, *own.scratch(LIST)], lambda span: len(span.links)),  # type: ignore[attr-defined]
    "span_status": (lambda own, n: [2, *own.scratch(f"status {n}")], lambda span: span.status.code),
    "span_rename": (lambda own, n: own.scratch(f"renamed {n}"), lambda span: span.name.startswith("renamed")),
    "exception": (lambda own, n: own.scratch("Type", f"message {n}", "stack", LIST), lambda span: len(span.events)),
}


@pytest.mark.parametrize("function", CHANGES)
@pytest.mark.parametrize("is_large", [False, True], ids=["small", "large"])
def test_change(function: str, is_large: bool) -> None:
    """Wherever a trap strikes in a function that changes a span, the span has the change or it is counted; nothing else
    of the span is lost, no key is there twice."""
    own = collector()
    prepare, changed = CHANGES[function]
    # What makes the body just too small, too.
    list_ = packing.attributes({"n": -1, "own": "x" * (300 if is_large else 10)})
    lost = 0

    def begin(number: int) -> tuple[int, list[int]]:
        handle = own.start("plain", list_)
        own.handle = handle  # type: ignore[attr-defined]
        return handle, prepare(own, number)

    handle, arguments = begin(0)

    def after(fuel: int, struck: bool, result: Any) -> None:
        nonlocal handle, arguments, lost
        is_counted = recover(own)
        own.end(handle)
        span = own.take().spans.pop()
        of_span = {pair.key: pair.value for pair in span.attributes}
        assert len(of_span) == len(span.attributes)
        assert of_span["own"].string_value
        has_change = bool(changed(span))
        if function == "span_attributes":
            assert of_span["n"].int_value == (fuel if has_change else -1)
        check(struck, has_change, is_counted)
        lost += not has_change
        handle, arguments = begin(fuel + 1)

    at_every_place(own, lambda _: own.call(function, 0, handle, *arguments), after)
    assert lost


def test_one_more_update() -> None:
    """Wherever a trap strikes where a span gives up what was replaced in it, it has the new value or the one before."""
    own = collector()
    # The next one leaves 24 dead entries, of 16 more than the 6 that live.
    updates = 12

    def begin() -> int:
        handle = own.start("plain", {"other": "x" * 100})
        own.event(handle, "event")
        for number in range(updates):
            own.attributes(handle, {"n": number, "text": "y" * number})
        own.scratch({"n": -1, "text": "z"})
        return handle

    handle = begin()
    (length,) = own.scratch({"n": -1, "text": "z"})

    def after(fuel: int, struck: bool, result: Any) -> None:
        nonlocal handle
        is_counted = recover(own)
        own.end(handle)
        (span,) = own.take().spans
        found = attributes_of(span.attributes)
        is_there = found["n"] == -1
        assert found == {
            "wasm.tenant": "acme",
            "other": "x" * 80,
            "wasmscope.truncated": ("other=100",),
            "n": -1 if is_there else updates - 1,
            "text": "z" if is_there else "y" * (updates - 1),
        }
        assert len(span.events) == 1
        check(struck, is_there, is_counted)
        handle = begin()

    at_every_place(own, lambda _: own.call("span_attributes", 0, handle, length), after)


@pytest.mark.parametrize("function", ["callsite", "remote_keep"])
def test_registration(function: str) -> None:
    """Wherever a trap strikes in a registration, it is complete or counted, and can be made again."""
    own = collector()
    raw = packing.callsite(1, name="x" * 30, fields=["a", "b"], constants={"c": "d"})
    given: list[int] = []

    def register(number: int) -> int:
        if function == "remote_keep":
            return int(own.call("remote_keep", 0))
        return int(own.call("callsite", 0, *lengths))

    lengths = own.scratch(raw + b"\x01\x00n" + packing.value(0))

    def after(fuel: int, struck: bool, result: Any) -> None:
        nonlocal lengths
        recover(own)
        if not struck:
            given.append(result)
        if function == "callsite":
            again = own.callsite(raw + b"\x01\x00n" + packing.value(fuel))
            assert again == own.callsite(raw + b"\x01\x00n" + packing.value(fuel)) != 0
            lengths = own.scratch(raw + b"\x01\x00n" + packing.value(fuel + 1))
        else:
            own.write(own.u32(176), bytes([1] * 25) + bytes(4))

    own.write(own.u32(176), bytes([1] * 25) + bytes(4))
    at_every_place(own, register, after)
    assert given[-1]
    assert own.rejected().keys() == {"interrupted"}


@pytest.mark.parametrize("function", ["span_enter", "span_exit", "frame_end", "fail"])
def test_stack(function: str) -> None:
    """Wherever a trap strikes while spans are entered, left or given up, the stack and what is current agree."""
    own = collector()
    handles: list[int] = []

    def begin() -> None:
        handles[:] = [own.start(f"span {index}") for index in range(3)]
        for handle in handles[: 2 if function == "span_enter" else 3]:
            own.enter(handle)

    def act(_: int) -> Any:
        match function:
            case "span_enter":
                own.enter(handles[2])
            case "span_exit":
                own.exit(handles[1])
            case "frame_end":
                own.call("frame_end")
            case _:
                own.call("fail", 0, 0, 0, 0, 0)

    def after(fuel: int, struck: bool, result: Any) -> None:
        own.call("recover")
        own.call("refresh")
        entered = own.u32(128)
        current = own.u64(64)
        if function in ("span_enter", "span_exit"):
            assert entered in (2, 3)
            assert current == handles[2] if function == "span_exit" or entered == 3 else current == handles[1]
        for handle in handles:
            own.end(handle)
        assert own.u32(128) == 0
        assert own.u64(64) == 0
        assert own.u32(136) == 0
        names = Counter(span.name for span in own.take().spans)
        assert names == Counter(f"span {index}" for index in range(3))
        begin()

    begin()
    at_every_place(own, act, after)


def test_other_guests_entries() -> None:
    """Wherever a trap strikes where the stack is tidied for one guest, each span of another one is entered once."""
    own = collector(guests=2, limits=Limits(span_depth=4))
    # Outside of calls the stack is that of all guests.
    own.frame(0, is_valid=False)
    handles: list[int] = []
    others: list[int] = []

    def begin() -> None:
        handles[:] = [own.start(f"span {index}") for index in range(5)]
        others[:] = [own.start(f"other {index}", guest=1) for index in range(3)]
        for index, handle in enumerate(handles[:4]):
            own.enter(handle)
            if index < 3:
                own.enter(others[index], guest=1)
        # A gap before those of the other.
        own.exit(handles[0])

    def after(fuel: int, struck: bool, result: Any) -> None:
        own.call("recover")
        before = own.rejected(1).get("not_entered", 0)
        for other in others:
            own.exit(other, guest=1)
            assert own.rejected(1).get("not_entered", 0) == before
        for other in others:
            own.exit(other, guest=1)
        assert own.rejected(1)["not_entered"] == before + 3
        for handle in handles:
            own.end(handle)
        for other in others:
            own.end(other, guest=1)
        assert own.u32(128) == own.u32(136) == 0
        own.take()
        begin()

    begin()
    at_every_place(own, lambda _: own.enter(handles[4]), after)


def test_recovery_itself() -> None:
    """A trap may strike while another one's traces are put away: that begins anew, and nothing is counted twice."""
    own = collector()
    own.callsite(SITE)
    handles = [own.start(f"span {index}", LIST) for index in range(5)]
    own.enter(handles[0])
    before = counted(own)
    lengths = own.scratch("body", LIST)
    struck, _ = interrupted(own, lambda: own.call("log", 0, 0, 9, 0, *lengths), 300)
    assert struck

    def after(fuel: int, struck: bool, result: Any) -> None:
        # Until it succeeds, the record in hand is the same.
        assert counted(own) - before in (0, 1)

    at_every_place(own, lambda _: own.call("recover"), after)
    assert counted(own) - before == 1
    for handle in handles:
        own.end(handle)
    assert sorted(span.name for span in own.take().spans) == [f"span {index}" for index in range(5)]


def scenario(own: Collector, number: int) -> None:
    """A bit of everything."""
    site = own.callsite(SITE)
    outer = own.start(f"outer {number}", LIST, site=site)
    own.enter(outer)
    inner = own.start("", TWICE, site=site, kind=3)
    own.attributes(inner, {"a": number, "late": "x" * 100})
    own.event(inner, "event", LIST)
    own.link(inner, outer, {"l": 1})
    own.rename(inner, "renamed")
    own.status(inner, 2, "bad")
    own.exception(inner, "Type", "message", "stack", LIST)
    own.log(site, body=f"log {number}", attrs=LIST)
    own.end(inner)
    own.exit(outer)
    own.end(outer)


def test_same_calls_burn_the_same_fuel() -> None:
    """Telemetry costs the same fuel in each run."""

    def burnt() -> int:
        own = collector()
        own.store.set_fuel(PLENTY)
        for number in range(50):
            scenario(own, number)
        return PLENTY - own.store.get_fuel()

    assert burnt() == burnt() > 0


def test_traps_leave_nothing_behind() -> None:
    """However often a trap strikes, memory does not grow, and the next calls are as good as ever."""
    own = collector()
    own.store.set_fuel(PLENTY)
    scenario(own, 0)
    needed = PLENTY - own.store.get_fuel()
    for number in range(100):
        scenario(own, number)
    own.fail()
    own.take()
    size = own.memory_bytes
    for number in range(1_000):
        interrupted(own, lambda: scenario(own, number), 1 + number * 7919 % needed)
        own.call("frame_end")
        own.fail()
        own.take()
    assert own.memory_bytes == size
    assert own.u32(136) == own.u32(140) == 0
    scenario(own, -1)
    recorded = own.take()
    assert sorted(span.name for span in recorded.spans) == ["outer -1", "renamed"]
    assert [log.body.string_value for log in recorded.logs] == ["log -1"]
    assert own.rejected().keys() == {"interrupted"}


def test_a_trap_in_one_guest_is_not_counted_for_another() -> None:
    """What is lost is counted for the guest that was calling."""
    own = collector(guests=2)
    lengths = own.scratch("body", LIST)
    struck, _ = interrupted(own, lambda: own.call("log", 1, 0, 9, 0, *lengths), 40)
    assert struck
    own.log(guest=0, body="next")
    assert own.rejected(0) == {}
    assert own.rejected(1) == {"interrupted": 1}


def test_small_limits() -> None:
    """With hardly any room, traps still leave all in order."""
    own = collector(limits=Limits(open_spans=3, kept_bytes=900, kept_contexts=2, attributes=3, span_depth=2))
    for number in range(400):
        interrupted(own, lambda: scenario(own, number), number * 13)
        if number % 3 == 0:
            own.fail()
        own.take()
    own.fail()
    assert own.u32(136) == 0
