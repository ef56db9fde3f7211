"""Figures of a benchmark: a line each, for people or (``--json``) for programs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

__all__ = ["Bound", "Figure", "Report", "arguments"]


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure has to keep: a largest value, or a smallest ratio to its peer."""

    most: float | None = None
    ratio: float | None = None

    def holds(self, value: float, ratio: float | None) -> bool:
        """Say whether it is kept."""
        if self.most is not None and value > self.most:
            return False
        return self.ratio is None or (ratio is not None and ratio >= self.ratio)

    def text(self, unit: str) -> str:
        """Say it in words."""
        words = [] if self.most is None else [f"<= {self.most:g} {unit}".rstrip()]
        return ", ".join(words if self.ratio is None else [*words, f">= {self.ratio:g}x"])


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        name: What was measured; indented if it belongs to the figure before.
        value: Ours.
        unit: Its unit; less is better.
        peer: What it is compared with, or None.
        peer_value: The peer's, in the same unit.
        bound: What it has to keep, or None.
    """

    name: str
    value: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None
    bound: Bound | None = None

    @property
    def ratio(self) -> float | None:
        """The peer's value divided by ours: above 1, ours is better."""
        if self.peer_value is None or not self.value:
            return None
        return self.peer_value / self.value

    @property
    def is_ok(self) -> bool | None:
        """Whether the bound is kept; None without one."""
        return None if self.bound is None else self.bound.holds(self.value, self.ratio)


class Report:
    """Prints figures as they come, and remembers which missed their bounds.

    Leaving it as a context manager exits the program: with 1 if a bound was missed.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._missed: list[str] = []

    def title(self, text: str) -> None:
        """Begin a group of figures."""
        if not self._as_json:
            print(f"\n{text}", flush=True)

    def note(self, text: str) -> None:
        """Say something to people."""
        if not self._as_json:
            print(f"  {text}", flush=True)

    def left_out(self, peer: str, why: str) -> None:
        """Say that a peer is not compared with here, and why."""
        if self._as_json:
            print(json.dumps({"left_out": peer, "why": why}, ensure_ascii=False), flush=True)
        else:
            print(f"  left out: {peer}: {why}", flush=True)

    def add(self, figure: Figure) -> None:
        """Print a figure."""
        self._remember(figure)
        if self._as_json:
            self._print_json(figure)
        else:
            print(f"  {_line(figure)}", flush=True)

    def table(self, corner: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Figure | None]]]) -> None:
        """Print figures as a table; with ``--json``, as lines like all others.

        Args:
            corner: What the rows' names are.
            columns: Their names, with units.
            rows: Name and figures of each.
        """
        for _, figures in rows:
            for figure in figures:
                if figure is not None:
                    self._remember(figure)
                    if self._as_json:
                        self._print_json(figure)
        if self._as_json:
            return
        cells = [[corner, *columns]]
        cells += [[name, *("" if f is None else _number(f.value) for f in figures)] for name, figures in rows]
        widths = [max(len(row[column]) for row in cells) for column in range(len(columns) + 1)]
        for row in cells:
            print("  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)), flush=True)

    def _remember(self, figure: Figure) -> None:
        if figure.is_ok is False:
            beside = "" if figure.peer is None else f" (beside {figure.peer})"
            self._missed.append(figure.name.strip() + beside)

    def _print_json(self, figure: Figure) -> None:
        item = {
            "name": figure.name.strip(),
            "value": figure.value,
            "unit": figure.unit,
            "peer": figure.peer,
            "peer_value": figure.peer_value,
            "ratio": figure.ratio,
            "bound": None if figure.bound is None else figure.bound.text(figure.unit),
            "ok": figure.is_ok,
        }
        print(json.dumps(item, ensure_ascii=False), flush=True)

    def __enter__(self) -> Self:
        """Give the report itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say what was missed, and exit."""
        if error is not None:
            return
        for name in self._missed:
            print(f"missed its bound: {name}", file=sys.stderr)
        sys.exit(1 if self._missed else 0)


def arguments(description: str) -> Report:
    """Read the command line that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="an object a line instead of text")
    return Report(as_json=parser.parse_args().json)


def _line(figure: Figure) -> str:
    text = f"{figure.name:<68} {_number(figure.value):>9} {figure.unit:<3}"
    if figure.peer is not None and figure.peer_value is not None and figure.ratio is not None:
        text += f"  {figure.peer:<26} {_number(figure.peer_value):>9} {figure.unit:<3} {figure.ratio:>7.2f}x"
    if figure.bound is not None:
        text += f"  {figure.bound.text(figure.unit)}: {'ok' if figure.is_ok else 'MISSED'}"
    return text


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
