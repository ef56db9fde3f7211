import * as host from "./wasmscope_v1";
import { borrow, bound, read, release, write } from "./text";

/**
 * Where a span or a log record belongs. Where a function takes
 * `Context | null`, null is the current span: the innermost entered one, else
 * the host's span for this call.
 */
export class Context {
  /** No span: a span started with it is a new root. */
  @lazy static readonly ROOT: Context = new Context(-1);

  constructor(
    /** What the host knows it by. */
    readonly handle: i64,
  ) {}
}

/** A context that came in from another process. */
export class RemoteContext extends Context {
  /** Lets the host forget it. */
  end(): void {
    host.span_end(handleOf(changetype<usize>(this)));
  }
}

/** What identifies a span everywhere. */
@final
export class SpanContext {
  // As the host writes them.
  private ids: u64 = 0;
  private moreIds: u64 = 0;
  private id: u64 = 0;
  private flags: u8 = 0;
  private remote: u8 = 0;
  private padding: u32 = 0;

  /** 32 lower-case hexadecimal digits. */
  get traceId(): string {
    return hex(changetype<usize>(this), 16);
  }

  /** 16 lower-case hexadecimal digits. */
  get spanId(): string {
    return hex(changetype<usize>(this) + 16, 8);
  }

  /** Bit 0: the trace is sampled. */
  get traceFlags(): u8 {
    return this.flags;
  }

  get isRemote(): bool {
    return this.remote != 0;
  }
}

function hex(from: usize, size: usize): string {
  const digits = __new(size << 2, idof<string>());
  for (let i: usize = 0; i < size; i++) {
    const byte = load<u8>(from + i) as u32;
    const to = digits + (i << 2);
    store<u16>(to, digit(byte >> 4));
    store<u16>(to, digit(byte & 15), 2);
  }
  return changetype<string>(digits);
}

function digit(value: u32): u32 {
  return value + (value < 10 ? 0x30 : 0x57);
}

/** The handle of a `Context`; of none at 0. */
export function handleOf(context: usize): i64 {
  return context ? load<i64>(context, offsetof<Context>("handle")) : 0;
}

/** The ids of a span; null where there is no valid one. */
export function spanContext(
  context: Context | null = null,
): SpanContext | null {
  const result = new SpanContext();
  const valid = host.span_context(
    handleOf(changetype<usize>(context)),
    changetype<usize>(result),
  );
  return valid ? result : null;
}

/**
 * The context that the headers of an incoming request tell, for use as parent
 * or link; null where `traceparent` is not valid.
 */
export function remoteContext(
  traceparent: string,
  tracestate: string = "",
): RemoteContext | null {
  const parent = changetype<usize>(traceparent);
  const state = changetype<usize>(tracestate);
  const room = borrow(bound(parent) + bound(state));
  const middle = write(parent, room);
  const end = write(state, middle);
  const handle = host.remote_context(room, middle - room, middle, end - middle);
  release(room);
  return handle ? new RemoteContext(handle) : null;
}

/** Room for an answer; one that is longer is asked for again. */
const ANSWER_SIZE: usize = 256;

/**
 * What an outgoing request should carry in this header, such as `traceparent`,
 * `tracestate` or `baggage`; null where there is nothing to carry.
 */
export function inject(
  field: string,
  context: Context | null = null,
): string | null {
  const text = changetype<usize>(field);
  const handle = handleOf(changetype<usize>(context));
  let capacity = ANSWER_SIZE;
  while (true) {
    const room = borrow(bound(text) + capacity);
    const out = write(text, room);
    const size = host.inject(handle, room, out - room, out, capacity) as usize;
    const value = size && size <= capacity ? read(out, size) : null;
    release(room);
    if (size <= capacity) return value;
    capacity = size;
  }
}

/** The value of a baggage entry of the current context; null where there is none. */
export function baggage(key: string): string | null {
  const text = changetype<usize>(key);
  let capacity: i32 = ANSWER_SIZE as i32;
  while (true) {
    const room = borrow(bound(text) + capacity);
    const out = write(text, room);
    const size = host.baggage_get(room, out - room, out, capacity);
    const value = size >= 0 && size <= capacity ? read(out, size) : null;
    release(room);
    if (size <= capacity) return value;
    capacity = size;
  }
}
