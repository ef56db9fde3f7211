from __future__ import annotations

import math
import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmscope.cli._invoke import convert_arguments, format_results
from wasmscope.errors import ExportError
from wasmscope.wasm import FunctionType


def message(types: list[str], texts: list[str], results: list[str] | None = None) -> str:
    with pytest.raises(ExportError) as caught:
        convert_arguments("f", FunctionType(tuple(types), tuple(results or ())), texts)
    return str(caught.value)


class TestArguments:
    @pytest.mark.parametrize(
        ("kind", "text", "value"),
        [
            ("i32", "0", 0),
            ("i32", "-1", -1),
            ("i32", "+7", 7),
            ("i32", "0x2a", 42),
            ("i32", "-0x80000000", -(2**31)),
            ("i32", "4294967295", -1),
            ("i64", "0xffffffffffffffff", -1),
            ("i64", "-9223372036854775808", -(2**63)),
            ("f64", "1e3", 1000.0),
            ("f64", "-inf", -math.inf),
            ("f32", "0.1", 0.1),
        ],
    )
    def test_values(self, kind: str, text: str, value: float) -> None:
        """Numbers are decimal or hexadecimal; what needs all bits wraps, because wasm integers have no sign."""
        assert convert_arguments("f", FunctionType((kind,), ()), [text]) == [value]

    @pytest.mark.parametrize(
        ("kind", "text"),
        [
            ("i32", "4294967296"),
            ("i32", "-2147483649"),
            ("i32", "1.5"),
            ("i32", ""),
            ("i32", "--1"),
            ("i32", "1_000"),
            ("i32", "0x"),
            ("i32", "9" * 5000),
            ("i64", "18446744073709551616"),
            ("f64", "one"),
            ("f64", " 1"),
            ("f32", "1e39"),
        ],
    )
    def test_not_of_the_type(self, kind: str, text: str) -> None:
        """What is no number of the type is refused, with its place and an example."""
        said = message([kind, "i32"], [text, "1"])

        assert "argument 1 is" in said
        assert f"no {kind}" in said
        assert "for example" in said

    def test_how_many(self) -> None:
        """Too few and too many are told with what the function takes."""
        assert "f(i32, i64) takes 2 arguments, none was given" in message(["i32", "i64"], [])
        assert "f(i32, i64) takes 2 arguments, 1 was given" in message(["i32", "i64"], ["1"])
        assert "f() takes no arguments, 2 were given" in message([], ["1", "2"])

    def test_types_without_a_way_to_write_them(self) -> None:
        """Functions that take references or vectors cannot be called from a command line."""
        assert "externref" in message(["externref"], ["x"])
        assert "v128" in message([], [], ["v128"])

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Any text is a value of the type or an error."""
        for kind in ("i32", "i64", "f32", "f64"):
            try:
                convert_arguments("f", FunctionType((kind,), ()), [text])
            except ExportError as error:
                assert "for example" in str(error)


class TestResults:
    # What `wasmtime run --invoke` prints for these: Rust's `{}`.
    @pytest.mark.parametrize(
        ("kind", "value", "text"),
        [
            ("i32", -1, "-1"),
            ("i64", 2**63 - 1, "9223372036854775807"),
            ("f64", 1.0, "1"),
            ("f64", -0.0, "-0"),
            ("f64", 0.1, "0.1"),
            ("f64", 1e21, "1000000000000000000000"),
            ("f64", 1.5e-7, "0.00000015"),
            ("f64", math.inf, "inf"),
            ("f64", -math.inf, "-inf"),
            ("f64", math.nan, "NaN"),
            ("f32", 0.10000000149011612, "0.1"),
            ("f32", 16777216.0, "16777216"),
            ("f32", 3.4028234663852886e38, "340282350000000000000000000000000000000"),
            ("externref", None, "<null externref>"),
            ("funcref", object(), "<funcref>"),
        ],
    )
    def test_as_wasmtime(self, kind: str, value: object, text: str) -> None:
        """Results are printed as wasmtime's command prints them."""
        assert format_results([value], [kind]) == [text]

    @given(st.floats(allow_nan=False, allow_infinity=False, width=32))
    def test_f32_comes_back(self, value: float) -> None:
        """The digits printed give the same f32 back, without an exponent."""
        (text,) = format_results([value], ["f32"])

        assert "e" not in text
        assert struct.pack("<f", float(text)) == struct.pack("<f", value)

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_f64_comes_back(self, value: float) -> None:
        """The digits printed give the same f64 back, and no others are fewer than Python's own shortest."""
        (text,) = format_results([value], ["f64"])

        assert "e" not in text
        assert struct.pack("<d", float(text)) == struct.pack("<d", value)
        assert Decimal(text) == Decimal(repr(value))
