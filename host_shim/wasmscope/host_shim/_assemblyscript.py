"""The functions that AssemblyScript's compiler imports, for hosts that do not define them."""

from __future__ import annotations

import random
from struct import Struct

from wasmscope.host_shim._guest import Guest
from wasmscope.host_shim._packed import Attributes

__all__ = ["abort", "seed", "trace"]

_U32 = Struct("<I").unpack
_TRACE_SEVERITY = 1


def _string(guest: Guest, pointer: int, limit: int) -> str:
    """Read an AssemblyScript string: UTF-16LE, its length in bytes in the u32 before it.

    Source: https://www.assemblyscript.org/runtime.html#memory-layout
    """
    if pointer < 4 or guest.memory is None:
        return ""
    view = guest.memory.refreshed()
    head = guest.read(view, pointer - 4, 4)
    if head is None:
        return ""
    size: int = _U32(head)[0]
    if pointer + size > len(view):
        guest.rejections.add("out_of_bounds", f"{size} bytes at {pointer:#x}")
        return ""
    return view[pointer : pointer + (min(size, limit) & ~1)].decode("utf-16-le", "replace")


def abort(guest: Guest, message: int, file: int, line: int, column: int, *, limit: int) -> str:
    """Record an abort as exception.

    Args:
        guest: Who aborts.
        message: Address of the message, or 0.
        file: Address of the file's name, or 0.
        line: Line, from 1, or 0.
        column: Column, from 1, or 0.
        limit: Most bytes of each text.

    Returns:
        The text for the trap that must follow.
    """
    text = _string(guest, message, limit) or "abort"
    path = _string(guest, file, limit)
    place = f"{path}:{line}:{column}" if path else ""
    where: Attributes = {"code.file.path": path, "code.line.number": line, "code.column.number": column} if path else {}
    guest.record_exception(0, "abort", text, place, where)
    return f"abort: {text}" + (f" at {place}" if place else "")


def trace(guest: Guest, message: int, count: int, values: tuple[float, ...], *, limit: int) -> None:
    """Emit ``trace()``'s message as a log record of severity TRACE.

    Args:
        guest: Who traces.
        message: Address of the message.
        count: How many of the values mean anything.
        values: Five numbers.
        limit: Most bytes of the text.
    """
    # An i32: a negative count is none.
    given = values[: 0 if count >= 1 << 31 else count]
    attributes = {"arguments": given} if given else {}
    guest.emit(_TRACE_SEVERITY, _string(guest, message, limit), {**attributes, **guest.identity.attributes()})


def seed() -> float:
    """Give a seed for ``Math.random()``."""
    return random.random() * 2.0**52
