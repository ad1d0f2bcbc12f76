// Where am I, and what happened before I came.
import axe from "axe-core";
import { latLngToCell } from "h3-js";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Database, eventually, Relay } from "../../test/e2e/rig.js";
import { Browser, type Watched } from "./browser.js";
import { fill, isDrawn, shows, totalOf } from "./match.js";

const DIST = new URL("../dist/", import.meta.url).pathname;
const SHOTS = new URL("../shots/", import.meta.url).pathname;
const PARIS = "871fb4662ffffff";

const browser = new Browser();
let database: Database;
let relay: Relay;
const open: Watched[] = [];

beforeAll(async () => {
  database = await Database.create("places_e2e");
  await fill(database, "final");
  relay = await Relay.start("places_e2e", [`--map-dir=${DIST}`]);
});

afterEach(async () => {
  const faults = open.splice(0).flatMap((each) => each.faults);
  await browser.close();
  expect(faults).toEqual([]);
});

afterAll(async () => {
  await relay?.stop();
  await database?.drop();
});

async function show(...args: Parameters<Browser["open"]>): Promise<Page> {
  const watched = await browser.open(...args);
  open.push(watched);
  return watched.page;
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

const names = (page: Page) => page.evaluate(() => window.voteMap?.names ?? []);
const middle = (page: Page) => page.evaluate(() => {
  const { lat, lng } = window.voteMap!.base.getCenter();
  return { lat, lng, isMoving: window.voteMap!.base.isMoving() };
});

/** Waits until the map rests near a place. */
const rests = (page: Page, lat: number, lng: number, within: number) => eventually(`the map rests near ${lat}, ${lng}`, async () => {
  const at = await middle(page);
  return !at.isMoving && Math.abs(at.lat - lat) < within && Math.abs(at.lng - lng) < within;
});

test("places have names, by zoom, in the reader's language", async () => {
  const page = await show(`${relay.url}/?match=final&z=1.6&lat=25&lng=10`, { locale: "de-DE" });
  await isDrawn(page, 2);
  await eventually("countries have names", async () => (await names(page)).includes("Brasilien"));
  await page.evaluate(() => window.voteMap!.base.jumpTo({ zoom: 5, center: [8, 49] }));
  await eventually("cities have names", async () => (await names(page)).includes("Paris") && (await names(page)).includes("Frankreich"));
  expect(await page.locator(".labels span").allTextContents()).toEqual(await names(page));
  await page.screenshot({ path: `${SHOTS}names.png` });
});

test("a place is found by name, by keyboard alone; and the reader's own country", async () => {
  const page = await show(`${relay.url}/?match=final`, { isCalm: true, timezoneId: "Europe/Paris" });
  await isDrawn(page, 2);
  const search = page.getByRole("combobox", { name: "Find a place" });
  await search.focus();
  await page.keyboard.type("ber");
  await page.getByRole("option", { name: "Bermuda" }).waitFor();
  expect(await serious(page)).toEqual([]);
  await page.keyboard.type("lin");
  await page.getByRole("option", { name: "Berlin, Germany" }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Enter");
  await rests(page, 52.52, 13.41, 0.5);
  await search.fill("nowhere at all");
  await page.getByText("No place is called so.").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "France" }).first().click();
  await rests(page, 46.5, 2.5, 1.5);
  // From the list of countries.
  await page.getByRole("searchbox", { name: "Find a country" }).fill("japan");
  await page.getByRole("button", { name: "Japan" }).click();
  await rests(page, 36, 137, 3);
});

test("a cell's card says what is near", async () => {
  const [lat, lng] = [48.85341, 2.3488];
  const page = await show(`${relay.url}/?match=final&z=7&lat=${lat}&lng=${lng}`, { isCalm: true });
  await isDrawn(page, 6);
  await page.locator(".maplibregl-canvas").focus();
  await page.keyboard.press("="); // nearer, the middle stays
  await page.locator(".cell .where", { hasText: "Near Paris, France" }).waitFor();
  await page.locator(".cell").getByRole("button", { name: "H3 index" }).evaluate((button) => (button as HTMLElement).click());
  const resolution = Number(await page.locator(".page").getAttribute("data-resolution"));
  await page.locator(".cell code", { hasText: latLngToCell(lat, lng, resolution) }).waitFor();
});

/** Votes that came so many minutes before a moment. */
async function earlier(moment: Date, match: string, minutes: number, team: string, votes: number, country: string) {
  await database.rows("SELECT record_vote($1, $2, $3::text, $4, $5)", [match, team, PARIS, country, votes]);
  await database.settle();
  for (const table of ["timeline", "country_timeline"]) {
    await database.rows(`UPDATE vote_agg.${table} SET bucket = $3::timestamptz - make_interval(mins => $2) WHERE match_id = $1 AND bucket >= $3`, [match, minutes, moment]);
  }
}

