// The package as npm packs it, in projects that have only what its package.json promises: built and run.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, inject, test } from "vitest";
import { Browser, type Watched } from "../../map/e2e/browser.js";
import { ScriptedRelay } from "../relay.js";
import { CLIENT, NODE, run, serve, WEB } from "./run.js";

const PARIS = "871fb4662ffffff";

const packed = inject("packed");
const browser = new Browser();
let relay: ScriptedRelay;
let server: ChildProcess | undefined;

const bin = (name: string) => join(WEB, "node_modules/.bin", name);

beforeEach(async () => {
  relay = await ScriptedRelay.start();
  relay.fold("final", [[PARIS, { home: 1 }]]);
});

afterEach(async () => {
  await browser.close();
  server?.kill();
  server = undefined;
  await relay.stop();
});

test("the tarball has the licence, the words and what was built, and nothing else", () => {
  expect(packed.filter((path) => !path.startsWith("dist/")).sort()).toEqual(["LICENSE", "README.md", "geo/package.json", "package.json", "react/package.json"]);
  expect(packed.filter((path) => !/^dist\/(cjs\/)?(map\/)?[\w-]+\.(js|d\.ts)$/.test(path) && path.startsWith("dist/")).sort()).toEqual(
    ["dist/cjs/package.json", "dist/map.css", "dist/map.css.d.ts", "dist/map/NOTICE.txt"]);
  for (const entry of ["index", "react", "geo", "map/VoteMap"]) {
    for (const path of [`dist/${entry}.js`, `dist/${entry}.d.ts`, `dist/cjs/${entry}.js`, `dist/cjs/${entry}.d.ts`]) expect(packed).toContain(path);
  }
  expect(readFileSync(join(CLIENT, "LICENSE"), "utf8")).toBe(readFileSync(join(CLIENT, "../LICENSE"), "utf8"));
});

test("the modules for React say that they run in the browser, before anything else", () => {
  const first = (path: string) => readFileSync(join(WEB, "node_modules/vote-agg-client/dist", path), "utf8").split("\n").filter((line) => line !== '"use strict";')[0];
  for (const path of ["react.js", "cjs/react.js", "map/VoteMap.js", "cjs/map/VoteMap.js"]) expect(first(path), path).toBe('"use client";');
});

test.each([
  ["ES modules", ["follow.mjs"]],
  ["CommonJS", ["follow.cjs"]],
  // Up to Node 20.18 there is no require of an ES module.
  ["CommonJS without require(esm)", [...process.allowedNodeEnvironmentFlags.has("--experimental-require-module") ? ["--no-experimental-require-module"] : [], "follow.cjs"]],
])("Node, %s: a script follows a match and ends by itself", async (_, args) => {
  const script = run(process.execPath, [...args, relay.url, "final"], NODE);
  await once(relay.namespace, "connection");
  const timer = setInterval(() => relay.fold("final", [[PARIS, { home: 2 }]]), 200);
  const lines = (await script.finally(() => clearInterval(timer))).trim().split("\n");
  expect(lines.at(-1)).toBe("2");
});

test("old resolvers find the entries that Node can load, by main and by folder", async () => {
  const paths = await run(process.execPath, ["-e", `
    const path = require("node:path"), root = path.resolve("node_modules/vote-agg-client");
    for (const entry of [".", "react", "geo"]) {
      const { main, types } = require(path.join(root, entry, "package.json"));
      for (const file of [main, types]) require("node:fs").statSync(path.join(root, entry, file));
      if (entry === ".") console.log(Object.keys(require(path.join(root, main))).length);
    }`], NODE);
  expect(Number(paths)).toBeGreaterThan(3);
});

/** Votes come while the page looks on. */
async function isLive({ page }: Watched, end: string) {
  await page.getByText(`home leads, 1 votes${end}`, { exact: true }).waitFor();
  relay.fold("final", [[PARIS, { away: 5 }]]);
  await page.getByText(`away leads, 5 votes${end}`, { exact: true }).waitFor();
}

test("Vite and React: checked strictly, built, live over one socket in StrictMode", async () => {
  await run(bin("tsc"), ["-p", "."], WEB);
  await run(bin("vite"), ["build", "--config", "vite/vite.config.js"], WEB);
  const { site, address } = await serve(join(WEB, "vite/dist"));
  const watched = await browser.open(`${address}/?relay=${relay.url}`, {}, [relay.url]);
  await isLive(watched, " from 1 cells");
  expect([watched.faults, relay.seen]).toEqual([[], { connections: 1, disconnections: 0 }]);
  site.close();
});

test("Next.js: a server component above the hook, built, rendered on the server, live after hydration", async () => {
  const at = join(WEB, "next");
  await run(bin("next"), ["build"], at, { RELAY_URL: relay.url });
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  server = spawn(bin("next"), ["start", "-p", String(port), "-H", "127.0.0.1"], {
    cwd: at, env: { ...process.env, NODE_ENV: "production", NEXT_TELEMETRY_DISABLED: "1", RELAY_URL: relay.url }, stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const text of server.stdout!) if (String(text).includes("Ready")) break;
  const url = `http://127.0.0.1:${port}/`;
  const html = await (await fetch(url)).text();
  // React puts comments between the texts of one line.
  expect(html.replace(/<!--.*?-->/g, "")).toContain("Nobody leads, 0 votes (connecting…)");
  expect(html).toContain('data-dominance="0.5"');
  const watched = await browser.open(url, {}, [relay.url]);
  await isLive(watched, "");
  expect([watched.faults, relay.seen]).toEqual([[], { connections: 1, disconnections: 0 }]);
});
