"""Whether the debug information of a module, or of a component, can be trusted, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from wasmscope.dwarf._build_ids import debug_path as debug_path_of_environment
from wasmscope.dwarf._debug_info import DebugSources
from wasmscope.dwarf._examiner import examine
from wasmscope.dwarf._findings import Severity, find
from wasmscope.dwarf._frame import Origin

if TYPE_CHECKING:
    from wasmscope.dwarf._examination import Examination
    from wasmscope.dwarf._findings import Finding
    from wasmscope.dwarf._sources import PathMap
    from wasmscope.wasm import Component, Module

__all__ = ["Diagnosis", "ModuleDiagnosis", "diagnose"]

_WHY_NOT: Final = {
    "debug-file-misfit": "the debug file is of another build",
    "debug-file-unreadable": "the debug file cannot be used",
    "dead-dwarf": "its DWARF describes no code that is there",
    "link-broken": "its debug information is elsewhere, and not to be used",
    "no-code": "it has no code",
    "no-lines": "its DWARF has no lines",
    "stale-dwarf": "its DWARF describes other code, so every line would be wrong",
    "unreadable-dwarf": "its DWARF cannot be read",
}


@dataclass(frozen=True, slots=True)
class ModuleDiagnosis:
    """A module, and what there is to say about its debug information.

    Attributes:
        examination: What was found out.
        findings: What follows from that, the worst first.
    """

    examination: Examination
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What there is to say about a file.

    Attributes:
        is_trustworthy: Whether there are lines, and whether they are right.
        summary: What one gets, or why it is not to be trusted; one line.
        modules: The module; of a component all its modules, in the file's order.
    """

    is_trustworthy: bool
    summary: str
    modules: tuple[ModuleDiagnosis, ...]


def diagnose(
    binary: Module | Component,
    *,
    path: str | None = None,
    debug_file: str | None = None,
    debug_path: Sequence[str] | None = None,
    source_map: str | None = None,
    path_maps: Sequence[PathMap] = (),
) -> Diagnosis:
    """Judge the debug information of a module or a component.

    A component is as trustworthy as the one of its modules that has the most code; and not, if any of the others has
    wrong lines. That the others have none is normal: most of them are made by tools.

    Args:
        binary: The module or the component.
        path: Where it was read from; None if from no file.
        debug_file: A debug file to hold against the module; of a component, against the one with the most code.
        debug_path: Stores of debug files by build id; None for those that WASMSCOPE_DEBUG_PATH names.
        source_map: Likewise a source map; None for the one that the module names.
        path_maps: Where source files are on this machine.

    Raises:
        ModuleFormatError: If a module cannot be read.
    """
    from wasmscope.wasm import Component

    if isinstance(binary, Component):
        parts = [(nested.path, nested.module) for nested in binary.modules()]
    else:
        parts = [((), binary)]
    sources = DebugSources(
        path=path,
        given=() if debug_file is None else (debug_file,),
        folders=debug_path_of_environment() if debug_path is None else tuple(debug_path),
        urls=(),
        cache="",
        limits=None,
    )
    main = max(range(len(parts)), key=lambda number: _code_size(parts[number][1]), default=0)
    modules: list[ModuleDiagnosis] = []
    for number, (place, module) in enumerate(parts):
        found = examine(
            module,
            sources,
            place=place,
            debug_file=debug_file if number == main else None,
            source_map=source_map if number == main else None,
            path_maps=path_maps,
        )
        findings = find(found)
        if number != main:
            findings = tuple(_excused(finding) for finding in findings)
        modules.append(ModuleDiagnosis(found, findings))
    errors = [found for module in modules for found in module.findings if found.severity is Severity.ERROR]
    if errors:
        return Diagnosis(False, _why_not(errors[0]), tuple(modules))
    if not modules:
        return Diagnosis(False, "there is no module in it", ())
    return Diagnosis(True, _what(modules[main].examination), tuple(modules))


def _code_size(module: Module) -> int:
    return module.code.size if module.code is not None else 0


def _excused(finding: Finding) -> Finding:
    """Take it easier that a module has no lines and no build id, if it is not the one that matters."""
    if finding.code in ("no-build-id", "no-code", "no-debug-info"):
        return replace(finding, severity=Severity.NOTE, remedy=None)
    return finding


def _why_not(error: Finding) -> str:
    return _WHY_NOT.get(error.code, error.message)


def _what(examination: Examination) -> str:
    if examination.origin is Origin.SOURCE_MAP:
        return "lines come from its source map"
    where = f"the DWARF in {examination.file or 'the module'}"
    if examination.missing_split_units or not (examination.health and examination.health.live):
        return f"lines come from {where}"
    return f"lines and inlined calls come from {where}"
