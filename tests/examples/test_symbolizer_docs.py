"""What docs/symbolizer.md says about the library."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.examples.test_examples import EXAMPLES
from tests.support.symbolized import FIXTURES

DOCS = (EXAMPLES.parent / "docs" / "symbolizer.md").read_text(encoding="utf-8")


def test_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The program in the documentation prints what stands beneath it."""
    found = re.search(r"^```python\n(.*?)^```\n\nprints\n\n((?:    [^\n]*\n)+)", DOCS, re.MULTILINE | re.DOTALL)
    assert found is not None
    shutil.copy(FIXTURES / "c" / "O1-dwarf4.wasm", tmp_path / "app.wasm")
    monkeypatch.chdir(tmp_path)
    exec(found[1], {})

    shown = [line.removeprefix("    ") for line in found[2].splitlines()]
    assert capsys.readouterr().out.splitlines() == shown
