"""Handles, what is current, remote contexts, samplers and several guests in one collector."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tests.support import packing
from tests.support.collecting import SPAN_ID, TRACE_ID, Collector, attributes_of
from wasmscope.host_shim import Limits

FULL, ROOT, AMBIENT = 1, 2, 3


class TestHandles:
    def test_positive_and_never_again(self) -> None:
        """Handles are positive, and none is given out twice, though slots are used again."""
        own = Collector(limits=Limits(kept_contexts=3))
        handles: list[int] = []
        for number in range(2_000):
            handles.append(own.start("n"))
            if number % 2:
                own.end(handles[-1])
                own.end(handles[-2])
        assert len(set(handles)) == 2_000
        assert min(handles) > 0
        assert max(handles) < 2**63
        assert own.rejected() == {}

    def test_ended_are_remembered(self) -> None:
        """The last ended spans are known as parents and link targets; before them, handles are unknown."""
        own = Collector(limits=Limits(kept_contexts=3))
        handles = [own.start(f"s{index}") for index in range(6)]
        contexts = [own.context(handle) for handle in handles]
        for handle in handles:
            own.end(handle)
        assert [own.context(handle) for handle in handles[3:]] == contexts[3:]
        assert own.rejected() == {}
        # An unknown one is counted and is the current one.
        assert own.context(handles[2]) == (TRACE_ID, SPAN_ID, 1, 0)
        assert own.rejected() == {"handle": 1}
        own.end(handles[2])
        own.end(handles[5])
        assert own.rejected() == {"handle": 2, "ended": 1}

    def test_any_number(self) -> None:
        """Any number does for a handle."""
        own = Collector()
        handle = own.start("n")
        for wrong in (handle + 1, handle + (1 << 20), -3, 2**63 - 1, -(2**63), 0xFFFFF, 1 << 20, 0x1FFFFF):
            own.end(wrong)
            own.enter(wrong)
            own.exit(wrong)
            assert own.context(wrong) == (TRACE_ID, SPAN_ID, 1, 0)
        assert own.rejected() == {"handle": 32}
        own.end(handle)
        assert len(own.take().spans) == 1

    @pytest.mark.parametrize("kept", [0, 1, 200_000])
    def test_limits_of_memory(self, kept: int) -> None:
        """However few or many are to be remembered, spans can be started."""
        own = Collector(limits=Limits(kept_contexts=kept))
        last = 0
        for _ in range(300):
            last = own.start("n")
            own.end(last)
        assert (own.context(last) == (TRACE_ID, SPAN_ID, 1, 0)) == (kept == 0)
        assert own.counter("ended") == 300

    def test_many_open(self) -> None:
        """As many spans as the limit allows can be open, and end in any order; one more is refused."""
        own = Collector(limits=Limits(open_spans=3_000))
        handles = [own.start(f"s{index}") for index in range(3_000)]
        assert own.start("more") == 0
        assert own.rejected() == {"open_spans": 1}
        for handle in handles[1::3] + handles[::3] + handles[2::3]:
            own.end(handle)
        assert sorted(span.name for span in own.take().spans) == sorted(f"s{index}" for index in range(3_000))


class TestCurrent:
    def test_stack(self) -> None:
        """The innermost entered span is the parent of what is started, whatever the order of exits."""
        own = Collector()
        a, b, c = (own.start(name) for name in "abc")
        for handle in (a, b, a, c):
            own.enter(handle)

        def current() -> int:
            return own.u64(64)

        assert current() == c
        own.exit(a)
        assert current() == c
        own.exit(c)
        assert current() == b
        own.exit(c)
        assert own.rejected() == {"not_entered": 1}
        own.end(b)
        assert current() == a
        own.end(own.start("child"))
        own.exit(a)
        assert current() == 0
        own.end(own.start("of host"))
        own.end(a)
        spans = {span.name: span for span in own.take().spans}
        assert spans["child"].parent_span_id == spans["a"].span_id
        assert spans["of host"].parent_span_id == SPAN_ID

    def test_current_is_changed_by_0(self) -> None:
        """0 is the entered span, else the host's, which is not the collector's business."""
        own = Collector()
        handle = own.start("n")
        assert own.attributes(0, {"a": 1}) == 2
        own.enter(handle)
        assert own.attributes(0, {"a": 1}) == 1
        own.event(0, "e")
        own.end(handle)
        (span,) = own.take().spans
        assert attributes_of(span.attributes) == {"a": 1}
        assert len(span.events) == 1
        own.frame(is_recording=False)
        assert own.attributes(0, {"a": 1}) == 0
        own.frame(0)
        assert own.attributes(0, {"a": 1}) == 0

    def test_depth(self) -> None:
        """Entries over the limit are refused; those that were taken out in the middle leave room."""
        own = Collector(limits=Limits(span_depth=3))
        a, b = own.start("a"), own.start("b")
        for handle in (a, b, a, b):
            own.enter(handle)
        assert own.rejected() == {"span_depth": 1}
        own.exit(b)
        own.enter(b)
        own.enter(b)
        assert own.rejected() == {"span_depth": 2}
        own.end(a)
        own.enter(b)
        own.enter(b)
        own.enter(b)
        assert own.rejected() == {"span_depth": 3}

    def test_calls_nest(self) -> None:
        """A nested call begins without entered spans, and its entries end with it."""
        own = Collector()
        outer, inner = own.start("outer"), own.start("inner")
        own.enter(outer)
        saved = own.frame(trace_id=b"t" * 16, span_id=b"s" * 8)
        assert own.context(0) == (b"t" * 16, b"s" * 8, 1, 0)
        own.exit(outer)
        assert own.rejected() == {"not_entered": 1}
        own.enter(inner)
        own.enter(outer)
        own.frame_back(saved)
        assert own.u64(64) == outer
        own.end(inner)
        own.end(outer)
        assert own.u64(64) == 0
        assert own.u32(128) == 0

    def test_nested_call_ends_what_is_entered_outside(self) -> None:
        """A span that ends in a nested call is no longer current when the calls around it go on, however many."""
        own = Collector()
        a, b = own.start("a"), own.start("b")
        own.enter(a)
        own.enter(b)
        first = own.frame()
        own.enter(b)
        own.enter(a)
        second = own.frame()
        own.end(b)
        own.end(a)
        assert own.u32(132) == 1
        own.frame_back(second)
        assert own.u64(64) == 0
        assert own.u32(132) == 1
        own.frame_back(first)
        assert own.u64(64) == 0
        assert own.u32(132) == 0

    def test_outside_of_calls(self) -> None:
        """Outside of any call the current span is the guest's own entered one, else OpenTelemetry's, asked for."""
        own = Collector(guests=2)
        own.frame(0, is_valid=False)

        def ambient(op: int, guest: int) -> None:
            assert op == AMBIENT
            own.write(own.control + 16, b"A" * 16 + b"B" * 8)
            own.write(own.control + 44, bytes([1, 0, 1, 0]))

        own.on_call = ambient
        assert own.context(0) == (b"A" * 16, b"B" * 8, 1, 0)
        assert own.u32(48) == 0
        handle = own.start("loose")
        own.enter(handle)
        asked = len(own.calls)
        found = own.context(0)
        assert found == own.context(handle)
        assert len(own.calls) == asked
        assert own.context(0, guest=1) == (b"A" * 16, b"B" * 8, 1, 0)
        own.end(handle)
        assert own.context(0) == (b"A" * 16, b"B" * 8, 1, 0)

    @pytest.mark.parametrize("state", ["", "a=1", "a=" + "x" * 600])
    def test_tracestate_outside_of_calls(self, state: str) -> None:
        """A span that is started outside of any call has the trace state of its parent."""
        own = Collector()
        own.frame(0, is_valid=False, tracestate="of=before")

        def ambient(op: int, guest: int) -> None:
            assert op == AMBIENT
            own.write(own.control + 16, b"A" * 16 + b"B" * 8)
            own.write(own.control + 44, bytes([1, 0, 1, 0]))
            if state:
                own.write(own.u32(444), state.encode())
                own.u32(460, len(state))

        own.on_call = ambient
        for _ in range(2):
            own.end(own.start("loose"))
            (span,) = own.take().spans
            assert (span.trace_id, span.parent_span_id, span.trace_state) == (b"A" * 16, b"B" * 8, state)

    def test_unsampled(self) -> None:
        """A span without a sampled parent has a handle and a context, and takes nothing else; it is counted."""
        own = Collector()
        own.frame(flags=2)
        handle = own.start("n", {"a": 1})
        context = own.context(handle)
        assert context is not None
        assert context[0] == TRACE_ID
        assert context[2] == 2
        child = own.start("child", context=handle)
        own.enter(handle)
        own.log(body="in it")
        assert own.attributes(handle, {"a": 1}) == own.event(0, "e") == 0
        assert own.exception(handle, "T", "m") == 1
        own.end(child)
        own.end(handle)
        taken = own.take()
        assert taken.spans == []
        assert [(record.span_id, record.flags) for record in taken.logs] == [(context[1], 2)] * 2
        assert [own.counter(name) for name in ("started", "unsampled", "ended")] == [2, 2, 2]
        assert own.rejected() == {}

    def test_unsampled_with_mistakes(self) -> None:
        """What is wrong with its call is counted all the same."""
        own = Collector()
        own.frame(flags=0)
        own.start("n", site=77, context=12_345, kind=9)
        assert own.rejected() == {"callsite": 1, "handle": 1, "kind": 1}


class TestRemote:
    def test_parent(self) -> None:
        """A remote context can be a parent and a link's target, and says so; its trace state is passed on."""
        own = Collector()
        handle = own.remote(b"r" * 16, b"p" * 8, 3, "a=1,b=2")
        assert own.context(handle) == (b"r" * 16, b"p" * 8, 3, 1)
        child = own.start("child", context=handle)
        grandchild = own.start("grandchild", context=child)
        own.end(grandchild)
        own.end(child)
        inner, outer = own.take().spans
        assert (outer.trace_id, outer.parent_span_id, outer.flags, outer.trace_state) == (
            b"r" * 16, b"p" * 8, 0x303, "a=1,b=2"
        )  # fmt: skip
        assert (inner.flags, inner.trace_state, inner.parent_span_id) == (0x103, "a=1,b=2", outer.span_id)

    def test_nothing_else(self) -> None:
        """Anything else done to it is counted; ending it forgets it."""
        own = Collector()
        handle = own.remote()
        own.enter(handle)
        own.exit(handle)
        own.attributes(handle, {"a": 1})
        assert own.rejected() == {"ended": 2, "not_entered": 1}
        own.end(handle)
        own.end(handle)
        assert own.rejected() == {"ended": 2, "not_entered": 1, "handle": 1}

    @pytest.mark.parametrize("size", [1, 400])
    def test_tracestates_without_memory(self, size: int) -> None:
        """Where there is no memory for more trace states, those that nobody refers to make room."""
        own = Collector(limits=Limits(kept_contexts=2_000))
        own.store.set_limits(memory_size=own.memory_bytes)
        first = own.start("n", context=own.remote(tracestate="keep=me"))
        number = 0
        while own.tracestate(f"n={number},long={'x' * size}"):
            own.remote(tracestate=f"n={number},long={'x' * size}")
            number += 1
        assert 64 < number < 2_000
        for _ in range(2_000):
            own.remote()
        assert own.tracestate("b=3")
        own.end(first)
        assert own.take().spans[0].trace_state == "keep=me"

    @pytest.mark.parametrize("kept", [0, 1, 5, 40])
    def test_ring(self, kept: int) -> None:
        """The last ones that were given out are known, whatever became of spans meanwhile."""
        own = Collector(limits=Limits(kept_contexts=kept))
        handles: list[int] = []
        for number in range(100):
            handles.append(own.remote(span_id=b"%08d" % number))
            own.end(own.start("n"))
        assert len(set(handles)) == 100
        known = [own.call("context_of", 0, handle) and own.read(own.u32(176) + 16, 8) for handle in handles]
        expected = [b"%08d" % number for number in range(100)]
        assert known[100 - kept :] == expected[100 - kept :]
        assert set(known[: 100 - kept]) == {SPAN_ID}
        assert own.rejected() == {"handle": 100 - kept}

    def test_ring_without_memory(self) -> None:
        """Where there is no memory for more, the last ones are known all the same; with memory again, more of them."""
        own = Collector(limits=Limits(kept_contexts=50_000))
        own.store.set_limits(memory_size=own.memory_bytes + 65_536)
        handles: list[int] = []

        def remember(count: int) -> None:
            for _ in range(count):
                handles.append(own.remote(span_id=b"%08d" % len(handles)))
                assert handles[-1]

        def known() -> int:
            """How many of the last ones are known, with no gap."""
            count = 0
            for number in reversed(range(len(handles))):
                context = own.context(handles[number])
                assert context is not None
                if context[1] != b"%08d" % number:
                    assert context[1] == SPAN_ID
                    break
                count += 1
            return count

        remember(10_000)
        most = known()
        assert 100 < most < 10_000
        own.store.set_limits()
        remember(1)
        assert known() == most + 1
        remember(3_000)
        assert known() == most + 3_001
        assert own.rejected().keys() == {"handle"}

    @pytest.mark.parametrize(
        ("flags", "policy", "is_kept"),
        [
            (1, {}, True),
            (0, {}, True),
            (1, {"remote_sampled_policy": 1}, False),
            (0, {"remote_unsampled_policy": 1}, False),
        ],
    )
    def test_policies(self, flags: int, policy: dict[str, Any], is_kept: bool) -> None:
        """Whether children of remote parents are kept is the host's to say, for sampled and unsampled ones."""
        own = Collector(**policy)
        own.end(own.start("n", context=own.remote(flags=flags)))
        assert len(own.take().spans) == is_kept

    def test_tracestates_are_few(self) -> None:
        """Equal texts have equal ids; those that nobody refers to any longer go, others never change."""
        own = Collector(limits=Limits(kept_contexts=4))
        kept = own.start("n", context=own.remote(tracestate="keep=me"))
        assert own.tracestate("a=1") == own.tracestate("a=1") != own.tracestate("a=2")
        for number in range(3_000):
            own.remote(tracestate=f"n={number},long={'x' * 400}")
        size = own.memory_bytes
        for number in range(6_000):
            own.remote(tracestate=f"m={number},long={'x' * 400}")
        assert own.memory_bytes == size
        own.end(kept)
        assert own.take().spans[0].trace_state == "keep=me"
        number = own.tracestate("b=3")
        assert own.call("tracestate_text", number) == 3
        assert own.read(own.u32(176), 3) == b"b=3"
        assert own.call("tracestate_text", 0) == own.call("tracestate_text", 12_345) == 0


