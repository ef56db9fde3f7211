"""Shielded functions keep in what a signal's handler raises before their first line."""

from __future__ import annotations

import _thread
import signal
from collections.abc import Callable, Iterator
from functools import partial
from operator import call
from types import FrameType
from typing import Any

import pytest

from tests.support.abi import functions
from wasmscope.host_shim._abi import Signature
from wasmscope.host_shim._callbacks import raw_callback
from wasmscope.host_shim._shield import is_from_a_signal, shielded


class LateError(Exception):
    """What the handler raises."""


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise LateError

    before = signal.signal(signal.SIGUSR1, ring)
    yield
    signal.signal(signal.SIGUSR1, before)


def struck(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function from C where a signal has just arrived: Python's next instruction is the function's first."""
    arrive = partial(_thread.interrupt_main, signal.SIGUSR1)
    return list(map(call, [arrive, partial(function, *args)]))[1]


Told = list[BaseException]
Function = Callable[[Told], str]


def plain() -> Callable[..., str]:
    def function(told: Told, wrong: bool = False) -> str:
        try:
            if wrong:
                raise LateError
            return "returned"
        except BaseException as error:
            told.append(error)
            return "caught"

    return function


def closure() -> Function:
    """One with variables of a function around it and of one within."""
    kind = BaseException

    def function(told: Told) -> str:
        try:
            size = len(told)
            return (lambda: f"returned {size}")()
        except kind as error:
            told.append(error)
            return "caught"

    return function


def large() -> Function:
    """One that is larger than numbers of six bits say, with other entries in its table."""
    lines = "\n".join(f"            told.extend([one for one in told if {n} in told])" for n in range(200))
    scope: dict[str, Any] = {}
    exec(
        f"""
def function(told):
    try:
        try:
{lines}
        except KeyError:
            pass
        return "returned"
    except BaseException as error:
        told.append(error)
        return "caught"
""",
        scope,
    )
    function: Function = scope["function"]
    return function


class TestStruckAtOnce:
    @pytest.mark.parametrize("make", [plain, closure, large])
    def test_without_the_shield(self, make: Callable[[], Function]) -> None:
        """A `try` that is a function's first statement does not cover its first instruction."""
        told: Told = []
        with pytest.raises(LateError):
            struck(make(), told)
        assert told == []

    @pytest.mark.parametrize("make", [plain, closure, large])
    def test_with_the_shield(self, make: Callable[[], Function]) -> None:
        """With the shield the same `try` catches it, whatever the code is like."""
        told: Told = []

        assert struck(shielded(make()), told) == "caught"
        assert [type(error) for error in told] == [LateError]
        assert is_from_a_signal(told[0])

    @pytest.mark.parametrize("memory64", [False, True])
    @pytest.mark.parametrize("name", sorted(functions()))
    def test_callbacks(self, name: str, memory64: bool) -> None:
        """The callback of each function of the ABI gives no trap and, as its result, zero; who is to know is told."""
        params, result = functions()[name]
        told: list[tuple[int, BaseException]] = []
        slots = bytearray(b"\xff" * 16 * max(len(params), 1))
        callback = raw_callback(
            name,
            Signature(params, result),
            memory64=memory64,
            space=memoryview(slots),
            guests={},
            arriving=lambda key, caller: pytest.fail("the callback has gone on"),
            failed=lambda key, error: told.append((key, error)),
        )

        assert struck(callback, 7, 8, 0) == 0
        assert [(key, type(error)) for key, error in told] == [(7, LateError)]
        assert is_from_a_signal(told[0][1])
        assert slots[:8] == (bytes(8) if result else b"\xff" * 8)


class TestNotStruck:
    def test_goes_on_as_before(self) -> None:
        """A shielded function returns what it returned, and what it raises itself is not taken for a signal's."""
        function = shielded(plain())
        told: Told = []

        assert function(told) == "returned"
        assert function(told, wrong=True) == "caught"
        assert not is_from_a_signal(told[0])
