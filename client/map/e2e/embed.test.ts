// A match in a frame of somebody else's page.
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import axe from "axe-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Database, Relay } from "../../test/e2e/rig.js";
import { Browser, type Watched } from "./browser.js";
import { fill, isDrawn } from "./match.js";

const DIST = new URL("../dist/", import.meta.url).pathname;
const SHOTS = new URL("../shots/", import.meta.url).pathname;

const browser = new Browser();
let database: Database;
let own: Relay;
let framed: Relay;
let watched: Watched | undefined;
let address = "";
const host = createServer((request, response) => {
  response.setHeader("content-type", "text/html");
  response.end(request.url === "/favicon.ico" ? "" : `<!doctype html><title>Host</title><iframe title="Votes" width="640" height="480" src="${decodeURIComponent(request.url!.slice(1))}"></iframe>`);
});

beforeAll(async () => {
  database = await Database.create("embed_e2e");
  await fill(database, "final");
  host.listen(0, "127.0.0.1");
  await once(host, "listening");
  address = `http://127.0.0.1:${(host.address() as AddressInfo).port}`;
  own = await Relay.start("embed_e2e", [`--map-dir=${DIST}`]);
  framed = await Relay.start("embed_e2e", [`--map-dir=${DIST}`, `--frame-ancestors=self,${address}`]);
});

afterEach(async () => {
  const faults = watched?.faults ?? [];
  watched = undefined;
  await browser.close();
  expect(faults).toEqual([]);
});

afterAll(async () => {
  await own?.stop();
  await framed?.stop();
  await database?.drop();
  host.close();
});

test("a page of another origin shows a match in a frame where the relay allows it, and nowhere else", async () => {
  watched = await browser.open(`${address}/${encodeURIComponent(`${framed.url}/embed?match=final&theme=dark`)}`, {}, [framed.url, own.url]);
  const { page } = watched;
  const frame = page.frameLocator("iframe");
  await frame.locator(".headline strong").waitFor();
  await frame.locator(".map-canvas canvas").first().waitFor();
  expect(await frame.locator("nav, .panel").count()).toBe(0);
  watched.mayFail = true;
  await page.goto(`${address}/${encodeURIComponent(`${own.url}/embed?match=final`)}`);
  await page.waitForFunction(() => document.readyState === "complete");
  const inner = page.frames().find((each) => each !== page.mainFrame());
  await expect.poll(() => inner?.locator("h1 bdi").count().catch(() => 0), { timeout: 3_000 }).toBe(0);
  watched.faults.splice(0, watched.faults.length, ...watched.faults.filter((fault) => !/frame-ancestors|chrome-error|request elsewhere: chrome/.test(fault)));
});

test("the address says what is shown, and in which colours; nonsense is left out", async () => {
  watched = await browser.open(`${framed.url}/embed?match=final&theme=light&ink=112233&accent=%23FF6600&ground=url(x)&parts=score,numbers`);
  const { page } = watched;
  await page.locator("[data-total]").waitFor();
  expect(await page.locator(".map").count()).toBe(0);
  const style = await page.evaluate(() => ["--ink", "--accent", "--ground"].map((name) => document.documentElement.style.getPropertyValue(name)));
  expect(style).toEqual(["#112233", "#ff6600", ""]);
  expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe("light");
});

test("a small frame holds name, score and map without scrolling, and no fault of accessibility", async () => {
  watched = await browser.open(`${framed.url}/embed?match=final`, { width: 640, height: 480 });
  const { page } = watched;
  await isDrawn(page, 1);
  expect(await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.scrollHeight])).toEqual([640, 480]);
  const map = (await page.locator(".map").boundingBox())!;
  expect(map.height).toBeGreaterThan(200);
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() => (window as unknown as { axe: typeof axe }).axe.run());
  expect(violations.filter(({ impact }) => impact === "serious" || impact === "critical").map(({ id }) => id)).toEqual([]);
  await page.screenshot({ path: `${SHOTS}embed.png` });
});
