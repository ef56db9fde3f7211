"""The functions of the guest ABI and their types; ``docs/abi.md`` says what they mean.

A type is a string with a letter for each value: ``i`` i32, ``l`` i64, ``d`` f64, ``p`` an address or length (i32, or
i64 for
a guest with a 64-bit memory).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["FUNCTIONS", "MODULE", "VERSION", "Signature", "unknown_import_message"]

MODULE: Final = "wasmscope_v1"
VERSION: Final = 0x0001_0000
"""What ``abi_version`` returns: major << 16 | minor."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The type of one ABI function.

    Attributes:
        params: A letter for each parameter.
        result: A letter, or the empty string for no result.
    """

    params: str
    result: str = ""

    def lowered(self, *, memory64: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Give the WebAssembly types of parameters and results.

        Args:
            memory64: Whether the guest's memory has 64-bit addresses.
        """
        names = {"i": "i32", "l": "i64", "d": "f64", "p": "i64" if memory64 else "i32"}
        return tuple(names[c] for c in self.params), tuple(names[c] for c in self.result)


FUNCTIONS: Final[dict[str, Signature]] = {
    "abi_version": Signature("", "i"),
    "attribute_set": Signature("pp", "i"),
    "baggage_get": Signature("pppp", "i"),
    "callsite": Signature("pp", "i"),
    "enabled": Signature("i", "i"),
    "exception": Signature("lpppppppp"),
    "flush": Signature(""),
    "inject": Signature("lpppp", "i"),
    "instrument": Signature("iipp", "i"),
    "log": Signature("iilpppp"),
    "measure_f64": Signature("idi"),
    "measure_i64": Signature("ili"),
    "remote_context": Signature("pppp", "l"),
    "span_attributes": Signature("lpp"),
    "span_context": Signature("lp", "i"),
    "span_end": Signature("l"),
    "span_enter": Signature("l"),
    "span_event": Signature("lpppp"),
    "span_exit": Signature("l"),
    "span_link": Signature("llpp"),
    "span_rename": Signature("lpp"),
    "span_start": Signature("ipplipp", "l"),
    "span_status": Signature("lipp"),
}


def unknown_import_message(guest: str, module: str, name: str) -> str:
    """Say in one line what is wrong with an import that looks like ours and is not, and what to try.

    Args:
        guest: The guest module's name.
        module: The import's module, ``wasmscope_v…``.
        name: The import's name.
    """
    if module != MODULE:
        return (
            f"module {guest!r} imports {module}.{name}, but this host speaks {MODULE} only: "
            "install the wasmscope release that the guest's SDK names, or rebuild the guest with an SDK for this one"
        )
    return (
        f"module {guest!r} imports {module}.{name}, which this host does not have (it has ABI version "
        f"{VERSION >> 16}.{VERSION & 0xFFFF}): upgrade wasmscope, or rebuild the guest with an older SDK"
    )
