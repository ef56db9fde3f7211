"""The filter: text in, the same text out, with the source beneath each stack frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from wasmscope.dwarf.dialects import NEEDLES, find, is_detail

if TYPE_CHECKING:
    from wasmscope.cli._symbolize_json import JsonDocument
    from wasmscope.dwarf import Frame
    from wasmscope.dwarf.dialects import Match

    Answer = Callable[[Match], Sequence[Frame]]
    """Gives what is at a frame's place, the innermost function first; nothing if there is nothing to add."""
    Beneath = Callable[[Sequence[Frame], str], list[str]]
    """Gives the lines that go beneath a frame, each with an indent."""

__all__ = ["LineExtender", "TextFilter"]

_NEEDLES: Final = tuple(needle.encode() for needle in NEEDLES)
_MAX_LINE_BYTES: Final = 64 << 20
"""A longer line is passed on without being looked at, so that memory is bounded."""
_MAX_INDENT: Final = 80
_MAX_NAME: Final = 8192
"""How far before a frame's place its function's name is looked for."""


class LineExtender:
    """Finds what goes beneath a line, and which lines that makes superfluous.

    wasmtime can print places itself (``WASMTIME_BACKTRACE_DETAILS=1``), on lines of their own beneath a frame. Where we
    know the place, ours replace them, so that no place is there twice; else they stay.

    Attributes:
        answer: Who knows what is at a place.
    """

    def __init__(self, answer: Answer, beneath: Beneath) -> None:
        """Prepare.

        Args:
            answer: Who knows what is at a place.
            beneath: How that is written.
        """
        self.answer = answer
        self._beneath = beneath
        self._is_replacing = False

    def passes_unseen(self) -> bool:
        """Whether a line without any frame can be passed on without asking."""
        return not self._is_replacing

    def extend(self, line: str) -> list[str] | None:
        """Say what goes beneath a line.

        Args:
            line: The line, with or without its end.

        Returns:
            The lines to add, without ends; None if the line itself is to go.
        """
        if self._is_replacing and is_detail(line):
            return None
        self._is_replacing = False
        added: list[str] = []
        end = 0
        for match in find(line):
            frames = self.answer(match)
            # What belongs to the frame, a name before its place included: the line can be long and full of frames.
            own = line[max(end, match.start - _MAX_NAME) : match.end]
            end = match.end
            if not frames or not _says_more(frames[0], own):
                continue
            blank = len(line) - len(line.lstrip(" \t"))
            added += self._beneath(frames, line[: min(blank, _MAX_INDENT)] + "    ")
            self._is_replacing = match.dialect in _WITH_DETAILS and frames[0].line is not None
        return added


def _says_more(frame: Frame, text: str) -> bool:
    """Whether an answer tells more than the text itself: a file, or a name that somebody has given."""
    if frame.file is not None:
        return True
    name = frame.function or frame.linkage_name
    return name is not None and frame.origin.value != "index" and name not in text


_WITH_DETAILS: Final = ("wasmtime", "proxy-wasm")  # with details, wasmtime leaves the module's name out


class TextFilter:
    """Extends a stream of bytes, line by line.

    Bytes that are not part of what is added come out as they went in: also what is no UTF-8, any line ends, a last line
    without end.
    """

    def __init__(self, extender: LineExtender) -> None:
        """Begin.

        Args:
            extender: Who knows what to add.
        """
        self._extender = extender
        self._rest: list[bytes] = []
        self._rest_size = 0
        self._is_too_long = False
        self._document: JsonDocument | None = None

    def feed(self, data: bytes) -> bytes:
        """Take what has come and give what can be passed on: all complete lines, except inside a JSON document."""
        end = data.rfind(b"\n") + 1
        if not end:
            return self._keep(data)
        if self._is_too_long:
            first = data.find(b"\n") + 1
            self._is_too_long = False
            return data[:first] + self.feed(data[first:])
        self._rest.append(data[:end])
        lines = b"".join(self._rest)
        self._rest, self._rest_size = [], 0
        out = self._lines(lines)
        return out + self._keep(data[end:]) if end < len(data) else out

    def finish(self) -> bytes:
        """Give what is left, at the end of the input."""
        rest = b"".join(self._rest)
        self._rest, self._rest_size = [], 0
        return (self._lines(rest) if rest else b"") + self._no_document()

    def _no_document(self) -> bytes:
        """Give up the document that has begun, if any: give its lines as text."""
        document, self._document = self._document, None
        return b"" if document is None else self._plain(document.lines)

    def _keep(self, data: bytes) -> bytes:
        if self._is_too_long:
            return data
        self._rest.append(data)
        self._rest_size += len(data)
        if self._rest_size <= _MAX_LINE_BYTES:
            return b""
        self._is_too_long = True
        rest = b"".join(self._rest)
        self._rest, self._rest_size = [], 0
        return self._no_document() + rest

    def _lines(self, data: bytes) -> bytes:
        if (
            self._document is None
            and self._extender.passes_unseen()
            and not any(needle in data for needle in _NEEDLES)
            and not _may_begin_document(data)
        ):
            return data
        out: list[bytes] = []
        plain: list[bytes] = []
        for line in data.splitlines(keepends=True) if b"\r" not in data else _split(data):
            if self._document is None and _begins_document(line):
                from wasmscope.cli._symbolize_json import JsonDocument

                out.append(self._plain(plain))
                plain = []
                self._document = JsonDocument()
            if self._document is None:
                plain.append(line)
                continue
            match self._document.take(line):
                case None:
                    pass
                case True:
                    out.append(self._document.extended(self._extender))
                    self._document = None
                case False:
                    plain += self._document.lines
                    self._document = None
        out.append(self._plain(plain))
        return b"".join(out)

    def _plain(self, lines: list[bytes]) -> bytes:
        out: list[bytes] = []
        extender = self._extender
        for line in lines:
            if extender.passes_unseen() and not any(needle in line for needle in _NEEDLES):
                out.append(line)
            else:
                out.append(self._extended(line))
        return b"".join(out)

    def _extended(self, line: bytes) -> bytes:
        text = line.decode("utf-8", "surrogateescape")
        if '"' in text:
            from wasmscope.cli._symbolize_json import extend_json_line

            extended = extend_json_line(text, self._extender)
            if extended is not None:
                return extended.encode("utf-8", "surrogateescape")
        added = self._extender.extend(text)
        if added is None:
            return b""
        if not added:
            return line
        end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
        beneath = end.join(text.encode("utf-8", "backslashreplace") for text in added)
        return line + beneath + end if line.endswith(b"\n") else line + end + beneath


def _split(data: bytes) -> list[bytes]:
    r"""Split at ``\n`` alone: to splitlines a lone ``\r``, as progress bars write it, is a line's end, too."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _begins_document(line: bytes) -> bool:
    """Whether a JSON document of several lines may begin here."""
    return len(line) < 200 and line.strip() in (b"{", b"[", b"[{")


def _may_begin_document(data: bytes) -> bool:
    return (b"{" in data or b"[" in data) and any(map(_begins_document, data.split(b"\n")))
