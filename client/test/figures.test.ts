// What a page pays: bytes to load, and memory. And that the package, as built, is one.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "..");
const run = (...args: string[]) => promisify(execFile)(process.execPath, args, { cwd: ROOT });

/** What a page loads at once: the code, without what it imports later. */
async function bundle(code: string, splitting = true) {
  const { outputFiles, metafile } = await build({
    stdin: { contents: code, resolveDir: ROOT }, bundle: true, minify: true, format: "esm", write: false, metafile: true,
    external: ["react", "socket.io-client", "h3-js", "maplibre-gl", "@deck.gl/*"], splitting, outdir: "out",
  });
  const parts = [Object.keys(metafile.outputs).find((path) => metafile.outputs[path]!.entryPoint === "<stdin>")!];
  for (const part of parts) {
    const atOnce = metafile.outputs[part]!.imports.filter(({ kind, external }) => kind === "import-statement" && !external);
    parts.push(...atOnce.map(({ path }) => path).filter((path) => !parts.includes(path)));
  }
  const files = parts.map((part) => outputFiles.find(({ path }) => path.endsWith(part))!);
  return {
    bytes: files.reduce((sum, { contents }) => sum + gzipSync(contents, { level: 9 }).length, 0),
    inputs: parts.flatMap((part) => Object.keys(metafile.outputs[part]!.inputs)),
    code: files.map(({ text }) => text).join(""),
  };
}

test("the hook is at most 6.5 KB beyond socket.io-client, and knows nothing of h3-js", async () => {
  const { bytes, inputs } = await bundle('export { useVoteSocket } from "vote-agg-client/react";');
  expect(bytes).toBeLessThanOrEqual(6.5 * 1024);
  expect(inputs.filter((path) => path.includes("node_modules"))).toEqual([]);
  // A page that only watches loads no voter.
  expect(inputs.filter((path) => path.endsWith("dist/store.js"))).toHaveLength(1);
  expect(inputs.filter((path) => path.endsWith("dist/voter.js"))).toEqual([]);
});

test("the map loads at once what tells the score, and what draws comes later", async () => {
  const { bytes, inputs, code } = await bundle('export { VoteMap } from "vote-agg-client/map";');
  expect(bytes).toBeLessThanOrEqual(20 * 1024);
  expect(inputs.filter((path) => /dist\/map\/(PackedStage|coarse|fine|places)\.js$/.test(path))).toEqual([]);
  expect(code).not.toMatch(/maplibre-gl|@deck\.gl/);
});

test("who takes one function pays for no other", async () => {
  const { bytes, code } = await bundle('export { calculateDominance } from "vote-agg-client";', false);
  expect(bytes).toBeLessThan(512);
  expect(code).not.toContain("socket.io-client");
});

test("100,000 cells take at most 40 MB", async () => {
  const { stdout } = await run("--expose-gc", "test/memory.js");
  expect(Number(stdout)).toBeGreaterThan(5);
  expect(Number(stdout)).toBeLessThanOrEqual(40);
});

test("node loads what was built, and only with h3-js what needs it", async () => {
  const names = async (path: string) => (await run("--input-type=module", "-e", `console.log(Object.keys(await import("${path}")).sort().join())`)).stdout.trim();
  expect(await names("vote-agg-client")).toBe("VoteRefusal,applyMessage,calculateDominance,createVoteStore,createVoter,filterByThreshold,topAggregates");
  expect(await names("vote-agg-client/react")).toBe("useVoteSocket");
  // Its peers are asked for by what draws, so not before there is a page.
  expect(await names("vote-agg-client/map")).toBe("VoteMap");
  expect(await names("vote-agg-client/geo")).toBe("aggregateByResolution,calculateH3Neighbors,formatAggregateForMap");
  const { dependencies, sideEffects, peerDependencies, peerDependenciesMeta } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as Record<string, object>;
  expect([Object.keys(dependencies!), sideEffects]).toEqual([["socket.io-client"], ["**/*.css"]]);
  // Nobody installs more than they use.
  expect(peerDependenciesMeta).toEqual(Object.fromEntries(Object.keys(peerDependencies!).map((name) => [name, { optional: true }])));
});
