"""Names of types as a reader of the source would write them, and their sizes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from wasmscope.dwarf._dwarf_codes import At, Tag
from wasmscope.dwarf._units import Entry, Unit

__all__ = ["Language", "TypeName", "TypeNames", "language_of", "scoped_name"]

_MAX_STEPS: Final = 200
"""Pointers, arrays, qualifiers and parameters of a type, or scopes around a name. DWARF can make a circle of them."""
_MAX_NAME: Final = 4_096
_MAX_DIMENSIONS: Final = 16
_MAX_SIZE_BYTES: Final = 1 << 64


class Language(Enum):
    """How a unit's types are spelled."""

    C = "c"
    CPP = "c++"
    RUST = "rust"
    ZIG = "zig"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type.

    Attributes:
        name: As the source would have it: ``const struct shape *``, ``&[u8]``, ``geo::vec2<int>``.
        size_bytes: Size of a value; None if it has none or it is unknown.
        offset: Where the type's entry is in .debug_info, to ask more about it; None for ``void``, and in type units of
            DWARF 4.
    """

    name: str
    size_bytes: int | None
    offset: int | None


_C: Final = frozenset((0x01, 0x02, 0x0C, 0x1D, 0x2C, 0x3D))
_CPP: Final = frozenset((0x04, 0x1A, 0x21, 0x2B, 0x3A, 0x3B))
_RUST: Final = 0x1C
_ZIG: Final = 0x27

_KEYWORDS: Final = {
    Tag.STRUCTURE_TYPE: "struct",
    Tag.CLASS_TYPE: "class",
    Tag.UNION_TYPE: "union",
    Tag.ENUMERATION_TYPE: "enum",
}
_QUALIFIERS: Final = {
    Tag.CONST_TYPE: "const",
    Tag.VOLATILE_TYPE: "volatile",
    Tag.RESTRICT_TYPE: "restrict",
    Tag.ATOMIC_TYPE: "_Atomic",
}
_POINTERS: Final = {Tag.POINTER_TYPE: "*", Tag.REFERENCE_TYPE: "&", Tag.RVALUE_REFERENCE_TYPE: "&&"}
_SCOPES: Final = frozenset((*_KEYWORDS, Tag.NAMESPACE))


def language_of(unit: Unit) -> Language:
    """Give the language of a unit.

    Source: https://dwarfstd.org/languages.html. Zig had no number for long: its compiler names itself as the producer.
    """
    number = unit.language
    if number == _ZIG or unit.producer.startswith("zig "):
        return Language.ZIG
    if number == _RUST:
        return Language.RUST
    if number in _CPP:
        return Language.CPP
    return Language.C if number in _C else Language.OTHER


def scoped_name(entry: Entry, language: Language) -> str | None:
    """Give the name of a type or function with the namespaces and types around it; None if it has none.

    Args:
        entry: Its entry.
        language: How it is spelled.
    """
    name = entry.text(At.NAME)
    if name is None:
        return None
    # Zig's names are whole, and C has no scopes.
    if language not in (Language.CPP, Language.RUST):
        return name
    parts = [name]
    above = entry.unit.parent(entry)
    for _ in range(_MAX_STEPS):
        if above is None or above.tag not in _SCOPES:
            break
        scope = above.text(At.NAME)
        if scope is None:
            scope = "(anonymous namespace)" if above.tag == Tag.NAMESPACE else _anonymous(above)
        parts.append(scope)
        above = above.unit.parent(above)
    return "::".join(reversed(parts))[:_MAX_NAME]


def _anonymous(entry: Entry) -> str:
    keyword = _KEYWORDS.get(Tag(entry.tag), "type") if entry.tag in _KEYWORDS else "type"
    line = entry.number(At.DECL_LINE)
    return f"(anonymous {keyword} at line {line})" if line else f"(anonymous {keyword})"


class TypeNames:
    """Names and sizes of types; of each type, they are worked out once."""

    def __init__(self) -> None:
        """Begin without any."""
        self._known: dict[tuple[str, int], TypeName] = {}

    def of(self, entry: Entry, attribute: int = At.TYPE) -> TypeName:
        """Give the type that an entry has.

        Args:
            entry: A variable, say.
            attribute: The attribute that refers to the type.
        """
        language = language_of(entry.unit)
        target = entry.target(attribute)
        if target is None:
            return TypeName(_void(language) if attribute not in entry.attributes else "(unknown type)", None, None)
        key = (target.unit.section, target.offset)
        known = self._known.get(key)
        if known is None:
            offset = target.offset if target.unit.section == ".debug_info" else None
            known = TypeName(_Speller(language).spell(target)[:_MAX_NAME], _size(target), offset)
            if len(self._known) > 10_000:
                self._known.clear()
            self._known[key] = known
        return known


def _void(language: Language) -> str:
    return "()" if language is Language.RUST else "void"


class _Speller:
    """Spells one type, in a bounded number of steps: what it is made of can come back to itself on many ways."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._steps_left = _MAX_STEPS

    def spell(self, start: Entry | None) -> str:
        """Spell a type from the outside in, as C's declarators go: ``int (*)[3]`` is a pointer to an array of ints."""
        language = self._language
        declarator = ""
        qualifiers: list[str] = []
        entry = start
        while self._steps_left > 0 and len(declarator) < _MAX_NAME:
            self._steps_left -= 1
            if entry is None:
                return _join(qualifiers, _void(language), declarator)
            tag = entry.tag
            # Rust and Zig name all their types; C and C++ only what has a name in the source.
            name = entry.text(At.NAME)
            if name is not None:
                return _join(qualifiers, _base(entry, name, language), declarator)
            if tag in _QUALIFIERS:
                word = _QUALIFIERS[Tag(tag)]
                if word not in qualifiers:
                    qualifiers.append(word)
            elif tag in _POINTERS:
                declarator = _pointer(_POINTERS[Tag(tag)], qualifiers, declarator)
                qualifiers = []
            elif tag == Tag.PTR_TO_MEMBER_TYPE:
                of = entry.target(At.CONTAINING_TYPE)
                scope = "?" if of is None else (scoped_name(of, language) or _anonymous(of))
                declarator = _pointer(f"{scope}::*", qualifiers, declarator)
                qualifiers = []
            elif tag == Tag.ARRAY_TYPE:
                counts = ["" if count is None else str(count) for count in _counts(entry)]
                if language is Language.RUST and not declarator:
                    return _join(qualifiers, f"[{'; '.join((self.spell(entry.target(At.TYPE)), *counts))}]", "")
                declarator = _enclosed(declarator) + "".join(f"[{count}]" for count in counts)
            elif tag == Tag.SUBROUTINE_TYPE:
                declarator = _enclosed(declarator) + self._parameters(entry)
            else:
                return _join(qualifiers, _base(entry, None, language), declarator)
            entry = _next(entry)
        return _join(qualifiers, "…", declarator)

    def _parameters(self, entry: Entry) -> str:
        """Spell what is between a function type's parentheses, and what is behind them."""
        position = entry.unit.position(entry.offset)
        names: list[str] = []
        behind = ""
        for child in () if position is None else entry.unit.children(position):
            if self._steps_left <= 0:
                names.append("…")
                break
            parameter = entry.unit.entry(child)
            if parameter.tag == Tag.UNSPECIFIED_PARAMETERS:
                names.append("...")
            elif parameter.tag == Tag.FORMAL_PARAMETER and At.ARTIFICIAL in parameter.attributes:
                this = parameter.target(At.TYPE)
                to = None if this is None else _next(this)
                behind = f" {_QUALIFIERS[Tag(to.tag)]}" if to is not None and to.tag in _QUALIFIERS else ""
            elif parameter.tag == Tag.FORMAL_PARAMETER:
                names.append(self.spell(parameter.target(At.TYPE)))
        if not names and self._language is Language.C and At.PROTOTYPED in entry.attributes:
            names.append("void")
        return f"({', '.join(names)}){behind}"


