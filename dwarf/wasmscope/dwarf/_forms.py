"""How the entries of a unit are laid out, and the values of their attributes.

Source: DWARF 5, 7.5.3 and 7.5.5, https://dwarfstd.org/doc/DWARF5.pdf
"""

from __future__ import annotations

from typing import Final, NamedTuple

from wasmscope.dwarf._dwarf_codes import Form
from wasmscope.errors import DebugInfoError

__all__ = ["Abbreviation", "UnitSizes", "Value", "read_abbreviations", "read_leb", "read_value", "skip_entry"]

_MAX_LEB_BYTES: Final = 16
"""10 hold 64 bits; some writers pad."""
_MAX_ATTRIBUTES: Final = 256
"""Of one entry. Compilers write thirty at most. Values can take no bytes at all, so that many cost nothing to write."""
_MAX_ABBREVIATIONS: Final = 100_000

# How to go over a value: that many bytes, or one of these.
_LEB: Final = -1
_STRING: Final = -2
_BLOCK: Final = -3
_BLOCK1: Final = -4
_BLOCK2: Final = -5
_BLOCK4: Final = -6
_INDIRECT: Final = -7

_FIXED: Final[dict[int, int]] = {
    Form.DATA1: 1,
    Form.DATA2: 2,
    Form.DATA4: 4,
    Form.DATA8: 8,
    Form.DATA16: 16,
    Form.FLAG: 1,
    Form.FLAG_PRESENT: 0,
    Form.IMPLICIT_CONST: 0,
    Form.REF1: 1,
    Form.REF2: 2,
    Form.REF4: 4,
    Form.REF8: 8,
    Form.REF_SIG8: 8,
    Form.REF_SUP4: 4,
    Form.REF_SUP8: 8,
    Form.STRX1: 1,
    Form.STRX2: 2,
    Form.STRX3: 3,
    Form.STRX4: 4,
    Form.ADDRX1: 1,
    Form.ADDRX2: 2,
    Form.ADDRX3: 3,
    Form.ADDRX4: 4,
}
_OF_OFFSET_SIZE: Final = frozenset(
    (Form.STRP, Form.LINE_STRP, Form.STRP_SUP, Form.SEC_OFFSET, Form.GNU_REF_ALT, Form.GNU_STRP_ALT)
)
_VARIABLE: Final[dict[int, int]] = {
    Form.UDATA: _LEB,
    Form.SDATA: _LEB,
    Form.REF_UDATA: _LEB,
    Form.STRX: _LEB,
    Form.ADDRX: _LEB,
    Form.LOCLISTX: _LEB,
    Form.RNGLISTX: _LEB,
    Form.GNU_ADDR_INDEX: _LEB,
    Form.GNU_STR_INDEX: _LEB,
    Form.STRING: _STRING,
    Form.BLOCK: _BLOCK,
    Form.EXPRLOC: _BLOCK,
    Form.BLOCK1: _BLOCK1,
    Form.BLOCK2: _BLOCK2,
    Form.BLOCK4: _BLOCK4,
    Form.INDIRECT: _INDIRECT,
}


class UnitSizes(NamedTuple):
    """What a unit's header says about the sizes of values.

    Attributes:
        address: Bytes of an address.
        offset: Bytes of an offset into a section.
        version: Version of DWARF.
    """

    address: int
    offset: int
    version: int


class Value(NamedTuple):
    """The value of an attribute, as it is written.

    Attributes:
        form: How it is written.
        raw: A number, or the bytes of a block or string.
    """

    form: int
    raw: int | bytes


class Abbreviation(NamedTuple):
    """How entries of a kind are laid out.

    Attributes:
        tag: What they describe.
        has_children: Whether entries below follow each of them.
        attributes: For each attribute its name, its form and the value if that is in here.
        steps: How to go over the values: numbers of bytes, and what has to be looked at.
    """

    tag: int
    has_children: bool
    attributes: tuple[tuple[int, int, int], ...]
    steps: tuple[int, ...]


def read_leb(data: bytes | memoryview, at: int, *, is_signed: bool = False) -> tuple[int, int]:
    """Read a LEB128 number; gives it and where it ends.

    Args:
        data: The bytes.
        at: Where it begins.
        is_signed: Whether it can be negative.

    Raises:
        IndexError: If the bytes end in it.
        DebugInfoError: If it is absurdly long.
    """
    value = shift = 0
    for place in range(at, at + _MAX_LEB_BYTES):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if is_signed and byte & 0x40:
                value -= 1 << shift
            return value, place + 1
    raise DebugInfoError(f"debug information: a number of more than {_MAX_LEB_BYTES} bytes at {at:#x}")


