"""What the application catches when an AssemblyScript guest aborts."""

from __future__ import annotations

import pytest
import wasmtime

from tests.support.telemetry import Telemetry
from wasmscope.host_shim import Bridge

# "hi" in UTF-16LE behind its length in bytes.
ABORTING = r"""
(module
  (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "\04\00\00\00h\00i\00")
  (func (export "run") (call $abort (i32.const 20) (i32.const 0) (i32.const 1) (i32.const 2))))
"""


class TestAbort:
    def test_is_a_trap(self, bridge: Bridge, telemetry: Telemetry) -> None:
        """An abort that the bridge serves reaches the application as a trap, as one the guest made by itself would."""
        store = wasmtime.Store(wasmtime.Engine())
        module = wasmtime.Module(store.engine, ABORTING)
        instance = bridge.instantiate(wasmtime.Linker(store.engine), store, module, name="as")

        with pytest.raises(wasmtime.Trap, match="abort: hi"):
            instance.call("run")

        call = telemetry.span("wasm.call run")
        assert call.status.description == "abort: hi"
        assert [(event.attributes or {})["exception.message"] for event in call.events] == ["hi", "abort: hi"]
