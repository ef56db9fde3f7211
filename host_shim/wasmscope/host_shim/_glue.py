"""What lies between a guest and the collector, as WebAssembly text.

* The *glue* is added to the collector (`_weld`): the ABI's functions, with the guest's own types for the first guest of
  a store, who is nearly always the only one. They fetch what a guest points at through a table of two functions for
  each guest.
* The *reader* is made when a guest's memory is there, which is not before the guest itself is: its two functions go
  into the table. What is in the table before asks the host for them.
* The *trampolines* are what any further guest of a store imports: they only add its number.

Guarantees: nothing that a guest passes makes any of them trap, and no byte is touched outside of the ranges that were
checked.
"""

from __future__ import annotations

from typing import Final

from wasmscope.host_shim._abi import FUNCTIONS, VERSION
from wasmscope.host_shim._control import REASONS, Control, Op
from wasmscope.host_shim._weld import Outline

__all__ = [
    "COLLECTOR_FUNCTIONS",
    "FURTHER",
    "NAMES",
    "ROLL",
    "STACK_POINTER",
    "TABLE",
    "first_name",
    "glue",
    "reader",
    "trampolines",
]

NAMES: Final = tuple(sorted(FUNCTIONS))
"""The ABI's functions by their number."""
FURTHER: Final = tuple(name for name in NAMES if name not in {"abi_version", "flush"})
"""Those of which there is one for any guest, which takes its number."""
TABLE: Final = "wasmscope_table"
STACK_POINTER: Final = "__stack_pointer"
ROLL: Final = "wasmscope_roll"
"""A function that returns references to others, which takes less than to get each by its name: the collector's to
`FURTHER`, that of trampolines to `NAMES`."""

_WASM: Final = {"i": "i32", "l": "i64", "d": "f64", "p": "i64"}
_HOST: Final = ("host", "call")
# For each range of a function, in order, the limit that bounds it. A text is cut there, so one byte more is fetched:
# the collector sees that there is more. What must be whole is not looked at beyond it.
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
_IN_PYTHON: Final = ("baggage_get", "inject", "remote_context")
_CONTEXT_BYTES: Final = 32
_LONGEST: Final = 0x7FFF_FFFF_FFFF_FFFF
# Guest; address and length; how many bytes to copy, and in the upper half where to: with one parameter more, not all
# would be passed in registers. Whether the range is there.
_FETCH: Final = "(param i32 i64 i64 i64) (result i32)"
# Guest; address of 32 bytes; where they are. 1 if they were written, 0 if they do not fit, 2 if there is no memory.
_GIVE: Final = "(param i32 i64 i32) (result i32)"
_NO_MEMORY: Final = 2
_OF_THE_COLLECTOR: Final = {
    "exception_target": "(param i32 i64) (result i32)",
    "guest": "(param i32 i64) (result i32)",
    "guest_address": "(param i32) (result i32)",
    "recover": "",
    "reject": "(param i32 i32)",
    "reserve": "(param i32) (result i32)",
    "span_context": "(param i32 i64) (result i32)",
    "span_prepare": "(param i32 i32 i64 i32) (result i64)",
    "target": "(param i32 i64) (result i32)",
}


def _result(name: str) -> str:
    result = FUNCTIONS[name].result
    return f" (result {_WASM[result]})" if result else ""


def _params(letters: str, wide: str = "i64") -> str:
    names = [wide if kind == "p" else _WASM[kind] for kind in letters]
    return f"(param {' '.join(names)})" if names else ""


COLLECTOR_FUNCTIONS: Final[dict[str, str]] = {
    # The guest's number, then as in the ABI, with a length for each range.
    **{
        name: _params("i" + FUNCTIONS[name].params.replace("pp", "l")) + _result(name)
        for name in FURTHER
        if name not in _IN_PYTHON
    },
    **_OF_THE_COLLECTOR,
}
"""Types of the collector's functions that are used here."""


