"""What there is to say about a module's debug information, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from wasmscope.dwarf._frame import Origin
from wasmscope.dwarf._health import Verdict

if TYPE_CHECKING:
    from wasmscope.dwarf._examination import Examination, Fit
    from wasmscope.dwarf._health import Health

__all__ = ["Finding", "Severity", "find"]

_MANY_ZERO_LINES: Final = 0.6  # 18 to 28 % is what optimizing compilers leave
_MOST_UNIT_GROUPS: Final = 10
_MOST_TEXT: Final = 120
_SEE: Final = "see docs/debug-info.md"
_HOW_TO_KEEP_DWARF: Final = {
    "Rust": "build with debug = true and without strip in the Cargo profile",
    "Go": "there is no other: Go writes no DWARF for WebAssembly; traces show functions, no lines",
    "C": "compile with -g, and link without -s",
    "C++": "compile with -g, and link without -s",
}
_HOW_TO_KEEP_NAMES: Final = {
    "Rust": 'build with strip = "none" or strip = "debuginfo" in the Cargo profile',
    "Go": 'build without -ldflags="-s"',
    "C": "link without -s (--strip-all)",
    "C++": "link without -s (--strip-all)",
}


class Severity(Enum):
    """How bad it is."""

    ERROR = "error"
    """Lines are wrong, or there are none: the debug information is not to be trusted."""
    WARNING = "warning"
    """Something is missing; what there is is right."""
    NOTE = "note"
    """Good to know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a module's debug information.

    Attributes:
        code: What it is, in a word that stays the same from release to release.
        severity: How bad it is.
        message: What it is, for people; one line.
        remedy: What to do about it; None if nothing is to be done.
    """

    code: str
    severity: Severity
    message: str
    remedy: str | None = None


def find(examination: Examination) -> tuple[Finding, ...]:
    """Say all that there is to say about a module, the worst first.

    Args:
        examination: What was found out about it.
    """
    rules = (_debug_file, _dwarf, _source_map, _links, _names, _lines, _split, _build_id, _rewritten, _units, _sources)
    found = [finding for rule in rules for finding in rule(examination)]
    order = list(Severity)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _error(code: str, message: str, remedy: str | None = None) -> Finding:
    return Finding(code, Severity.ERROR, message, remedy)


def _warning(code: str, message: str, remedy: str | None = None) -> Finding:
    return Finding(code, Severity.WARNING, message, remedy)


def _note(code: str, message: str, remedy: str | None = None) -> Finding:
    return Finding(code, Severity.NOTE, message, remedy)


def _debug_file(module: Examination) -> Iterator[Finding]:
    """Hold the debug file that was named against the module."""
    fit = module.debug_file
    if fit is None:
        return
    if fit.problem is not None:
        yield _error("debug-file-unreadable", f"{fit.path}: {fit.problem}", "name the debug file of this build")
        return
    differences = tuple(_differences(module, fit))
    if differences:
        yield _error(
            "debug-file-misfit",
            f"{fit.path} is of another build: {'; '.join(differences)}",
            "take the debug file of this build; with wasmscope debug split --store it is found by build id",
        )
        return
    reasons = [] if fit.build_id is None or fit.build_id != module.build_id else ["the same build id"]
    if fit.is_code_equal:
        reasons.append("the same code")
    if fit.health is not None:
        reasons.append(_matching(fit.health))
    yield _note("debug-file-fits", f"{fit.path} fits: {', '.join(reasons) or 'nothing says otherwise'}")


def _differences(module: Examination, fit: Fit) -> Iterator[str]:
    if fit.build_id is not None and module.build_id is not None and fit.build_id != module.build_id:
        yield f"build id {_hex(fit.build_id)} there, {_hex(module.build_id)} here"
    if fit.is_code_equal is False:
        if fit.code_bytes != module.code_bytes:
            yield f"{fit.code_bytes:,} bytes of code there, {module.code_bytes:,} here"
        elif fit.functions != module.functions:
            yield f"{fit.functions:,} functions there, {module.functions:,} here"
        else:
            yield "the code has the same size, and is not the same"
    if fit.health is not None and fit.health.verdict is Verdict.STALE:
        yield _matching(fit.health)


def _dwarf(module: Examination) -> Iterator[Finding]:
    health = module.health
    where = "the DWARF" if module.file is None else f"the DWARF in {module.file}"
    if module.problems:
        more = f" (and {len(module.problems) - 1:,} more problems)" if len(module.problems) > 1 else ""
        yield _warning("broken-dwarf", f"{where} cannot be read in part: {module.problems[0]}{more}", "build it again")
    if health is None:
        return
    dead = f"; {health.tombstones:,} others were left out by the linker" if health.tombstones else ""
    if health.verdict is Verdict.STALE:
        yield _error(
            "stale-dwarf",
            f"{where} describes other code: {_matching(health)}",
            "leave out what rewrites the module after the linker, or use a native wasm-opt with -g (not npm's); "
            "where clang runs wasm-opt by itself, take it from PATH",
        )
    elif health.verdict is Verdict.FRESH:
        yield _note("dwarf", f"{where} describes this code: {_matching(health)}{dead}")
    elif module.line_bytes:
        yield _note("lines-only", f"{where} has lines and no functions: no inlined calls{dead}", "compile with -g")
    else:
        yield _error(
            "dead-dwarf",
            f"{where} describes no function that is there{dead}",
            "leave wasm-opt out, or run it with -g; where clang runs it by itself, take it from PATH",
        )


def _source_map(module: Examination) -> Iterator[Finding]:
    """Say what serves if there is no DWARF."""
    if module.health is not None and module.health.verdict is not Verdict.EMPTY:
        return
    if module.origin is Origin.SOURCE_MAP:
        yield _note("source-map", f"lines come from the source map {module.file or 'in the module'}: no inlined calls")
    elif module.health is None and module.code_bytes and not any(link.problem for link in module.links):
        languages = [producer.name for producer in module.producers.languages] if module.producers else []
        yield _error(
            "no-debug-info",
            f"there is no debug information{' but names' if module.named_functions else ''}",
            _by_language(_HOW_TO_KEEP_DWARF, languages),
        )


def _links(module: Examination) -> Iterator[Finding]:
    has_lines = module.health is not None or module.origin is Origin.SOURCE_MAP
    for link in module.links:
        if link.problem is None:
            yield _note("link", f"{link.kind.value} names {_short(link.url)}, which is there")
        else:
            make = _warning if has_lines else _error
            yield make(
                "link-broken",
                f"{link.kind.value} names {_short(link.url)}: {link.problem}",
                "put the file there, or name it: --debug-file"
                if link.kind.value == "external_debug_info"
                else "put the file there, beside the module if the name has no folder",
            )


def _names(module: Examination) -> Iterator[Finding]:
    if module.name_problems:
        yield _warning("broken-names", f"the name section cannot be read in part: {module.name_problems[0]}")
    languages = [producer.name for producer in module.producers.languages] if module.producers else []
    missing = module.functions - module.named_functions
    if missing and not module.named_functions:
        yield _warning(
            "no-names",
            f"none of its {module.functions:,} functions has a name: traces without debug information show numbers",
            _by_language(_HOW_TO_KEEP_NAMES, languages),
        )
    elif missing:
        yield _note("names", f"{module.named_functions:,} of its {module.functions:,} functions have names")
    elif module.functions:
        yield _note("names", f"all of its {module.functions:,} functions have names")


def _lines(module: Examination) -> Iterator[Finding]:
    if not module.line_bytes or (module.health is not None and module.health.verdict is Verdict.STALE):
        return
    share = module.line_zero_bytes / module.line_bytes
    text = f"{share:.0%} of the code that has lines has the line 0, where the compiler knows none"
    if share == 1.0:
        yield _error("no-lines", text, "leave out what rewrites the module after the linker")
    elif share > _MANY_ZERO_LINES:
        yield _warning("zero-lines", text, "leave out what rewrites the module after the linker")
    else:
        yield _note("zero-lines", f"{text}; the line before it serves")


def _split(module: Examination) -> Iterator[Finding]:
    if not module.split_units:
        return
    missing = module.missing_split_units
    if missing:
        more = f" and {len(missing) - 1:,} others" if len(missing) > 1 else ""
        yield _warning(
            "split-dwarf-missing",
            f"{len(missing):,} of {module.split_units:,} units are split, and their other halves were not found "
            f"({_short(missing[0])}{more}): no inlined calls there",
            "keep the .dwo files where they were built, or put a .dwp beside the module (llvm-dwp)",
        )
    else:
        yield _note("split-dwarf", f"{module.split_units:,} units are split; their other halves were found")


def _build_id(module: Examination) -> Iterator[Finding]:
    if module.build_id is None:
        yield _warning(
            "no-build-id",
            "it has no build id: a debug file, a profile or a crash dump cannot be matched to it for sure",
            "wasmscope debug add-id, or link with --build-id",
        )
    else:
        yield _note("build-id", f"its build id is {_hex(module.build_id)}")


def _rewritten(module: Examination) -> Iterator[Finding]:
    if module.is_rewritten:
        yield _note(
            "rewritten",
            "its code was encoded anew after the linker, as wasm-opt and wasm-bindgen do"
            if module.health is None or module.health.verdict is not Verdict.FRESH
            else "its code was encoded anew after the linker, and the DWARF with it",
        )


def _units(module: Examination) -> Iterator[Finding]:
    for group in module.units[:_MOST_UNIT_GROUPS]:
        units = "1 unit" if group.units == 1 else f"{group.units:,} units"
        language = group.language or "an unknown language"
        producer = f", by {_short(group.producer)}" if group.producer else ""
        yield _note("units", f"{units} of {language} in DWARF {group.version}{producer}")
    rest = sum(group.units for group in module.units[_MOST_UNIT_GROUPS:])
    if rest:
        yield _note("units", f"{rest:,} other units")


def _sources(module: Examination) -> Iterator[Finding]:
    sources = module.sources
    if sources is None or not sources.paths:
        return
    there = len(sources.paths) - len(sources.missing)
    text = f"{there:,} of {len(sources.paths):,} source files are on this machine"
    if sources.missing:
        yield _note(
            "sources", f"{text}; one that is not: {_short(sources.missing[0])}", "say where they are: --map FROM=TO"
        )
    else:
        yield _note("sources", text)


def _matching(health: Health) -> str:
    return f"{health.matching:,} of its {health.live:,} functions match a function body"


def _by_language(texts: dict[str, str], languages: list[str]) -> str:
    """Choose what to say by the language that the most of a module is probably written in."""
    for key, text in texts.items():
        for language in languages:
            if language == key or (key == "C++" and "plus_plus" in language) or (key == "C" and language in _C):
                return text
    return _SEE


_C: Final = frozenset({"C", "C89", "C99", "C11", "C17", "C23"})


def _hex(build_id: bytes) -> str:
    return _short(build_id.hex())


def _short(text: str) -> str:
    """Make what a module says fit for one line: not endless, and nothing in it that a terminal would act on."""
    cut = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
    return cut if cut.isprintable() else ascii(cut)[1:-1]
