import * as host from "./assembly/wasmscope_v1";
import { I64, STRING } from "./assembly/attributes";
import { writeFirst, writeShort } from "./assembly/text";

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

/** Longer texts of an abort are cut to these numbers of UTF-16 code units. */
const MESSAGE_UNITS: usize = 1000;
const FILE_UNITS: usize = 300;

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
  // Fixed room, because the heap itself may be what aborts. It fits what is
  // written below, the texts at three bytes a unit.
  const type = memory.data(5000);
  const text = writeFirst(changetype<usize>("abort"), 5, type);
  const stack = writeFirst(changetype<usize>(message), MESSAGE_UNITS, text);
  const place = writeFirst(changetype<usize>(file), FILE_UNITS, stack);
  let attributes = place;
  let end = place;
  if (file) {
    attributes = decimal(column, decimal(line, place));
    end = writeShort(changetype<usize>("code.file.path"), attributes);
    store<u8>(end, STRING);
    store<u32>(end, place - stack, 1);
    memory.copy(end + 5, stack, place - stack);
    end += 5 + (place - stack);
    end = integer(changetype<usize>("code.line.number"), line, end);
    end = integer(changetype<usize>("code.column.number"), column, end);
  }
  host.exception(
    0,
    type,
    text - type,
    text,
    stack - text,
    stack,
    attributes - stack,
    attributes,
    end - attributes,
  );
  unreachable();
}

/** Writes an attribute at `to` and returns the end. */
function integer(key: usize, value: u32, to: usize): usize {
  const end = writeShort(key, to);
  store<u8>(end, I64);
  store<u64>(end, value, 1);
  return end + 9;
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
