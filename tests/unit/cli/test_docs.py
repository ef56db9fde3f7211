from __future__ import annotations

import re
from pathlib import Path

from wasmscope.cli import _exits
from wasmscope.cli._options import parse
from wasmscope.cli._symbolize_options import HELP as SYMBOLIZE_HELP

DOCUMENT = (Path(__file__).parents[3] / "docs/cli.md").read_text()
SYMBOLIZER = (Path(__file__).parents[3] / "docs/symbolizer.md").read_text()


class TestDocument:
    def test_options(self) -> None:
        """docs/cli.md has every option that the help has, and no other."""
        text = parse(["--help"], {})
        assert isinstance(text, str)
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--help", "--wasm"}
        table = DOCUMENT.partition("## Options")[2].partition("## Exit codes")[0]

        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", table)) == options

    def test_options_of_symbolize(self) -> None:
        """docs/symbolizer.md tells of every long option of ``wasmscope symbolize``, and of none that there is not."""
        known = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", SYMBOLIZE_HELP))
        told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", SYMBOLIZER.partition("## The command")[2]))
        short = {
            "--exe",
            "--addresses",
            "--functions",
            "--inlines",
            "--pretty-print",
            "--basenames",
            "--demangle",
            "--help",
        }

        assert told <= known
        assert known - told <= short

    def test_exit_codes(self) -> None:
        """docs/cli.md has every exit code that the command can end with."""
        table = DOCUMENT.partition("## Exit codes")[2].partition("## Environment")[0]
        codes = {_exits.USAGE, _exits.OWN_FAILURE, _exits.CANNOT_RUN, _exits.NOT_FOUND, _exits.TRAP, _exits.BROKEN_PIPE}

        assert {code for code in codes | {_exits.SIGNAL + 2, _exits.SIGNAL + 15} if str(code) not in table} == set()
