"""The decoder of packed attributes, against the vectors and against the limits."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.support import packing
from tests.support.packing import Field
from wasmscope.host_shim import Limits
from wasmscope.host_shim._packed import Packed
from wasmscope.host_shim._rejections import Rejections, RejectionTotals

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "attributes.json").read_text(encoding="utf-8")
)
FIELDS = ("first", "second")


class Decoder:
    """A decoder and its counts."""

    def __init__(self, **limits: int) -> None:
        self._totals = RejectionTotals()
        self._packed = Packed(Limits(**limits), Rejections("guest", None, self._totals))

    def decode(self, data: bytes, fields: tuple[str, ...] = ()) -> dict[str, Any]:
        return dict(self._packed.decode(data, fields))

    @property
    def rejected(self) -> dict[str, int]:
        return {reason: count for (_, _, reason), count in self._totals.snapshot().items()}


def meant(value: dict[str, Any]) -> Any:
    """The Python value that a vector's value means."""
    ((kind, item),) = value.items()
    match kind:
        case "string" | "bool":
            return item
        case "i64":
            return int(item)
        case "f64":
            return struct.unpack(">d", bytes.fromhex(item))[0]
        case "bytes":
            return bytes.fromhex(item)
        case "array":
            return tuple(map(meant, item))
        case "map":
            return {key: meant(of_key) for key, of_key in item}
        case "empty":
            return None
    raise ValueError(kind)


def expected(vector: dict[str, Any]) -> dict[str, Any]:
    """The attributes that a vector means; field n is `FIELDS[n]`."""
    return {
        key if isinstance(key, str) else FIELDS[key["field"]]: meant(value) for key, value in vector["attributes"]
    }  # fmt: skip


def same(left: Any, right: Any) -> bool:
    """Whether values are equal and of the same types: True is not 1."""
    return repr(left) == repr(right)


def by_name(vector: dict[str, Any]) -> str:
    return str(vector["name"])


class TestVectors:
    @pytest.mark.parametrize("vector", VECTORS["lists"], ids=by_name)
    def test_list(self, vector: dict[str, Any]) -> None:
        """Each list of the vectors means what it says, the first time and every time after."""
        decoder = Decoder()
        data = bytes.fromhex(vector["hex"])

        for _ in range(3):
            assert same(decoder.decode(data, FIELDS), expected(vector))
        assert decoder.rejected == {}

    @pytest.mark.parametrize("vector", VECTORS["malformed"], ids=by_name)
    def test_malformed(self, vector: dict[str, Any]) -> None:
        """Of a malformed list, what comes before the defect is kept and the defect is counted, each time."""
        decoder = Decoder()
        data = bytes.fromhex(vector["hex"])

        for times in (1, 2, 3):
            assert same(decoder.decode(data, FIELDS), expected(vector))
            assert decoder.rejected == {vector["reason"]: times}

    @pytest.mark.parametrize("vector", VECTORS["lists"] + VECTORS["malformed"], ids=by_name)
    def test_second_decoder(self, vector: dict[str, Any]) -> None:
        """The slow decoder that property tests compare with reads the vectors alike."""
        decoded = packing.decode(bytes.fromhex(vector["hex"]), FIELDS)

        assert same(decoded.attributes, expected(vector))
        assert decoded.reasons == ([vector["reason"]] if "reason" in vector else [])

    @pytest.mark.parametrize("vector", VECTORS["lists"], ids=by_name)
    def test_second_encoder(self, vector: dict[str, Any]) -> None:
        """The encoder that tests use produces the vectors' bytes."""
        items = [
            (key if isinstance(key, str) else Field(key["field"]), meant(value)) for key, value in vector["attributes"]
        ]

        assert packing.attributes(items) == bytes.fromhex(vector["hex"])

    @pytest.mark.parametrize("vector", VECTORS["lists"], ids=by_name)
    def test_every_prefix(self, vector: dict[str, Any]) -> None:
        """A list cut anywhere gives the attributes that are whole, and one rejection unless the cut is between two."""
        data = bytes.fromhex(vector["hex"])
        warm = Decoder()
        warm.decode(data, FIELDS)

        for size in range(len(data)):
            slow = packing.decode(data[:size], FIELDS)
            for decoder in (Decoder(), warm):
                before = sum(decoder.rejected.values())
                assert same(decoder.decode(data[:size], FIELDS), slow.attributes)
                assert sum(decoder.rejected.values()) - before == len(slow.reasons)


