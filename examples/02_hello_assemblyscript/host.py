"""Calls a guest that was written in AssemblyScript, and shows what it said."""

from __future__ import annotations

from pathlib import Path

import wasmtime

from wasmscope.exporters import Recording, print_recording, providers_from_environment
from wasmscope.host_shim import Bridge

GUEST = Path(__file__).with_name("guest.wasm")


def main() -> None:
    recording = Recording()
    with providers_from_environment(recording=recording, service_name="hello_assemblyscript") as providers:
        providers.make_global()

        engine = wasmtime.Engine()
        store = wasmtime.Store(engine)
        linker = wasmtime.Linker(engine)
        module = wasmtime.Module(engine, GUEST.read_bytes())

        bridge = Bridge()
        instance = bridge.instantiate(linker, store, module, name="hello", version="1.0")
        greeted = instance.call("hello", 4)

        print(f"{greeted} guests were greeted. This is what happened:\n")
        print_recording(recording)


if __name__ == "__main__":
    main()
