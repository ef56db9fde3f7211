"""Modules without their debug information, the debug information without the module, and what joins them.

Nothing but whole custom sections is taken out or added: the code section stays byte for byte, and with it every address
that counts from it.

Source: https://github.com/WebAssembly/tool-conventions, Debugging.md and BuildId.md; what is removed is what LLVM's
``llvm-strip`` removes (llvm/lib/ObjCopy/wasm/WasmObjcopy.cpp).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wasmscope.errors import DebugInfoError
from wasmscope.wasm import Module, Section, encode_name, encode_unsigned, rewrite

__all__ = ["SplitModule", "add_build_id", "content_id", "has_dwarf", "is_dwarf", "split_module", "strip_module"]

_CUSTOM: Final = 0
_BUILD_ID: Final = "build_id"
_EXTERNAL: Final = "external_debug_info"
_STRIPPED_WITH_ALL: Final = frozenset({"linking", "name", "producers"})
_KEPT_WITHOUT_CODE: Final = frozenset({_BUILD_ID, "name", "producers"})


@dataclass(frozen=True, slots=True)
class SplitModule:
    """A module in two.

    Attributes:
        small: The module to ship: it runs as before and has no DWARF.
        debug: The file to keep: DWARF, names and build id.
        build_id: What both carry.
    """

    small: bytes
    debug: bytes
    build_id: bytes


def is_dwarf(section: Section) -> bool:
    """Whether a section holds DWARF, or relocations of it."""
    return section.id == _CUSTOM and section.name.startswith((".debug_", "reloc..debug_"))


def has_dwarf(module: Module) -> bool:
    """Whether a module carries DWARF itself."""
    return any(is_dwarf(section) for section in module.sections)


def content_id(module: Module) -> bytes:
    """Make a build id out of what a module consists of.

    The same module always gets the same one, whether it carries a build id already or not.

    Returns:
        20 bytes: a SHA-1, as ``wasm-ld --build-id=sha1`` makes; it tells builds apart and protects nothing.
    """
    return hashlib.sha1(_written(module, lambda section: not _is_build_id(section)), usedforsecurity=False).digest()


def add_build_id(module: Module, build_id: bytes) -> bytes:
    """Give a module a build id, in place of any that it has.

    Args:
        module: The module.
        build_id: The id, at least one byte.
    """
    return _written(
        module, lambda section: not _is_build_id(section), (_BUILD_ID, encode_unsigned(len(build_id)) + build_id)
    )


def strip_module(module: Module, *, everything: bool = False) -> bytes:
    """Take out the DWARF.

    Args:
        module: The module.
        everything: Whether to take out names, producers and what only linkers read, too. The build id stays.
    """
    return _written(module, lambda section: not (_is_strippable(section) if everything else is_dwarf(section)))


def split_module(
    module: Module,
    *,
    build_id: bytes | None = None,
    url: str | None = None,
    strip_names: bool = False,
    with_code: bool = True,
) -> SplitModule:
    """Make the module to ship and the file to keep.

    Args:
        module: A module with DWARF.
        build_id: What joins the two; None for the one that the module has, else `content_id`.
        url: Where the file to keep will be, as the module to ship says it (``external_debug_info``); None if it does
            not say.
        strip_names: Whether the module to ship loses its names, too.
        with_code: Whether the file to keep is a whole module. Tools that count addresses from the file's beginning
            need one; without, it is smaller by code and data, and useful together with the other only.

    Raises:
        DebugInfoError: If there is no DWARF in it.
        UnicodeEncodeError: If the URL has no UTF-8.
    """
    if not has_dwarf(module):
        raise DebugInfoError("it has no DWARF that could be split off")
    identity = build_id or module.build_id() or content_id(module)
    id_section = (_BUILD_ID, encode_unsigned(len(identity)) + identity)

    def is_shipped(section: Section) -> bool:
        if section.id != _CUSTOM:
            return True
        return not (
            is_dwarf(section)
            or _is_build_id(section)
            or (strip_names and section.name == "name")
            or (url is not None and section.name == _EXTERNAL)
        )

    def is_kept(section: Section) -> bool:
        if section.id == _CUSTOM and section.name in (_EXTERNAL, _BUILD_ID):
            return False
        return with_code or is_dwarf(section) or (section.id == _CUSTOM and section.name in _KEPT_WITHOUT_CODE)

    link = [] if url is None else [(_EXTERNAL, encode_name(url))]
    return SplitModule(
        small=_written(module, is_shipped, id_section, *link),
        debug=_written(module, is_kept, id_section),
        build_id=identity,
    )


def _is_build_id(section: Section) -> bool:
    return section.id == _CUSTOM and section.name == _BUILD_ID


def _is_strippable(section: Section) -> bool:
    name = section.name
    return section.id == _CUSTOM and (
        name.startswith((".debug_", "reloc.")) or name in ("linking", "name", "producers")
    )


def _written(module: Module, keeps: Callable[[Section], bool], *appended: tuple[str, bytes]) -> bytes:
    """Write a module with the sections that are to be kept, as they are, and with new ones at the end."""
    return rewrite(module, drop=[section for section in module.sections if not keeps(section)], append=appended).data
