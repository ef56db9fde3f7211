"""Text from guests, made harmless."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmscope.exporters._text import clean, clean_lines, value_text

ANY_TEXT = st.text(st.characters(), max_size=80)  # surrogates, controls, everything


class TestClean:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("plain text", "plain text"),
            ("grün 日本語 🦀", "grün 日本語 🦀"),
            ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
            ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
            ("\x9b31m", r"\x9b31m"),
            ("a\nb\tc\r", r"a\nb\tc\r"),
            ("ab\u202ecd", r"ab\u202ecd"),
            ("zero\u200bwidth", r"zero\u200bwidth"),
            ("\ud800", r"\ud800"),
            ("no\u00a0break", "no break"),
            ("e\u0301", "e\u0301"),
            ("👩\u200d👧", "👩👧"),
        ],
    )
    def test_examples(self, text: str, expected: str) -> None:
        """What a terminal would act on is shown as an escape; all else stays."""
        assert expected == clean(text)

    def test_long_text_is_cut(self) -> None:
        """An ellipsis marks the cut."""
        assert clean("x" * 1_000_000, 5) == "xxxxx…"

    def test_marks_do_not_pile_up(self) -> None:
        """Combining marks that would grow over neighbouring lines are dropped."""
        assert len(clean("a" + "\u0301" * 400)) <= 6

    @given(ANY_TEXT)
    def test_nothing_to_act_on_is_left(self, text: str) -> None:
        """No control, formatting or surrogate character survives, whatever comes."""
        for character in clean(text):
            category = unicodedata.category(character)

            assert category not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


class TestLines:
    def test_line_ends(self) -> None:
        """Unix and Windows line ends divide; a lone carriage return is escaped."""
        assert clean_lines("a\r\nb\nc\rd\n") == ["a", "b", r"c\rd"]

    def test_tabs(self) -> None:
        """Tabs become blanks, because stack traces are indented by them."""
        assert clean_lines("\tat main") == ["    at main"]


class TestValues:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("en", "en"),
            ("/orders/{id}", "/orders/{id}"),
            ("Ada Lovelace", '"Ada Lovelace"'),
            ("", '""'),
            ("a=b", '"a=b"'),
            ("[x]", '"[x]"'),
            (True, "true"),
            (-7, "-7"),
            (2**63 - 1, "9223372036854775807"),
            (2.5, "2.5"),
            (None, "null"),
            (b"\x00\xff", "0x00ff"),
            (["a", "b"], "[a, b]"),
            ((1, 2), "[1, 2]"),
            ({"k": True, "n": [1]}, "{k: true, n: [1]}"),
        ],
    )
    def test_examples(self, value: object, expected: str) -> None:
        """Values are written bare, unless that could be misread."""
        assert expected == value_text(value)

    def test_huge_values_are_cut(self) -> None:
        """However long or deep a value is, its text is short."""
        deep: object = 1
        for _ in range(100):
            deep = [deep, deep]

        assert len(value_text("x" * 100_000, 100)) < 120
        assert len(value_text(list(range(100_000)), 100)) < 120
        assert len(value_text(b"x" * 100_000, 100)) < 120
        assert len(value_text(10**5_000, 100)) < 120
        assert len(value_text(deep, 100)) < 2_000
