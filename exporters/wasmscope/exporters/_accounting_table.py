"""The table of what each module and tenant cost, and what was dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from wasmscope.exporters import _conventions as names
from wasmscope.exporters._layout import Layout
from wasmscope.exporters._lines import Line, Segment, flow, words
from wasmscope.exporters._series import Distribution, Series
from wasmscope.exporters._table import Cell, Column, cell, least_width, table_lines
from wasmscope.exporters._text import clean
from wasmscope.exporters._units import bytes_text, count_text, counted, duration_text

__all__ = ["accounting_lines"]

_MAX_ROWS: Final = 100

_Owner = tuple[str, str]
"""Module and tenant; empty is none."""
_Costs = dict[str, float]
"""Values by the metric's name."""
_Measures = Sequence[tuple[str, str, Callable[[float], str]]]
"""Column title, metric name and how to write a value."""


def _seconds(duration_s: float) -> str:
    return duration_text(duration_s * 1e9)


_MEASURES: Final[_Measures] = (
    ("calls", names.METRIC_CALLS, count_text),
    ("errors", names.METRIC_ERRORS, count_text),
    ("cpu", names.METRIC_CPU_TIME, _seconds),
    ("host", names.METRIC_HOST_TIME, _seconds),
    ("memory", names.METRIC_MEMORY, bytes_text),
    ("peak", names.METRIC_MEMORY_PEAK, bytes_text),
    ("fuel", names.METRIC_FUEL, count_text),
)
_LEAST_WANTED: Final = (
    names.METRIC_MEMORY,
    names.METRIC_HOST_TIME,
    names.METRIC_FUEL,
    names.METRIC_ERRORS,
)
"""What a narrow terminal goes without, first to last."""


def accounting_lines(series: Iterable[Series], layout: Layout, lost: Mapping[str, int]) -> Iterator[Line]:
    """Draw the accounting table, and below it what was dropped, if anything.

    Args:
        series: What was measured.
        layout: How to draw it.
        lost: How many records of each kind were not kept for this rendering.
    """
    costs: dict[_Owner, _Costs] = {}
    rejected: dict[_Owner, Counter[str]] = {}
    for one in series:
        if one.name not in names.ACCOUNTING_METRICS:
            continue
        owner = (_text(one, names.MODULE_NAME), _text(one, names.TENANT))
        value = one.value.total if isinstance(one.value, Distribution) else one.value
        if one.name == names.METRIC_REJECTED:
            reasons = rejected.setdefault(owner, Counter())
            reasons[_text(one, names.REASON) or "unknown"] += int(value)
        else:
            _add(costs.setdefault(owner, {}), one.name, value)
    if costs:
        yield from _table(costs, layout)
    for (module, tenant), reasons in list(rejected.items())[:_MAX_ROWS]:
        owner_text = " · ".join(part for part in (module, tenant) if part)
        counts = ", ".join(f"{n:,} {why}" for why, n in reasons.most_common() if n)
        if counts:
            text = f"rejected from {owner_text or 'guests'}: {counts}"
            yield from flow(words(text, "yellow"), layout.width, max_lines=4)
    if any(lost.values()):
        counts = ", ".join(counted(n, what.removesuffix("s")) for what, n in lost.items() if n)
        text = f"not shown, because there were too many: the oldest {counts}"
        yield from flow(words(text, "yellow"), layout.width, max_lines=4)


def _text(one: Series, key: str) -> str:
    return clean(str(one.attributes.get(key, "")), 80)


def _add(costs: _Costs, name: str, value: float) -> None:
    if name == names.METRIC_MEMORY_PEAK:
        costs[name] = max(costs.get(name, value), value)
    else:
        costs[name] = costs.get(name, 0) + value


def _table(costs: Mapping[_Owner, _Costs], layout: Layout) -> Iterator[Line]:
    # Fuel, for example, only where the engine counts it.
    measures = [m for m in _MEASURES if any(m[1] in own for own in costs.values())]
    columns, rows = _cells(costs, measures)
    for name in _LEAST_WANTED:
        if least_width(columns, rows) > layout.width:
            measures = [measure for measure in measures if measure[1] != name]
            columns, rows = _cells(costs, measures)
    yield [Segment("guests", "bold")]
    yield from table_lines(columns, rows, layout.width)
    if len(costs) > _MAX_ROWS:
        yield [Segment(f"… {len(costs) - _MAX_ROWS:,} more in the total", "dim")]


def _cells(costs: Mapping[_Owner, _Costs], measures: _Measures) -> tuple[list[Column], list[list[Cell]]]:
    tenants = any(tenant for _, tenant in costs)
    columns = [Column("module", least=6, wrap=False)]
    if tenants:
        columns.append(Column("tenant", least=6, wrap=False))
    columns += [Column(title, "right", least=None) for title, _, _ in measures]
    rows: list[list[Cell]] = []
    for owner in sorted(costs)[:_MAX_ROWS]:
        row = [cell(owner[0] or "?"), *([cell(owner[1])] if tenants else [])]
        for _, name, write in measures:
            value = costs[owner].get(name)
            style = "red" if name == names.METRIC_ERRORS and value else ""
            row.append(cell("" if value is None else write(value), style))
        rows.append(row)
    if len(costs) > 1:
        rows.append(_total(costs, measures, tenants))
    return columns, rows


def _total(costs: Mapping[_Owner, _Costs], measures: _Measures, tenants: bool) -> list[Cell]:
    """Add up; peaks are not reached at the same time, so they have no sum."""
    row = [cell("total", "dim"), *([cell("")] if tenants else [])]
    for _, name, write in measures:
        total = sum(own.get(name, 0) for own in costs.values())
        peak = name == names.METRIC_MEMORY_PEAK
        row.append(cell("" if peak else write(total), "dim"))
    return row
