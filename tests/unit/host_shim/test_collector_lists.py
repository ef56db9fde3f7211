"""Attribute lists in the collector: the vectors, a second decoder, every cut, and Python's idea of broken UTF-8."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.support import packing
from tests.support.collecting import Collector, attributes_of
from tests.support.collector_twin import comparable, random_attributes
from tests.support.packing import Field
from wasmscope.host_shim import Limits

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "attributes.json").read_text(encoding="utf-8")
)
FIELDS = ("first", "second")


class Lists:
    """Has lists encoded as those of log records."""

    def __init__(self, **limits: int) -> None:
        self.own = Collector(limits=Limits(**limits))
        self.site = self.own.callsite(packing.callsite(1, fields=FIELDS))
        self._before: dict[str, int] = {}

    def decode(self, data: bytes, *, fields: bool = False) -> tuple[dict[str, Any], dict[str, int]]:
        """Give the attributes, and what was counted."""
        self.own.log(self.site if fields else 0, attrs=data)
        (record,) = self.own.take().logs
        counts = self.own.rejected()
        new = {reason: count - self._before.get(reason, 0) for reason, count in counts.items()}
        self._before = counts
        return attributes_of(record.attributes), {reason: count for reason, count in new.items() if count}


def counted(reasons: list[str]) -> dict[str, int]:
    return {reason: reasons.count(reason) for reason in reasons}


def plain(value: dict[str, Any]) -> Any:
    """The Python value that a vector's value means."""
    ((kind, item),) = value.items()
    match kind:
        case "i64":
            return int(item)
        case "f64":
            return struct.unpack(">d", bytes.fromhex(item))[0]
        case "bytes":
            return bytes.fromhex(item)
        case "array":
            return tuple(map(plain, item))
        case "map":
            return {key: plain(of_key) for key, of_key in item}
        case "empty":
            return None
        case _:
            return item


class TestVectors:
    @pytest.mark.parametrize("vector", VECTORS["lists"], ids=lambda vector: vector["name"])
    def test_well_formed(self, vector: dict[str, Any]) -> None:
        """Each list means what the vectors say, and nothing is counted."""
        found, counts = Lists().decode(bytes.fromhex(vector["hex"]), fields=True)
        expected = {
            FIELDS[key["field"]] if isinstance(key, dict) else key: plain(value) for key, value in vector["attributes"]
        }
        assert comparable(found) == comparable(expected)
        assert counts == {}

    @pytest.mark.parametrize("vector", VECTORS["malformed"], ids=lambda vector: vector["name"])
    def test_malformed(self, vector: dict[str, Any]) -> None:
        """What comes before the malformed attribute is kept, and it is counted."""
        found, counts = Lists().decode(bytes.fromhex(vector["hex"]))
        assert found == {key: plain(value) for key, value in vector["attributes"]}
        assert counts == {vector["reason"]: 1}


class TestCuts:
    def test_at_every_byte(self) -> None:
        """However short a list is cut off, it means and counts what a second decoder says."""
        lists = Lists()
        whole = packing.attributes(
            [("a", 1), ("text", "text"), (Field(1), 2.5), ("list", [1, [True, None], {"k": b"\x01"}]), ("z", "z" * 200)]
        )
        for size in range(len(whole)):
            expected = packing.decode(whole[:size], FIELDS)
            assert lists.decode(whole[:size], fields=True) == (expected.attributes, counted(expected.reasons)), size

    @pytest.mark.parametrize("seed", range(4))
    def test_random_lists(self, seed: int) -> None:
        """Random lists, well-formed or not, under small limits mean what a second decoder says."""
        rng = random.Random(seed)
        limits = {"attributes": 9, "value_bytes": 16, "key_bytes": 12, "elements": 6, "depth": 2}
        lists = Lists(**limits)
        for _ in range(400):
            data = random_attributes(rng, fields=2)
            expected = packing.decode(
                data, FIELDS, count=9, value_bytes=16, key_bytes=12, elements=6, depth=2
            )  # fmt: skip
            # A note on what was cut may be one attribute too many for a record.
            if len(expected.attributes) > 9:
                continue
            found, counts = lists.decode(data, fields=True)
            assert comparable(found) == comparable(expected.attributes)
            assert counts == counted(expected.reasons)


