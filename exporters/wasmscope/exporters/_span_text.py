"""What is written about a span, an event and a log record: words, not places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, SpanKind, format_span_id, format_trace_id

from wasmscope.exporters import _conventions as names
from wasmscope.exporters._lines import Segment, Token, words
from wasmscope.exporters._text import clean, clean_lines, value_text
from wasmscope.exporters._tree import Forest, Node
from wasmscope.exporters._units import bytes_text, count_text, counted, duration_text

__all__ = [
    "attribute_tokens",
    "event_tokens",
    "exception_head",
    "fact_tokens",
    "link_tokens",
    "log_tokens",
    "module_of",
    "reason_lines",
    "severity_segment",
    "span_name",
    "stack_lines",
]

_MAX_ATTRIBUTES: Final = 16

_TOLD_ELSEWHERE: Final = frozenset({names.MODULE_NAME, names.MODULE_VERSION, names.TENANT, names.LOG_MARKER})
_CALL_FACTS: Final = frozenset(
    {
        names.CALL_CPU_TIME,
        names.CALL_HOST_TIME,
        names.CALL_FUEL,
        names.MEMORY_SIZE,
        names.TRAP_CODE,
    }
)
_FOR_THE_CURIOUS: Final = frozenset({names.CODE_FILE, names.CODE_LINE, names.TARGET, "code.column.number"})
_EXCEPTION: Final = frozenset(
    {
        "exception.escaped",
        "exception.message",
        "exception.stacktrace",
        "exception.type",
    }
)

_SEVERITIES: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_SEVERITY_STYLES: Final = {
    "TRACE": "dim",
    "DEBUG": "dim",
    "INFO": "green",
    "WARN": "yellow",
    "ERROR": "red",
    "FATAL": "bold red",
}


def module_of(span: ReadableSpan) -> str | None:
    """Give the module that a call span calls into, None for any other span."""
    module = (span.attributes or {}).get(names.MODULE_NAME)
    return module if isinstance(module, str) else None


def span_name(node: Node, inherited: str | None, modules: frozenset[str]) -> tuple[list[Token], list[Token]]:
    """Write a span's name, and what it belongs to.

    Args:
        node: The span.
        inherited: The module that the parent span belongs to, if it is a guest's.
        modules: All modules that are called in this recording.
    """
    span = node.span
    name = clean(span.name, 200) or '""'
    style = "bold" if node.parent is None else ""
    if module_of(span) is not None:
        style = "bold cyan"
    if node.failed:
        style = "bold red"
        name = f"✗ {name}"
    label = " · ".join(_labels(node, inherited, modules))
    return words(name, style, gap=0), words(label, "dim", gap=2) if label else []


def _labels(node: Node, inherited: str | None, modules: frozenset[str]) -> Iterable[str]:
    span = node.span
    attributes = span.attributes or {}
    scope = span.instrumentation_scope
    service = _service(span)
    if service and (node.parent is None or service != _service(node.parent.span)):
        yield clean(service, 80)
    if (module := module_of(span)) is not None:
        version = str(attributes.get(names.MODULE_VERSION, ""))
        yield clean(f"{module} {version}".strip(), 120)
        if tenant := attributes.get(names.TENANT):
            yield clean(str(tenant), 80)
    elif scope is not None and scope.name != inherited:
        if scope.name in modules:
            yield clean(f"{scope.name} {scope.version or ''}".strip(), 120)
        elif inherited is not None:
            yield clean(scope.name, 120)
    if span.kind is not SpanKind.INTERNAL:
        yield span.kind.name.lower()
    if node.lost_parent and span.parent is not None:
        yield f"parent {format_span_id(span.parent.span_id)} not recorded"
    elif node.parent is None and span.parent is not None and span.parent.is_remote:
        yield f"remote parent {format_span_id(span.parent.span_id)}"


def _service(span: ReadableSpan) -> str:
    """Give the name of the service that a span is from, empty if nobody named it."""
    name = str(span.resource.attributes.get("service.name", ""))
    return "" if name.startswith("unknown_service") else name


def fact_tokens(span: ReadableSpan) -> list[Token]:
    """Write the measured facts of a call into a guest."""
    attributes = span.attributes or {}
    facts: list[tuple[str, str, str]] = []
    if (trap := attributes.get(names.TRAP_CODE)) is not None:
        facts.append(("trap", clean(str(trap), 80), "red"))
    for key, label, text in (
        (names.CALL_CPU_TIME, "cpu", duration_text),
        (names.CALL_HOST_TIME, "host", duration_text),
        (names.CALL_FUEL, "fuel", count_text),
        (names.MEMORY_SIZE, "memory", bytes_text),
    ):
        value = attributes.get(key)
        if isinstance(value, (int, float)) and value:
            facts.append((label, text(value), ""))
    return [Token((Segment(f"{label} ", "dim"), Segment(text, style)), 2) for label, text, style in facts]


def attribute_tokens(
    attributes: Mapping[str, object] | None,
    *,
    verbose: bool,
    call: bool = False,
    hidden: frozenset[str] = frozenset(),
) -> list[Token]:
    """Write attributes as ``key=value``.

    Args:
        attributes: The attributes, in the order of their setting.
        verbose: Whether to write all of them and more of each value.
        call: Whether they are those of a call span, whose facts are written apart.
        hidden: More keys that are not to be written.
    """
    hidden |= _TOLD_ELSEWHERE
    if call:
        hidden |= _CALL_FACTS | {names.CODE_FUNCTION}
    if not verbose:
        hidden |= _FOR_THE_CURIOUS
    kept = [(k, v) for k, v in (attributes or {}).items() if k not in hidden]
    limit = len(kept) if verbose else _MAX_ATTRIBUTES
    tokens = [
        Token(
            (
                Segment(f"{clean(key, 100)}=", "dim"),
                Segment(value_text(value, 2_000 if verbose else 120)),
            ),
            2,
        )
        for key, value in kept[:limit]
    ]
    if len(kept) > limit:
        tokens.append(Token((Segment(f"… {len(kept) - limit} more", "dim"),), 2))
    return tokens


def severity_segment(number: int | None, text: str | None) -> Segment:
    """Write a severity by its short name, five cells wide.

    The short names are those that the logs data model gives to the numbers 1-24
    (https://opentelemetry.io/docs/specs/otel/logs/data-model/#displaying-severity).
    """
    name = clean(text or "", 12).upper()
    if number is not None and 1 <= number <= 24:
        name = _SEVERITIES[(number - 1) // 4]
    return Segment(f"{name:<5}", _SEVERITY_STYLES.get(name, "dim"))


def log_tokens(log: ReadableLogRecord, *, verbose: bool, scope: bool = False) -> list[Token]:
    """Write a log record.

    Args:
        log: The record.
        verbose: Whether to write its source location, all attributes, longer values.
        scope: Whether to say where it comes from.
    """
    record = log.log_record
    attributes: Mapping[str, object] = record.attributes or {}
    number = None if record.severity_number is None else record.severity_number.value
    label = severity_segment(number, record.severity_text)
    hidden: frozenset[str] = frozenset()
    stream = attributes.get(names.IO_STREAM)
    if not label.text.strip() and isinstance(stream, str):
        label, hidden = Segment(clean(stream, 12), "dim"), frozenset({names.IO_STREAM})
    tokens = [Token((label,))]
    if scope and log.instrumentation_scope is not None:
        tokens.append(Token((Segment(clean(log.instrumentation_scope.name, 80), "dim"),)))
    if record.event_name:
        tokens.append(Token((Segment(clean(record.event_name, 200), "italic"),)))
    if record.body is not None:
        tokens += _body_tokens(record.body, 4_000 if verbose else 500)
    if "exception.type" in attributes or "exception.message" in attributes:
        tokens += words(exception_head(attributes), "red", gap=2)
        hidden |= _EXCEPTION
    return tokens + attribute_tokens(attributes, verbose=verbose, hidden=hidden)


def _body_tokens(body: object, limit: int) -> list[Token]:
    if not isinstance(body, str):
        return words(value_text(body, limit))
    return words(" ↵ ".join(clean_lines(body, limit)))


def event_tokens(event: Event, *, verbose: bool) -> list[Token]:
    """Write a span event: an exception, a repeated log record, or any other."""
    attributes: Mapping[str, object] = event.attributes or {}
    if event.name == "exception":
        tokens = [Token((Segment("✗", "red"),))]
        tokens += words(exception_head(attributes), "red")
        stack = str(attributes.get("exception.stacktrace") or "")
        if stack and not verbose:
            note = f"+{counted(len(stack.splitlines()), 'stack line')}"
            tokens.append(Token((Segment(note, "dim"),), 2))
        hidden = _EXCEPTION | {names.TRAP_CODE}
        rest = attribute_tokens(attributes, verbose=verbose, hidden=hidden)
        return tokens + rest
    marker = attributes.get(names.LOG_MARKER)
    if marker is not None:
        tokens = [Token((severity_segment(None, str(marker)),))]
        tokens += words(clean(event.name))
    else:
        tokens = [Token((Segment("•", "dim"),)), *words(clean(event.name))]
    return tokens + attribute_tokens(attributes, verbose=verbose)


def exception_head(attributes: Mapping[str, object]) -> str:
    """Write an exception's type and the first lines of its message."""
    kind = clean(str(attributes.get("exception.type") or "exception"), 200)
    message = str(attributes.get("exception.message") or "")
    reason = " ↵ ".join(reason_lines(message, verbose=False))
    return f"{kind}: {reason}" if reason else kind


def reason_lines(text: str, *, verbose: bool) -> list[str]:
    """Give the lines of a reason that are worth reading first.

    Rust's error chains, and wasmtime's traps with them, put the cause last, after a
    line ``Caused by:``; everything above is how the call came there.
    """
    lines = [line for line in clean_lines(text, 8_000) if line.strip()]
    if verbose:
        return lines[:40]
    causes = [index for index, line in enumerate(lines) if line == "Caused by:"]
    if causes and causes[-1] + 1 < len(lines):
        lines = [line.strip() for line in lines[causes[-1] + 1 :]]
    return lines[:2] + (["…"] if len(lines) > 2 else [])


def stack_lines(attributes: Mapping[str, object] | None) -> list[str]:
    """Give the lines of a recorded stack trace."""
    stack = str((attributes or {}).get("exception.stacktrace") or "")
    lines = clean_lines(stack, 20_000) if stack else []
    return lines[:60] + ([f"… {len(lines) - 60} more lines"] if len(lines) > 60 else [])


def link_tokens(link: Link, forest: Forest, trace_id: int, verbose: bool) -> list[Token]:
    """Write a link to another span, by its name if it is recorded too."""
    context = link.context
    target = forest.nodes.get((context.trace_id, context.span_id))
    tokens = [Token((Segment("→", "dim"),)), Token((Segment("link to", "dim"),))]
    if target is not None:
        tokens += words(clean(target.span.name, 200))
    span_id = f"span {format_span_id(context.span_id)}"
    if context.trace_id != trace_id:
        span_id += f" of trace {format_trace_id(context.trace_id)}"
    if target is None or context.trace_id != trace_id:
        tokens += words(span_id, "dim")
    return tokens + attribute_tokens(link.attributes, verbose=verbose)
