"""Expressions that are known before anything runs: what globals are at first, and where data goes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from wasmscope.wasm._cursor import Cursor

__all__ = ["read_constant"]

_END: Final = 0x0B
_GLOBAL_GET: Final = 0x23
_I32: Final = 0x41
_I64: Final = 0x42
_F32: Final = 0x43
_F64: Final = 0x44
_REF_NULL: Final = 0xD0
_REF_FUNC: Final = 0xD2
_VECTOR: Final = 0xFD
_V128_CONST: Final = 12
_GC: Final = 0xFB
_GC_IMMEDIATES: Final = {0: 1, 1: 1, 6: 1, 7: 1, 8: 2, 26: 0, 27: 0, 28: 0}
"""How many indices follow: struct.new, struct.new_default, array.new, array.new_default, array.new_fixed,
any.convert_extern, extern.convert_any, ref.i31."""
_ARITHMETIC: Final = {
    0x6A: (32, int.__add__),
    0x6B: (32, int.__sub__),
    0x6C: (32, int.__mul__),
    0x7C: (64, int.__add__),
    0x7D: (64, int.__sub__),
    0x7E: (64, int.__mul__),
}
_DEEPEST: Final = 1000
"""Values that wait for an operation; without an end, there could be one for every two bytes."""


def read_constant(cursor: Cursor, known: Sequence[int | float | None] = ()) -> int | float | None:
    """Read a constant expression, up to and with its end.

    Source: https://webassembly.github.io/spec/core/valid/instructions.html#constant-expressions

    Args:
        cursor: Where it begins.
        known: What globals are at first, as far as it is known.

    Returns:
        Its value, signed if it is an integer. None if it needs an imported global, as what position-independent code
        has, or is no number.

    Raises:
        ModuleFormatError: If it cannot be read.
    """
    stack: list[int | float | None] = []
    while True:
        start = cursor.position
        match cursor.byte():
            case code if code == _END:
                break
            case code if code == _I32:
                stack.append(cursor.s32())
            case code if code == _I64:
                stack.append(cursor.s64())
            case code if code == _F32:
                stack.extend(struct.unpack("<f", cursor.take(4)))
            case code if code == _F64:
                stack.extend(struct.unpack("<d", cursor.take(8)))
            case code if code in _ARITHMETIC:
                bits, operate = _ARITHMETIC[code]
                right, left = (stack.pop() if stack else None for _ in range(2))
                if isinstance(left, int) and isinstance(right, int):
                    stack.append(_wrapped(operate(left, right), bits))
                else:
                    stack.append(None)
            case code if code == _GLOBAL_GET:
                index = cursor.u32()
                stack.append(known[index] if index < len(known) else None)
            case code:
                _skip_operands(cursor, code, start)
                stack.append(None)
        if len(stack) > _DEEPEST:
            raise cursor.error(f"a constant of more than {_DEEPEST:,} values", at=start)
    return stack[0] if len(stack) == 1 else None


def _wrapped(value: int, bits: int) -> int:
    half = 1 << (bits - 1)
    return (value + half) % (1 << bits) - half


def _skip_operands(cursor: Cursor, code: int, start: int) -> None:
    """Go over the operands of an instruction whose value nobody knows before the module runs, or that is no number."""
    if code == _REF_FUNC:
        cursor.u32()
    elif code == _REF_NULL:
        cursor.s33()
    elif code in (_VECTOR, _GC):
        operation = cursor.u32()
        if code == _VECTOR and operation == _V128_CONST:
            cursor.skip(16)
        elif code == _GC and operation in _GC_IMMEDIATES:
            for _ in range(_GC_IMMEDIATES[operation]):
                cursor.u32()
        else:
            raise cursor.error(f"the unknown constant instruction {code:#x} {operation}", at=start)
    else:
        raise cursor.error(f"the unknown constant instruction {code:#x}", at=start)
