import * as host from "./wasmscope_v1";
import { addressOf, Attributes, sizeOf } from "./attributes";
import { CallSite } from "./callsite";
import { Context, handleOf } from "./context";
import { borrow, bound, keep, release, write } from "./text";

/** OpenTelemetry's severity numbers. */
export const enum Severity {
  TRACE = 1,
  TRACE2,
  TRACE3,
  TRACE4,
  DEBUG,
  DEBUG2,
  DEBUG3,
  DEBUG4,
  INFO,
  INFO2,
  INFO3,
  INFO4,
  WARN,
  WARN2,
  WARN3,
  WARN4,
  ERROR,
  ERROR2,
  ERROR3,
  ERROR4,
  FATAL,
  FATAL2,
  FATAL3,
  FATAL4,
}

/** Stands for every number that is no severity; the host counts it. */
const NO_SEVERITY: u32 = 25;

const LOG: u8 = 1;

/**
 * One kind of log record. Its severity, event name, target, field names and
 * constant attributes are told to the host once. Make it a constant: it lives
 * as long as the instance.
 */
@unmanaged
export class LogSite extends CallSite {
  constructor(
    severity: Severity,
    target: string = "",
    eventName: string = "",
    fields: StaticArray<string> | null = null,
    attributes: Attributes | null = null,
    file: string = "",
    line: u32 = 0,
  ) {
    super(
      LOG,
      severity,
      changetype<usize>(eventName),
      changetype<usize>(target),
      changetype<usize>(fields),
      changetype<usize>(attributes),
      changetype<usize>(file),
      line,
    );
  }

  emit(
    body: string,
    attributes: Attributes | null = null,
    context: Context | null = null,
  ): void {
    send(
      this,
      changetype<usize>(body),
      changetype<usize>(attributes),
      changetype<usize>(context),
    );
  }
}

function send(
  site: CallSite,
  body: usize,
  attributes: usize,
  context: usize,
): void {
  const id = site.register();
  if (site.silent) return;
  const room = borrow(bound(body));
  host.log(
    id,
    site.severity,
    handleOf(context),
    room,
    write(body, room) - room,
    addressOf(attributes),
    sizeOf(attributes),
  );
  release(room);
}

/**
 * The log records of one part of the program. Make it a constant: it lives as
 * long as the instance.
 */
@unmanaged
export class Logger {
  private target: usize;
  private sites: CallSite | null = null;

  /** `target` names the part: a module path or a category. */
  constructor(target: string = "") {
    this.target = keep(changetype<usize>(target));
  }

  trace(body: string, attributes: Attributes | null = null): void {
    send(
      this.site(Severity.TRACE),
      changetype<usize>(body),
      changetype<usize>(attributes),
      0,
    );
  }

  debug(body: string, attributes: Attributes | null = null): void {
    send(
      this.site(Severity.DEBUG),
      changetype<usize>(body),
      changetype<usize>(attributes),
      0,
    );
  }

  info(body: string, attributes: Attributes | null = null): void {
    send(
      this.site(Severity.INFO),
      changetype<usize>(body),
      changetype<usize>(attributes),
      0,
    );
  }

  warn(body: string, attributes: Attributes | null = null): void {
    send(
      this.site(Severity.WARN),
      changetype<usize>(body),
      changetype<usize>(attributes),
      0,
    );
  }

  error(body: string, attributes: Attributes | null = null): void {
    send(
      this.site(Severity.ERROR),
      changetype<usize>(body),
      changetype<usize>(attributes),
      0,
    );
  }

  fatal(body: string, attributes: Attributes | null = null): void {
    send(
      this.site(Severity.FATAL),
      changetype<usize>(body),
      changetype<usize>(attributes),
      0,
    );
  }

  /** Logs with any severity, and in the context of another span. */
  emit(
    severity: Severity,
    body: string,
    attributes: Attributes | null = null,
    context: Context | null = null,
  ): void {
    send(
      this.site(severity),
      changetype<usize>(body),
      changetype<usize>(attributes),
      changetype<usize>(context),
    );
  }

  /** Whether a record of this severity would be kept. */
  enabled(severity: Severity): bool {
    return this.site(severity).enabled;
  }

  private site(severity: i32): CallSite {
    if ((severity as u32) >= NO_SEVERITY) severity = NO_SEVERITY;
    let site = this.sites;
    while (site) {
      if (site.severity == severity) return site;
      site = site.next;
    }
    const none = changetype<usize>("");
    const made = new CallSite(LOG, severity, none, this.target, 0, 0, none, 0);
    made.next = this.sites;
    this.sites = made;
    return made;
  }
}
