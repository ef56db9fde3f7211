"""Guests' log records in the host's structlog pipeline, and trace ids for all of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord

from wasmscope.exporters import _conventions as names
from wasmscope.exporters._text import clean

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

__all__ = ["add_trace_context", "structlog_sink"]

_logger = logging.getLogger("wasmscope.exporters")

_TEXT_LIMIT: Final = 65_536
_METHODS: Final = ("debug", "debug", "info", "warning", "error", "critical")
"""Methods for the severity ranges TRACE, DEBUG, INFO, WARN, ERROR and FATAL."""
_RENAMED: Final = {names.TENANT: "tenant", names.TARGET: "target"}
_TAKEN: Final = frozenset(
    {
        "event",
        "exc_info",
        "exception",
        "level",
        "logger",
        "message",
        "method_name",
        "module",
        "module_version",
        "positional_args",
        "self",
        "severity",
        "span_id",
        "stack",
        "stack_info",
        "target",
        "tenant",
        "timestamp",
        "trace_flags",
        "trace_id",
    }
)
"""Keys with a meaning in structlog or here; a guest's own get ``guest.`` in front."""


def structlog_sink(
    logger: WrappedLogger | None = None, *, modules: Collection[str] | None = None
) -> LogRecordProcessor:
    """Let guests' log records flow into structlog.

    Add the result to a logger provider. Each record of a guest becomes an event: the
    body is ``event``, the severity chooses the method; ``module``, ``module_version``,
    ``tenant``, ``target``, ``trace_id``, ``span_id`` and all attributes are keys.
    Control characters are escaped, because many pipelines end in a terminal.

    Nothing is ever raised; if the pipeline fails, the logger ``wasmscope.exporters``
    says so once.

    Args:
        logger: A structlog logger; the one named ``wasmscope.guest`` by default.
        modules: The names of the modules whose records to take. None takes all that the
            provider gets: right where only guests log to it. A host that sends its own
            structlog events there as well has to name the modules, or would see these
            events twice.
    """
    if logger is None:
        import structlog

        logger = structlog.get_logger("wasmscope.guest")
    return _Sink(logger, None if modules is None else frozenset(modules))


class _Sink(LogRecordProcessor):
    """Passes log records of guests on to structlog."""

    def __init__(self, logger: WrappedLogger, modules: frozenset[str] | None) -> None:
        self._logger = logger
        self._modules = modules
        self._inside = threading.local()
        self._complained = False

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Make a structlog event of a guest's record."""
        # A pipeline may end in OpenTelemetry again.
        if getattr(self._inside, "busy", False) or not self._wants(log_record):
            return
        self._inside.busy = True
        try:
            method, text, values = _event(log_record)
            getattr(self._logger, method)(text, **values)
        except Exception:
            if not self._complained:
                self._complained = True
                _logger.warning("guests' logs do not get into structlog", exc_info=True)
        finally:
            self._inside.busy = False

    def _wants(self, log_record: ReadWriteLogRecord) -> bool:
        scope = log_record.instrumentation_scope
        return self._modules is None or (scope is not None and scope.name in self._modules)

    def shutdown(self) -> None:
        """Do nothing: the logger is the host's."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: records are passed on at once."""
        return True


def _event(emitted: ReadWriteLogRecord) -> tuple[str, str, dict[str, object]]:
    """Give method, text and keys of the event."""
    record = emitted.log_record
    scope = emitted.instrumentation_scope
    attributes: Mapping[str, object] = record.attributes or {}
    values: dict[str, object] = {}
    if scope is not None:
        values["module"] = scope.name
        if scope.version:
            values["module_version"] = scope.version
    for key, value in attributes.items():
        name = _RENAMED.get(key)
        if name is None:
            name = clean(key, 256)
            if name in _TAKEN or name.startswith("_"):
                name = f"guest.{name}"
        values[name] = clean(value, _TEXT_LIMIT) if isinstance(value, str) else value
    if record.event_name:
        values["event_name"] = clean(record.event_name, 1_024)
    if record.trace_id:
        values["trace_id"] = trace.format_trace_id(record.trace_id)
        values["span_id"] = trace.format_span_id(record.span_id or 0)
        values["trace_flags"] = f"{record.trace_flags or 0:02x}"
    body = record.body
    text = clean(body if isinstance(body, str) else f"{body}", _TEXT_LIMIT)
    number = record.severity_number.value if record.severity_number is not None else 9
    method = _METHODS[min(max(number - 1, 0) // 4, len(_METHODS) - 1)]
    return method, "" if body is None else text, values


def add_trace_context(logger: WrappedLogger, method_name: str, event_dict: EventDict) -> EventDict:
    """Add the current span's ids to an event: a structlog processor.

    The keys are those of
    https://opentelemetry.io/docs/specs/otel/compatibility/logging_trace_context/:
    ``trace_id``, ``span_id`` and ``trace_flags``, in lower-case hexadecimal. Keys that
    an event has already are kept. Without a span nothing is added.

    Args:
        logger: Not used.
        method_name: Not used.
        event_dict: The event.
    """
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event_dict.setdefault("trace_id", trace.format_trace_id(context.trace_id))
        event_dict.setdefault("span_id", trace.format_span_id(context.span_id))
        event_dict.setdefault("trace_flags", f"{context.trace_flags:02x}")
    return event_dict
