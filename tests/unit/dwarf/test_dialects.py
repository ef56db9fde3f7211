"""The frames that `wasmscope.dwarf.dialects` finds in text, against what engines really print."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cpu_time import cpu_seconds
from wasmscope.dwarf.dialects import DIALECTS, NEEDLES, Match, find, is_detail
from wasmscope.wasm import Address, AddressKind

TRACES = Path(__file__).parents[2] / "fixtures" / "traces"
NAMES = ("area", "total_area", "trap_inlined")
INDEXES = (9, 10, 3)
# V8, SpiderMonkey and wasmtime agree on the places, but wasmtime gives the first as that of the branch before it.
OFFSETS = (0x3BB, 0x3E8, 0x1D9)
WASMTIME_OFFSETS = (0x335, 0x3E8, 0x1D9)
MODULE = "O1-dwarf4.wasm"


def frames(name: str) -> list[Match]:
    """All frames in a file of captured output."""
    return [match for line in (TRACES / name).read_text().splitlines(keepends=True) for match in find(line)]


def offsets(matches: list[Match]) -> tuple[int | None, ...]:
    return tuple(match.address.offset if match.address else None for match in matches)


def one(text: str) -> Match:
    """The only frame in a text."""
    (match,) = find(text)
    return match


class TestRealOutput:
    """What engines printed of one trap, whose three functions and offsets are known from the module."""

    @pytest.mark.parametrize("name", ["wasmtime.txt", "wasmtime-cli.txt"])
    def test_wasmtime(self, name: str) -> None:
        """wasmtime's frames have an offset in the file, the module's and the function's names."""
        found = frames(name)

        assert offsets(found) == WASMTIME_OFFSETS
        assert [match.function_name for match in found] == list(NAMES)
        assert {match.module for match in found} == {MODULE}
        assert {match.address.kind for match in found if match.address} == {AddressKind.FILE}

    def test_wasmtime_without_names(self) -> None:
        """Without names, wasmtime's frames have the function's index, and no module."""
        found = frames("wasmtime-no-names.txt")

        assert offsets(found) == WASMTIME_OFFSETS
        assert tuple(match.function_index for match in found) == INDEXES
        assert {match.module for match in found} == {None}

    def test_wasmtime_with_details(self) -> None:
        """With WASMTIME_BACKTRACE_DETAILS=1 the frames are the same, and the lines beneath them are known as such."""
        found = frames("wasmtime-details.txt")
        details = [line for line in (TRACES / "wasmtime-details.txt").read_text().splitlines() if is_detail(line)]

        assert offsets(found) == WASMTIME_OFFSETS
        assert [line.strip() for line in details] == [
            "at /src/c/shapes.c:7:25",
            "- area",
            "at /src/c/shapes.c:21:16",
            "at /src/c/shapes.c:29:18",
            "at /src/c/main.c:30:12",
        ]

    def test_component(self) -> None:
        """A component's trap names the module inside it."""
        found = frames("wasmtime-component.txt")

        assert [(match.module, match.function_name) for match in found] == [
            ("core.wasm", "deep"),
            ("core.wasm", "fail"),
        ]

    @pytest.mark.parametrize("name", ["node.txt", "node-no-names.txt", "spidermonkey.txt", "spidermonkey-no-names.txt"])
    def test_javascript(self, name: str) -> None:
        """V8 and SpiderMonkey give index and offset in the file."""
        found = frames(name)

        assert offsets(found) == OFFSETS
        assert tuple(match.function_index for match in found) == INDEXES
        assert {match.address.kind for match in found if match.address} == {AddressKind.FILE}

    def test_module_of_v8(self) -> None:
        """V8 puts the module's own name and a hash into the URL that it makes up."""
        assert {match.module for match in frames("node.txt")} == {MODULE}
        assert {match.module for match in frames("node-no-names.txt")} == {None}

    def test_module_of_spidermonkey(self) -> None:
        """A module compiled from bytes has no URL of its own in SpiderMonkey."""
        assert {match.module for match in frames("spidermonkey.txt")} == {None}

    @pytest.mark.parametrize(
        ("name", "module"), [("javascriptcore.txt", MODULE), ("javascriptcore-no-names.txt", None)]
    )
    def test_javascriptcore(self, name: str, module: str | None) -> None:
        """JavaScriptCore gives the index and no offset."""
        found = frames(name)

        assert offsets(found) == (None, None, None)
        assert tuple(match.function_index for match in found) == INDEXES
        assert {match.module for match in found} == {module}

    def test_old_wamr(self) -> None:
        """WAMR had no offsets until 2022, and says an index where it knows no name; names alone are no news."""
        found = frames("wamr-2021.txt")

        assert [(match.address, match.function_index) for match in found] == [(None, 9), (None, 10), (None, 3)]


