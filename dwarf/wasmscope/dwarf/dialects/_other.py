r"""Engines that have a form of their own.

wasmer: ``at NAME (MODULE[INDEX]:0xOFFSET)``, the offset in the module's file::

    RuntimeError: unreachable
        at leaf (app[0]:0x2c)
        at <unnamed> (<module>[2]:0x39)

Source: https://github.com/wasmerio/wasmer, lib/api/src, ``impl Display for RuntimeError``.

WasmEdge: the innermost place only, the offset in the module's file::

    [error] execution failed: integer divide by zero, Code: 0x84
    [error]     In instruction: i32.div_s (0x6d) , Bytecode offset: 0x0000002c

Source: https://github.com/WasmEdge/WasmEdge, lib/common/errinfo.cpp.

Core dumps and ``wasmscope symbolize --addr func`` write ``func[INDEX]+0xOFFSET``, the offset in the function's body.
Source: https://github.com/WebAssembly/tool-conventions/blob/main/Coredump.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from wasmscope.dwarf.dialects._match import Dialect, Match
from wasmscope.wasm import Address, AddressKind

__all__ = ["DIALECTS"]

_WASMER = re.compile(r"\[(\d{1,10})\]:0x([0-9a-fA-F]{1,16})\)")
_WASMER_NEEDLE = "]:0x"
_MAX_NAME = 8192
_WASMEDGE = re.compile(r"Bytecode offset: 0x([0-9a-fA-F]{8,16})(?![0-9a-zA-Z])")
_FUNC = re.compile(r"(?<![\w.])func\[(\d{1,10})\]\+0x([0-9a-fA-F]{1,16})(?![0-9a-zA-Z])")


def _find_wasmer(line: str) -> Iterator[Match]:
    previous = 0
    for found in _WASMER.finditer(line):
        start = line.rfind("(", max(previous, found.start() - _MAX_NAME), found.start())
        if start < 0:
            continue
        module = line[start + 1 : found.start()]
        at = line.rfind("at ", max(previous, start - _MAX_NAME), start)
        name = line[at + 3 : start].strip() if at >= 0 else ""
        previous = found.end()
        if module.endswith("wasm-function"):
            continue  # a JavaScript engine's
        yield Match(
            start if at < 0 else at,
            found.end(),
            Address(AddressKind.FILE, int(found[2], 16)),
            None,
            None if module in ("", "<module>") else module,
            int(found[1]),
            None if name in ("", "<unnamed>") else name,
            "wasmer",
        )


def _find_wasmedge(line: str) -> Iterator[Match]:
    for found in _WASMEDGE.finditer(line):
        address = Address(AddressKind.FILE, int(found[1], 16))
        yield Match(found.start(), found.end(), address, None, None, None, None, "wasmedge")


def _find_func(line: str) -> Iterator[Match]:
    for found in _FUNC.finditer(line):
        index = int(found[1])
        address = Address(AddressKind.FUNC, int(found[2], 16), index)
        yield Match(found.start(), found.end(), address, None, None, index, None, "func")


DIALECTS = (
    Dialect("wasmer", (_WASMER_NEEDLE,), _find_wasmer),
    Dialect("wasmedge", ("Bytecode offset: 0x",), _find_wasmedge),
    Dialect("func", ("func[",), _find_func),
)
