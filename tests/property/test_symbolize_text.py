"""Any bytes through the filter of ``wasmscope symbolize``."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from wasmscope.cli._symbolize_format import AnswerFormat
from wasmscope.cli._symbolize_options import parse
from wasmscope.cli._symbolize_text import LineExtender, TextFilter
from wasmscope.dwarf import Frame, Origin
from wasmscope.dwarf.dialects import NEEDLES, Match, find, is_detail

TRACES = Path(__file__).parents[1] / "fixtures" / "traces"
FRAME = Frame('f<"\\">', None, 1, "/src/ä.c", 3, 4, is_inlined=False, origin=Origin.DWARF)
MARK = "/src/ä.c"


def answer(match: Match) -> Sequence[Frame]:
    """Know every place."""
    return (FRAME,)


def filtered(data: bytes, cuts: Sequence[int] = ()) -> bytes:
    """Send bytes through, cut at some places."""
    text = TextFilter(LineExtender(answer, AnswerFormat(parse([])).beneath))
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {len(data)})
    return b"".join(text.feed(data[a:b]) for a, b in zip([0, *ends], ends, strict=False)) + text.finish()


def is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


PARTS = st.sampled_from(
    [
        *(line for path in sorted(TRACES.glob("*.*")) for line in path.read_bytes().splitlines(keepends=True)),
        b"\\n",
        b"\\\\n",
        b'"',
        b'\\"',
        b"{",
        b"[",
        b"}",
        b"]",
        b"\n",
        b"\r\n",
        b'"instruction_addr":"0x12"',
        b'"addr_mode":"rel:0"',
        b",",
        b":",
        b"\xff\xfe",
        b"\x1b[31m",
        b"0x12 - a!b",
    ]
)
TEXTS = st.one_of(
    st.binary(max_size=300),
    st.lists(PARTS, max_size=12).map(b"".join),
    st.text(alphabet='\\n"{}[]:,0x12 -!a\r', max_size=200).map(str.encode),
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.text(max_size=20),
        st.lists(PARTS, max_size=4).map(lambda parts: b"".join(parts).decode("utf-8", "replace")),
        st.fixed_dictionaries(
            {"instruction_addr": st.sampled_from(["0x12", 18, "x", None])},
            optional={
                "function": st.text(max_size=5),
                "lineno": st.integers(),
                "addr_mode": st.sampled_from(["rel:0", "abs"]),
            },
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["a", "log", "frames", "images", "0x12"]), inner, max_size=4),
        inner.map(json.dumps),
    ),
    max_leaves=8,
)


class TestAnyBytes:
    @given(st.binary(max_size=2000).filter(lambda data: not any(n.encode() in data for n in NEEDLES)), st.data())
    def test_unchanged(self, data: bytes, cuts: st.DataObject) -> None:
        """Text without addresses passes through unchanged, whatever bytes it has, and however it is cut."""
        assert filtered(data, cuts.draw(st.lists(st.integers(0, 3000), max_size=4))) == data

    @given(TEXTS, st.lists(st.integers(0, 2000), max_size=5))
    def test_cuts_do_not_matter(self, data: bytes, cuts: list[int]) -> None:
        """However text arrives, the same comes out."""
        assert filtered(data, cuts) == filtered(data)

    @given(TEXTS)
    def test_only_added(self, data: bytes) -> None:
        """What came in comes out again, in the same order, but for wasmtime's places and Sentry's frames."""
        lines = re.split(r"\\*n|\n", data.decode("utf-8", "replace"))
        assume(b"instruction_addr" not in data and not any(is_detail(line) for line in lines))
        rest = iter(filtered(data))

        assert all(byte in rest for byte in data)

    @given(TEXTS)
    def test_matches(self, data: bytes) -> None:
        """Matches are in the line, from left to right, and do not overlap."""
        text = data.decode("utf-8", "replace")
        at = 0
        for match in find(text):
            assert at <= match.start < match.end <= len(text)
            at = match.end


class TestJson:
    @given(VALUES, st.sampled_from([None, 2]))
    def test_stays_json(self, value: Any, indent: int | None) -> None:
        """What was a JSON document is one afterwards."""
        data = json.dumps({"a": value}, indent=indent).encode() + b"\n"

        assert is_json(filtered(data))

    @given(
        st.lists(st.sampled_from(["x", "1: 0x12 - a!b", "at wasm://wasm/12345678:wasm-function[1]:0x12"]), max_size=5)
    )
    def test_strings(self, lines: list[str]) -> None:
        """A string comes out as the filter gives it as a text, at any depth of JSON in JSON."""
        stack = "first\n" + "\n".join([*lines, "end"])
        expected = filtered(stack.encode()).decode()
        document: Any = stack
        for depth in range(3):
            document = {"log": document if depth == 0 else json.dumps(document) + "\n"}
            out: Any = json.loads(filtered(json.dumps(document).encode() + b"\n"))
            for _ in range(depth):
                out = json.loads(out["log"])

            assert out["log"] == expected


class TestMutations:
    def test_traces(self) -> None:
        """Traces with bytes changed, lost, doubled and cut off come through without an error; text is never lost."""
        chance = random.Random(22)
        traces = [path.read_bytes() for path in sorted(TRACES.glob("*.*"))]
        for _ in range(2000):
            data = bytearray(chance.choice(traces))
            for _ in range(chance.randint(1, 6)):
                at = chance.randrange(len(data))
                match chance.randrange(4):
                    case 0:
                        data[at] = chance.choice(b'\\"{}[]\n\r:,0x@!-()\xff\0')
                    case 1:
                        del data[at : at + chance.randint(1, 30)]
                    case 2:
                        data[at:at] = data[at : at + chance.randint(1, 60)]
                    case _:
                        data[at:at] = chance.choice(traces)[: chance.randint(1, 200)]
                data = data or bytearray(b"x")
            out = filtered(bytes(data))

            assert len(out) >= len(data) // 2
