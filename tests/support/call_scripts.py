"""A guest that makes whatever ABI calls a script in its memory says: many calls for one call from the host.

The script lies in a second memory, which the ABI does not see. What the calls return is noted there, too, so that the
notes of two runs can be compared; handles stay in registers, because their numbers are the host's affair.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import wasmtime

from tests.support.abi import functions
from tests.support.guests import PAGE, abi_imports

__all__ = [
    "GROW",
    "HOST",
    "MAX_CALLS",
    "MAX_PAGES",
    "OUT",
    "OUT_BYTES",
    "PAGES",
    "REGISTERS",
    "TRAP",
    "Call",
    "Note",
    "Register",
    "encode",
    "module_text",
    "read_notes",
    "script_address",
]

PAGES: Final = 4
MAX_PAGES: Final = 8
OUT: Final = PAGE
"""Where results that are written to memory go: ids are not the same in two runs, so nothing is read from there."""
OUT_BYTES: Final = PAGE
REGISTERS: Final = 32

HOST: Final = "host"
"""Call the host function with two numbers."""
TRAP: Final = "trap"
GROW: Final = "grow"
_MORE: Final = {HOST: "ii", TRAP: "", GROW: "i"}

_ENTRY: Final = struct.Struct("<IIi4x9q8x")
_NOTE: Final = struct.Struct("<qq64s")
_SCRIPT_AT: Final = 4096
_SCRIPT_PAGES: Final = 32
_NOTES_AT: Final = _SCRIPT_PAGES * PAGE
_NOTES_PAGES: Final = 32
MAX_CALLS: Final = (_NOTES_AT - _SCRIPT_AT) // _ENTRY.size
_MAX_NOTES: Final = _NOTES_PAGES * PAGE // _NOTE.size


@dataclass(frozen=True, slots=True)
class Register:
    """An argument that is what an earlier call returned; 0 before."""

    number: int


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an ABI function, or of one of `HOST`, `TRAP` and `GROW`.

    Attributes:
        name: Which.
        args: Its arguments; numbers are taken modulo their width.
        into: The register that keeps the result, or None.
    """

    name: str
    args: tuple[float | Register, ...] = ()
    into: int | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """What a call returned.

    Attributes:
        name: Which function.
        result: Its result; of a handle, 1 if it is positive, else itself.
        written: The first 64 bytes of what it wrote, if it did.
    """

    name: str
    result: int
    written: bytes


@functools.cache
def _numbers() -> dict[str, tuple[int, str]]:
    """Each operation's number, and the letters of its parameters."""
    letters = {name: params for name, (params, _) in sorted(functions().items())} | _MORE
    return {name: (number, params) for number, (name, params) in enumerate(letters.items())}


def encode(calls: Sequence[Call]) -> bytes:
    """Encode calls, as the guest reads them."""
    numbers = _numbers()
    out: list[bytes] = []
    for call in calls:
        number, params = numbers[call.name]
        assert len(params) == len(call.args), call
        references = 0
        words = [0] * 9
        for index, (letter, arg) in enumerate(zip(params, call.args, strict=True)):
            if isinstance(arg, Register):
                references |= 1 << index
                words[index] = arg.number
            elif letter == "d":
                (words[index],) = struct.unpack("<q", struct.pack("<d", arg))
            else:
                word = int(arg) & 0xFFFF_FFFF_FFFF_FFFF
                words[index] = word - (word >> 63 << 64)
        out.append(_ENTRY.pack(number, references, -1 if call.into is None else call.into, *words))
    return b"".join(out)


def read_notes(memory: wasmtime.Memory, store: wasmtime.Store, count: int) -> list[Note]:
    """Read what calls returned.

    Args:
        memory: The guest's memory ``script``.
        store: Its store.
        count: How many notes there are (the guest's global ``notes``).
    """
    names = list(_numbers())
    raw = bytes(memory.read(store, _NOTES_AT, _NOTES_AT + count * _NOTE.size))
    return [Note(names[number], result, written) for number, result, written in _NOTE.iter_unpack(raw)]


def script_address(position: int = 0) -> int:
    """Give the address of the call at a position of the script, in the memory ``script``."""
    return _SCRIPT_AT + position * _ENTRY.size


