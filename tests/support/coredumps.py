"""An encoder of core dumps in every dialect, independent of the reader under test.

A frame is (instance, function, code offset, locals, stack); a value is (type, number) with the type's name in
WebAssembly, or None for one that is missing.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

__all__ = ["DIALECTS", "Frame", "Value", "Written", "dump", "image", "real_dump", "section"]

Value: TypeAlias = tuple[str, float] | None
Frame: TypeAlias = tuple[int, int, int, Sequence[Value], Sequence[Value]]

_CODES = {"i32": 0x7F, "i64": 0x7E, "f32": 0x7D, "f64": 0x7C}
_FORMATS = {"i32": "<i", "i64": "<q", "f32": "<f", "f64": "<d"}


def uleb(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def sleb(number: int) -> bytes:
    out = bytearray()
    while not -64 <= number < 64:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number & 0x7F)
    return bytes(out)


def name(text: str) -> bytes:
    return uleb(len(text.encode())) + text.encode()


def section(kind: int | str, contents: bytes) -> bytes:
    """Frame a section: a number, or the name of a custom one."""
    number = kind if isinstance(kind, int) else 0
    if isinstance(kind, str):
        contents = name(kind) + contents
    return bytes([number]) + uleb(len(contents)) + contents


@dataclass(frozen=True)
class Written:
    """How a dialect writes frames."""

    has_instance: bool = True
    is_fixed: bool = False
    counts_first: bool = False
    has_stack: bool = True

    def stack(self, thread: str, frames: Sequence[Frame]) -> bytes:
        """A ``corestack`` section."""
        return section("corestack", b"\0" + name(thread) + uleb(len(frames)) + b"".join(map(self._frame, frames)))

    def _frame(self, frame: Frame) -> bytes:
        instance, function, offset, local_values, stack = frame
        out = b"\0" + (uleb(instance) if self.has_instance else b"") + uleb(function) + uleb(offset)
        first, second = (b"".join(map(self._value, values)) for values in (local_values, stack))
        if not self.has_stack:
            second = b""
        if self.counts_first:
            return out + uleb(len(local_values)) + uleb(len(stack)) + first + second
        return out + uleb(len(local_values)) + first + uleb(len(stack)) + second

    def _value(self, value: Value) -> bytes:
        if value is None:
            return b"\1"
        kind, number = value
        if kind.startswith("i") and not self.is_fixed:
            return bytes([_CODES[kind]]) + sleb(int(number))
        return bytes([_CODES[kind]]) + struct.pack(_FORMATS[kind], number)


DIALECTS = {
    "standard": Written(),
    "wasmgdb": Written(is_fixed=True, counts_first=True, has_stack=False),
    "standard-2023": Written(has_instance=False),
    "wasmgdb-2023": Written(has_instance=False, is_fixed=True, counts_first=True, has_stack=False),
    "wasmedge": Written(has_instance=False, is_fixed=True, counts_first=True),
    "fixed-width": Written(is_fixed=True),
    "fixed-width-2023": Written(has_instance=False, is_fixed=True),
}


def dump(*sections: bytes) -> bytes:
    """A file with the section ``core`` and these."""
    return b"\0asm\1\0\0\0" + section("core", b"\0" + name("app.wasm")) + b"".join(sections)


def image(frames: Sequence[tuple[int, Sequence[int]]], *, pages: int = 1) -> bytes:
    """A memory that begins with frames, each a function and its locals, as xtuc's rewriter wrote them in 2022."""
    body = b"".join(struct.pack(f"<II{len(words)}I", function, len(words), *words) for function, words in frames)
    head = struct.pack("<II", len(frames), 8 + len(body)) + body
    return head + b"\xa5" * (pages * 65_536 - len(head))


def real_dump(which: str) -> bytes:
    """One of the dumps that other people's tools wrote: see the README beside them."""
    path = Path(__file__).parents[1] / "fixtures" / "coredumps" / which
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
