"""Finished spans and log records as trees, one for each trace.

Nothing here recurses: a guest can nest spans as deep as it likes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import StatusCode

from wasmscope.exporters._conventions import LOG_MARKER

__all__ = [
    "Forest",
    "Node",
    "Record",
    "Trace",
    "build_forest",
    "self_intervals",
]

Interval = tuple[int, int]
"""Start and end, in nanoseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Record:
    """Something that happened at one moment inside a span: a log record or an event."""

    time_ns: int
    source: ReadableLogRecord | Event


@dataclass(slots=True, eq=False)
class Node:
    """A span with what hangs below it.

    Attributes:
        span: The span.
        start_ns: When it started, in nanoseconds since the epoch.
        end_ns: When it ended; never before its start.
        failed: Whether its status is ERROR.
        parent: The parent, None for a root.
        children: Child spans, in the order in which they started.
        records: Log records and events, in time order.
        lost_parent: Whether there is a local parent that is not among the spans.
        shown: Whether it was chosen for rendering.
    """

    span: ReadableSpan
    start_ns: int
    end_ns: int
    failed: bool
    parent: Node | None = None
    children: list[Node] = field(default_factory=list["Node"])
    records: list[Record] = field(default_factory=list[Record])
    lost_parent: bool = False
    shown: bool = False

    @classmethod
    def of(cls, span: ReadableSpan) -> Node:
        """Make a node without relatives."""
        start_ns = span.start_time or 0
        end_ns = max(span.end_time or 0, start_ns)
        return cls(span, start_ns, end_ns, span.status.status_code is StatusCode.ERROR)

    @property
    def duration_ns(self) -> int:
        """How long it took."""
        return self.end_ns - self.start_ns

    def walk(self) -> Iterator[Node]:
        """Give this node and all below it, parents before children."""
        stack: list[Node] = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))


@dataclass(slots=True, eq=False)
class Trace:
    """All that was recorded of one trace.

    Attributes:
        trace_id: The trace's identity.
        roots: Spans without a (recorded) parent, in the order in which they started.
        records: Log records that belong to no recorded span of it.
        spans: How many spans there are.
        errors: How many of them failed.
    """

    trace_id: int
    roots: list[Node] = field(default_factory=list[Node])
    records: list[Record] = field(default_factory=list[Record])
    spans: int = 0
    errors: int = 0
    start_ns: int = 0
    end_ns: int = 0


@dataclass(frozen=True, slots=True)
class Forest:
    """Everything that was recorded.

    Attributes:
        traces: In the order in which they began.
        loose: Log records without a trace.
        nodes: Every span by trace id and span id.
    """

    traces: tuple[Trace, ...]
    loose: tuple[Record, ...]
    nodes: Mapping[tuple[int, int], Node]


def build_forest(spans: Iterable[ReadableSpan], logs: Iterable[ReadableLogRecord]) -> Forest:
    """Arrange spans by their parents, and records by their spans.

    Args:
        spans: Finished spans in any order; those without a context are ignored.
        logs: Log records in any order.
    """
    nodes: dict[int, list[Node]] = {}
    by_id: dict[tuple[int, int], Node] = {}
    for span in spans:
        if (context := span.context) is None:
            continue
        node = Node.of(span)
        nodes.setdefault(context.trace_id, []).append(node)
        by_id.setdefault((context.trace_id, context.span_id), node)

    with_logs: set[Node] = set()
    traces = {trace_id: Trace(trace_id) for trace_id in nodes}
    loose: list[Record] = []
    for log in logs:
        record = Record(_log_time(log), log)
        trace_id, span_id = log.log_record.trace_id or 0, log.log_record.span_id or 0
        owner = by_id.get((trace_id, span_id))
        if owner is not None:
            with_logs.add(owner)
            owner.records.append(record)
        elif trace_id:
            traces.setdefault(trace_id, Trace(trace_id)).records.append(record)
        else:
            loose.append(record)

    for trace_id, members in nodes.items():
        for node in members:
            _add_events(node, skip_repeated_logs=node in with_logs)
            node.records.sort(key=_record_time)
        _link(traces[trace_id], members, by_id)
    for trace in traces.values():
        trace.records.sort(key=_record_time)
        if not trace.spans:
            trace.start_ns = trace.records[0].time_ns
            trace.end_ns = trace.records[-1].time_ns
    return Forest(
        tuple(sorted(traces.values(), key=lambda trace: trace.start_ns)),
        tuple(sorted(loose, key=_record_time)),
        by_id,
    )


def _record_time(record: Record) -> int:
    return record.time_ns


def _start(node: Node) -> int:
    return node.start_ns


def _log_time(log: ReadableLogRecord) -> int:
    return log.log_record.timestamp or log.log_record.observed_timestamp or 0


def _add_events(node: Node, *, skip_repeated_logs: bool) -> None:
    """Add a span's events, without those that only repeat a log record shown anyway."""
    for event in node.span.events:
        if skip_repeated_logs and LOG_MARKER in (event.attributes or {}):
            continue
        node.records.append(Record(event.timestamp, event))


def _link(trace: Trace, members: Sequence[Node], by_id: dict[tuple[int, int], Node]) -> None:
    """Hang nodes below their parents and fill in the trace's totals."""
    ordered = sorted(members, key=_start)
    for node in ordered:
        parent = node.span.parent
        if parent is not None and parent.is_valid:
            found = by_id.get((trace.trace_id, parent.span_id))
            if found is not None and found is not node:
                node.parent = found
            else:
                node.lost_parent = not parent.is_remote
    _cut_cycles(ordered)
    for node in ordered:
        siblings = trace.roots if node.parent is None else node.parent.children
        siblings.append(node)
    trace.spans = len(ordered)
    trace.errors = sum(node.failed for node in ordered)
    trace.start_ns = ordered[0].start_ns
    trace.end_ns = max(node.end_ns for node in ordered)


def _cut_cycles(ordered: Sequence[Node]) -> None:
    """Make a root of one span in each circle of parents.

    Span ids are chosen at random, so only forged contexts can lead here.
    """
    settled: set[Node] = set()
    for start in ordered:
        path: dict[Node, None] = {}
        node: Node | None = start
        while node is not None and node not in settled:
            if node in path:
                node.parent, node.lost_parent = None, True
                break
            path[node] = None
            node = node.parent
        settled.update(path)


def self_intervals(node: Node) -> list[Interval]:
    """Give the parts of a span in which no child span was running."""
    free: list[Interval] = []
    position = node.start_ns
    for child in node.children:  # in the order of their starts
        start = min(max(child.start_ns, position), node.end_ns)
        if start > position:
            free.append((position, start))
        position = max(position, min(child.end_ns, node.end_ns))
    if position < node.end_ns:
        free.append((position, node.end_ns))
    return free
