"""How the command ends when it is not the guest that says so.

A guest's own exit code is passed on; WASI's are 0-125 (wasmtime refuses others), so that only 1 and 2 can mean two
things, and then standard error says which.
"""

from __future__ import annotations

from typing import Final

from wasmscope.errors import (
    AbiError,
    ConfigurationError,
    ExportError,
    LinkError,
    ModuleFormatError,
    WasmscopeError,
)

__all__ = [
    "BROKEN_PIPE",
    "CANNOT_RUN",
    "NOT_FOUND",
    "OWN_FAILURE",
    "SIGNAL",
    "TRAP",
    "USAGE",
    "CommandError",
    "exit_code_of",
    "one_line",
]

USAGE: Final = 2
"""The command line, or a setting in the environment, cannot be used."""
OWN_FAILURE: Final = 125
"""wasmscope cannot write its output, or has a defect."""
CANNOT_RUN: Final = 126
"""The module is there and cannot be run."""
NOT_FOUND: Final = 127
"""There is no such file."""
SIGNAL: Final = 128
"""Plus the number of the signal that stopped it; 130 for Ctrl-C."""
TRAP: Final = 134
"""The guest trapped; the number that an aborted process has, and wasmtime's."""
BROKEN_PIPE: Final = 141
"""Nobody reads standard output any more."""


class CommandError(WasmscopeError):
    """A command cannot do what it was asked for.

    Attributes:
        exit_code: What the process ends with.
    """

    def __init__(self, message: str, *, exit_code: int) -> None:
        """Say what is wrong, where, and what to try, in one line."""
        super().__init__(message)
        self.exit_code = exit_code


def exit_code_of(error: WasmscopeError) -> int:
    """Give the exit code for an error."""
    match error:
        case CommandError():
            return error.exit_code
        case ModuleFormatError() | AbiError() | LinkError() | ExportError():
            return CANNOT_RUN
        case ConfigurationError():
            return USAGE
        case _:
            return OWN_FAILURE


def one_line(text: str) -> str:
    """Put a message of several lines on one, with nothing in it that a terminal would act on."""
    joined = " ".join(text.split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in joined)
