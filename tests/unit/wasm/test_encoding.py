from __future__ import annotations

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.wasm import encoding
from wasmscope.wasm import (
    Module,
    encode_custom_section,
    encode_module,
    encode_name,
    encode_name_map,
    encode_section,
    encode_signed,
    encode_unsigned,
)
from wasmscope.wasm._cursor import Cursor


def cursor(data: bytes) -> Cursor:
    return Cursor(data, 0, len(data), "test")


class TestNumbers:
    @given(st.integers(0, 2**64 - 1))
    def test_unsigned(self, value: int) -> None:
        """Unsigned numbers are written as the specification says, and as short as can be."""
        assert encode_unsigned(value) == encoding.leb(value)

    # 624485 and -123456 are the examples of https://en.wikipedia.org/wiki/LEB128
    @pytest.mark.parametrize(
        ("value", "data"),
        [
            (0, b"\0"),
            (63, b"\x3f"),
            (64, b"\xc0\0"),
            (-1, b"\x7f"),
            (-64, b"\x40"),
            (-65, b"\xbf\x7f"),
            (624485, b"\xe5\x8e\x26"),
            (-123456, b"\xc0\xbb\x78"),
        ],
    )
    def test_signed(self, value: int, data: bytes) -> None:
        """Signed numbers are written as the specification says, and as short as can be."""
        assert encode_signed(value) == data

    @given(st.integers(-(2**63), 2**63 - 1))
    def test_signed_round_trip(self, value: int) -> None:
        """Every signed number is read back."""
        assert cursor(encode_signed(value)).s64() == value

    def test_negative(self) -> None:
        """A negative number is not written as an unsigned one."""
        with pytest.raises(ValueError, match="-1 is negative"):
            encode_unsigned(-1)


class TestParts:
    @given(st.text(max_size=200), st.binary(max_size=300))
    def test_names_and_sections(self, text: str, contents: bytes) -> None:
        """Names and sections are written as the specification says."""
        assert encode_name(text) == encoding.name(text)
        assert encode_section(1, contents) == encoding.section(1, contents)
        assert encode_custom_section(text, contents) == encoding.custom(text, contents)

    def test_a_name_without_utf_8(self) -> None:
        """Half a surrogate pair cannot be written."""
        with pytest.raises(UnicodeEncodeError):
            encode_name("\ud800")

    def test_map(self) -> None:
        """Maps of names are written in the order of the indices, as the specification demands."""
        assert encode_name_map({300: "b", 0: "a"}) == b"\2" + b"\0\1a" + b"\xac\2\1b"

    def test_module(self) -> None:
        """What is written is a module to wasmtime, and to the reader."""
        data = encode_module([encode_custom_section("build_id", b"\2ab"), encode_section(1, b"\0")])

        wasmtime.Module.validate(wasmtime.Engine(), data)
        assert Module(data).build_id() == b"ab"
