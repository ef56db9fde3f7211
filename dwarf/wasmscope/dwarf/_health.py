"""Whether DWARF describes the code that it comes with.

Tools that rewrite a module after the linker often copy its DWARF as it is, and then every line that it names is a
plausible wrong one. The functions tell: in DWARF that fits, each begins and ends where a function body does; in DWARF
that does not, few do, by chance.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from wasmscope.dwarf._engine import Engine

__all__ = ["Health", "Verdict", "health"]

# Measured on modules of clang (O0 to O2, LTO, DWARF 4 and 5), Zig and Rust, and on those that a native wasm-opt -g
# made of them: every function matches. What npm's wasm-opt made of them: 2 to 5 % match.
_FRESH_FROM: Final = 0.9
_ENOUGH: Final = 500


class Verdict(Enum):
    """What comes of it."""

    FRESH = "fresh"
    """It describes this code."""
    STALE = "stale"
    """It describes other code: its lines are wrong, and look right."""
    EMPTY = "empty"
    """It describes no function that is still there: nothing to judge, and nothing to learn."""


class Health(NamedTuple):
    """How the functions of DWARF lie on a module's function bodies.

    Attributes:
        live: How many functions have code, as DWARF says: those that the linker left out are not among them. Counting
            may stop when there are enough to judge by.
        matching: How many of these begin and end as a function body does.
        tombstones: How many the linker left out; it marks them with addresses that no code has.
    """

    live: int
    matching: int
    tombstones: int

    @property
    def score(self) -> float:
        """The share of live functions that match, from 0 to 1; 0 if there are none."""
        return self.matching / self.live if self.live else 0.0

    @property
    def verdict(self) -> Verdict:
        """Whether the DWARF is to be believed."""
        if not self.live:
            return Verdict.EMPTY
        return Verdict.FRESH if self.score >= _FRESH_FROM else Verdict.STALE


def health(engine: Engine, *, is_thorough: bool = False) -> Health:
    """Judge the DWARF that an engine has read, by the function bodies that it was given.

    Args:
        engine: The engine.
        is_thorough: Whether to count all functions. Else some hundreds of live ones are enough to judge by, which takes
            a moment however large the module is.

    Raises:
        DebugInfoError: If the DWARF cannot be read within the engine's limits.
    """
    return Health(*(engine.match_bodies() if is_thorough else engine.match_bodies(_ENOUGH)))
