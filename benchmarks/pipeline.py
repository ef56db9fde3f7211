"""What it costs to turn a guest's telemetry into OTLP bytes, beside other pipelines that do the same."""

from __future__ import annotations

import functools
import platform
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version

import wasmtime
from _arrival import into_jaeger, into_receiver
from _naive import Naive
from _ours import WAT, LostRecordsError, Ours
from _peers import KINDS, Peer, PeerError
from _pipeline_growth import growth_by_instances, growth_by_open_spans, instances
from _report import Bound, Figure, Report, arguments
from _subjects import Providers, alone
from _timing import Timed, time_together
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

_PYTHON = f"OTel Python SDK {version('opentelemetry-sdk')}"
_NAIVE = "Linker.define_func and SDK"


@dataclass(frozen=True, slots=True)
class _Operation:
    """Something that each pipeline does.

    Attributes:
        export: The guest's export, and the peers' name for it.
        title: What it is.
        alone: The function of `alone` that does it without a guest.
        most_ns: What ours may take.
        ratios: By peer, how many times as much it has to take.
        comes_out: Whether a record comes out for each.
        in_naive: Whether the naive bridge does it, too.
    """

    export: str
    title: str
    alone: str
    most_ns: float
    ratios: Mapping[str, float]
    comes_out: bool = False
    in_naive: bool = False


_OPERATIONS = (
    _Operation(
        "span",
        "span: 4 attributes, start, end, encode",
        "span_attributes",
        450,
        {"python": 60, "go_otel": 6, "rust_otel": 2},
        comes_out=True,
        in_naive=True,
    ),
    _Operation("log", "log: 48 bytes, 2 attributes, encode", "log", 300, {}, comes_out=True, in_naive=True),
    _Operation("counter", "counter add", "measure_i64", 12, {}, in_naive=True),
    _Operation("histogram", "histogram record", "histogram", 25, {}),
    _Operation("unsampled", "span, 4 attributes, sampled out", "span_attributes", 60, {}),
)
# What observe-sdk has: spans without attributes, and with tags.
_OBSERVE = (("span", "span with 1 attribute"), ("span_tags", "span with 4 tags"))


def operations(report: Report) -> None:
    """Each operation in all pipelines, in one run."""
    with ExitStack() as stack:
        peers = _start_peers(report, stack)
        ours, unsampled = Ours(), Ours(sampled=False)
        stack.callback(ours.close)
        stack.callback(unsampled.close)
        functions: dict[str, Callable[[int], object]] = {}
        empty: dict[str, Callable[[int], object]] = {}
        elsewhere: dict[str, Callable[[int], int]] = {}
        for operation in _OPERATIONS:
            bench, export = (unsampled, "span") if operation.export == "unsampled" else (ours, operation.export)
            functions[f"ours {operation.export}"] = bench.encoded(export, comes_out=operation.comes_out)
            empty[f"ours {operation.export}"] = bench.encoded("loop")
            for folder, peer in peers.items():
                if folder != "go_observe":
                    elsewhere[f"{folder} {operation.export}"] = functools.partial(
                        peer.run, operation.export, comes_out=operation.comes_out
                    )
        functions["ours span_by_name"] = ours.encoded("span_by_name", comes_out=True)
        empty["ours span_by_name"] = ours.encoded("loop")
        if "go_observe" in peers:
            for export, _ in _OBSERVE:
                elsewhere[f"go_observe {export}"] = functools.partial(peers["go_observe"].run, export, comes_out=True)
        functions |= _python(stack)
        functions |= _naive(stack)

        timed = time_together(functions, empty=empty, elsewhere=elsewhere, repeats=25, most=2_000_000)

        _report_operations(report, timed, {folder: peer.name for folder, peer in peers.items()})


def _start_peers(report: Report, stack: ExitStack) -> dict[str, Peer]:
    """Start those that can be had here, and say of the others why not."""
    peers: dict[str, Peer] = {}
    for folder, kind in KINDS.items():
        try:
            peers[folder] = stack.enter_context(Peer(kind))
        except (PeerError, LostRecordsError) as error:
            report.left_out(kind.full_name(), str(error))
    return peers


