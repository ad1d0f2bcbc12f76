// The page in a real browser, on a real relay and database.
import { readdirSync, readFileSync, statSync } from "node:fs";
import axe from "axe-core";
import { cellToLatLng } from "h3-js";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Database, eventually, Relay, SECRET, token } from "../../test/e2e/rig.js";
import { Palette } from "../src/colour.js";
import { Browser, type Watched } from "./browser.js";
import { cellsOf, fill, isDrawn, shows, totalOf } from "./match.js";

const DIST = new URL("../dist/", import.meta.url).pathname;
const SHOTS = new URL("../shots/", import.meta.url).pathname;
const FLAGS = [`--map-dir=${DIST}`];

const browser = new Browser();
let database: Database;
let relay: Relay;
let guarded: Relay;
let open: Watched | undefined;

beforeAll(async () => {
  database = await Database.create("map_e2e");
  await database.rows("SELECT open_match('final', ARRAY['home', 'away'])");
  await fill(database, "final");
  relay = await Relay.start("map_e2e", FLAGS);
  guarded = await Relay.start("map_e2e", [...FLAGS, "--auth=required", `--jwt-key=${SECRET}`]);
});

test("the page works below a path, from its list to a match and back", async () => {
  const below = await Relay.start("map_e2e", [...FLAGS, "--path-prefix=/live"]);
  try {
    const page = await show(`${below.url}/live`);
    await page.locator("a.card", { hasText: "final" }).click();
    await shows(page, await totalOf(database, "final"));
    expect(new URL(page.url()).pathname).toBe("/live/");
    await page.locator("svg.momentum").waitFor();
    await page.getByRole("link", { name: "All matches" }).first().click();
    await page.locator("a.card", { hasText: "final" }).waitFor();
    expect(new URL(page.url()).pathname).toBe("/live/");
  } finally {
    await below.stop();
  }
});

afterEach(async () => {
  const faults = open?.faults;
  open = undefined;
  await browser.close();
  if (faults) expect(faults).toEqual([]);
});

afterAll(async () => {
  await relay?.stop();
  await guarded?.stop();
  await database?.drop();
});

async function show(...args: Parameters<Browser["open"]>): Promise<Page> {
  open = await browser.open(...args);
  return open.page;
}

/** Where the middle of a cell is in the window; null: outside the map. */
function spot(page: Page, h3Index: string): Promise<{ x: number; y: number } | null> {
  const [lat, lng] = cellToLatLng(h3Index);
  return page.evaluate(([lat, lng]) => {
    const { base } = window.voteMap!;
    const { x, y } = base.project([lng!, lat!]);
    const { clientWidth, clientHeight } = base.getCanvas();
    // Away from what stands on the map.
    return x > 320 && y > 100 && x < clientWidth - 20 && y < clientHeight - 20 ? { x, y } : null;
  }, [lat, lng] as const);
}

/** What deck.gl picks there, and the colour that it draws it in. */
function picked(page: Page, { x, y }: { x: number; y: number }) {
  return page.evaluate(([x, y]) => {
    const info = window.voteMap!.overlay.pickObject({ x: x!, y: y! });
    if (!info) return null;
    const { getFillColor } = info.layer!.props as unknown as { getFillColor: (object: unknown, info: object) => number[] };
    return { place: info.object as string, colour: [...getFillColor(info.object, { index: info.index })] };
  }, [x, y] as const);
}

