"""What a core dump holds, as plain values."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum

from wasmscope.coredump._dialect import Dialect

__all__ = [
    "CoreDump",
    "DumpFrame",
    "DumpGlobal",
    "DumpInstance",
    "DumpMemory",
    "DumpSegment",
    "DumpThread",
    "DumpValue",
    "ValueKind",
]


class ValueKind(Enum):
    """Which type a value in a dump has."""

    I32 = "i32"
    I64 = "i64"
    F32 = "f32"
    F64 = "f64"
    V128 = "v128"
    REF = "ref"
    """A reference of any type. What it refers to is not in a dump."""
    MISSING = "missing"
    """The runtime did not know the value: its compiler had optimised it out, for example."""


@dataclass(frozen=True, slots=True)
class DumpValue:
    """The value of a local, an operand or a global.

    The bits are kept and not the number: of two NaNs one cannot say whether they are the same.

    Attributes:
        kind: Its type.
        bits: Its bits as an unsigned number, for a null reference 0; None if they are not in the dump.
    """

    kind: ValueKind
    bits: int | None

    @property
    def number(self) -> int | float | None:
        """The value as Python sees it: integers signed; None if it is not in the dump, or not a number."""
        if self.bits is None:
            return None
        match self.kind:
            case ValueKind.I32:
                return self.bits - (1 << 32) if self.bits >> 31 else self.bits
            case ValueKind.I64:
                return self.bits - (1 << 64) if self.bits >> 63 else self.bits
            case ValueKind.F32:
                number: float = struct.unpack("<f", self.bits.to_bytes(4, "little"))[0]
                return number
            case ValueKind.F64:
                number = struct.unpack("<d", self.bits.to_bytes(8, "little"))[0]
                return number
            case _:
                return None


@dataclass(frozen=True, slots=True)
class DumpFrame:
    """A call that had not returned.

    Attributes:
        instance_index: Which of the dump's instances was running; None if the dump does not say.
        function_index: Index of the function in the instance's module, imported ones counted first.
        code_offset: Place of the instruction, in bytes from the beginning of the function's body. 0 is the body's
            beginning, and what a runtime writes that does not know the place.
        locals: The parameters, then the other locals. Empty if the runtime did not write them, as wasmtime never does.
        stack: The operand stack, the oldest value first. Empty if the runtime did not write it.
    """

    instance_index: int | None
    function_index: int
    code_offset: int
    locals: tuple[DumpValue, ...] = ()
    stack: tuple[DumpValue, ...] = ()


@dataclass(frozen=True, slots=True)
class DumpThread:
    """A stack.

    Attributes:
        name: What the runtime calls it; "main" in all dumps of wasmtime.
        frames: Its calls, the youngest first.
    """

    name: str
    frames: tuple[DumpFrame, ...]


@dataclass(frozen=True, slots=True)
class DumpInstance:
    """An instance of a module.

    Attributes:
        module_index: Which of the dump's modules it is an instance of; None if the dump does not say.
        memories: For each of its memories the index of the memory in the dump; None for one that is not in the dump.
        globals: Likewise its globals.
    """

    module_index: int | None
    memories: tuple[int | None, ...]
    globals: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class DumpMemory:
    """A linear memory; what is in it are the dump's segments.

    Attributes:
        page_count: Its size in pages.
        page_size_bytes: Size of a page: 65,536, or less with custom page sizes.
        is_memory64: Whether its addresses have 64 bits.
    """

    page_count: int
    page_size_bytes: int
    is_memory64: bool

    @property
    def size_bytes(self) -> int:
        """Its size in bytes."""
        return self.page_count * self.page_size_bytes


@dataclass(frozen=True, slots=True)
class DumpGlobal:
    """A global.

    Attributes:
        kind: Its type.
        value: What it held; None if the dump does not say.
    """

    kind: ValueKind
    value: DumpValue | None


@dataclass(frozen=True, slots=True)
class DumpSegment:
    """Part of a memory, left where it is in the dump's bytes.

    Attributes:
        memory_index: Which of the dump's memories.
        address: Where it begins in the memory, in bytes.
        offset: Where it begins in the dump, in bytes.
        size: How long it is, in bytes.
    """

    memory_index: int
    address: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class CoreDump:
    """The state of a program when it failed.

    What is in no segment of a memory was zero, or was left out by whoever wrote the dump.

    Attributes:
        dialect: How the dump is encoded.
        ambiguities: Other dialects that explain the stacks to the last byte too, and differently.
        executable: Name of the program; empty if the runtime did not write one.
        modules: Name, path or URL of each module.
        instances: Their instances.
        threads: Their stacks.
        memories: Their memories.
        globals: Their globals.
        segments: What the memories held, in the dump's order.
    """

    dialect: Dialect
    ambiguities: tuple[Dialect, ...]
    executable: str
    modules: tuple[str, ...]
    instances: tuple[DumpInstance, ...]
    threads: tuple[DumpThread, ...]
    memories: tuple[DumpMemory, ...]
    globals: tuple[DumpGlobal, ...]
    segments: tuple[DumpSegment, ...]
