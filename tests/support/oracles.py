"""Other symbolizers, that ours is compared with. `script/setup toolchains` gets them; a test without is skipped.

All are asked for many addresses in one process, and give for each the frames there, innermost first. What they do not
know is None; line 0 stays 0. Their addresses are offsets in the contents of the code section.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

__all__ = [
    "ADDR2LINE",
    "LLVM_SYMBOLIZER",
    "WASM_TOOLS",
    "Frames",
    "OracleFrame",
    "addr2line",
    "demangled",
    "llvm_symbolizer",
    "wasm_tools",
]

LLVM_SYMBOLIZER = "llvm-symbolizer-19"
LLVM_CXXFILT = "llvm-cxxfilt-19"
WASM_TOOLS = "wasm-tools"
# The version that script/_common.sh pins.
ADDR2LINE = "addr2line-0.25.1"
SECONDS = 300


class OracleFrame(NamedTuple):
    """A frame as another symbolizer has it."""

    function: str | None
    file: str | None
    line: int | None
    column: int | None


Frames = list[OracleFrame]


def llvm_symbolizer(module: Path, offsets: Sequence[int]) -> list[Frames]:
    """Ask LLVM's symbolizer. Function names are those of the linker, not demangled.

    Not to be relied on: the name of the outermost function, which it looks up as if the offset were one in the file.
    """
    output = run([LLVM_SYMBOLIZER, f"--obj={module}", "--output-style=JSON", "--no-demangle"], hexadecimal(offsets))
    answers = [json.loads(line) for line in output.splitlines()]
    assert len(answers) == len(offsets), f"{LLVM_SYMBOLIZER} gave {len(answers)} answers to {len(offsets)} addresses"
    return [[frame for frame in map(llvm_frame, answer.get("Symbol", ())) if any(frame)] for answer in answers]


def llvm_frame(symbol: dict[str, Any]) -> OracleFrame:
    """Read one frame of its JSON."""
    file = symbol["FileName"] or None
    known = file is not None
    return OracleFrame(
        symbol["FunctionName"] or None, file, symbol["Line"] if known else None, symbol["Column"] if known else None
    )


def addr2line(module: Path, offsets: Sequence[int]) -> list[Frames]:
    """Ask the command of the crate addr2line. Function names are those of the linker, not demangled."""
    output = run([ADDR2LINE, f"--exe={module}", "--functions", "--inlines", "--llvm"], hexadecimal(offsets))
    # An empty line ends each answer.
    answers = output.removesuffix("\n\n").split("\n\n")
    assert len(answers) == len(offsets), f"{ADDR2LINE} gave {len(answers)} answers to {len(offsets)} addresses"
    found: list[Frames] = []
    for answer in answers:
        lines = answer.split("\n")
        frames = [addr2line_frame(name, place) for name, place in zip(lines[::2], lines[1::2], strict=True)]
        found.append([frame for frame in frames if any(frame)])
    return found


def addr2line_frame(name: str, place: str) -> OracleFrame:
    """Read one frame of two lines: ``run`` and ``/src/main.c:12:3``."""
    file, line, column = place.rsplit(":", 2)
    known = file != "??"
    return OracleFrame(
        None if name == "??" else name,
        file if known else None,
        int(line) if known and line.isdigit() else None,
        int(column) if known and column.isdigit() else None,
    )


WASM_TOOLS_ANSWER = re.compile(r"^0x([0-9a-f]+): ", re.MULTILINE)
WASM_TOOLS_PLACE = re.compile(r" ([^ \t]*/[^ \t]*?)(?::(\d+))?(?::(\d+))?$")


def wasm_tools(module: Path, file_offsets: Sequence[int]) -> list[Frames]:
    """Ask wasm-tools, with offsets in the file, of a module or a component. Function names are demangled.

    It gives one answer to an address that is asked for twice, and none to those that it knows nothing of.
    """
    if not file_offsets:
        return []
    output = run([WASM_TOOLS, "addr2line", str(module), *map(hex, file_offsets)], "")
    parts = WASM_TOOLS_ANSWER.split(output)
    found = {int(offset, 16): text for offset, text in zip(parts[1::2], parts[2::2], strict=True)}
    answers = [map(wasm_tools_frame, found.get(offset, "").split("\n")) for offset in file_offsets]
    return [[frame for frame in frames if any(frame)] for frames in answers]


def wasm_tools_frame(text: str) -> OracleFrame:
    """Read one frame: ``run /src/main.c:12:3``, where the place or a part of it may be missing."""
    text = text.strip()
    if text == "no dwarf frames found for this address":
        return OracleFrame(None, None, None, None)
    place = WASM_TOOLS_PLACE.search(text)
    if place is None:
        return OracleFrame(text or None, None, None, None)
    file, line, column = place.groups()
    name = text[: place.start()]
    return OracleFrame(
        None if name == "<unnamed>" else name,
        file,
        int(line) if line else None,
        int(column) if column else None,
    )


def demangled(names: Sequence[str]) -> list[str]:
    """Ask LLVM what names of the linker mean: C++ and Rust, both kinds of mangling."""
    return run([LLVM_CXXFILT], "".join(f"{name}\n" for name in names)).splitlines()


def hexadecimal(offsets: Sequence[int]) -> str:
    """Give offsets as lines of input."""
    return "".join(f"{offset:#x}\n" for offset in offsets)


def run(command: list[str], given: str) -> str:
    """Run a symbolizer; skip the test where there is none."""
    program = shutil.which(command[0])
    if program is None:
        pytest.skip(f"there is no {command[0]} on PATH: get it with script/setup toolchains, and use script/test")
    done = subprocess.run(
        [program, *command[1:]], input=given, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        pytest.fail(f"{command[0]} failed with {done.returncode}: {done.stderr.strip()[:500]}")
    return done.stdout
