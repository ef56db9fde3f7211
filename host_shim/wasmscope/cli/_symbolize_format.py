"""Answers as text: in addr2line's shapes, as JSON, and as lines beneath a stack frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wasmscope.cli._symbolize_options import SymbolizeOptions
    from wasmscope.dwarf import Frame, Place
    from wasmscope.dwarf._bulk import Bulk
    from wasmscope.dwarf._engine_tables import EngineFrame
    from wasmscope.dwarf.dialects import Match
    from wasmscope.wasm import Address, AddressKind

    Source = Callable[[str, int], Sequence[tuple[int, str]]]
    """Gives (number, text) of the lines around a line of a file; nothing if it cannot be read."""
    _Located = Frame | EngineFrame

__all__ = ["AnswerFormat", "BulkFormat", "JsonFormat", "printable"]

_NO_FRAME: Final = "??:0\n"
_NEWLINE: Final = "\n"


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
        self._files: dict[str, str] = {}

    def address(self, address: Address) -> str:
        """Give what ``-a`` shows before an answer."""
        digits = f"0x{address.offset:08x}" if address.function is None else self.name(address)
        return digits + (": " if self._options.pretty else "\n")

    @staticmethod
    def name(address: Address) -> str:
        """Give an address as it is written."""
        offset = f"0x{address.offset:x}"
        return offset if address.function is None else f"func[{address.function}]+{offset}"

    def answer(self, frames: Sequence[_Located]) -> str:
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
        prefix = " (inlined by) " if options.pretty else ""
        return prefix.join([self.frame(frame) for frame in (frames if options.inlines else frames[:1])])

    def frame(self, frame: _Located) -> str:
        """Give a frame as addr2line would."""
        options = self._options
        line = self._place(frame) + "\n"
        if options.functions:
            line = f"{self.function(frame) or '??'}{' at ' if options.pretty else _NEWLINE}{line}"
        return line if self._source is None else line + "".join(self._source_lines(frame))

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
                place = f" at {self.file(frame.file)}" + (
                    f":{frame.line}" + (f":{frame.column}" if frame.column else "") if frame.line else ""
                )
            inlined = "(inlined by) " if lines else ""
            lines.append(f"{indent}{inlined}{printable(frame.function or frame.linkage_name or '??')}{place}")
            lines.extend(f"{indent}    {line.rstrip()}" for line in self._source_lines(frame))
        return lines

    def function(self, frame: _Located) -> str | None:
        """Give a function's name; None if nobody knows it."""
        name = frame.function if self._options.demangle else frame.linkage_name or frame.function
        return None if name is None else printable(name)

    def _place(self, frame: _Located) -> str:
        if frame.file is None:
            return "??:?"
        column = f":{frame.column or 0}" if self._options.columns and frame.line else ""
        return f"{self.file(frame.file)}:{frame.line or '?'}{column}"

    def file(self, file: str) -> str:
        """Give a file as it is to be shown."""
        known = self._files.get(file)
        if known is None:
            name = file.replace("\\", "/").rpartition("/")[2] if self._options.basenames else file
            known = self._files[file] = printable(name)
        return known

    def _source_lines(self, frame: _Located) -> list[str]:
        """Give the lines around a place, marked as llvm-symbolizer does with --print-source-context-lines."""
        if self._source is None or frame.file is None or not frame.line:
            return []
        lines = self._source(frame.file, frame.line)
        width = len(str(lines[-1][0])) if lines else 0
        return [
            f"{number:>{width}}{' >: ' if number == frame.line else '  : '}{printable(text.expandtabs(4))}\n"
            for number, text in lines
        ]


