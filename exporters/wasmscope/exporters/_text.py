"""Text from strangers, made safe and short for a terminal.

Everything that a guest names or says passes through `clean`, so that it can neither
move the cursor, nor change colours, nor reorder what is printed around it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

__all__ = ["clean", "clean_lines", "value_text"]

_ZERO_WIDTH_JOINER = "\u200d"
_MAX_MARKS = 4  # combining marks in a row that real scripts need, with a margin
_MAX_DEPTH = 8


def clean(text: str, limit: int = 500) -> str:
    r"""Replace what a terminal would act on by its escape, for example ``\x1b``.

    That is: control characters (tabs and newlines too), invisible formatting characters
    such as the right-to-left overrides, lone surrogates and unassigned characters.
    Long runs of combining marks are shortened, and joiners between emoji dropped: about
    the width of joined ones no two terminals agree.

    Args:
        text: Any text.
        limit: How many characters of it are kept; an ellipsis marks a cut.
    """
    cut = len(text) > limit
    if cut:
        text = text[:limit]
    if not (text.isascii() and text.isprintable()):
        text = "".join(_characters(text))
    return text + "…" if cut else text


def _characters(text: str) -> Iterator[str]:
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        if character == _ZERO_WIDTH_JOINER:
            continue
        if category in {"Mc", "Me", "Mn"}:
            marks += 1
            if marks <= _MAX_MARKS:
                yield character
            continue
        marks = 0
        if character.isprintable():
            yield character
        elif category == "Zs":
            yield " "
        else:
            # The escapes that Python itself writes: \n, \x1b, \u202e, \ud800.
            yield ascii(character)[1:-1]


def clean_lines(text: str, limit: int = 500) -> list[str]:
    """Clean text that may have several lines; tabs become four spaces."""
    cut = len(text) > limit
    lines = text[:limit].replace("\r\n", "\n").expandtabs(4).rstrip("\n").split("\n")
    if cut:
        lines[-1] += "…"
    return [clean(line, limit + 1) for line in lines]


def value_text(value: object, limit: int = 200) -> str:
    """Write an attribute's value: bare where that is unambiguous, else quoted.

    Args:
        value: Any attribute value, nested ones included.
        limit: How many characters are kept, about.
    """
    return _value(value, limit, 0)


def _value(value: object, limit: int, depth: int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, str):
        return _string(value, limit)
    if isinstance(value, int) and value.bit_length() > 64:
        return f"{value:#x}"[:limit]  # decimal is slow, and refused over 4,300 digits
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        shown = bytes(value[: max(limit // 8, 4)]).hex()
        return f"0x{shown}" + ("…" if len(value) * 2 > len(shown) else "")
    if depth >= _MAX_DEPTH:
        return "…"
    if isinstance(value, Mapping):
        fields = cast(Mapping[object, object], value)
        pairs = (f"{_string(str(key), limit)}: {_value(item, limit, depth + 1)}" for key, item in fields.items())
        return "{" + _joined(pairs, limit) + "}"
    if isinstance(value, Sequence):
        items = cast(Sequence[object], value)
        return "[" + _joined((_value(item, limit, depth + 1) for item in items), limit) + "]"
    return _string(str(value), limit)


def _string(text: str, limit: int) -> str:
    cleaned = clean(text, limit)
    if cleaned and cleaned[0] not in "[{" and not any(c in ' ="' for c in cleaned):
        return cleaned
    return f'"{cleaned}"'


def _joined(parts: Iterator[str], limit: int) -> str:
    kept: list[str] = []
    length = 0
    for part in parts:
        if length > limit:
            kept.append("…")
            break
        kept.append(part)
        length += len(part) + 2
    return ", ".join(kept)
