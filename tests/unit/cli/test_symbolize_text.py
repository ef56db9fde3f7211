"""The filter of ``wasmscope symbolize``: what it adds to text, and what it leaves alone."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import pytest

from wasmscope.cli._symbolize_format import AnswerFormat
from wasmscope.cli._symbolize_options import parse
from wasmscope.cli._symbolize_text import LineExtender, TextFilter
from wasmscope.dwarf import Frame, Origin
from wasmscope.dwarf.dialects import Match

TRACES = Path(__file__).parents[2] / "fixtures" / "traces"
# What the compiler says of the places in `tests/fixtures/traces`, as llvm-symbolizer prints it.
PATH_AREA = Frame("path_area", None, 9, "/src/c/shapes.c", 8, 13, is_inlined=True, origin=Origin.DWARF)
AREA = Frame("area", None, 9, "/src/c/shapes.c", 21, 16, is_inlined=False, origin=Origin.DWARF)
TOTAL = Frame("total_area", None, 10, "/src/c/shapes.c", 29, 18, is_inlined=False, origin=Origin.DWARF)
KNOWN = {0x335: (PATH_AREA, AREA), 0x3BB: (PATH_AREA, AREA), 0x3E8: (TOTAL,)}


def answer(match: Match) -> Sequence[Frame]:
    """Know two of the three places."""
    return KNOWN.get(match.address.offset, ()) if match.address else ()


def new_filter() -> TextFilter:
    return TextFilter(LineExtender(answer, AnswerFormat(parse([])).beneath))


def filtered(data: bytes, size: int | None = None) -> bytes:
    """Send data through a filter, in pieces of a size."""
    text = new_filter()
    out = b"".join(text.feed(data[i : i + (size or len(data))]) for i in range(0, len(data), size or len(data) or 1))
    return out + text.finish()


def always(frames: Sequence[Frame], _match: Match) -> Sequence[Frame]:
    return frames


class TestLines:
    def test_beneath(self) -> None:
        """What is known goes beneath a frame, the innermost function first; the frame's own line stays."""
        assert filtered((TRACES / "wasmtime.txt").read_bytes()).decode().splitlines()[:7] == [
            "error while executing at wasm backtrace:",
            "    0:    0x335 - O1-dwarf4.wasm!area",
            "        path_area at /src/c/shapes.c:8:13",
            "        (inlined by) area at /src/c/shapes.c:21:16",
            "    1:    0x3e8 - O1-dwarf4.wasm!total_area",
            "        total_area at /src/c/shapes.c:29:18",
            "    2:    0x1d9 - O1-dwarf4.wasm!trap_inlined",
        ]

    def test_places_of_wasmtime(self) -> None:
        """Places that wasmtime printed itself give way to ours; where we know none they stay."""
        assert filtered((TRACES / "wasmtime-details.txt").read_bytes()).decode().splitlines()[:8] == [
            "error while executing at wasm backtrace:",
            "    0:    0x335 - path_area",
            "        path_area at /src/c/shapes.c:8:13",
            "        (inlined by) area at /src/c/shapes.c:21:16",
            "    1:    0x3e8 - total_area",
            "        total_area at /src/c/shapes.c:29:18",
            "    2:    0x1d9 - trap_inlined",
            "                    at /src/c/main.c:30:12",
        ]

    @pytest.mark.parametrize("end", [b"\n", b"\r\n"])
    def test_line_ends(self, end: bytes) -> None:
        """Lines that are added end as the frame's does; a last line without end stays without."""
        frame = b"  1:    0x3e8 - a!total_area"
        added = b"      total_area at /src/c/shapes.c:29:18"

        assert filtered(frame + end + b"x") == frame + end + added + end + b"x"
        assert filtered(frame) == frame + b"\n" + added

    def test_frames_without_news(self) -> None:
        """A name that is on the line already is not repeated beneath it."""
        named = Frame("total_area", None, 10, None, None, None, is_inlined=False, origin=Origin.NAMES)
        text = TextFilter(LineExtender(lambda _: (named,), AnswerFormat(parse([])).beneath))

        assert text.feed(b"total_area@<?>:wasm-function[10]\n") == b"total_area@<?>:wasm-function[10]\n"
        assert text.feed(b"10@<?>:wasm-function[10]\n").endswith(b"]\n    total_area\n")

    @pytest.mark.parametrize("name", ["a\x1b]0;x\x07b", "a\nb", "a\r\nb", "a\u202eb"])
    def test_hostile_names(self, name: str) -> None:
        """What a terminal would act on in a name does not come out."""
        hostile = Frame(name, None, 1, f"/{name}", 1, 1, is_inlined=False, origin=Origin.DWARF)
        text = TextFilter(LineExtender(lambda _: (hostile,), AnswerFormat(parse([])).beneath))
        added = text.feed(b"  0:  0x12 - m!f\n").decode().splitlines()[1:]

        assert len(added) == 1
        assert added[0].isprintable()


