"""Runs an ordinary WASI program that knows nothing of telemetry, and shows what it printed, where it belongs."""

from __future__ import annotations

import sys
from pathlib import Path

import wasmtime

from wasmscope.exporters import Recording, print_recording, providers_from_environment
from wasmscope.host_shim import Bridge

HERE = Path(__file__).parent


def main() -> int:
    recording = Recording()
    with providers_from_environment(recording=recording, service_name="wordcount") as providers:
        providers.make_global()

        engine = wasmtime.Engine()
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        wasi = wasmtime.WasiConfig()
        wasi.argv = ["wordcount", "9"]
        wasi.stdin_file = str(HERE / "input.txt")
        wasi.inherit_stdout()
        wasi.inherit_stderr()
        store = wasmtime.Store(engine)
        store.set_wasi(wasi)
        module = wasmtime.Module(engine, (HERE / "guest.wasm").read_bytes())

        instance = Bridge().instantiate(linker, store, module, name="wordcount")
        exit_code = 0
        try:
            instance.call("_start")
        except wasmtime.ExitTrap as exit_:
            exit_code = exit_.code

        print(f"\nThe program ended with exit code {exit_code}.\n")
        print_recording(recording)
        return exit_code


if __name__ == "__main__":
    sys.exit(main())
