import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { before, describe, it } from "node:test";
import { build, hexOf, runtimes, start } from "./host.js";

const vectors = JSON.parse(
  await readFile(
    new URL("../../../tests/vectors/attributes.json", import.meta.url),
  ),
);

const bytesOf = (hex) => hex.replaceAll(" ", "");
const floatOf = (hex) => Buffer.from(hex, "hex").readDoubleBE();

/** Sets a value of the vectors' notation by the export for its type. */
function set(guest, key, value) {
  const [[type, content]] = Object.entries(value);
  if (typeof key === "object") {
    if (type === "string") return guest.fieldString(key.field, content);
    if (type === "bool") return guest.fieldBool(key.field, content);
  } else if (type === "string") return guest.setString(key, content);
  else if (type === "bool") return guest.setBool(key, content);
  else if (type === "i64") return guest.setI64(key, BigInt(content));
  else if (type === "f64") return guest.setF64(key, floatOf(content));
  else if (type === "empty") return guest.setEmpty(key);
  else if (type === "bytes") {
    return guest.setBytes(key, new Uint8Array(Buffer.from(content, "hex")));
  } else if (type === "map") {
    guest.begin();
    for (const [name, inner] of content) set(guest, name, inner);
    return guest.endMap(key);
  } else if (type === "array") {
    const types = new Set(content.map((item) => Object.keys(item)[0]));
    const items = content.map((item) => Object.values(item)[0]);
    const [only = "string"] = types;
    if (types.size < 2 && only === "string")
      return guest.setStrings(key, items);
    if (types.size < 2 && only === "i64") {
      return guest.setI64s(key, items.map(BigInt));
    }
    if (types.size < 2 && only === "f64") {
      return guest.setF64s(key, items.map(floatOf));
    }
  }
  throw new Error(`no export for ${JSON.stringify([key, value])}`);
}

/** The packed form of attributes in the vectors' notation, written by the tests. */
function packedHere(attributes) {
  const number = (size, value) => {
    const bytes = Buffer.alloc(size);
    bytes.writeUIntLE(value, 0, Math.min(size, 6));
    return bytes.toString("hex");
  };
  const sized = (size, text) =>
    number(size, Buffer.byteLength(text)) + hexOf(text);
  const packedValue = (value) => {
    const [[type, content]] = Object.entries(value);
    if (type === "string") return `01${sized(4, content)}`;
    if (type === "i64") return `03${number(8, content)}`;
    const inner = type === "array" ? content.map(packedValue).join("") : "";
    const count = number(4, content.length);
    if (type === "array") return `06${count}${inner}`;
    return `07${count}${packedHere(content)}`;
  };
  return attributes
    .map(([key, value]) => sized(2, key) + packedValue(value))
    .join("");
}

