"""Columns of text, fitted into a width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from wasmscope.exporters._lines import Line, Segment, Token, cells, cut, flow

__all__ = ["Cell", "Column", "cell", "least_width", "table_lines"]

_GAP: Final = 2
_MAX_LINES: Final = 6  # in one cell

Cell = tuple[Token, ...]
"""What stands in a cell; wrapped between tokens where the column is too narrow."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: What stands above it.
        align: To which side.
        least: How many cells of width it keeps at least, if it needs as many;
            None if it does not shrink.
        wrap: Whether what is too long goes on in the next line; else it is cut.
    """

    title: str
    align: Literal["left", "right"] = "left"
    least: int | None = 8
    wrap: bool = True


def cell(text: str, style: str = "") -> Cell:
    """Give a cell with one piece of text in it."""
    return (Token((Segment(text, style),), 0),) if text else ()


def table_lines(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> list[Line]:
    """Lay out a table with its titles.

    Args:
        columns: The columns.
        rows: As many cells in each as there are columns.
        width: How many terminal cells there are. The widest columns shrink to fit.
    """
    titles = [cell(column.title, "dim") for column in columns]
    widths = [max(_width(row[index]) for row in (titles, *rows)) for index in range(len(columns))]
    _shrink(widths, columns, width - _GAP * (len(columns) - 1))
    lines: list[Line] = []
    for row in (titles, *rows):
        blocks = [_block(content, column, room) for content, column, room in zip(row, columns, widths, strict=True)]
        for number in range(max(len(block) for block in blocks)):
            parts = [block[number] if number < len(block) else [] for block in blocks]
            lines.append(_line(parts, columns, widths))
    return lines


def _width(content: Cell) -> int:
    gaps = sum(token.gap for token in content[1:])
    return gaps + sum(cells(token.segments) for token in content)


def _shrink(widths: list[int], columns: Sequence[Column], room: int) -> None:
    """Take from the widest column that can give, one cell at a time."""
    while sum(widths) > room:
        giving = [
            index for index, column in enumerate(columns) if column.least is not None and widths[index] > column.least
        ]
        if not giving:
            return
        widths[max(giving, key=lambda index: widths[index])] -= 1


def least_width(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> int:
    """Give the width that a table needs when all its columns have shrunk."""
    total = _GAP * (len(columns) - 1)
    for index, column in enumerate(columns):
        content = max((_width(row[index]) for row in rows), default=0)
        content = max(content, len(column.title))
        total += content if column.least is None else min(content, column.least)
    return total


def _block(content: Cell, column: Column, room: int) -> list[Line]:
    if column.wrap:
        return flow(content, max(room, 1), max_lines=_MAX_LINES)
    return [cut([segment for token in content for segment in token.segments], room)]


def _line(parts: Sequence[Line], columns: Sequence[Column], widths: Sequence[int]) -> Line:
    line: Line = []
    for index, (part, column, width) in enumerate(zip(parts, columns, widths, strict=True)):
        pad = Segment(" " * max(width - cells(part), 0))
        if index:
            line.append(Segment(" " * _GAP))
        line += [pad, *part] if column.align == "right" else [*part, pad]
    return line
