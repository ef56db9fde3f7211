"""Lists of ranges and of locations, in the formats of DWARF 4 and 5.

Source: DWARF 4, 2.6.2 and 2.17.3; DWARF 5, 7.7.3 and 7.25, https://dwarfstd.org/doc/DWARF5.pdf
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from wasmscope.dwarf._dwarf_codes import At
from wasmscope.dwarf._forms import Value, read_leb
from wasmscope.dwarf._units import Entry, Unit
from wasmscope.errors import DebugInfoError

__all__ = ["entry_ranges", "read_locations"]

_MAX_ITEMS: Final = 10_000
"""Of one list. Real ones have some hundred at most."""

# Kinds of items in .debug_rnglists. In .debug_loclists there is one more, 5, and what follows is one higher.
_END: Final = 0
_BASE_ADDRESSX: Final = 1
_STARTX_ENDX: Final = 2
_STARTX_LENGTH: Final = 3
_OFFSET_PAIR: Final = 4
_BASE_ADDRESS: Final = 5
_START_END: Final = 6
_START_LENGTH: Final = 7
_DEFAULT_LOCATION: Final = -1
_RANGE_KINDS: Final = (0, 1, 2, 3, 4, _BASE_ADDRESS, _START_END, _START_LENGTH)
_LOCATION_KINDS: Final = (0, 1, 2, 3, 4, _DEFAULT_LOCATION, _BASE_ADDRESS, _START_END, _START_LENGTH)

_Item: TypeAlias = tuple[bytes, int | None, int | None]


def entry_ranges(entry: Entry, *, most: int = _MAX_ITEMS) -> tuple[tuple[int, int], ...]:
    """Give the code offsets that an entry covers: pairs of the first and the one after the last.

    What the linker left out is not among them.

    Args:
        entry: A unit, function, inlined function or block.
        most: How many items of a list are read at most.

    Raises:
        DebugInfoError: If there is a list that cannot be read.
    """
    unit = entry.unit
    low = entry.address(At.LOW_PC)
    value = entry.attributes.get(At.HIGH_PC)
    if low is not None and value is not None:
        # An address, or how far it is from there.
        high = unit.address(value)
        if high is None and isinstance(value.raw, int):
            high = low + value.raw
        high = high and min(high, _largest(unit))
        return () if high is None or _is_tombstone(unit, low) or low >= high else ((low, high),)
    ranges = entry.attributes.get(At.RANGES)
    if ranges is None:
        return ()
    offset = unit.list_offset(ranges)
    if offset is None:
        raise _cut_off(".debug_rnglists", unit)
    read = _read_5 if unit.sizes.version >= 5 else _read_4
    return tuple(
        (low, high) for _, low, high in read(unit, offset, False, most) if low is not None and high is not None
    )


def read_locations(unit: Unit, value: Value) -> tuple[_Item, ...]:
    """Give the items of a list of locations: the expression, the first code offset, and the one after the last.

    Where there are no code offsets, the expression holds wherever no other one does.

    Args:
        unit: The unit.
        value: The attribute that refers to the list.

    Raises:
        DebugInfoError: If it cannot be read.
    """
    offset = unit.list_offset(value)
    if offset is None:
        raise _cut_off(".debug_loclists", unit)
    read = _read_5 if unit.sizes.version >= 5 else _read_4
    return tuple(read(unit, offset, True, _MAX_ITEMS))


def _is_tombstone(unit: Unit, address: int) -> bool:
    """Whether an address stands for code that the linker left out: 0 (old linkers), -1 and -2.

    Source: https://reviews.llvm.org/D91803
    """
    return not 0 < address < _largest(unit) - 1


def _largest(unit: Unit) -> int:
    return (1 << 8 * unit.sizes.address) - 1


def _base(unit: Unit) -> int:
    return unit.top.address(At.LOW_PC) or 0


def _read_4(unit: Unit, at: int, has_expressions: bool, most: int) -> Iterator[_Item]:
    name = ".debug_loc" if has_expressions else ".debug_ranges"
    data = unit.dwarf.section(name)
    size = unit.sizes.address
    largest = _largest(unit)
    base = _base(unit)
    for _ in range(most):
        if at + 2 * size > len(data):
            raise _cut_off(name, unit)
        unit.dwarf.spend(2 * size)
        low = int.from_bytes(data[at : at + size], "little")
        high = int.from_bytes(data[at + size : at + 2 * size], "little")
        at += 2 * size
        if low == high == 0:
            return
        if low == largest and high != largest:
            base = high
            continue
        expression = b""
        if has_expressions and (low, high) != (largest, largest):
            length = int.from_bytes(data[at : at + 2], "little")
            expression = bytes(data[at + 2 : at + 2 + length])
            at += 2 + length
            if at > len(data):
                raise _cut_off(name, unit)
        # -1 twice: what some tools write for code that was left out, where -2 is right.
        if low < high and low < largest - 1 and not _is_tombstone(unit, base + low):
            yield expression, base + low, min(base + high, largest)
    raise _too_many(name, unit, most)


def _read_5(unit: Unit, at: int, has_expressions: bool, most: int) -> Iterator[_Item]:
    name = ".debug_loclists" if has_expressions else ".debug_rnglists"
    kinds = _LOCATION_KINDS if has_expressions else _RANGE_KINDS
    data = unit.dwarf.section(name)
    size = unit.sizes.address
    base: int | None = _base(unit)
    try:
        for _ in range(most):
            start = at
            unit.dwarf.spend(2)
            code = data[at]
            at += 1
            if code >= len(kinds):
                raise DebugInfoError(f"{name}: the unknown kind {code:#x} at {start:#x} ({unit.where})")
            kind = kinds[code]
            low: int | None = None
            high: int | None = None
            if kind == _END:
                return
            if kind == _BASE_ADDRESSX:
                first, at = read_leb(data, at)
                base = unit.indexed_address(first)
                continue
            if kind == _BASE_ADDRESS:
                base, at = _address(data, at, size)
                continue
            if kind in (_START_END, _START_LENGTH):
                low, at = _address(data, at, size)
                second, at = _address(data, at, size) if kind == _START_END else read_leb(data, at)
                high = second if kind == _START_END else low + second
            elif kind != _DEFAULT_LOCATION:
                first, at = read_leb(data, at)
                second, at = read_leb(data, at)
                if kind == _OFFSET_PAIR:
                    if base is not None and base < _largest(unit) - 1:
                        low, high = base + first, base + second
                else:
                    low = unit.indexed_address(first)
                    if low is not None:
                        high = unit.indexed_address(second) if kind == _STARTX_ENDX else low + second
            expression = b""
            if has_expressions:
                length, at = read_leb(data, at)
                if at + length > len(data):
                    raise IndexError
                expression = bytes(data[at : at + length])
                at += length
            if kind == _DEFAULT_LOCATION:
                yield expression, None, None
            elif low is not None and high is not None and low < high and not _is_tombstone(unit, low):
                yield expression, low, min(high, _largest(unit))
    except IndexError:
        raise _cut_off(name, unit) from None
    raise _too_many(name, unit, most)


def _address(data: memoryview, at: int, size: int) -> tuple[int, int]:
    if at + size > len(data):
        raise IndexError
    return int.from_bytes(data[at : at + size], "little"), at + size


def _cut_off(name: str, unit: Unit) -> DebugInfoError:
    return DebugInfoError(f"{name} is missing or cut off ({unit.where}); build the module again")


def _too_many(name: str, unit: Unit, most: int) -> DebugInfoError:
    return DebugInfoError(f"{name}: a list of more than {most:,} items ({unit.where})")
