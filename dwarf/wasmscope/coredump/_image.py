"""Core dumps that are nothing but a memory, as xtuc's rewriter made them in 2022.

The memory begins with numbers of 32 bits, little-endian: how many frames there are, where they end, and for each frame
the index of its function, how many locals it has, and the locals.

Source: https://github.com/xtuc/wasm-coredump/blob/2af720b1b6141cef1b126ff0cbe79c0ecdc87389/wasmgdb/src/coredump.rs
"""

from __future__ import annotations

import struct
from typing import Final

from wasmscope.coredump._dialect import Dialect
from wasmscope.coredump._dump import (
    CoreDump,
    DumpFrame,
    DumpMemory,
    DumpSegment,
    DumpThread,
    DumpValue,
    ValueKind,
)
from wasmscope.coredump._stacks import MAX_FRAMES, MAX_VALUES

__all__ = ["is_image", "read_image"]

_PAGE_BYTES: Final = 65_536
_WORD_BYTES: Final = 4
_HEADER_BYTES: Final = 8
_FRAME_BYTES: Final = 8


def is_image(data: memoryview) -> bool:
    """Tell whether a file is a memory with frames at its beginning that end exactly where they say."""
    if not data or len(data) % _PAGE_BYTES:
        return False
    count, end = struct.unpack_from("<II", data)
    if not 0 < count <= MAX_FRAMES or end > len(data) or end % _WORD_BYTES:
        return False
    position = _HEADER_BYTES
    for _ in range(count):
        if position + _FRAME_BYTES > end:
            return False
        position += _FRAME_BYTES + _WORD_BYTES * struct.unpack_from("<I", data, position + _WORD_BYTES)[0]
    return bool(position == end <= MAX_VALUES * _WORD_BYTES)


def read_image(data: memoryview) -> CoreDump:
    """Read a file of which `is_image` is true."""
    (count,) = struct.unpack_from("<I", data)
    position = _HEADER_BYTES
    frames: list[DumpFrame] = []
    for _ in range(count):
        function, local_count = struct.unpack_from("<II", data, position)
        words = struct.unpack_from(f"<{local_count}I", data, position + _FRAME_BYTES)
        position += _FRAME_BYTES + _WORD_BYTES * local_count
        frames.append(DumpFrame(None, function, 0, tuple(DumpValue(ValueKind.I32, word) for word in words)))
    return CoreDump(
        dialect=Dialect.MEMORY_IMAGE,
        ambiguities=(),
        executable="",
        modules=(),
        instances=(),
        threads=(DumpThread("", tuple(frames)),),
        memories=(DumpMemory(len(data) // _PAGE_BYTES, _PAGE_BYTES, False),),
        globals=(),
        segments=(DumpSegment(0, 0, 0, len(data)),),
    )
