"""``wasmscope symbolize``: from addresses, or text with addresses, to functions, files and lines."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from wasmscope.cli._exits import CANNOT_RUN, OWN_FAILURE, USAGE, CommandError
from wasmscope.cli._streams import let_go, say, write_out
from wasmscope.cli._symbolize_addresses import looks_like_addresses, parse_address
from wasmscope.cli._symbolize_format import AnswerFormat, BulkFormat, JsonFormat, printable
from wasmscope.cli._symbolize_modules import Modules, NamedModule, reason_of
from wasmscope.cli._symbolize_options import HELP, parse
from wasmscope.wasm import AddressKind

if TYPE_CHECKING:
    from wasmscope.cli._symbolize_format import Source
    from wasmscope.cli._symbolize_options import SymbolizeOptions
    from wasmscope.dwarf import Frame
    from wasmscope.dwarf.dialects import Match
    from wasmscope.wasm import Address

__all__ = ["symbolize"]

_CHUNK_BYTES: Final = 1 << 20
# The answers to addresses are twenty times as long.
_ADDRESS_BYTES: Final = 1 << 19
_MAGIC: Final = b"\0asm"
_MAX_DUMP_BYTES: Final = 1 << 30
_DUMP_HEAD_BYTES: Final = 19
"""The header, the section's number, its size in at most five bytes, and its name."""
_MANY: Final = 64
_PLAIN: Final = b"0123456789abcdefABCDEFxX\r\t "
_MAX_PLAIN: Final = 18


def symbolize(arguments: Sequence[str]) -> int:
    """Run ``wasmscope symbolize``.

    Args:
        arguments: The command line after the command's name.

    Returns:
        The exit code.

    Raises:
        CommandError: If the command line is wrong, or a file cannot be read.
        ModuleFormatError: If a file is no module, component or core dump.
    """
    options = parse(arguments)
    if options.help:
        write_out(HELP)
        return 0
    dumps = [path for path in options.modules if _is_dump(path)]
    if dumps:
        options.modules = [path for path in options.modules if path not in dumps]
        options.words = [*dumps, *options.words]
    modules = Modules(options)
    try:
        _Run(options, modules).execute()
    finally:
        modules.close()
    return 0


