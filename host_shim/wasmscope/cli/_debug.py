"""``wasmscope debug``: the module to ship, and the debug information to keep."""

from __future__ import annotations

import os
import stat
import uuid
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from wasmscope.cli._binary_file import open_module
from wasmscope.cli._exits import CANNOT_RUN, OWN_FAILURE, USAGE, CommandError, one_line
from wasmscope.cli._output_file import is_same_file, write_file
from wasmscope.cli._parser import Parser, parser_for
from wasmscope.cli._progress import Progress
from wasmscope.cli._streams import say, write_out
from wasmscope.dwarf import add_build_id, content_id, has_dwarf, is_dwarf, split_module, store_path, strip_module
from wasmscope.wasm import Module

__all__ = ["debug"]

_HELP: Final = """\
usage: wasmscope debug split|strip|add-id ...

Make the module to ship and the debug information to keep.

commands:
  split MODULE     take the DWARF out into a file of its own; both parts carry the same build id
  strip MODULE     take the DWARF out, or all that is not needed to run
  add-id MODULE    give the module a build id, by which its debug file can be found

The code stays byte for byte as it is. See also: wasmscope debug split --help
"""
_SPLIT_EPILOG: Final = """\
The debug file goes where --debug-out and --store say; without both, beside the output as NAME.debug.wasm. The build id
is written to standard output.

examples:
  wasmscope debug split app.wasm -o dist/app.wasm --store ~/debug-store
  wasmscope debug split app.wasm -o dist/app.wasm --debug-out app.debug.wasm --url https://example.com/app.debug.wasm
"""
_STRIP_EPILOG: Final = """\
The build id stays. Nothing is overwritten that was not named.

examples:
  wasmscope debug strip app.wasm -o app.small.wasm
  wasmscope debug strip --strip-all --in-place app.wasm
"""
_ADD_ID_EPILOG: Final = """\
A module that has a build id keeps it. The build id is written to standard output.

examples:
  wasmscope debug add-id --in-place app.wasm
  wasmscope debug add-id app.wasm -o app.id.wasm --id 0123456789abcdef
"""
_MIN_ID_BYTES: Final = 2  # one names a folder of a store, one a file
_MAX_ID_BYTES: Final = 64


def debug(arguments: Sequence[str]) -> int:
    """Run the command.

    Args:
        arguments: What follows ``debug``.

    Returns:
        The exit code.
    """
    commands = {"split": _split, "strip": _strip, "add-id": _add_id}
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help"):
        write_out(_HELP)
        return 0 if arguments else USAGE
    if name not in commands:
        raise CommandError(f"debug has no command {name!r}; see: wasmscope debug --help", exit_code=USAGE)
    return commands[name](arguments[1:])


def split_parser() -> Parser:
    """Make the parser of ``debug split``."""
    parser = parser_for(
        "debug split",
        "MODULE [-o OUTPUT] [OPTIONS]",
        "Make two files of a module: OUTPUT to ship, without DWARF, and a debug file to keep.",
        _SPLIT_EPILOG,
    )
    parser.add_argument("module", metavar="MODULE", nargs="?", help="a core module with DWARF")
    parser.add_argument("-o", "--output", metavar="FILE", help="the module to ship (default: NAME.small.wasm)")
    parser.add_argument("--debug-out", metavar="FILE", help="the debug file")
    parser.add_argument("--store", metavar="DIR", help="put the debug file into this store, under its build id")
    parser.add_argument(
        "--url",
        help="where the debug file will be found; goes into OUTPUT (default: the path from OUTPUT to the debug file)",
    )
    parser.add_argument("--strip-names", action="store_true", help="take the function names out of OUTPUT, too")
    parser.add_argument(
        "--no-code", action="store_true", help="leave code and data out of the debug file; some tools need them"
    )
    return parser


