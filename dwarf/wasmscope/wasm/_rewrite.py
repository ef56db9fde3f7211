"""A module rewritten around its code: sections, exports and names change, the code keeps every byte."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from wasmscope.errors import ModuleFormatError
from wasmscope.wasm._cursor import Cursor
from wasmscope.wasm._encoding import encode_custom_section, encode_name, encode_name_map, encode_unsigned
from wasmscope.wasm._imports import KINDS
from wasmscope.wasm._names import SUBSECTIONS
from wasmscope.wasm._offset_map import OffsetMap
from wasmscope.wasm._section import CUSTOM, HEADER_BYTES

if TYPE_CHECKING:
    from wasmscope.wasm._exports import Export
    from wasmscope.wasm._module import Module
    from wasmscope.wasm._section import Section

__all__ = ["Rewritten", "rewrite"]

_EXPORT: Final = 7
_CODE: Final = 10
# Tags come before globals, and the count of data segments before the code:
# https://webassembly.github.io/spec/core/binary/modules.html#binary-module
_BEFORE_EXPORTS: Final = frozenset((1, 2, 3, 4, 5, 13, 6))
_MAPS: Final = frozenset(("functions", "types", "tables", "memories", "globals", "elements", "data", "tags"))


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A module, rewritten.

    Attributes:
        data: The module.
        offsets: Where the bytes are that were kept: byte offsets in the old file and in the new one.
    """

    data: bytes
    offsets: OffsetMap


def rewrite(
    module: Module,
    *,
    drop: Collection[Section] = (),
    replace: Mapping[Section, bytes] | None = None,
    append: Iterable[tuple[str, bytes]] = (),
    exports: Sequence[Export] = (),
    module_name: str | None = None,
    names: Mapping[str, Mapping[int, str | None]] | None = None,
) -> Rewritten:
    """Write a module anew. What is not named here stays as it is, byte for byte.

    Args:
        module: The module.
        drop: Sections to leave out. Without its code section it is no program, but can still hold debug information.
        replace: New contents of custom sections; their names stay.
        append: Custom sections that come after all others: names and contents.
        exports: Exports to add.
        module_name: The module's new name; None to leave it.
        names: New names, by kind (``functions``, ``globals`` and so on, as in `Names`) and index; None takes one away.

    Raises:
        ValueError: If there is no such section or no such kind of names, if a section that is no custom section is to
            be replaced, or if a new export has the name of another one.
        ModuleFormatError: If exports or names are to be added to what cannot be read.
    """
    replace = replace or {}
    known = set(module.sections)
    unknown = [s for s in (*drop, *replace) if s not in known]
    if unknown:
        raise ValueError(f"the module has no such section: {unknown[0]}")
    fixed = [s for s in replace if s.id != CUSTOM]
    if fixed:
        raise ValueError(f"only custom sections can be replaced, not the {fixed[0].name} section")
    dropped = set(drop)
    output = _Output(module)
    output.keep(module.start, module.start + HEADER_BYTES)
    renaming = _Renaming(module, module_name, names or {})
    if renaming.is_wanted and any(s.id == CUSTOM and s.name == "name" for s in (*drop, *replace)):
        raise ValueError("the name section cannot be changed and dropped or replaced at once")
    places = _places(module)
    exports_place = _exports_place(module) if exports else None
    for section, (begin, end) in zip(module.sections, places, strict=True):
        if exports_place == begin:
            _add_exports(output, module, None, exports)
            exports_place = None
        if section in dropped:
            continue
        if section in replace:
            output.add(encode_custom_section(section.name, replace[section]))
        elif section.id == CUSTOM and section.name == "name" and renaming.is_wanted:
            renaming.write(output)
        elif section.id == _EXPORT and exports:
            _add_exports(output, module, section, exports)
            exports = ()
        else:
            output.keep(begin, end)
    if exports_place is not None:
        _add_exports(output, module, None, exports)
    renaming.write(output)
    for name, contents in append:
        output.add(encode_custom_section(name, contents))
    return output.finish()