class TestRoots:
    def test_policy(self) -> None:
        """Roots are kept, or dropped, or the host is asked."""
        own = Collector(root_policy=1)
        own.frame(is_valid=False, trace_id=bytes(16), span_id=bytes(8), flags=0)
        handle = own.start("n")
        context = own.context(handle)
        assert context is not None
        assert context[2] == 2
        own.end(handle)
        assert own.take().spans == []

    @pytest.mark.parametrize("decision", [0, 1, 2])
    @pytest.mark.parametrize("is_remote", [False, True])
    def test_asked(self, decision: int, is_remote: bool) -> None:
        """The host is told all that a sampler may want to know, and says whether the span is kept, and with what."""
        own = Collector(root_policy=2, remote_sampled_policy=2, base={"wasm.tenant": "acme"})
        site = own.callsite(packing.callsite(2, name="of site"))
        parent = own.remote(b"r" * 16, b"p" * 8, 1, "in=1") if is_remote else -1
        list_ = packing.attributes({"a": 1, "b": 2})
        seen: list[tuple[object, ...]] = []

        def sampler(op: int, guest: int) -> None:
            if op != ROOT:
                return
            callsite, kind, name, name_len, attrs, attrs_len = struct.unpack("<6I", own.read(own.control + 384, 24))
            seen.append((callsite, kind, own.read(name, name_len), own.read(attrs, attrs_len)))
            seen.append(
                (own.read(own.control + 408, 16), own.read(own.control + 424, 8), own.read(own.control + 432, 1))
            )
            extra = packing.attributes({"b": "sampler's", "sampling.priority": 1})
            own.write(own.u32(444), extra)
            own.u32(440, len(extra))
            own.write(own.control + 433, bytes([decision, 3 if decision == 2 else 2]))

        own.on_call = sampler
        handle = own.start("a \u20ac\N{CRAB}" if is_remote else "", list_, site=site, context=parent, kind=2)
        context = own.context(handle)
        assert context is not None
        assert context[2] == (3 if decision == 2 else 2)
        own.end(handle)
        assert seen == [
            (site, 2, "a \u20ac\N{CRAB}".encode() if is_remote else b"of site", list_),
            (b"r" * 16, b"p" * 8, b"\x01") if is_remote else (bytes(16), bytes(8), b"\x00"),
        ]  # fmt: skip
        spans = own.take().spans
        assert len(spans) == (decision == 2)
        if spans:
            assert attributes_of(spans[0].attributes) == {
                "a": 1, "b": "sampler's", "sampling.priority": 1, "wasm.tenant": "acme"
            }  # fmt: skip
            assert spans[0].trace_state == ("in=1" if is_remote else "")
            assert (spans[0].trace_id == b"r" * 16) == is_remote
        assert own.rejected() == {}

    def test_recorded_only(self) -> None:
        """A span that records without being sampled takes attributes, and is passed on where the host wants it."""
        for flags in (0, 2):
            own = Collector(root_policy=2, flags=flags)
            own.on_call = lambda op, guest, own=own: own.write(own.control + 433, bytes([1, 2]))
            handle = own.start("n", context=-1)
            assert own.attributes(handle, {"a": 1}) == 1
            own.end(handle)
            assert len(own.take().spans) == (flags == 2)