async function serious(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  // What comes in is half seen through until it rests.
  const isCalm = await page.evaluate(() => matchMedia("(prefers-reduced-motion: reduce)").matches);
  await page.emulateMedia({ reducedMotion: "reduce" });
  const { violations } = await page.evaluate(() => (window as unknown as { axe: typeof axe }).axe.run());
  await page.emulateMedia({ reducedMotion: isCalm ? "reduce" : "no-preference" });
  return violations.filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`));
}

test("hexagons stand where SQL has cells, in the colours of who leads there; numbers are SQL's, also after new votes", async () => {
  const page = await show(`${relay.url}/?match=final&z=3.4&lat=49&lng=8`);
  await shows(page, await totalOf(database, "final"));
  await isDrawn(page, 3);
  const palette = new Palette(["away", "home"], "light");
  const check = async () => {
    const cells = await cellsOf(database, "final", 3);
    let seen = 0;
    const led = new Set<string | null>();
    for (const cell of cells) {
      const at = await spot(page, cell.h3Index);
      if (!at || (led.has(cell.leader) && seen > 12)) continue;
      // Hexagons follow the numbers by a frame or two.
      await expect.poll(() => picked(page, at)).toEqual({ place: cell.h3Index, colour: [...palette.shade(cell.leader, cell.dominance)] });
      led.add(cell.leader);
      seen++;
    }
    expect(seen).toBeGreaterThan(12);
    expect(led).toEqual(new Set(["home", "away", null]));
  };
  await check();

  // New cells, cells that change hands, and more of the same, while the page looks on.
  await database.rows(`SELECT bulk_increment(jsonb_agg(jsonb_build_object('match_id', 'final', 'team_choice', 'away', 'country_code', 'FR',
    'h3_index', h3_from_lat_lng(46 + i % 7, i % 9, 7), 'votes', i * 40))) FROM generate_series(1, 60) AS i`);
  const began = Date.now();
  await database.settle();
  await shows(page, await totalOf(database, "final"));
  console.log(`new votes are on the page ${Date.now() - began} ms after they were cast`);
  const { seq } = (await database.rows<{ seq: string }>("SELECT seq FROM get_realtime_stats('final')"))[0]!;
  await page.waitForFunction((seq) => document.querySelector<HTMLElement>(".page")!.dataset.seq === seq, String(seq));
  await isDrawn(page, 3);
  await check();

  const countries = await database.rows<{ code: string; votes: number }>("SELECT country_code AS code, total_votes::float8 AS votes FROM get_country_aggregates('final')");
  await page.getByRole("button", { name: /^Show all/ }).click();
  const shown = await page.locator("tr[data-country]").evaluateAll((rows) =>
    rows.map((row) => ({ code: (row as HTMLElement).dataset.country, votes: Number(row.querySelector<HTMLElement>("[data-votes]")!.dataset.votes) })));
  expect(shown).toEqual(countries);
  await page.screenshot({ path: `${SHOTS}desktop-light.png` });
});

test("resolution and address follow the zoom; pointer and keyboard show a cell's numbers", async () => {
  const page = await show(`${relay.url}/?match=final`, { isCalm: true });
  await isDrawn(page, 2);
  await page.evaluate(() => window.voteMap!.base.jumpTo({ zoom: 4.6, center: [2.3, 48.9] }));
  await isDrawn(page, 4);
  await eventually("the address says so", () => /[?&]match=final&z=4\.60&lat=48\.900&lng=2\.300/.test(page.url()));
  // A little back over the border it stays; farther it goes.
  await page.evaluate(() => window.voteMap!.base.jumpTo({ zoom: 3.6 }));
  await page.waitForTimeout(1_000);
  expect(await page.locator(".page").getAttribute("data-resolution")).toBe("4");
  await page.evaluate(() => window.voteMap!.base.jumpTo({ zoom: 3.4 }));
  await isDrawn(page, 3);

  const cells = await cellsOf(database, "final", 3);
  const cell = (await eventually("a cell is in sight", async () => {
    for (const each of cells.slice(0, 400)) {
      const at = await spot(page, each.h3Index);
      if (at) return { ...each, at };
    }
    return null;
  }));
  await page.mouse.move(cell.at.x - 3, cell.at.y);
  await page.mouse.move(cell.at.x, cell.at.y);
  const card = page.locator(".cell");
  await card.waitFor();
  expect([await card.getAttribute("data-cell"), await card.getAttribute("data-votes")]).toEqual([cell.h3Index, String(cell.totalVotes)]);
  await page.mouse.move(1_300, 300);
  await card.waitFor({ state: "detached" });

  const [lat, lng] = cellToLatLng(cell.h3Index);
  await page.evaluate(([lat, lng]) => window.voteMap!.base.jumpTo({ center: [lng!, lat!] }), [lat, lng] as const);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Shift+Tab");
  await page.locator(".maplibregl-canvas").focus();
  await card.waitFor();
  expect(await card.getAttribute("data-cell")).toBe(cell.h3Index);
  const zoom = () => page.evaluate(() => window.voteMap!.base.getZoom());
  const before = await zoom();
  await page.keyboard.press("=");
  await eventually("the key zooms in", async () => (await zoom()) > before + 0.5);
});

test("a restart of the relay heals without a reload, and the page says what is going on", async () => {
  const page = await show(`${relay.url}/?match=final&z=3.4&lat=49&lng=8`, { colorScheme: "dark" });
  await shows(page, await totalOf(database, "final"));
  await isDrawn(page, 3);
  await page.screenshot({ path: `${SHOTS}desktop-dark.png` });
  await page.evaluate(() => ((window as unknown as { mark: number }).mark = 1));
  open!.mayFail = true;
  await relay.stop();
  const alert = page.getByRole("alert").filter({ hasText: /^Connection lost\. Trying again by itself\.$/ });
  await alert.waitFor();
  await page.locator(".page.stale .age", { hasText: /^Showing votes as of \d{1,2}:\d\d:\d\d\s[AP]M, .*(now|ago)\.$/ }).waitFor();
  await page.getByText("Reconnecting").waitFor();
  await database.rows("SELECT record_vote('final', 'home', '871fb4662ffffff', 'FR', 1000)");
  await database.settle();
  relay = await Relay.start("map_e2e", FLAGS, relay.port);
  await shows(page, await totalOf(database, "final"));
  await page.locator(".pulse.live").waitFor();
  await alert.waitFor({ state: "detached" });
  expect(await page.evaluate(() => (window as unknown as { mark: number }).mark)).toBe(1);
});

test("without a database the page says so, and goes on when it is back", async () => {
  // A match that nobody has followed: others the relay shows out of its memory.
  await database.rows("SELECT record_vote('cup', 'red', '871fb4662ffffff', 'FR', 7)");
  await database.settle();
  await database.allow(false);
  try {
    const page = await show(`${relay.url}/?match=cup`);
    open!.mayFail = true;
    await page.getByRole("alert").filter({ hasText: /cannot reach its database/ }).first().waitFor();
    await database.allow(true);
    await shows(page, 7);
  } finally {
    await database.allow(true);
  }
});

test("a page that is open when the database goes is not live until it is back", async () => {
  const page = await show(`${relay.url}/?match=final`);
  await shows(page, await totalOf(database, "final"));
  await page.locator(".pulse.live").waitFor();
  open!.mayFail = true;
  await database.allow(false);
  try {
    const note = page.getByRole("alert").filter({ hasText: /^No news since \d{1,2}:\d\d:\d\d\s[AP]M: the relay cannot reach its database\./ });
    await note.waitFor();
    expect(await page.locator(".pulse.live").count()).toBe(0);
    await database.allow(true);
    await database.rows("SELECT record_vote('final', 'home', '871fb4662ffffff', 'FR', 10)");
    await database.settle();
    await shows(page, await totalOf(database, "final"));
    await page.locator(".pulse.live").waitFor();
    await note.waitFor({ state: "detached" });
  } finally {
    await database.allow(true);
  }
});

test("a match that is not there, and a list of those that are", async () => {
  const page = await show(`${relay.url}/?match=nowhere`);
  await page.getByRole("alert").filter({ hasText: "There is no match “nowhere” yet." }).waitFor();
  await page.getByRole("link", { name: "All matches" }).first().click();
  await page.getByRole("link", { name: /^final/ }).waitFor();
  expect(await serious(page)).toEqual([]);
  await page.screenshot({ path: `${SHOTS}list.png` });
  await page.getByRole("link", { name: /^final/ }).click();
  await shows(page, await totalOf(database, "final"));

});

test("a guarded relay refuses who has no token, in words; with one in the fragment it shows what the token covers", async () => {
  const page = await show(`${guarded.url}/?match=final`);
  open!.mayFail = true;
  await page.getByRole("alert").filter({ hasText: /refuses this page: .*#token=/ }).waitFor();
  await page.goto(`${guarded.url}/?match=final#token=${token(600)}`);
  await page.reload();
  await shows(page, await totalOf(database, "final"));
  await page.getByRole("link", { name: "All matches" }).click();
  await page.getByRole("link", { name: /^final/ }).waitFor();
});