def _next(entry: Entry) -> Entry | None:
    return entry.target(At.TYPE)


def _join(qualifiers: list[str], base: str, declarator: str) -> str:
    words = " ".join((*_ordered(qualifiers), base))
    if not declarator:
        return words
    return f"{words}{'' if declarator.startswith('[') else ' '}{declarator}"


def _ordered(qualifiers: list[str]) -> list[str]:
    """Sort as most people write them: ``const volatile``."""
    return [word for word in _QUALIFIERS.values() if word in qualifiers]


def _pointer(mark: str, qualifiers: list[str], declarator: str) -> str:
    mark += " ".join(_ordered(qualifiers))
    # `*const *`, but `**` and `*&`.
    return mark + (" " if qualifiers and declarator[:1] in "*&" and declarator else "") + declarator


def _enclosed(declarator: str) -> str:
    return f"({declarator})" if declarator and declarator[0] not in "[(" else declarator


def _base(entry: Entry, name: str | None, language: Language) -> str:
    if name is None:
        # A type that is declared here and described in a unit of its own.
        other = entry.target(At.SIGNATURE)
        if other is not None:
            return _base(other, other.text(At.NAME), language) if At.SIGNATURE not in other.attributes else "…"
        return _anonymous(entry)
    full = scoped_name(entry, language) or name
    # C has a keyword before each name that no typedef made; C++ and the others do not.
    is_tagged = language is Language.C and entry.tag in _KEYWORDS
    return f"{_KEYWORDS[Tag(entry.tag)]} {full}" if is_tagged else full


def _counts(array: Entry) -> list[int | None]:
    """Numbers of elements of an array's dimensions; None where it is not said."""
    position = array.unit.position(array.offset)
    found: list[int | None] = []
    for child in () if position is None else array.unit.children(position):
        if len(found) == _MAX_DIMENSIONS:
            break
        dimension = array.unit.entry(child)
        if dimension.tag not in (Tag.SUBRANGE_TYPE, Tag.ENUMERATION_TYPE):
            continue
        count = dimension.number(At.COUNT)
        upper = dimension.number(At.UPPER_BOUND)
        if count is None and upper is not None:
            count = upper - (dimension.number(At.LOWER_BOUND) or 0) + 1
        found.append(count)
    return found or [None]


def _size(start: Entry) -> int | None:
    """Size of a value of a type in bytes; None if it has none or it is unknown."""
    factor = 1
    entry: Entry | None = start
    for _ in range(_MAX_STEPS):
        if entry is None:
            return None
        size = entry.number(At.BYTE_SIZE)
        if size is None and entry.tag in _POINTERS:
            size = entry.unit.sizes.address
        elif size is None and entry.tag == Tag.PTR_TO_MEMBER_TYPE:
            # To a function: its address, and what to add to the object's.
            # https://itanium-cxx-abi.github.io/cxx-abi/abi.html#member-pointers
            to = _next(entry)
            size = entry.unit.sizes.address * (2 if to is not None and to.tag == Tag.SUBROUTINE_TYPE else 1)
        if size is not None:
            return size * factor if size * factor < _MAX_SIZE_BYTES else None
        if entry.tag == Tag.SUBROUTINE_TYPE:
            return None
        if entry.tag == Tag.ARRAY_TYPE:
            for count in _counts(entry):
                if count is None or not 0 <= count < _MAX_SIZE_BYTES:
                    return None
                factor = min(factor * count, _MAX_SIZE_BYTES)
        entry = entry.target(At.SIGNATURE) or _next(entry)
    return None