class TestKeys:
    def test_later_value_holds(self) -> None:
        """Of a key that occurs twice the later value is kept."""
        data = packing.attributes([("a", 1), ("b", 2), ("a", "three")])
        decoder = Decoder()

        assert decoder.decode(data) == {"a": "three", "b": 2}
        assert decoder.decode(data) == {"a": "three", "b": 2}

    @pytest.mark.parametrize("key", ["wasm.module.name", "wasm.", "wasmscope.log", "wasmscope."])
    def test_reserved(self, key: str) -> None:
        """Keys that belong to the host are dropped and counted; what follows is kept."""
        decoder = Decoder()

        for times in (1, 2):
            assert decoder.decode(packing.attributes([(key, "forged"), ("a", 1)])) == {"a": 1}
            assert decoder.rejected == {"attribute_reserved": times}

    @pytest.mark.parametrize("key", ["wasm", "wasmtime.x", "Wasm.x", "wasmscope", "x.wasm.", "wasmscopes.y"])
    def test_not_reserved(self, key: str) -> None:
        """Only the two prefixes are the host's."""
        decoder = Decoder()

        assert decoder.decode(packing.attributes({key: 1})) == {key: 1}
        assert decoder.rejected == {}

    def test_reserved_inside_a_map(self) -> None:
        """A map's own keys are the guest's business."""
        assert Decoder().decode(packing.attributes({"m": {"wasm.x": 1}})) == {"m": {"wasm.x": 1}}

    def test_length_limit(self) -> None:
        """A key of as many bytes as allowed is kept, one byte more is dropped and the rest kept; bytes count, not
        characters."""
        decoder = Decoder(key_bytes=4)

        assert decoder.decode(packing.attributes([("abcd", 1), ("üü", 2)])) == {"abcd": 1, "üü": 2}
        assert decoder.decode(packing.attributes([("abcde", 1), ("ünn", 2), ("üüü", 3)])) == {"ünn": 2}
        assert decoder.rejected == {"attribute_key": 2}

    def test_ill_formed(self) -> None:
        """Ill-formed UTF-8 in a key is replaced and counted each time."""
        decoder = Decoder()
        data = b"\x02\x00a\xff\x02\x01"

        for times in (1, 2):
            assert decoder.decode(data) == {"a�": True}
            assert decoder.rejected == {"utf8": times}

    def test_replacement_character_is_well_formed(self) -> None:
        """A U+FFFD that the guest wrote itself is not counted."""
        decoder = Decoder()

        assert decoder.decode(packing.attributes({"a�": "�"})) == {"a�": "�"}
        assert decoder.rejected == {}

    def test_truncated_key_that_begins_like_a_known_one(self) -> None:
        """A known key does not help a list that ends inside a longer one."""
        decoder = Decoder()
        decoder.decode(packing.attributes({"a": True}))

        assert decoder.decode(b"\x05\x00a") == {}
        assert decoder.rejected == {"attribute": 1}

    def test_many_keys(self) -> None:
        """Thousands of different keys are all read; none is remembered wrongly."""
        decoder = Decoder()

        for number in range(3_000):
            assert decoder.decode(packing.attributes({f"k{number}": number})) == {f"k{number}": number}
        assert decoder.decode(packing.attributes({"k1": "again"})) == {"k1": "again"}


