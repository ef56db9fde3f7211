"""``wasmscope doctor``: can a module's debug information be trusted?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO

from wasmscope.cli._binary_file import open_file
from wasmscope.cli._exits import CANNOT_RUN, USAGE, CommandError, one_line
from wasmscope.cli._parser import Parser, parser_for
from wasmscope.cli._progress import Progress
from wasmscope.cli._streams import write_out
from wasmscope.dwarf import PathMap, Severity, diagnose
from wasmscope.errors import ConfigurationError, ModuleFormatError

if TYPE_CHECKING:
    from wasmscope.dwarf import Diagnosis, Finding, ModuleDiagnosis

__all__ = ["doctor", "doctor_parser"]

_EPILOG: Final = """\
The exit code is 0 if there are lines and they are right, 1 if not; 2 if the command line is wrong, 126 if the module
cannot be read, 127 if there is none.

examples:
  wasmscope doctor app.wasm
  wasmscope doctor --debug-file app.debug.wasm dist/app.wasm
  wasmscope doctor --json app.wasm
"""
_NOT_TRUSTWORTHY: Final = 1
_SCHEMA: Final = "wasmscope.doctor/1"
_RED, _YELLOW, _GREEN, _BOLD, _DIM = "31", "33", "32", "1", "2"
_STYLES: Final = {Severity.ERROR: _RED, Severity.WARNING: _YELLOW, Severity.NOTE: _DIM}


def doctor_parser() -> Parser:
    """Make the parser."""
    parser = parser_for(
        "doctor",
        "[OPTIONS] MODULE",
        "Say whether the debug information of MODULE, a core module or a component, can be trusted, and what to do.",
        _EPILOG,
    )
    parser.add_argument("module", metavar="MODULE", nargs="?", help="a .wasm file")
    parser.add_argument(
        "--debug-file", metavar="FILE", help="hold this debug file against it, and take lines from there"
    )
    parser.add_argument(
        "--debug-path",
        metavar="DIR",
        action="append",
        help="look in this folder for debug files by build id (default: those in WASMSCOPE_DEBUG_PATH)",
    )
    parser.add_argument("--source-map", metavar="FILE", help="a source map to use")
    parser.add_argument(
        "--map", metavar="FROM=TO", action="append", default=[], help="source paths that begin with FROM are at TO here"
    )
    parser.add_argument("--json", action="store_true", help="write one JSON object")
    return parser


def doctor(arguments: Sequence[str]) -> int:
    """Run the command.

    Args:
        arguments: What follows ``doctor``.

    Returns:
        The exit code.
    """
    parser = doctor_parser()
    given = parser.parse_args(list(arguments))
    if given.help:
        write_out(parser.format_help())
        return 0
    if given.module is None:
        parser.error("which MODULE?")
    try:
        path_maps = [PathMap.parse(text) for text in given.map]
    except ConfigurationError as error:
        raise CommandError(f"--map: {error}", exit_code=USAGE) from None
    path: str = given.module
    with open_file(path) as binary, Progress(f"examining {path}"):
        try:
            diagnosis = diagnose(
                binary,
                path=path,
                debug_file=given.debug_file,
                debug_path=given.debug_path,
                source_map=given.source_map,
                path_maps=path_maps,
            )
        except ModuleFormatError as error:
            raise CommandError(f"{path}: {error}", exit_code=CANNOT_RUN) from None
    if given.json:
        import json

        write_out(json.dumps(_object(path, diagnosis), indent=2) + "\n")
    else:
        text = "".join(f"{line}\n" for line in _lines(path, diagnosis, _Paint(sys.stdout, os.environ)))
        encoding = sys.stdout.encoding or "utf-8"
        write_out(text.encode(encoding, "replace").decode(encoding))
    return 0 if diagnosis.is_trustworthy else _NOT_TRUSTWORTHY


class _Paint:
    """Colours for a terminal, and nothing for all else (https://no-color.org, https://force-color.org)."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        is_terminal = stream.isatty() and environ.get("TERM") != "dumb"
        self._is_on = not environ.get("NO_COLOR") and (bool(environ.get("FORCE_COLOR")) or is_terminal)

    def __call__(self, text: str, *styles: str) -> str:
        return f"\x1b[{';'.join(styles)}m{text}\x1b[0m" if self._is_on else text


def _lines(path: str, diagnosis: Diagnosis, paint: _Paint) -> Iterator[str]:
    """Write the verdict, and then each finding on a line of its own."""
    verdict = paint("trustworthy", _BOLD, _GREEN) if diagnosis.is_trustworthy else paint("not trustworthy", _BOLD, _RED)
    yield f"{one_line(path)}: {verdict}: {one_line(diagnosis.summary)}"
    is_component = any(module.examination.place for module in diagnosis.modules)
    for module in diagnosis.modules:
        if is_component:
            found = module.examination
            number = ".".join(str(index) for index in found.place)
            yield f"module {number}, at byte {found.offset:#x}, with {found.code_bytes:,} bytes of code:"
        for finding in module.findings:
            yield f"{'  ' if is_component else ''}{_line(finding, paint)}"


def _line(finding: Finding, paint: _Paint) -> str:
    label = paint(finding.severity.value, _STYLES[finding.severity])
    remedy = f"; try: {finding.remedy}" if finding.remedy else ""
    return f"{label}: {one_line(finding.message)}{one_line(remedy) if remedy else ''}"


def _object(path: str, diagnosis: Diagnosis) -> dict[str, Any]:
    """Make the JSON object that docs/cli.md describes."""
    return {
        "schema": _SCHEMA,
        "file": path,
        "trustworthy": diagnosis.is_trustworthy,
        "summary": diagnosis.summary,
        "modules": [_module(module) for module in diagnosis.modules],
    }


def _module(module: ModuleDiagnosis) -> dict[str, Any]:
    found = module.examination
    return {
        "path": list(found.place),
        "offset": found.offset,
        "size_bytes": found.size_bytes,
        "code_bytes": found.code_bytes,
        "functions": {
            "imported": found.imported_functions,
            "defined": found.functions,
            "named": found.named_functions,
        },
        "build_id": found.build_id.hex() if found.build_id is not None else None,
        "lines_from": found.origin.value if found.origin is not None else None,
        "debug_file": found.file,
        "dwarf": _dwarf(module),
        "sources": None
        if found.sources is None
        else {"total": len(found.sources.paths), "missing": list(found.sources.missing)},
        "links": [{"kind": link.kind.value, "url": link.url, "problem": link.problem} for link in found.links],
        "findings": [
            {"code": each.code, "severity": each.severity.value, "message": each.message, "remedy": each.remedy}
            for each in module.findings
        ],
    }


def _dwarf(module: ModuleDiagnosis) -> dict[str, Any] | None:
    found = module.examination
    health = found.health
    if health is None:
        return None
    return {
        "verdict": health.verdict.value,
        "score": round(health.score, 4),
        "live": health.live,
        "matching": health.matching,
        "tombstones": health.tombstones,
        "line_bytes": found.line_bytes,
        "line_zero_bytes": found.line_zero_bytes,
        "split_units": found.split_units,
        "missing_split_units": list(found.missing_split_units),
        "units": [
            {"language": group.language, "producer": group.producer, "version": group.version, "count": group.units}
            for group in found.units
        ],
    }
