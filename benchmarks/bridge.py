"""What a guest's telemetry calls cost, beside a naive bridge and beside OpenTelemetry's SDK alone."""

from __future__ import annotations

import functools
import os
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from struct import pack
from time import time_ns
from typing import Any

import wasmtime
from _naive import Naive
from _report import Bound, Figure, Report, arguments
from _timing import Timed, time_together
from opentelemetry._logs import LoggerProvider, NoOpLoggerProvider, SeverityNumber
from opentelemetry.context import attach, detach
from opentelemetry.metrics import MeterProvider, NoOpMeterProvider
from opentelemetry.sdk._logs import LoggerProvider as SdkLoggerProvider
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import MeterProvider as SdkMeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NoOpTracerProvider, TracerProvider, set_span_in_context

from wasmscope.host_shim import Bridge, GuestInstance

_WAT = Path(__file__).with_name("bridge.wat").read_text(encoding="utf-8")
_BODY = "order 4711 of customer 42 was put into the queue"
_TWO: dict[str, Any] = {"tenant": "acme", "retry": 3}
_FOUR: dict[str, Any] = {"method": "GET", "route": "/orders", "status": 200, "cached": True}
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


class _DropSpans(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class _DropLogs(LogRecordExporter):
    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        return LogRecordExportResult.SUCCESS

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


class Providers:
    """OpenTelemetry's providers: of the API alone, which do nothing, or the SDK's."""

    def __init__(self, *, sdk: bool) -> None:
        self.tracer: TracerProvider = NoOpTracerProvider()
        self.meter: MeterProvider = NoOpMeterProvider()
        self.logger: LoggerProvider = NoOpLoggerProvider()
        self._processors: list[BatchSpanProcessor | BatchLogRecordProcessor] = []
        if not sdk:
            return
        # Nothing is exported and nothing dropped while a run is timed: queues hold it, and are emptied after it.
        queue: dict[str, Any] = {
            "max_queue_size": 1 << 17,
            "max_export_batch_size": 1 << 17,
            "schedule_delay_millis": 3_600_000,
        }
        tracer, logger = SdkTracerProvider(shutdown_on_exit=False), SdkLoggerProvider(shutdown_on_exit=False)
        spans, logs = BatchSpanProcessor(_DropSpans(), **queue), BatchLogRecordProcessor(_DropLogs(), **queue)
        tracer.add_span_processor(spans)
        logger.add_log_record_processor(logs)
        self._processors = [spans, logs]
        self.tracer, self.logger = tracer, logger
        self.meter = SdkMeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)

    def empty(self) -> None:
        """Throw away what the queues hold."""
        for processor in self._processors:
            processor.force_flush()

    def close(self) -> None:
        """Stop the processors' threads."""
        for processor in self._processors:
            stop: Any = processor.shutdown  # the SDK has no types for one of them
            stop()


class Bench:
    """A bridge and a naive one, with the same guest and the same providers."""

    def __init__(self, *, sdk: bool) -> None:
        self.providers = Providers(sdk=sdk)
        self.engine = wasmtime.Engine()
        self.module = wasmtime.Module(self.engine, _WAT)
        self.bridge = Bridge(
            tracer_provider=self.providers.tracer,
            meter_provider=self.providers.meter,
            logger_provider=self.providers.logger,
        )
        self.linker = wasmtime.Linker(self.engine)
        self.ours = self.instantiate()
        self.naive = Naive(self.engine, self.providers.tracer, self.providers.meter, self.providers.logger)
        self._naive_store = wasmtime.Store(self.engine)
        self._naive_exports = self.naive.linker.instantiate(self._naive_store, self.module).exports(self._naive_store)
        self.naive_call("prepare")()

    def instantiate(self) -> GuestInstance:
        """Make an instance in a store of its own."""
        instance = self.bridge.instantiate(self.linker, wasmtime.Store(self.engine), self.module, name="bench")
        instance.call("prepare")
        return instance

    def our_call(self, export: str) -> Callable[..., Any]:
        """Give an export of the bridge's instance."""
        return functools.partial(self.ours.call, export)

    def naive_call(self, export: str) -> Callable[..., Any]:
        """Give an export of the naive one."""
        found = self._naive_exports[export]
        assert isinstance(found, wasmtime.Func)
        return functools.partial(found, self._naive_store)

    def close(self) -> None:
        """End it."""
        self.bridge.close()
        self.providers.close()


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
    alone = _alone(bench.providers)
    for export in alone:
        functions[f"api {export}"] = alone[export]
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
    """The bridge and the SDK, beside the SDK called from Python."""
    bench = Bench(sdk=True)
    alone = _alone(bench.providers)
    functions: dict[str, Callable[[int], object]] = {}
    empty: dict[str, Callable[[int], object]] = {}
    for export in alone:
        functions[f"ours {export}"] = bench.our_call(export)
        empty[f"ours {export}"] = bench.our_call("loop")
        functions[f"sdk {export}"] = alone[export]
        empty[f"sdk {export}"] = _python_loop
    timed = time_together(functions, empty=empty, after=bench.providers.empty, repeats=15, most=2_000)
    report.title("With the SDK (batch processors, export not counted), beside the SDK called from Python")
    for export, title, _ in _OPERATIONS:
        if export in alone:
            ours, sdk = timed[f"ours {export}"], timed[f"sdk {export}"]
            report.add(Figure(f"with the SDK, {title}", ours.least_us, "us", "SDK alone", sdk.least_us))
    _say_how_quiet(report, timed)
    bench.close()


