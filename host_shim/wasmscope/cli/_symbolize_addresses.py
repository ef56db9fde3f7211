"""Addresses as people and programs write them."""

from __future__ import annotations

from typing import Final

from wasmscope.wasm import Address, AddressKind

__all__ = ["looks_like_addresses", "parse_address"]

_HEX: Final = frozenset("0123456789abcdefABCDEF")
_MAX_DIGITS: Final = 16
_LOOKED_AT: Final = 100


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
    function, plus, offset = text.partition("+")
    if not plus:
        number = None if kind is AddressKind.FUNC else _hexadecimal(text)
        return None if number is None else Address(kind, number)
    if function.startswith("func[") and function.endswith("]"):
        function = function[5:-1]
    number = _hexadecimal(offset)
    if number is None or not (function.isascii() and function.isdigit() and len(function) <= 10):
        return None
    return Address(AddressKind.FUNC, number, int(function))


def _hexadecimal(text: str) -> int | None:
    digits = text[2:] if text[:2] in ("0x", "0X") else text
    # Not int alone: it takes signs, underscores and other scripts' digits.
    return int(digits, 16) if digits and len(digits) <= _MAX_DIGITS and _HEX.issuperset(digits) else None


def looks_like_addresses(head: bytes) -> bool:
    """Whether input that begins like this is a list of addresses, and not text.

    Args:
        head: What has come so far; 100 lines of it are looked at. The last may be cut off, and is looked at only if
            it is the only one.
    """
    lines = head.split(b"\n", _LOOKED_AT)
    if len(lines) > 1:
        lines.pop()
    seen = False
    for line in lines:
        text = line.decode("ascii", "replace").strip()
        if not text:
            continue
        if parse_address(text, AddressKind.FILE) is None:
            return False
        # "dead" and "face" are words: one address at least has a digit.
        seen = seen or any(c.isdigit() for c in text)
    return seen
