"""The telemetry of one run: where it goes, and what is said about it at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from wasmscope.cli._options import RunOptions
from wasmscope.cli._progress import Progress
from wasmscope.cli._streams import JsonOutput, say
from wasmscope.exporters import Providers, Recording, print_recording, providers_from_environment

if TYPE_CHECKING:
    from opentelemetry.trace import Span

__all__ = ["Session"]

_CARRIED: Final = ("traceparent", "tracestate", "baggage")


class Session:
    """Providers for a run, a root span, and the report.

    Attributes:
        providers: The providers.
    """

    def __init__(self, options: RunOptions, name: str) -> None:
        """Set up providers as options and environment say.

        Args:
            options: The options.
            name: The module's name: also the service's, if the environment has none.

        Raises:
            ConfigurationError: If options or environment cannot be used.
        """
        self._is_verbose = options.verbose
        self._recording = None if options.quiet else Recording()
        self._json = JsonOutput() if options.json else None
        self.providers: Final[Providers] = providers_from_environment(
            otlp=options.otlp,
            json_stream=self._json,
            recording=self._recording,
            service_name=name,
        )

    @contextmanager
    def root(self) -> Generator[Span]:
        """Open the run's own span: a child of what ``TRACEPARENT`` in the environment names, if it is there.

        Source: OpenTelemetry specification, "Environment Variables as Context Propagation Carriers".
        """
        from opentelemetry import context, propagate

        carrier = {name: os.environ[name.upper()] for name in _CARRIED if name.upper() in os.environ}
        token = context.attach(propagate.extract(carrier))
        try:
            tracer = self.providers.tracer_provider.get_tracer("wasmscope")
            with tracer.start_as_current_span("wasmscope run") as span:
                yield span
        finally:
            context.detach(token)

    def finish(self, *, show: bool) -> bool:
        """Deliver what is left; show the tree and the tables, then what could not be delivered.

        Args:
            show: Whether to show the tree and the tables at all.

        Returns:
            Whether somebody read standard output to the end.
        """
        with Progress("delivering telemetry"):
            self.providers.shutdown()
        if show and self._recording is not None:
            # If the tree cannot be written, that is no failure of the guest's.
            with suppress(OSError):
                print_recording(self._recording, sys.stderr, verbose=self._is_verbose)
        is_broken = self._json is not None and self._json.is_broken
        for line in self.providers.report():
            if not (is_broken and "the JSON stream" in line):
                say(f"wasmscope: {line}")
        return not is_broken