def _say_how_quiet(report: Report, timed: dict[str, Timed]) -> None:
    spread = sorted(t.median_us / t.least_us for t in timed.values())
    report.note(
        f"Thread CPU time per operation, the least of interleaved runs; "
        f"medians are {spread[0]:.2f} to {spread[-1]:.2f} times that."
    )


def _python_loop(count: int) -> None:
    for _ in range(count):
        pass


def _alone(providers: Providers) -> dict[str, Callable[[int], object]]:
    """The same operations in Python, without any guest; inside a span, as a guest's are inside that of the call."""
    tracer = providers.tracer.get_tracer("alone")
    logger = providers.logger.get_logger("alone")
    counter = providers.meter.get_meter("alone").create_counter("requests")
    volume = providers.meter.get_meter("alone").create_counter("volume")
    info = SeverityNumber.INFO
    open_span = tracer.start_span("open")

    def log(count: int) -> None:
        for _ in range(count):
            logger.emit(timestamp=time_ns(), severity_number=info, severity_text="INFO", body=_BODY, attributes=_TWO)

    def log_varying(count: int) -> None:
        for number in range(count):
            logger.emit(
                timestamp=time_ns(),
                severity_number=info,
                severity_text="INFO",
                body=_BODY,
                attributes={"tenant": "acme", "retry": number},
            )

    def measure_i64(count: int) -> None:
        for _ in range(count):
            counter.add(1, _TWO)

    def measure_f64(count: int) -> None:
        for _ in range(count):
            volume.add(1.5, _TWO)

    def span(count: int) -> None:
        for _ in range(count):
            tracer.start_span("GET /orders").end()

    def span_attributes(count: int) -> None:
        for _ in range(count):
            tracer.start_span("GET /orders", attributes=_FOUR).end()

    def enter_exit(count: int) -> None:
        for _ in range(count):
            detach(attach(set_span_in_context(open_span)))

    def inside(function: Callable[[int], None]) -> Callable[[int], None]:
        def loop(count: int) -> None:
            with tracer.start_as_current_span("host"):
                function(count)

        return loop

    functions = (log, log_varying, measure_i64, measure_f64, span, span_attributes, enter_exit)
    return {function.__name__: inside(function) for function in functions}


def calls(report: Report) -> None:
    """Calls from the host, and making instances."""
    report.title("Calls from the host, and instances")
    for sdk in (False, True):
        bench = Bench(sdk=sdk)
        which = "with the SDK" if sdk else "bridge"
        instance, plain = bench.ours, bench.naive_call("nothing")
        store = instance._store
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
        # Below a few instances the process's own growth hides what they take.
        rss_figure = Figure(f"RSS per instance, {at}", rss, "KB", "Linker.instantiate", plain_rss)
        rows.append(
            (
                f"{count:,}",
                [
                    Figure(f"log in one of {at}", timed["one"].least_us, "us"),
                    Figure(f"log in each of {at} in turn", timed["each"].least_us, "us"),
                    Figure(f"Python memory per instance, {at}", traced, "KB", "Linker.instantiate", plain_traced),
                    Figure(f"Python memory per plain instance, {at}", plain_traced, "KB"),
                    rss_figure if count >= 100 else None,
                    Figure(f"RSS per plain instance, {at}", plain_rss, "KB") if count >= 100 else None,
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
    before = _rss_kb()
    kept = [make() for _ in range(count)]
    rss = (_rss_kb() - before) / count
    tracemalloc.start()
    start = tracemalloc.get_traced_memory()[0]
    traced = [make() for _ in range(min(count, 100))]
    size = (tracemalloc.get_traced_memory()[0] - start) / len(traced) / 1024
    tracemalloc.stop()
    return rss, size, kept


def _rss_kb() -> float:
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
        store = bench.ours._store
        memory = bench.ours.exports(store)["memory"]
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
            number, kind = name.split()
            timed[int(number), kind, sdk] = figure
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
    memory.write(bench.ours._store, data, 0x1000)
    bench.ours.call("log_list", count, len(data))


def _differing(bench: Bench, memory: wasmtime.Memory, data: bytes, count: int) -> None:
    memory.write(bench.ours._store, data, 0x1000)
    bench.ours.call("log_list_varying", count, len(data))


def main() -> None:
    """Run all."""
    with arguments(__doc__ or "") as report:
        without_sdk(report)
        with_sdk(report)
        calls(report)
        growth_by_instances(report)
        growth_by_open_spans(report)
        growth_by_attributes(report)


if __name__ == "__main__":
    main()