class TestStream:
    def test_lines_come_as_they_come(self) -> None:
        """A line comes out when its end has come in, and not earlier."""
        text = new_filter()

        assert text.feed(b"hello\n  1:    0x3e8 - a!to") == b"hello\n"
        assert text.feed(b"tal_area\n").endswith(b"total_area at /src/c/shapes.c:29:18\n")
        assert text.feed(b"bye") == b""
        assert text.finish() == b"bye"

    @pytest.mark.parametrize("size", [1, 2, 7, 64])
    @pytest.mark.parametrize("path", sorted(TRACES.glob("*.*")), ids=lambda path: path.name)
    def test_pieces_do_not_matter(self, path: Path, size: int) -> None:
        """However text arrives, the same comes out."""
        data = path.read_bytes()

        assert filtered(data, size) == filtered(data)

    def test_long_line(self) -> None:
        """A line of 10 MB passes, in a second or so, and a frame in it is found."""
        line = b"x" * 5_000_000 + b" 1:    0x3e8 - a!total_area " + b'"{[0x' * 1_000_000 + b"\n"
        started = process_time()
        out = filtered(line, 65536)

        assert out.startswith(line)
        assert process_time() - started < 120

    def test_endless_line(self) -> None:
        """A line without end is passed on after 64 MiB: memory is bounded."""
        text = new_filter()
        block = b"0x" * (1 << 20)
        out = sum(len(text.feed(block)) for _ in range(40))

        assert out > 15 * len(block)
        assert text.feed(b"0x\n  1:    0x3e8 - a!total_area\n").endswith(b"shapes.c:29:18\n")

    def test_many_frames_in_a_line(self) -> None:
        """A line costs time in proportion to its length, also if it is full of frames that nobody can say more of."""
        named = Frame("total_area", None, 10, None, None, None, is_inlined=False, origin=Origin.INDEX)
        unsaid = Frame("area", None, 9, None, None, None, is_inlined=False, origin=Origin.NAMES)
        seconds: list[float] = []
        for frame in (named, unsaid):
            text = TextFilter(LineExtender(partial(always, (frame,)), lambda *_: []))
            started = process_time()
            text.feed(b"Bytecode offset: 0x00000001 " * 30_000 + b"\n")
            seconds.append(process_time() - started)

        # Of the first, the name is not even looked for.
        assert seconds[1] < 10 * seconds[0] + 1

    def test_endless_line_in_a_document(self) -> None:
        """What came before a line without end comes out before it, also if it could have been a document."""
        text = new_filter()
        block = b"x" * (1 << 20)
        out = text.feed(b"{\n") + b"".join(text.feed(block) for _ in range(70)) + text.feed(b"\n}\n") + text.finish()

        assert out == b"{\n" + 70 * block + b"\n}\n"

    def test_name_elsewhere_in_the_line(self) -> None:
        """A name that a frame before it has is news to the next one, which has none."""
        named = Frame("area", None, 9, None, None, None, is_inlined=False, origin=Origin.NAMES)
        text = TextFilter(LineExtender(lambda _: (named,), AnswerFormat(parse([])).beneath))
        line = b"at area (wasm://wasm/1:wasm-function[9]:0x3bb), Bytecode offset: 0x000003bb\n"

        assert text.feed(line) == line + b"    area\n"

    def test_carriage_returns(self) -> None:
        """A progress bar's lines end with a carriage return alone, and stay as they are."""
        assert filtered(b" 10%\r 20%\r0x12\r\n") == b" 10%\r 20%\r0x12\r\n"


