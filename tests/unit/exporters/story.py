"""One order through three guests, told with OpenTelemetry's SDK: what golden files show."""

from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from wasmscope.exporters import Recording

START_NS = 1_764_000_000_000_000_000  # 2025-11-24 16:00:00 UTC


class CountingIds(IdGenerator):
    """Gives 1, 2, 3..., so that renderings can be compared."""

    def __init__(self) -> None:
        self._last_trace = 0
        self._last_span = 0

    def generate_trace_id(self) -> int:
        """Give the next trace id."""
        self._last_trace += 1
        return 0x4BF92F3577B34DA6A3CE929D0E0E4700 + self._last_trace

    def generate_span_id(self) -> int:
        """Give the next span id."""
        self._last_span += 1
        return 0x00F067AA0BA90200 + self._last_span


class Story:
    """Tells spans, logs and metrics into a recording, at times that it chooses itself."""

    def __init__(self) -> None:
        resource = Resource({"service.name": "shop"})
        self.recording = Recording()
        self._tracers = TracerProvider(resource=resource, id_generator=CountingIds())
        self._tracers.add_span_processor(self.recording.span_processor)
        self._loggers = LoggerProvider(resource)
        self._loggers.add_log_record_processor(self.recording.log_record_processor)
        self.meters = MeterProvider([self.recording.metric_reader], resource)

    def span(
        self,
        scope: str,
        name: str,
        at_us: int,
        parent: Span | None = None,
        *,
        attributes: Mapping[str, Any] | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        links: tuple[Link, ...] = (),
    ) -> Span:
        """Start a span; the scope is a name and a version, separated by a blank."""
        name_of_scope, _, version = scope.partition(" ")
        context = None if parent is None else trace.set_span_in_context(parent)
        return self._tracers.get_tracer(name_of_scope, version or None).start_span(
            name,
            context=context,
            kind=kind,
            links=links,
            attributes=attributes,
            start_time=START_NS + at_us * 1_000,
        )

    def log(
        self,
        scope: str,
        at_us: int,
        severity: SeverityNumber | None,
        body: Any,
        span: Span | None = None,
        *,
        attributes: Mapping[str, Any] | None = None,
        event_name: str | None = None,
    ) -> None:
        """Emit a log record."""
        name_of_scope, _, version = scope.partition(" ")
        context = trace.set_span_in_context(span or trace.INVALID_SPAN)
        self._loggers.get_logger(name_of_scope, version or None).emit(
            timestamp=START_NS + at_us * 1_000,
            context=context,
            severity_number=severity,
            severity_text=None if severity is None else severity.name,
            body=body,
            attributes=attributes,
            event_name=event_name,
        )

    def event(self, span: Span, at_us: int, name: str, **attributes: Any) -> None:
        """Add an event to a span; ``__`` in a key stands for a dot."""
        named = {key.replace("__", "."): value for key, value in attributes.items()}
        span.add_event(name, named, timestamp=START_NS + at_us * 1_000)


def end(span: Span, at_us: int, error: str | None = None) -> None:
    """End a span, as failed if there is an error."""
    if error is not None:
        span.set_status(Status(StatusCode.ERROR, error))
    span.end(START_NS + at_us * 1_000)


def call_attributes(module: str, version: str, tenant: str, function: str, **facts: Any) -> dict[str, Any]:
    """Give what the bridge sets on the span of a call."""
    return {
        "wasm.module.name": module,
        "wasm.module.version": version,
        "wasm.tenant": tenant,
        "code.function.name": function,
        **{f"wasm.{key.replace('__', '.')}": value for key, value in facts.items()},
    }


def tell_order() -> Story:
    """An order: a greeting, a price that needs the host, a thumbnail that traps."""
    story = Story()
    order = story.span(
        "shop",
        "handle order",
        0,
        kind=SpanKind.SERVER,
        attributes={"http.route": "/orders/{id}", "http.request.method": "POST"},
    )
    story.log("shop", 120, SeverityNumber.INFO, "three plugins to run", order)
    _greet(story, order)
    _price(story, order)
    _thumbnail(story, order)
    end(order, 10_000)
    return story


def _greet(story: Story, order: Span) -> None:
    scope = "greeter 0.1.0"
    facts = call_attributes(
        *("greeter", "0.1.0", "acme", "greet"),
        call__cpu_time_ns=2_610_000,
        call__host_time_ns=210_000,
        call__fuel=182_311,
        memory__size_bytes=1_179_648,
    )
    call = story.span("wasmscope", "wasm.call greet", 300, order, attributes=facts)
    named = {"name": "Ada Lovelace", "code.file.path": "src/lib.rs", "code.line.number": 7}
    greet = story.span(scope, "greet", 420, call, attributes=named)
    story.log(scope, 500, SeverityNumber.DEBUG, "looking up", greet, attributes={"lang": "en"})
    load = story.span(
        scope,
        "load_template",
        700,
        greet,
        attributes={"path": "/templates/en.txt", "bytes": 2048, "cached": False},
    )
    story.log(scope, 900, SeverityNumber.INFO, "template read", load, attributes={"took_ms": 0.41})
    story.event(load, 1_200, "cache.store", key="en")
    end(load, 1_400)
    render = story.span(scope, "render", 1_500, greet)
    story.log(
        scope,
        1_600,
        SeverityNumber.WARN,
        "the template has no place for the family name; the full name is used instead",
        render,
        attributes={"placeholder": "family", "template": "en"},
    )
    end(render, 2_900)
    end(greet, 3_000)
    end(call, 3_100)