for (const runtime of runtimes) {
  describe(`runtime ${runtime}`, () => {
    let built;
    let guest;
    let host;

    before(async () => {
      built = await build("guest", runtime);
    });

    async function fresh() {
      ({ guest, host } = await start(built));
    }

    /** The packed form of attributes in the vectors' notation. */
    function packed(attributes) {
      guest.begin();
      for (const [key, value] of attributes) set(guest, key, value);
      guest.send("");
      return host.taken().at(-1).at(-1);
    }

    describe("the vectors", () => {
      before(fresh);

      for (const vector of vectors.lists) {
        it(`packs ${vector.name}`, () => {
          assert.equal(packed(vector.attributes), bytesOf(vector.hex));
        });
      }

      for (const vector of vectors.callsites) {
        it(`describes ${vector.name}`, () => {
          if (vector.attributes.length) {
            guest.begin();
            for (const [key, value] of vector.attributes)
              set(guest, key, value);
          }
          const fields = vector.fields.length ? vector.fields : null;
          const { severity, target, site, file, line } = vector;
          if (vector.kind === "span") {
            guest.spanSite(target, site, fields, file, line);
          } else {
            guest.logSite(severity, target, site, fields, file, line);
          }
          const [[name, descriptor]] = host.taken();
          assert.equal(name, "callsite");
          assert.equal(descriptor, bytesOf(vector.hex));
        });
      }

      for (const vector of vectors.instruments) {
        it(`describes ${vector.name}`, () => {
          const { instrument, unit, description } = vector;
          if (vector.boundaries.length) {
            const boundaries = vector.boundaries.map(floatOf);
            guest.record(instrument, unit, description, boundaries);
          } else {
            guest.count(instrument, unit, description);
          }
          const [[name, , , descriptor]] = host.taken();
          assert.equal(name, "instrument");
          assert.equal(descriptor, bytesOf(vector.hex));
        });
      }
    });

    describe("attributes", () => {
      before(fresh);

      it("have the types of their values", () => {
        guest.begin();
        guest.setOthers();
        guest.send("");
        const expected = [
          "0200 7538 03 ff00000000000000",
          "0300 693136 03 feffffffffffffff",
          "0300 753332 03 00286bee00000000",
          `0300 753634 01 14000000 ${hexOf("18446744073709551615")}`,
          "0300 663332 04 000000000000f83f",
          "0500 626f6f6c73 06 02000000 0201 0200",
          "0400 69333273 06 01000000 03 0000000000000000",
          "0600 6e6573746564 06 02000000",
          "06 01000000 03 0100000000000000",
          "06 02000000 03 0200000000000000 03 0300000000000000",
          "0400 6d617073 06 01000000",
          "07 01000000 0100 6b 03 0100000000000000",
          "0400 6e6f6e65 00",
        ];
        const [, , , , , list] = host.taken().at(-1);
        assert.equal(list, bytesOf(expected.join("")));
      });

      it("take an ArrayBuffer as bytes", () => {
        guest.begin();
        guest.setBuffer("b", new Uint8Array([1, 0, 255]).buffer);
        guest.send("");
        const [, , , , , list] = host.taken().at(-1);
        assert.equal(list, bytesOf("0100 62 05 03000000 0100ff"));
      });

      it("grow to any length", () => {
        guest.begin();
        let expected = "";
        for (let i = 0; i < 3000; i++) {
          const text = "x".repeat(i % 50);
          guest.setString("k", text);
          const size = Buffer.alloc(4);
          size.writeUInt32LE(text.length);
          expected += `01006b01${size.toString("hex")}${hexOf(text)}`;
        }
        guest.send("");
        const [, , , , , list] = host.taken().at(-1);
        assert.equal(list, expected);
      });

      it("have keys too long for a host rather than other keys", () => {
        guest.begin();
        guest.setBool("日".repeat(40_000), true);
        guest.send("");
        const [, , , , , list] = host.taken().at(-1);
        const size = Buffer.from(list, "hex").readUInt16LE();
        assert.ok(size > 256 && size < 0x8000, `${size} bytes`);
        assert.equal(list.slice(4), hexOf("日".repeat(size / 3)) + "0201");
      });
    });

    describe("texts", () => {
      before(fresh);

      function bodyOf(text) {
        guest.begin();
        guest.send(text);
        return host.taken().at(-1)[4];
      }

      it("are UTF-8 at all lengths of code points", () => {
        for (const point of [
          0, 0x7f, 0x80, 0x7ff, 0x800, 0xd7ff, 0xe000, 0xffff, 0x10000,
          0x10ffff,
        ]) {
          const text = `a${String.fromCodePoint(point)}b`;
          assert.equal(bodyOf(text), hexOf(text), point.toString(16));
        }
      });

      it("have U+FFFD for a lone surrogate", () => {
        const text = "a\ud800b\udc00c\udc00\ud800\ud83e\udd80d\ud83e";
        // Encoded here by Node.js, which does the same.
        assert.equal(bodyOf(text), hexOf(text));
        assert.equal(bodyOf("\ud800"), "efbfbd");
      });

      it("are whole at any length", () => {
        const sizes = [0, 1, 170, 171, 172, 513, 1024, 1025, 70_000];
        for (const size of sizes) {
          for (const unit of ["x", "ü", "日", "🦀"]) {
            const text = unit.repeat(size);
            assert.equal(bodyOf(text), hexOf(text), `${size} of ${unit}`);
          }
        }
      });
    });

    describe("loggers", () => {
      before(fresh);

      it("tell the host nothing before their first record", async () => {
        const { host: idle } = await start(built);
        assert.deepEqual(idle.taken(), []);
      });

      it("register each severity once", () => {
        guest.emit(9, "one");
        guest.emit(13, "two");
        guest.emit(9, "three");
        const site = (severity) =>
          bytesOf(`01 ${severity} 0000 00000000 0000 0600 6c6576656c73 0000`);
        assert.deepEqual(host.taken(), [
          ["callsite", site("09")],
          ["enabled", 1],
          ["log", 1, 9, 0n, hexOf("one"), ""],
          ["callsite", site("0d")],
          ["enabled", 2],
          ["log", 2, 13, 0n, hexOf("two"), ""],
          ["log", 1, 9, 0n, hexOf("three"), ""],
        ]);
      });

      it("pass on what is no severity, with one call site for all", () => {
        for (const severity of [25, -1, 2 ** 31 - 1]) {
          guest.emit(severity, "");
        }
        const calls = host.taken();
        const names = calls.map(([name]) => name);
        assert.deepEqual(names, ["callsite", "enabled", "log", "log", "log"]);
        for (const [, , severity] of calls.slice(2)) {
          assert.ok(severity < 0 || severity > 24);
        }
      });

      it("send nothing once the host has said never", () => {
        host.answers.set(host.nextId, 2);
        guest.emit(5, "never");
        guest.emit(5, "never");
        assert.equal(guest.enabled(5), false);
        const names = host.taken().map(([name]) => name);
        assert.deepEqual(names, ["callsite", "enabled"]);
      });

      it("ask again while the answer may change", () => {
        const site = host.nextId;
        host.answers.set(site, 0);
        assert.equal(guest.enabled(1), false);
        host.answers.set(site, 1);
        assert.equal(guest.enabled(1), true);
        host.answers.set(site, 3);
        guest.emit(1, "sent");
        assert.equal(host.taken().at(-1)[0], "log");
      });
    });

    describe("spans", () => {
      before(fresh);

      it("tell the host what is done to them, in order", () => {
        guest.spans();
        assert.deepEqual(host.taken(), [
          ["span_start", 0, hexOf("outer"), -1n, 3, ""],
          ["span_enter", 1n],
          ["span_start", 0, hexOf("inner"), 0n, 0, ""],
          ["span_link", 2n, 1n, ""],
          ["span_event", 2n, hexOf("event"), ""],
          ["span_status", 2n, 1, ""],
          ["span_rename", 2n, hexOf("renamed")],
          ["span_attributes", 2n, bytesOf("0300 6b6579 03 0100000000000000")],
          [
            "exception",
            2n,
            hexOf("Type"),
            hexOf("message"),
            hexOf("stack"),
            "",
          ],
          ["span_exit", 2n],
          ["span_end", 2n],
          ["span_end", 1n],
          ["span_status", 0n, 2, hexOf("late")],
          ["flush"],
        ]);
      });

      it("end when the function given to withSpan returns", () => {
        assert.equal(guest.doubled(21), 42);
        guest.answered(1);
        const names = host.taken().map(([name]) => name);
        const each = [
          "span_start",
          "span_enter",
          "span_attributes",
          "span_end",
        ];
        assert.deepEqual(names, [...each, ...each]);
      });
    });

    describe("instruments", () => {
      before(fresh);

      it("are registered once and measure with their number type", () => {
        guest.count("c", "", "");
        guest.record("h", "", "", null);
        assert.deepEqual(host.taken(), [
          ["instrument", 1, 0, bytesOf("0100 63 0000 0000 0000")],
          ["measure_i64", 1, 1n, 0],
          ["measure_i64", 1, 2n, 3],
          ["instrument", 3, 1, bytesOf("0100 68 0000 0000 0000")],
          ["measure_f64", 2, 1.5, 0],
        ]);
      });
    });

    describe("contexts", () => {
      before(fresh);

      it("give the ids of the current span", () => {
        assert.equal(
          guest.ids(),
          "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff 0001020304050607 1 remote",
        );
        host.traceIsValid = false;
        assert.equal(guest.ids(), "none");
      });

      it("come in, and are forgotten when they end", () => {
        host.taken();
        assert.equal(guest.incoming("00-a-b-01", "v=ü"), true);
        assert.equal(guest.incoming("", ""), false);
        assert.deepEqual(host.taken(), [
          ["remote_context", hexOf("00-a-b-01"), hexOf("v=ü")],
          ["span_end", 1n],
          ["remote_context", "", ""],
        ]);
      });

      it("go out at any length", () => {
        assert.equal(guest.outgoing("traceparent"), "none");
        for (const text of ["ü", "x".repeat(256), "日".repeat(1000)]) {
          host.injected = text;
          assert.equal(guest.outgoing("traceparent"), text);
        }
      });

      it("have baggage of any length, also an empty value", () => {
        assert.equal(guest.baggageOf("tenant"), "none");
        for (const text of ["", "acme", "日".repeat(1000)]) {
          host.baggage = text;
          assert.equal(guest.baggageOf("tenant"), text);
        }
      });
    });

    describe("abort", () => {
      before(fresh);

      it("reports message and place, then traps, any number of times", () => {
        for (const message of ["boom", "bü🦀", "boom"]) {
          assert.throws(() => guest.fail(message), WebAssembly.RuntimeError);
          const [[name, span, type, text, stack, attributes]] = host.taken();
          assert.equal(name, "exception");
          assert.equal(span, 0n);
          assert.equal(type, hexOf("abort"));
          assert.equal(text, hexOf(message));
          const place = Buffer.from(stack, "hex").toString();
          assert.match(place, /^test\/guest\.ts:\d+:3$/);
          const line = Number(place.split(":")[1]);
          assert.equal(
            attributes,
            packedHere([
              ["code.file.path", { string: "test/guest.ts" }],
              ["code.line.number", { i64: line }],
              ["code.column.number", { i64: 3 }],
            ]),
          );
        }
      });

      it("cuts a long message", () => {
        assert.throws(() => guest.fail("日".repeat(50_000)));
        const [[, , , text]] = host.taken();
        assert.equal(text, hexOf("日".repeat(1000)));
      });
    });

    describe("memory", () => {
      before(fresh);

      it("does not grow with records whose list is used again", () => {
        for (const body of ["short", "x".repeat(300), "日".repeat(2000)]) {
          const pages = guest.work(10, body);
          assert.equal(guest.work(5000, body), pages);
          host.taken();
        }
      });

      // The incremental runtime collects by itself, the minimal one when the
      // host asks, the stub never.
      if (runtime !== "stub") {
        it("does not grow with lists and spans either", () => {
          const round = () => {
            const pages = guest.churn(5000);
            if (runtime === "minimal") guest.__collect();
            return pages;
          };
          round();
          const pages = round();
          for (let i = 0; i < 10; i++) assert.equal(round(), pages);
        });
      }

      it("is intact while the collector works", () => {
        host.taken();
        guest.stress(3000);
        const logs = host.taken().filter(([name]) => name === "log");
        assert.equal(logs.length, 3000);
        for (const [n, [, , , , body, list]] of logs.entries()) {
          assert.equal(body, hexOf(`body ${n}`));
          const expected = packedHere([
            [`key ${n}`, { string: `value ${n}` }],
            ["list", { array: [{ string: `a${n}` }, { string: `b${n}` }] }],
            [
              "map",
              {
                map: [
                  [`k${n}`, { string: `v${n}` }],
                  [`x${n}`, { i64: n }],
                ],
              },
            ],
            ["text", { string: "long text ".repeat(n % 40) }],
          ]);
          assert.equal(list, expected);
        }
      });
    });

    it("imports only what is used, and no env.abort", () => {
      const imports = WebAssembly.Module.imports(built.module);
      assert.ok(imports.every(({ module }) => module === "wasmscope_v1"));
      const names = imports.map(({ name }) => name);
      assert.ok(!names.includes("abi_version"));
      assert.ok(names.includes("baggage_get"));
    });
  });
}