@functools.cache
def module_text(*, memory64: bool) -> str:
    """Write the guest.

    It exports its ``memory``, the memory ``script`` (the calls at `script_address`), the global ``notes`` (how many
    there are), and ``run``: the address of the first call, and how many to make.
    """
    operations = [_operation(name, *functions()[name], memory64=memory64) for name in sorted(functions())]
    wrap = "" if memory64 else "i32.wrap_i64"
    p = "i64" if memory64 else "i32"
    names = " ".join(f"$op_{name}" for name in _numbers())
    return f"""(module
        {abi_imports(memory64=memory64)}
        (import "test" "host" (func $host (param i32 i32)))
        (memory $memory (export "memory") {"i64" if memory64 else ""} {PAGES} {MAX_PAGES})
        (memory $script (export "script") {_SCRIPT_PAGES + _NOTES_PAGES})
        (global $notes (export "notes") (mut i32) (i32.const 0))
        (type $operation (func (param i32)))
        (table funcref (elem {names}))

        (func $arg (param $call i32) (param $index i32) (result i64)
            (local $value i64)
            (local.set $value (i64.load $script offset=16
                (i32.add (local.get $call) (i32.shl (local.get $index) (i32.const 3)))))
            (if (i32.and (i32.load $script offset=4 (local.get $call)) (i32.shl (i32.const 1) (local.get $index)))
                (then (local.set $value
                    (i64.load $script (i32.shl (i32.wrap_i64 (local.get $value)) (i32.const 3))))))
            (local.get $value))

        (func $keep (param $call i32) (param $result i64)
            (local $into i32)
            (local.set $into (i32.load $script offset=8 (local.get $call)))
            (if (i32.ge_s (local.get $into) (i32.const 0))
                (then (i64.store $script (i32.shl (local.get $into) (i32.const 3)) (local.get $result)))))

        (func $note (param $call i32) (param $result i64) (param $from {p}) (param $size i32)
            (local $at i32)
            (if (i32.ge_u (global.get $notes) (i32.const {_MAX_NOTES})) (then return))
            (local.set $at (i32.add (i32.const {_NOTES_AT})
                (i32.mul (global.get $notes) (i32.const {_NOTE.size}))))
            (global.set $notes (i32.add (global.get $notes) (i32.const 1)))
            (i64.store $script (local.get $at) (i64.extend_i32_u (i32.load $script (local.get $call))))
            (i64.store $script offset=8 (local.get $at) (local.get $result))
            (if (i32.gt_u (local.get $size) (i32.const 64)) (then (local.set $size (i32.const 64))))
            (memory.fill $script (i32.add (local.get $at) (i32.const 16)) (i32.const 0) (i32.const 64))
            (memory.copy $script $memory
                (i32.add (local.get $at) (i32.const 16)) (local.get $from) (local.get $size)))

        {"".join(operations)}
        (func $op_host (param $call i32)
            (call $host (i32.wrap_i64 (call $arg (local.get $call) (i32.const 0)))
                (i32.wrap_i64 (call $arg (local.get $call) (i32.const 1)))))
        (func $op_trap (param $call i32) unreachable)
        (func $op_grow (param $call i32)
            (drop (memory.grow $memory (call $arg (local.get $call) (i32.const 0)) {wrap})))

        (func (export "run") (param $call i32) (param $count i32)
            (if (i32.eqz (local.get $count)) (then return))
            (loop $next
                (call_indirect (type $operation) (local.get $call) (i32.load $script (local.get $call)))
                (local.set $call (i32.add (local.get $call) (i32.const {_ENTRY.size})))
                (local.set $count (i32.sub (local.get $count) (i32.const 1)))
                (br_if $next (local.get $count)))))"""


def _operation(name: str, params: str, result: str, *, memory64: bool) -> str:
    convert = {"i": "i32.wrap_i64", "l": "", "d": "f64.reinterpret_i64", "p": "" if memory64 else "i32.wrap_i64"}
    args = " ".join(
        f"(call $arg (local.get $call) (i32.const {index})) {convert[kind]}" for index, kind in enumerate(params)
    )
    call = f"{args} (call ${name})"
    if not result:
        return f"(func $op_{name} (param $call i32) {call})\n"
    local = "i32" if result == "i" else "i64"
    wide = "(i64.extend_i32_s (local.get $result))" if result == "i" else "(local.get $result)"
    noted = wide if result == "i" else "(i64.extend_i32_u (i64.gt_s (local.get $result) (i64.const 0)))"
    pointer, size = _written(name, params, memory64=memory64)
    return f"""(func $op_{name} (param $call i32)
        (local $result {local})
        {call}
        local.set $result
        (call $keep (local.get $call) {wide})
        (call $note (local.get $call) {noted} {pointer} {size}))
        """


def _written(name: str, params: str, *, memory64: bool) -> tuple[str, str]:
    """Where a function has written to, and how many bytes: nothing if its result says so."""

    def arg(index: int) -> str:
        return f"(call $arg (local.get $call) (i32.const {index}))"

    wrapped = (lambda value: value) if memory64 else (lambda value: f"(i32.wrap_i64 {value})")
    zero = "(i64.const 0)" if memory64 else "(i32.const 0)"
    if name == "span_context":
        size = "(i32.shl (local.get $result) (i32.const 5))"
        pointer = f"(select {wrapped(arg(1))} {zero} (local.get $result))"
        return pointer, size
    if name in {"inject", "baggage_get"}:
        out = len(params) - 2
        fits = (
            f"(i64.le_u (i64.extend_i32_u (local.get $result)) {_unsigned(arg(out + 1), memory64=memory64)})"
            " (i32.gt_s (local.get $result) (i32.const 0)) i32.and"
        )
        return f"(select {wrapped(arg(out))} {zero} {fits})", f"(select (local.get $result) (i32.const 0) {fits})"
    return zero, "(i32.const 0)"


def _unsigned(value: str, *, memory64: bool) -> str:
    return value if memory64 else f"(i64.extend_i32_u (i32.wrap_i64 {value}))"
