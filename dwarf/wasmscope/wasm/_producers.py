"""Who made a module."""

from __future__ import annotations

from dataclasses import dataclass

from wasmscope.errors import ModuleFormatError
from wasmscope.wasm._cursor import Cursor

__all__ = ["Producer", "Producers", "read_producers"]


@dataclass(frozen=True, slots=True)
class Producer:
    """A language or a tool.

    Attributes:
        name: What it is called.
        version: Its version, in its own words; empty if it says none.
    """

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Producers:
    """Who made a module.

    Attributes:
        languages: Source languages.
        processed_by: Tools, such as compilers and linkers.
        sdks: Software development kits.
        problem: What could not be read; None if all could.
    """

    languages: tuple[Producer, ...]
    processed_by: tuple[Producer, ...]
    sdks: tuple[Producer, ...]
    problem: str | None


def read_producers(cursor: Cursor) -> Producers:
    """Read a ``producers`` section, or as much of it as can be read.

    Source: https://github.com/WebAssembly/tool-conventions/blob/main/ProducersSection.md

    Args:
        cursor: Its contents.
    """
    fields: dict[str, list[Producer]] = {"language": [], "processed-by": [], "sdk": []}
    problem = None
    try:
        for _ in range(cursor.count(2)):
            # What a field of another name says is nobody's.
            values = fields.setdefault(cursor.name(), [])
            for _ in range(cursor.count(2)):
                values.append(Producer(cursor.name(), cursor.name()))
    except ModuleFormatError as error:
        problem = str(error)
    languages, tools, sdks = (tuple(fields[key]) for key in ("language", "processed-by", "sdk"))
    return Producers(languages, tools, sdks, problem)