test("changes of leader from before the page are in its list, each once, with those that come live", async () => {
  const vote = async (team: string, votes: number, country: string) => {
    await database.rows("SELECT record_vote('told', $1, $2::text, $3, $4)", [team, PARIS, country, votes]);
    await database.settle();
  };
  await vote("away", 5, "FR");
  await vote("home", 9, "DE");
  const page = await show(`${relay.url}/?match=told`, { isCalm: true });
  const lists = (...wanted: string[]) => eventually(`the list is ${wanted}`, async () => (await page.locator(".flips li span:nth-child(2)").allTextContents()).join() === wanted.join());
  // Without the first leaders of France and Germany.
  const early = ["The match: home takes the lead", "The match: away takes the lead"];
  await lists(...early);
  await vote("home", 40, "FR");
  await lists("France: home takes the lead", ...early);
  await page.reload();
  await lists("France: home takes the lead", ...early);
  await vote("away", 90, "DE");
  await lists("The match: away takes the lead", "Germany: away takes the lead", "France: home takes the lead", ...early);
});

test("after a reload the ticker knows who led before, and the cursor shows any earlier minute as SQL does", async () => {
  // One moment for all: minutes go on meanwhile.
  const moment = await database.value<Date>("SELECT date_trunc('minute', now())");
  await earlier(moment, "past", 20, "away", 5, "FR");
  await earlier(moment, "past", 10, "home", 9, "DE");
  await earlier(moment, "past", 5, "away", 1, "FR");
  const page = await show(`${relay.url}/?match=past`, { isCalm: true });
  await shows(page, 15);
  const ticker = page.locator(".flips li.match span:nth-child(2)");
  await eventually("the ticker is filled", async () => (await ticker.allTextContents()).join() === "The match: home takes the lead,The match: away takes the lead");
  const cursor = page.getByRole("slider", { name: "Moment that is shown" });
  await cursor.focus();
  await page.keyboard.press("Home");
  const told = async (minutes: number) => {
    const rows = await database.rows<{ code: string | null; total: number }>(
      "SELECT country_code AS code, total_votes::float8 AS total FROM get_match_at('past', $2::timestamptz - make_interval(mins => $1)) WHERE total_votes > 0", [minutes, moment]);
    return { total: rows.find(({ code }) => code === null)?.total ?? 0, countries: Object.fromEntries(rows.filter(({ code }) => code !== null).map(({ code, total }) => [code, total])) };
  };
  const seen = () => page.evaluate(() => ({
    total: Number(document.querySelector<HTMLElement>("[data-total]")!.dataset.total),
    countries: Object.fromEntries([...document.querySelectorAll<HTMLElement>("tr[data-country]")].map((row) => [row.dataset.country!, Number(row.querySelector<HTMLElement>("[data-votes]")!.dataset.votes)])),
  }));
  const is = (wanted: object) => expect.poll(seen).toEqual(wanted);
  await is({ total: 5, countries: { FR: 5 } });
  expect(await told(15)).toEqual({ total: 5, countries: { FR: 5 } });
  await page.getByText(/^As it stood at .*The map goes on live\./).waitFor();
  // What the page shows is not live, so no mark says so.
  expect(await page.locator(".pulse").count()).toBe(0);
  expect(await serious(page)).toEqual([]);
  await page.screenshot({ path: `${SHOTS}earlier.png` });
  for (let step = 0; step < 10; step++) await page.keyboard.press("ArrowRight");
  await is({ total: 14, countries: { FR: 5, DE: 9 } });
  expect(await told(7)).toEqual({ total: 14, countries: { FR: 5, DE: 9 } });
  expect(await page.locator(".headline").textContent()).toContain("home leads by 4 votes");
  // Live again with one key.
  await page.keyboard.press("Escape");
  await shows(page, 15);
  expect(await page.locator(".moment").count()).toBe(0);
  expect(await page.locator(".pulse.live").count()).toBe(1);
});

test("what the relay says of an earlier moment is what SQL says; nonsense is refused", async () => {
  const ask = async (query: string) => {
    const answer = await fetch(`${relay.url}/matches/final/at${query}`);
    return { status: answer.status, body: (await answer.json()) as { message?: string; stats: { total: number }; countries: [string, Record<string, number>][] } };
  };
  const now = await ask("");
  expect([now.status, now.body.stats.total]).toEqual([200, await database.value("SELECT total_votes::float8 FROM get_match_at('final', now()) WHERE country_code IS NULL")]);
  const rows = await database.rows<{ code: string; votes: Record<string, number> }>("SELECT country_code AS code, votes FROM get_match_at('final', now()) WHERE country_code IS NOT NULL");
  expect(Object.fromEntries(now.body.countries)).toEqual(Object.fromEntries(rows.map(({ code, votes }) => [code, votes])));
  const before = await ask("?ts=2000-01-01T00:00:00Z");
  expect([before.status, before.body.stats?.total ?? 0, before.body.countries]).toEqual([200, 0, []]);
  for (const nonsense of ["?ts=yesterday%20or%20so", "?from=now", "?ts=1&ts=2"]) expect((await ask(nonsense)).status, nonsense).toBe(400);
  expect(await totalOf(database, "final")).toBeGreaterThan(0);
});