class TestGuests:
    def test_apart(self) -> None:
        """Each guest has its own handles, call sites, limits, counts and buffers."""
        own = Collector(guests=3, limits=Limits(open_spans=2, callsites=1))
        for guest in range(3):
            assert own.callsite(packing.callsite(1, name=f"g{guest}"), guest) == 1
            assert own.start("x", guest=guest) and own.start("y", guest=guest)
            assert own.start("z", guest=guest) == 0
            own.log(1, guest=guest)
        assert [own.rejected(guest) for guest in range(3)] == [{"open_spans": 1}] * 3
        assert [record.event_name for record in own.take().logs] == ["g0", "g1", "g2"]
        assert [own.fail(guest=guest) for guest in range(3)] == [2, 2, 2]

    def test_one_in_anothers_span(self) -> None:
        """What one guest of a store entered is the others' parent, and can be changed by them as the current span."""
        own = Collector(guests=2)
        handle = own.start("of 0")
        own.enter(handle)
        child = own.start("of 1", guest=1)
        assert own.attributes(0, {"a": "by 1"}, guest=1) == 1
        assert own.event(0, "by 1", guest=1) == 1
        # By its handle it is unknown, or it is one of its own.
        assert own.context(handle, guest=1) == own.context(child, guest=1)
        own.end(child, guest=1)
        own.end(handle)
        spans = {span.name: span for span in own.take().spans}
        assert spans["of 1"].parent_span_id == spans["of 0"].span_id
        assert attributes_of(spans["of 0"].attributes) == {"a": "by 1"}
        assert own.rejected(1) == {}

    def test_many(self) -> None:
        """A thousand guests in a store take little memory each."""
        own = Collector(guests=1_000)
        for guest in range(1_000):
            own.log(body="one", guest=guest)
        assert len(own.take().logs) == 1_000
        assert own.memory_bytes < 1_000 * 16_384