test("on a phone, in the dark, and once it is final", async () => {
  const page = await show(`${relay.url}/?match=final`, { isPhone: true, colorScheme: "dark" });
  await isDrawn(page, 1);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390);
  expect(await serious(page)).toEqual([]);
  await page.screenshot({ path: `${SHOTS}phone-dark.png` });
  await database.rows("SELECT close_match('final')");
  await eventually("final", async () => {
    await database.fold();
    return page.locator(".badge.final").isVisible();
  }, 120_000);
  await page.getByRole("button", { name: "Use light colours" }).click();
  expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe("light");
  await page.screenshot({ path: `${SHOTS}phone-light.png` });
});

test("no serious fault of accessibility on a match's page, light and dark", async () => {
  for (const colorScheme of ["light", "dark"] as const) {
    const page = await show(`${relay.url}/?match=final`, { colorScheme });
    await isDrawn(page, 2);
    expect(await serious(page)).toEqual([]);
    await browser.close();
  }
});

test("scripts are no larger than they were, and few of them come before the score", () => {
  const sizeOf = (names: readonly string[]) => names.reduce((sum, name) => sum + statSync(`${DIST}${name}.gz`).size, 0);
  const scripts = readdirSync(DIST, { recursive: true, encoding: "utf8" }).filter((name) => /\.m?js$/.test(name));
  const first = [...readFileSync(`${DIST}index.html`, "utf8").matchAll(/(?:src|href)="\.\/(assets\/[^"]+\.js)"/g)].map(([, name]) => name!);
  console.log(`scripts: ${Math.round(sizeOf(scripts) / 1000)} KB, before the score ${Math.round(sizeOf(first) / 1000)} KB, gzipped`);
  expect(first.length).toBeGreaterThan(0);
  expect(sizeOf(first)).toBeLessThan(150_000);
  expect(sizeOf(scripts)).toBeLessThan(835 * 1024);
});

test("the page is at most 1.1 MB on its way", () => {
  const sent = readdirSync(DIST, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".br"));
  const bytes = sent.reduce((sum, name) => sum + statSync(`${DIST}${name}`).size, 0);
  console.log(`${Math.round(bytes / 1024)} KB in ${sent.length} files, compressed`);
  expect(sent.length).toBeGreaterThan(3);
  expect(bytes).toBeLessThan(1.1 * 1024 * 1024);
});