def strip_parser() -> Parser:
    """Make the parser of ``debug strip``."""
    parser = parser_for(
        "debug strip",
        "MODULE -o OUTPUT | --in-place [-g | -s]",
        "Take the DWARF out of a module, or all that it does not need to run.",
        _STRIP_EPILOG,
    )
    parser.add_argument("module", metavar="MODULE", nargs="?", help="a core module")
    _add_output(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("-g", "--strip-debug", action="store_true", help="take out the DWARF (this is the default)")
    which.add_argument(
        "-s",
        "--strip-all",
        "--all",
        dest="everything",
        action="store_true",
        help="take out names, producers and what only linkers read, too",
    )
    return parser


def add_id_parser() -> Parser:
    """Make the parser of ``debug add-id``."""
    parser = parser_for(
        "debug add-id",
        "MODULE -o OUTPUT | --in-place [--id HEX | --uuid] [--replace]",
        "Give a module a build id: a hash of its contents, so that the same module always gets the same one.",
        _ADD_ID_EPILOG,
    )
    parser.add_argument("module", metavar="MODULE", nargs="?", help="a core module")
    _add_output(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--id", metavar="HEX", help="this one instead of a hash: 2 to 64 bytes, or a UUID")
    which.add_argument("--uuid", action="store_true", help="a random one instead of a hash")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="if it has another, replace it; debug files with the old one no longer fit",
    )
    return parser


def _add_output(parser: Parser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("-o", "--output", metavar="FILE", help="where the result goes")
    where.add_argument("--in-place", action="store_true", help="overwrite MODULE")


def _split(arguments: Sequence[str]) -> int:
    given = _parsed(split_parser(), arguments)
    if given is None:
        return 0
    path: str = given.module
    output: str = given.output or f"{path.removesuffix('.wasm')}.small.wasm"
    debug_out: str | None = given.debug_out
    if debug_out is None and given.store is None:
        debug_out = f"{output.removesuffix('.small.wasm').removesuffix('.wasm')}.debug.wasm"
    if given.output is None and is_same_file(output, path):
        raise CommandError(f"{output}: this would overwrite the module; name another file: -o", exit_code=USAGE)
    if debug_out is not None and _overlap(debug_out, path, output):
        raise CommandError(
            f"{debug_out}: the debug file would overwrite a module; name another file: --debug-out", exit_code=USAGE
        )
    url: str | None = given.url
    if url is not None and not (url and url.isprintable()):
        raise CommandError(f"--url {url!r} is no URL", exit_code=USAGE)
    if url is None and debug_out is not None:
        url = quote(os.fsencode(os.path.relpath(Path(debug_out).absolute(), Path(output).absolute().parent)))
    with open_module(path) as module, Progress(f"splitting {path}"):
        if not has_dwarf(module):
            raise CommandError(f"{path}: {_why_no_dwarf(module)}", exit_code=CANNOT_RUN)
        parts = split_module(module, url=url, strip_names=given.strip_names, with_code=not given.no_code)
        mode = _mode(path)
        # The debug file first: one too many is no loss, a module without one is.
        places = [] if debug_out is None else [debug_out]
        if given.store is not None:
            places.append(_place_in_store(given.store, parts.build_id, parts.debug))
        for place in places:
            write_file(place, parts.debug, mode=mode & 0o666)
        _write_module(output, parts.small, module, mode)
        total = len(module.data)
    say(f"{one_line(output)}: {len(parts.small):,} of {total:,} bytes to ship, the code unchanged")
    for place in places:
        say(f"{one_line(place)}: {len(parts.debug):,} bytes to keep")
    write_out(f"{parts.build_id.hex()}\n")
    return 0


def _strip(arguments: Sequence[str]) -> int:
    given = _parsed(strip_parser(), arguments)
    if given is None:
        return 0
    path: str = given.module
    output = _output(given, "strip")
    with open_module(path) as module, Progress(f"stripping {path}"):
        small = strip_module(module, everything=given.everything)
        _write_module(output, small, module, _mode(path))
        total = len(module.data)
    say(f"{one_line(output)}: {len(small):,} of {total:,} bytes, the code unchanged")
    return 0


def _add_id(arguments: Sequence[str]) -> int:
    given = _parsed(add_id_parser(), arguments)
    if given is None:
        return 0
    path: str = given.module
    output = _output(given, "add-id")
    wanted = _id(given.id) if given.id is not None else uuid.uuid4().bytes if given.uuid else None
    with open_module(path) as module, Progress(f"reading {path}"):
        there = module.build_id()
        if there is not None and not given.replace:
            if given.uuid or wanted not in (None, there):
                raise CommandError(
                    f"{path}: it has the build id {there.hex()}, by which debug files may know it; to give it another: "
                    "--replace",
                    exit_code=CANNOT_RUN,
                )
            wanted = there
        build_id = wanted or content_id(module)
        _write_module(output, add_build_id(module, build_id), module, _mode(path))
    say(f"{one_line(output)}: {'keeps its build id' if build_id == there else 'has a build id'}, the code unchanged")
    write_out(f"{build_id.hex()}\n")
    return 0


def _parsed(parser: Parser, arguments: Sequence[str]) -> Namespace | None:
    """Read the command line; None if the help was asked for, and is written."""
    given = parser.parse_args(list(arguments))
    if given.help:
        write_out(parser.format_help())
        return None
    if given.module is None:
        parser.error("which MODULE?")
    return given


def _output(given: Namespace, command: str) -> str:
    """Give the path of the result: nothing is overwritten that was not named."""
    if given.in_place:
        return str(given.module)
    if given.output is None:
        raise CommandError(
            f"where does the result go? -o FILE, or --in-place; see: wasmscope debug {command} --help", exit_code=USAGE
        )
    return str(given.output)


def _overlap(path: str, *others: str) -> bool:
    return any(is_same_file(path, other) or Path(path).absolute() == Path(other).absolute() for other in others)


def _mode(path: str) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def _id(text: str) -> bytes:
    """Read a build id in hexadecimal, as people and other tools write it."""
    digits = text.removeprefix("0x").replace("-", "")
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        value = b""
    if not _MIN_ID_BYTES <= len(value) <= _MAX_ID_BYTES:
        raise CommandError(
            f"--id {text!r} is no build id: {_MIN_ID_BYTES} to {_MAX_ID_BYTES} bytes in hexadecimal", exit_code=USAGE
        )
    return value


def _why_no_dwarf(module: Module) -> str:
    url = module.external_debug_info()
    if url is not None:
        return f"there is no DWARF in it to split off; it says that its debug information is in {one_line(url)}"
    return "there is no DWARF in it to split off; build it with debug information: clang -g, debug = true in Cargo"


def _write_module(output: str, data: bytes, original: Module, mode: int) -> None:
    """Write a module, and put it in its place only if it has the code of the one that it was made of."""

    def check(written: str) -> None:
        with open_module(written) as module:
            if not _same_code(module, original):
                raise CommandError(
                    f"{output}: what was written does not have the module's code; nothing was changed",
                    exit_code=OWN_FAILURE,
                )

    write_file(output, data, mode=mode, check=check)


def _same_code(one: Module, other: Module) -> bool:
    if one.code is None or other.code is None:
        return one.code is other.code
    return one.view(one.code) == other.view(other.code)


def _place_in_store(store: str, build_id: bytes, debug: bytes) -> str:
    """Give a debug file's place in a store, and make its folder; refuse to put it in place of another build's."""
    place = store_path(store, build_id)
    if place is None:
        raise CommandError(
            f"{store}: a build id of {len(build_id)} bytes has no place in a store; give the module another: "
            "wasmscope debug add-id --replace",
            exit_code=CANNOT_RUN,
        )
    folder = Path(place).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{folder}: cannot be made: {error.strerror}", exit_code=OWN_FAILURE) from None
    if Path(place).exists():
        with open_module(place) as there:
            if _dwarf_of(there) != _dwarf_of(Module(debug)):
                raise CommandError(
                    f"{place}: there is the debug file of another build with this build id; give each build its own, "
                    "or remove that file",
                    exit_code=CANNOT_RUN,
                )
    return place


def _dwarf_of(module: Module) -> list[tuple[str, bytes]]:
    return [(section.name, module.contents(section)) for section in module.sections if is_dwarf(section)]
