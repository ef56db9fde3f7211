from __future__ import annotations

import re
from pathlib import Path

import pytest

from wasmscope.cli._debug import add_id_parser, split_parser, strip_parser
from wasmscope.cli._doctor import doctor_parser
from wasmscope.cli._parser import Parser

DOCUMENT = (Path(__file__).parents[3] / "docs/cli.md").read_text()
DOCTOR = DOCUMENT.partition("## `wasmscope doctor`")[2].partition("### Findings")[0]
DEBUG = DOCUMENT.partition("## `wasmscope debug`")[2]


@pytest.mark.parametrize(
    ("parser", "table"),
    [
        (doctor_parser(), DOCTOR),
        (split_parser(), DEBUG.partition("| option of `split` |")[2].partition("\n\n")[0]),
        (strip_parser(), DEBUG.partition("| option of `strip` |")[2].partition("\n\n")[0]),
        (add_id_parser(), DEBUG.partition("| option of `add-id` |")[2].partition("\n\n")[0]),
    ],
)
def test_options(parser: Parser, table: str) -> None:
    """docs/cli.md has every option of these commands, and no other."""
    options = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", parser.format_help().partition("options:")[2]))
    own = {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}
    documented = set(re.findall(r"`(--?[a-z][a-z-]*)", "\n".join(re.findall(r"^\|([^|]+)\|", table, re.MULTILINE))))

    assert own <= options
    assert documented == own
