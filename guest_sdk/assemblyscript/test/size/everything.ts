import {
  Attributes,
  Context,
  Counter,
  Gauge,
  Histogram,
  LogSite,
  Logger,
  Severity,
  Span,
  SpanKind,
  SpanSite,
  StatusCode,
  UpDownCounter,
  abiVersion,
  attributeSet,
  baggage,
  flush,
  inject,
  remoteContext,
  spanContext,
  withSpan,
} from "../../index";

const log = new Logger("size");
const event = new LogSite(Severity.INFO, "size", "event", ["n"]);
const step = new SpanSite("step", "size", ["n"]);
const runs = new Counter<i64>("runs", "{run}", "Runs");
const level = new UpDownCounter<i64>("level");
const time = new Histogram<f64>("time", "ms", "", [1, 10]);
const heat = new Gauge<f64>("heat");

function inner(n: i32, span: Span): i32 {
  span.setAttribute("n", n);
  return n;
}

export function run(n: i32): i32 {
  const bytes = new Uint8Array(2);
  const attributes = new Attributes()
    .set("string", "text")
    .set("bool", true)
    .set("i32", n)
    .set("f64", 2.5)
    .set("bytes", bytes)
    .set("array", ["a"])
    .set("map", new Attributes().set("n", n));
  if (log.enabled(Severity.DEBUG)) log.debug("run", attributes);
  event.emit("event", attributes.clear().field(0, n));
  const remote = remoteContext("traceparent", "tracestate");
  const span = step.start(attributes, SpanKind.SERVER, remote).enter();
  span.addEvent("event", attributes).updateName("name");
  span.addLink(Span.start("root", null, SpanKind.INTERNAL, Context.ROOT));
  span.recordException("Type", "message", "stack");
  span.setAttributes(attributes).setStatus(StatusCode.ERROR, "no");
  span.setAttribute("out", inject("traceparent"));
  span.setAttribute("tenant", baggage("tenant"));
  const ids = spanContext();
  if (ids) span.setAttribute("trace", ids.traceId);
  const set = attributeSet(attributes);
  runs.add(1, set);
  level.add(-1, set);
  time.record(1.5, set);
  heat.record(2.5, set);
  const result = withSpan("inner", n, inner);
  span.exit();
  span.end();
  flush();
  if (n < 0) throw new Error("negative");
  return result + abiVersion();
}
