"""wasmscope's own messages and OpenTelemetry's, on standard error, through structlog.

structlog takes longer to load than most guests run, and a message often comes in the middle of a call into the guest:
a thread of its own loads it with the first message and writes what comes.
"""

from __future__ import annotations

import logging
import sys
import threading
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Final

from wasmscope.cli._exits import one_line

if TYPE_CHECKING:
    from typing import Self

    from structlog.typing import EventDict, WrappedLogger

__all__ = ["Diagnostics"]

_LOGGERS: Final = ("wasmscope", "opentelemetry")
_EXPORTERS: Final = (
    "opentelemetry.exporter",
    "opentelemetry.sdk._logs.export",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.metrics._internal.export",
    "opentelemetry.sdk.trace.export",
    "wasmscope.delivery",
)


class Diagnostics(logging.Handler):
    """Writes what the loggers ``wasmscope`` and ``opentelemetry`` say while it is entered; a context manager."""

    def __init__(self, *, verbose: bool) -> None:
        """Prepare.

        Args:
            verbose: Whether to write everything; else warnings, and not what exporters say: what was not delivered is
                told at the end.
        """
        super().__init__()
        self._is_verbose = verbose
        self._queue: SimpleQueue[logging.LogRecord | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        if not verbose:
            self.addFilter(lambda record: not record.name.startswith(_EXPORTERS))

    def __enter__(self) -> Self:
        """Begin to listen."""
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            logger.addHandler(self)
            logger.propagate = False
            logger.setLevel(logging.DEBUG if self._is_verbose and name == "wasmscope" else logging.WARNING)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, when all is written."""
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            logger.removeHandler(self)
            logger.propagate = True
            logger.setLevel(logging.NOTSET)
        self.drain()

    def drain(self) -> None:
        """Wait until all is written that came so far."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()

    def emit(self, record: logging.LogRecord) -> None:
        """Have a record written."""
        if self._thread is None:  # under the handler's lock
            self._thread = threading.Thread(target=self._write, name="wasmscope-diagnostics", daemon=True)
            self._thread.start()
        self._queue.put(record)

    def _write(self) -> None:
        console = _console()
        while (record := self._queue.get()) is not None:
            console.handle(record)


def _console() -> logging.Handler:
    import structlog

    from wasmscope.exporters import Layout

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper("%H:%M:%S", utc=False),
                _harmless,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.dev.ConsoleRenderer(colors=Layout.of_stream(sys.stderr).color),
            ],
        )
    )
    return handler


def _harmless(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take out what a terminal would act on: messages quote guests."""
    event["event"] = one_line(str(event["event"]))
    return event
