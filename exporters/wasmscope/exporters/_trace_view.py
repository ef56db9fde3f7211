"""Traces as an indented tree with a time axis at its side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import Event
from opentelemetry.trace import format_trace_id

from wasmscope.exporters._conventions import TRAP_CODE
from wasmscope.exporters._layout import Layout
from wasmscope.exporters._lines import Line, Segment, Token, cells, cut, flow, words
from wasmscope.exporters._selection import choose_shown, most_telling, told_exception
from wasmscope.exporters._span_text import (
    attribute_tokens,
    event_tokens,
    exception_head,
    fact_tokens,
    link_tokens,
    log_tokens,
    module_of,
    reason_lines,
    span_name,
    stack_lines,
)
from wasmscope.exporters._timeline import timeline_bar
from wasmscope.exporters._tree import (
    Forest,
    Node,
    Record,
    Trace,
    self_intervals,
)
from wasmscope.exporters._units import counted, duration_text

__all__ = ["trace_lines"]

_INDENT: Final = 3
_TIME: Final = 8  # cells of a duration or an offset
_LEGEND: Final = "━ itself  ─ below"
_NAME_ROOM: Final = 24  # cells that indentation leaves for a name


def trace_lines(forest: Forest, layout: Layout) -> Iterator[Line]:
    """Draw everything that was recorded; marks the spans that it shows.

    Args:
        forest: What was recorded.
        layout: How to draw it.
    """
    choose_shown(forest, layout.max_spans)
    view = _View(forest, layout)
    hidden_traces = 0
    first = True
    for trace in forest.traces:
        if trace.spans and not any(root.shown for root in trace.roots):
            hidden_traces += 1
            continue
        if not first:
            yield []
        first = False
        yield from view.trace(trace)
    if hidden_traces:
        yield []
        yield [Segment(f"… {counted(hidden_traces, 'more trace')}", "dim")]
    if forest.loose:
        if not first:
            yield []
        yield [Segment("outside of any trace", "dim")]
        yield from view.loose_records(forest.loose)


@dataclass(frozen=True, slots=True)
class _Hidden:
    """Neighbouring child spans that are not shown."""

    spans: int
    errors: int

    def __str__(self) -> str:
        text = f"… {counted(self.spans, 'more span')}"
        if self.errors:
            text += f", {self.errors:,} failed"
        return text


_Item = Node | _Hidden | Record | str
"""What a span contains; a str is a remark on what is left out."""


@dataclass(slots=True)
class _Frame:
    """A span whose contents are being drawn.

    Attributes:
        node: The span; None for the trace itself.
        rails: The vertical lines to the left of its name.
        depth: How many spans are above it.
        module: The guest module it belongs to.
        contents: What is left to draw, in time order.
        entries: How many of these are drawn as branches.
    """

    node: Node | None
    rails: tuple[str, ...]
    depth: int
    module: str | None
    contents: Iterator[_Item]
    entries: int


class _View:
    """Draws traces into lines of one layout."""

    def __init__(self, forest: Forest, layout: Layout) -> None:
        self._forest = forest
        self._layout = layout
        width = layout.width
        self._bar = 0 if width < 72 else min(max(width // 5, 14), 32)
        self._self_time = width >= 100
        self._legend_shown = False
        self._wide = width - _TIME - 2  # beside the time column
        self._left = self._wide - (self._bar + 2 if self._bar else 0)
        if self._self_time:
            self._left -= _TIME + 2
        self._max_rails = max((self._left - _NAME_ROOM) // _INDENT, 2)
        modules = (module_of(node.span) for node in forest.nodes.values())
        self._modules = frozenset(module for module in modules if module is not None)

    def trace(self, trace: Trace) -> Iterator[Line]:
        """Draw a trace: a line about it, then its spans."""
        yield self._trace_head(trace)
        contents, entries = self._contents(trace.roots, trace.records)
        stack = [_Frame(None, (), -1, None, contents, entries)]
        while stack:
            frame = stack[-1]
            item = next(frame.contents, None)
            if item is None:
                stack.pop()
            elif isinstance(item, Record):
                prefix = self._prefix(frame, open_branch=frame.entries > 0)
                yield from self.record(item, prefix, trace.start_ns)
            elif isinstance(item, str):
                prefix = self._prefix(frame, open_branch=frame.entries > 0)
                yield [Segment(prefix + item, "dim")]
            else:
                frame.entries -= 1
                last = not frame.entries
                if isinstance(item, _Hidden):
                    prefix = self._prefix(frame) + self._branch(frame, last)
                    yield [Segment(prefix, "dim"), Segment(str(item), "dim")]
                else:
                    child = self._frame(item, frame, last)
                    yield from self._span(child, frame, last, trace)
                    stack.append(child)

    def _trace_head(self, trace: Trace) -> Line:
        facts = [counted(trace.spans, "span")]
        if len(trace.roots) > 1:
            facts.append(duration_text(trace.end_ns - trace.start_ns))
        if self._layout.verbose:
            # Seconds and the fraction apart: a float cannot hold both.
            seconds, fraction = divmod(trace.start_ns, 1_000_000_000)
            try:
                moment = datetime.fromtimestamp(seconds, UTC)
                facts.append(f"{moment:%Y-%m-%d %H:%M:%S}.{fraction // 1_000_000:03} UTC")
            except (OverflowError, ValueError, OSError):
                facts.append("at no known time")
        line = [
            Segment("trace ", "bold"),
            Segment(format_trace_id(trace.trace_id)),
            Segment(" · " + " · ".join(facts), "dim"),
        ]
        if trace.errors:
            line += [Segment(" · ", "dim"), Segment(f"{trace.errors:,} failed", "red")]
        return self._titled(cut(line, self._layout.width))

    def _titled(self, line: Line) -> Line:
        """Put what bars and columns mean at the end of a trace's first line, if it fits there."""
        times = f"{'self':>{_TIME}}  {'total':>{_TIME}}" if self._self_time else ""
        legend = _LEGEND if self._bar and not self._legend_shown else ""
        for titles in (f"{legend}  {times}".rstrip(), times):
            pad = self._layout.width - cells(line) - cells([Segment(titles)])
            if titles.strip() and pad > 1:
                self._legend_shown |= _LEGEND in titles
                return [*line, Segment(" " * pad + titles, "dim")]
        return line

    def _contents(self, children: Sequence[Node], records: Sequence[Record]) -> tuple[Iterator[_Item], int]:
        """Merge child spans and records in time order; count the branches."""
        branches: list[tuple[int, Node | _Hidden]] = []
        for shown, group in groupby(children, key=lambda child: child.shown):
            run = list(group)
            if shown:
                branches += [(child.start_ns, child) for child in run]
            else:
                branches.append((run[0].start_ns, _hidden(run)))
        kept = most_telling(records, self._layout.max_records)
        items: list[tuple[int, _Item]] = [(record.time_ns, record) for record in kept]
        if hidden := len(records) - len(kept):
            items.append((kept[-1].time_ns, f"… {counted(hidden, 'more record')}"))
        items += branches
        items.sort(key=lambda item: item[0])
        return (item for _, item in items), len(branches)

    def _frame(self, node: Node, parent: _Frame, last: bool) -> _Frame:
        rails = parent.rails
        if parent.node is not None:
            rails = (*rails, "   " if last else "│  ")
            rails = rails[max(len(rails) - self._max_rails, 0) :]
        scope = node.span.instrumentation_scope
        module = module_of(node.span)
        if module is None and scope is not None:
            inside = scope.name == parent.module or scope.name in self._modules
            module = scope.name if inside else None
        told = told_exception(node)  # in the reason of the failure
        records = [r for r in node.records if r.source is not told and not self._repeats_the_trap(node, r)]
        contents, entries = self._contents(node.children, records)
        return _Frame(node, rails, parent.depth + 1, module, contents, entries)

    def _repeats_the_trap(self, node: Node, record: Record) -> bool:
        """Whether a record only says that there was a trap: the call's facts do so too."""
        event = record.source
        if self._layout.verbose or not node.failed or not isinstance(event, Event):
            return False
        return event.name == "exception" and TRAP_CODE in (event.attributes or {})

    def _prefix(self, frame: _Frame, *, open_branch: bool | None = None) -> str:
        """Give the vertical lines before something inside a span."""
        rails = "".join(frame.rails)
        if frame.node is None or open_branch is None:
            return rails
        return rails + ("│  " if open_branch else "   ")

    def _branch(self, parent: _Frame, last: bool) -> str:
        if parent.node is None:
            return ""
        return "╰─ " if last else "├─ "

    def _span(self, frame: _Frame, parent: _Frame, last: bool, trace: Trace) -> Iterator[Line]:
        """Draw a span's own lines: name, why it failed, facts, attributes, links."""
        node = frame.node
        assert node is not None
        verbose = self._layout.verbose
        prefix = "".join(frame.rails[:-1] if parent.node is not None else ())
        prefix += self._branch(parent, last)
        head: Line = [Segment(prefix, "dim")]
        if frame.depth > self._max_rails:
            head.append(Segment(f"⋮{frame.depth} ", "dim"))

        name, label = span_name(node, parent.module, self._modules)
        call = module_of(node.span) is not None
        details = fact_tokens(node.span) if call else []
        details += attribute_tokens(node.span.attributes, verbose=verbose, call=call)
        used = cells(head)
        # On the first line goes what fits there as a whole.
        rest = [*label, *details]
        for beside in (rest, label):
            if len(flow([*name, *beside], self._left, first=used, max_lines=2)) == 1:
                name, details = [*name, *beside], rest[len(beside) :]
                break
        else:
            details = rest
        head += flow(name, self._left, first=used, max_lines=1)[0]
        yield self._with_columns(head, node, trace)

        below = self._prefix(frame, open_branch=frame.entries > 0)
        if node.failed:
            yield from self._reason(node, below)
        if details:
            yield from self._block(details, below, max_lines=20 if verbose else 3)
        for link in node.span.links:
            tokens = link_tokens(link, self._forest, trace.trace_id, verbose=verbose)
            yield from self._block(tokens, below, max_lines=3)
        if lost := _lost(node):
            yield from self._block(words(lost, "dim"), below, max_lines=2)

    def _with_columns(self, head: Line, node: Node, trace: Trace) -> Line:
        head = cut(head, self._left)
        line = [*head, Segment(" " * (self._left - cells(head)))]
        if self._bar:
            line += [Segment("  "), *timeline_bar(node, trace, self._bar)]
        if self._self_time:
            own = sum(end - start for start, end in self_intervals(node))
            line.append(Segment(f"  {duration_text(own):>{_TIME}}", "dim"))
        line.append(Segment(f"  {duration_text(node.duration_ns):>{_TIME}}"))
        return line

    def _reason(self, node: Node, prefix: str) -> Iterator[Line]:
        """Draw why a span failed."""
        verbose = self._layout.verbose
        text = node.span.status.description or ""
        exception = told_exception(node)
        lines = reason_lines(text, verbose=verbose)
        if exception is not None:
            head = exception_head(exception.attributes or {})
            if not lines or (len(lines) == 1 and lines[0] in head):
                lines = [head]
        room = self._layout.width - cells([Segment(prefix)])
        for line in lines or ["failed, without a reason given"]:
            for part in flow(words(line, "red"), room, max_lines=3):
                yield [Segment(prefix, "dim"), *part]
        if exception is not None and verbose:
            yield from self._stack(exception, prefix)

    def _stack(self, event: Event, prefix: str) -> Iterator[Line]:
        room = self._layout.width - cells([Segment(prefix)]) - 2
        for line in stack_lines(event.attributes):
            yield [
                Segment(prefix, "dim"),
                *cut([Segment(f"  {line}", "dim")], room + 2),
            ]

    def _block(self, tokens: Iterable[Token], prefix: str, *, max_lines: int) -> Iterator[Line]:
        room = self._layout.width - cells([Segment(prefix)])
        for part in flow(tokens, room, max_lines=max_lines):
            yield [Segment(prefix, "dim"), *part]

    def loose_records(self, records: Sequence[Record]) -> Iterator[Line]:
        """Draw records that belong to no trace."""
        contents, _ = self._contents((), records)
        for item in contents:
            if isinstance(item, Record):
                yield from self.record(item, "", records[0].time_ns, scope=True)
            else:
                yield [Segment(str(item), "dim")]

    def record(self, record: Record, prefix: str, zero_ns: int, *, scope: bool = False) -> Iterator[Line]:
        """Draw a log record or an event, with its time since the trace began."""
        verbose = self._layout.verbose
        source = record.source
        if isinstance(source, ReadableLogRecord):
            tokens = log_tokens(source, verbose=verbose, scope=scope)
        else:
            tokens = event_tokens(source, verbose=verbose)
        indent = cells([Segment(prefix)])
        hanging = cells(tokens[0].segments) + 1
        room = self._wide - indent - hanging
        parts = flow(
            [Token(tokens[1].segments, 0), *tokens[2:]] if len(tokens) > 1 else [],
            room,
            max_lines=40 if verbose else 4,
        )
        offset = record.time_ns - zero_ns
        sign = "-" if offset < 0 else "+"
        for index, part in enumerate(parts):
            label = [*tokens[0].segments, Segment(" ")] if not index else []
            line = [Segment(prefix, "dim"), *label]
            if index:
                line.append(Segment(" " * hanging))
            line += part
            if not index:
                pad = self._wide - cells(line)
                time = f"{sign}{duration_text(abs(offset))}"
                line.append(Segment(f"{' ' * pad}  {time:>{_TIME}}", "dim"))
            yield line
        if isinstance(source, Event) and source.name == "exception" and verbose:
            yield from self._stack(source, prefix)


def _hidden(run: Sequence[Node]) -> _Hidden:
    spans = errors = 0
    for top in run:
        for node in top.walk():
            spans += 1
            errors += node.failed
    return _Hidden(spans, errors)


def _lost(node: Node) -> str:
    """Say what the SDK's limits took from a span."""
    span = node.span
    counts = {
        "attribute": span.dropped_attributes,
        "event": span.dropped_events,
        "link": span.dropped_links,
    }
    text = ", ".join(counted(count, noun) for noun, count in counts.items() if count)
    return f"over the limits: {text}" if text else ""
