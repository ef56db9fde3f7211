"""A file's bytes, without reading what nobody looks at."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias

from wasmscope.errors import ModuleFormatError

if TYPE_CHECKING:
    import os
    from mmap import mmap

    Data: TypeAlias = bytes | bytearray | memoryview | mmap
    """What a module can be read from."""

__all__ = ["close_data", "open_data", "release_pages"]

_MAPPED_FROM: Final = 1 << 20
"""Smaller files are read: that takes as long as to map them, and they may be written over while they are looked at."""
_MOST_READ: Final = 1 << 30
"""As much as runtimes accept at all: https://webassembly.github.io/spec/js-api/#limits"""
_MAGIC: Final = b"\0asm"


def open_data(path: str | os.PathLike[str]) -> bytes | mmap:
    """Map a large file into memory; read a small one, and what is no regular file (a pipe, say).

    Args:
        path: Where it is.

    Raises:
        OSError: If it cannot be read.
        ModuleFormatError: If it is endless or far too large.
    """
    import stat
    from os import fstat

    with open(path, "rb") as file:  # noqa: PTH123  # pathlib takes 5 ms to load
        status = fstat(file.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_size >= _MAPPED_FROM:
            from mmap import ACCESS_READ, mmap

            return mmap(file.fileno(), 0, access=ACCESS_READ)
        data = file.read(_MAPPED_FROM)
        # The rest of what is no module, perhaps a disk or /dev/zero, is not worth reading.
        if len(data) == _MAPPED_FROM and data.startswith(_MAGIC):
            data += file.read(_MOST_READ)
    if len(data) > _MOST_READ:
        raise ModuleFormatError("more than 1 GiB comes out of it; is this the right file?")
    return data


def release_pages(data: Data) -> None:
    """Have the system take back the pages of a mapped file; they are in its cache all the same.

    Args:
        data: What `open_data` gave, or anything else: nothing happens then.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        import mmap

        # Not everywhere.
        if hasattr(mmap, "MADV_DONTNEED"):
            data.madvise(mmap.MADV_DONTNEED)


def close_data(data: Data) -> None:
    """Unmap what `open_data` mapped, at once or, while somebody still has a view of it, with the last view.

    Args:
        data: What it gave.
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        # While somebody has a view, it cannot be closed. Each view holds it, and it goes when nobody does.
        with suppress(BufferError):
            data.close()
