"""The bar beside a span: where it lies in its trace, and where it worked itself."""

from __future__ import annotations

from wasmscope.exporters._lines import Line, Segment
from wasmscope.exporters._tree import Node, Trace, self_intervals

__all__ = ["timeline_bar"]

_SELF = "━"
_CHILDREN = "─"


def timeline_bar(node: Node, trace: Trace, width: int) -> Line:
    """Draw a span on its trace's time axis.

    A heavy cell is one in which the span itself was working for half of its time there
    or more, a light one is mostly spent in child spans. Every span gets a cell at least.

    Args:
        node: The span.
        trace: Its trace, which is as long as the bar.
        width: Cells from the trace's start to its end.
    """
    length = trace.end_ns - trace.start_ns
    if length <= 0 or width < 1:
        return [Segment(" " * max(width, 0))]
    begin = node.start_ns - trace.start_ns
    end = node.end_ns - trace.start_ns
    first = min(begin * width // length, width - 1)
    last = min(max(-(-end * width // length), first + 1), width)

    # In units of 1/width nanoseconds, so that cells have whole numbers as borders.
    own = [0] * (last - first)
    for start_ns, end_ns in self_intervals(node):
        low = (start_ns - trace.start_ns) * width
        high = (end_ns - trace.start_ns) * width
        for cell in range(low // length, min(-(-high // length), last)):
            if cell >= first:
                cell_low, cell_high = cell * length, (cell + 1) * length
                own[cell - first] += min(high, cell_high) - max(low, cell_low)
    drawn = "".join(
        _SELF if 2 * share >= min(end * width, (cell + 1) * length) - max(begin * width, cell * length) else _CHILDREN
        for cell, share in enumerate(own, start=first)
    )

    line = [Segment(" " * first)]
    for glyph in drawn:
        style = ("red" if node.failed else "cyan") if glyph == _SELF else "dim"
        if len(line) > 1 and line[-1].style == style:
            line[-1] = Segment(line[-1].text + glyph, style)
        else:
            line.append(Segment(glyph, style))
    line.append(Segment(" " * (width - last)))
    return line
