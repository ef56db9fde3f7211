"""What a guest runs in: engine, store, linker and WASI, as the options say."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import wasmtime

from wasmscope.cli._exits import CANNOT_RUN, USAGE, CommandError, one_line
from wasmscope.cli._module_file import ModuleFile
from wasmscope.cli._options import Limits, RunOptions
from wasmscope.cli._progress import Progress
from wasmscope.errors import ModuleFormatError

__all__ = ["Sandbox", "reason_of"]


class Sandbox:
    """An engine with one store and one compiled module.

    Attributes:
        engine: The engine.
        store: The store, limited, with WASI.
        linker: Has WASI.
        module: The compiled module.
    """

    def __init__(self, file: ModuleFile, options: RunOptions) -> None:
        """Compile the module and prepare the rest.

        Args:
            file: The module.
            options: What the guest gets.

        Raises:
            ModuleFormatError: If wasmtime finds the module invalid.
            CommandError: If an argument, variable or folder cannot be given to it.
        """
        limits = options.limits
        # Counted fuel and epochs together cost half as much again as the program itself. Without fuel, epochs are what
        # lets Ctrl-C stop a guest that loops.
        self._has_epochs: Final = limits.fuel is None or limits.timeout_s is not None
        config = wasmtime.Config()
        config.epoch_interruption = self._has_epochs
        config.consume_fuel = limits.fuel is not None
        self.engine: Final = wasmtime.Engine(config)
        self.store: Final = wasmtime.Store(self.engine)
        self._limit(limits)
        self.store.set_wasi(_wasi(file, options))
        self.linker: Final = wasmtime.Linker(self.engine)
        self.linker.define_wasi()
        self.module: Final = self._compile(file)

    def _limit(self, limits: Limits) -> None:
        if self._has_epochs:
            self.store.set_epoch_deadline(1)
        if limits.fuel is not None:
            self.store.set_fuel(limits.fuel)
        if limits.max_memory_bytes is not None:
            self.store.set_limits(memory_size=limits.max_memory_bytes)

    def _compile(self, file: ModuleFile) -> wasmtime.Module:
        with Progress(f"compiling {file.path}, {len(file.data) / 1e6:.1f} MB"):
            try:
                return wasmtime.Module(self.engine, file.data)
            except wasmtime.WasmtimeError as error:
                raise ModuleFormatError(f"{file.path}: not a valid module: {reason_of(error)}") from None

    @property
    def can_stop(self) -> bool:
        """Whether `stop` works."""
        return self._has_epochs

    def stop(self) -> None:
        """Make the guest trap soon. From any thread."""
        self.engine.increment_epoch()


def _wasi(file: ModuleFile, options: RunOptions) -> wasmtime.WasiConfig:
    words = (file.path.name, *(() if options.invoke is not None else options.arguments))
    for word in (*words, *(part for pair in (*options.environment, *options.directories) for part in pair)):
        # What is not UTF-8 on the command line comes as lone surrogates.
        if not word.isascii() and word != word.encode(errors="replace").decode():
            raise CommandError(f"{word!r} is not UTF-8, as arguments of WASI programs are", exit_code=USAGE)
    wasi = wasmtime.WasiConfig()
    wasi.argv = list(words)
    wasi.env = [list(pair) for pair in options.environment]
    wasi.inherit_stdin()
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    for host, guest in options.directories:
        if not Path(host).is_dir():
            raise CommandError(f"--dir {host}: there is no such folder", exit_code=USAGE)
        try:
            wasi.preopen_dir(host, guest)
        except wasmtime.WasmtimeError:
            raise CommandError(
                f"--dir {host}: this folder cannot be opened; may you read it?", exit_code=CANNOT_RUN
            ) from None
    return wasi


def reason_of(error: Exception) -> str:
    """Give the innermost cause of wasmtime's error, on one line."""
    causes = str(error).rpartition("Caused by:")[2]
    lines = [line.strip() for line in causes.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    number, separator, rest = lines[-1].partition(": ")
    return one_line(rest if separator and number.isdigit() else lines[-1])
