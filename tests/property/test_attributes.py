"""Packed attributes of any bytes: the decoder never raises, and agrees with a slow one written from the ABI's page."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import packing
from wasmscope.host_shim import Limits
from wasmscope.host_shim._packed import Packed
from wasmscope.host_shim._rejections import Rejections, RejectionTotals

FIELDS = ("first", "second", "🔑")
SMALL = {"attributes": 5, "value_bytes": 7, "key_bytes": 6, "elements": 6, "depth": 3}
# The slow decoder's names of these.
SLOW = {"count": 5, "value_bytes": 7, "key_bytes": 6, "elements": 6, "depth": 3}

keys = st.text(max_size=9) | st.sampled_from(["a", "b", "wasm.x", "wasmscope.y", "wasmtime", "", "ü", "x" * 7])
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=12)
    | st.binary(max_size=12)
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=0, max_size=8), inner, max_size=3),
    max_leaves=8,
)
lists = st.lists(st.tuples(keys | st.builds(packing.Field, st.integers(0, 5)), values), max_size=8)


class Decoder:
    """A decoder and what it counts, list by list."""

    def __init__(self, **limits: int) -> None:
        self._totals = RejectionTotals()
        self._packed = Packed(Limits(**limits), Rejections("guest", None, self._totals))
        self._before: Counter[str] = Counter()

    def decode(self, data: bytes) -> tuple[str, Counter[str]]:
        """The attributes, as text so that True is not 1 and NaN is NaN, and the reasons of this list."""
        attributes = self._packed.decode(data, FIELDS)
        counts = Counter({reason: count for (_, _, reason), count in self._totals.snapshot().items()})
        new = counts - self._before
        self._before = counts
        return in_order(dict(attributes)), new


def in_order(value: Any) -> str:
    """A text for a value: the order of keys does not matter."""
    if isinstance(value, dict):
        items: dict[str, Any] = value
        return "{" + ", ".join(f"{key!r}: {in_order(items[key])}" for key in sorted(items)) + "}"
    if isinstance(value, tuple):
        members: tuple[Any, ...] = value
        return "(" + ", ".join(map(in_order, members)) + ")"
    return repr(value)


LIKELY = [*(bytes([byte]) for byte in range(10)), b"\x01\x00a", b"\x00\x80", b"\xff", b"\x02\x00\x00\x00"]
# One that has seen everything before: what it remembers must change nothing.
WARM = Decoder()
WARM_SMALL = Decoder(**SMALL)


def compare(data: bytes) -> None:
    """Check a list with default and with small limits, with a fresh decoder and a used one, and twice."""
    for slow, warm, fresh in (
        (packing.decode(data, FIELDS), WARM, Decoder()),
        (packing.decode(data, FIELDS, **SLOW), WARM_SMALL, Decoder(**SMALL)),
    ):
        expected = in_order(slow.attributes), Counter(slow.reasons)
        for decoder in (fresh, fresh, warm):
            assert decoder.decode(data) == expected


@settings(derandomize=True, deadline=None, max_examples=250)
@given(st.binary(max_size=120))
def test_any_bytes(data: bytes) -> None:
    """Any bytes are decoded as the page says."""
    compare(data)


@settings(derandomize=True, deadline=None, max_examples=250)
@given(
    st.lists(
        st.sampled_from([bytes([b]) for b in range(10)] + [b"\x01\x00a", b"\x00\x80", b"\xff", b"\x02\x00\x00\x00"]),
        max_size=60,
    )
)
def test_likely_bytes(parts: list[bytes]) -> None:
    """So are bytes that look like lists more often than random ones do."""
    compare(b"".join(parts))


@settings(derandomize=True, deadline=None, max_examples=200)
@given(lists)
def test_lists(items: list[tuple[str | packing.Field, Any]]) -> None:
    """So are well-formed lists of all types."""
    compare(packing.attributes(items))


@settings(derandomize=True, deadline=None, max_examples=250)
@given(
    lists, st.integers(0, 400), st.integers(0, 255), st.sampled_from(["change", "cut", "insert", "remove", "repeat"])
)
def test_damaged_lists(items: list[tuple[str | packing.Field, Any]], at: int, byte: int, damage: str) -> None:
    """So are lists with one thing wrong."""
    data = packing.attributes(items)
    at = at % (len(data) + 1)
    head, tail = data[:at], data[at:]
    compare(
        {
            "change": head + bytes([byte]) + tail[1:],
            "cut": head,
            "insert": head + bytes([byte]) + tail,
            "remove": head + tail[1:],
            "repeat": head + head + tail,
        }[damage]
    )


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.dictionaries(st.text(min_size=1, max_size=20).filter(lambda k: not k.startswith("wasm")), values, max_size=6))
def test_round_trip(items: dict[str, Any]) -> None:
    """What an encoder wrote comes back as it was, if it is within the limits."""

    def frozen(value: Any) -> Any:
        if isinstance(value, dict):
            entries: dict[str, Any] = value
            return {key: frozen(item) for key, item in entries.items() if key}
        if isinstance(value, list):
            members: list[Any] = value
            return tuple(map(frozen, members))
        return value

    found, _ = Decoder(depth=100, key_bytes=1_000).decode(packing.attributes(items))
    assert found == in_order({key: frozen(value) for key, value in items.items()})
