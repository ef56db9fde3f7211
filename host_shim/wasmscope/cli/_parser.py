"""What the command lines of all commands but ``run`` have in common."""

from __future__ import annotations

import argparse
from typing import NoReturn

from wasmscope.cli._exits import USAGE, CommandError

__all__ = ["Parser", "parser_for"]


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of printing and exiting."""

    def error(self, message: str) -> NoReturn:
        """Say what cannot be understood, and where the help is.

        Raises:
            CommandError: Always.
        """
        raise CommandError(f"{message}; see: {self.prog} --help", exit_code=USAGE)


def parser_for(command: str, usage: str, description: str, epilog: str) -> Parser:
    """Make a parser for ``wasmscope COMMAND``.

    Args:
        command: The command, for example "doctor".
        usage: What follows it.
        description: What it does.
        epilog: The end of its help.
    """
    parser = Parser(
        prog=f"wasmscope {command}",
        usage=f"wasmscope {command} {usage}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this")
    return parser
