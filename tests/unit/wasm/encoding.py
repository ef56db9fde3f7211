"""An encoder of the binary format, written from the specification; it shares nothing with the reader."""

from __future__ import annotations

HEADER = b"\0asm\x01\0\0\0"


def leb(value: int, padded_to: int = 1) -> bytes:
    """Unsigned LEB128, with as many bytes as asked for at least."""
    groups: list[int] = []
    while value or not groups or len(groups) < padded_to:
        groups.append(value % 128)
        value //= 128
    return bytes(g + 128 for g in groups[:-1]) + bytes(groups[-1:])


def name(text: str) -> bytes:
    raw = text.encode()
    return leb(len(raw)) + raw


def section(number: int, contents: bytes) -> bytes:
    return bytes([number]) + leb(len(contents)) + contents


def custom(title: str, contents: bytes) -> bytes:
    return section(0, name(title) + contents)


def vector(*items: bytes) -> bytes:
    return leb(len(items)) + b"".join(items)


def module(*sections: bytes) -> bytes:
    return HEADER + b"".join(sections)
