"""Styled text measured in terminal cells: cutting, wrapping, painting."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.color import ColorSystem
from rich.style import Style as RichStyle

from wasmscope.exporters._layout import Layout

__all__ = [
    "ASCII",
    "Line",
    "Segment",
    "Token",
    "cells",
    "cut",
    "flow",
    "in_charset",
    "paint",
    "words",
]

ASCII = str.maketrans(
    {
        "├": "|",
        "╰": "`",
        "│": "|",
        "─": "-",
        "━": "=",
        "·": ".",
        "•": "*",
        "✗": "x",
        "→": ">",
        "↵": "/",
        "…": "~",
        "µ": "u",
        "⋮": ":",
        **dict(zip("▁▂▃▄▅▆▇█", ".:-=+*%#", strict=True)),
    }
)
"""What to draw with where only ASCII can be written: one cell for one cell."""


class Segment(NamedTuple):
    """A piece of text in one style (rich's style syntax; empty is the default)."""

    text: str
    style: str = ""


Line = list[Segment]

_MIN_PIECE = 8  # cells: a shorter piece of a broken word is not worth the line


class Token(NamedTuple):
    """What is kept together when lines are filled, and the gap before it in cells."""

    segments: tuple[Segment, ...]
    gap: int = 1


def cells(line: Iterable[Segment]) -> int:
    """Measure a line in terminal cells."""
    return sum(cell_len(segment.text) for segment in line)


def cut(line: Sequence[Segment], width: int) -> Line:
    """Shorten a line to a width; an ellipsis marks the cut."""
    if cells(line) <= width:
        return list(line)
    if width < 1:
        return []
    kept: Line = []
    room = width - 1
    for segment in line:
        length = cell_len(segment.text)
        if length > room:
            kept.append(Segment(set_cell_size(segment.text, room) + "…", segment.style))
            break
        kept.append(segment)
        room -= length
    return kept


def words(text: str, style: str = "", *, gap: int = 1) -> list[Token]:
    """Split text where it may be broken; the first word keeps the gap given."""
    return [Token((Segment(word, style),), 1 if index else gap) for index, word in enumerate(text.split(" "))]


def flow(tokens: Iterable[Token], width: int, *, first: int = 0, max_lines: int) -> list[Line]:
    """Fill lines with tokens.

    A token that is wider than a line is broken inside. What does not fit in the last
    line is left out, and an ellipsis says so.

    Args:
        tokens: What to place.
        width: Cells in a line.
        first: Cells that are taken already at the start of the first line.
        max_lines: How many lines there may be.
    """
    lines: list[Line] = [[]]
    used = first
    for token in tokens:
        for piece in _pieces(token, width - used - token.gap, width):
            gap = piece.gap if used else 0
            length = cells(piece.segments)
            if used and used + gap + length > width:
                if len(lines) == max_lines:
                    room = width - (first if max_lines == 1 else 0)
                    lines[-1] = [*cut(lines[-1], room - 2), Segment(" …", "dim")]
                    return lines
                lines.append([])
                used = gap = 0
            if gap:
                # In the style of what follows, so that words are painted in one go.
                lines[-1].append(Segment(" " * gap, piece.segments[0].style))
            lines[-1].extend(piece.segments)
            used += gap + length
    return lines


def _pieces(token: Token, room: int, width: int) -> list[Token]:
    """Break a token that is wider than a line; its first piece fits in the room."""
    if cells(token.segments) <= width:
        return [token]
    if room < _MIN_PIECE:
        room = width
    pieces: list[Token] = []
    current: Line = []
    for text, style in token.segments:
        rest = text
        while cell_len(rest) > room:
            head = chop_cells(rest, room)[0] if room > 1 else ""
            if head:
                current.append(Segment(head, style))
                rest = rest[len(head) :]
            pieces.append(Token(tuple(current), 0 if pieces else token.gap))
            current, room = [], width
        current.append(Segment(rest, style))
        room -= cell_len(rest)
    pieces.append(Token(tuple(current), 0))
    return pieces


@lru_cache(maxsize=64)
def _style(definition: str) -> RichStyle:
    return RichStyle.parse(definition)


def in_charset(text: str, layout: Layout) -> str:
    """Replace line-drawing characters where they cannot be written."""
    return text if layout.unicode else text.translate(ASCII)


def paint(lines: Iterable[Sequence[Segment]], layout: Layout) -> str:
    """Give lines as text, none wider than the layout, in colour if that is wanted."""
    painted: list[str] = []
    for whole in lines:
        line = cut(whole, layout.width)
        parts: list[str] = []
        for style, group in groupby(line, key=_segment_style):
            text = in_charset("".join(segment.text for segment in group), layout)
            if style and layout.color:
                text = _style(style).render(text, color_system=ColorSystem.STANDARD)
            parts.append(text)
        painted.append("".join(parts).rstrip())
    return "".join(f"{line}\n" for line in painted)


def _segment_style(segment: Segment) -> str:
    return segment.style
