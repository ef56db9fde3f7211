"""The guest ABI as ``docs/abi.md`` prints it: names and types, read from the page and not from the code."""

from __future__ import annotations

import functools
import re
from pathlib import Path

__all__ = ["functions", "wat_type"]

_PAGE = Path(__file__).parents[2] / "docs" / "abi.md"
_SIGNATURE = re.compile(r"`([a-z_0-9]+)\(([^`)]*)\)(?: -> (i32|i64))?`")
_LETTERS = {"i32": "i", "i64": "l", "f64": "d", "p": "p", "text": "pp", "attrs": "pp"}


@functools.cache
def functions() -> dict[str, tuple[str, str]]:
    """Give the functions: parameters and result, a letter for each (i, l, d as in ``_abi``, p an address)."""
    section = _PAGE.read_text(encoding="utf-8").split("\n## Functions\n")[1].split("\n## Packed data\n")[0]
    found: dict[str, tuple[str, str]] = {}
    for name, params, result in _SIGNATURE.findall(section):
        letters = "".join(_LETTERS[param.split()[0]] for param in filter(None, map(str.strip, params.split(","))))
        found.setdefault(name, (letters, _LETTERS[result] if result else ""))
    return found


def wat_type(letters: str, *, memory64: bool) -> str:
    """Give the WAT types of some letters."""
    return " ".join({"i": "i32", "l": "i64", "d": "f64", "p": "i64" if memory64 else "i32"}[c] for c in letters)
