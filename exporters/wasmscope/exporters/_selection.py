"""Which spans and records are shown where there are too many for a screen."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.trace import Event

from wasmscope.exporters._tree import Forest, Node, Record

__all__ = ["choose_shown", "most_telling", "told_exception"]

_WARN: Final = 13  # severity number


def choose_shown(forest: Forest, limit: int) -> None:
    """Mark the spans to show; a shown span's parent is always shown too.

    Failed spans come first, with all that leads to them, as long as that takes no more
    than half of the limit. The rest is taken level by level from the roots, so that a
    long tail is cut and not the beginning.

    Args:
        forest: What was recorded; its nodes are marked.
        limit: How many spans to show.
    """
    left = limit
    total = sum(trace.spans for trace in forest.traces)
    if total > limit:
        left -= _show_failures(forest, limit // 2)
    queue = deque(root for trace in forest.traces for root in trace.roots)
    while queue and left:
        node = queue.popleft()
        if not node.shown:
            node.shown = True
            left -= 1
        queue.extend(node.children)


def _show_failures(forest: Forest, limit: int) -> int:
    """Mark failed spans and their ancestors; give how many were marked."""
    left = limit
    for root in (root for trace in forest.traces if trace.errors for root in trace.roots):
        distance: dict[Node, int] = {}  # how many spans to mark to show this one
        for node in root.walk():
            above = node.parent
            distance[node] = 1
            if above is not None and not above.shown:
                distance[node] += distance[above]
            if not node.failed or distance[node] > left:
                continue
            step: Node | None = node
            while step is not None and not step.shown:
                step.shown = True
                left -= 1
                step = step.parent
            if not left:
                return limit
    return limit - left


def most_telling(records: Sequence[Record], limit: int) -> Sequence[Record]:
    """Choose records: warnings and errors first, then the earliest; in time order."""
    if len(records) <= limit:
        return records
    chosen = sorted(records, key=lambda record: not _is_alarm(record))[:limit]
    return sorted(chosen, key=lambda record: record.time_ns)


def _is_alarm(record: Record) -> bool:
    source = record.source
    if isinstance(source, Event):
        return source.name == "exception"
    severity = source.log_record.severity_number
    return severity is not None and severity.value >= _WARN


def told_exception(node: Node) -> Event | None:
    """Find the recorded exception that a failed span's status tells of, if any."""
    if not node.failed:
        return None
    description = node.span.status.description or ""
    for record in reversed(node.records):
        event = record.source
        if not isinstance(event, Event) or event.name != "exception":
            continue
        attributes = event.attributes or {}
        message = str(attributes.get("exception.message") or "")
        # A status is the message, or what the SDK makes of it: with the class in front.
        if description in {"", message} or description.endswith(f": {message}"):
            return event
    return None