class TestUtf8:
    @pytest.mark.parametrize("seed", range(3))
    def test_broken_as_python(self, seed: int) -> None:
        """Ill-formed text becomes what Python's decoder makes of it: in keys, values, names and bodies of all sizes."""
        rng = random.Random(seed)
        alphabet = b"a\x00\x7f\x80\xbf\xc0\xc2\xdf\xe0\xa0\x9f\xed\xef\xf0\x90\x8f\xf4\xf5\xff\xe2\x82\xac"
        own = Collector()
        for _ in range(500):
            size = rng.choice([rng.randrange(8), rng.randrange(20), rng.randrange(200)])
            raw = bytes(rng.choice(alphabet) for _ in range(size)) if rng.random() < 0.8 else rng.randbytes(size)
            text = raw.decode("utf-8", "replace")
            item = struct.pack("<H", len(raw)) + raw + b"\x01" + struct.pack("<I", len(raw)) + raw
            own.log(body=raw, attrs=item if raw else b"")
            (record,) = own.take().logs
            assert record.body.string_value == text
            assert attributes_of(record.attributes) == ({text: text} if raw else {})
            own.end(own.start(raw))
            (span,) = own.take().spans
            assert span.name == (text or "span")

    def test_each_text_is_counted_once(self) -> None:
        """A key and a value that are ill-formed are two."""
        own = Collector()
        own.log(body=b"\xff\xff", attrs=b"\x01\x00\xff\x01\x02\x00\x00\x00\xfe\xfe")
        assert own.rejected() == {"utf8": 3}

    @pytest.mark.parametrize("size", range(60, 69))
    def test_cut_between_characters(self, size: int) -> None:
        """A text over its limit ends before the character that does not fit, and its length is noted."""
        own = Collector(limits=Limits(value_bytes=64, body_bytes=64))
        raw = ("x" * size + "\N{CRAB}" * 4).encode()
        own.log(body=raw, attrs=packing.attributes({"k": raw.decode()}))
        (record,) = own.take().logs
        kept = "x" * min(size, 64) + ("\N{CRAB}" if size == 60 else "")
        assert record.body.string_value == kept
        assert attributes_of(record.attributes) == {
            "k": kept,
            "wasmscope.truncated": (f"body={len(raw)}", f"k={len(raw)}"),
        }


class TestMany:
    def test_as_many_as_may_be(self) -> None:
        """128 attributes are kept, the next one and the rest is dropped and counted once."""
        lists = Lists()
        found, counts = lists.decode(packing.attributes([(f"k{index}", index) for index in range(131)]))
        assert found == {f"k{index}": index for index in range(128)}
        assert counts == {"attribute_count": 1}

    def test_same_keys(self) -> None:
        """Of a key that comes again and again, the last value counts, whatever the keys have in common."""
        keys = [f"{'x' * (index % 40)}{index % 50}" for index in range(128)]
        found, counts = Lists().decode(packing.attributes([(key, index) for index, key in enumerate(keys)]))
        assert found == {key: index for index, key in enumerate(keys)}
        assert counts == {}

    def test_same_keys_in_maps(self) -> None:
        """So it is in maps."""
        raw = packing.attributes({"a": 1}) + packing.attributes({"b": "x" * 200}) + packing.attributes({"a": [2]})
        found, counts = Lists().decode(b"\x01\x00m\x07\x03\x00\x00\x00" + raw)
        assert found == {"m": {"a": (2,), "b": "x" * 200}}
        assert counts == {}

    @pytest.mark.parametrize("size", [100, 127, 128, 129, 16_383, 16_384, 16_385, 70_000, 1_000_000])
    def test_long_values(self, size: int) -> None:
        """Values of every length are encoded as they are, also where lengths of lengths change."""
        lists = Lists(value_bytes=1 << 24)
        value = {"k": "v" * size, "n": [b"b" * size, {"x" * 100: "y" * 10}]} if size < 400_000 else {"k": "v" * size}
        found, counts = lists.decode(packing.attributes(value))
        assert found["k"] == "v" * size
        assert size > 400_000 or found["n"] == (b"b" * size, {"x" * 100: "y" * 10})
        assert counts == {}

    def test_too_long(self) -> None:
        """A list over its limit is dropped, and the record kept."""
        lists = Lists(attributes_bytes=50)
        assert lists.decode(packing.attributes({"k": "v" * 60})) == ({}, {"attributes_size": 1})

    def test_reserved(self) -> None:
        """Keys of the host are refused, those that only look like it are not."""
        found, counts = Lists().decode(
            packing.attributes(
                [
                    ("wasm.", 1),
                    ("wasm.tenant", 1),
                    ("wasmscope.", 1),
                    ("wasmscope.truncated", 1),
                    ("wasmscope", 1),
                    ("wasm", 1),
                    ("wasmscop.x", 1),
                    ("wasmx.y", 1),
                    ("w", 1),
                ]
            )
        )
        assert set(found) == {"wasmscope", "wasm", "wasmscop.x", "wasmx.y", "w"}
        assert counts == {"attribute_reserved": 4}

    def test_expansion(self) -> None:
        """Field references that stand for long names take the room that they take."""
        own = Collector()
        names = [f"{'f' * 250}{index:03}" for index in range(128)]
        site = own.callsite(packing.callsite(2, fields=names))
        raw = packing.attributes([(Field(index), True) for index in range(128)])
        handle = own.start("n", raw, site=site)
        own.log(site, attrs=raw)
        own.end(handle)
        taken = own.take()
        assert attributes_of(taken.spans[0].attributes) == dict.fromkeys(names, True)
        assert attributes_of(taken.logs[0].attributes) == dict.fromkeys(names, True)
        assert own.rejected() == {}

    def test_deep(self) -> None:
        """Nesting beyond what the collector's stack may take is refused even where the limit is enormous."""
        value: Any = 1
        for _ in range(200):
            value = [value]
        found, counts = Lists(depth=1_000_000).decode(packing.attributes([("a", 1), ("deep", value)]))
        assert found == {"a": 1}
        assert counts == {"attribute_depth": 1}
