"""What it costs to find the source of addresses, beside other symbolizers: whole processes, wall time and memory."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from _large_modules import LARGE
from _peers import PeerError
from _report import Bound, Figure, Report, arguments

from wasmscope.wasm import Module

_OURS = str(Path(sys.executable).with_name("wasmscope"))
_LLVM = "llvm-symbolizer 19"
_FIXTURES = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "dwarf"
_SMALL = _FIXTURES / "c" / "O2-dwarf4.wasm"
_GROWTH = (_SMALL, _FIXTURES / "rust" / "debug.wasm")
# On the command line, where a peer wants them there.
_MOST_ARGUMENTS = 1_000
# The module, addresses, how often ours may take the time of LLVM's, and how often its memory: less is better.
_COLD, _SOME, _MANY = 1, 1_000, 1_000_000
_RATIOS = {_COLD: 0.5, _SOME: 1.0}
_MOST_US = 2.0
_MOST_SMALL_MS = 100


@dataclass(frozen=True, slots=True)
class _Cost:
    """What a process took."""

    seconds: float
    peak_mb: float


class _Symbolizers:
    """Commands that give function, file and line of each address, with the functions that it was inlined into."""

    def __init__(self, report: Report) -> None:
        programs = {
            _LLVM: "llvm-symbolizer-19",
            "wasm-tools addr2line": "wasm-tools",
            "addr2line 0.25.1": "addr2line-0.25.1",
        }
        self._programs: dict[str, str] = {}
        for name, program in programs.items():
            found = shutil.which(program)
            if found is None:
                report.left_out(name, "it is not installed; get it with: script/setup toolchains")
            else:
                self._programs[name] = found

    def commands(self, module: Path, offsets: Sequence[int]) -> dict[str, list[str]]:
        """Give for each the command that answers all addresses; those that cannot be given so many are left out."""
        # One is an argument; more are lines of the input, but for whom takes arguments only.
        single = [hex(offset) for offset in offsets] if len(offsets) == 1 else []
        made = {"wasmscope": [_OURS, "symbolize", "-e", str(module), "--addr", "code", "-f", "-i", *single]}
        for name, program in self._programs.items():
            if name == _LLVM:
                made[name] = [program, f"--obj={module}", *single]
            elif name.startswith("addr2line"):
                made[name] = [program, "-e", str(module), "-f", "-i", *single]
            elif len(offsets) <= _MOST_ARGUMENTS:
                every = [hex(offset) for offset in offsets]
                made[name] = [program, "addr2line", "--code-section-relative", str(module), *every]
        return made


# Linux counts to a process's peak what its parent had when it was started. So a small one starts it.
_STARTER = """
import os, sys, time
source, out = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_WRONLY)
null = os.open(os.devnull, os.O_WRONLY)
actions = [(os.POSIX_SPAWN_DUP2, source, 0), (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
started = time.perf_counter()
child = os.posix_spawn(sys.argv[3], sys.argv[3:], os.environ, file_actions=actions)
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - started, os.waitstatus_to_exitcode(status), usage.ru_maxrss)
"""


def _run(command: Sequence[str], lines: Path) -> _Cost:
    with tempfile.NamedTemporaryFile() as out:
        # As after an installation: modules of Python are compiled once.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        starter = [sys.executable, "-ISc", _STARTER, str(lines), out.name, *command]
        done = subprocess.run(starter, env=environment, capture_output=True, text=True, check=True)
        seconds, code, peak = done.stdout.split()
        if int(code) or not Path(out.name).stat().st_size:
            raise PeerError(f"{Path(command[0]).name} failed with exit code {code}")
    return _Cost(float(seconds), int(peak) * (1 if sys.platform == "darwin" else 1024) / 1e6)


def _together(commands: Mapping[str, Sequence[str]], offsets: Sequence[int], runs: int) -> dict[str, _Cost]:
    """Run commands in turn, and take the median of each. The first run of each, which fills caches, does not count."""
    costs: dict[str, list[_Cost]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder, "addresses")
        lines.write_text("".join(f"{offset:#x}\n" for offset in offsets), encoding="ascii")
        for number in range(runs + 1):
            for name, command in commands.items():
                cost = _run(command, lines)
                if number:
                    costs[name].append(cost)
    return {
        name: _Cost(statistics.median(c.seconds for c in each), statistics.median(c.peak_mb for c in each))
        for name, each in costs.items()
    }


def _offsets(module: Path, count: int) -> list[int]:
    with Module.open(module) as opened:
        code = opened.code
        if code is None:
            raise PeerError(f"{module} has no code")
        chosen = random.Random(count)
        return [chosen.randrange(code.size) for _ in range(count)]


def _compare(report: Report, name: str, costs: Mapping[str, _Cost], ratio: float | None) -> None:
    """Print ours beside each peer's."""
    ours = costs["wasmscope"]
    if len(costs) == 1:
        report.add(Figure(name, ours.seconds * 1000, "ms"))
    for peer, cost in costs.items():
        if peer != "wasmscope":
            bound = None if ratio is None or peer != _LLVM else Bound(ratio=ratio)
            report.add(Figure(name, ours.seconds * 1000, "ms", peer, cost.seconds * 1000, bound))
    for peer, cost in costs.items():
        if peer == _LLVM:
            report.add(Figure("  peak memory", ours.peak_mb, "MB", peer, cost.peak_mb, Bound(ratio=1.0)))


def large(report: Report, symbolizers: _Symbolizers) -> None:
    """One address, a thousand, a million in a large module."""
    for subject in LARGE:
        try:
            module = subject.path()
        except PeerError as error:
            report.left_out(subject.name, str(error))
            continue
        report.title(f"{subject.what}; {module.stat().st_size / 1e6:.1f} MB")
        for count, runs in ((_COLD, 11), (_SOME, 7)):
            offsets = _offsets(module, count)
            what = f"{subject.name}: one address" if count == 1 else f"{subject.name}: {count:,} addresses"
            _compare(report, what, _together(symbolizers.commands(module, offsets), offsets, runs), _RATIOS[count])
        offsets = _offsets(module, _MANY)
        commands = symbolizers.commands(module, offsets)
        ours = _together({"wasmscope": commands["wasmscope"]}, offsets, 3)["wasmscope"]
        per_address = Figure(
            f"{subject.name}: {_MANY:,} addresses, each", ours.seconds, "us", bound=Bound(most=_MOST_US)
        )
        if _LLVM not in commands:
            report.add(per_address)
            continue
        # It takes long, and so once.
        with tempfile.TemporaryDirectory() as folder:
            lines = Path(folder, "addresses")
            lines.write_text("".join(f"{offset:#x}\n" for offset in offsets), encoding="ascii")
            theirs = _run(commands[_LLVM], lines)
        report.add(Figure(per_address.name, per_address.value, "us", _LLVM, theirs.seconds, Bound(most=_MOST_US)))
        report.add(Figure("  peak memory", ours.peak_mb, "MB", _LLVM, theirs.peak_mb))


def small(report: Report, symbolizers: _Symbolizers) -> None:
    """One address in a small module: what it costs to start."""
    report.title(f"A small module, {_SMALL.stat().st_size / 1e3:.0f} kB")
    offsets = [_offsets(_SMALL, 1)[0]]
    costs = _together(symbolizers.commands(_SMALL, offsets), offsets, 15)
    ours = costs["wasmscope"].seconds * 1000
    peer = costs.get(_LLVM)
    theirs = None if peer is None else peer.seconds * 1000
    report.add(Figure("small: one address", ours, "ms", _LLVM if peer else None, theirs, Bound(most=_MOST_SMALL_MS)))


def growth(report: Report, symbolizers: _Symbolizers) -> None:
    """How one address depends on the size of the module."""
    report.title("One address, by the module's debug information")
    modules = [*_GROWTH]
    for subject in LARGE:
        try:
            modules.append(subject.path())
        except PeerError:
            continue
    rows: list[tuple[str, list[Figure | None]]] = []
    for module in modules:
        with Module.open(module) as opened:
            size = sum(s.size for s in opened.sections if s.name.startswith(".debug_"))
        offsets = _offsets(module, 1)
        cost = _together({"wasmscope": symbolizers.commands(module, offsets)["wasmscope"]}, offsets, 7)["wasmscope"]
        name = f"{size / 1e6:.2f} MB"
        figures: list[Figure | None] = [
            Figure(f"{name}: time", cost.seconds * 1000, "ms"),
            Figure(f"{name}: memory", cost.peak_mb, "MB"),
        ]
        rows.append((name, figures))
    report.table("debug information", ["ms", "peak MB"], rows)


def main() -> None:
    """Measure all of it."""
    with arguments(__doc__ or "") as report:
        symbolizers = _Symbolizers(report)
        small(report, symbolizers)
        large(report, symbolizers)
        growth(report, symbolizers)


if __name__ == "__main__":
    main()
