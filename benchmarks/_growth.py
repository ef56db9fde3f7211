"""How cost and memory grow with instances, open spans and attributes."""

from __future__ import annotations

import functools
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from struct import pack
from typing import Any

import wasmtime
from _report import Figure, Report
from _subjects import Bench
from _timing import Timed, time_together

__all__ = ["growth_by_attributes", "growth_by_instances", "growth_by_open_spans", "rss_kb"]


def growth_by_instances(report: Report) -> None:
    """A log call in one of many instances, and what an instance takes."""
    report.title("What grows with instances (each in a store of its own; 20 logs a call, the call included; no SDK)")
    counts = (1, 10, 100, 1_000)
    rows: list[tuple[str, list[Figure | None]]] = []
    for count in counts:
        bench = Bench(sdk=False)
        rss, traced, kept = _memory_of(bench.instantiate, count)
        plain_rss, plain_traced, plain_kept = _memory_of(functools.partial(_plain, bench), count)
        calls = [functools.partial(instance.call, "log") for instance in kept]

        def each(times: int, calls: list[Any] = calls) -> None:
            # In turn, so that nothing stays warm that would not: 20 calls of `log` in each.
            for index in range(times // 20):
                calls[index % len(calls)](20)

        def one(times: int, calls: list[Any] = calls) -> None:
            for _ in range(times // 20):
                calls[0](20)

        timed = time_together({"each": each, "one": one}, repeats=15, most=20_000)
        at = f"{count:,} instances"
        # What few instances take is less than what the process grows and shrinks by anyway.
        rss_figure = Figure(f"RSS per instance, {at}", rss, "KB", "Linker.instantiate", plain_rss)
        rows.append(
            (
                f"{count:,}",
                [
                    Figure(f"log in one of {at}", timed["one"].least_us, "us"),
                    Figure(f"log in each of {at} in turn", timed["each"].least_us, "us"),
                    Figure(f"Python memory per instance, {at}", traced, "KB", "Linker.instantiate", plain_traced),
                    Figure(f"Python memory per plain instance, {at}", plain_traced, "KB"),
                    rss_figure if count >= 1_000 else None,
                    Figure(f"RSS per plain instance, {at}", plain_rss, "KB") if count >= 1_000 else None,
                ],
            )
        )
        del calls, kept, plain_kept
        bench.close()
    report.table(
        "instances",
        ["log in one, us", "in each, us", "Python KB each", "plain", "RSS KB each", "plain"],
        rows,
    )


def _plain(bench: Bench) -> object:
    """Make an instance as without the bridge."""
    store = wasmtime.Store(bench.engine)
    instance = bench.naive.linker.instantiate(store, bench.module)
    export = instance.exports(store)["prepare"]
    assert isinstance(export, wasmtime.Func)
    export(store)
    return store, instance


def _memory_of(make: Callable[[], Any], count: int) -> tuple[float, float, list[Any]]:
    """Make things: KB of RSS each, KB of Python memory each, and the things."""
    make()
    before = rss_kb()
    kept = [make() for _ in range(count)]
    rss = (rss_kb() - before) / count
    tracemalloc.start()
    start = tracemalloc.get_traced_memory()[0]
    traced = [make() for _ in range(min(count, 100))]
    size = (tracemalloc.get_traced_memory()[0] - start) / len(traced) / 1024
    tracemalloc.stop()
    return rss, size, kept


def rss_kb() -> float:
    """Give the memory of this process that is there, in KB (1,024 bytes)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def growth_by_open_spans(report: Report) -> None:
    """A span while many others are open, and what an open one takes."""
    report.title("What grows with open spans")
    rows: list[tuple[str, list[Figure | None]]] = []
    for count in (1, 100, 9_999):
        figures: list[Figure | None] = []
        for sdk in (False, True):
            which = "with the SDK" if sdk else "without the SDK"
            bench = Bench(sdk=sdk)
            tracemalloc.start()
            start = tracemalloc.get_traced_memory()[0]
            # `prepare` has opened one already.
            if count > 1:
                bench.ours.call("open", count - 1)
            size = (tracemalloc.get_traced_memory()[0] - start) / max(1, count - 1)
            tracemalloc.stop()
            timed = time_together(
                {"span": bench.our_call("span")},
                empty={"span": bench.our_call("loop")},
                after=bench.providers.empty,
                repeats=15,
                most=2_000,
            )
            figures.append(Figure(f"span, {count:,} open, {which}", timed["span"].least_us, "us"))
            figures.append(Figure(f"memory of each of {count:,} open, {which}", size, "B") if count > 1 else None)
            bench.close()
        rows.append((f"{count:,}", figures))
    report.table(
        "open spans",
        ["start+end without the SDK, us", "bytes each", "with the SDK, us", "bytes each"],
        rows,
    )


def growth_by_attributes(report: Report) -> None:
    """A log call with more and more attributes, half of them texts and half of them numbers."""
    report.title("What grows with attributes of a log")
    rows: list[tuple[str, list[Figure | None]]] = []
    lists = {count: _attribute_list(count) for count in (0, 1, 2, 4, 8, 16, 32)}
    columns = (("same", False), ("differing", False), ("same", True))
    timed: dict[tuple[int, str, bool], Timed] = {}
    for sdk in (False, True):
        bench = Bench(sdk=sdk)
        memory = bench.ours.exports(bench.store)["memory"]
        assert isinstance(memory, wasmtime.Memory)
        functions: dict[str, Callable[[int], object]] = {}
        for count, data in lists.items():
            functions[f"{count} same"] = functools.partial(_same, bench, memory, data)
            if not sdk:
                functions[f"{count} differing"] = functools.partial(_differing, bench, memory, data)
        found = time_together(
            functions,
            empty=dict.fromkeys(functions, bench.our_call("loop")),
            after=bench.providers.empty,
            repeats=15,
            most=2_000,
        )
        for name, figure in found.items():
            size, kind = name.split()
            timed[int(size), kind, sdk] = figure
        bench.close()
    for count in lists:
        rows.append(
            (
                str(count),
                [
                    Figure(
                        f"log, {count} attributes, {kind}, {'with' if sdk else 'without'} the SDK",
                        timed[count, kind, sdk].least_us,
                        "us",
                    )
                    for kind, sdk in columns
                ],
            )
        )
    report.table(
        "attributes", ["the same each time, us", "other values each time, us", "the same, with the SDK, us"], rows
    )


def _attribute_list(count: int) -> bytes:
    data = b""
    for index in range(count):
        key = f"attribute{index}".encode()
        value = b"\x01" + pack("<I", 8) + b"value %02d" % index if index % 2 else b"\x03" + pack("<q", index)
        data += pack("<H", len(key)) + key + value
    return data


def _same(bench: Bench, memory: wasmtime.Memory, data: bytes, count: int) -> None:
    memory.write(bench.store, data, 0x1000)
    bench.ours.call("log_list", count, len(data))


def _differing(bench: Bench, memory: wasmtime.Memory, data: bytes, count: int) -> None:
    memory.write(bench.store, data, 0x1000)
    bench.ours.call("log_list_varying", count, len(data))
