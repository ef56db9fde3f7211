"""Arguments of ``--invoke`` from the command line, and results to standard output, both as wasmtime has them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from wasmscope.errors import ExportError
from wasmscope.wasm import FunctionType

__all__ = ["convert_arguments", "format_results"]

_BITS: Final = {"i32": 32, "i64": 64}
_FLOATS: Final = ("f32", "f64")
_REFERENCES: Final = ("externref", "funcref")


def convert_arguments(name: str, function: FunctionType, texts: Sequence[str]) -> list[int | float]:
    """Convert the words of the command line to what a function takes.

    Args:
        name: The function's name.
        function: Its type.
        texts: The words.

    Raises:
        ExportError: If number or form is wrong, or if there is no way to write values of such a type.
    """
    types, results = function.parameters, function.results
    signature = f"{name}({', '.join(types)})"
    unknown = [t for t in types if t not in _BITS and t not in _FLOATS]
    if unknown:
        raise ExportError(f"{signature} cannot be called from a command line: there is no way to write {unknown[0]}")
    if any(t not in _BITS and t not in _FLOATS and t not in _REFERENCES for t in results):
        raise ExportError(f"{signature} cannot be called from a command line: it returns {', '.join(results)}")
    if len(texts) != len(types):
        given = f"{len(texts)} {'was' if len(texts) == 1 else 'were'} given" if texts else "none was given"
        count = f"{len(types)} argument{'' if len(types) == 1 else 's'}" if types else "no arguments"
        raise ExportError(f"{signature} takes {count}, {given}; they follow MODULE")
    return [_convert(signature, kind, text, at) for at, (kind, text) in enumerate(zip(types, texts, strict=True), 1)]


def _convert(signature: str, kind: str, text: str, at: int) -> int | float:
    value = _float(kind, text) if kind in _FLOATS else _integer(_BITS[kind], text)
    if value is None:
        example = "1.5 or inf" if kind in _FLOATS else "42, -1 or 0x2a"
        raise ExportError(f"{signature}: argument {at} is {text!r}, which is no {kind}; write for example {example}")
    return value


def _integer(bits: int, text: str) -> int | None:
    """Read a decimal or hexadecimal number; one that fits only without sign is taken so."""
    digits = text.lstrip("+-")
    if len(text) - len(digits) > 1 or len(digits) > 40 or "_" in digits:
        return None
    try:
        value = int(text, 16 if digits[:2].lower() == "0x" else 10)
    except ValueError:
        return None
    if not -(1 << (bits - 1)) <= value < 1 << bits:
        return None
    return value - (1 << bits) if value >= 1 << (bits - 1) else value


def _float(kind: str, text: str) -> float | None:
    if "_" in text or text != text.strip():
        return None
    try:
        value = float(text)
        if kind == "f32":
            struct.pack("<f", value)
    except (ValueError, OverflowError):
        return None
    return value


def format_results(results: Sequence[Any], types: Sequence[str]) -> list[str]:
    """Write results as wasmtime prints them: a line each, floats in full.

    Args:
        results: What the function returned.
        types: Of which types.
    """
    return [_format(value, kind) for value, kind in zip(results, types, strict=True)]


def _format(value: Any, kind: str) -> str:
    if kind in _FLOATS:
        return _format_float(value, kind)
    if kind in _REFERENCES:
        return f"<null {kind}>" if value is None else f"<{kind}>"
    return str(value)


def _format_float(value: float, kind: str) -> str:
    """Write a float as Rust does: the shortest digits that give it back, never with an exponent."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    text = repr(value) if kind == "f64" else _shortest_f32(value)
    written = f"{Decimal(text):f}"
    return written.removesuffix(".0")


def _shortest_f32(value: float) -> str:
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        try:
            is_same = struct.unpack("<f", struct.pack("<f", float(text)))[0] == value
        except OverflowError:  # the greatest numbers, rounded up
            continue
        if is_same:
            return text
    return repr(value)
