"""What there is to say about a module's debug information, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from wasmscope.dwarf._examination import LinkKind
from wasmscope.dwarf._frame import Origin
from wasmscope.dwarf._health import Verdict

if TYPE_CHECKING:
    from wasmscope.dwarf._examination import Examination, Fit
    from wasmscope.dwarf._health import Health

__all__ = ["Finding", "Severity", "find"]

_MANY_ZERO_LINES: Final = 0.6  # 18 to 28 % is what optimizing compilers leave
_MOST_UNIT_GROUPS: Final = 10
_MOST_TEXT: Final = 120
# What to do, by the language that a module's producers section names.
_KEEP_LINES: Final = {
    "Rust": "build with debug = true and without strip in the Cargo profile",
    "Go": "TinyGo, which writes DWARF; Go itself writes names only",
    "C": "compile with -g, and link without -s",
    "": "build it with debug information: clang -g, debug = true in Cargo, asc --debug --sourceMap",
}
_KEEP_NAMES: Final = {
    "Rust": 'build with strip = "none" or strip = "debuginfo" in the Cargo profile',
    "Go": "link without -s (-ldflags)",
    "C": "link without -s (--strip-all)",
    "": "build and link it without strip",
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
    rules = (
        _debug_file,
        _code,
        _dwarf,
        _source_map,
        _unused,
        _links,
        _names,
        _lines,
        _split,
        _build_id,
        _rewritten,
        _units,
        _sources,
    )
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
        yield _error(
            "debug-file-unreadable", f"the debug file cannot be used: {fit.problem}", "name that of this build"
        )
        return
    differences = tuple(_differences(module, fit))
    if differences:
        yield _error(
            "debug-file-misfit",
            f"{fit.path} is of another build: {'; '.join(differences)}",
            "take the debug file of this build; in a store it is found by build id (wasmscope debug split --store)",
        )
        return
    reasons = [] if fit.build_id is None or fit.build_id != module.build_id else ["it has the same build id"]
    if fit.is_code_equal:
        reasons.append("it has the same code")
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
            yield "as much code there as here, and not the same"
    if fit.health is not None and fit.health.verdict is Verdict.STALE:
        yield _matching(fit.health)


def _code(module: Examination) -> Iterator[Finding]:
    if not module.functions:
        yield _error(
            "no-code",
            "there is no code in it, so there are no lines",
            "name the module that is run, and this one, if it is its debug file, with --debug-file",
        )


def _dwarf(module: Examination) -> Iterator[Finding]:
    health, problems = module.health, module.problems
    if not module.functions:
        return
    where = f"the DWARF in {module.file or 'the module'}"
    is_empty = health is None or (health.verdict is Verdict.EMPTY and not health.tombstones and not module.line_bytes)
    if problems and is_empty:
        yield _error("unreadable-dwarf", f"{where} cannot be read: {problems[0]}", "build the module again")
        return
    if problems:
        yield _warning("broken-dwarf", f"{where} is incomplete: {', '.join(problems)}", "build the module again")
    if health is None:
        return
    dead = f"; the linker left out {_count(health.tombstones, 'function')}" if health.tombstones else ""
    if health.verdict is Verdict.STALE:
        yield _error(
            "stale-dwarf",
            f"{where} describes other code: {_matching(health)}",
            "do not rewrite the module after the linker, or do it with a native wasm-opt -g (npm's leaves DWARF as it "
            "was); clang runs a wasm-opt that it finds on PATH",
        )
    elif health.verdict is Verdict.FRESH:
        yield _note("dwarf", f"{where} describes this code: {_matching(health)}{dead}")
    elif module.line_bytes:
        # Functions whose other half is missing are told of elsewhere.
        if not module.missing_split_units:
            yield _note("lines-only", f"{where} has lines and no functions: no inlined calls", "compile with -g")
    else:
        yield _error(
            "dead-dwarf",
            f"{where} describes no function that is there{dead}",
            "do not run wasm-opt, or run it with -g; clang runs a wasm-opt that it finds on PATH",
        )


def _source_map(module: Examination) -> Iterator[Finding]:
    """Say what serves if there is no DWARF."""
    if module.origin is Origin.SOURCE_MAP:
        yield _note("source-map", "lines come from the source map; it knows no inlined calls")
    elif module.functions and module.health is None and not module.problems and not _broken_links(module):
        yield _error(
            "no-debug-info",
            "it has names and no lines" if module.named_functions else "it has neither lines nor names",
            _by_language(_KEEP_LINES, module)
            if module.build_id is None
            else "say where its debug file is: --debug-path or --debug-file",
        )


def _unused(module: Examination) -> Iterator[Finding]:
    for reason in module.unused:
        yield _warning("debug-file-unused", reason, "remove it, or put that of this build in its place")


def _links(module: Examination) -> Iterator[Finding]:
    has_lines = module.health is not None or module.origin is Origin.SOURCE_MAP
    for link in module.links:
        if link.problem is None:
            yield _note("link", f"{link.kind.value} leads to {_short(link.url)}")
        else:
            make = _warning if has_lines else _error
            is_dwarf = link.kind is LinkKind.DEBUG_FILE
            yield make(
                "link-broken",
                f"{link.kind.value} leads to {_short(link.url)}: {link.problem}",
                f"put it there, or name it: {'--debug-file' if is_dwarf else '--source-map'}",
            )


def _names(module: Examination) -> Iterator[Finding]:
    if module.name_problems:
        yield _warning(
            "broken-names", f"the names cannot all be read: {module.name_problems[0]}", "build the module again"
        )
    missing = module.functions - module.named_functions
    if missing and not module.named_functions:
        yield _warning(
            "no-names", f"of {_count(missing, 'function')} none has a name", _by_language(_KEEP_NAMES, module)
        )
    elif missing:
        yield _note("names", f"{module.named_functions:,} of {_count(module.functions, 'function')} have names")
    elif module.functions:
        yield _note("names", f"{_all(module.functions)} a name")


def _lines(module: Examination) -> Iterator[Finding]:
    if not module.line_bytes:
        if module.health is not None and module.health.verdict is Verdict.FRESH:
            yield _error("no-lines", "the DWARF has no lines", "compile with -g, and build the module again")
        return
    share = module.line_zero_bytes / module.line_bytes
    text = f"{share:.0%} of the code has the line 0, which is none"
    if share == 1.0:
        yield _error("no-lines", text, "do not rewrite the module after the linker")
    elif share > _MANY_ZERO_LINES:
        yield _warning("zero-lines", text, "do not rewrite the module after the linker")
    elif share:
        yield _note("zero-lines", f"{text}; the line before it serves")


def _split(module: Examination) -> Iterator[Finding]:
    if not module.split_units:
        return
    missing = module.missing_split_units
    units = _count(module.split_units, "unit")
    if missing:
        yield _warning(
            "split-dwarf-missing",
            f"{len(missing):,} of {units} with split DWARF lack their other file, for example {_short(missing[0])}: "
            "inlined calls are not shown there",
            "keep the .dwo files where they were built, or put a .dwp (llvm-dwp) beside the module",
        )
    else:
        yield _note("split-dwarf", f"{units} with split DWARF, and all other files found")


def _build_id(module: Examination) -> Iterator[Finding]:
    if module.build_id is not None:
        yield _note("build-id", f"its build id is {_hex(module.build_id)}")
    elif module.functions:
        yield _warning(
            "no-build-id",
            "it has no build id: debug files, profiles and crash dumps cannot be matched to it for sure",
            "link with --build-id, or wasmscope debug add-id"
            + (" before the component is made" if module.place else ""),
        )


def _rewritten(module: Examination) -> Iterator[Finding]:
    if module.is_rewritten:
        is_fresh = module.health is not None and module.health.verdict is Verdict.FRESH
        yield _note(
            "rewritten",
            "after the linker, a tool such as wasm-opt or wasm-bindgen encoded the code anew"
            + (", and the DWARF with it" if is_fresh else ""),
        )


def _units(module: Examination) -> Iterator[Finding]:
    for group in module.units[:_MOST_UNIT_GROUPS]:
        language = f" of {group.language}" if group.language else ""
        producer = f", by {_short(group.producer)}" if group.producer else ""
        yield _note("units", f"{_count(group.units, 'unit')}{language} in DWARF {group.version}{producer}")
    rest = sum(group.units for group in module.units[_MOST_UNIT_GROUPS:])
    if rest:
        yield _note("units", f"and {_count(rest, 'unit')} of other kinds")


def _sources(module: Examination) -> Iterator[Finding]:
    sources = module.sources
    if sources is None:
        return
    there = len(sources.paths) - len(sources.missing)
    text = f"{there:,} of {len(sources.paths):,} source files are on this machine"
    if sources.missing:
        missing = _short(sources.missing[0])
        yield _note("sources", f"{text}; not, for example, {missing}", "say where they are: --map FROM=TO")
    else:
        yield _note("sources", text)


def _broken_links(module: Examination) -> bool:
    return any(link.problem is not None for link in module.links)


def _matching(health: Health) -> str:
    if health.matching == health.live:
        return f"{_all(health.live)} its place in the code"
    return f"{health.matching:,} of its {_count(health.live, 'function')} have their place in the code"


def _all(count: int) -> str:
    return "its one function has" if count == 1 else f"each of its {count:,} functions has"


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _by_language(remedies: dict[str, str], module: Examination) -> str:
    """Choose what to do by what a module was written in."""
    languages = [producer.name for producer in module.producers.languages] if module.producers else []
    for key, remedy in remedies.items():
        # "C11" and "C_plus_plus_14" are what clang says.
        if any(name == key or (key == "C" and name[:1] == "C" and name[1:2] in "_0123456789") for name in languages):
            return remedy
    return remedies[""]


def _hex(build_id: bytes) -> str:
    return _short(build_id.hex())


def _short(text: str) -> str:
    """Make what a module says fit for one line: not endless, and nothing in it that a terminal would act on."""
    cut = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
    return cut if cut.isprintable() else ascii(cut)[1:-1]
