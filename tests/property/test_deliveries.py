"""The same calls mean the same on each delivery: scripts are played on each, and compared in every field."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.abi import functions
from tests.support.call_scripts import MAX_PAGES, OUT, Call, Register
from tests.support.guests import PAGE
from tests.support.otlp_receiver import OtlpReceiver, otlp_receiver
from tests.support.played_scripts import Chapter, Outcome, Script, difference, play
from tests.support.random_calls import Image, RandomCalls
from wasmscope.host_shim import Limits

MILLION = 1_000_000
PARTS = 20
SCRIPT_CALLS = 5_000

SMALL = Limits(
    body_bytes=64, value_bytes=32, name_bytes=32, message_bytes=32, stack_bytes=32, key_bytes=16, attributes_bytes=256,
    attributes=6, elements=8, depth=3, events=4, links=4, open_spans=12, span_depth=8, callsites=6, instruments=8,
    attribute_sets=6, descriptor_bytes=128, kept_bytes=4_000, kept_contexts=5,
)  # fmt: skip
# Room for spans of the usual size, but not for ever.
MIDDLE = Limits(open_spans=40, kept_contexts=20, kept_bytes=60_000, attributes=16, callsites=30)
LIMITS = (SMALL, MIDDLE, Limits())
DELIVERIES = ("sdk", "otlp")
OPTIONS: dict[str, Any] = {"limits": Limits(), "memory64": False, "min_severity": 0, "is_sampled_by_name": False}
SIZES = pytest.mark.parametrize("memory64", [False, True], ids=["32", "64"])


@pytest.fixture(scope="module")
def receiver() -> Iterator[OtlpReceiver]:
    with otlp_receiver("http/protobuf") as running:
        yield running


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """Each guest's first rejection of a kind is logged: thousands of lines here."""
    logger = logging.getLogger("wasmscope.host_shim")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


def compare(script: Script, delivery: str, receiver: OtlpReceiver, **options: Any) -> tuple[Outcome, str]:
    """Play a script live and on another delivery; what came of it live, and what is different on the other."""
    # What is not sampled is not exported.
    options = OPTIONS | {"keeps_unsampled": delivery != "otlp"} | options
    expected = play(script, delivery="live", receiver=None, **options)
    found = play(script, delivery=delivery, receiver=receiver if delivery == "otlp" else None, **options)
    if not options["is_sampled_by_name"]:
        return expected, difference(expected, found)
    # What a span that is not recorded is given, the collector does not read.
    assert all(count <= expected.rejected.get(reason, 0) for reason, count in found.rejected.items()), found.rejected
    return expected, difference(expected, found, leave_out={"rejected"})


class TestRandomCalls:
    """Calls of any shape, many in one call from the host, nested, by two guests of a store, ended by traps."""

    @pytest.mark.parametrize("part", range(PARTS))
    def test_million(self, part: int, receiver: OtlpReceiver) -> None:
        """All spans, logs, metrics, results, counts of what is unusable, and what the host sees meanwhile."""
        random = Random(part)
        total = calls = 0
        while calls < MILLION // PARTS:
            memory64 = random.random() < 0.3
            is_sampled_by_name = random.random() < 0.3
            limits = Limits() if is_sampled_by_name else random.choice(LIMITS)
            # Of those that it was given last, the collector forgets as many, whether some were ended or not.
            forgets = limits == Limits()
            script = Script.draw(random, calls=SCRIPT_CALLS, memory64=memory64, forgets=forgets)
            options = {
                "memory64": memory64,
                "limits": limits,
                "min_severity": random.choice((0, 0, 9)),
                "is_sampled_by_name": is_sampled_by_name,
            }
            delivery = random.choice(DELIVERIES)
            expected, different = compare(script, delivery, receiver, **options)
            assert different == "", f"part {part} from call {calls}, {delivery}, {options}"
            assert "internal" not in "".join(expected.rejected)
            calls += SCRIPT_CALLS
            total += sum(map(len, expected.spans.values())) + sum(map(len, expected.logs.values()))
        # That there is something to compare.
        assert total > calls // 20

    @SIZES
    @pytest.mark.parametrize("delivery", DELIVERIES)
    def test_few(self, delivery: str, memory64: bool, receiver: OtlpReceiver) -> None:
        """Few calls: what differs is made small."""
        random = Random(f"{delivery} {memory64}")
        image = Image.draw(random)
        pool = RandomCalls(random, image, memory64=memory64, forgets=False).calls(3_000)
        several = st.lists(st.sampled_from(pool), max_size=30).map(tuple)
        chapters = st.builds(
            Chapter, st.integers(0, 1), st.sampled_from(["call", "with a span", "loose"]), several
        )  # fmt: skip
        scripts = st.builds(
            Script,
            st.just(image),
            st.lists(chapters, min_size=1, max_size=4).map(tuple),
            st.lists(several, min_size=1, max_size=2).map(tuple),
        )

        @settings(derandomize=True, deadline=None, max_examples=60)
        @given(scripts, st.sampled_from(LIMITS), st.booleans())
        def check(script: Script, limits: Limits, is_sampled_by_name: bool) -> None:
            options = {"limits": Limits()} if is_sampled_by_name else {"limits": limits}
            _, different = compare(
                script, delivery, receiver, memory64=memory64, is_sampled_by_name=is_sampled_by_name, **options
            )
            assert different == ""

        check()


