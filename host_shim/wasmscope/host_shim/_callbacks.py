"""Python functions behind the ABI's host functions.

They are generated, one for each function of the ABI and way of being called, because there is no room for a generic
one: unpacking by a loop costs more than the record itself. What they do is always the same: find the guest, read the
arguments, call the method, charge the time, and let nothing out.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from time import perf_counter
from typing import Any, Final

from wasmscope.host_shim._abi import Signature
from wasmscope.host_shim._clock import SLOW_S
from wasmscope.host_shim._guest import Guest
from wasmscope.host_shim._shield import shielded

__all__ = ["public_callback", "raw_callback"]

# What one value is in a slot of 16 bytes, by its type in `Signature`. The upper bytes of a slot that holds an i32 mean
# nothing.
_SLOTS: Final = {"i": "I12x", "l": "q8x", "d": "d8x"}

_RAW = """
def {name}(env, caller, at):
    try:
        started = clock()
        try:
            guest = guests[{key}]
        except KeyError:
            guest = arriving({key}, caller)
        {fetch}
        {call}
        duration = clock() - started
        stretch = guest.stretch
        if stretch is None:
            guest.charge(duration)
        elif duration < slow:
            stretch.telemetry_s += duration
        else:
            stretch.charge(duration)
        return 0
    except BaseException as error:
        # A signal may arrive here, too.
        try:
            {zero}
            failed({key}, error)
        except BaseException:
            pass
        return 0
"""

_PUBLIC = """
def {name}({params}):
    started = clock()
    try:
        return guest.{name}({args})
    except BaseException as error:
        guest.failed(error)
        return {zero}
    finally:
        guest.charge(clock() - started)
"""


def raw_callback(
    name: str,
    signature: Signature,
    *,
    memory64: bool,
    space: memoryview,
    guests: dict[int, Guest],
    arriving: Callable[[int, int], Guest],
    failed: Callable[[int, BaseException], None],
    context_of: Callable[[int], int] | None = None,
) -> Callable[[int, int, int], int]:
    """Make the function behind an unchecked callback.

    Args:
        name: Name of the ABI function, and of the `Guest` method.
        signature: Its type.
        memory64: Whether addresses are 64 bits wide.
        space: The address space, as a buffer: arguments are read and results written where they lie.
        guests: The guests by key.
        arriving: Finds the guest of a key that is not among them yet, given the caller.
        failed: Is told what was raised, with the key.
        context_of: Gives the key for a caller; None if the callback's environment is the key.
    """
    slots = _SLOTS | {"p": "Q8x" if memory64 else "I12x"}
    args = ", ".join(f"a{index}" for index in range(len(signature.params)))
    call = f"guest.{name}({args})"
    source = _RAW.format(
        name=name,
        key="env" if context_of is None else "context_of(caller)",
        fetch=f"{args}, = unpack(space, at)" if args else "pass",
        call=f"pack(space, at, {call})" if signature.result else call,
        zero="pack(space, at, 0)" if signature.result else "pass",
    )
    scope: dict[str, Any] = {
        "clock": perf_counter,
        "guests": guests,
        "arriving": arriving,
        "failed": failed,
        "context_of": context_of,
        "space": space,
        "unpack": Struct("<" + "".join(slots[kind] for kind in signature.params)).unpack_from,
        # Also of an i32: only its four bytes are looked at.
        "pack": Struct("<q").pack_into,
        "slow": SLOW_S,
    }
    exec(source, scope)
    function: Callable[[int, int, int], int] = scope[name]
    return shielded(function)


def public_callback(name: str, signature: Signature, *, memory64: bool) -> Callable[..., Any]:
    """Make the function for wasmtime's public API, which passes Python numbers.

    Args:
        name: Name of the ABI function, and of the `Guest` method.
        signature: Its type.
        memory64: Whether addresses are 64 bits wide.

    Returns:
        A function of the guest and the numbers.
    """
    params = [f"v{index}" for index in range(len(signature.params))]
    args: list[str] = []
    for param, kind in zip(params, signature.params, strict=True):
        wide = kind == "p" and memory64
        mask = "0xFFFFFFFFFFFFFFFF" if wide else "0xFFFFFFFF"
        args.append(param if kind in "ld" else f"{param} & {mask}")
    source = _PUBLIC.format(
        name=name,
        params=", ".join(["guest", *params]),
        args=", ".join(args),
        zero="0" if signature.result else "None",
    )
    scope: dict[str, Any] = {"clock": perf_counter}
    exec(source, scope)
    function: Callable[..., Any] = scope[name]
    return function
