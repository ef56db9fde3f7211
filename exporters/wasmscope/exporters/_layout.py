"""How wide, how colourful and how long a rendering may be."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, TextIO

from wasmscope.errors import ConfigurationError

__all__ = ["Layout", "write_text"]

_MIN_WIDTH = 40
_MAX_WIDTH = 240
_WIDTH_OF_A_FILE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What a rendering may use.

    Attributes:
        width: Terminal cells in a line, at least 40. Beyond 240 nothing gets wider.
        color: Whether to colour, with the sixteen colours of the user's own theme.
        unicode: Whether line-drawing characters may be used; else plain ASCII.
        verbose: Whether to show stack traces, source locations and every attribute.
        max_spans: How many spans are shown, of all traces together. Which: those that
            failed with all that leads to them, then level by level from the roots.
        max_records: How many log records and span events are shown on one span.

    Raises:
        ConfigurationError: If a number is too small to show anything.
    """

    width: int = 80
    color: bool = False
    unicode: bool = True
    verbose: bool = False
    max_spans: int = 1_000
    max_records: int = 100

    def __post_init__(self) -> None:
        """Refuse what nothing can be drawn in."""
        if self.width < _MIN_WIDTH:
            raise ConfigurationError(f"Layout(width={self.width!r}): at least {_MIN_WIDTH} cells are needed")
        if self.max_spans < 1 or self.max_records < 1:
            raise ConfigurationError("Layout: max_spans and max_records are at least 1")

    @classmethod
    def of_stream(
        cls,
        stream: TextIO,
        *,
        verbose: bool = False,
        environ: Mapping[str, str] = os.environ,
    ) -> Self:
        """Give the layout that suits a stream.

        Colours need a terminal, unless ``FORCE_COLOR`` is set to something;
        ``NO_COLOR`` wins (https://no-color.org, https://force-color.org). The width
        is that in ``COLUMNS``, else the terminal's, else 100.

        Args:
            stream: Where the rendering will be written.
            verbose: See the attribute of that name.
            environ: Environment variables.
        """
        terminal = _is_terminal(stream)
        color = bool(environ.get("FORCE_COLOR")) or (terminal and environ.get("TERM") != "dumb")
        return cls(
            width=_width(stream, terminal, environ),
            color=color and not environ.get("NO_COLOR"),
            unicode=_can_draw(stream),
            verbose=verbose,
        )


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False


def _width(stream: TextIO, terminal: bool, environ: Mapping[str, str]) -> int:
    columns = environ.get("COLUMNS", "")
    if columns.isascii() and columns.isdigit() and int(columns[:6]) > 0:
        width = int(columns[:6])
    elif terminal:
        try:
            width = os.get_terminal_size(stream.fileno()).columns or 80
        except (OSError, ValueError):
            width = 80
    else:
        width = _WIDTH_OF_A_FILE
    return min(max(width, _MIN_WIDTH), _MAX_WIDTH)


def _can_draw(stream: TextIO) -> bool:
    try:
        "├╰━…µ".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def write_text(stream: TextIO, text: str) -> None:
    """Write to a stream what its encoding can hold, ``?`` for the rest."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()
