import * as host from "./assembly/wasmscope_v1";
import { borrow, bound, write } from "./assembly/text";

export { Attributes } from "./assembly/attributes";
export {
  baggage,
  Context,
  inject,
  RemoteContext,
  remoteContext,
  SpanContext,
  spanContext,
} from "./assembly/context";
export { Logger, LogSite, Severity } from "./assembly/logs";
export {
  AttributeSet,
  attributeSet,
  Counter,
  Gauge,
  Histogram,
  UpDownCounter,
} from "./assembly/metrics";
export {
  Span,
  SpanKind,
  SpanSite,
  StatusCode,
  withSpan,
} from "./assembly/spans";

/** Asks the host to deliver soon. */
export function flush(): void {
  host.flush();
}

/** The host's version of the ABI: major << 16 | minor. */
export function abiVersion(): i32 {
  return host.abi_version();
}

let aborting: bool = false;

/** The longest of `:line:column`. */
const POSITION_SIZE: usize = 22;

/**
 * Reports an abort to the host, then traps. The compiler calls it instead of
 * importing `env.abort` when it is told `--use abort=~lib/wasmscope/index/abort`;
 * that name is why the function is in this file.
 */
export function abort(
  message: string | null = null,
  file: string | null = null,
  line: u32 = 0,
  column: u32 = 0,
): void {
  // An abort in here would come from the heap, and the first one tells more.
  if (!aborting) {
    aborting = true;
    const type = changetype<usize>("abort");
    const text = changetype<usize>(message ? message : "");
    const place = changetype<usize>(file ? file : "");
    const room = borrow(
      bound(type) + bound(text) + bound(place) + POSITION_SIZE,
    );
    const typeEnd = write(type, room);
    const textEnd = write(text, typeEnd);
    let end = write(place, textEnd);
    if (file) end = decimal(column, decimal(line, end));
    host.exception(
      0,
      room,
      typeEnd - room,
      typeEnd,
      textEnd - typeEnd,
      textEnd,
      end - textEnd,
      0,
      0,
    );
  }
  unreachable();
}

/** Writes a colon and the number at `to` and returns the end. */
function decimal(value: u32, to: usize): usize {
  store<u8>(to++, 0x3a);
  let end = to + 1;
  for (let rest = value; rest >= 10; rest /= 10) end++;
  to = end;
  do {
    store<u8>(--to, 0x30 + (value % 10));
    value /= 10;
  } while (value);
  return end;
}
