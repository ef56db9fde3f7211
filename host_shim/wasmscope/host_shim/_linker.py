"""A linker whose host functions the bridge knows of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import wasmtime

__all__ = ["BridgeLinker"]


class KnowsHostFunctions(Protocol):
    """What a linker asks of a bridge."""

    def host_function(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a host function so that the bridge knows of it."""
        ...


class BridgeLinker(wasmtime.Linker):
    """A `wasmtime.Linker` whose host functions all go through `Bridge.host_function`."""

    def __init__(self, bridge: KnowsHostFunctions, engine: wasmtime.Engine) -> None:
        """Make a linker; `Bridge.linker` does.

        Args:
            bridge: The bridge.
            engine: The engine.
        """
        super().__init__(engine)
        self._bridge = bridge

    def define_func(
        self,
        module: str,
        name: str,
        ty: wasmtime.FuncType,
        func: Callable[..., Any],
        access_caller: bool = False,
    ) -> None:
        """Define a host function, as `wasmtime.Linker.define_func` does."""
        super().define_func(module, name, ty, self._bridge.host_function(func), access_caller)
