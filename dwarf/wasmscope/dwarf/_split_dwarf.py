"""Split DWARF: units of which the module has a skeleton, and another file the rest.

Each skeleton has a number that its other half has, too. A ``.dwo`` file holds one unit, a ``.dwp`` file those of a
whole program. For WebAssembly both are containers in its binary format.

Sources: https://dwarfstd.org/doc/DWARF5.pdf, 3.1.2 and 7.3; for DWARF 4 https://gcc.gnu.org/wiki/DebugFission
"""

from __future__ import annotations

from array import array
from struct import error as StructError
from struct import unpack_from
from typing import TYPE_CHECKING, Final

from wasmscope.errors import ModuleFormatError
from wasmscope.wasm._cursor import Cursor

if TYPE_CHECKING:
    from wasmscope.wasm import Module

__all__ = ["is_split", "split_unit_ids"]

_INFO: Final = ".debug_info.dwo"
_ABBREVIATIONS: Final = ".debug_abbrev.dwo"
_INDEX: Final = ".debug_cu_index"
_SPLIT_COMPILE: Final = 0x05  # DW_UT_split_compile
_GNU_DWO_ID: Final = 0x2131  # DW_AT_GNU_dwo_id
_MAX_UNITS: Final = 100_000
_MAX_ABBREVIATIONS: Final = 10_000
_MAX_ATTRIBUTES: Final = 100

# Sizes of the forms that the first entry of a unit can have: https://dwarfstd.org/doc/DWARF5.pdf, 7.5.6
_LEB: Final = -1
_TEXT: Final = -2
_ADDRESS: Final = -3
_FORMS: Final = {
    0x01: _ADDRESS,  # addr
    0x05: 2,  # data2
    0x06: 4,  # data4
    0x07: 8,  # data8
    0x08: _TEXT,  # string
    0x0B: 1,  # data1
    0x0C: 1,  # flag
    0x0D: _LEB,  # sdata
    0x0E: 4,  # strp
    0x0F: _LEB,  # udata
    0x17: 4,  # sec_offset
    0x19: 0,  # flag_present
    0x1F01: _LEB,  # GNU_addr_index
    0x1F02: _LEB,  # GNU_str_index
}


def is_split(module: Module) -> bool:
    """Tell whether a container holds the other halves of units: whether it is a ``.dwo`` or a ``.dwp``."""
    return bool(module.custom_sections(_INFO))


def split_unit_ids(module: Module) -> frozenset[int]:
    """Read the numbers of the units in a ``.dwo`` or a ``.dwp``; those that can be read.

    Args:
        module: The container.
    """
    try:
        for section in module.custom_sections(_INDEX):
            return _ids_of_index(module.view(section))
        for section in module.custom_sections(_INFO):
            abbreviations = b"".join(bytes(module.view(s)) for s in module.custom_sections(_ABBREVIATIONS))
            return _ids_of_units(module.view(section), abbreviations)
    except (ModuleFormatError, StructError):
        pass
    return frozenset()


def _ids_of_index(data: memoryview) -> frozenset[int]:
    """Read the numbers in a package's index, a hash table in which 0 is an empty place.

    Source: https://dwarfstd.org/doc/DWARF5.pdf, 7.3.5.3
    """
    slots: int = unpack_from("<I", data, 12)[0]
    end = 16 + slots * 8
    if end > len(data):
        return frozenset()
    numbers = array("Q", bytes(data[16:end]))
    return frozenset(numbers) - {0}


def _ids_of_units(data: memoryview, abbreviations: bytes) -> frozenset[int]:
    found: set[int] = set()
    start = 0
    for _ in range(_MAX_UNITS):
        if start >= len(data):
            break
        length, version, kind = unpack_from("<IHB", data, start)
        if length >= 0xFFFF_FFF0:  # 64-bit DWARF, which no compiler writes for WebAssembly
            break
        if version == 5 and kind == _SPLIT_COMPILE:
            found.add(unpack_from("<Q", data, start + 12)[0])
        elif version in (2, 3, 4):
            _, _, table, address_size = unpack_from("<IHIB", data, start)
            unit = Cursor(data, start + 11, start + 4 + length, _INFO)
            number = _gnu_dwo_id(unit, Cursor(abbreviations, table, len(abbreviations), _ABBREVIATIONS), address_size)
            # One unit is all that such a file has: units of types are in a section of their own.
            return frozenset() if number is None else frozenset((number,))
        start += 4 + length
    return frozenset(found)


def _gnu_dwo_id(unit: Cursor, table: Cursor, address_size: int) -> int | None:
    """Read the number of a unit of DWARF 4: an attribute of its first entry."""
    wanted = unit.u32()
    for _ in range(_MAX_ABBREVIATIONS):
        code = table.u32()
        if code == 0:
            return None
        table.u32()  # tag
        table.byte()  # whether it has children
        for _ in range(_MAX_ATTRIBUTES):
            name, form = table.u32(), table.u32()
            if name == form == 0:
                break
            if code != wanted:
                continue
            if name == _GNU_DWO_ID and form == 0x07:
                return int.from_bytes(unit.take(8), "little")
            if not _skip(unit, form, address_size):
                return None
    return None


def _skip(unit: Cursor, form: int, address_size: int) -> bool:
    """Go over an attribute; whether its form is one that we know."""
    size = _FORMS.get(form)
    if size is None:
        return False
    if size == _TEXT:
        while unit.byte():
            pass
    elif size == _LEB:
        while unit.byte() >= 0x80:
            pass
    else:
        unit.take(address_size if size == _ADDRESS else size)
    return True
