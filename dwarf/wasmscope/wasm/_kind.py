"""What a file is, by its first bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from wasmscope.wasm._file import Data

__all__ = ["FileFormat", "FileKind", "identify"]


class FileKind(Enum):
    """What a file that somebody wants to run can be."""

    MODULE = "module"
    """A core module in the binary format."""
    COMPONENT = "component"
    """A component in the binary format."""
    TEXT = "text"
    """A module or component in the text format (.wat)."""
    OTHER = "other"
    """Nothing that WebAssembly knows."""


@dataclass(frozen=True, slots=True)
class FileFormat:
    """What a file is, in words.

    Attributes:
        kind: What it is to WebAssembly.
        description: With article, for example "an ELF file".
        advice: What to try instead, or None.
    """

    kind: FileKind
    description: str
    advice: str | None = None


# After magic and version: https://webassembly.github.io/spec/core/binary/modules.html#binary-module and
# https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md#component-definitions
_MAGIC: Final = b"\0asm"
_MODULE: Final = FileFormat(FileKind.MODULE, "a WebAssembly module")
_COMPONENT: Final = FileFormat(
    FileKind.COMPONENT,
    "a WebAssembly component",
    "build a core module instead: target wasm32-wasip1, not wasm32-wasip2",
)
_TEXT: Final = FileFormat(FileKind.TEXT, "WebAssembly text")
_UNPACK: Final = "unpack it first"
_BUILD: Final = "build the program for WebAssembly, for example for the target wasm32-wasip1"
_LINK: Final = "link it into a module first"

_OTHERS: Final = (
    (b"\x7fELF", "an ELF file: a native program, or a module compiled ahead of time", "give the .wasm file"),
    (b"MZ", "a Windows program", _BUILD),
    (b"\xcf\xfa\xed\xfe", "a macOS program", _BUILD),
    (b"\xca\xfe\xba\xbe", "a macOS program or a Java class", _BUILD),
    (b"BC\xc0\xde", "LLVM bitcode", _LINK),
    (b"!<arch>\n", "a static library", _LINK),
    (b"\x1f\x8b", "a gzip file", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd file", _UNPACK),
    (b"\xfd7zXZ\0", "an xz file", _UNPACK),
    (b"BZh", "a bzip2 file", _UNPACK),
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "fetch the file with: git lfs pull"),
    (b"#!", "a script", None),
)  # fmt: skip
_WAT: Final = re.compile(
    rb"\s*\((?:;|\s*(?:module|component|func|memory|table|import|export|type|global|data|elem|start|tag))"
)
_LINE_COMMENT: Final = re.compile(rb"\s*;;[^\n]*\n?")
_HTML: Final = re.compile(rb"\s*<(?:!doctype|html|\?xml)", re.IGNORECASE)
_LOOKED_AT: Final = 64 * 1024


def identify(data: Data) -> FileFormat:
    """Tell what a file is. Whether it is a *valid* one shows only when it is read.

    Args:
        data: The file, or at least its first 64 KiB.
    """
    head = bytes(data[:_LOOKED_AT])
    if head.startswith(_MAGIC):
        return _binary(head)
    if not head:
        return FileFormat(FileKind.OTHER, "an empty file", "was the build or the download interrupted?")
    for magic, description, advice in _OTHERS:
        if head.startswith(magic):
            return FileFormat(FileKind.OTHER, description, advice)
    return _text(head)


def _binary(head: bytes) -> FileFormat:
    version = head[4:8]
    if len(version) < 4:
        return FileFormat(FileKind.OTHER, "the first bytes of one", "build or download it again")
    number, layer = int.from_bytes(version[:2], "little"), int.from_bytes(version[2:], "little")
    if layer == 1:
        return _COMPONENT
    if layer == 0 and number == 1:
        return _MODULE
    return FileFormat(FileKind.OTHER, f"WebAssembly of the unknown version {number} (layer {layer})")


def _text(head: bytes) -> FileFormat:
    text = head.removeprefix(b"\xef\xbb\xbf")
    if _WAT.match(text, _after_comments(text)):
        return _TEXT
    if _HTML.match(text):
        return FileFormat(FileKind.OTHER, "a web page", "was the download answered with an error page?")
    is_text = b"\0" not in head
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # A character may be cut by the end of what we look at.
        is_text = is_text and len(head) == _LOOKED_AT and error.start > _LOOKED_AT - 4
    return FileFormat(
        FileKind.OTHER, "a text file that is not WebAssembly text" if is_text else "data of an unknown kind"
    )


def _after_comments(text: bytes) -> int:
    position = 0
    while (comment := _LINE_COMMENT.match(text, position)) is not None:
        position = comment.end()
    return position
