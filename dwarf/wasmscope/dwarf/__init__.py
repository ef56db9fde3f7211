"""From addresses in WebAssembly code to functions, files, lines and variables."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from wasmscope.dwarf._frame import Frame, Origin, Place

if TYPE_CHECKING:
    from wasmscope.dwarf._build_ids import debug_path, store_path
    from wasmscope.dwarf._debug_split import (
        SplitModule,
        add_build_id,
        content_id,
        has_dwarf,
        is_dwarf,
        split_module,
        strip_module,
    )
    from wasmscope.dwarf._debuginfod import debuginfod_urls
    from wasmscope.dwarf._diagnosis import Diagnosis, ModuleDiagnosis, diagnose
    from wasmscope.dwarf._engine import EngineLimits
    from wasmscope.dwarf._examination import Examination, Fit, Link, LinkKind, SourceFiles, UnitGroup
    from wasmscope.dwarf._findings import Finding, Severity
    from wasmscope.dwarf._health import Health, Verdict, health
    from wasmscope.dwarf._locations import Location, LocationKind, Operation, Piece
    from wasmscope.dwarf._scopes import FunctionVariables, Scope, ScopeKind, Variable
    from wasmscope.dwarf._source_map import Position, SourceMap, read_source_map
    from wasmscope.dwarf._sources import PathMap, SourceLine, Sources
    from wasmscope.dwarf._symbolizer import Symbolizer
    from wasmscope.dwarf._types import TypeName
    from wasmscope.dwarf._variables import DebugVariables, variables

__all__ = [
    "DebugVariables",
    "Diagnosis",
    "EngineLimits",
    "Examination",
    "Finding",
    "Fit",
    "Frame",
    "FunctionVariables",
    "Health",
    "Link",
    "LinkKind",
    "Location",
    "LocationKind",
    "ModuleDiagnosis",
    "Operation",
    "Origin",
    "PathMap",
    "Piece",
    "Place",
    "Position",
    "Scope",
    "ScopeKind",
    "Severity",
    "SourceFiles",
    "SourceLine",
    "SourceMap",
    "Sources",
    "SplitModule",
    "Symbolizer",
    "TypeName",
    "UnitGroup",
    "Variable",
    "Verdict",
    "add_build_id",
    "content_id",
    "debug_path",
    "debuginfod_urls",
    "diagnose",
    "has_dwarf",
    "health",
    "is_dwarf",
    "read_source_map",
    "split_module",
    "store_path",
    "strip_module",
    "variables",
]

_LATE: Final = {
    "DebugVariables": "_variables",
    "Diagnosis": "_diagnosis",
    "EngineLimits": "_engine",
    "Examination": "_examination",
    "Finding": "_findings",
    "Fit": "_examination",
    "FunctionVariables": "_scopes",
    "Health": "_health",
    "Link": "_examination",
    "LinkKind": "_examination",
    "Location": "_locations",
    "LocationKind": "_locations",
    "ModuleDiagnosis": "_diagnosis",
    "Operation": "_locations",
    "PathMap": "_sources",
    "Piece": "_locations",
    "Position": "_source_map",
    "Scope": "_scopes",
    "ScopeKind": "_scopes",
    "Severity": "_findings",
    "SourceFiles": "_examination",
    "SourceLine": "_sources",
    "SourceMap": "_source_map",
    "Sources": "_sources",
    "SplitModule": "_debug_split",
    "Symbolizer": "_symbolizer",
    "TypeName": "_types",
    "UnitGroup": "_examination",
    "Variable": "_scopes",
    "Verdict": "_health",
    "add_build_id": "_debug_split",
    "content_id": "_debug_split",
    "debug_path": "_build_ids",
    "debuginfod_urls": "_debuginfod",
    "diagnose": "_diagnosis",
    "has_dwarf": "_debug_split",
    "health": "_health",
    "is_dwarf": "_debug_split",
    "read_source_map": "_source_map",
    "split_module": "_debug_split",
    "store_path": "_build_ids",
    "strip_module": "_debug_split",
    "variables": "_variables",
}
"""What is loaded when it is asked for, by the module that has it."""


def __getattr__(name: str) -> object:
    module = _LATE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