def glue(outline: Outline) -> str:
    """Give what is added to the collector.

    It exports `TABLE`, `ROLL`, the functions for the first guest (`first_name`); ``wasmscope_guest``, which takes what
    ``guest`` takes and gives ``guest_address``, too; ``wasmscope_open`` and ``wasmscope_close`` take a guest's
    number: open makes place for it in the table (result 0: there is none), close says that it has no memory.

    Args:
        outline: The collector's.
    """
    parts: list[str] = []
    referred = [f"$further_{name}" for name in FURTHER]
    roll = (
        f'(func (export "{ROLL}") (result {"funcref " * len(referred)})'
        f" {''.join(f'(ref.func {name})' for name in referred)})"
    )
    for name in NAMES:
        if _is_alike(name):
            parts.append(_Writer(outline, name, "i64").first(first_name(name, memory64=True)))
        else:
            parts.append(_Writer(outline, name, "i32").first(first_name(name, memory64=False)))
            parts.append(_first64(name))
        if name in FURTHER:
            parts.append(_Writer(outline, name, "i64").further(f"$further_{name}"))
    imports = outline.imports(COLLECTOR_FUNCTIONS, {_HOST: "(param i32 i32) (result i64)"}, STACK_POINTER)
    idle, in_host = (_control(outline, offset) for offset in (Control.IDLE, Control.IN_HOST))
    return f"""(module
{imports}
(type $fetch (func {_FETCH}))
(type $give (func {_GIVE}))
(table $t (export "{TABLE}") 2 funcref)
(elem (i32.const 0) func $fetch_early $give_early)
(elem declare func $fetch_none $give_none {" ".join(sorted(referred))})
;; The collector has not begun, or a trap struck inside of it: then nothing on its stack is anybody's. While it waits
;; for the host, the stack is in use: a call then is the collector's to refuse. Whether the call can go on.
(func $heal (result i32)
  (if {in_host} (then (return (i32.const 1))))
  (global.set $stack_pointer (i32.const {outline.constants[STACK_POINTER]}))
  (call $c_recover)
  {idle})
;; The host says whether it filled the table: what it cannot fill must not ask for ever.
(func $fetch_early (type $fetch)
  (if (i64.eqz (call $host_call (i32.const {Op.BIND}) (local.get 0))) (then (return (i32.const 0))))
  (call_indirect $t (type $fetch) (local.get 0) (local.get 1) (local.get 2) (local.get 3)
    (i32.shl (local.get 0) (i32.const 1))))
(func $give_early (type $give)
  (if (i64.eqz (call $host_call (i32.const {Op.BIND}) (local.get 0))) (then (return (i32.const 0))))
  (call_indirect $t (type $give) (local.get 0) (local.get 1) (local.get 2)
    (i32.add (i32.shl (local.get 0) (i32.const 1)) (i32.const 1))))
(func $fetch_none (type $fetch) (i32.const 0))
(func $give_none (type $give) (i32.const {_NO_MEMORY}))
(func (export "wasmscope_guest") (param i32 i64) (result i32 i32) (local $number i32)
  (local.set $number (call $c_guest (local.get 0) (local.get 1)))
  (local.get $number)
  (if (result i32) (i32.lt_s (local.get $number) (i32.const 0))
    (then (i32.const 0)) (else (call $c_guest_address (local.get $number)))))
(func $wasmscope_open (export "wasmscope_open") (param $g i32) (result i32) (local $at i32)
  (local.set $at (i32.shl (local.get $g) (i32.const 1)))
  (if (i32.lt_u (table.size $t) (i32.add (local.get $at) (i32.const 2)))
    (then (if (i32.eq (i32.const -1) (table.grow $t (ref.null func) (i32.sub (i32.add (local.get $at) (i32.const 2))
      (table.size $t)))) (then (return (i32.const 0))))))
  (table.set $t (local.get $at) (ref.func $fetch_early))
  (table.set $t (i32.add (local.get $at) (i32.const 1)) (ref.func $give_early))
  (i32.const 1))
(func $wasmscope_close (export "wasmscope_close") (param $g i32)
  (table.set $t (i32.shl (local.get $g) (i32.const 1)) (ref.func $fetch_none))
  (table.set $t (i32.add (i32.shl (local.get $g) (i32.const 1)) (i32.const 1)) (ref.func $give_none)))
{roll}
{"".join(parts)})"""