class _Run:
    """One run of the command."""

    def __init__(self, options: SymbolizeOptions, modules: Modules) -> None:
        self._options = options
        self._modules = modules
        source = _source(options, modules)
        self._format = AnswerFormat(options, source)
        self._json = JsonFormat(source) if options.json else None
        self._bulk: BulkFormat | None = None

    def execute(self) -> None:
        words = self._options.words
        if not words:
            self._input(0, None)
        elif words == ["-"]:
            self._addresses_from(0, b"")
        else:
            addresses = [parse_address(word, self._options.kind) for word in words]
            known = [address for address in addresses if address is not None]
            if len(known) == len(words):
                module = self._modules.only()
                for place in module.symbolizer.symbolize(known):
                    if place.note and not self._json:
                        # For people; a program that asks by standard input gets answers alone, or JSON.
                        say(f"wasmscope: {printable(module.path)}: {self._format.name(place.address)}: {place.note}")
                _write(self._answers(module, known).encode("utf-8", "backslashreplace"))
            elif len(words) == 1 and not known and parse_address(words[0], AddressKind.FILE) is None:
                self._file(words[0])
            else:
                wrong = next(word for word, address in zip(words, addresses, strict=True) if address is None)
                raise self._no_address(wrong)

    def _no_address(self, word: str) -> CommandError:
        if self._options.kind is AddressKind.FUNC and parse_address(word, AddressKind.FILE):
            advice = f"with --addr func it is of the form FUNCTION+OFFSET, for example 12+{word}"
        else:
            advice = "addresses are hexadecimal, such as 1f3a or 0x1f3a, or 12+0x1a for a place in function 12"
        return CommandError(f"{printable(word)!r} is no address: {advice}", exit_code=USAGE)

    def _file(self, path: str) -> None:
        try:
            file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            raise CommandError(
                f"{printable(path)!r} is neither an address nor a file; addresses are hexadecimal, such as 0x1f3a",
                exit_code=USAGE,
            ) from None
        except (OSError, ValueError) as error:
            raise reason_of(error, path) from None
        try:
            self._input(file, path)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise reason_of(error, path) from None
        finally:
            os.close(file)

    def _input(self, file: int, path: str | None) -> None:
        """Read what there is to read, and find out what it is."""
        head = _read(file, _CHUNK_BYTES)
        while head and len(head) < len(_MAGIC) and _MAGIC.startswith(head) and (more := _read(file, _CHUNK_BYTES)):
            head += more
        if head.startswith(_MAGIC):
            self._dump(head + b"".join(_chunks(file, _MAX_DUMP_BYTES)), path)
        elif path is None and not os.isatty(file) and looks_like_addresses(head):
            self._addresses_from(file, head)
        else:
            self._text(file, head)

    # Addresses

    def _addresses_from(self, file: int, head: bytes) -> None:
        """Answer addresses one a line; those that have come are answered before more are waited for."""
        module = self._modules.only()
        rest = b""
        chunk = head or _read(file, _ADDRESS_BYTES)
        while chunk:
            lines, mark, after = chunk.rpartition(b"\n")
            if mark:
                _write(self._lines(module, (rest + lines).split(b"\n")))
                rest = after
            else:
                rest += after
                if len(rest) > _CHUNK_BYTES:
                    raise CommandError("a line of a megabyte is no address; is this text?", exit_code=USAGE)
            chunk = _read(file, _ADDRESS_BYTES)
        if rest:
            _write(self._lines(module, [rest]))

    def _lines(self, module: NamedModule, lines: list[bytes]) -> bytes:
        if len(lines) >= _MANY and (many := self._many(module, lines)) is not None:
            return many
        addresses: list[Address | None] = [
            parse_address(line.decode("ascii", "replace"), self._options.kind) for line in lines
        ]
        known = [address for address in addresses if address is not None]
        if len(known) == len(addresses):
            return self._answers(module, known).encode("utf-8", "backslashreplace")
        out: list[str] = []
        for address, line in zip(addresses, lines, strict=True):
            if address is not None:
                out.append(self._answers(module, [address]))
            elif self._json:
                out.append(self._json.no_address(line.decode("utf-8", "replace").strip()))
            else:
                # As addr2line: an answer for each line, so that who asks does not lose count.
                out.append(self._format.answer(()))
        return "".join(out).encode("utf-8", "backslashreplace")

    def _many(self, module: NamedModule, lines: list[bytes]) -> bytes | None:
        """Answer a great many plain addresses; None if some are not plain, or answers are to be in another form."""
        kind = self._options.kind
        if self._bulk is None:
            is_usual = not self._json and kind is not AddressKind.FUNC and self._options.source_lines is None
            if not is_usual or (bulk := module.symbolizer.in_bulk()) is None:
                return None
            self._bulk = BulkFormat(self._options, self._format, bulk)
        text = b"".join(lines)
        # What int would take and addr2line would not; what is longer than 16 digits is no address either.
        if text.translate(None, _PLAIN) or max(map(len, lines)) > _MAX_PLAIN:
            return None
        try:
            offsets = [int(line, 16) for line in lines]
        except ValueError:
            return None
        out = self._bulk.answers(kind, offsets)
        module.tell_notes()
        return out

    def _answers(self, module: NamedModule, addresses: list[Address]) -> str:
        places = module.symbolizer.symbolize(addresses)
        module.tell_notes()
        if self._json:
            to_json, title = self._json.place, module.title
            return "".join(to_json(place, title) for place in places)
        show = self._format
        if self._options.addresses:
            return "".join(show.address(place.address) + show.answer(place.frames) for place in places)
        return "".join(show.answer(place.frames) for place in places)

    # Text

    def _text(self, file: int, head: bytes) -> None:
        from wasmscope.cli._symbolize_text import LineExtender, TextFilter

        self._modules.needed()
        as_json: list[str] = []

        def answer_as_json(match: Match) -> Sequence[Frame]:
            if self._json:
                as_json.append(self._json.match(match, self._modules.answer(match)))
            return ()

        answer = answer_as_json if self._json else self._modules.answer
        text = TextFilter(LineExtender(answer, self._format.beneath))
        chunk = head
        while True:
            out = text.feed(chunk) if chunk else text.finish()
            # With --json, the frames alone.
            _write("".join(as_json).encode() if self._json else out)
            as_json.clear()
            if not chunk:
                break
            chunk = _read(file, _CHUNK_BYTES)

    # Core dumps

    def _dump(self, data: bytes, path: str | None) -> None:
        from wasmscope.cli._symbolize_dump import dump_lines

        for lines in dump_lines(data, path, self._modules, self._format, self._json):
            _write(lines.encode("utf-8", "backslashreplace"))


def _is_dump(path: str) -> bool:
    """Whether a file begins like a core dump: with a custom section ``core``."""
    try:
        # Of a pipe, what is read here would be missing later.
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            head = file.read(_DUMP_HEAD_BYTES)
    except (OSError, ValueError):
        return False
    return head.startswith(b"\0asm\1\0\0\0\0") and b"\4core" in head


def _source(options: SymbolizeOptions, modules: Modules) -> Source | None:
    count = options.source_lines
    if count is None:
        return None
    from wasmscope.dwarf import PathMap, Sources

    sources = Sources([PathMap(before, after) for before, after in options.moved_paths])

    def lines(file: str, line: int) -> Sequence[tuple[int, str]]:
        found = sources.lines(file, line, around=count)
        if not found:
            # A source map may carry the file.
            texts = (module.symbolizer.source_text(file) for module in modules.all)
            carried = next((text for text in texts if text is not None), None)
            found = () if carried is None else sources.lines(file, line, around=count, content=carried)
        return [(each.number, each.text) for each in found]

    return lines


def _write(data: bytes) -> None:
    """Write to standard output, now."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(1, view) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        let_go(sys.stdout)
        raise CommandError(f"standard output cannot be written: {error.strerror}", exit_code=OWN_FAILURE) from None


def _read(file: int, size: int) -> bytes:
    """Read what there is, at most so many bytes."""
    try:
        return os.read(file, size)
    except OSError as error:
        if file:
            raise
        raise CommandError(f"standard input cannot be read: {error.strerror}", exit_code=CANNOT_RUN) from None


def _chunks(file: int, most: int) -> Iterator[bytes]:
    while chunk := _read(file, _CHUNK_BYTES):
        most -= len(chunk)
        if most < 0:
            raise CommandError("the core dump is larger than 1 GiB", exit_code=USAGE)
        yield chunk
