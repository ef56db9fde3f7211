"""The options of ``wasmscope symbolize``: addr2line's, and some of our own.

Read by hand, because loading argparse takes as long as answering an address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from wasmscope.cli._exits import USAGE, CommandError
from wasmscope.wasm import AddressKind

__all__ = ["HELP", "SymbolizeOptions", "parse"]

HELP: Final = """\
usage: wasmscope symbolize -e MODULE [OPTIONS] [ADDRESS...]
       wasmscope symbolize -e MODULE [OPTIONS] [FILE]

Find the functions, files and lines of addresses in WebAssembly code. Without an address, read text from FILE or
standard input and write it out again, with the source beneath each stack frame of wasmtime, V8, Firefox, Safari,
wasmer, WAMR, WasmEdge or Envoy. A core dump as FILE prints its stacks.

modules:
  -e, --exe [NAME=]MODULE   a module or component, or a core dump; several, with the names that traces have for them
      --debug-file FILE     the file with its debug information, if it is elsewhere
      --debug-path DIR      look in this folder for debug files by build id (also: WASMSCOPE_DEBUG_PATH)
      --debuginfod[=URL]    ask a debuginfod server for them (default: those in DEBUGINFOD_URLS)
      --source-map FILE     a source map to use

addresses: hexadecimal, with or without 0x; none or - : one a line from standard input
      --addr KIND           what they count from. file: the file's start (default; what engines print); code: the
                            code section's contents (what llvm-symbolizer takes); func: a function's body, 12+0x1a

output (as addr2line has it):
  -a, --addresses           show the addresses, too
  -f, --functions           show function names
  -i, --inlines             show the functions that it was inlined into
  -p, --pretty-print        one line for each
  -s, --basenames           files without folders
  -C, --demangle            names as their authors wrote them
      --columns             columns after lines
      --json                an object for each address, one a line
      --source N            N lines of source around each place
      --map FROM=TO         paths that begin with FROM are at TO here
  -h, --help                show this

examples:
  wasmscope symbolize -e app.wasm 0x1f3a
  wasmscope symbolize -e app.wasm -afipC 0x1f3a
  node app.js 2>&1 | wasmscope symbolize -e app.wasm
