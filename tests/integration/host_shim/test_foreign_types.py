from __future__ import annotations

import pytest
import wasmtime

from wasmscope.errors import AbiError
from wasmscope.host_shim import Bridge, GuestInstance

TYPES = ["v128", "anyref", "externref", "funcref", "exnref", "(ref func)", "(ref null $t)"]


def instantiate(text: str) -> GuestInstance:
    engine = wasmtime.Engine()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    with Bridge() as bridge:
        return bridge.instantiate(linker, wasmtime.Store(engine), wasmtime.Module(engine, text), name="guest")


@pytest.mark.parametrize("kind", TYPES)
class TestForeignTypes:
    """wasmtime's C API ends the process when it is asked for the kind of some types; no module may make us ask."""

    def test_in_the_abi(self, kind: str) -> None:
        """An ABI function with a parameter of a type that the ABI does not have is refused."""
        with pytest.raises(AbiError, match=r"wasmscope_v1\.log"):
            instantiate(f'(module (type $t (func)) (import "wasmscope_v1" "log" (func (param {kind}))))')

    @pytest.mark.parametrize("name", ["wasi_snapshot_preview1.fd_write", "env.abort", "env.seed"])
    def test_in_what_is_watched(self, kind: str, name: str) -> None:
        """Functions of WASI and AssemblyScript with other types are left to the linker, which does not have them."""
        module, _, field = name.partition(".")
        text = f'(module (type $t (func)) (import "{module}" "{field}" (func (param {kind}))))'

        with pytest.raises(Exception, match="import"):
            instantiate(text)

    def test_in_an_export(self, kind: str) -> None:
        """A module may export functions of such types; others of it can be called."""
        other = '(func (export "g") (result i32) i32.const 7)'
        instance = instantiate(f'(module (type $t (func)) (func (export "f") (param {kind})) {other})')

        assert instance.call("g") == 7

    def test_called(self, kind: str) -> None:
        """Calling such an export without the argument is an error like any other."""
        engine = wasmtime.Engine()
        store = wasmtime.Store(engine)
        module = wasmtime.Module(engine, f'(module (type $t (func)) (func (export "f") (param {kind})))')
        with Bridge() as bridge:
            instance = bridge.instantiate(wasmtime.Linker(engine), store, module, name="guest")

            with pytest.raises(wasmtime.WasmtimeError, match="parameters"):
                instance.call("f")
