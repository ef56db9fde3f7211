// Lets the tests call the library with values of their own.

import {
  Attributes,
  baggage,
  Context,
  Counter,
  flush,
  Histogram,
  inject,
  Logger,
  LogSite,
  RemoteContext,
  remoteContext,
  Span,
  spanContext,
  SpanKind,
  SpanSite,
  StatusCode,
  withSpan,
} from "../index";

const log = new Logger("test");

// Lists within lists: the innermost is the last.
const lists: Attributes[] = [];

function list(): Attributes {
  return lists[lists.length - 1];
}

export function begin(): void {
  lists.push(new Attributes());
}

/** Makes the innermost list an attribute of the one around it. */
export function endMap(key: string): void {
  const map = lists.pop();
  list().set(key, map);
}

/** Sends the list; the tests see its bytes. */
export function send(body: string): void {
  log.info(body, lists.pop());
}

export function setString(key: string, value: string): void {
  list().set(key, value);
}

export function setBool(key: string, value: bool): void {
  list().set(key, value);
}

export function setI64(key: string, value: i64): void {
  list().set(key, value);
}

export function setF64(key: string, value: f64): void {
  list().set(key, value);
}

export function setEmpty(key: string): void {
  const nothing: string | null = null;
  list().set(key, nothing);
}

export function setBytes(key: string, value: Uint8Array): void {
  list().set(key, value);
}

export function setBuffer(key: string, value: ArrayBuffer): void {
  list().set(key, value);
}

export function setStrings(key: string, value: string[]): void {
  list().set(key, value);
}

export function setI64s(key: string, value: i64[]): void {
  list().set(key, value);
}

export function setF64s(key: string, value: f64[]): void {
  list().set(key, value);
}

export function fieldString(index: i32, value: string): void {
  list().field(index, value);
}

export function fieldBool(index: i32, value: bool): void {
  list().field(index, value);
}

/** Sets one value of each type that is not an i64, f64, string or bytes itself. */
export function setOthers(): void {
  const none: Float32Array | null = null;
  list()
    .set<u8>("u8", 255)
    .set<i16>("i16", -2)
    .set<u32>("u32", 4_000_000_000)
    .set<u64>("u64", u64.MAX_VALUE)
    .set<f32>("f32", 1.5)
    .set<StaticArray<bool>>("bools", [true, false])
    .set("i32s", new Int32Array(1))
    .set("nested", [[1], [2, 3]])
    .set("maps", [new Attributes().set("k", 1)])
    .set("none", none);
}

export function logSite(
  severity: i32,
  target: string,
  name: string,
  fields: StaticArray<string> | null,
  file: string,
  line: u32,
): bool {
  const attributes = lists.length ? lists.pop() : null;
  return new LogSite(severity, target, name, fields, attributes, file, line)
    .enabled;
}

export function spanSite(
  target: string,
  name: string,
  fields: StaticArray<string> | null,
  file: string,
  line: u32,
): void {
  const attributes = lists.length ? lists.pop() : null;
  new SpanSite(name, target, fields, attributes, file, line).start();
}

export function count(name: string, unit: string, description: string): void {
  const counter = new Counter<i64>(name, unit, description);
  counter.add(1);
  counter.add(2, 3);
}

export function record(
  name: string,
  unit: string,
  description: string,
  boundaries: StaticArray<f64> | null,
): void {
  new Histogram<f64>(name, unit, description, boundaries).record(1.5);
}

const levels = new Logger("levels");

export function emit(severity: i32, body: string): void {
  levels.emit(severity, body);
}

export function enabled(severity: i32): bool {
  return levels.enabled(severity);
}

export function spans(): void {
  const outer = Span.start(
    "outer",
    null,
    SpanKind.CLIENT,
    Context.ROOT,
  ).enter();
  const inner = Span.start("inner");
  inner.addLink(outer).addEvent("event").setStatus(StatusCode.OK);
  inner.updateName("renamed").setAttribute("key", 1);
  inner.recordException("Type", "message", "stack");
  inner.exit();
  inner.end();
  outer.end();
  Span.current().setStatus(StatusCode.ERROR, "late");
  flush();
}

export function doubled(value: i32): i32 {
  return withSpan("double", value, double);
}

function double(value: i32, span: Span): i32 {
  span.setAttribute("value", value);
  return 2 * value;
}

export function answered(value: i32): void {
  withSpan<i32, void>("answer", value, (given, span) => {
    span.setAttribute("given", given);
  });
}

export function ids(): string {
  const context = spanContext();
  if (!context) return "none";
  const flags = context.traceFlags.toString();
  const remote = context.isRemote ? "remote" : "local";
  return [context.traceId, context.spanId, flags, remote].join(" ");
}

export function incoming(traceparent: string, tracestate: string): bool {
  const remote: RemoteContext | null = remoteContext(traceparent, tracestate);
  if (!remote) return false;
  remote.end();
  return true;
}

export function outgoing(field: string): string {
  const value = inject(field);
  return value ? value : "none";
}

export function baggageOf(key: string): string {
  const value = baggage(key);
  return value !== null ? value : "none";
}

export function fail(message: string): void {
  throw new Error(message);
}

/** Much telemetry; returns the pages of memory afterwards. */
export function work(rounds: i32, body: string): i32 {
  const attributes = new Attributes();
  const reused = new Span(1);
  for (let i = 0; i < rounds; i++) {
    attributes.clear().set("key", "value").set("round", i);
    log.info(body, attributes);
    reused.setAttribute("round", i).addEvent("round");
  }
  return memory.size();
}

/** Telemetry that makes an object for each list and span. */
export function churn(rounds: i32): i32 {
  for (let i = 0; i < rounds; i++) {
    const span = Span.start("round", new Attributes().set("round", i));
    log.warn("round", new Attributes().set("round", i));
    span.end();
  }
  return memory.size();
}

/** Telemetry of short-lived strings and lists of every kind. */
export function stress(rounds: i32): void {
  for (let i = 0; i < rounds; i++) {
    const n = i.toString();
    log.info(
      "body " + n,
      new Attributes()
        .set("key " + n, "value " + n)
        .set("list", ["a" + n, "b" + n])
        .set("map", new Attributes().set("k" + n, "v" + n).set("x" + n, i))
        .set("text", "long text ".repeat(i % 40)),
    );
  }
}
