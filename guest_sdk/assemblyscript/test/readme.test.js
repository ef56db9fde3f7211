// Does what README.md says, in a new project.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));
const readme = await readFile(join(root, "README.md"), "utf8");
const { devDependencies } = JSON.parse(
  await readFile(join(root, "package.json"), "utf8"),
);

/** The blocks of code in a language. */
function blocks(language) {
  const fence = new RegExp("^```" + language + "\n([^]*?)^```", "gm");
  return [...readme.matchAll(fence)].map(([, text]) => text);
}

const [setUp, build] = blocks("sh");
const [program, ...snippets] = blocks("ts");
const exported = [
  ...(await readFile(join(root, "index.ts"), "utf8")).matchAll(
    /^export \{([^}]*)\}|^export function (\w+)/gm,
  ),
].flatMap(([, list, name]) => (list ?? name).match(/\w+/g));

/** Runs commands with the shell, in a folder. */
async function shell(commands, cwd) {
  // npm hands its settings on to what it runs; these tests are to run it afresh.
  const clean = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("npm_"),
  );
  const env = Object.fromEntries(clean);
  const { stdout, stderr } = await promisify(execFile)(
    "sh",
    ["-euc", commands],
    { cwd, env },
  );
  return { stdout, stderr };
}

describe("README.md", () => {
  let folder;
  let packed;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "wasmscope-"));
    const pack = `npm pack --json --pack-destination "${folder}"`;
    [packed] = JSON.parse((await shell(pack, root)).stdout);
  });

  after(() => rm(folder, { recursive: true }));

  /** A new project with the package from `place`, after the first block. */
  async function project(name, place) {
    const cwd = join(folder, name);
    await mkdir(cwd);
    const path = "path/to/wasmscope/guest_sdk/assemblyscript";
    assert.ok(setUp.includes(path));
    const commands = setUp
      .replace(path, `"${place}"`)
      .replace(/ assemblyscript$/m, `$&@${devDependencies.assemblyscript}`);
    await shell(commands, cwd);
    return cwd;
  }

  async function buildsTheProgram(cwd) {
    await writeFile(join(cwd, "assembly/index.ts"), program);
    const [compile] = build.split("\n");
    assert.match(compile, /^npx asc /);
    const { stderr } = await shell(compile.replace("npx", "npx --no"), cwd);
    assert.doesNotMatch(stderr, /WARNING|ERROR|INFO/);
    const module = await WebAssembly.compile(
      await readFile(join(cwd, "hello.wasm")),
    );
    const imports = WebAssembly.Module.imports(module);
    assert.ok(imports.length > 3);
    assert.ok(imports.every((item) => item.module === "wasmscope_v1"));
    const exports = WebAssembly.Module.exports(module);
    assert.ok(exports.some(({ name }) => name === "hello"));
  }

  it("has the program of the example", async () => {
    const example =
      "../../examples/02_hello_assemblyscript/guest/assembly/index.ts";
    assert.equal(program, await readFile(join(root, example), "utf8"));
  });

  it("comes with the sources and nothing else", () => {
    const names = packed.files.map(({ path }) => path);
    const others = names.filter((name) => !/^assembly\/\w+\.ts$/.test(name));
    assert.deepEqual(others.sort(), [
      "LICENSE",
      "README.md",
      "index.ts",
      "package.json",
    ]);
  });

  it("gives a program that compiles with the packed package", async () => {
    const place = join(folder, packed.filename);
    await buildsTheProgram(await project("packed", place));
  });

  describe("with the package installed from its folder", () => {
    let cwd;

    before(async () => {
      cwd = await project("linked", root);
    });

    it("gives a program that compiles", () => buildsTheProgram(cwd));

    it("has short examples that compile", async () => {
      assert.ok(snippets.length >= 5);
      const functions = snippets.map(
        (text, n) => `export function example${n}(item: i32): void {\n${text}}`,
      );
      const text = `
        import { ${exported.join(", ")} } from "wasmscope";
        function reserve(item: i32, span: Span): i32 {
          return item;
        }
        ${functions.join("\n")}
      `;
      await writeFile(join(cwd, "assembly/examples.ts"), text);
      await shell("npx --no asc assembly/examples.ts --noEmit", cwd);
    });
  });

  it("names everything that is exported", () => {
    for (const name of exported) {
      assert.match(readme, new RegExp(`\\b${name}\\b`), name);
    }
  });
});