def _price(story: Story, order: Span) -> None:
    scope = "pricing 2.3.1"
    facts = call_attributes(
        *("pricing", "2.3.1", "acme", "price"),
        call__cpu_time_ns=1_900_000,
        call__host_time_ns=3_800_000,
        memory__size_bytes=262_144,
    )
    call = story.span("wasmscope", "wasm.call price", 3_300, order, attributes=facts)
    price = story.span(
        scope,
        "price",
        3_400,
        call,
        attributes={"sku": "日本語-42", "qty": 3},
        links=(Link(order.get_span_context(), {"why": "same customer"}),),
    )
    rates = story.span(
        "shop.rates",
        "GET rates",
        3_700,
        price,
        kind=SpanKind.CLIENT,
        attributes={"url.full": "http://rates.example/v1/eur"},
    )
    end(rates, 7_300)
    story.log(
        scope,
        7_500,
        SeverityNumber.INFO,
        "found",
        price,
        attributes={"eur": 12.5},
        event_name="price.found",
    )
    end(price, 8_200)
    end(call, 8_300)


def _thumbnail(story: Story, order: Span) -> None:
    scope = "thumbnailer 1.0.0"
    facts = call_attributes(
        *("thumbnailer", "1.0.0", "globex", "thumbnail"),
        call__cpu_time_ns=900_000,
        call__host_time_ns=20_000,
        memory__size_bytes=1_114_112,
        trap__code="unreachable",
    )
    reason = "panic: index out of bounds: the len is 8 but the index is 8"
    call = story.span("wasmscope", "wasm.call thumbnail", 8_500, order, attributes=facts)
    decode = story.span(scope, "decode", 8_600, call, attributes={"format": "png"})
    story.log(
        scope,
        8_900,
        SeverityNumber.ERROR,
        "bad chunk",
        decode,
        attributes={"offset": 4711, "chunk": "IDAT"},
    )
    story.event(
        decode,
        9_300,
        "exception",
        exception__type="panic",
        exception__message="index out of bounds: the len is 8 but the index is 8",
        exception__stacktrace="png::decode\n   at src/png.rs:88:13\nthumbnail\n   at src/lib.rs:12:5",
    )
    end(decode, 9_400, reason)
    story.event(
        call,
        9_450,
        "exception",
        exception__type="wasm.trap",
        exception__message="wasm `unreachable` instruction executed",
        exception__stacktrace="0: 0x153 - thumbnailer!<wasm function 7>",
        wasm__trap__code="unreachable",
    )
    end(call, 9_500, reason)


def measure(story: Story) -> None:
    """Measure what the guests of the order measured, and what the bridge accounts."""
    greeter = story.meters.get_meter("greeter", "0.1.0")
    greetings = greeter.create_counter("greetings", "{greeting}")
    greetings.add(12, {"lang": "en", "wasm.tenant": "acme"})
    greetings.add(3, {"lang": "日本語", "wasm.tenant": "acme"})
    loading = greeter.create_histogram(
        "template.load.duration",
        "ms",
        explicit_bucket_boundaries_advisory=[0.1, 0.2, 0.5, 1, 2, 5, 10],
    )
    for value in (0.15, 0.3, 0.4, 0.4, 0.7, 1.5, 3, 12):
        loading.record(value, {"path": "/templates/en.txt", "wasm.tenant": "acme"})
    pricing = story.meters.get_meter("pricing", "2.3.1")
    pricing.create_up_down_counter("queue").add(3)
    pricing.create_gauge("oven.temperature", "Cel").set(21.5)

    account(story, "greeter", "acme", calls=1, errors=0, cpu=0.00261, host=0.00021, memory=1_179_648, fuel=182_311)
    account(story, "pricing", "acme", calls=1, errors=0, cpu=0.0019, host=0.0038, memory=262_144)
    account(story, "thumbnailer", "globex", calls=1, errors=1, cpu=0.0009, host=0.00002, memory=1_114_112)
    rejected = story.meters.get_meter("wasmscope").create_counter("wasmscope.rejected")
    thumbnailer = {"wasm.module.name": "thumbnailer", "wasm.tenant": "globex"}
    rejected.add(3, {**thumbnailer, "reason": "out_of_bounds"})
    rejected.add(1, {**thumbnailer, "reason": "utf8"})


def account(
    story: Story,
    module: str,
    tenant: str | None,
    *,
    calls: int,
    errors: int,
    cpu: float,
    host: float,
    memory: int,
    fuel: int | None = None,
) -> None:
    """Write a module's account as the bridge does; times in seconds, memory in bytes."""
    meter = story.meters.get_meter("wasmscope")
    owner = {"wasm.module.name": module, **({"wasm.tenant": tenant} if tenant else {})}
    meter.create_counter("wasm.calls", "{call}").add(calls, owner)
    meter.create_counter("wasm.call.errors", "{call}").add(errors, owner)
    meter.create_counter("wasm.cpu.time", "s").add(cpu, owner)
    meter.create_counter("wasm.host.time", "s").add(host, owner)
    meter.create_gauge("wasm.memory.usage", "By").set(memory, owner)
    meter.create_gauge("wasm.memory.peak", "By").set(memory, owner)
    if fuel is not None:
        meter.create_counter("wasm.fuel.consumed", "{fuel}").add(fuel, owner)
