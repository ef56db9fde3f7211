"""Writes debug information that no compiler writes: circles, depths and counts, in a module of one function.

::

    die = Die(Tag.SUBPROGRAM, {At.LOW_PC: addr(2), At.HIGH_PC: data4(10)}, [Die(...)])
    module = module_with(sections(die))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.support.coredumps import section, uleb

__all__ = [
    "BODY_SIZE",
    "At",
    "Attribute",
    "Die",
    "Form",
    "Tag",
    "addr",
    "block",
    "data4",
    "function",
    "module_with",
    "ref",
    "sections",
    "text",
    "udata",
]

BODY_SIZE = 100
"""Of the one function, whose body begins at 2 in the code section: its size takes one byte, the count one."""


class Tag:
    """DWARF 5, 7.5.3."""

    ARRAY_TYPE, POINTER_TYPE, COMPILE_UNIT, STRUCTURE_TYPE, SUBROUTINE_TYPE = 0x01, 0x0F, 0x11, 0x13, 0x15
    FORMAL_PARAMETER, LEXICAL_BLOCK, TYPEDEF, INLINED, SUBRANGE_TYPE = 0x05, 0x0B, 0x16, 0x1D, 0x21
    BASE_TYPE, CONST_TYPE, SUBPROGRAM, VARIABLE, NAMESPACE = 0x24, 0x26, 0x2E, 0x34, 0x39


class At:
    """DWARF 5, 7.5.4."""

    LOCATION, NAME, BYTE_SIZE, STMT_LIST, LOW_PC, HIGH_PC, LANGUAGE = 0x02, 0x03, 0x0B, 0x10, 0x11, 0x12, 0x13
    CONST_VALUE, UPPER_BOUND, ABSTRACT_ORIGIN, COUNT, DECL_FILE, DECL_LINE = 0x1C, 0x2F, 0x31, 0x37, 0x3A, 0x3B
    FRAME_BASE, SPECIFICATION, TYPE, RANGES = 0x40, 0x47, 0x49, 0x55


class Form:
    """DWARF 5, 7.5.5 and 7.5.6."""

    ADDR, BLOCK4, DATA4, STRING, BLOCK1, SDATA, UDATA, REF_ADDR, REF4 = 1, 4, 6, 8, 0x0A, 0x0D, 0x0F, 0x10, 0x13
    INDIRECT, SEC_OFFSET, EXPRLOC, FLAG_PRESENT, IMPLICIT_CONST = 0x16, 0x17, 0x18, 0x19, 0x21


@dataclass(frozen=True)
class Attribute:
    """A form, and the value's bytes or the entry that is referred to."""

    form: int
    value: bytes | Die


@dataclass(eq=False)
class Die:
    """An entry. `attributes` may be added to later, so that there can be circles."""

    tag: int
    attributes: dict[int, Attribute] = field(default_factory=dict[int, Attribute])
    children: list[Die] = field(default_factory=list["Die"])
    offset: int = 0


def addr(value: int) -> Attribute:
    return Attribute(Form.ADDR, value.to_bytes(4, "little"))


def data4(value: int) -> Attribute:
    return Attribute(Form.DATA4, value.to_bytes(4, "little"))


def udata(value: int) -> Attribute:
    return Attribute(Form.UDATA, uleb(value))


def text(value: str) -> Attribute:
    return Attribute(Form.STRING, value.encode() + b"\0")


def block(value: bytes) -> Attribute:
    return Attribute(Form.EXPRLOC, uleb(len(value)) + value)


def ref(target: Die) -> Attribute:
    return Attribute(Form.REF4, target)


def function(*children: Die, **attributes: Attribute) -> Die:
    """The function that has the body."""
    own = {At.NAME: text("f"), At.LOW_PC: addr(2), At.HIGH_PC: data4(BODY_SIZE)}
    return Die(Tag.SUBPROGRAM, own | {getattr(At, name): value for name, value in attributes.items()}, list(children))


def sections(
    *children: Die, language: int = 0x0C, stmt_list: bool = False, extra: Mapping[str, bytes] | None = None
) -> dict[str, bytes]:
    """A unit of DWARF 4 with entries, which covers the body; with a table of lines at 0 or without."""
    attributes = {At.LANGUAGE: data4(language), At.LOW_PC: addr(2), At.HIGH_PC: data4(BODY_SIZE)}
    if stmt_list:
        attributes[At.STMT_LIST] = Attribute(Form.SEC_OFFSET, bytes(4))
    top = Die(Tag.COMPILE_UNIT, attributes, list(children))
    abbreviations: dict[tuple[object, ...], int] = {}
    table = bytearray()
    out = bytearray(11)
    fixes: list[tuple[int, Die]] = []
    # A stack of what is to be written, because trees here are deeper than Python calls.
    todo: list[Die | None] = [top]
    while todo:
        die = todo.pop()
        if die is None:
            out.append(0)
            continue
        die.offset = len(out)
        key = (die.tag, bool(die.children), *((name, each.form) for name, each in die.attributes.items()))
        if key not in abbreviations:
            abbreviations[key] = len(abbreviations) + 1
            table += uleb(abbreviations[key]) + uleb(die.tag) + bytes([bool(die.children)])
            table += b"".join(uleb(name) + uleb(each.form) for name, each in die.attributes.items()) + b"\0\0"
        out += uleb(abbreviations[key])
        for attribute in die.attributes.values():
            if isinstance(attribute.value, Die):
                fixes.append((len(out), attribute.value))
                out += bytes(4)
            else:
                out += attribute.value
        if die.children:
            todo.append(None)
            todo.extend(reversed(die.children))
    for at, target in fixes:
        out[at : at + 4] = target.offset.to_bytes(4, "little")
    out[:11] = (len(out) - 4).to_bytes(4, "little") + b"\4\0" + bytes(4) + b"\4"
    return {".debug_info": bytes(out), ".debug_abbrev": bytes(table) + b"\0", **(extra or {})}


def module_with(debug: Mapping[str, bytes]) -> bytes:
    """A module with one function that does nothing, and debug information."""
    nothing = b"\0" + b"\x01" * (BODY_SIZE - 2) + b"\x0b"
    custom: Iterable[bytes] = (section(name, contents) for name, contents in debug.items())
    return b"".join(
        (
            b"\0asm\1\0\0\0",
            section(1, b"\1\x60\0\0"),
            section(3, b"\1\0"),
            section(10, b"\1" + uleb(BODY_SIZE) + nothing),
            *custom,
        )
    )
