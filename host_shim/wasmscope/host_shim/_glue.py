"""The two small modules between a guest and the collector, as WebAssembly text.

The *trampolines* are what the guest imports. A guest's memory does not exist before the guest does, so they call
through a table, and what fills the table at first asks the host to bind. The *glue* is made when the memory is there:
it checks what the guest says about its memory, copies that to the collector's, and calls the collector.

Guarantees: nothing that a guest passes makes either of them trap, and they touch no byte outside of the ranges that
they checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wasmscope.host_shim._abi import FUNCTIONS, VERSION, Signature
from wasmscope.host_shim._control import REASONS, Control, Op
from wasmscope.host_shim._roll import ROLL

__all__ = ["COLLECTOR_FUNCTIONS", "NAMES", "Layout", "glue", "trampolines"]

NAMES: Final = tuple(sorted(FUNCTIONS))
"""The ABI's functions by their index in the table."""

_WASM: Final = {"i": "i32", "l": "i64", "d": "f64"}
# For each range of a function, in order: the limit that bounds it. A text is cut there, so one byte more is copied: the
# collector sees that there is more. Of what must be whole nothing is copied beyond it.
_TEXTS: Final = {
    "body": Control.LIMIT_BODY,
    "name": Control.LIMIT_NAME,
    "message": Control.LIMIT_MESSAGE,
    "stack": Control.LIMIT_STACK,
}
_WHOLES: Final = {"attributes": Control.LIMIT_ATTRIBUTES_BYTES, "descriptor": Control.LIMIT_DESCRIPTOR}
_LIMITS: Final = _TEXTS | _WHOLES
_RANGES: Final[dict[str, tuple[str, ...]]] = {
    "attribute_set": ("attributes",),
    "callsite": ("descriptor",),
    "exception": ("name", "message", "stack", "attributes"),
    "instrument": ("descriptor",),
    "log": ("body", "attributes"),
    "span_attributes": ("attributes",),
    "span_event": ("name", "attributes"),
    "span_link": ("attributes",),
    "span_rename": ("name",),
    "span_start": ("name", "attributes"),
    "span_status": ("name",),
}
# Their span may be the host's own, which is changed in Python.
_TARGETS: Final = {
    "exception": "exception_target",
    "span_attributes": "target",
    "span_event": "target",
    "span_link": "target",
    "span_rename": "target",
    "span_status": "target",
}
_LONGEST: Final = 0x7FFF_FFFF_FFFF_FFFF
_IN_PYTHON: Final = ("baggage_get", "inject", "remote_context")
_CONTEXT_BYTES: Final = 32
_OF_THE_COLLECTOR: Final = {
    "exception_target": "(param i32 i64) (result i32)",
    "recover": "",
    "reject": "(param i32 i32)",
    "reserve": "(param i32) (result i32)",
    "span_context": "(param i32 i64) (result i32)",
    "span_prepare": "(param i32 i32 i64 i32) (result i64)",
    "target": "(param i32 i64) (result i32)",
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie in the collector's memory; the same in all of its instances.

    Attributes:
        control: Address of the control block.
        args: Address of the arguments of a call that goes on to Python.
        stack_pointer: What ``__stack_pointer`` is when nothing of the collector runs.
    """

    control: int
    args: int
    stack_pointer: int


def _type(signature: Signature, wide: str) -> str:
    params = "".join(f" {_WASM.get(kind, wide)}" for kind in signature.params)
    return (f"(param{params})" if params else "") + (f" (result {_WASM[signature.result]})" if signature.result else "")


def _collector_type(name: str) -> str:
    """Give the type of the collector's function: the guest's number, then the ABI's, with a length for each range."""
    signature = FUNCTIONS[name]
    params = "".join(f" {_WASM[kind]}" for kind in signature.params.replace("pp", "l"))
    return f"(param i32{params})" + (f" (result {_WASM[signature.result]})" if signature.result else "")


COLLECTOR_FUNCTIONS: Final[dict[str, str]] = dict(
    sorted(
        {
            **{
                name: _collector_type(name)
                for name in NAMES
                if name not in _IN_PYTHON and name not in _OF_THE_COLLECTOR and name not in {"abi_version", "flush"}
            },
            **_OF_THE_COLLECTOR,
        }.items()
    )
)
"""What the glue calls: the types of the collector's functions by name, in the order of the glue's imports."""


def trampolines(*, memory64: bool, tail_calls: bool) -> str:
    """Give the module whose exports a guest imports.

    It imports ``host.call`` and exports the table, the guest's number, the functions of `NAMES`, and one that gives
    references to those (`ROLL`).

    Args:
        memory64: Whether the guest's addresses are 64 bits wide.
        tail_calls: Whether they may use tail calls, which saves a fifth of a short call's time.
    """
    wide = "i64" if memory64 else "i32"
    jump = "return_call_indirect" if tail_calls else "call_indirect"
    parts: list[str] = []
    for index, name in enumerate(NAMES):
        signature = FUNCTIONS[name]
        kind = _type(signature, wide)
        args = "".join(f"(local.get {i})" for i in range(len(signature.params)))
        go_on = f"({jump} $t {kind} {args} (i32.const {index}))"
        nothing = f"({_WASM[signature.result]}.const 0)" if signature.result else ""
        parts.append(
            f'(func ${name} (export "{name}") {kind} {go_on})\n'
            # The host says whether it filled the table: what is not bound must not ask for ever.
            f"(func $bind_{name} {kind} (if (i64.eqz (call $host (i32.const {Op.BIND}) (global.get $guest)))"
            f" (then {nothing} return)) {go_on})"
        )
    return (
        '(module (import "host" "call" (func $host (param i32 i32) (result i64)))\n'
        f'(table $t (export "table") {len(NAMES)} funcref)\n'
        '(global $guest (export "guest") (mut i32) (i32.const 0))\n'
        f"(elem (i32.const 0) func {' '.join(f'$bind_{name}' for name in NAMES)})\n"
        f'(func (export "{ROLL}") (result {"funcref " * len(NAMES)}) {"".join(f"(ref.func ${n})" for n in NAMES)})\n'
        + "\n".join(parts)
        + ")"
    )


def glue(layout: Layout, *, memory64: bool, memory: str | None) -> str:
    """Give the module that fills a guest's table.

    It imports the collector's `COLLECTOR_FUNCTIONS`, ``__stack_pointer`` and memory, ``host.call``, the trampolines'
    table and number, and the guest's memory, in this order.

    Args:
        layout: Where things lie in the collector's memory.
        memory64: Whether the guest's addresses are 64 bits wide.
        memory: How wide those of its memory are, ``i32`` or ``i64``; None if it has none.
    """
    functions = "\n".join(
        f'(import "collector" "{name}" (func $c_{name} {kind}))' for name, kind in COLLECTOR_FUNCTIONS.items()
    )
    guest_memory = (
        ""
        if memory is None
        else f'(import "guest" "memory" (memory $guest_memory {"i64" if memory == "i64" else ""} 0))'
    )
    writer = _Writer(layout, memory64=memory64, memory=memory)
    return (
        f"(module {functions}\n"
        '(import "collector" "__stack_pointer" (global $stack_pointer (mut i32)))\n'
        '(import "collector" "memory" (memory $m 0))\n'
        '(import "host" "call" (func $host (param i32 i32) (result i64)))\n'
        f'(import "trampolines" "table" (table $t {len(NAMES)} funcref))\n'
        '(import "trampolines" "guest" (global $guest (mut i32)))\n'
        f"{guest_memory}\n"
        f"(elem (i32.const 0) func {' '.join(f'${name}' for name in NAMES)})\n"
        f"{writer.heal()}\n" + "\n".join(writer.function(name) for name in NAMES) + ")"
    )


class _Writer:
    """Writes the glue's functions."""

    def __init__(self, layout: Layout, *, memory64: bool, memory: str | None) -> None:
        self._layout = layout
        self._wide = "i64" if memory64 else "i32"
        self._memory = memory

    def heal(self) -> str:
        """Write what a call does first if a trap struck inside the collector and left it in the middle of something.

        Not while it waits for the host (a call out of that is the collector's to refuse): then its stack is in use.
        """
        busy, in_host = (self._control(offset) for offset in (Control.BUSY, Control.IN_HOST))
        return (
            f"(func $heal (if (i32.and {busy} (i32.eqz {in_host}))"
            f" (then (global.set $stack_pointer (i32.const {self._layout.stack_pointer})) (call $c_recover))))"
        )

    def function(self, name: str) -> str:
        """Write one of the ABI's functions."""
        signature = FUNCTIONS[name]
        head = f"(func ${name} {_type(signature, self._wide)}"
        if name == "abi_version":
            return f"{head} (i32.const {VERSION}))"
        if name == "flush":
            return f"{head} (drop (call $host (i32.const {Op.FLUSH}) (global.get $guest))))"
        ranges = _RANGES.get(name, ())
        names = [f"$l{i} i64" for i in range(len(ranges))] + [f"$n{i} i64" for i in range(len(ranges))]
        local = "".join(
            f" (local {n})" for n in (*names, "$size i64", "$sum i64", "$to i32", "$is_room i32", "$found i64")
        )
        # Both words of the control block at once.
        busy = f"(i64.eqz (i64.load $m offset={self._layout.control} (i32.const 0)))"
        check = f"(if {busy} (then) (else (call $heal)))"
        if name in _IN_PYTHON:
            body = self._slow(name)
        elif name == "span_context":
            body = self._span_context()
        else:
            body = self._before(name) + self._copy(name, ranges) + self._call(name)
        return f"{head}{local}\n{check}\n{body})"

    def _control(self, offset: int) -> str:
        return f"(i32.load $m offset={self._layout.control + offset} (i32.const 0))"

    def _limit(self, offset: int) -> str:
        return f"(i64.load32_u $m offset={self._layout.control + offset} (i32.const 0))"

    def _p(self, index: int) -> str:
        """Give an address or length that the guest passed, as i64."""
        return f"(local.get {index})" if self._wide == "i64" else f"(i64.extend_i32_u (local.get {index}))"

    def _address(self, index: int) -> str:
        """Give an address that was checked, for use in the guest's memory."""
        if self._wide == self._memory:
            return f"(local.get {index})"
        return f"(i32.wrap_i64 {self._p(index)})" if self._memory == "i32" else self._p(index)

    def _measure(self) -> str:
        """Note the size of the guest's memory in bytes."""
        pages = "(memory.size $guest_memory)"
        if self._memory != "i64":
            pages = f"(i64.extend_i32_u {pages})"
        return f"(local.set $size (i64.shl {pages} (i64.const 16)))\n"

    def _is_inside(self, address: str, size: str) -> str:
        if self._wide == "i32":
            return f"(i64.le_u (i64.add {address} {size}) (local.get $size))"
        fits = f"(i64.le_u {address} (i64.sub (local.get $size) {size}))"
        return f"(i32.and (i64.le_u {size} (local.get $size)) {fits})"

    def _before(self, name: str) -> str:
        """Ask the collector whether there is anything to do."""
        if name == "span_start":
            return (
                "(local.set $found (call $c_span_prepare"
                " (global.get $guest) (local.get 0) (local.get 3) (local.get 4)))\n"
                "(if (i64.ne (local.get $found) (i64.const -1)) (then (return (local.get $found))))\n"
            )
        target = _TARGETS.get(name)
        if target is None:
            return ""
        return (
            f"(local.set $to (call $c_{target} (global.get $guest) (local.get 0)))\n"
            f"(if (i32.ne (local.get $to) (i32.const 1)) (then"
            f" (if (i32.eq (local.get $to) (i32.const 2)) (then {self._slow(name)}))"
            " (return)))\n"
        )

    def _slow(self, name: str) -> str:
        """Hand a call on to Python, arguments and all."""
        signature = FUNCTIONS[name]
        stores: list[str] = []
        for index, kind in enumerate(signature.params):
            value = self._p(index) if kind == "p" else f"(local.get {index})"
            if kind == "i":
                value = f"(i64.extend_i32_u {value})"
            stores.append(f"(i64.store $m offset={self._layout.args + 8 * index} (i32.const 0) {value})")
        call = f"(call $host (i32.const {Op.SLOW + NAMES.index(name)}) (global.get $guest))"
        wrap = {"": f"(drop {call})", "i": f"(i32.wrap_i64 {call})", "l": call}
        return "\n".join((*stores, wrap[signature.result]))

    def _span_context(self) -> str:
        out_of_bounds = REASONS.index("no_memory" if self._memory is None else "out_of_bounds")
        refuse = f"(call $c_reject (global.get $guest) (i32.const {out_of_bounds})) (return (i32.const 0))"
        found = (
            "(if (i32.eqz (call $c_span_context (global.get $guest) (local.get 0))) (then (return (i32.const 0))))\n"
        )
        if self._memory is None:
            return f"{found} {refuse}"
        words = "\n".join(
            f"(i64.store $guest_memory offset={at} {self._address(1)} (i64.load $m offset={at} (local.get $to)))"
            for at in range(0, _CONTEXT_BYTES, 8)
        )
        inside = self._is_inside(self._p(1), f"(i64.const {_CONTEXT_BYTES})")
        return (
            f"{found}{self._measure()}"
            f"(if (i32.eqz {inside}) (then {refuse}))\n"
            f"(local.set $to {self._control(Control.SCRATCH_POINTER)})\n{words}\n(i32.const 1)"
        )

    def _copy(self, name: str, ranges: tuple[str, ...]) -> str:
        """Check the ranges and copy what the collector wants of them, one behind the other."""
        if not ranges:
            return ""
        pairs = [at for at, kind in enumerate(FUNCTIONS[name].params) if kind == "p"][::2]
        if self._memory is None:
            return "".join(
                f"(local.set $l{i} {self._length(self._p(at + 1), '(i32.const 0)', what)})\n"
                for i, (at, what) in enumerate(zip(pairs, ranges, strict=True))
            )
        parts = [self._measure()]
        # What nearly always holds, in one branch: all is there, within its limit, and fits.
        usual: list[str] = []
        total = ""
        for i, (at, what) in enumerate(zip(pairs, ranges, strict=True)):
            size = self._p(at + 1)
            parts.append(f"(local.set $l{i} (local.tee $n{i} {size}))\n")
            usual.append(self._is_inside(self._p(at), size))
            usual.append(f"(i64.le_u {size} {self._limit(_LIMITS[what])})")
            total = f"(i64.add {total} (local.get $n{i}))" if total else f"(local.get $n{i})"
        usual.append(f"(i64.le_u {total} {self._limit(Control.SCRATCH_CAPACITY)})")
        condition = usual.pop()
        for test in reversed(usual):
            condition = f"(i32.and {test} {condition})"
        parts.append(f"(if {condition} (then) (else\n")
        for i, (at, what) in enumerate(zip(pairs, ranges, strict=True)):
            length, copied = f"(local.get $l{i})", f"(local.set $n{i}"
            size = self._p(at + 1)
            parts.append(f"(local.set $l{i} {self._length(size, self._is_inside(self._p(at), size), what)})\n")
            limit = self._limit(_LIMITS[what])
            if what in _WHOLES:
                # What is not there is, unsigned, more than any limit.
                parts.append(f"{copied} (select {length} (i64.const 0) (i64.le_u {length} {limit})))\n")
            else:
                more = f"(i64.add {limit} (i64.const 1))"
                parts.append(
                    f"{copied} (select {length} {more} (i64.le_u {length} {more})))\n"
                    f"{copied} (select (i64.const 0) (local.get $n{i}) (i64.lt_s {length} (i64.const 0))))\n"
                )
        none = "".join(f"(local.set $l{i} (i64.const -2)) (local.set $n{i} (i64.const 0))" for i in range(len(ranges)))
        parts.append(
            f"(local.set $sum {total})\n"
            f"(if (i64.gt_u (local.get $sum) {self._limit(Control.SCRATCH_CAPACITY)}) (then"
            # It is a memory of 32 bits.
            " (if (i64.le_u (local.get $sum) (i64.const 0x7fffffff))"
            " (then (local.set $is_room (call $c_reserve (i32.wrap_i64 (local.get $sum))))))"
            f" (if (i32.eqz (local.get $is_room)) (then {none}))))))\n"
            f"(local.set $to {self._control(Control.SCRATCH_POINTER)})\n"
        )
        for i, at in enumerate(pairs):
            count = f"(i32.wrap_i64 (local.get $n{i}))"
            # A length of 0 may come with any address, and memory.copy traps for that, too.
            parts.append(
                f"(if {count} (then (memory.copy $m $guest_memory (local.get $to) {self._address(at)} {count})))\n"
            )
            if i + 1 < len(pairs):
                parts.append(f"(local.set $to (i32.add (local.get $to) {count}))\n")
        return "".join(parts)

    def _length(self, size: str, is_inside: str, what: str) -> str:
        """Give what the collector is told of a range's length: -1 if any of it is not there.

        What must be whole and is too long is not looked at, and so need not be there.
        """
        is_fine = f"(i32.or (i64.eqz {size}) {is_inside})"
        if what in _WHOLES:
            is_fine = f"(i32.or {is_fine} (i64.gt_u {size} {self._limit(_LIMITS[what])}))"
            if self._wide == "i64":
                size = f"(select {size} (i64.const {_LONGEST:#x}) (i64.ge_s {size} (i64.const 0)))"
        return f"(select {size} (i64.const -1) {is_fine})"

    def _call(self, name: str) -> str:
        args: list[str] = ["(global.get $guest)"]
        lengths = 0
        params = FUNCTIONS[name].params
        at = 0
        while at < len(params):
            if params[at] == "p":
                args.append(f"(local.get $l{lengths})")
                lengths += 1
                at += 2
            else:
                args.append(f"(local.get {at})")
                at += 1
        return f"(call $c_{name} {' '.join(args)})"
