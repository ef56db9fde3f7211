import * as host from "./wasmscope_v1";
import { addressOf, Attributes, sizeOf } from "./attributes";
import { CallSite } from "./callsite";
import { Context, handleOf } from "./context";
import { borrow, bound, release, write } from "./text";

/** What a span stands for. Unspecified is the same as internal. */
export const enum SpanKind {
  UNSPECIFIED,
  INTERNAL,
  SERVER,
  CLIENT,
  PRODUCER,
  CONSUMER,
}

/** How the work of a span ended. */
export const enum StatusCode {
  UNSET,
  OK,
  ERROR,
}

const SPAN: u8 = 2;

function start(
  callsite: i32,
  name: usize,
  attributes: usize,
  kind: i32,
  parent: usize,
): Span {
  const room = borrow(bound(name));
  const handle = host.span_start(
    callsite,
    room,
    write(name, room) - room,
    handleOf(parent),
    kind,
    addressOf(attributes),
    sizeOf(attributes),
  );
  release(room);
  // 0 would mean the current span: what is done to a span that the host did not
  // keep is done to none.
  return new Span(handle == 0 ? -2 : handle);
}

/** A piece of work with a beginning and an end. */
export class Span extends Context {
  /** Lists of one attribute are packed here. */
  @lazy private static one: Attributes = new Attributes();

  /** Starts a span. It does not become the current one; see `enter`. */
  static start(
    name: string,
    attributes: Attributes | null = null,
    kind: SpanKind = 0,
    parent: Context | null = null,
  ): Span {
    return start(
      0,
      changetype<usize>(name),
      changetype<usize>(attributes),
      kind,
      changetype<usize>(parent),
    );
  }

  /** The current span, which may be the host's. */
  static current(): Span {
    return new Span(0);
  }

  /** Makes it the current span. */
  enter(): Span {
    host.span_enter(handleOf(changetype<usize>(this)));
    return this;
  }

  /** The span that was the current one before is it again. */
  exit(): void {
    host.span_exit(handleOf(changetype<usize>(this)));
  }

  /** Ends it, and exits it where it is still entered. */
  end(): void {
    host.span_end(handleOf(changetype<usize>(this)));
  }

  /** Sets one attribute; for its types see `Attributes`. */
  setAttribute<V>(key: string, value: V): Span {
    const one = Span.one;
    one.clear().set<V>(key, value);
    host.span_attributes(
      handleOf(changetype<usize>(this)),
      addressOf(changetype<usize>(one)),
      sizeOf(changetype<usize>(one)),
    );
    return this;
  }

  setAttributes(attributes: Attributes): Span {
    host.span_attributes(
      handleOf(changetype<usize>(this)),
      addressOf(changetype<usize>(attributes)),
      sizeOf(changetype<usize>(attributes)),
    );
    return this;
  }

  addEvent(name: string, attributes: Attributes | null = null): Span {
    const text = changetype<usize>(name);
    const room = borrow(bound(text));
    host.span_event(
      handleOf(changetype<usize>(this)),
      room,
      write(text, room) - room,
      addressOf(changetype<usize>(attributes)),
      sizeOf(changetype<usize>(attributes)),
    );
    release(room);
    return this;
  }

  /** Points to another span that has to do with this one. */
  addLink(target: Context, attributes: Attributes | null = null): Span {
    host.span_link(
      handleOf(changetype<usize>(this)),
      handleOf(changetype<usize>(target)),
      addressOf(changetype<usize>(attributes)),
      sizeOf(changetype<usize>(attributes)),
    );
    return this;
  }

  /** The description counts for `StatusCode.ERROR` only. */
  setStatus(code: StatusCode, description: string = ""): Span {
    const text = changetype<usize>(description);
    const room = borrow(bound(text));
    host.span_status(
      handleOf(changetype<usize>(this)),
      code,
      room,
      write(text, room) - room,
    );
    release(room);
    return this;
  }

  /** Replaces the name. */
  updateName(name: string): Span {
    const text = changetype<usize>(name);
    const room = borrow(bound(text));
    host.span_rename(
      handleOf(changetype<usize>(this)),
      room,
      write(text, room) - room,
    );
    release(room);
    return this;
  }

  /** Records an exception. It does not set the status. */
  recordException(
    type: string,
    message: string,
    stack: string = "",
    attributes: Attributes | null = null,
  ): Span {
    exception(
      handleOf(changetype<usize>(this)),
      changetype<usize>(type),
      changetype<usize>(message),
      changetype<usize>(stack),
      changetype<usize>(attributes),
    );
    return this;
  }
}

function exception(
  span: i64,
  type: usize,
  message: usize,
  stack: usize,
  attributes: usize,
): void {
  const room = borrow(bound(type) + bound(message) + bound(stack));
  const typeEnd = write(type, room);
  const messageEnd = write(message, typeEnd);
  const stackEnd = write(stack, messageEnd);
  host.exception(
    span,
    room,
    typeEnd - room,
    typeEnd,
    messageEnd - typeEnd,
    messageEnd,
    stackEnd - messageEnd,
    addressOf(attributes),
    sizeOf(attributes),
  );
  release(room);
}

/**
 * One kind of span. Its name, target, field names and constant attributes are
 * told to the host once. Make it a constant: it lives as long as the instance.
 */
@unmanaged
export class SpanSite extends CallSite {
  constructor(
    name: string,
    target: string = "",
    fields: StaticArray<string> | null = null,
    attributes: Attributes | null = null,
    file: string = "",
    line: u32 = 0,
  ) {
    super(
      SPAN,
      0,
      changetype<usize>(name),
      changetype<usize>(target),
      changetype<usize>(fields),
      changetype<usize>(attributes),
      changetype<usize>(file),
      line,
    );
  }

  /** Starts a span. It does not become the current one; see `Span.enter`. */
  start(
    attributes: Attributes | null = null,
    kind: SpanKind = 0,
    parent: Context | null = null,
  ): Span {
    return start(
      this.register(),
      changetype<usize>(""),
      changetype<usize>(attributes),
      kind,
      changetype<usize>(parent),
    );
  }
}

/**
 * Calls `body` inside a new span and ends the span however `body` returns.
 * Functions do not capture variables, so that `argument` is handed on.
 */
export function withSpan<A, R>(
  name: string,
  argument: A,
  body: (argument: A, span: Span) => R,
): R {
  const span = Span.start(name).enter();
  if (isVoid<R>()) {
    body(argument, span);
    span.end();
  } else {
    const result = body(argument, span);
    span.end();
    return result;
  }
}