class TestWrittenForms:
    """Forms that are written down in the engines' sources."""

    def test_envoy(self) -> None:
        """Envoy's frames have no module."""
        found = frames("envoy.txt")

        assert offsets(found) == OFFSETS
        assert [match.function_name for match in found] == list(NAMES)
        assert {(match.module, match.dialect) for match in found} == {(None, "proxy-wasm")}

    def test_envoy_without_names(self) -> None:
        """Where Proxy-Wasm hosts know no name, they say the index."""
        assert one("  1:  0x3e8 - unknown(function index:10)").function_index == 10

    def test_wamr(self) -> None:
        """WAMR's interpreter tells where the next byte is; read so first, and else as ahead-of-time code tells it."""
        match = one("#00: 0x03bc - $f9")

        assert match.address == Address(AddressKind.FILE, 0x3BB)
        assert match.fallback == Address(AddressKind.FILE, 0x3BC)
        assert (match.function_index, match.function_name) == (9, None)

    def test_wasmer(self) -> None:
        """wasmer's frames have module, index and offset."""
        found = frames("wasmer.txt")

        assert offsets(found) == OFFSETS
        assert tuple(match.function_index for match in found) == INDEXES
        assert [(match.module, match.function_name) for match in found] == [
            (MODULE, "area"),
            (MODULE, "total_area"),
            (None, None),
        ]

    def test_wasmedge(self) -> None:
        """WasmEdge tells the offset alone."""
        (match,) = frames("wasmedge.txt")

        assert match.address == Address(AddressKind.FILE, 0x3BB)

    def test_chrome(self) -> None:
        """The module is the last part of the URL's path, without a query."""
        found = frames("chrome.txt")

        assert offsets(found) == OFFSETS[:2]
        assert {match.module for match in found} == {MODULE}

    def test_old_v8(self) -> None:
        """A decimal offset counts from the function's first byte."""
        assert [match.address for match in frames("v8-7.txt")] == [
            Address(AddressKind.FUNC, 249, 9),
            Address(AddressKind.FUNC, 42, 10),
        ]

    def test_old_javascriptcore(self) -> None:
        """Until 2025 JavaScriptCore wrote the name in place of the index, where there was one."""
        found = frames("safari.txt")

        assert [(match.function_name, match.function_index) for match in found] == [("area", None), (None, 10)]

    def test_function_and_offset(self) -> None:
        """The form of core dumps counts from the function's body."""
        assert one("func[12]+0x1a").address == Address(AddressKind.FUNC, 0x1A, 12)


class TestSurroundings:
    @pytest.mark.parametrize(
        "prefix", ["", "web_1  | ", "2026-11-22T19:00:00Z ERROR ", "\x1b[31m", "│   ", "Nov 22 19:00:00 host app[12]: "]
    )
    def test_prefix(self, prefix: str) -> None:
        """What a log puts before a line does not matter."""
        match = one(f"{prefix}  0:  0x335 - app.wasm!area")

        assert (match.module, match.function_name) == ("app.wasm", "area")

    @pytest.mark.parametrize("suffix", ["\n", "\r\n", "", "\x1b[0m\n"])
    def test_suffix(self, suffix: str) -> None:
        """Line ends and colours are not part of a name."""
        assert one(f"    0:  0x335 - app.wasm!area{suffix}").function_name == "area"

    def test_several_in_a_line(self) -> None:
        """A stack that was put on one line has all its frames, in order."""
        line = " ".join((TRACES / "node.txt").read_text().split())

        assert offsets(find(line)) == OFFSETS

    @pytest.mark.parametrize(
        "line",
        [
            "at 0x7ffe0012 in main",
            "#0  0x0000555555555131 in main () at t.c:3",
            "0x1a2",
            "commit 3f2a1b",
            "see wasm-function[12] for more",
            "wasm-function[99999999999]:0x1",
            "0: 0x - a!b",
            "    at Object.<anonymous> (/app/n.js:5:18)",
            "x[1]:0x12",
        ],
    )
    def test_other_text(self, line: str) -> None:
        """Text that is like a frame and is none has no match."""
        assert find(line) == []


class TestProperties:
    def test_each_dialect_has_a_needle(self) -> None:
        """Every frame of the captured traces has one of the texts by which lines are chosen to be looked at."""
        for path in TRACES.glob("*.txt"):
            for line in path.read_text().splitlines():
                assert not find(line) or any(needle in line for needle in NEEDLES), line

    @pytest.mark.parametrize(
        "unit",
        [
            "wasm-function[1]:0x1 ",
            "a.wasm-function[1",
            ".wasm-function[",
            "@wasm-function[1] ",
            "0: 0x1 - ",
            "0:            ",
            "#00: 0x0001 - ",
            "(a[1]:0x2)",
            "at (",
            "[1]:0x2)",
            "func[1]+0x1",
            "Bytecode offset: 0x",
            "]@[wasm code]",
            "1" * 64,
            "\\",
            '"',
        ],
    )
    def test_time_is_linear(self, unit: str) -> None:
        """Forty times the text takes about forty times the time, whatever it repeats; quadratic: 1,600 times."""

        def cost(size: int) -> float:
            line = unit * (size // len(unit))
            return cpu_seconds(lambda: find(line))

        cost(10_000)
        small = min(cost(20_000) for _ in range(3))

        assert cost(800_000) < max(small, 0.002) * 320

    def test_names(self) -> None:
        """Dialects have names of their own."""
        assert len({dialect.name for dialect in DIALECTS}) == len(DIALECTS)
