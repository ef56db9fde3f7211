"""Values and sections in the binary format, written.

Source: https://webassembly.github.io/spec/core/binary/values.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

__all__ = [
    "encode_custom_section",
    "encode_module",
    "encode_name",
    "encode_name_map",
    "encode_section",
    "encode_signed",
    "encode_unsigned",
]

_MODULE_HEADER: Final = b"\0asm\x01\0\0\0"


def encode_unsigned(value: int) -> bytes:
    """Write an unsigned LEB128 number, as short as it can be.

    Args:
        value: Not negative.

    Raises:
        ValueError: If it is negative.
    """
    if value < 0:
        raise ValueError(f"{value} is negative")
    groups = bytearray()
    while value >= 0x80:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def encode_signed(value: int) -> bytes:
    """Write a signed LEB128 number, as short as it can be.

    Args:
        value: Any integer.
    """
    groups = bytearray()
    # Done when what is left is nothing but the sign, and bit 6 says the same sign.
    while not -0x40 <= value < 0x40:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value & 0x7F)
    return bytes(groups)


def encode_name(text: str) -> bytes:
    """Write a name: its size and its UTF-8.

    Args:
        text: The name.

    Raises:
        UnicodeEncodeError: If it has no UTF-8: half a surrogate pair.
    """
    raw = text.encode()
    return encode_unsigned(len(raw)) + raw


def encode_name_map(names: Mapping[int, str]) -> bytes:
    """Write a map of names, in the order of the indices.

    Args:
        names: Names by index.
    """
    entries = [encode_unsigned(index) + encode_name(names[index]) for index in sorted(names)]
    return encode_unsigned(len(entries)) + b"".join(entries)


def encode_section(number: int, contents: bytes) -> bytes:
    """Write a section.

    Args:
        number: Its number.
        contents: What is in it.
    """
    return bytes([number]) + encode_unsigned(len(contents)) + contents


def encode_custom_section(name: str, contents: bytes) -> bytes:
    """Write a custom section.

    Args:
        name: Its name.
        contents: What is in it, after the name.
    """
    return encode_section(0, encode_name(name) + contents)


def encode_module(sections: Iterable[bytes]) -> bytes:
    """Write a core module.

    Args:
        sections: Its sections, as the functions here write them, in order.
    """
    return b"".join((_MODULE_HEADER, *sections))
