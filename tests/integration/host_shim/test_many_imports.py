"""Modules with very many imports: a compiler writes each once, but nothing keeps a hostile one from repeating them."""

from __future__ import annotations

import gc
import tracemalloc

import wasmtime

from tests.support.telemetry import Telemetry


def leb(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))


def module(engine: wasmtime.Engine, count: int) -> wasmtime.Module:
    """Give a module that imports ``flush`` so many times."""
    types = b"\x01\x60\x00\x00"
    imports = leb(count) + b"\x0cwasmscope_v1\x05flush\x00\x00" * count
    sections = ((1, types), (2, imports))
    return wasmtime.Module(
        engine, b"\0asm\1\0\0\0" + b"".join(bytes([number]) + leb(len(raw)) + raw for number, raw in sections)
    )


class TestManyImports:
    def test_memory(self, telemetry: Telemetry) -> None:
        """What was noted of a module goes with it."""
        bridge = telemetry.bridge(delivery="sdk")
        engine = wasmtime.Engine()
        linker = bridge.linker(engine)

        def use(count: int) -> None:
            with wasmtime.Store(engine) as store:
                bridge.instantiate(linker, store, module(engine, count), name="guest").close()
            gc.collect()

        use(1)
        tracemalloc.start()
        try:
            for extra in range(3):
                use(10_000 + extra)
            kept_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert kept_bytes < 500_000
