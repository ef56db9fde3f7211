"""Files that are looked into and not run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from wasmscope.cli._exits import CANNOT_RUN, NOT_FOUND, CommandError
from wasmscope.errors import ModuleFormatError
from wasmscope.wasm import Component, Module, open_binary

__all__ = ["open_file", "open_module"]

_T = TypeVar("_T")


def open_file(path: str) -> Module | Component:
    """Open a module or a component.

    Args:
        path: Where it is.

    Raises:
        CommandError: If it cannot be read.
        ModuleFormatError: If it is neither.
    """
    return _opened(path, open_binary)


def open_module(path: str) -> Module:
    """Open a core module.

    Args:
        path: Where it is.

    Raises:
        CommandError: If it cannot be read.
        ModuleFormatError: If it is no core module.
    """
    return _opened(path, Module.open)


def _opened(path: str, opener: Callable[[str], _T]) -> _T:
    try:
        return opener(path)
    except ModuleFormatError as error:
        raise ModuleFormatError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise CommandError(f"{path}: there is no such file", exit_code=NOT_FOUND) from None
    except NotADirectoryError:
        raise CommandError(
            f"{path}: there is no such file; a part of the path is a file", exit_code=NOT_FOUND
        ) from None
    except IsADirectoryError:
        raise CommandError(f"{path}: this is a folder; name a .wasm file", exit_code=CANNOT_RUN) from None
    except PermissionError:
        raise CommandError(f"{path}: you may not read this file; see: ls -l", exit_code=CANNOT_RUN) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CommandError(f"{path}: cannot be read: {reason}", exit_code=CANNOT_RUN) from None
