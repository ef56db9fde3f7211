// Measures what the SDK adds to a module, and holds it against the limits
// below and the table in README.md.
//
// Usage: node script/size.js [--update]
//
//   --update  write the figures into README.md

import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const root = fileURLToPath(new URL("..", import.meta.url));
const runtimes = ["incremental", "minimal", "stub"];

// What a program in test/size may have over an empty one, in bytes, by runtime.
const cases = [
  { name: "heap", what: "no SDK, one object on the heap" },
  { name: "logs", what: "logs", limits: [3200, 3200, 1500] },
  {
    name: "attributes",
    what: "logs with attributes",
    limits: [5700, 4500, 2500],
  },
  {
    name: "spans",
    what: "logs with attributes, spans",
    limits: [6500, 5100, 3100],
  },
  {
    name: "metrics",
    what: "a counter with attributes",
    limits: [5400, 4200, 2200],
  },
  { name: "everything", what: "everything", limits: [15000, 11600, 9400] },
];

async function size(name, runtime) {
  let bytes = 0;
  const { error, stderr } = await asc.main(
    [`test/size/${name}.ts`, "-O3", "--runtime", runtime].concat(
      ["--outFile", "out.wasm"],
      name === "everything" ? ["--use", "abort=index/abort"] : [],
    ),
    {
      baseDir: root,
      stdout: asc.createMemoryStream(),
      writeFile: (file, contents) => void (bytes = contents.length),
    },
  );
  if (error) throw new Error(`${error.message}\n${stderr}`);
  return bytes;
}

const empty = await Promise.all(runtimes.map((r) => size("empty", r)));
const rows = [];
let failed = false;
for (const { name, what, limits } of cases) {
  const cells = [];
  for (const [i, runtime] of runtimes.entries()) {
    const bytes = (await size(name, runtime)) - empty[i];
    cells.push(bytes.toLocaleString("en"));
    if (limits && bytes > limits[i]) {
      console.error(
        `${what}, ${runtime}: ${bytes} bytes, but the limit is ${limits[i]}`,
      );
      failed = true;
    }
  }
  rows.push([what, ...cells]);
}

const header = ["bytes over an empty module", ...runtimes];
const widths = header.map((_, i) =>
  Math.max(...[header, ...rows].map((row) => row[i].length)),
);
const line = (row) =>
  `| ${row.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join(" | ")} |`;
const rule = widths.map((width, i) =>
  i ? `${"-".repeat(width - 1)}:` : "-".repeat(width),
);
const table = [header, rule, ...rows].map(line).join("\n");
console.log(table);

const readme = `${root}/README.md`;
const text = await readFile(readme, "utf8");
const place =
  /(<!-- sizes: node script\/size.js --update -->\n\n)[^]*?(?=\n\n)/;
if (!place.test(text)) throw new Error("README.md has no place for the sizes");
const updated = text.replace(place, `$1${table}`);
if (process.argv.includes("--update")) {
  await writeFile(readme, updated);
} else if (updated !== text) {
  console.error(
    "The table in README.md is not this one: node script/size.js --update",
  );
  failed = true;
}
process.exitCode = failed ? 1 : 0;