def read_abbreviations(
    data: memoryview, at: int, sizes: UnitSizes, *, wanted: int | None = None
) -> tuple[dict[int, Abbreviation], int]:
    """Read a table of abbreviations; gives it and where the reading ended.

    Args:
        data: The section .debug_abbrev.
        at: Where the table begins in it.
        sizes: The sizes of the unit that uses it.
        wanted: If this is given, stop when this one has been read.

    Raises:
        DebugInfoError: If it cannot be read.
    """
    start = at
    found: dict[int, Abbreviation] = {}
    try:
        while len(found) < _MAX_ABBREVIATIONS:
            code, at = read_leb(data, at)
            if not code:
                return found, at
            tag, at = read_leb(data, at)
            has_children = bool(data[at])
            at += 1
            attributes: list[tuple[int, int, int]] = []
            while len(attributes) <= _MAX_ATTRIBUTES:
                name, at = read_leb(data, at)
                form, at = read_leb(data, at)
                if not name and not form:
                    break
                constant = 0
                if form == Form.IMPLICIT_CONST:
                    constant, at = read_leb(data, at, is_signed=True)
                attributes.append((name, form, constant))
            else:
                raise DebugInfoError(f".debug_abbrev: an entry with more than {_MAX_ATTRIBUTES} attributes at {at:#x}")
            found[code] = Abbreviation(tag, has_children, tuple(attributes), _steps(attributes, sizes, at))
            if code == wanted:
                return found, at
    except IndexError:
        raise DebugInfoError(f".debug_abbrev is cut off in the table at {start:#x}; build the module again") from None
    raise DebugInfoError(f".debug_abbrev: more than {_MAX_ABBREVIATIONS:,} abbreviations at {start:#x}")


def _steps(attributes: list[tuple[int, int, int]], sizes: UnitSizes, at: int) -> tuple[int, ...]:
    steps: list[int] = []
    for _, form, _ in attributes:
        size = _size(form, sizes)
        if size is None:
            raise DebugInfoError(f".debug_abbrev: the unknown form {form:#x} before {at:#x}")
        if size > 0 and steps and steps[-1] > 0:
            steps[-1] += size
        elif size:
            steps.append(size)
    return tuple(steps)


def _size(form: int, sizes: UnitSizes) -> int | None:
    """Bytes of a value, or how to go over it; None if the form is unknown."""
    fixed = _FIXED.get(form)
    if fixed is not None:
        return fixed
    if form in _OF_OFFSET_SIZE:
        return sizes.offset
    if form == Form.ADDR:
        return sizes.address
    if form == Form.REF_ADDR:
        return sizes.address if sizes.version == 2 else sizes.offset
    return _VARIABLE.get(form)


def skip_entry(data: bytes, at: int, steps: tuple[int, ...], sizes: UnitSizes) -> int:
    """Go over the values of an entry; gives where they end, perhaps behind the data's end.

    Args:
        data: The unit.
        at: Where the values begin.
        steps: Those of its abbreviation.
        sizes: The unit's sizes.

    Raises:
        IndexError: If the data end in it.
        DebugInfoError: If a value is of an unknown form.
    """
    for step in steps:
        if step > 0:
            at += step
            continue
        match step:
            case -1:  # _LEB
                while data[at] >= 0x80:
                    at += 1
                at += 1
            case -2:  # _STRING
                end = data.find(0, at)
                if end < 0:
                    raise IndexError
                at = end + 1
            case -7:  # _INDIRECT
                form, at = read_leb(data, at)
                inner = _size(form, sizes)
                if inner is None or form == Form.INDIRECT:
                    raise DebugInfoError(f".debug_info: the unknown form {form:#x}")
                at = skip_entry(data, at, (inner,), sizes)
            case _:
                at = _block(data, at, step)[1]
    return at


def _block(data: bytes, at: int, step: int) -> tuple[int, int]:
    """Where a block's contents begin and end."""
    if step == _BLOCK:
        size, at = read_leb(data, at)
    else:
        width = {_BLOCK1: 1, _BLOCK2: 2, _BLOCK4: 4}[step]
        size = _fixed(data, at, width)
        at += width
    if at + size > len(data):
        raise IndexError
    return at, at + size


def _fixed(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], "little")


def read_value(data: bytes, at: int, form: int, constant: int, sizes: UnitSizes) -> tuple[Value, int]:
    """Read the value of an attribute; gives it and where it ends.

    Args:
        data: The unit.
        at: Where the value begins.
        form: How it is written.
        constant: What the abbreviation says it is, for `Form.IMPLICIT_CONST`.
        sizes: The unit's sizes.

    Raises:
        IndexError: If the data end in it.
        DebugInfoError: If the form is unknown.
    """
    if form == Form.IMPLICIT_CONST:
        return Value(form, constant), at
    if form == Form.FLAG_PRESENT:
        return Value(form, 1), at
    size = _size(form, sizes)
    match size:
        case None:
            raise DebugInfoError(f".debug_info: the unknown form {form:#x}")
        case -1:  # _LEB
            number, at = read_leb(data, at, is_signed=form == Form.SDATA)
            return Value(form, number), at
        case -2:  # _STRING
            end = data.find(0, at)
            if end < 0:
                raise IndexError
            return Value(form, data[at:end]), end + 1
        case -7:  # _INDIRECT
            inner, at = read_leb(data, at)
            if inner in (Form.INDIRECT, Form.IMPLICIT_CONST):
                raise DebugInfoError(f".debug_info: the form {inner:#x} where it cannot be")
            return read_value(data, at, inner, 0, sizes)
        case _ if size < 0:
            start, end = _block(data, at, size)
            return Value(form, data[start:end]), end
        case _:
            return Value(form, _fixed(data, at, size)), at + size
