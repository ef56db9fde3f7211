"""Reads core dumps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from wasmscope.coredump._contents import (
    read_executable,
    read_globals,
    read_instances,
    read_memories,
    read_modules,
    read_segments,
)
from wasmscope.coredump._dialect import Dialect
from wasmscope.coredump._dump import CoreDump, DumpThread
from wasmscope.coredump._image import is_image, read_image
from wasmscope.coredump._stacks import read_stacks
from wasmscope.errors import CoreDumpError, ModuleFormatError
from wasmscope.wasm import FileKind, Module, Section, identify
from wasmscope.wasm._cursor import Cursor

if TYPE_CHECKING:
    from mmap import mmap

__all__ = ["is_core_dump", "read"]

_MEMORY: Final = 5
_GLOBAL: Final = 6
_DATA: Final = 11
_CUSTOM: Final = 0
_HEADER_BYTES: Final = 8
_LOOKED_AT: Final = 1_000
"""Sections that are looked at to tell whether a file is a dump. Every known writer begins with ``core``."""
_T = TypeVar("_T")


def is_core_dump(data: bytes | bytearray | memoryview | mmap) -> bool:
    """Tell whether a file says that it is a core dump; whether it can be read shows only when it is.

    Takes microseconds: only the sections' names are looked at.

    Args:
        data: The file, or as much of its beginning as there is.
    """
    # Views are released at once, so that a mapped file can be closed.
    with memoryview(data) as view:
        header = bytes(view[:_HEADER_BYTES])
        if header != b"\0asm\1\0\0\0":
            return is_image(view)
        try:
            return _says_core(Cursor(view, _HEADER_BYTES, len(view), ""))
        except ModuleFormatError:
            return False


def _says_core(cursor: Cursor) -> bool:
    for _ in range(_LOOKED_AT):
        if cursor.is_at_end:
            break
        number, size = cursor.byte(), cursor.u32()
        end = cursor.position + size
        if number == _CUSTOM and _is_name(cursor, (b"core", b"corestack")):
            return True
        cursor.position = end
    return False


def _is_name(cursor: Cursor, names: tuple[bytes, ...]) -> bool:
    size = cursor.u32()
    return any(size == len(name) for name in names) and cursor.take(size) in names


def read(data: bytes | bytearray | memoryview | mmap) -> CoreDump:
    """Read a core dump in any of the dialects in the wild.

    What the memories held is not copied: see `DumpSegment`. Takes time and memory in proportion to the file, whatever
    is in it.

    Args:
        data: The file.

    Raises:
        CoreDumpError: If it is no core dump, or if no dialect explains it to the last byte.
    """
    with memoryview(data) as view:
        found = identify(view)
        if found.kind is not FileKind.MODULE:
            if is_image(view):
                return read_image(view)
            raise CoreDumpError(f"this is {found.description}, not a core dump; {_ADVICE}", offset=0)
        try:
            with Module(data) as module:
                return _read_module(module, view)
        except ModuleFormatError as error:
            raise CoreDumpError(str(error)) from error


_ADVICE: Final = "give the file that the runtime wrote when the program failed (wasmtime: -D coredump=FILE)"


def _read_module(module: Module, data: memoryview) -> CoreDump:
    if not (module.custom_sections("core") or module.custom_sections("corestack")):
        raise CoreDumpError(f"this is a WebAssembly module without the section 'core', not a core dump; {_ADVICE}")
    stacks = read_stacks(data, module.custom_sections("corestack"))
    threads = stacks.threads
    if stacks.dialect in (Dialect.WASMEDGE, Dialect.WASMGDB_2023) and module.custom_sections("coremodules"):
        threads = tuple(_without_offsets(thread) for thread in threads)

    def only(sections: tuple[Section, ...], read_section: Callable[[Cursor], _T], absent: _T) -> _T:
        for section in sections[1:]:
            raise CoreDumpError(f"there are two {section.name} sections", offset=section.offset)
        for section in sections:
            return read_section(Cursor(data, section.offset, section.end, f"{section.name} section"))
        return absent

    def numbered(number: int) -> tuple[Section, ...]:
        return tuple(section for section in module.sections if section.id == number)

    return CoreDump(
        dialect=stacks.dialect,
        ambiguities=stacks.ambiguities,
        executable=only(module.custom_sections("core"), read_executable, ""),
        modules=only(module.custom_sections("coremodules"), read_modules, ()),
        instances=only(module.custom_sections("coreinstances"), read_instances, ()),
        threads=threads,
        memories=only(numbered(_MEMORY), read_memories, ()),
        globals=only(numbered(_GLOBAL), read_globals, ()),
        segments=only(numbered(_DATA), read_segments, ()),
    )


def _without_offsets(thread: DumpThread) -> DumpThread:
    """Forget where in their functions the calls of a stack by WasmEdge 0.14 were.

    It writes where in the file the instruction is that called a function, and not where in the function it is. It
    alone has both a section with modules and frames that do not say which instance was running.

    Source: https://github.com/WasmEdge/WasmEdge/blob/0800d49d75a46b7f02c3808ce2849d0b6777ace5/lib/executor/coredump.cpp
    """
    return DumpThread(thread.name, tuple(replace(frame, code_offset=0) for frame in thread.frames))
