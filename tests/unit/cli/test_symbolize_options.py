"""The command line of ``wasmscope symbolize``, and addresses as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmscope.cli._exits import CommandError
from wasmscope.cli._symbolize_addresses import looks_like_addresses, parse_address
from wasmscope.cli._symbolize_options import parse
from wasmscope.wasm import Address, AddressKind

FILE, CODE, FUNC = AddressKind


class TestOptions:
    def test_joined(self) -> None:
        """Short options may be joined, the last one with its value; options and addresses come in any order."""
        options = parse(["12", "-afipsC", "-eapp.wasm", "0x13", "--", "-14"])

        assert options.addresses and options.functions and options.inlines
        assert options.pretty and options.basenames and options.demangle
        assert options.modules == ["app.wasm"]
        assert options.words == ["12", "0x13", "-14"]

    @pytest.mark.parametrize("words", [["-e", "a"], ["-ea"], ["--exe", "a"], ["--exe=a"], ["--obj=a"], ["-e=a"]])
    def test_module(self, words: list[str]) -> None:
        """The module may be named in the ways of GNU's and LLVM's addr2line."""
        assert parse(words).modules == ["a"]

    def test_debuginfod(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """--debuginfod takes the servers of DEBUGINFOD_URLS, or one that is named, and never the next word."""
        monkeypatch.setenv("DEBUGINFOD_URLS", "https://a https://b")

        assert parse(["--debuginfod", "12"]).debuginfod_urls == ["https://a", "https://b"]
        assert parse(["--debuginfod=https://c", "12"]).debuginfod_urls == ["https://c"]

    @given(st.lists(st.text(alphabet="-aefipsC=x1", max_size=5), max_size=5))
    def test_any_words(self, words: list[str]) -> None:
        """Whatever is written is understood, or refused in one line."""
        try:
            parse(words)
        except CommandError as error:
            assert "\n" not in str(error)


class TestAddresses:
    @pytest.mark.parametrize(
        ("text", "kind", "expected"),
        [
            ("1f3a", FILE, Address(FILE, 0x1F3A)),
            ("0x1f3a", FILE, Address(FILE, 0x1F3A)),
            ("0X1F3A", CODE, Address(CODE, 0x1F3A)),
            ("10", FILE, Address(FILE, 16)),
            (" 10\r", FILE, Address(FILE, 16)),
            ("ffffffffffffffff", FILE, Address(FILE, 2**64 - 1)),
            ("12+0x1a", FUNC, Address(FUNC, 0x1A, 12)),
            ("12+1a", FILE, Address(FUNC, 0x1A, 12)),
            ("func[12]+0x1a", CODE, Address(FUNC, 0x1A, 12)),
        ],
    )
    def test_forms(self, text: str, kind: AddressKind, expected: Address) -> None:
        """Numbers are hexadecimal, with or without 0x; functions' numbers are decimal."""
        assert parse_address(text, kind) == expected

    @pytest.mark.parametrize(
        "text",
        ["", "0x", "x", "-1", "+1", "1_0", "0x0x1", "1 2", "1" * 17, "a+1", "func[1+2", "1+", "func[-1]+2", "\u0661"],
    )
    def test_no_addresses(self, text: str) -> None:
        """What Python would take for a number, and addr2line would not, is no address."""
        assert parse_address(text, FILE) is None

    def test_function_needed(self) -> None:
        """A number alone is no offset in a function."""
        assert parse_address("1a", FUNC) is None

    @pytest.mark.parametrize("head", [b"1f3a\n", b"0x1\n0x2\n", b"\n10\r\n", b"func[1]+2\nzz", b"12", b"d\n0\n"])
    def test_lists(self, head: bytes) -> None:
        """Lines that are all addresses are a list of addresses; a line that is cut off does not count."""
        assert looks_like_addresses(head)

    @pytest.mark.parametrize("head", [b"", b"\n", b"dead\n", b"0x1\nhello\n", b"Error: 0x12\n", b"\xff\n", b"12 13\n"])
    def test_text(self, head: bytes) -> None:
        """Anything else is text."""
        assert not looks_like_addresses(head)

    @given(st.integers(0, 2**64 - 1))
    def test_numbers(self, number: int) -> None:
        """Every number that fits in 64 bits is an address."""
        assert parse_address(f"{number:x}", FILE) == Address(FILE, number)