"""


class SymbolizeOptions:
    """What ``wasmscope symbolize`` was asked for.

    Attributes:
        modules: What ``-e`` said, as it was written.
        words: Addresses, or a file.
        kind: What addresses count from.
        addresses: Whether to show addresses.
        functions: Whether to show functions.
        inlines: Whether to show what an inlined function was inlined into.
        pretty: Whether to put everything about a frame on one line.
        basenames: Whether to leave folders out.
        demangle: Whether to show names as their authors wrote them.
        columns: Whether to show columns.
        json: Whether to write JSON lines.
        source_lines: How many lines of source to show before and after each place; None for no source.
        moved_paths: (FROM, TO) beginnings of paths.
        debug_file: Where the debug information is, or None.
        debug_path: Folders to look in for debug files; None for the environment's.
        debuginfod_urls: Servers to ask.
        source_map: A source map's path, or None.
        help: Whether only help was asked for.
    """

    def __init__(self) -> None:
        """Ask for nothing yet."""
        self.modules: list[str] = []
        self.words: list[str] = []
        self.kind = AddressKind.FILE
        self.addresses = self.functions = self.inlines = self.pretty = False
        self.basenames = self.demangle = self.columns = self.json = self.help = False
        self.source_lines: int | None = None
        self.moved_paths: list[tuple[str, str]] = []
        self.debug_file: str | None = None
        self.debug_path: list[str] | None = None
        self.debuginfod_urls: list[str] = []
        self.source_map: str | None = None


def _fail(message: str) -> NoReturn:
    raise CommandError(f"{message}; see: wasmscope symbolize --help", exit_code=USAGE)


_FLAGS: Final = {
    "-a": "addresses",
    "--addresses": "addresses",
    "-f": "functions",
    "--functions": "functions",
    "-i": "inlines",
    "--inlines": "inlines",
    "--inlining": "inlines",
    "-p": "pretty",
    "--pretty-print": "pretty",
    "-s": "basenames",
    "--basenames": "basenames",
    "-C": "demangle",
    "--demangle": "demangle",
    "--columns": "columns",
    "--json": "json",
    "-h": "help",
    "--help": "help",
}


def _kind(options: SymbolizeOptions, value: str) -> None:
    try:
        options.kind = AddressKind(value)
    except ValueError:
        _fail(f"--addr {value!r} is not one of file, code, func")


def _source(options: SymbolizeOptions, value: str) -> None:
    if not (value.isascii() and value.isdigit() and len(value) <= 4):
        _fail(f"--source {value!r} is not a number of lines")
    options.source_lines = int(value)


def _map(options: SymbolizeOptions, value: str) -> None:
    start, mark, to = value.partition("=")
    if not start or not mark:
        _fail(f"--map {value!r} is not FROM=TO")
    options.moved_paths.append((start, to))


def _debug_path(options: SymbolizeOptions, value: str) -> None:
    import os

    options.debug_path = [*(options.debug_path or ()), *(part for part in value.split(os.pathsep) if part)]


def _debuginfod(options: SymbolizeOptions, value: str | None) -> None:
    import os

    urls = (os.environ.get("DEBUGINFOD_URLS", "") if value is None else value).split()
    if not urls:
        _fail("--debuginfod: which server? DEBUGINFOD_URLS is not set; give one with --debuginfod=URL")
    options.debuginfod_urls.extend(urls)


def _debug_file(options: SymbolizeOptions, value: str) -> None:
    options.debug_file = value


def _source_map(options: SymbolizeOptions, value: str) -> None:
    options.source_map = value


def _module(options: SymbolizeOptions, value: str) -> None:
    options.modules.append(value)


_VALUES: Final[dict[str, Callable[[SymbolizeOptions, str], None]]] = {
    "-e": _module,
    "--exe": _module,
    "--obj": _module,
    "--addr": _kind,
    "--source": _source,
    "--map": _map,
    "--debug-file": _debug_file,
    "--debug-path": _debug_path,
    "--source-map": _source_map,
}


def parse(arguments: Sequence[str]) -> SymbolizeOptions:
    """Read the command line after ``symbolize``.

    Args:
        arguments: The words. Options may stand anywhere before ``--``; short ones may be joined: ``-afip``.

    Raises:
        CommandError: If it cannot be understood.
    """
    options = SymbolizeOptions()
    words = list(reversed(arguments))

    def value_of(name: str, joined: str | None) -> str:
        if joined is not None:
            return joined
        if not words:
            _fail(f"{name} needs a value")
        return words.pop()

    while words:
        word = words.pop()
        if word == "--":
            options.words.extend(reversed(words))
            break
        if word == "-" or not word.startswith("-"):
            options.words.append(word)
        elif word.startswith("--"):
            name, mark, text = word.partition("=")
            joined = text if mark else None
            if name == "--debuginfod":
                _debuginfod(options, joined)
            elif name in _VALUES:
                _VALUES[name](options, value_of(name, joined))
            elif name in _FLAGS and joined is None:
                setattr(options, _FLAGS[name], True)
            else:
                _fail(f"there is no option {word!r}")
        else:
            _short(options, word, value_of)
    return options


def _short(options: SymbolizeOptions, word: str, value_of: Callable[[str, str | None], str]) -> None:
    """Read joined short options; the last may have a value."""
    for at in range(1, len(word)):
        name = f"-{word[at]}"
        if name in _VALUES:
            _VALUES[name](options, value_of(name, word[at + 1 :].removeprefix("=") or None))
            return
        if name not in _FLAGS:
            _fail(f"there is no option {name!r} (in {word!r})" if len(word) > 2 else f"there is no option {word!r}")
        setattr(options, _FLAGS[name], True)