def reader(memory: str, *, is_first: bool) -> str:
    """Give the module that reads and writes a guest's memory for the collector.

    It imports the guest's memory, the collector's, and for the first guest the table, where it takes its places; for
    others it exports what belongs there, ``fetch`` and ``give``.

    Args:
        memory: How wide the guest's addresses are, ``i32`` or ``i64``.
        is_first: Whether it is the first guest of its store.
    """
    pages, address = "(memory.size $guest)", "(local.get 1)"
    if memory == "i32":
        pages, address = f"(i64.extend_i32_u {pages})", f"(i32.wrap_i64 {address})"
    size = f"(i64.shl {pages} (i64.const 16))"
    # No sum: it could wrap.
    is_inside = "(i32.and (i64.le_u {0} (local.get $size)) (i64.le_u (local.get 1) (i64.sub (local.get $size) {0})))"
    words = "\n".join(
        f"(i64.store $guest offset={at} {address} (i64.load $m offset={at} (local.get 2)))"
        for at in range(0, _CONTEXT_BYTES, 8)
    )
    place = (
        f'(import "collector" "{TABLE}" (table $t 2 funcref)) (elem (i32.const 0) func $fetch $give)'
        if is_first
        else ""
    )
    return f"""(module
(import "guest" "memory" (memory $guest {"i64" if memory == "i64" else ""} 0))
(import "collector" "memory" (memory $m 0))
{place}
(func $fetch (export "fetch") {_FETCH} (local $size i64) (local $wanted i32) (local $to i32)
  (local.set $size {size})
  (if (i32.eqz {is_inside.format("(local.get 2)")}) (then (return (i32.const 0))))
  (if (local.tee $wanted (i32.wrap_i64 (local.get 3))) (then
    (local.set $to (i32.wrap_i64 (i64.shr_u (local.get 3) (i64.const 32))))
    (memory.copy $m $guest (local.get $to) {address} (local.get $wanted))))
  (i32.const 1))
(func $give (export "give") {_GIVE} (local $size i64)
  (local.set $size {size})
  (if (i32.eqz {is_inside.format(f"(i64.const {_CONTEXT_BYTES})")}) (then (return (i32.const 0))))
  {words}
  (i32.const 1)))"""


def trampolines(*, memory64: bool) -> str:
    """Give the module whose exports a further guest of a store imports.

    It imports ``host.call`` and those of the collector's functions that are for any guest (`FURTHER`), and exports
    ``guest``, the number that it gives them, a function that returns references to the others (`ROLL`), and those, the
    functions of `NAMES`.

    Args:
        memory64: Whether the guest's addresses are 64 bits wide.
    """
    wide = "i64" if memory64 else "i32"
    imports: list[str] = []
    parts: list[str] = []
    for name in NAMES:
        signature = FUNCTIONS[name]
        args: list[str] = []
        for index, kind in enumerate(signature.params):
            args.append(
                f"(i64.extend_i32_u (local.get {index}))" if kind == "p" and wide == "i32" else f"(local.get {index})"
            )
        body = f"(call ${name} (global.get $guest) {' '.join(args)})"
        if name in FURTHER:
            kind = _params("i" + signature.params) + _result(name)
            imports.append(f'(import "collector" "{name}" (func ${name} {kind}))')
        elif name == "flush":
            body = f"(drop (call $host (i32.const {Op.FLUSH}) (global.get $guest)))"
        else:
            body = f"(i32.const {VERSION})"
        parts.append(f'(func $own_{name} (export "{name}") {_params(signature.params, wide)}{_result(name)} {body})')
    return (
        '(module (import "host" "call" (func $host (param i32 i32) (result i64)))\n'
        f"{' '.join(imports)}\n"
        '(global $guest (export "guest") (mut i32) (i32.const 0))\n'
        f'(func (export "{ROLL}") (result {"funcref " * len(NAMES)})'
        f" {' '.join(f'(ref.func $own_{name})' for name in NAMES)})\n" + "\n".join(parts) + ")"
    )


def first_name(name: str, *, memory64: bool) -> str:
    """Give the export of an ABI function for the first guest.

    Args:
        name: The function.
        memory64: Whether the guest's addresses are 64 bits wide.
    """
    return f"wasmscope_{'' if _is_alike(name) else '64_' if memory64 else '32_'}{name}"


def _is_alike(name: str) -> bool:
    """Whether a function has the same type for both widths."""
    return "p" not in FUNCTIONS[name].params


def _control(outline: Outline, offset: int) -> str:
    return f"(i32.load offset={outline.constants['control'] + offset} (i32.const 0))"


def _first64(name: str) -> str:
    args = " ".join(f"(local.get {index})" for index in range(len(FUNCTIONS[name].params)))
    kind = _params(FUNCTIONS[name].params) + _result(name)
    label = first_name(name, memory64=True)
    return f'(func ${label} (export "{label}") {kind} (call $further_{name} (i32.const 0) {args}))\n'


