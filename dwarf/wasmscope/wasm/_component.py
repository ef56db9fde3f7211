"""A component, and the core modules that are in it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmscope.errors import ModuleFormatError
from wasmscope.wasm._binary import Binary
from wasmscope.wasm._module import Module
from wasmscope.wasm._section import COMPONENT_SECTIONS

if TYPE_CHECKING:
    from wasmscope.wasm._file import Data

__all__ = ["COMPONENT_HEADER", "Component", "NestedModule"]

COMPONENT_HEADER: Final = b"\0asm\x0d\0\x01\0"
_CORE_MODULE: Final = 1
_COMPONENT: Final = 4
_COMPONENT_NAME: Final = 0
# What runtimes accept: MAX_WASM_MODULES and MAX_WASM_COMPONENTS of the wasmparser crate.
_MOST: Final = 1000
_DEEPEST: Final = 100
_MOST_SECTIONS: Final = 1_000_000
"""Of all that is in a component: a section of two bytes becomes an object of a hundred."""


class NestedModule(NamedTuple):
    """A core module inside a component.

    Attributes:
        path: Where it is: its number among the core modules of the component that has it, and before that, from the
            outside in, that component's number and those of the components around it, each among its siblings.
        offset: Where it begins, as a byte offset in the file.
        size: How many bytes it has.
        module: What is in it; all its offsets are those of the file.
    """

    path: tuple[int, ...]
    offset: int
    size: int
    module: Module


class Component(Binary):
    """A component in the binary format.

    Source: https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md
    """

    def __init__(self, data: Data, *, start: int = 0, end: int | None = None) -> None:
        """Find the sections.

        Args:
            data: The file. It is not copied, so it must not change.
            start: Where the component begins in it.
            end: Where it ends in it; None for the file's end.

        Raises:
            ModuleFormatError: If it is not a component, or is cut off.
        """
        super().__init__(data, start, end, header=COMPONENT_HEADER, kind="component", names=COMPONENT_SECTIONS)

    def modules(self) -> tuple[NestedModule, ...]:
        """Give the core modules, in the file's order, those of nested components included.

        Raises:
            ModuleFormatError: If one cannot be read, or if they are too many or too deep.
        """
        return self._modules

    @cached_property
    def _modules(self) -> tuple[NestedModule, ...]:
        found: list[NestedModule] = []
        components = 0
        room = _MOST_SECTIONS
        # Components whose sections are being gone over, the outermost first.
        open_: list[_Level] = [_Level(self, ())]
        while open_:
            level = open_[-1]
            section = next(level.sections, None)
            if section is None:
                open_.pop()
            elif section.id == _CORE_MODULE:
                if len(found) == _MOST:
                    raise ModuleFormatError(f"more than {_MOST:,} modules in a component", offset=section.offset)
                module = Module(self.data, start=section.offset, end=section.end)
                room -= len(module.sections)
                found.append(NestedModule((*level.path, level.modules), section.offset, section.size, module))
                level.modules += 1
            elif section.id == _COMPONENT:
                components += 1
                if components > _MOST or len(open_) > _DEEPEST:
                    limit = f"more than {_MOST:,} components" if components > _MOST else f"deeper than {_DEEPEST}"
                    raise ModuleFormatError(f"components inside components, {limit}", offset=section.offset)
                inner = Component(self.data, start=section.offset, end=section.end)
                room -= len(inner.sections)
                open_.append(_Level(inner, (*level.path, level.components)))
                level.components += 1
            if section is not None and room < 0:
                raise ModuleFormatError(f"more than {_MOST_SECTIONS:,} sections in a component", offset=section.offset)
        return tuple(found)

    def find(self, file_offset: int) -> NestedModule | None:
        """Find the core module that has a byte.

        Args:
            file_offset: Where the byte is in the file.

        Raises:
            ModuleFormatError: If the modules cannot be read.
        """
        return next((m for m in self.modules() if m.offset <= file_offset < m.offset + m.size), None)

    def name(self) -> str | None:
        """Read the component's own name; None if it has none, or an unreadable one."""
        for cursor in self._custom("component-name"):
            try:
                while not cursor.is_at_end:
                    kind, size = cursor.byte(), cursor.u32()
                    if kind == _COMPONENT_NAME:
                        return cursor.name() or None
                    cursor.skip(size)
            except ModuleFormatError:
                # It does not make the component wrong.
                continue
        return None


class _Level:
    """A component whose sections are being gone over.

    Attributes:
        path: Its numbers from the outside in.
        sections: Those that are to come.
        modules: How many core modules it had so far.
        components: How many components it had so far.
    """

    __slots__ = ("components", "modules", "path", "sections")

    def __init__(self, component: Component, path: tuple[int, ...]) -> None:
        self.path = path
        self.sections = iter(component.sections)
        self.modules = 0
        self.components = 0
