// The functions of the host. The compiler takes a file's name as the name of
// the module to import from, and imports only what is called. `docs/abi.md` of
// wasmscope tells what each function does.

export declare function abi_version(): i32;
export declare function flush(): void;

export declare function callsite(descriptor: usize, size: usize): i32;
export declare function enabled(callsite: i32): i32;

export declare function log(
  callsite: i32,
  severity: i32,
  context: i64,
  body: usize,
  bodySize: usize,
  attributes: usize,
  attributesSize: usize,
): void;

export declare function span_start(
  callsite: i32,
  name: usize,
  nameSize: usize,
  context: i64,
  kind: i32,
  attributes: usize,
  attributesSize: usize,
): i64;
export declare function span_enter(span: i64): void;
export declare function span_exit(span: i64): void;
export declare function span_end(span: i64): void;
export declare function span_attributes(
  span: i64,
  attributes: usize,
  attributesSize: usize,
): void;
export declare function span_event(
  span: i64,
  name: usize,
  nameSize: usize,
  attributes: usize,
  attributesSize: usize,
): void;
export declare function span_link(
  span: i64,
  target: i64,
  attributes: usize,
  attributesSize: usize,
): void;
export declare function span_status(
  span: i64,
  code: i32,
  description: usize,
  descriptionSize: usize,
): void;
export declare function span_rename(
  span: i64,
  name: usize,
  nameSize: usize,
): void;
export declare function exception(
  span: i64,
  type: usize,
  typeSize: usize,
  message: usize,
  messageSize: usize,
  stack: usize,
  stackSize: usize,
  attributes: usize,
  attributesSize: usize,
): void;

export declare function span_context(context: i64, out: usize): i32;
export declare function inject(
  context: i64,
  field: usize,
  fieldSize: usize,
  out: usize,
  capacity: usize,
): i32;
export declare function remote_context(
  traceparent: usize,
  traceparentSize: usize,
  tracestate: usize,
  tracestateSize: usize,
): i64;
export declare function baggage_get(
  key: usize,
  keySize: usize,
  out: usize,
  capacity: usize,
): i32;

export declare function instrument(
  kind: i32,
  number: i32,
  descriptor: usize,
  size: usize,
): i32;
export declare function attribute_set(
  attributes: usize,
  attributesSize: usize,
): i32;
export declare function measure_i64(
  instrument: i32,
  value: i64,
  attributeSet: i32,
): void;
export declare function measure_f64(
  instrument: i32,
  value: f64,
  attributeSet: i32,
): void;