class TestFields:
    def test_reference(self) -> None:
        """A field reference takes the call site's name of that index."""
        data = packing.attributes([(Field(1), "x"), (Field(0), 2)])

        assert Decoder().decode(data, FIELDS) == {"second": "x", "first": 2}

    @pytest.mark.parametrize("index", [2, 3, 0x7FFF])
    def test_unknown(self, index: int) -> None:
        """A field that the call site does not have is dropped and counted; the rest is kept."""
        decoder = Decoder()

        assert decoder.decode(packing.attributes([(Field(index), "x"), (Field(0), 2)]), FIELDS) == {"first": 2}
        assert decoder.rejected == {"attribute_field": 1}

    def test_not_inside_a_map(self) -> None:
        """Inside a map a key of 0x8000 bytes or more is a length, not a reference."""
        data = packing.attributes({"a": 1}) + b"\x01\x00m\x07\x01\x00\x00\x00\x00\x80\x02\x01"
        decoder = Decoder()

        assert decoder.decode(data, FIELDS) == {"a": 1}
        assert decoder.rejected == {"attribute": 1}


class TestLimits:
    @pytest.mark.parametrize("fill", ["x", "ü", "日", "🦀"])
    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 10, 11, 12, 13])
    def test_string(self, fill: str, limit: int) -> None:
        """A string is kept up to the limit in bytes, and beyond it cut between characters and noted."""
        decoder = Decoder(value_bytes=limit)
        width = len(fill.encode())
        fits = fill * (limit // width)
        longer = fits + fill

        assert decoder.decode(packing.attributes({"s": fits})) == {"s": fits}
        assert decoder.decode(packing.attributes({"s": longer})) == {
            "s": fits,
            "wasmscope.truncated": (f"s={len(longer.encode())}",),
        }
        assert decoder.rejected == {}

    def test_bytes(self) -> None:
        """Bytes are cut at the limit and noted."""
        decoder = Decoder(value_bytes=3)

        assert decoder.decode(packing.attributes({"b": b"\xf0\x9f\xa6"})) == {"b": b"\xf0\x9f\xa6"}
        assert decoder.decode(packing.attributes({"b": b"\xf0\x9f\xa6\x80"})) == {
            "b": b"\xf0\x9f\xa6",
            "wasmscope.truncated": ("b=4",),
        }

    def test_cut_inside_collections(self) -> None:
        """What is cut inside an array or a map is noted under the attribute's key."""
        decoder = Decoder(value_bytes=2)

        decoded = decoder.decode(packing.attributes({"a": ["xxx", "y"], "m": {"k": "zzzz"}}))

        assert decoded == {"a": ("xx", "y"), "m": {"k": "zz"}, "wasmscope.truncated": ("a=3", "m=4")}

    def test_notes_are_of_kept_values(self) -> None:
        """Nothing is noted of a value that was replaced, dropped with its key, or lost in a malformed attribute."""
        decoder = Decoder(value_bytes=2)

        assert decoder.decode(packing.attributes([("a", "xxx"), ("a", "y")])) == {"a": "y"}
        assert decoder.decode(packing.attributes([("wasm.a", "xxx"), ("b", 1)])) == {"b": 1}
        assert decoder.decode(packing.attributes([("b", 1), ("a", ["xxx", "y"])])[:-1]) == {"b": 1}
        twice = decoder.decode(packing.attributes([("a", "xxx"), ("a", "yyyy")]))
        assert twice == {"a": "yy", "wasmscope.truncated": ("a=4",)}

    def test_count(self) -> None:
        """As many attributes as allowed are kept, the rest is dropped and counted once."""
        decoder = Decoder(attributes=3)
        items = [(f"k{number}", number) for number in range(5)]

        for _ in range(2):
            assert decoder.decode(packing.attributes(items[:3])) == dict(items[:3])
        assert decoder.rejected == {}
        for times in (1, 2):
            assert decoder.decode(packing.attributes(items)) == dict(items[:3])
            assert decoder.rejected == {"attribute_count": times}

    def test_depth(self) -> None:
        """Nesting of as much as allowed is kept; deeper, that attribute and the rest is dropped."""
        decoder = Decoder(depth=2)

        kept = {"a": [[1]], "m": {"k": [1]}}
        assert decoder.decode(packing.attributes(kept)) == {"a": ((1,),), "m": {"k": (1,)}}
        too_deep: list[Any] = [[[[1]]], {"k": {"l": {}}}, [{"k": []}]]
        for deep in too_deep:
            assert decoder.decode(packing.attributes([("b", 1), ("a", deep), ("c", 2)])) == {"b": 1}
        assert decoder.rejected == {"attribute_depth": 3}

    def test_no_depth(self) -> None:
        """A limit of 0 refuses every collection."""
        decoder = Decoder(depth=0)

        assert decoder.decode(packing.attributes([("b", 1), ("a", [])])) == {"b": 1}
        assert decoder.rejected == {"attribute_depth": 1}

    def test_elements(self) -> None:
        """Elements of all collections of a list count together."""
        decoder = Decoder(elements=6)

        assert decoder.decode(packing.attributes({"a": [1, 2, 3], "m": {"k": 1, "l": 2, "m": 3}})) == {
            "a": (1, 2, 3),
            "m": {"k": 1, "l": 2, "m": 3},
        }
        assert decoder.rejected == {}
        assert decoder.decode(packing.attributes([("a", [1, 2, 3]), ("b", [[1, 2], 3]), ("c", 1)])) == {"a": (1, 2, 3)}
        assert decoder.rejected == {"attribute_elements": 1}

    def test_defaults(self) -> None:
        """The defaults are those that the ABI's page prints."""
        decoder = Decoder()
        exact = {"k" * 256: 1, "s": "x" * 16_384, "a": [True] * 1_024}
        beyond = [("s", "x" * 16_385), ("a", [True] * 1_025)]

        assert decoder.decode(packing.attributes(exact)) == {**exact, "a": (True,) * 1_024}
        assert decoder.rejected == {}
        assert decoder.decode(packing.attributes(beyond)) == {
            "s": "x" * 16_384,
            "wasmscope.truncated": ("s=16385",),
        }
        assert decoder.rejected == {"attribute_elements": 1}


class TestHostile:
    @pytest.mark.parametrize("tag", range(8, 256, 31))
    def test_unknown_type(self, tag: int) -> None:
        """A type that does not exist ends the list."""
        decoder = Decoder()

        assert decoder.decode(packing.attributes({"a": 1}) + b"\x01\x00b" + bytes([tag]) + b"\x01") == {"a": 1}
        assert decoder.rejected == {"attribute": 1}

    @pytest.mark.parametrize("tag", [1, 5, 6, 7])
    @pytest.mark.parametrize("size", [1, 2, 0x7FFFFFFF, 0xFFFFFFFF])
    def test_announced_size(self, tag: int, size: int) -> None:
        """A size beyond the list's end ends it at once, however much is announced."""
        decoder = Decoder()

        assert decoder.decode(b"\x01\x00b" + bytes([tag]) + struct.pack("<I", size)) == {}
        assert decoder.rejected == {"attribute": 1}

    def test_bool_of_any_byte(self) -> None:
        """Every byte but 0 is true."""
        assert Decoder().decode(b"\x01\x00a\x02\x02\x01\x00b\x02\xff") == {"a": True, "b": True}

    def test_scalars_keep_their_types(self) -> None:
        """True, 1 and 1.0 stay apart, also from the second time on."""
        decoder = Decoder()
        for item in (True, 1, 1.0, "1", b"1"):
            for _ in range(2):
                (found,) = decoder.decode(packing.attributes({"a": item})).values()
                assert same(found, item)

    def test_nan(self) -> None:
        """NaN and infinities are values like others."""
        decoded = Decoder().decode(packing.attributes({"n": float("nan"), "i": float("-inf")}))

        assert same(decoded, {"n": float("nan"), "i": float("-inf")})
