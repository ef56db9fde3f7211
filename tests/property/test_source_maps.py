"""Source maps that nobody would write: each gives an answer or one clear error, in time and memory of its size."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.dwarf.maps import Segment, mappings, random_segments, source_map, vlq
from wasmscope.dwarf import read_source_map
from wasmscope.dwarf._source_map_file import read_data_url
from wasmscope.errors import DebugInfoError

_SMALL = st.integers(0, 2**32 - 1)
_MAPPED = st.tuples(_SMALL, st.integers(0, 1), _SMALL, _SMALL)
_SEGMENTS = st.lists(
    st.one_of(st.tuples(_SMALL), _MAPPED, st.builds(lambda s, n: (*s, n), _MAPPED, st.integers(0, 1))), max_size=60
)
_VLQ_TEXT = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/,;", max_size=200)
_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=10,
)


def decode(data: bytes) -> bool:
    """Whether it is a source map; a refusal is one printable line."""
    try:
        source = read_source_map(data)
    except DebugInfoError as error:
        assert str(error).isprintable() and len(str(error)) < 300
        return False
    for offset in (0, 1, 1000, 2**32):
        position = source.find(offset, 0, 2**32)
        assert position is None or (position.line >= 1 and position.column >= 1)
    return True


class TestDecoder:
    @given(_SEGMENTS)
    @settings(max_examples=200, deadline=None)
    def test_against_the_definition(self, segments: list[Segment]) -> None:
        """What is found is what a search through all segments finds, in any order, with any numbers of 32 bits."""
        # Differences of more than 31 bits have no encoding.
        last = [0] * 5
        for segment in segments:
            for field, value in enumerate(segment):
                if abs(value - last[field]) >= 2**31:
                    return
                last[field] = value
        source = read_source_map(source_map(segments))
        mapped = [s for s in segments if len(s) > 1]

        assert len(source) == len(mapped)
        for offset in {0, 2**32 - 1, *(s[0] for s in mapped), *(s[0] + 1 for s in mapped)}:
            before = [s for s in mapped if s[0] <= offset]
            first = min((s[0] for s in mapped), default=None)
            nearest = [s for s in mapped if s[0] == (max(b[0] for b in before) if before else first)]
            wanted = (nearest[-1] if before else nearest[0]) if nearest else None
            found = source.find(offset, 0, 2**32 + 1)
            if wanted is None:
                assert found is None
            else:
                assert found is not None
                assert (found.source, found.line, found.column) == (
                    ("a.ts", "b.ts")[wanted[1]],
                    wanted[2] + 1,
                    wanted[3] + 1,
                )
                assert found.name == (("first", "second")[wanted[4]] if len(wanted) == 5 else None)

    @given(_VLQ_TEXT)
    @settings(max_examples=300, deadline=None)
    def test_any_mappings(self, text: str) -> None:
        """Any text of the right characters is decoded or refused."""
        decode(source_map(text))

    @given(st.dictionaries(st.sampled_from(
        ["version", "mappings", "sources", "names", "sourceRoot", "sourcesContent", "sections", "debugId", "file"]
    ), _JSON))  # fmt: skip
    @settings(max_examples=100, deadline=None)
    def test_any_document(self, fields: dict[str, object]) -> None:
        """Any JSON is decoded or refused, whatever its fields hold."""
        decode(json.dumps({"version": 3, "mappings": "AAAA", "sources": ["a"], **fields}).encode())

    @given(st.binary(max_size=300))
    @settings(max_examples=200, deadline=None)
    def test_any_bytes(self, data: bytes) -> None:
        """Any bytes are decoded or refused."""
        decode(data)

    def test_cut_anywhere(self) -> None:
        """A map that ends too early is no JSON; its mappings alone, cut anywhere, are decoded or refused."""
        segments = random_segments(40, seed=7)
        whole = source_map(segments)
        for size in range(len(whole)):
            assert not decode(whole[:size])
        text = mappings(segments)
        assert {decode(source_map(text[:size])) for size in range(len(text))} == {True, False}

    @given(st.binary(max_size=60), st.booleans())
    @settings(max_examples=200, deadline=None)
    def test_data_urls(self, data: bytes, is_base64: bool) -> None:
        """What is put into a data URL comes out; any other text is decoded or refused."""
        from base64 import b64encode
        from urllib.parse import quote

        assert read_data_url("data:;base64," + b64encode(data).decode()) == data
        assert read_data_url("data:;base64," + b64encode(data).decode().rstrip("=")) == data
        assert read_data_url("data:application/json," + quote(data)) == data
        try:
            read_data_url(f"data:{';base64' if is_base64 else ''},{data.decode('latin-1')}")
        except DebugInfoError as error:
            assert str(error).isprintable()


class TestSize:
    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("A" * 10_000_000, id="one segment"),
            pytest.param("g" * 10_000_000, id="one number"),
            pytest.param("," * 10_000_000, id="nothing"),
            pytest.param(";" * 10_000_000, id="lines"),
            pytest.param("A," * 5_000_000, id="unmapped"),
            pytest.param("AAAA," * 2_000_000, id="at one place"),
            pytest.param("//////P," * 1_250_000, id="large numbers"),
        ],
    )
    def test_ten_million_characters(self, text: str) -> None:
        """Lines of 10 MB come to an end, and take memory in proportion to what they hold."""

        def wrapped(line: str) -> bytes:
            return b'{"version":3,"sources":["a"],"names":[],"mappings":"%s"}' % line.encode()

        start = time.process_time()
        decode(wrapped(text))
        assert time.process_time() - start < 120

        part = wrapped(text[:500_000])
        tracemalloc.start()
        try:
            decode(part)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 20 * len(part)

    def test_unmapped_code_is_skipped_at_once(self) -> None:
        """Looking up a place behind a million segments without a source does not go through them."""
        text = "AAAA," + ",".join([vlq(1)] * 1_000_000)
        source = read_source_map(source_map(text))
        start = time.process_time()
        for _ in range(1000):
            assert source.find(1_000_000, 0, 2**32) is not None

        assert time.process_time() - start < 30
