"""The table of measured values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from wasmscope.exporters import _conventions as names
from wasmscope.exporters._layout import Layout
from wasmscope.exporters._lines import Line, Segment, Token
from wasmscope.exporters._series import Distribution, Series
from wasmscope.exporters._span_text import attribute_tokens
from wasmscope.exporters._table import Cell, Column, cell, table_lines
from wasmscope.exporters._text import clean
from wasmscope.exporters._units import count_text, measured_text

__all__ = ["metrics_lines", "sparkline"]

_COLUMNS: Final = (
    Column("module", least=6),
    Column("metric", least=9),
    Column("attributes", least=8),
    Column("value", least=10),
)
_MAX_ROWS: Final = 200
_MAX_ROWS_VERBOSE: Final = 5_000
_BARS: Final = "▁▂▃▄▅▆▇█"
_SPARKLINE: Final = 20


def metrics_lines(series: Iterable[Series], layout: Layout) -> Iterator[Line]:
    """Draw the table of metrics; those of the accounting table and of wasmscope's own work are left out.

    Args:
        series: What was measured.
        layout: How to draw it.
    """
    left_out = names.ACCOUNTING_METRICS | names.PIPELINE_METRICS
    wanted = [one for one in series if one.name not in left_out]
    if not wanted:
        return
    limit = _MAX_ROWS_VERBOSE if layout.verbose else _MAX_ROWS
    rows: list[Sequence[Cell]] = []
    before: tuple[Cell, str] = ((), "")
    for one in wanted[:limit]:
        owner = _owner(one)
        module = () if owner == before[0] else owner
        name = () if (owner, one.name) == before else _name(one.name)
        tokens = attribute_tokens(one.attributes, verbose=layout.verbose)
        rows.append((module, name, tuple(tokens), _value(one)))
        before = (owner, one.name)
    yield [Segment("metrics", "bold")]
    yield from table_lines(_COLUMNS, rows, layout.width)
    if hidden := len(wanted) - len(rows):
        yield [Segment(f"… {hidden:,} more series", "dim")]


def _owner(one: Series) -> Cell:
    """Write whose metric it is: module and tenant."""
    module = Token((Segment(clean(one.scope, 80)),), 0)
    tenant = one.attributes.get(names.TENANT)
    return (module, Token((Segment(f"· {clean(str(tenant), 80)}", "dim"),))) if tenant else (module,)


def _name(name: str) -> Cell:
    """Write a metric's name, which is broken behind dots if it has to be."""
    parts = re.split(r"(?<=\.)", clean(name, 255))
    return tuple(Token((Segment(part),), 0) for part in parts)


def _value(one: Series) -> Cell:
    if not isinstance(one.value, Distribution):
        return cell(measured_text(one.value, clean(one.unit, 20)))
    held = one.value
    facts = [("count", count_text(held.count))]
    for label, value in (
        ("sum", held.total if held.count else None),
        ("min", held.least),
        ("max", held.greatest),
    ):
        if value is not None:
            facts.append((label, measured_text(value, clean(one.unit, 20))))
    tokens = [Token((Segment(f"{label} ", "dim"), Segment(text)), 2) for label, text in facts]
    if drawn := sparkline(held.buckets):
        tokens.append(Token((Segment(drawn, "cyan"),), 2))
    return tuple(tokens)


def sparkline(buckets: Sequence[int]) -> str:
    """Draw a distribution, one cell for a bucket, without the empty ends.

    Neighbours are added up where there are more than 20 buckets.
    """
    filled = [index for index, count in enumerate(buckets) if count > 0]
    if len(filled) < 2:
        return ""
    inner = list(buckets[filled[0] : filled[-1] + 1])
    step = -(-len(inner) // _SPARKLINE)
    bars = [sum(inner[start : start + step]) for start in range(0, len(inner), step)]
    top = max(bars)
    return "".join(_BARS[-(-count * len(_BARS) // top) - 1] if count else " " for count in bars)
