"""Answers as text: in addr2line's shapes, as JSON, and as lines beneath a stack frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wasmscope.cli._symbolize_options import SymbolizeOptions
    from wasmscope.dwarf import Frame
    from wasmscope.wasm import Address

    Source = Callable[[str, int], Sequence[tuple[int, str]]]
    """Gives (number, text) of the lines around a line of a file; nothing if it cannot be read."""

__all__ = ["AnswerFormat", "frames_as_json", "printable"]

_NO_FRAME: Final = "??:0\n"


def printable(text: str) -> str:
    """Take out what a terminal would act on, or what would begin a new line: names come from modules."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class AnswerFormat:
    """How answers look."""

    def __init__(self, options: SymbolizeOptions, source: Source | None = None) -> None:
        """Choose.

        Args:
            options: What was asked for.
            source: Where lines of source come from; None for no source.
        """
        self._options = options
        self._source = source

    def address(self, address: Address) -> str:
        """Give what ``-a`` shows before an answer."""
        digits = f"0x{address.offset:08x}"
        if address.function is not None:
            digits = f"func[{address.function}]+0x{address.offset:x}"
        return digits + (": " if self._options.pretty else "\n")

    def answer(self, frames: Sequence[Frame]) -> str:
        """Give an answer as addr2line would.

        The shapes are those of GNU addr2line: ``??:0`` for a place that nobody knows, ``??:?`` where only the function
        is known. Source: binutils, addr2line.c, ``translate_addresses``.

        Args:
            frames: What is there, the innermost first.
        """
        options = self._options
        if not frames:
            unknown = ("?? " if options.pretty else "??\n") if options.functions else ""
            return unknown + _NO_FRAME
        lines: list[str] = []
        for frame in frames if options.inlines else frames[:1]:
            line = " (inlined by) " if lines and options.pretty else ""
            if options.functions:
                line += self.function(frame) or "??"
                line += " at " if options.pretty else "\n"
            lines.append(f"{line}{self._place(frame)}\n")
            lines.extend(self._source_lines(frame))
        return "".join(lines)

    def beneath(self, frames: Sequence[Frame], indent: str) -> list[str]:
        """Give the lines that go beneath a frame in text, without line ends.

        Args:
            frames: What is there, the innermost first.
            indent: What each line begins with.
        """
        lines: list[str] = []
        for frame in frames:
            place = ""
            if frame.file is not None:
                place = f" at {self._file(frame.file)}" + (
                    f":{frame.line}" + (f":{frame.column}" if frame.column else "") if frame.line else ""
                )
            inlined = "(inlined by) " if lines else ""
            lines.append(f"{indent}{inlined}{printable(frame.function or frame.linkage_name or '??')}{place}")
            lines.extend(f"{indent}    {line.rstrip()}" for line in self._source_lines(frame))
        return lines

    def function(self, frame: Frame) -> str | None:
        """Give a function's name; None if nobody knows it."""
        name = frame.function if self._options.demangle else frame.linkage_name or frame.function
        return None if name is None else printable(name)

    def _place(self, frame: Frame) -> str:
        if frame.file is None:
            return "??:?"
        column = f":{frame.column or 0}" if self._options.columns and frame.line else ""
        return f"{self._file(frame.file)}:{frame.line or '?'}{column}"

    def _file(self, file: str) -> str:
        if self._options.basenames:
            file = file.replace("\\", "/").rpartition("/")[2] if "\\" in file else file.rpartition("/")[2]
        return printable(file)

    def _source_lines(self, frame: Frame) -> list[str]:
        """Give the lines around a place, marked as llvm-symbolizer does with --print-source-context-lines."""
        if self._source is None or frame.file is None or not frame.line:
            return []
        lines = self._source(frame.file, frame.line)
        width = len(str(lines[-1][0])) if lines else 0
        return [
            f"{number:>{width}}{' >: ' if number == frame.line else '  : '}{printable(text.expandtabs(4))}\n"
            for number, text in lines
        ]


def frames_as_json(frames: Sequence[Frame], source: Source | None = None) -> list[dict[str, object]]:
    """Give frames as JSON has them; ``docs/symbolizer.md`` describes it."""
    return [
        {
            "function": frame.function,
            "linkage_name": frame.linkage_name,
            "function_index": frame.function_index,
            "file": frame.file,
            "line": frame.line,
            "column": frame.column,
            "inlined": frame.is_inlined,
            "origin": frame.origin.value,
            **(
                {"source": [{"line": number, "text": text} for number, text in source(frame.file, frame.line)]}
                if source is not None and frame.file is not None and frame.line
                else {}
            ),
        }
        for frame in frames
    ]
