"""The process's standard streams, whatever state they are in."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import TextIO

from wasmscope.cli._exits import OWN_FAILURE, CommandError

__all__ = ["JsonOutput", "ensure_standard_streams", "let_go", "say", "settle", "write_out"]


def ensure_standard_streams() -> None:
    """Let streams that the process was started without lead to nowhere.

    Otherwise the next file or socket that is opened would get the descriptor, and with it what the guest writes.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115


def say(line: str) -> None:
    """Write a line to standard error; if that cannot be written to, there is nobody to tell."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def write_out(text: str) -> None:
    """Write to standard output, now.

    Raises:
        BrokenPipeError: If nobody reads it any more.
        CommandError: If it cannot be written to otherwise.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        let_go(sys.stdout)
        raise CommandError(f"standard output cannot be written: {error.strerror}", exit_code=OWN_FAILURE) from None


def let_go(stream: TextIO) -> None:
    """Point a stream to nowhere, so that Python does not try to write the rest to it when it exits."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def settle(stream: TextIO) -> None:
    """Write what a stream still holds, or let go of it: some Pythons fail at exit if that cannot be written."""
    try:
        stream.flush()
    except (OSError, ValueError):
        let_go(stream)


class JsonOutput(TextIOWrapper):
    """Standard output for telemetry alone: what the guest writes there goes to standard error from now on.

    Attributes:
        is_broken: Whether nobody reads it any more.
    """

    is_broken = False

    def __init__(self) -> None:
        """Take standard output over."""
        sys.stdout.flush()
        taken = os.dup(sys.stdout.fileno())
        # Not only Python's: the guest writes to the descriptor itself.
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        super().__init__(open(taken, "wb"), encoding="utf-8", newline="\n")  # noqa: PTH123, SIM115

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            super().flush()
        except BrokenPipeError:
            self.is_broken = True
            raise

    def close(self) -> None:
        """Close it. What could not be written was raised when it was flushed, which each line is.

        Python closes what is still open when it exits, and since 3.13 prints what that raises.
        """
        with suppress(OSError):
            super().close()
