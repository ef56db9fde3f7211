from __future__ import annotations

import os
import pty
import select
import time
from pathlib import Path

import pytest

from wasmscope.cli._progress import Progress


def shown_on_terminal(monkeypatch: pytest.MonkeyPatch, seconds: float, term: str = "xterm") -> str:
    """What somebody sees while something takes that long."""
    ours, theirs = pty.openpty()
    try:
        with open(theirs, "w", encoding="utf-8") as stream:  # noqa: PTH123
            monkeypatch.setattr("sys.stderr", stream)
            monkeypatch.setenv("TERM", term)
            with Progress("compiling x.wasm"):
                time.sleep(seconds)
            text = b""
            # The kernel hands over what was written in pieces, and a moment later.
            while select.select([ours], [], [], 0.5)[0]:
                text += os.read(ours, 65_536)
            return text.decode()
    finally:
        os.close(ours)


class TestProgress:
    def test_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What takes over a second is told with its duration, and erased when it is done."""
        text = shown_on_terminal(monkeypatch, 1.3)

        assert "compiling x.wasm … 1 s" in text
        assert text.endswith("\r\x1b[K")

    def test_short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is done at once is not told."""
        assert shown_on_terminal(monkeypatch, 0) == ""

    def test_dumb_terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A terminal that cannot erase a line gets none."""
        assert shown_on_terminal(monkeypatch, 1.2, "dumb") == ""

    def test_no_terminal(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is written where standard error is no terminal."""
        path = tmp_path / "stderr"
        with path.open("w") as stream:
            monkeypatch.setattr("sys.stderr", stream)
            with Progress("compiling x.wasm"):
                time.sleep(1.2)

        assert path.read_text() == ""