class _Writer:
    """Writes one of the ABI's functions."""

    def __init__(self, outline: Outline, name: str, wide: str) -> None:
        self._outline = outline
        self._name = name
        self._wide = wide
        self._signature = FUNCTIONS[name]
        self._ranges = _RANGES.get(name, ())
        self._pairs = [at for at, kind in enumerate(self._signature.params) if kind == "p"][::2]
        self._guest = "(i32.const 0)"
        self._slot = "(i32.const {})"
        self._shift = 0

    def first(self, name: str) -> str:
        """Write it for the guest whose number is 0."""
        return self._function(f'${name} (export "{name}")', _params(self._signature.params, self._wide))

    def further(self, label: str) -> str:
        """Write it for any guest, whose number is the first parameter."""
        self._guest = "(local.get 0)"
        self._slot = "(i32.add (i32.shl (local.get 0) (i32.const 1)) (i32.const {}))"
        self._shift = 1
        return self._function(label, _params("i" + self._signature.params))

    def _function(self, label: str, params: str) -> str:
        name = self._name
        head = f"(func {label} {params}{_result(name)}"
        if name == "abi_version":
            return f"{head} (i32.const {VERSION}))\n"
        if name == "flush":
            return f"{head} (drop (call $host_call (i32.const {Op.FLUSH}) {self._guest})))\n"
        numbers = range(len(self._ranges))
        names = [f"{letter}{i} i64" for i in numbers for letter in "nw"]
        local = "".join(f" (local ${n})" for n in (*names, "sum i64", "at i64", "to i32", "found i64"))
        neutral = f"({_WASM[self._signature.result]}.const 0)" if self._signature.result else ""
        idle = _control(self._outline, Control.IDLE)
        check = f"(if {idle} (then) (else (if (i32.eqz (call $heal)) (then (return {neutral})))))"
        if name in _IN_PYTHON:
            body = self._slow()
        elif name == "span_context":
            body = self._span_context()
        else:
            body = self._before() + self._fetch() + self._call()
        return f"{head}{local}\n{check}\n{body})\n"

    def _arg(self, index: int) -> str:
        return f"(local.get {index + self._shift})"

    def _p(self, index: int) -> str:
        """Give an address or length that the guest passed, as i64."""
        return self._arg(index) if self._wide == "i64" else f"(i64.extend_i32_u {self._arg(index)})"

    def _limit(self, offset: int) -> str:
        return f"(i64.load32_u offset={self._outline.constants['control'] + offset} (i32.const 0))"

    def _before(self) -> str:
        """Ask the collector whether there is anything to do."""
        if self._name == "span_start":
            args = f"{self._guest} {self._arg(0)} {self._arg(3)} {self._arg(4)}"
            return (
                f"(local.set $found (call $c_span_prepare {args}))\n"
                "(if (i64.ne (local.get $found) (i64.const -1)) (then (return (local.get $found))))\n"
            )
        target = _TARGETS.get(self._name)
        if target is None:
            return ""
        return (
            f"(local.set $to (call $c_{target} {self._guest} {self._arg(0)}))\n"
            f"(if (i32.ne (local.get $to) (i32.const 1)) (then"
            f" (if (i32.eq (local.get $to) (i32.const 2)) (then {self._slow()}))"
            " (return)))\n"
        )

    def _slow(self) -> str:
        """Hand a call on to Python, arguments and all."""
        stores: list[str] = []
        for index, kind in enumerate(self._signature.params):
            value = self._p(index) if kind == "p" else self._arg(index)
            if kind == "i":
                value = f"(i64.extend_i32_u {value})"
            at = self._outline.constants["args"] + 8 * index
            stores.append(f"(i64.store offset={at} (i32.const 0) {value})")
        call = f"(call $host_call (i32.const {Op.SLOW + NAMES.index(self._name)}) {self._guest})"
        wrap = {"": f"(drop {call})", "i": f"(i32.wrap_i64 {call})", "l": call}
        return "\n".join((*stores, wrap[self._signature.result]))

    def _span_context(self) -> str:
        where = _control(self._outline, Control.SCRATCH_POINTER)
        slot = self._slot.format(1)
        none, outside = (REASONS.index(reason) for reason in ("no_memory", "out_of_bounds"))
        reason = f"(select (i32.const {none}) (i32.const {outside}) (local.get $to))"
        return (
            f"(if (i32.eqz (call $c_span_context {self._guest} {self._arg(0)})) (then (return (i32.const 0))))\n"
            f"(local.set $to (call_indirect $t (type $give) {self._guest} {self._p(1)} {where} {slot}))\n"
            "(if (i32.eq (local.get $to) (i32.const 1)) (then (return (i32.const 1))))\n"
            f"(call $c_reject {self._guest} {reason}) (i32.const 0)"
        )

    def _fetch_one(self, index: int, what: str) -> str:
        at, slot = self._pairs[index], self._slot.format(0)
        return f"(call_indirect $t (type $fetch) {self._guest} {self._p(at)} (local.get $n{index}) {what} {slot})"

    def _fetch(self) -> str:
        """Have what is wanted of the ranges copied, one behind the other; what is not there gets the length -1."""
        if not self._ranges:
            return ""
        parts: list[str] = []
        numbers = range(len(self._ranges))
        for i, what in enumerate(self._ranges):
            limit = self._limit(_LIMITS[what])
            n, most = f"(local.get $n{i})", "(i64.const 0)" if what in _WHOLES else f"(i64.add {limit} (i64.const 1))"
            parts.append(f"(local.set $n{i} {self._p(self._pairs[i] + 1)})\n")
            parts.append(f"(local.set $w{i} (select {n} {most} (i64.le_u {n} {limit})))\n")
        total = _sum([f"(local.get $w{i})" for i in numbers])
        # Too much for the scratch area, be it there or not: then only what is there counts.
        there = _sum([self._is_there(i) for i in numbers])
        none = "".join(f"(local.set $n{i} (i64.const -2))" for i in numbers)
        no_room = (
            "(if (result i32) (i64.le_u (local.get $sum) (i64.const 0x7fffffff))"
            " (then (i32.eqz (call $c_reserve (i32.wrap_i64 (local.get $sum))))) (else (i32.const 1)))"
        )
        capacity = self._limit(Control.SCRATCH_CAPACITY)
        parts.append(
            f"(block $ready (if (i64.gt_u {total} {capacity}) (then (local.set $sum {there})\n"
            f"(if (i64.gt_u (local.get $sum) {capacity}) (then (if {no_room} (then {none} (br $ready)))))))\n"
            f"(local.set $at (i64.shl {self._limit(Control.SCRATCH_POINTER)} (i64.const 32)))\n"
        )
        for i, what in enumerate(self._ranges):
            n = f"(local.get $n{i})"
            wanted = f"(local.get $w{i})"
            fetch = self._fetch_one(i, f"(i64.or (local.get $at) {wanted})")
            move = f"(local.set $at (i64.add (local.get $at) (i64.shl {wanted} (i64.const 32))))"
            if i + 1 == len(self._ranges):
                move = ""
            fetched = f"(if {fetch} (then {move}) (else (local.set $n{i} (i64.const -1))))"
            if what in _WHOLES:
                # Lengths are signed for the collector.
                longest = f"(i64.const {_LONGEST:#x})"
                clamp = f"(if (i64.lt_s {n} (i64.const 0)) (then (local.set $n{i} {longest})))"
                is_too_long = f"(i64.gt_u {n} {self._limit(_LIMITS[what])})"
                fetched = f"(if {is_too_long} (then {clamp}) (else {fetched}))"
            # The address of nothing may be any.
            parts.append(f"(if (i64.eqz {n}) (then) (else {fetched}))\n")
        parts.append(")\n")
        return "".join(parts)

    def _is_there(self, index: int) -> str:
        """Give how much is wanted of a range, or 0 if it is not all there."""
        wanted = f"(local.get $w{index})"
        fetch = self._fetch_one(index, "(i64.const 0)")
        # Nothing is wanted of what is empty or too long, wherever it is.
        return (
            f"(if (result i64) (i64.eqz {wanted}) (then (i64.const 0)) (else (select {wanted} (i64.const 0) {fetch})))"
        )

    def _call(self) -> str:
        args = [self._guest]
        lengths = 0
        params = self._signature.params
        at = 0
        while at < len(params):
            if params[at] == "p":
                args.append(f"(local.get $n{lengths})")
                lengths += 1
                at += 2
            else:
                args.append(self._arg(at))
                at += 1
        return f"(call $c_{self._name} {' '.join(args)})"


def _sum(terms: list[str]) -> str:
    total = terms[0]
    for term in terms[1:]:
        total = f"(i64.add {total} {term})"
    return total
