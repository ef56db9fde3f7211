// The conformance scenarios (tests/conformance/README.md) in AssemblyScript.

import {
  Attributes,
  Context,
  Counter,
  Gauge,
  Histogram,
  Logger,
  LogSite,
  Severity,
  Span,
  SpanKind,
  StatusCode,
  UpDownCounter,
  attributeSet,
  baggage,
  inject,
  remoteContext,
  spanContext,
} from "wasmscope";

const log = new Logger("conformance");
const created = new LogSite(Severity.INFO, "conformance", "order.created");

const requests = new Counter<i64>("requests", "{request}", "Requests served");
const queue = new UpDownCounter<i64>("queue");
const latency = new Histogram<f64>("latency", "ms", "", [1, 10]);
const temperature = new Gauge<f64>("temperature");
const volume = new Counter<f64>("volume");

export function log_levels(): void {
  log.trace("trace");
  log.debug("debug");
  log.info("info");
  log.warn("warn");
  log.error("error");
  log.fatal("fatal");
}

export function log_attributes(): void {
  const bytes = new Uint8Array(2);
  bytes[1] = 0xff;
  log.info(
    "attributes",
    new Attributes()
      .set("s", "text")
      .set("t", true)
      .set("i", -7)
      .set("f", 2.5)
      .set("b", bytes)
      .set("list", ["a", "b"])
      .set("ints", [1, 2])
      .set("map", new Attributes().set("k", true)),
  );
}

export function log_event(): void {
  created.emit("created", new Attributes().set("id", 42));
}

export function span_nested(): void {
  const outer = Span.start(
    "outer",
    new Attributes().set("a", 1),
    SpanKind.SERVER,
  ).enter();
  log.info("inside outer");
  const inner = Span.start("inner", null, SpanKind.INTERNAL).enter();
  log.info("inside inner");
  inner.exit();
  inner.end();
  outer.exit();
  outer.end();
}

export function span_details(): void {
  const target = Span.start("target");
  target.end();
  Span.start("details")
    .setAttribute("later", "yes")
    .addEvent("cache.miss", new Attributes().set("key", "k"))
    .addLink(target, new Attributes().set("why", "because"))
    .setStatus(StatusCode.ERROR, "no stock")
    .updateName("details.renamed")
    .end();
}

export function span_parents(): void {
  const parent = Span.start("parent");
  const child = Span.start("child", null, SpanKind.INTERNAL, parent);
  const root = Span.start("root", null, SpanKind.INTERNAL, Context.ROOT);
  parent.end();
  child.end();
  root.end();
}

export function exception(): void {
  const span = Span.start("failing").enter();
  span.recordException("ValueError", "bad value", "at f");
  span.setStatus(StatusCode.ERROR, "bad value");
  span.exit();
  span.end();
}

export function metrics(): void {
  const route = attributeSet(new Attributes().set("route", "/a"));
  requests.add(1);
  requests.add(2, route);
  requests.add(3, route);
  queue.add(5);
  queue.add(-2);
  latency.record(0.5, route);
  latency.record(5, route);
  latency.record(50, route);
  temperature.record(20.5);
  temperature.record(21.5);
  volume.add(1.5);
}

export function propagation(): void {
  const remote = remoteContext(
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "vendor=x",
  );
  const span = Span.start("from remote", null, SpanKind.SERVER, remote).enter();
  span.setAttribute("outgoing", inject("traceparent"));
  const ids = spanContext();
  if (ids) span.setAttribute("trace_id", ids.traceId);
  span.setAttribute("tenant", baggage("tenant"));
  span.exit();
  span.end();
}

export function unicode(): void {
  Span.start("späń 🦀", new Attributes().set("🔑", "日本語")).end();
  log.info("日本語 ∓");
}

export function limits(): void {
  log.info("x".repeat(70_000));
  Span.start("limits", new Attributes().set("long", "y".repeat(20_000))).end();
  const many = new Attributes();
  for (let i = 0; i < 130; i++) many.set("a" + i.toString(), i);
  Span.start("many", many).end();
}

export function trap(): void {
  Span.start("doomed").enter();
  log.warn("about to fail");
  throw new Error("boom");
}

export function open_span(): void {
  Span.start("left open").enter();
}
