"""What a stream can show."""

import io
import os
import pty
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from wasmscope.errors import ConfigurationError
from wasmscope.exporters import Layout
from wasmscope.exporters._layout import write_text


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    """A real terminal of 91 columns, to write to."""
    controller, follower = pty.openpty()
    termios.tcsetwinsize(follower, (50, 91))
    with os.fdopen(follower, "w", encoding="utf-8") as stream:
        yield stream
    os.close(controller)


class TestColor:
    def test_terminal(self, terminal: TextIO) -> None:
        """A terminal gets colours."""
        assert Layout.of_stream(terminal, environ={"TERM": "xterm"}).color

    def test_no_color_wins(self, terminal: TextIO) -> None:
        """``NO_COLOR`` set to anything takes them away, also from those who force them."""
        environ = {"TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": "1"}

        assert not Layout.of_stream(terminal, environ=environ).color

    def test_empty_no_color(self, terminal: TextIO) -> None:
        """An empty ``NO_COLOR`` is none, as https://no-color.org says."""
        assert Layout.of_stream(terminal, environ={"NO_COLOR": ""}).color

    def test_dumb_terminal(self, terminal: TextIO) -> None:
        """A dumb terminal gets none."""
        assert not Layout.of_stream(terminal, environ={"TERM": "dumb"}).color

    def test_pipe(self) -> None:
        """What is not a terminal gets none, unless ``FORCE_COLOR`` is set."""
        assert not Layout.of_stream(io.StringIO(), environ={}).color
        assert Layout.of_stream(io.StringIO(), environ={"FORCE_COLOR": "1"}).color


class TestWidth:
    def test_terminal(self, terminal: TextIO) -> None:
        """The terminal is asked."""
        assert Layout.of_stream(terminal, environ={}).width == 91

    def test_columns(self, terminal: TextIO) -> None:
        """``COLUMNS`` is a person's word."""
        assert Layout.of_stream(terminal, environ={"COLUMNS": "70"}).width == 70

    @pytest.mark.parametrize(("columns", "expected"), [("5", 40), ("99999999", 240), ("x", 100), ("", 100)])
    def test_odd_columns(self, columns: str, expected: int) -> None:
        """Odd widths become the nearest possible one, nonsense is not heard."""
        assert expected == Layout.of_stream(io.StringIO(), environ={"COLUMNS": columns}).width

    def test_closed_stream(self, tmp_path: Path) -> None:
        """Even a closed stream has a layout: the error belongs to the writing."""
        with (tmp_path / "file").open("w") as stream:
            pass

        assert not Layout.of_stream(stream, environ={}).color


class TestCharacters:
    def test_ascii(self) -> None:
        """A stream that takes only ASCII is not drawn lines to."""
        stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")

        assert not Layout.of_stream(stream, environ={}).unicode

    def test_what_does_not_fit_is_replaced(self) -> None:
        """Writing never fails for want of a character."""
        raw = io.BytesIO()
        with io.TextIOWrapper(raw, encoding="latin-1") as stream:
            write_text(stream, "grün 日本\n")
            written = raw.getvalue()

        assert "grün ??\n".encode("latin-1") == written

    def test_standard_streams(self) -> None:
        """The process's own streams have a layout."""
        assert Layout.of_stream(sys.stderr).width >= 40


class TestLimits:
    def test_too_narrow(self) -> None:
        """A layout that nothing fits in is refused, in words."""
        with pytest.raises(ConfigurationError, match="width=10"):
            Layout(width=10)

    def test_nothing_to_show(self) -> None:
        """A limit below one is refused."""
        with pytest.raises(ConfigurationError, match="at least 1"):
            Layout(max_spans=0)