class BulkFormat:
    """Answers to a great many addresses, in addr2line's shapes; each unique answer is written once."""

    def __init__(self, options: SymbolizeOptions, show: AnswerFormat, bulk: Bulk) -> None:
        """Choose.

        Args:
            options: What was asked for.
            show: How single answers look.
            bulk: Who knows the module.
        """
        self._options = options
        self._show = show
        self._bulk = bulk
        # By number: answers with numbers of the engine, and the others, which have negative numbers.
        self._engines: list[bytes] = []
        self._others: list[bytes] = [b""]
        # By the engine's numbers: files and functions.
        self._files: dict[int, bytes] = {}
        self._functions: dict[int, bytes] = {}
        self._epoch = -1

    def answers(self, kind: AddressKind, offsets: Sequence[int]) -> bytes:
        """Give the answers to addresses of one kind, in UTF-8."""
        options, bulk = self._options, self._bulk
        numbers = bulk.numbers(kind, offsets, with_names=options.functions)
        if bulk.epoch != self._epoch:
            self._epoch = bulk.epoch
            self._engines.clear()
            self._files.clear()
            self._functions.clear()
        self._write_new()
        engines, others = self._engines, self._others
        least = min(numbers, default=0)
        if least < 0:
            others.extend(map(self._other, range(-len(others), least - 1, -1)))
            # Negative numbers count from the end, where the others are, the first one last.
            shown = list(map([*engines, *others[:0:-1]].__getitem__, numbers))
        else:
            shown = list(map(engines.__getitem__, numbers))
        if options.addresses:
            shape = b"0x%08x: %b" if options.pretty else b"0x%08x\n%b"
            shown = [shape % pair for pair in zip(offsets, shown, strict=True)]
        return b"".join(shown)

    def _write_new(self) -> None:
        """Write what the engine has answered for the first time."""
        options, bulk, engines = self._options, self._bulk, self._engines
        if not engines:
            engines.append(_bytes(self._show.answer(())))
        prefix = b" (inlined by) " if options.pretty else b""
        # Most answers that share a frame come together; to keep all frames would take as much memory as the answers.
        frames: dict[int, bytes] = {}
        files, functions, words = self._files, self._functions, bulk.frame_words()
        size = bulk.frame_size
        is_plain, is_nested = options.functions and not options.columns, options.inlines
        # What is around a frame has a smaller number.
        for frame, outer in bulk.chains(len(engines)):
            text = frames.get(frame)
            if text is None:
                at = size * frame
                function, file, line = words[at], words[at + 1], words[at + 2]
                # The usual kind here, because a call for each takes as long as all else.
                if is_plain and line and file and file in files and function in functions:
                    text = b"%b%b%d\n" % (functions[function], files[file], line)
                else:
                    text = self._frame(function, file, line, words[at + 3])
                frames[frame] = text
            engines.append(text + prefix + engines[outer] if outer and is_nested else text)

    def _frame(self, function: int, file: int, line: int, column: int) -> bytes:
        """Write a frame by the numbers of its function and file; line and column are 0 where they are not known."""
        options, bulk = self._options, self._bulk
        place = self._files.get(file)
        if place is None:
            text = bulk.text(file)
            place = self._files[file] = b"??:?" if text is None else _bytes(f"{self._show.file(text)}:")
        if not file:
            pass
        elif not line:
            place += b"?"
        elif options.columns:
            place = b"%b%d:%d" % (place, line, column)
        else:
            place = b"%b%d" % (place, line)
        if not options.functions:
            return place + b"\n"
        name = self._functions.get(function)
        if name is None:
            written, linked = bulk.function(function)
            shown = written if options.demangle else linked or written
            end = " at " if options.pretty else "\n"
            name = self._functions[function] = _bytes(("??" if shown is None else printable(shown)) + end)
        return b"%b%b\n" % (name, place)

    def _other(self, number: int) -> bytes:
        frames = [self._bulk.frame_of(number)]
        while number := self._bulk.outer(number):
            frames.append(self._bulk.frame_of(number))
        return _bytes(self._show.answer(frames))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


class JsonFormat:
    """Answers as JSON lines; ``docs/symbolizer.md`` describes them."""

    def __init__(self, source: Source | None = None) -> None:
        """Choose.

        Args:
            source: Where lines of source come from; None for no source.
        """
        from json import JSONEncoder

        self._encode = JSONEncoder(separators=(",", ":")).encode
        self._source = source

    def place(self, place: Place, module: str) -> str:
        """Give the answer for an address.

        Args:
            place: The answer.
            module: What the module is called.
        """
        about = {**_address(place.address), "code_offset": place.code_offset, "module": module, "note": place.note}
        return self._line(about, place.frames)

    def match(self, match: Match, frames: Sequence[Frame]) -> str:
        """Give a frame that was found in text, and the answer for it."""
        address: dict[str, object] = (
            {"address": None, "kind": None} if match.address is None else _address(match.address)
        )
        return self._line(
            {
                **address,
                "dialect": match.dialect,
                "module": match.module,
                "function_index": match.function_index,
                "function": match.function_name,
            },
            frames,
        )

    def call(self, thread: str, address: Address, module: str | None, frames: Sequence[Frame]) -> str:
        """Give a call in a core dump, and the answer for it."""
        return self._line({"thread": thread, **_address(address), "module": module}, frames)

    def no_address(self, text: str) -> str:
        """Answer what is no address."""
        return self._encode({"error": "this is no address", "text": text}) + "\n"

    def _line(self, about: dict[str, object], frames: Sequence[Frame]) -> str:
        return self._encode({**about, "frames": [self._frame(frame) for frame in frames]}) + "\n"

    def _frame(self, frame: Frame) -> dict[str, object]:
        fields: dict[str, object] = {
            "function": frame.function,
            "linkage_name": frame.linkage_name,
            "function_index": frame.function_index,
            "file": frame.file,
            "line": frame.line,
            "column": frame.column,
            "inlined": frame.is_inlined,
            "origin": frame.origin.value,
        }
        if self._source is not None and frame.file is not None and frame.line:
            lines = self._source(frame.file, frame.line)
            fields["source"] = [{"line": number, "text": text} for number, text in lines]
        return fields


def _address(address: Address) -> dict[str, object]:
    return {"address": f"0x{address.offset:x}", "kind": address.kind.value, "function_index": address.function}