class _Output:
    """A module in the making."""

    def __init__(self, module: Module) -> None:
        self._view = memoryview(module.data)
        self._parts: list[bytes | memoryview] = []
        self._kept: list[tuple[int, int, int]] = []
        self._size = 0

    def keep(self, start: int, end: int) -> None:
        """Copy bytes of the old file."""
        if self._kept and sum(self._kept[-1][::2]) == start and sum(self._kept[-1][1:]) == self._size:
            old, new, size = self._kept.pop()
            self._parts.pop()
            self._kept.append((old, new, size + end - start))
            self._parts.append(self._view[old:end])
        else:
            self._kept.append((start, self._size, end - start))
            self._parts.append(self._view[start:end])
        self._size += end - start

    def add(self, data: bytes) -> None:
        """Write new bytes, one at least."""
        self._parts.append(data)
        self._size += len(data)

    def finish(self) -> Rewritten:
        return Rewritten(b"".join(self._parts), OffsetMap(self._kept))


class _Renaming:
    """The name section with changes."""

    def __init__(
        self, module: Module, module_name: str | None, changes: Mapping[str, Mapping[int, str | None]]
    ) -> None:
        unknown = [kind for kind in changes if kind not in _MAPS]
        if unknown:
            raise ValueError(f"there are no names of the kind {unknown[0]!r}; there are {', '.join(sorted(_MAPS))}")
        self._names = module.names()
        self._changed: dict[int, bytes] = {}
        if module_name is not None:
            self._changed[0] = encode_name(module_name)
        for kind, new in changes.items():
            merged = dict(cast("Mapping[int, str]", getattr(self._names, kind)))
            for index, name in new.items():
                if name is None:
                    merged.pop(index, None)
                else:
                    merged[index] = name
            self._changed[SUBSECTIONS.index(kind)] = encode_name_map(merged)
        self.is_wanted = bool(self._changed)
        if self.is_wanted and self._names.problems:
            raise ModuleFormatError(self._names.problems[0])

    def write(self, output: _Output) -> None:
        """Write the section, unless that is done or it stays as it is."""
        if not self._changed:
            return
        kept = [(kind, start, end) for kind, start, end in self._names.subsections if kind not in self._changed]
        parts = [(kind, encode_unsigned(end - start), start, end) for kind, start, end in kept]
        parts += [(kind, encode_unsigned(len(data)) + data, 0, 0) for kind, data in self._changed.items()]
        parts.sort()
        head = encode_name("name")
        size = len(head) + sum(1 + len(data) + end - start for _, data, start, end in parts)
        output.add(bytes([CUSTOM]) + encode_unsigned(size) + head)
        for kind, data, start, end in parts:
            output.add(bytes([kind]) + data)
            output.keep(start, end)
        self._changed = {}


def _places(module: Module) -> list[tuple[int, int]]:
    """Say where each section begins, with its number and size, and where it ends: they follow one another."""
    ends = [section.end for section in module.sections]
    return list(zip([module.start + HEADER_BYTES, *ends], ends, strict=False))


def _exports_place(module: Module) -> int | None:
    """Say where an export section has to go; None if there is one.

    Before the first section that has to come after it, else at the end.
    """
    if any(section.id == _EXPORT for section in module.sections):
        return None
    for section, (begin, _) in zip(module.sections, _places(module), strict=True):
        if section.id != CUSTOM and section.id not in _BEFORE_EXPORTS:
            return begin
    return module.end


def _add_exports(output: _Output, module: Module, section: Section | None, added: Sequence[Export]) -> None:
    """Write the export section with more of them."""
    old = module.exports()
    seen = {export.name for export in old}
    for export in added:
        if export.name in seen:
            raise ValueError(f"the module has an export of the name {export.name!r} already")
        seen.add(export.name)
    count = encode_unsigned(len(old) + len(added))
    new = b"".join(encode_name(e.name) + bytes([KINDS.index(e.kind)]) + encode_unsigned(e.index) for e in added)
    # The entries begin after the old count.
    start = end = 0
    if section is not None:
        cursor = Cursor(module.data, section.offset, section.end, "export section")
        cursor.u32()
        start, end = cursor.position, section.end
    output.add(bytes([_EXPORT]) + encode_unsigned(len(count) + end - start + len(new)) + count)
    output.keep(start, end)
    output.add(new)