def _python(stack: ExitStack) -> dict[str, Callable[[int], object]]:
    """The operations in OpenTelemetry's SDK for Python, without a guest."""
    kept = Providers(sdk=True, encode=True)
    dropped = Providers(sdk=True, encode=True, sampler=ALWAYS_OFF)
    stack.callback(kept.close)
    stack.callback(dropped.close)
    functions: dict[str, Callable[[int], object]] = {}
    for operation in _OPERATIONS:
        providers = dropped if operation.export == "unsampled" else kept
        # `alone` makes its calls inside a span, which comes out, too.
        around = 0 if operation.export == "unsampled" else 1
        functions[f"python {operation.export}"] = encoded(
            alone(providers)[operation.alone], providers, operation.comes_out, around
        )
    return functions


def _naive(stack: ExitStack) -> dict[str, Callable[[int], object]]:
    """The guest with host functions as one writes them first, and the SDK behind them."""
    providers = Providers(sdk=True, encode=True)
    stack.callback(providers.close)
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    naive = Naive(engine, providers.tracer, providers.meter, providers.logger)
    exports = naive.linker.instantiate(store, wasmtime.Module(engine, WAT)).exports(store)
    functions: dict[str, wasmtime.Func] = {}
    for name, function in exports.items():
        if isinstance(function, wasmtime.Func):
            functions[name] = function
    functions["prepare"](store)
    return {
        f"naive {operation.export}": encoded(
            functools.partial(functions[_NAIVE_EXPORTS.get(operation.export, operation.export)], store),
            providers,
            operation.comes_out,
        )
        for operation in _OPERATIONS
        if operation.in_naive
    }


# The naive bridge takes no name from a call site.
_NAIVE_EXPORTS = {"span": "span_by_name"}


def encoded(
    function: Callable[[int], object], providers: Providers, comes_out: bool, around: int = 0
) -> Callable[[int], object]:
    """Do something a number of times, and make bytes of all that came of it.

    The SDK's queue holds 131,072 records.

    Args:
        function: Does it.
        providers: Where its records go.
        comes_out: Whether one has to come out for each time.
        around: How many come out besides.
    """

    def run(count: int) -> None:
        function(count)
        records = providers.empty()
        if records != (count if comes_out else 0) + around:
            raise LostRecordsError(f"{_PYTHON}: {records} records of {count} calls came out")

    return run


def _report_operations(report: Report, timed: Mapping[str, Timed], names: Mapping[str, str]) -> None:
    names = {"python": _PYTHON, **names, "naive": _NAIVE}
    report.title(
        "From a guest's call to OTLP bytes in Python (peers: to OTLP bytes; measurements: until they are added up)"
    )
    for operation in _OPERATIONS:
        ours = timed[f"ours {operation.export}"].least_ns
        report.add(Figure(operation.title, ours, "ns", bound=Bound(most=operation.most_ns)))
        for peer, name in names.items():
            found = timed.get(f"{peer} {operation.export}")
            if found is None or peer == "go_observe":
                continue
            ratio = operation.ratios.get(peer)
            bound = None if ratio is None else Bound(ratio=ratio)
            report.add(Figure(f"  {operation.title}", ours, "ns", name, found.least_ns, bound))
    by_name = timed["ours span_by_name"].least_ns
    report.add(Figure("span, 4 attributes with their names, no call site", by_name, "ns"))
    for export, title in _OBSERVE:
        found = timed.get(f"go_observe {export}")
        if found is not None:
            report.add(Figure(f"  it, beside a {title}", by_name, "ns", names["go_observe"], found.least_ns))
    spread = sorted(found.median_us / found.least_us for found in timed.values())
    report.note(
        f"CPU time per operation, the least of interleaved runs; "
        f"medians are {spread[0]:.2f} to {spread[-1]:.2f} times that."
    )


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
        try:
            operations(report)
            instances(report)
            growth_by_open_spans(report)
            growth_by_instances(report)
            into_jaeger(report)
            into_receiver(report)
        except (PeerError, LostRecordsError) as error:
            sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
