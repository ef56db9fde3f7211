"""Modules with very many imports: a compiler writes each once, but nothing keeps a hostile one from repeating them."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from time import perf_counter

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

    def test_others_meanwhile(self, telemetry: Telemetry) -> None:
        """Other threads can use the bridge while it looks at such a module."""
        bridge = telemetry.bridge(delivery="sdk")
        hostile = module(wasmtime.Engine(), 30_000)
        looking = threading.Thread(target=bridge.check, args=(hostile, "guest"))
        started = now = perf_counter()
        longest = 0.0

        looking.start()
        while looking.is_alive():
            before, _ = now, bridge.usage()
            now = perf_counter()
            longest = max(longest, now - before)
        looking.join()

        assert longest < (now - started) / 2
