"""wasmscope's own messages and OpenTelemetry's, on standard error, through structlog.

structlog takes longer to load than most guests run: it is loaded with the first message.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

__all__ = ["show_diagnostics"]

_EXPORTERS: Final = ("opentelemetry.exporter", "opentelemetry.sdk.trace.export", "opentelemetry.sdk._logs.export",
                     "opentelemetry.sdk.metrics._internal.export", "opentelemetry.sdk._shared_internal")  # fmt: skip


def show_diagnostics(*, verbose: bool) -> None:
    """Let the loggers ``wasmscope`` and ``opentelemetry`` write to standard error.

    Args:
        verbose: Whether to show everything; else warnings, and not what exporters say: the account of what was not
            delivered says it at the end.
    """
    handler = _Handler()
    if not verbose:
        handler.addFilter(lambda record: not record.name.startswith(_EXPORTERS))
    for name in ("wasmscope", "opentelemetry"):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.DEBUG if verbose and name == "wasmscope" else logging.WARNING)


class _Handler(logging.Handler):
    """Writes records as structlog renders them."""

    def __init__(self) -> None:
        super().__init__()
        self._inner: logging.Handler | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        if self._inner is None:
            self._inner = _console()
        self._inner.handle(record)


def _console() -> logging.Handler:
    import structlog

    from wasmscope.exporters import Layout

    handler = logging.StreamHandler(sys.stderr)
    color = Layout.of_stream(sys.stderr).color
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper("%H:%M:%S", utc=False),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.dev.ConsoleRenderer(colors=color, pad_event_to=0, pad_level=False),
            ],
        )
    )
    return handler
