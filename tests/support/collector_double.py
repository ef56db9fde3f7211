"""A stand-in for the collector that writes down how it is called, to test what calls it.

It has the functions and the control block that the collector's interface names and none of its behaviour: each
function notes its number and its arguments, and returns what the test has put into `RESULTS`.
"""

from __future__ import annotations

import functools
import struct

import wasmtime

CONTROL = 1_024
ARGS = 2_048
RESULTS = 3_072
CALLS = 8_192
SCRATCH = 65_536
SCRATCH_BYTES = 1_024
ROOM = 131_072
"""So much `reserve` gives."""
BLOCK = 4_096
START = 5
STACK_POINTER = 61_440
ENTRY = 128
"""Size of a noted call: its number, the scratch area, how many arguments, a 1, then the arguments."""

# As the interface says; written down here and not taken from the code that is tested.
FUNCTIONS = {
    "init": ("llllii", "i"),
    "ready": ("l", "i"),
    "guest": ("il", "i"),
    "guest_address": ("i", "i"),
    "set_memory": ("ii", ""),
    "recover": ("", ""),
    "reserve": ("i", "i"),
    "reject": ("ii", ""),
    "callsite": ("il", "i"),
    "enabled": ("ii", "i"),
    "log": ("iiilll", ""),
    "span_prepare": ("iili", "l"),
    "span_start": ("iillil", "l"),
    "span_enter": ("il", ""),
    "span_exit": ("il", ""),
    "span_end": ("il", ""),
    "target": ("il", "i"),
    "span_attributes": ("ill", ""),
    "span_event": ("illl", ""),
    "span_link": ("illl", ""),
    "span_status": ("ilil", ""),
    "span_rename": ("ill", ""),
    "exception_target": ("il", "i"),
    "exception": ("illlll", ""),
    "span_context": ("il", "i"),
    "instrument": ("iiil", "i"),
    "attribute_set": ("il", "i"),
    "measure_i64": ("iili", ""),
    "measure_f64": ("iidi", ""),
}
NAMES = tuple(FUNCTIONS)
_WASM = {"i": "i32", "l": "i64", "d": "f64"}
_AS_I64 = {"i": "(i64.extend_i32_u {})", "l": "{}", "d": "(i64.reinterpret_f64 {})"}


@functools.cache
def double(*, notes: bool = True, traps: str = "") -> bytes:
    """Make the module.

    Args:
        notes: Whether it notes calls; if not, it does as little as can be, for measurements.
        traps: A function that traps, leaving itself busy and its stack used.
    """
    functions: list[str] = []
    for number, (name, (params, result)) in enumerate(FUNCTIONS.items()):
        kind = "".join(f"(param {_WASM[p]})" for p in params) + (f"(result {_WASM[result]})" if result else "")
        body = ""
        if notes:
            body = f"(call $note (i32.const {number}) (i32.const {len(params)}))"
            for index, p in enumerate(params):
                value = _AS_I64[p].format(f"(local.get {index})")
                body += f"(i64.store offset={16 + 8 * index} (global.get $last) {value})"
        if name == traps:
            body += f"(i32.store (i32.const {CONTROL}) (i32.const 0))(global.set $sp (i32.const 16)) unreachable"
        if name == "reserve":
            body += (
                f"(if (i32.gt_u (local.get 0) (i32.const {ROOM})) (then (return (i32.const 0))))"
                f"(i32.store (i32.const {CONTROL + 180}) (i32.const {ROOM})) (i32.const 1)"
            )
        elif name == "init":
            body += f"(i32.const {BLOCK})"
        elif name == "ready":
            body += f"(i32.store (i32.const {CONTROL}) (i32.const 1)) (global.set $ready (i32.const 1)) (i32.const 1)"
        elif name == "recover":
            # Before it is ready, it asks the host to begin; that is no call to be noted.
            ask = f"(drop (call $host (i32.const {START}) (i32.const 0))) (return)"
            body = f"(if (i32.eqz (global.get $ready)) (then {ask})) {body}"
            body += f"(i32.store (i32.const {CONTROL}) (i32.const 1))"
        elif name == "guest":
            # The first comes with `init`.
            body += "(global.get $guests) (global.set $guests (i32.add (global.get $guests) (i32.const 1)))"
        elif name == "guest_address":
            body += f"(i32.const {BLOCK})"
        elif result:
            body += f"({_WASM[result]}.load (i32.const {RESULTS + 8 * number}))"
        functions.append(f'(func (export "{name}") {kind} {body})')
    scratch = "".join(f"\\{byte:02x}" for byte in struct.pack("<II", SCRATCH, SCRATCH_BYTES))
    text = f"""(module
 (import "host" "call" (func $host (param i32 i32) (result i64)))
 (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
 (memory (export "memory") 4)
 (global $sp (export "__stack_pointer") (mut i32) (i32.const {STACK_POINTER}))
 (global $guests (mut i32) (i32.const 1))
 (global $ready (mut i32) (i32.const 0))
 (global $last (mut i32) (i32.const {CALLS - ENTRY}))
 (func $note (param i32 i32)
   (global.set $last (i32.add (global.get $last) (i32.const {ENTRY})))
   (i32.store (global.get $last) (local.get 0))
   (i32.store offset=4 (global.get $last) (i32.load (i32.const {CONTROL + 176})))
   (i32.store offset=8 (global.get $last) (local.get 1)) (i32.store offset=12 (global.get $last) (i32.const 1)))
 (func (export "control") (result i32) (i32.const {CONTROL}))
 (func (export "args") (result i32) (i32.const {ARGS}))
 (func (export "now") (result i64)
   (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 0))) (i64.load (i32.const 0)))
 (func (export "ask") (param i32 i32) (result i64) (call $host (local.get 0) (local.get 1)))
 (func (export "spin") (loop $l (br $l)))
 (data (i32.const {CONTROL + 176}) "{scratch}")
 {"".join(functions)})"""
    return bytes(wasmtime.wat2wasm(text))
