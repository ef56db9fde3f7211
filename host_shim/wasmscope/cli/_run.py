"""``wasmscope run``: a module, its guest's output, and the telemetry of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import wasmtime

from wasmscope.cli._diagnostics import Diagnostics
from wasmscope.cli._exits import CANNOT_RUN, SIGNAL, TRAP, USAGE, CommandError, one_line
from wasmscope.cli._interrupts import Interrupts
from wasmscope.cli._invoke import convert_arguments, format_results
from wasmscope.cli._module_file import ModuleFile, explain_missing
from wasmscope.cli._options import RunOptions
from wasmscope.cli._sandbox import Sandbox, reason_of
from wasmscope.cli._streams import say, write_out
from wasmscope.errors import ConfigurationError, LinkError

if TYPE_CHECKING:
    from wasmscope.cli._session import Session
    from wasmscope.host_shim import Bridge, GuestInstance

__all__ = ["run"]

_INITIALIZE = "_initialize"
"""What a WASI reactor wants called before anything else."""


def run(options: RunOptions) -> int:
    """Run ``wasmscope run``.

    Args:
        options: The command line.

    Returns:
        The exit code.
    """
    with Interrupts() as interrupts, Diagnostics(verbose=options.verbose) as diagnostics:
        return _Run(options, interrupts).execute(diagnostics)


@dataclass(frozen=True, slots=True)
class _End:
    """How the guest ended.

    Attributes:
        exit_code: What the process ends with.
        message: What is to be said about it, or None.
        results: What ``--invoke`` is to print, line by line.
    """

    exit_code: int
    message: str | None = None
    results: tuple[str, ...] = ()


class _Run:
    """One run of one module."""

    def __init__(self, options: RunOptions, interrupts: Interrupts) -> None:
        self._options = options
        self._interrupts = interrupts
        self._file = ModuleFile.read(options.module)
        self._entry = options.invoke
        self._arguments: list[int | float] = []
        self._result_types: tuple[str, ...] = ()
        if options.invoke is None:
            self._entry = self._file.entry()
        else:
            function = self._file.function_type(options.invoke)
            self._arguments = convert_arguments(options.invoke, function, options.arguments)
            self._result_types = function.results
        self._name = options.name or self._file.name
        self._sandbox = Sandbox(self._file, options)

    def execute(self, diagnostics: Diagnostics) -> int:
        """Run it all; gives the exit code."""
        # Before the bridge is loaded: a bad setting is found here, and not by an import.
        from wasmscope.cli._session import Session

        session = Session(self._options, self._name)
        from wasmscope.host_shim import Bridge

        providers = session.providers
        delivery, sender = self._options.delivery, providers.otlp_sender()
        if providers.disabled:
            delivery = None
        elif delivery == "otlp" and sender is None:
            raise _cannot_be_otlp(self._options, providers.otlp_obstacle)
        bridge = Bridge(
            tracer_provider=providers.tracer_provider,
            meter_provider=providers.meter_provider,
            logger_provider=providers.logger_provider,
            logs_as_span_events=self._options.log_events and delivery in {None, "live"},
            delivery=delivery,
            otlp=sender,
        )
        try:
            end = self._traced(bridge, session)
        except BaseException:
            bridge.close()
            session.finish(show=False)
            raise
        bridge.close()
        diagnostics.drain()
        try:
            write_out("".join(f"{line}\n" for line in end.results))
        finally:
            is_read = session.finish(show=True)
        if end.message is not None:
            say(f"wasmscope: {end.message}")
        if not is_read:
            raise BrokenPipeError
        return end.exit_code

    def _traced(self, bridge: Bridge, session: Session) -> _End:
        from opentelemetry.trace import Status, StatusCode

        with session.root() as span:
            end = self._guarded(bridge)
            span.set_attribute("process.exit.code", end.exit_code)
            if end.exit_code:
                span.set_status(Status(StatusCode.ERROR, end.message or f"exit code {end.exit_code}"))
        return end

    def _guarded(self, bridge: Bridge) -> _End:
        """Run the guest, and say how it ended."""
        stop = self._sandbox.stop if self._sandbox.can_stop else None
        try:
            is_asked = stop is not None and self._delivers_while_running(bridge)
            with self._interrupts.running(stop, self._options.limits.timeout_s, is_asked=is_asked):
                instance = self._instantiate(bridge)
                try:
                    results = self._call(instance)
                finally:
                    instance.close()
        except wasmtime.ExitTrap as exit_:
            return _End(exit_.code)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            return self._failed(error)
        return _End(0, results=tuple(format_results(results, self._result_types)))

    def _delivers_while_running(self, bridge: Bridge) -> bool:
        """Have the guest deliver whenever the epoch advances, and end only if it is to; says whether that works."""
        try:
            bridge.deliver_while_running(self._sandbox.store, may_go_on=self._interrupts.may_go_on)
        except ConfigurationError:  # with a wasmtime whose C API is unknown
            return False
        return True

    def _failed(self, error: Exception) -> _End:
        signal = self._interrupts.signal
        if signal is not None:
            return _End(SIGNAL + signal, f"{self._name} was stopped")
        if self._interrupts.timed_out:
            return _End(TRAP, f"{self._name} was stopped: its time of {self._options.limits.timeout_s:g} s is over")
        return _End(TRAP, f"{self._name} trapped: {reason_of(error).removeprefix('wasm trap: ')}")

    def _instantiate(self, bridge: Bridge) -> GuestInstance:
        options, sandbox = self._options, self._sandbox
        try:
            return bridge.instantiate(
                sandbox.linker,
                sandbox.store,
                sandbox.module,
                name=self._name,
                version=options.module_version,
                tenant=options.tenant,
            )
        except LinkError as error:
            raise explain_missing(self._file.path, error.missing) from None
        except wasmtime.Trap:
            raise
        except wasmtime.WasmtimeError as error:
            if isinstance(error, wasmtime.ExitTrap) or "wasm backtrace:" in str(error):
                raise
            # Not the guest's doing: nothing of it has run.
            raise CommandError(
                f"{self._file.path}: cannot be instantiated: {one_line(reason_of(error))}", exit_code=CANNOT_RUN
            ) from None

    def _call(self, instance: GuestInstance) -> list[Any]:
        """Call what is to be called; gives its results."""
        if _INITIALIZE in self._file.functions and self._entry != _INITIALIZE:
            instance.call(_INITIALIZE)
        if self._entry is None:
            return []
        result: Any = instance.call(self._entry, *self._arguments)
        # wasmtime gives None, the value, or a list, by how many there are.
        match len(self._result_types):
            case 0:
                return []
            case 1:
                return [result]
            case _:
                return list(result)


def _cannot_be_otlp(options: RunOptions, obstacle: str | None) -> CommandError:
    if options.json:
        reason = "--json is to have it, too; leave one of them out"
    elif not options.quiet:
        reason = "the tree is to have it, too; add --quiet"
    else:
        reason = f"{obstacle}; add --otlp, or leave --delivery out"
    return CommandError(
        f"--delivery otlp sends everything to an OTLP endpoint and nowhere else, but {reason}", exit_code=USAGE
    )