def chapters_of(calls: list[Call], size: int = 5_000) -> tuple[Chapter, ...]:
    return tuple(Chapter(0, "call", tuple(calls[at : at + size])) for at in range(0, len(calls), size))


class TestCut:
    """Packed data that ends anywhere."""

    @pytest.mark.parametrize("delivery", DELIVERIES)
    def test_attributes(self, delivery: str, receiver: OtlpReceiver) -> None:
        """Attribute lists, cut after each of their bytes, mean the same and are counted alike."""
        image = Image.draw(Random("attributes"))
        calls: list[Call] = [Call("callsite", image.sites[0], 14)]
        for address, size in image.attributes:
            for end in range(min(size, 400) + 1):
                calls += [
                    Call("log", (Register(14), 9, 0, 0, 0, address, end)),
                    Call("attribute_set", (address, end), 26),
                    Call("span_start", (Register(14), 0, 0, 0, 0, address, end), 0),
                    Call("span_attributes", (Register(0), address, end)),
                    Call("span_event", (Register(0), 0, 0, address, end)),
                    Call("span_end", (Register(0),)),
                ]
        _, different = compare(Script(image, chapters_of(calls), ()), delivery, receiver)
        assert different == ""

    @pytest.mark.parametrize("delivery", DELIVERIES)
    def test_descriptors(self, delivery: str, receiver: OtlpReceiver) -> None:
        """Descriptors, cut after each of their bytes, register the same and are counted alike."""
        image = Image.draw(Random("descriptors"))
        calls: list[Call] = []
        for address, size in image.sites:
            for end in range(size + 1):
                calls += [
                    Call("callsite", (address, end), 14),
                    Call("enabled", (Register(14),)),
                    Call("log", (Register(14), 0, 0, 0, 0, 0, 0)),
                ]
        for address, size in image.instruments:
            for end in range(size + 1):
                calls += [
                    Call("instrument", (kind, number, address, end), 20) for kind in range(1, 5) for number in (0, 1)
                ]
        _, different = compare(Script(image, chapters_of(calls), ()), delivery, receiver)
        assert different == ""


class TestPlaces:
    """Addresses and lengths of any size."""

    @SIZES
    @pytest.mark.parametrize("delivery", DELIVERIES)
    def test_ranges(self, delivery: str, memory64: bool, receiver: OtlpReceiver) -> None:
        """Ranges at and across the end of memory, of 32 and of 64 bits, in each function and each place."""
        end = MAX_PAGES * PAGE
        edges = [0, 1, 8, 2 * PAGE, end - 9, end - 8, end - 1, end, end + 1, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1]
        if memory64:
            edges += [2**32, 2**32 + 8, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1]
        image = Image.draw(Random("ranges"))
        calls = [Call("span_start", (0, *image.texts[0], 0, 0, 0, 0), 0), Call("span_enter", (Register(0),))]
        for name, (params, _) in functions().items():
            writes = {"span_context", "inject", "baggage_get"} & {name}
            for at in range(len(params) - 1):
                if params[at : at + 2] != "pp":
                    continue
                for address in edges:
                    for size in (0, 1, 8, 9, 40, *edges[6:]):
                        args: list[Any] = [0] * len(params)
                        args[at : at + 2] = [address, size]
                        if writes:
                            # Where ids may be written to, nothing is read.
                            args[-2:] = (
                                [address if address > end else OUT, size] if at == len(params) - 2 else [OUT, 64]
                            )
                        calls.append(Call(name, tuple(args)))
        chapters = (Chapter(0, "call", (Call("grow", (MAX_PAGES // 2,)),)), *chapters_of(calls))
        _, different = compare(Script(image, chapters, ()), delivery, receiver, memory64=memory64)
        assert different == ""


def test_differences_are_seen(receiver: OtlpReceiver) -> None:
    """What is compared is not the same for scripts that differ in one call: there is a difference to be found."""
    random = Random("differences")
    script = Script.draw(random, calls=300, memory64=False)
    chapter = script.chapters[-1]
    longer = Chapter(chapter.guest, "call", (*chapter.calls, Call("log", (0, 9, 0, *script.image.texts[0], 0, 0))))
    other = Script(script.image, (*script.chapters[:-1], longer), script.inner)
    found = [play(one, delivery="live", receiver=None, keeps_unsampled=True, **OPTIONS) for one in (script, other)]

    assert difference(found[0], found[0]) == ""
    assert difference(*found) != ""
