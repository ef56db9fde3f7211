r"""Stack traces of JavaScript engines.

V8 (Node.js, Chrome, Deno), and Firefox, follow the WebAssembly Web API: ``URL:wasm-function[INDEX]:0xOFFSET``, where
the offset is in the module's file and the caller's is that of the call. The rest of the line is each engine's own::

    at mod.leaf (wasm://wasm/mod-d23aaf0a:wasm-function[0]:0x2c)
    at http://localhost/app.wasm:wasm-function[2]:0x39
    leaf@http://localhost/app.wasm:wasm-function[0]:0x2c
    run@file:///t.js line 3 > WebAssembly.Module:wasm-function[2]:0x39

V8 makes the URL up where it has none: ``wasm://wasm/`` and a hash, with the module's own name before it if it has one.
Source: https://webassembly.github.io/spec/web-api/#conventions and V8's ``src/objects/call-site-info.cc``.

V8 until 8.0 wrote ``wasm-function[2]:57``, decimal and from the function's first byte.
Source: emscripten, src/lib/libcore.js, ``convertFrameToPC``.

JavaScriptCore (Safari, Bun) tells the function and no offset::

    leaf@mod:wasm-function[0]
    1@<?>:wasm-function[1]
    2@wasm-function[2]

and until 2025 the name instead of the index where it had one::

    <?>.wasm-function[2]@[wasm code]
    mod.wasm-function[leaf]@[wasm code]

Source: https://github.com/WebKit/WebKit, pull requests 48875 and 49862.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from wasmscope.dwarf.dialects._match import Dialect, Match
from wasmscope.wasm import Address, AddressKind

__all__ = ["DIALECTS"]

_NEEDLE = "wasm-function["
_MAX_URL = 4096
_MAX_NAME = 8192
_WITH_OFFSET = re.compile(r"(\d{1,10})\]:(?:0x([0-9a-fA-F]{1,16})|(\d{1,10}))(?![\w.])")
_URL_ENDS = " \t\"'()<>|\x1b\r\n"
_HASH = re.compile(r"-[0-9a-f]{8}\Z")
_INDEX = re.compile(r"(\d{1,10})\](?![\w.:@])")
_WORD_ENDS = " \t\r\n\"'@\x1b"
_JSC_END = "]@[wasm code]"


def _find(line: str) -> Iterator[Match]:
    has_old_jsc = _JSC_END in line
    end = 0
    while (at := line.find(_NEEDLE, end)) >= 0:
        found = _WITH_OFFSET.match(line, at + len(_NEEDLE))
        match = _with_offset(line, end, at, found) if found else _jsc(line, end, at)
        if match is None and has_old_jsc:
            match = _old_jsc(line, end, at)
        end = match.end if match else at + len(_NEEDLE)
        if match:
            yield match


def _with_offset(line: str, previous: int, at: int, found: re.Match[str]) -> Match:
    index = int(found[1])
    if found[2] is not None:
        address = Address(AddressKind.FILE, int(found[2], 16))
    else:
        address = Address(AddressKind.FUNC, int(found[3]), index)
    start, url = at, ""
    if at > previous and line[at - 1] == ":":
        first = max(previous, at - 1 - _MAX_URL)
        # Firefox has spaces in the URL of code that is not from a file: "t.js line 3 > WebAssembly.Module".
        mark = line.rfind("@", first, at - 1)
        start = next((i + 1 for i in range(at - 2, first - 1, -1) if line[i] in _URL_ENDS), first)
        if mark >= start:
            start = mark + 1
        url = line[start : at - 1]
    return Match(start, found.end(), address, None, _module_of(url), index, None, "javascript")


def _jsc(line: str, previous: int, at: int) -> Match | None:
    found = _INDEX.match(line, at + len(_NEEDLE))
    mark = line.rfind("@", max(previous, at - _MAX_URL), at) if found else -1
    if not found or mark < 0:
        return None
    module = line[mark + 1 : at].removesuffix(":")
    if not _is_word(module) or (module and line[at - 1] != ":"):
        return None
    start = _start_of_word(line, max(previous, mark - _MAX_NAME), mark)
    return _without_offset(start, found.end(), module, found[1])


def _old_jsc(line: str, previous: int, at: int) -> Match | None:
    inside = at + len(_NEEDLE)
    end = line.find(_JSC_END, inside, inside + _MAX_NAME)
    if end < 0 or at <= previous or line[at - 1] != ".":
        return None
    start = _start_of_word(line, max(previous, at - 1 - _MAX_URL), at - 1)
    return _without_offset(start, end + len(_JSC_END), line[start : at - 1], line[inside:end])


def _without_offset(start: int, end: int, module: str, function: str) -> Match:
    is_index = function.isascii() and function.isdigit() and len(function) <= 10
    return Match(
        start,
        end,
        None,
        None,
        None if module in ("", "<?>") else module,
        int(function) if is_index else None,
        None if is_index else function,
        "javascriptcore",
    )


def _start_of_word(line: str, first: int, end: int) -> int:
    return next((i + 1 for i in range(end - 1, first - 1, -1) if line[i] in _WORD_ENDS), first)


def _is_word(text: str) -> bool:
    return not any(c in text for c in _WORD_ENDS)


def _module_of(url: str) -> str | None:
    """Give the module's name out of its URL; None for what an engine has made up."""
    made_up = url.removeprefix("wasm://wasm/")
    if made_up != url:
        name = _HASH.sub("", made_up)
        return name if name and name != made_up else None
    path = url.partition("?")[0].partition("#")[0]
    name = path.rpartition("/")[2]
    return name if name not in ("", "WebAssembly.Module", "WebAssembly.instantiate", "<anonymous>") else None


DIALECTS = (Dialect("javascript", (_NEEDLE,), _find),)
