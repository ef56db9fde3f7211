// Builds test/guest.ts and gives it a host that notes down what it is told.

import { mkdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const root = fileURLToPath(new URL("..", import.meta.url));

export const runtimes = ["incremental", "minimal", "stub"];

/** Compiles a file of this folder; returns the module and its JavaScript bindings. */
export async function build(name, runtime) {
  const folder = `test/build/${runtime}`;
  await mkdir(`${root}/${folder}`, { recursive: true });
  const { error, stderr } = await asc.main(
    [
      `test/${name}.ts`,
      "-O3",
      "--runtime",
      runtime,
      "--bindings",
      "raw",
      "--outFile",
      `${folder}/${name}.wasm`,
      "--use",
      "abort=index/abort",
    ],
    { stdout: asc.createMemoryStream(), baseDir: root },
  );
  if (error) throw new Error(`${error.message}\n${stderr}`);
  if (stderr.toString()) throw new Error(`the compiler says: ${stderr}`);
  const bytes = await readFile(`${root}/${folder}/${name}.wasm`);
  const bindings = await import(`./build/${runtime}/${name}.js`);
  return {
    module: await WebAssembly.compile(bytes),
    instantiate: bindings.instantiate,
  };
}

/**
 * A host whose functions note their name and arguments in `calls`; where they
 * take an address and a size, the bytes as hexadecimal digits.
 */
export class Host {
  calls = [];
  // What `enabled` answers, by call site.
  answers = new Map();
  memory = undefined;
  nextId = 1;
  nextHandle = 1n;
  injected = "";
  baggage = undefined;
  traceIsValid = true;

  get imports() {
    const note = (name, ...args) => this.calls.push([name, ...args]);
    return {
      abi_version: () => 0x10000,
      flush: () => void note("flush"),
      callsite: (at, size) => {
        note("callsite", this.hex(at, size));
        return this.nextId++;
      },
      enabled: (site) => {
        note("enabled", site);
        return this.answers.get(site) ?? 3;
      },
      log: (site, severity, context, body, bodySize, at, size) =>
        void note(
          "log",
          site,
          severity,
          context,
          this.hex(body, bodySize),
          this.hex(at, size),
        ),
      span_start: (site, name, nameSize, context, kind, at, size) => {
        const text = this.hex(name, nameSize);
        note("span_start", site, text, context, kind, this.hex(at, size));
        return this.nextHandle++;
      },
      span_enter: (span) => void note("span_enter", span),
      span_exit: (span) => void note("span_exit", span),
      span_end: (span) => void note("span_end", span),
      span_attributes: (span, at, size) =>
        void note("span_attributes", span, this.hex(at, size)),
      span_event: (span, name, nameSize, at, size) =>
        void note(
          "span_event",
          span,
          this.hex(name, nameSize),
          this.hex(at, size),
        ),
      span_link: (span, target, at, size) =>
        void note("span_link", span, target, this.hex(at, size)),
      span_status: (span, code, at, size) =>
        void note("span_status", span, code, this.hex(at, size)),
      span_rename: (span, at, size) =>
        void note("span_rename", span, this.hex(at, size)),
      exception: (span, ...texts) => {
        const parts = [0, 2, 4, 6].map((i) => this.hex(texts[i], texts[i + 1]));
        note("exception", span, ...parts);
      },
      span_context: (context, out) => {
        note("span_context", context);
        if (!this.traceIsValid) return 0;
        const bytes = new Uint8Array(this.memory.buffer, out, 32);
        bytes.fill(0);
        for (let i = 0; i < 24; i++) bytes[i] = 0xf0 + i;
        bytes[24] = 1;
        bytes[25] = 1;
        return 1;
      },
      inject: (context, at, size, out, capacity) => {
        note("inject", context, this.hex(at, size), capacity);
        return this.answer(this.injected, out, capacity);
      },
      baggage_get: (at, size, out, capacity) => {
        note("baggage_get", this.hex(at, size), capacity);
        if (this.baggage === undefined) return -1;
        return this.answer(this.baggage, out, capacity);
      },
      remote_context: (parent, parentSize, state, stateSize) => {
        const text = this.hex(parent, parentSize);
        note("remote_context", text, this.hex(state, stateSize));
        return parentSize ? this.nextHandle++ : 0n;
      },
      instrument: (kind, number, at, size) => {
        note("instrument", kind, number, this.hex(at, size));
        return this.nextId++;
      },
      attribute_set: (at, size) => {
        note("attribute_set", this.hex(at, size));
        return this.nextId++;
      },
      measure_i64: (...args) => void note("measure_i64", ...args),
      measure_f64: (...args) => void note("measure_f64", ...args),
    };
  }

  hex(at, size) {
    return Buffer.from(this.memory.buffer, at, size).toString("hex");
  }

  answer(text, out, capacity) {
    const bytes = Buffer.from(text);
    if (bytes.length <= capacity) {
      new Uint8Array(this.memory.buffer).set(bytes, out);
    }
    return bytes.length;
  }

  /** The calls since the last time. */
  taken() {
    return this.calls.splice(0);
  }
}

/** Starts a guest; returns its exports and its host. */
export async function start({ module, instantiate }) {
  const host = new Host();
  const imports = host.imports;
  const guest = await instantiate(module, { wasmscope_v1: imports });
  host.memory = guest.memory;
  return { guest, host };
}

export function hexOf(text) {
  return Buffer.from(text).toString("hex");
}
