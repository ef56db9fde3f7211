"""What a guest's telemetry calls cost, beside a naive bridge and beside OpenTelemetry's SDK alone."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import wasmtime
from _growth import growth_by_attributes, growth_by_instances, growth_by_open_spans
from _report import Bound, Figure, Report, arguments
from _subjects import Bench, alone
from _timing import Timed, time_together

_LOG = Bound(most=1.2, ratio=8)
# Not beside the naive one: that reads no memory either, and has nothing to be slow with.
_MEASURE = Bound(most=0.8)

# Export of the guest, what it does, and the bound that it has to keep without the SDK.
_OPERATIONS: tuple[tuple[str, str, Bound | None], ...] = (
    ("log", "log: 48 bytes, 2 attributes, the same each time", _LOG),
    ("log_varying", "log: 48 bytes, 2 attributes, other values each time", None),
    ("log_site", "log from a call site: 2 fields, the same each time", None),
    ("log_site_varying", "log from a call site: 2 fields, other values each time", None),
    ("measure_i64", "measure_i64", _MEASURE),
    ("measure_f64", "measure_f64", _MEASURE),
    ("span", "span: start, end", None),
    ("span_attributes", "span: start with 4 attributes, end", None),
    ("enter_exit", "span: enter, exit", None),
    ("enabled", "enabled", None),
)


def without_sdk(report: Report) -> None:
    """The bridge itself: OpenTelemetry's API does nothing."""
    bench = Bench(sdk=False)
    functions: dict[str, Callable[[int], object]] = {}
    empty: dict[str, Callable[[int], object]] = {}
    idle = bench.our_call("loop")
    for export, _, _ in _OPERATIONS:
        for who, call in (("ours", bench.our_call(export)), ("naive", bench.naive_call(export))):
            functions[f"{who} {export}"] = call
            empty[f"{who} {export}"] = idle
    without_guest = alone(bench.providers)
    for export in without_guest:
        functions[f"api {export}"] = without_guest[export]
        empty[f"api {export}"] = _python_loop
    timed = time_together(functions, empty=empty, repeats=30)
    report.title("The bridge without the SDK (the API's providers that do nothing), beside a naive one")
    for export, title, bound in _OPERATIONS:
        ours, naive = timed[f"ours {export}"], timed[f"naive {export}"]
        report.add(Figure(f"bridge, {title}", ours.least_us, "us", "Linker.define_func", naive.least_us, bound))
    for export in ("log", "measure_i64", "span"):
        report.add(Figure(f"of that, the API's own call: {export}", timed[f"api {export}"].least_us, "us"))
    _say_how_quiet(report, timed)
    bench.close()


def with_sdk(report: Report) -> None:
    """The bridge and the SDK, with each delivery that ends in it, beside the SDK called from Python."""
    bench, in_bulk = Bench(sdk=True), Bench(sdk=True, delivery="sdk")
    exports = [export for export, _, _ in _OPERATIONS]
    without_guest = {export: function for export, function in alone(bench.providers).items() if export in exports}
    functions: dict[str, Callable[[int], object]] = {}
    empty: dict[str, Callable[[int], object]] = {}
    for export in without_guest:
        for who, which in (("live", bench), ("bulk", in_bulk)):
            functions[f"{who} {export}"] = which.our_call(export)
            empty[f"{who} {export}"] = which.our_call("loop")
        functions[f"sdk {export}"] = without_guest[export]
        empty[f"sdk {export}"] = _python_loop

    def throw_away() -> None:
        bench.providers.empty()
        in_bulk.providers.empty()

    timed = time_together(functions, empty=empty, after=throw_away, repeats=15, most=2_000)
    report.title("With the SDK (batch processors, export not counted), beside the SDK called from Python")
    for export, title, _ in _OPERATIONS:
        if export in without_guest:
            alone_us = timed[f"sdk {export}"].least_us
            for who, delivery in (("live", "live"), ("bulk", "sdk")):
                ours = timed[f"{who} {export}"].least_us
                report.add(Figure(f"delivery {delivery}, {title}", ours, "us", "SDK alone", alone_us))
    _say_how_quiet(report, timed)
    bench.close()
    in_bulk.close()


def _say_how_quiet(report: Report, timed: dict[str, Timed]) -> None:
    spread = sorted(t.median_us / t.least_us for t in timed.values())
    report.note(
        f"Thread CPU time per operation, the least of interleaved runs; "
        f"medians are {spread[0]:.2f} to {spread[-1]:.2f} times that."
    )


def _python_loop(count: int) -> None:
    for _ in range(count):
        pass


def calls(report: Report) -> None:
    """Calls from the host, and making instances."""
    report.title("Calls from the host, and instances")
    for sdk in (False, True):
        bench = Bench(sdk=sdk)
        which = "with the SDK" if sdk else "bridge"
        instance, plain = bench.ours, bench.naive_call("nothing")
        store = bench.store
        export = instance.exports(store)["nothing"]
        assert isinstance(export, wasmtime.Func)

        def ours(count: int, export: wasmtime.Func = export, store: wasmtime.Store = store) -> None:
            for _ in range(count):
                export(store)

        def theirs(count: int, plain: Callable[[], Any] = plain) -> None:
            for _ in range(count):
                plain()

        def instantiate(count: int, bench: Bench = bench) -> None:
            for _ in range(count):
                store = wasmtime.Store(bench.engine)
                instance = bench.bridge.instantiate(bench.linker, store, bench.module, name="bench")
                instance.exports(store)
                instance.close()
                store.close()

        def link(count: int, bench: Bench = bench) -> None:
            for _ in range(count):
                store = wasmtime.Store(bench.engine)
                bench.naive.linker.instantiate(store, bench.module).exports(store)
                store.close()

        timed = time_together(
            {"ours": ours, "theirs": theirs, "instantiate": instantiate, "link": link},
            empty={"ours": _python_loop, "theirs": _python_loop},
            after=bench.providers.empty,
            repeats=15,
            most=2_000,
        )
        report.add(
            Figure(
                f"{which}, call of an empty export",
                timed["ours"].least_us,
                "us",
                "wasmtime.Func.__call__",
                timed["theirs"].least_us,
            )
        )
        if not sdk:
            report.add(
                Figure(
                    f"{which}, store, instance with 11 imports and 17 exports, end",
                    timed["instantiate"].least_us,
                    "us",
                    "Linker.instantiate",
                    timed["link"].least_us,
                )
            )
        _say_how_quiet(report, timed)
        bench.close()


def conditions(report: Report) -> None:
    """Say what the figures depend on."""
    report.note(
        f"Python {platform.python_version()}, wasmtime {version('wasmtime')}, "
        f"OpenTelemetry {version('opentelemetry-sdk')}, {platform.system()} {platform.machine()}"
    )


def main() -> None:
    """Run all."""
    with arguments(__doc__ or "") as report:
        conditions(report)
        without_sdk(report)
        with_sdk(report)
        calls(report)
        growth_by_instances(report)
        growth_by_open_spans(report)
        growth_by_attributes(report)


if __name__ == "__main__":
    main()
