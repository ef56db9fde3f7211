"""Addresses as people and programs write them."""

from __future__ import annotations

import re
from typing import Final

from wasmscope.wasm import Address, AddressKind

__all__ = ["looks_like_addresses", "parse_address"]

_IN_FUNCTION: Final = re.compile(r"(?:func\[)?(\d{1,10})\]?\+(?:0[xX])?([0-9a-fA-F]{1,16})")
_NUMBER: Final = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,16})")


def parse_address(text: str, kind: AddressKind) -> Address | None:
    """Read an address.

    Args:
        text: ``1f3a`` or ``0x1f3a``: hexadecimal in any case, as addr2line has it. ``12+0x1a`` or ``func[12]+0x1a``:
            0x1a bytes into the body of function 12; the function's number is decimal.
        kind: What a number counts from.

    Returns:
        The address; None if this is none.
    """
    text = text.strip()
    if "+" in text:
        found = _IN_FUNCTION.fullmatch(text)
        if found is None or text.startswith("func[") != ("]" in text):
            return None
        return Address(AddressKind.FUNC, int(found[2], 16), int(found[1]))
    found = _NUMBER.fullmatch(text)
    if found is None or kind is AddressKind.FUNC:
        return None
    return Address(kind, int(found[1], 16))


def looks_like_addresses(head: bytes) -> bool:
    """Whether input that begins like this is a list of addresses, and not text.

    Args:
        head: What has come so far. The last line may be cut off, and is looked at only if it is the only one.
    """
    lines = head.split(b"\n")
    if len(lines) > 1:
        lines.pop()
    seen = False
    for line in lines:
        text = line.decode("ascii", "replace").strip()
        if not text:
            continue
        # "dead" and "face" are words; an address without 0x has a digit.
        if parse_address(text, AddressKind.FILE) is None or not any(c.isdigit() for c in text):
            return False
        seen = True
    return seen
