"""What is found out about a module's debug information before anything is said about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasmscope.dwarf._frame import Origin
    from wasmscope.dwarf._health import Health
    from wasmscope.wasm import Producers

__all__ = ["Examination", "Fit", "Link", "LinkKind", "SourceFiles", "UnitGroup"]


class LinkKind(Enum):
    """What a module says to have elsewhere."""

    DEBUG_FILE = "external_debug_info"
    SOURCE_MAP = "sourceMappingURL"


@dataclass(frozen=True, slots=True)
class Link:
    """Something that a module says to have elsewhere.

    Attributes:
        kind: What.
        url: Where, in the module's words.
        problem: Why it could not be used, in one line; None if it could.
    """

    kind: LinkKind
    url: str
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A file with debug information that is held against a module.

    Attributes:
        path: Where it is.
        build_id: The one it carries, or None.
        code_bytes: Size of its code section; None if it has none.
        functions: How many functions have code in it; None if it has no code section.
        is_code_equal: Whether its code section is the module's, byte for byte; None if it has none.
        health: How its DWARF lies on the module's bodies; None if it has no DWARF, or unreadable one.
        problem: Why it cannot be read, in one line; None if it can.
    """

    path: str
    build_id: bytes | None = None
    code_bytes: int | None = None
    functions: int | None = None
    is_code_equal: bool | None = None
    health: Health | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitGroup:
    """Compilation units that are alike.

    Attributes:
        language: What they were written in, as DWARF says; None if it does not.
        producer: The compiler, in its own words; None if unknown.
        version: Version of DWARF.
        units: How many they are.
    """

    language: str | None
    producer: str | None
    version: int
    units: int


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The source files that lines come from.

    Attributes:
        paths: All of them, as the compiler wrote them, sorted.
        missing: Those that are not on this machine, where the mapping of paths says.
    """

    paths: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """A module and its debug information.

    Attributes:
        place: Which one it is of a component's modules: its number, after those of the components that it is nested
            in; empty if it is not part of a component.
        offset: Where it begins in the file, in bytes.
        size_bytes: How long it is.
        code_bytes: Size of its code section.
        imported_functions: How many functions it imports.
        functions: How many have code.
        named_functions: How many of these have a name in the name section.
        name_problems: What of the name section could not be read.
        build_id: Its build id, or None.
        producers: What it says of who made it, or None.
        is_rewritten: Whether its code was encoded anew after the linker.
        origin: Where lines come from; `Origin.NAMES` if there are none, and names; None if there is neither.
        file: The file with the debug information, if that is not the module's own.
        health: How its DWARF lies on its bodies; None if there is none.
        problems: What of the DWARF could not be read.
        line_bytes: How many bytes of code DWARF gives a line or the line 0 for.
        line_zero_bytes: How many of these have the line 0: the compiler did not know.
        units: Its compilation units.
        split_units: How many units have the most of their DWARF in other files.
        missing_split_units: How many of these files were not found.
        sources: Its source files; None if no lines are known.
        links: What it says to have elsewhere.
        debug_file: The debug file that was named to be held against it, or None.
        unused: Debug files that were found and do not fit, each with the reason, in one line.
    """

    place: tuple[int, ...]
    offset: int
    size_bytes: int
    code_bytes: int
    imported_functions: int
    functions: int
    named_functions: int
    name_problems: tuple[str, ...]
    build_id: bytes | None
    producers: Producers | None
    is_rewritten: bool
    origin: Origin | None
    file: str | None
    health: Health | None
    problems: tuple[str, ...]
    line_bytes: int
    line_zero_bytes: int
    units: tuple[UnitGroup, ...]
    split_units: int
    missing_split_units: tuple[str, ...]
    sources: SourceFiles | None
    links: tuple[Link, ...]
    debug_file: Fit | None
    unused: tuple[str, ...]
