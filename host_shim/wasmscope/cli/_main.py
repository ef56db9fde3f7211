"""The command line as a whole: which command, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from wasmscope.cli import _exits
from wasmscope.cli._streams import ensure_standard_streams, let_go, say, settle, write_out
from wasmscope.errors import WasmscopeError

__all__ = ["main"]

_HELP: Final = """\
usage: wasmscope COMMAND ...

OpenTelemetry for WebAssembly guests.

commands:
  run [OPTIONS] MODULE [ARGS...]   run a module and show what it logs, measures and traces
  symbolize -e MODULE [ADDRESS...] find functions, files and lines of addresses, or in pasted stack traces
  doctor [OPTIONS] MODULE          say whether a module's debug information can be trusted
  debug split|strip|add-id         make the module to ship, and the debug information to keep

options:
  -h, --help                       show this, or the help of a command
  --version                        show the versions of wasmscope, wasmtime and OpenTelemetry

Start with: wasmscope run MODULE
"""


def _run(arguments: Sequence[str]) -> int:
    from wasmscope.cli._options import parse

    options = parse(arguments)
    if isinstance(options, str):
        write_out(options)
        return 0
    # Only now: it loads the runtime.
    from wasmscope.cli._run import run

    return run(options)


def _debug(arguments: Sequence[str]) -> int:
    from wasmscope.cli._debug import debug

    return debug(arguments)


def _doctor(arguments: Sequence[str]) -> int:
    from wasmscope.cli._doctor import doctor

    return doctor(arguments)


def _symbolize(arguments: Sequence[str]) -> int:
    from wasmscope.cli._symbolize import symbolize

    return symbolize(arguments)


_COMMANDS: Final[dict[str, Callable[[Sequence[str]], int]]] = {
    "debug": _debug,
    "doctor": _doctor,
    "run": _run,
    "symbolize": _symbolize,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: What follows the command's name; None for the process's own.

    Returns:
        The exit code; ``docs/cli.md`` has the list.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    ensure_standard_streams()
    try:
        return _dispatch(given)
    except WasmscopeError as error:
        say(f"wasmscope: {_exits.one_line(str(error))}")
        return _exits.exit_code_of(error)
    except BrokenPipeError:
        let_go(sys.stdout)
        return _exits.BROKEN_PIPE
    except KeyboardInterrupt:
        return _exits.SIGNAL + 2
    except Exception as error:
        if os.environ.get("WASMSCOPE_DEBUG"):
            raise
        say(
            f"wasmscope: internal error, please report it: {type(error).__name__}: {_exits.one_line(str(error))} "
            "(WASMSCOPE_DEBUG=1 shows where)"
        )
        return _exits.OWN_FAILURE
    finally:
        settle(sys.stderr)


def _dispatch(arguments: Sequence[str]) -> int:
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        write_out(_HELP)
        return 0 if arguments else _exits.USAGE
    if name == "--version":
        write_out(f"{_versions()}\n")
        return 0
    command = _COMMANDS.get(name)
    if command is None:
        hint = f"wasmscope run {name}" if "." in name or os.sep in name else "wasmscope --help"
        raise _exits.CommandError(f"there is no command {name!r}; try: {hint}", exit_code=_exits.USAGE)
    return command(arguments[1:])


def _versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    def of(distribution: str) -> str:
        try:
            return version(distribution)
        except PackageNotFoundError:
            return "unknown"

    return f"wasmscope {of('wasmscope')} (wasmtime {of('wasmtime')}, OpenTelemetry {of('opentelemetry-sdk')})"
