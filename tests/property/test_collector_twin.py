"""The collector against the live path: random calls of both, and the same records and the same counts."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.support.collecting import OUTSIDE
from tests.support.collector_twin import Twin, random_attributes, random_callsite, random_text
from wasmscope.host_shim import Limits

SMALL = Limits(
    body_bytes=64, value_bytes=32, name_bytes=32, message_bytes=32, stack_bytes=32, key_bytes=16, attributes_bytes=256,
    attributes=6, elements=8, depth=3, events=4, links=4, open_spans=12, span_depth=5, callsites=6, instruments=6,
    attribute_sets=6, descriptor_bytes=128, kept_contexts=5, kept_bytes=6_000,
)  # fmt: skip

TIGHT = replace(SMALL, kept_bytes=900)
DEFAULT = Limits()


def step(twin: Twin, rng: random.Random) -> None:
    """Make a random call of both."""
    live, own = twin.live, twin.own
    rarely = rng.random() < 0.03

    def attrs() -> bytes | int:
        if rng.random() < 0.02:
            return OUTSIDE
        # What is too long is not looked at.
        return 300 if rarely and twin.limits is not DEFAULT else random_attributes(rng, fields=rng.choice([0, 3]))

    def text() -> bytes | int:
        return OUTSIDE if rng.random() < 0.02 else random_text(rng, 90 if rng.random() < 0.1 else 30)

    def handle() -> tuple[int, int]:
        kind = rng.random()
        if kind < 0.3:
            return 0, 0
        if kind < 0.35:
            return -2, -2
        if kind < 0.38:
            return -1, -1
        if kind < 0.4:
            return 999_999, 999_999
        recent = twin.handles[-12:]
        if rng.random() < 0.7:
            recent = [pair for pair in twin.handles[-60:] if pair[0] in live.spans._open]
        return rng.choice(recent) if recent else (0, 0)

    site = rng.choice([*twin.sites[-6:], (77, 77)]) if rng.random() < 0.7 else (0, 0)
    match rng.choices(
        ["start", "end", "enter", "exit", "log", "attributes", "event", "link", "status", "rename", "exception",
         "callsite", "enabled", "context", "remote", "begin", "return", "fail"],
        [20, 14, 8, 5, 15, 10, 8, 6, 4, 4, 6, 5, 1, 4, 3, 3, 3, 1],
    )[0]:  # fmt: skip
        case "start":
            name, list_, parent, kind = text(), attrs(), handle(), rng.choice([0, 1, 2, 3, 4, 5, 6])
            n_at, n_size, l_at, l_size = twin.place(name, list_)
            got = live.span_start(site[0], n_at, n_size, parent[0], kind, l_at, l_size)
            twin.started(got, own.start(name, list_, site=site[1], context=parent[1], kind=kind))
        case "end":
            target = handle()
            if target[1] in twin.remotes:
                # The collector remembers the last ones that were given out, the live path the last of those that were
                # not forgotten since.
                return
            live.span_end(target[0])
            own.end(target[1])
        case "enter":
            target = handle()
            live.span_enter(target[0])
            own.enter(target[1])
        case "exit":
            target = handle()
            live.span_exit(target[0])
            own.exit(target[1])
        case "log":
            body, list_, parent, severity = text(), attrs(), handle(), rng.choice([0, 0, 1, 9, 17, 24, 25, 2**32 - 1])
            live.log(site[0], severity, parent[0], *twin.place(body, list_))
            own.log(site[1], severity, parent[1], body, list_)
        case "attributes":
            target, list_ = handle(), attrs()
            is_slow = own.attributes(target[1], list_) == 2
            twin.to_live(is_slow, live.span_attributes, target[0], *twin.place(list_))
        case "event":
            target, name, list_ = handle(), text(), attrs()
            is_slow = own.event(target[1], name, list_) == 2
            twin.to_live(is_slow, live.span_event, target[0], *twin.place(name, list_))
        case "link":
            target, linked, list_ = handle(), handle(), attrs()
            is_slow = own.link(target[1], linked[1], list_) == 2
            twin.to_live(is_slow, live.span_link, target[0], linked[0], *twin.place(list_))
        case "status":
            target, code, name = handle(), rng.choice([0, 1, 2, 2, 3]), text()
            is_slow = own.status(target[1], code, name) == 2
            twin.to_live(is_slow, live.span_status, target[0], code, *twin.place(name))
        case "rename":
            target, name = handle(), text()
            is_slow = own.rename(target[1], name) == 2
            twin.to_live(is_slow, live.span_rename, target[0], *twin.place(name))
        case "exception":
            target, kind_, message, stack, list_ = handle(), text(), text(), text(), attrs()
            is_slow = own.exception(target[1], kind_, message, stack, list_) == 2
            twin.to_live(is_slow, live.exception, target[0], *twin.place(kind_, message, stack, list_))
        case "callsite":
            raw = random_callsite(rng)
            if len(raw) <= twin.limits.descriptor_bytes or twin.limits is not DEFAULT:
                found = (live.callsite(*twin.place(raw)), own.callsite(raw))
                assert (found[0] == 0) == (found[1] == 0), (raw, found, own.rejected(), twin.live_rejected())
                twin.sites.append(found)
        case "enabled":
            assert live.enabled(site[0]) == own.enabled(site[1])
        case "context":
            target = handle()
            got = live.span_context(target[0], 8)
            raw = bytes(twin.memory.data[8:40])
            context = own.context(target[1])
            assert got == (context is not None)
            if context is not None:
                assert twin.label(raw[:16]) == twin.label(context[0])
                assert twin.label(raw[16:24]) == twin.label(context[1])
                assert tuple(raw[24:26]) == context[2:]
        case "remote":
            twin.remote(rng.choice([1, 1, 3]), rng.choice(["", "a=1", "a=1,b=2"]))
        case "begin":
            if len(twin.frames) < 4:
                twin.begin()
        case "return" | "fail" as how:
            if len(twin.frames) > 1:
                twin.end(fails=how == "fail")
    assert own.rejected() == twin.live_rejected()


@pytest.mark.parametrize("limits", [SMALL, TIGHT, DEFAULT], ids=["small", "tight", "default"])
@pytest.mark.parametrize("seed", range(10))
def test_random_calls(limits: Limits, seed: int) -> None:
    """Whatever is called with whatever, the records and the counts are those of the live path."""
    rng = random.Random(seed)
    twin = Twin(limits=limits, tenant="acme" if seed % 2 else None, min_severity=5 if seed % 3 == 0 else 0)
    twin.begin()
    for _ in range(1_500):
        step(twin, rng)
    while twin.frames:
        twin.end()
    # What is still open.
    twin.live.spans.fail(None, "gone")
    twin.own.fail(0, "gone")
    twin.compare()
