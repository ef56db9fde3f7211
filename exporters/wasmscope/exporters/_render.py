"""What can be rendered: to a string, or to a stream in the layout that suits it.

The modules that draw need rich; they are loaded when something is drawn, not before.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.trace import ReadableSpan

from wasmscope.exporters._layout import Layout, write_text
from wasmscope.exporters._recording import Recording

__all__ = [
    "print_recording",
    "render_accounting",
    "render_metrics",
    "render_recording",
    "render_traces",
]

_DEFAULT = Layout()


def render_traces(
    spans: Iterable[ReadableSpan],
    logs: Iterable[ReadableLogRecord] = (),
    layout: Layout = _DEFAULT,
) -> str:
    """Draw traces as trees, with log records and events where and when they happened.

    Beside each span stand its duration and, where there is room, a bar on the trace's
    time axis (heavy where the span worked itself, light where it waited for its child
    spans) and its self time: the duration without the time in which a child span ran.

    Text from guests is made harmless: control characters are shown as escapes.

    Args:
        spans: Finished spans, in any order.
        logs: Log records, in any order. A span event that repeats a log record is shown
            only where no log records of its span are given.
        layout: How to draw.

    Returns:
        Lines, each ended by a newline; empty if there is nothing to show.
    """
    from wasmscope.exporters._lines import paint
    from wasmscope.exporters._trace_view import trace_lines
    from wasmscope.exporters._tree import build_forest

    return paint(trace_lines(build_forest(spans, logs), layout), layout)


def render_metrics(data: MetricsData | None, layout: Layout = _DEFAULT) -> str:
    """Draw a table of all metrics but those of the accounting table.

    Args:
        data: What a metric reader gave.
        layout: How to draw.

    Returns:
        Lines, each ended by a newline; empty if there is nothing to show.
    """
    from wasmscope.exporters._lines import paint
    from wasmscope.exporters._metrics_table import metrics_lines
    from wasmscope.exporters._series import read_series

    return paint(metrics_lines(read_series(data), layout), layout)


def render_accounting(
    data: MetricsData | None,
    layout: Layout = _DEFAULT,
    *,
    lost: Mapping[str, int] | None = None,
) -> str:
    """Draw what each module and tenant cost, and what of their telemetry was dropped.

    Args:
        data: What a metric reader gave.
        layout: How to draw.
        lost: How many records of each kind could not be kept (`Recording.dropped`).

    Returns:
        Lines, each ended by a newline; empty if there is nothing to show.
    """
    from wasmscope.exporters._accounting_table import accounting_lines
    from wasmscope.exporters._lines import paint
    from wasmscope.exporters._series import read_series

    return paint(accounting_lines(read_series(data), layout, lost or {}), layout)


def render_recording(recording: Recording, layout: Layout = _DEFAULT) -> str:
    """Draw all of a recording: traces, metrics, accounting; blank lines between.

    Args:
        recording: What was recorded so far.
        layout: How to draw.
    """
    data = recording.metrics()
    parts = (
        render_traces(recording.spans, recording.logs, layout),
        render_metrics(data, layout),
        render_accounting(data, layout, lost=recording.dropped),
    )
    return "\n".join(part for part in parts if part)


def print_recording(
    recording: Recording,
    stream: TextIO | None = None,
    *,
    verbose: bool = False,
    layout: Layout | None = None,
) -> None:
    """Write a recording to a stream, in colour and width as it suits the stream.

    Args:
        recording: What was recorded so far.
        stream: Where to; standard error by default, so that it stays out of pipes.
        verbose: Whether to show stack traces, source locations and every attribute.
        layout: How to draw, instead of what suits the stream.

    Raises:
        OSError: If the stream cannot be written to, for example a closed pipe.
    """
    target = sys.stderr if stream is None else stream
    if layout is None:
        layout = Layout.of_stream(target, verbose=verbose)
    write_text(target, render_recording(recording, layout))
