"""The guests that implement the scenarios, one for each way to speak the ABI.

``WASMSCOPE_GUESTS_DIR`` may name the folder that ``script/fixtures --into`` has built guests into: they are then tested
instead of those that lie beside their sources.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from pathlib import Path

import wasmtime

__all__ = ["GUESTS", "Guest", "engine", "module"]

_REPOSITORY = Path(__file__).parents[2]
_ADDRESS_TYPE = "(;p;)i32"


@dataclass(frozen=True, slots=True)
class Guest:
    """One implementation of the scenarios.

    Attributes:
        name: For the tests' names.
        folder: Where its sources are, relative to ``tests/guests``.
        file: Text or binary, in that folder.
        panic: What it calls its own failure: the ``exception.type`` that it reports before it traps.
        prefix: What the names of its exports begin with.
        scenarios: Those that it can express, or None for all.
        lacks: What it cannot express of the others: logs by their body, spans by their name, attributes by their key.
        is_memory64: Whether the text is compiled for a 64-bit memory.
        knows_places: Whether its call sites have file and line.
    """

    name: str
    folder: str
    file: str
    panic: str = "panic"
    prefix: str = ""
    scenarios: frozenset[str] | None = None
    lacks: frozenset[str] = field(default_factory=frozenset[str])
    is_memory64: bool = False
    knows_places: bool = False

    @property
    def sources(self) -> Path:
        """The folder of its sources."""
        return _REPOSITORY / "tests" / "guests" / self.folder

    def export(self, scenario: str) -> str:
        """Give the name of a scenario's function."""
        return self.prefix + scenario


GUESTS = (
    Guest("wat", "wat", "conformance.wat"),
    Guest("wat-memory64", "wat", "conformance.wat", is_memory64=True),
    Guest("rust", "rust", "conformance.wasm", knows_places=True),
    Guest(
        "rust-tracing",
        "rust",
        "conformance.wasm",
        prefix="tracing_",
        scenarios=frozenset(
            {
                "log_attributes",
                "log_event",
                "log_levels",
                "open_span",
                "span_nested",
                "span_parents",
                "trap",
                "unicode",
                "limits",
            }
        ),
        # `tracing` has no level above error, and fields are scalars or bytes and few.
        lacks=frozenset({"fatal", "list", "ints", "map", "many"}),
        knows_places=True,
    ),
    Guest(
        "rust-log",
        "rust",
        "logger.wasm",
        prefix="logger_",
        scenarios=frozenset({"log_attributes", "log_levels", "unicode"}),
        # `log` has no spans, no level above error, and values of `serde` or scalars only.
        lacks=frozenset({"fatal", "b", "list", "ints", "map", "späń 🦀"}),
        knows_places=True,
    ),
    Guest("assemblyscript", "assemblyscript", "conformance.wasm", panic="abort"),
)


@functools.cache
def engine() -> wasmtime.Engine:
    """Give the engine that all tests share."""
    return wasmtime.Engine()


@functools.cache
def module(guest: Guest) -> wasmtime.Module:
    """Compile a guest."""
    path = guest.sources / guest.file
    if path.suffix == ".wasm":
        built = os.environ.get("WASMSCOPE_GUESTS_DIR")
        if built:
            path = Path(built) / path.relative_to(_REPOSITORY)
        return wasmtime.Module(engine(), path.read_bytes())
    text = path.read_text(encoding="utf-8")
    assert _ADDRESS_TYPE in text
    return wasmtime.Module(engine(), text.replace(_ADDRESS_TYPE, "i64") if guest.is_memory64 else text)
