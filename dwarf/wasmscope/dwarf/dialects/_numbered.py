r"""Backtraces with numbered frames: wasmtime, Envoy and other hosts of Proxy-Wasm, WAMR.

wasmtime (the Rust crate, its command, the C API and what is built on it, such as wasmtime-py)::

    error while executing at wasm backtrace:
        0:     0x2c - mod!leaf
        1:     0x32 - mod!<wasm function 1>

The number is the offset in the module's file, for components in the component's. Callers are at their call
instruction already. Without an address map there is no offset, and no match. With ``WASMTIME_BACKTRACE_DETAILS=1``
the module's name is missing where DWARF names the function, and lines with places follow; see `is_detail`.
Source: https://github.com/bytecodealliance/wasmtime, crates/wasmtime/src/runtime/trap.rs, ``WasmBacktrace``.

Proxy-Wasm (Envoy, ATS) with V8: the same without a module, offsets in the file, too::

    Proxy-Wasm plugin in-VM backtrace:
      0:  0xdbd - runtime._panic
      1:  0x10 - unknown(function index:12)

Source: https://github.com/proxy-wasm/proxy-wasm-cpp-host, src/v8/v8.cc, ``getFailMessage``.

WAMR (iwasm)::

    #00: 0x0159 - $f5
    #01: 0x011f - _start

The classic interpreter gives offsets in the file, of the byte after the opcode that was running; ahead-of-time code the
offset of the instruction. Both are in the function that is named; the fast interpreter's are in its own code and tell
nothing about the file.
Source: https://github.com/bytecodealliance/wasm-micro-runtime, test-tools/addr2line/addr2line.py, which subtracts one
unless told otherwise, and pull request 3199. Until 2022 there were no offsets: ``#00 $f5``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from wasmscope.dwarf.dialects._match import Dialect, Match
from wasmscope.wasm import Address, AddressKind

__all__ = ["DIALECTS", "is_detail"]

_MAX_OFFSET_DIGITS = 16
# Every repetition has an upper limit, so that a search costs no more than a constant for each character.
_NUMBERED = re.compile(r"(?<![\w.#])\d{1,5}:[ \t]{1,12}0x([0-9a-fA-F]{1,16}) - ([^\x1b\r\n]{1,8192})")
_WAMR = re.compile(r"(?<![\w#])#\d{2,5}: 0x([0-9a-fA-F]{4,16}) - ([^\x1b\r\n]{1,8192})")
_OLD_WAMR = re.compile(r"(?<![\w#])#\d{2,5} {1,2}\$f(\d{1,10})(?![\w.])")
_INDEXES = (
    ("<wasm function ", ">"),  # wasmtime
    ("unknown(function index:", ")"),  # Proxy-Wasm
    ("$f", ""),  # WAMR
)
# Under a frame, with WASMTIME_BACKTRACE_DETAILS: 20 columns and the place, 14 and an inlined function's name. In a
# chain of causes the whole backtrace is shifted.
_DETAIL = re.compile(r"[ \t]{18,40}at \S|[ \t]{12,34}- \S")


def is_detail(line: str) -> bool:
    """Whether this is one of the lines that wasmtime writes under a frame that it knows the source of."""
    return _DETAIL.match(line) is not None


def _index_of(name: str) -> int | None:
    for start, end in _INDEXES:
        if name.startswith(start) and name.endswith(end):
            digits = name[len(start) : len(name) - len(end)]
            if digits.isascii() and digits.isdigit() and len(digits) <= 10:
                return int(digits)
    return None


def _named(name: str) -> tuple[int | None, str | None]:
    index = _index_of(name)
    return index, name if index is None else None


def _find_numbered(line: str) -> Iterator[Match]:
    for found in _NUMBERED.finditer(line):
        offset, rest = found.groups()
        rest = rest.rstrip()
        module, mark, name = rest.partition("!")
        if not mark:
            module, name = "", rest
        index, function = _named(name)
        yield Match(
            found.start(),
            found.start(2) + len(rest),
            Address(AddressKind.FILE, int(offset, 16)),
            None,
            None if module in ("", "<unknown>") else module,
            index,
            function,
            "wasmtime" if mark else "proxy-wasm",
        )


def _find_wamr(line: str) -> Iterator[Match]:
    for found in _WAMR.finditer(line):
        offset = int(found[1], 16)
        name = found[2].rstrip()
        index, function = _named(name)
        yield Match(
            found.start(),
            found.start(2) + len(name),
            Address(AddressKind.FILE, max(offset - 1, 0)),
            Address(AddressKind.FILE, offset),
            None,
            index,
            function,
            "wamr",
        )


def _find_old_wamr(line: str) -> Iterator[Match]:
    for found in _OLD_WAMR.finditer(line):
        yield Match(found.start(), found.end(), None, None, None, int(found[1]), None, "wamr")


DIALECTS = (
    Dialect("wasmtime", (": ",), _find_numbered),
    Dialect("wamr", ("#",), _find_wamr),
    Dialect("wamr-2021", (" $f",), _find_old_wamr),
)