class TestJson:
    def check(self, data: bytes) -> Any:
        """Filter a document; what comes out is valid JSON, and the same without the lines that are new."""
        out = filtered(data)
        documents = [json.loads(line) for line in out.splitlines()] if b"\n{" in data else [json.loads(out)]
        return documents if len(documents) > 1 else documents[0]

    def test_otlp(self) -> None:
        """The lines of ``exception.stacktrace`` are extended inside the string; nothing else of the record changes."""
        data = (TRACES / "otlp.jsonl").read_bytes()
        out = filtered(data)
        record = json.loads(out)["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
        stack = record["attributes"][1]["value"]["stringValue"]

        assert stack.encode() == filtered((TRACES / "wasmtime.txt").read_bytes())
        record["attributes"][1]["value"]["stringValue"] = (TRACES / "wasmtime.txt").read_text()
        before = json.loads(data)["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
        assert record == before

    def test_json_in_json(self) -> None:
        """A stack in JSON in a string in JSON, as container engines log it, is extended in the inner string."""
        out = filtered((TRACES / "docker.jsonl").read_bytes())
        inner = json.loads(json.loads(out)["log"])

        assert inner["stack"].encode() == filtered((TRACES / "node.txt").read_bytes())

    @pytest.mark.parametrize("levels", [1, 2, 3])
    def test_levels(self, levels: int) -> None:
        """However deep it is nested, a string's last line is extended inside of it."""
        document: object = {"stack": "Error\n  1:    0x3e8 - a!total_area"}
        for _ in range(levels - 1):
            document = {"log": json.dumps(document) + "\n"}
        out = json.loads(filtered(json.dumps(document).encode() + b"\n"))
        for _ in range(levels - 1):
            out = json.loads(out["log"])

        assert out["stack"].splitlines()[1:] == [
            "  1:    0x3e8 - a!total_area",
            "      total_area at /src/c/shapes.c:29:18",
        ]

    def test_escapes(self) -> None:
        r"""Go writes ``<`` as ``\u003c``; frames are found all the same, and bytes outside of additions stay."""
        frame = rb"  1: 0x3e8 - \u003cunknown\u003e!\u003cwasm function 10\u003e"
        data = rb'{"m":"\u003cb\u003e\/","s":"at \u003cx\u003e\n' + frame + rb'\n"}' + b"\n"
        out = filtered(data)

        assert out == data.replace(rb'10\u003e\n"', rb'10\u003e\n      total_area at /src/c/shapes.c:29:18\n"')

    def test_one_line_string(self) -> None:
        """A string of one line gets the others inside of it."""
        out = json.loads(filtered(b'{"msg": "1: 0x3e8 - a!total_area"}\n'))

        assert out["msg"].splitlines() == ["1: 0x3e8 - a!total_area", "    total_area at /src/c/shapes.c:29:18"]

    def test_prefixed_json(self) -> None:
        """JSON after a log's prefix stays JSON."""
        out = filtered(b'app  | {"s":"x\\n 1: 0x3e8 - a!total_area\\ny"}\n')

        assert json.loads(out.partition(b"| ")[2])["s"].count("shapes.c:29") == 1

    def test_quotes_inside(self) -> None:
        """Where there is no telling where the string inside ends, it is left alone."""
        data = json.dumps({"log": json.dumps({"msg": "1: 0x3e8 - a!total_area"})}).encode() + b"\n"

        assert filtered(data) == data

    def test_text_with_brackets(self) -> None:
        """A log line that begins with a bracket is text, and is extended as text."""
        out = filtered(b"[error] In instruction: call , Bytecode offset: 0x000003e8\n")

        assert out.splitlines()[1] == b"    total_area at /src/c/shapes.c:29:18"

    def test_document(self) -> None:
        """A document over several lines is extended as one; strings in it, too."""
        data = json.dumps({"a": [1, {"s": "1: 0x3e8 - a!total_area\nb"}]}, indent=2).encode() + b"\n"
        out = filtered(b"before\n" + data + b"after\n")

        assert out.startswith(b"before\n{\n")
        assert out.endswith(b"}\nafter\n")
        assert json.loads(out[7:-6])["a"][1]["s"].count("\n") == 2

    @pytest.mark.parametrize("text", [b"{\nno json\n", b"{\n", b'{\n "a": 1\n', b"[\n]]\n", b'[\n"unclosed\n'])
    def test_no_document(self, text: bytes) -> None:
        """What begins like a document and is none passes as it is."""
        assert filtered(text) == text

    def test_text_after_no_document(self) -> None:
        """Text is extended as text once it is clear that it is no document."""
        assert filtered(b"{\n  hm\n  1:    0x3e8 - a!t\n").count(b"shapes.c:29:18") == 1

    @pytest.mark.parametrize("end", [b"\n", b'q"}\n'])
    def test_backslashes(self, end: bytes) -> None:
        """A run of backslashes is gone over once, and not once for each of them."""
        data = b'{"m":"1:    0x3e8 - a!t","a":"0x' + b"\\" * 200_000 + end
        started = process_time()

        assert b"shapes.c:29:18" in filtered(data)
        assert process_time() - started < 5

    def test_deep_nesting(self) -> None:
        """Nesting that no reader would follow passes as it is."""
        data = b'{"a":' * 100_000 + b'"0x"\n'

        assert filtered(data) == data

    def test_frame_in_deep_nesting(self) -> None:
        """What turns out to be no JSON that is read is asked about once, as text."""
        asked: list[Match] = []

        def ask(match: Match) -> Sequence[Frame]:
            asked.append(match)
            return ()

        text = TextFilter(LineExtender(ask, lambda *_: []))
        text.feed(b'{"m":"1:    0x3e8 - a!t","a":' + b"[" * 1_000 + b"\n")

        assert len(asked) == 1


class TestSentry:
    def event(self, data: bytes) -> list[dict[str, Any]]:
        event = json.loads(data)
        frames: list[dict[str, Any]] = event["exception"]["values"][0]["stacktrace"]["frames"]
        return frames

    def test_frames(self) -> None:
        """A frame gets function, file and place; inlined functions get frames of their own, the oldest first."""
        frames = self.event(filtered((TRACES / "sentry.json").read_bytes()))

        assert [(f["function"], f.get("filename"), f.get("lineno"), f.get("colno")) for f in frames] == [
            ("run", "http://localhost/app.js", 15, 27),
            ("trap_inlined", "http://localhost/build/O1-dwarf4.wasm", None, None),
            ("area", "/src/c/shapes.c", 21, 16),
            ("path_area", "/src/c/shapes.c", 8, 13),
        ]
        assert {f["instruction_addr"] for f in frames[2:]} == {"0x3bb"}

    def test_module(self) -> None:
        """The module is the image that the address is relative to; without one, the package or file."""
        seen: list[str | None] = []

        def record(match: Match) -> Sequence[Frame]:
            seen.append(match.module)
            return ()

        text = TextFilter(LineExtender(record, AnswerFormat(parse([])).beneath))
        text.feed((TRACES / "sentry.json").read_bytes())
        text.feed(b'{"frames":[{"instruction_addr":"0x12","package":"/x/b.wasm"},{"instruction_addr":18}]}\n')

        assert seen == ["O1-dwarf4.wasm", "O1-dwarf4.wasm", "b.wasm", None]

    def test_frames_in_frames(self) -> None:
        """A frame's members are not frames: however deep they are nested, an event is written once."""
        depth, rest = 400, "x" * 10_000
        data = ('{"instruction_addr":"0x3e8","x":' * depth + f'"{rest}"' + "}" * depth + "\n").encode()
        tracemalloc.start()
        out = filtered(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert json.loads(out)["function"] == "total_area"
        assert out.count(b"total_area") == 1
        assert peak < 100 * len(data)

    def test_one_line(self) -> None:
        """An event on one line is answered as well; what the frame had is replaced, the rest stays."""
        data = b'{"frames":[{"lineno":7,"x":{"y":[]},"instruction_addr":"0x3e8","function":"f\\"{"}]}\n'
        (frame,) = json.loads(filtered(data))["frames"]

        assert frame == {
            "lineno": 29,
            "x": {"y": []},
            "instruction_addr": "0x3e8",
            "filename": "/src/c/shapes.c",
            "abs_path": "/src/c/shapes.c",
            "colno": 18,
            "function": "total_area",
        }

    @pytest.mark.parametrize(
        "data",
        [
            b'{"instruction_addr":"0xzz"}\n',
            b'{"instruction_addr":-1000}\n',
            b'{"instruction_addr":{"a":"0x3e8"}}\n',
            b'{"instruction_addr":"0x3e8"\n',
            b'{"instruction_addr"}\n',
            b'{"instruction_addr":"0x' + b"f" * 400 + b'"}\n',
        ],
    )
    def test_broken(self, data: bytes) -> None:
        """A frame that cannot be understood stays as it is."""
        assert filtered(data) == data
