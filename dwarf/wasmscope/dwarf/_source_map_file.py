"""Where a module's source map is, and whether it is that of this module."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from wasmscope.dwarf._local_files import local_path, read_file, shown
from wasmscope.dwarf._source_map import MAX_MAP_BYTES, SourceMap, read_source_map
from wasmscope.errors import DebugInfoError

if TYPE_CHECKING:
    from wasmscope.wasm import Module

__all__ = ["find_source_map", "read_data_url"]

_GUID_BYTES: Final = 16


def find_source_map(module: Module, path: str | None, given: str | None, notes: list[str]) -> SourceMap | None:
    """Find and decode a module's source map.

    Args:
        module: The module that is executed.
        path: Where it is; None if it was not read from a file.
        given: The file that the user names; None for the one that the module names.
        notes: Gets a line if there should be a map and it cannot be used.

    Returns:
        The map; None if there is none that can be used.
    """
    url = module.source_mapping_url() if given is None else None
    if given is None and url is None:
        return None
    where = shown(given or url or "")
    try:
        if url is not None and url[:5].lower() == "data:":
            where = "in the module"
            found = read_source_map(read_data_url(url))
        else:
            file = given if url is None else local_path(url, None if path is None else os.path.dirname(path))
            found = read_source_map(read_file(file or "", MAX_MAP_BYTES))
        _check(module, found)
    except DebugInfoError as error:
        notes.append(f"the source map {where} is not used: {error}")
        return None
    return found


def read_data_url(url: str) -> bytes:
    """Take a file out of a ``data:`` URL.

    Source: https://www.rfc-editor.org/rfc/rfc2397

    Raises:
        DebugInfoError: If it is none, or broken.
    """
    header, comma, content = url.partition(",")
    if not comma or header[:5].lower() != "data:":
        raise DebugInfoError("the data URL has no data")
    from urllib.parse import unquote_to_bytes

    data = unquote_to_bytes(content)
    if not header.lower().endswith(";base64"):
        return data
    from binascii import Error, a2b_base64

    try:
        # Some tools leave out the padding.
        return a2b_base64(data.rstrip(b"=") + b"=" * (-len(data.rstrip(b"=")) % 4), strict_mode=True)
    except Error as error:
        raise DebugInfoError(f"the data URL is not Base64: {error}") from None


def _check(module: Module, found: SourceMap) -> None:
    """Check that a map is of this module, as far as both tell."""
    build_id = module.build_id()
    if build_id and found.debug_id and not _is_same_build(build_id, found.debug_id):
        raise DebugInfoError(
            f"it is of another build: its debugId is {shown(found.debug_id)}, and the module's build id "
            f"{build_id.hex()[:64]}"
        )
    last, code = found.last_offset, module.code
    if last is not None and code is not None and not code.offset <= last + module.start <= code.end:
        raise DebugInfoError(
            f"it is of another build: it goes up to byte {last:#x}, and the module's code is at "
            f"{code.offset - module.start:#x} to {code.end - module.start:#x}"
        )


def _is_same_build(build_id: bytes, debug_id: str) -> bool:
    """Compare a build id with a map's debugId: its digits, or a UUID of its first 16 bytes, in either order of bytes.

    Source: binaryen, src/wasm/wasm-binary.cpp (the digits); https://github.com/tc39/ecma426/blob/main/proposals/debug-id.md
    (a UUID), of which Sentry makes the first three fields little-endian numbers.
    """
    digits = debug_id.replace("-", "").lower()
    first = build_id[:_GUID_BYTES]
    swapped = first[3::-1] + first[5:3:-1] + first[7:5:-1] + first[8:]
    return digits in (build_id.hex(), first.hex(), swapped.hex())
