// Any number of teams, any language, and what the page says when things go wrong.
import { readdirSync } from "node:fs";
import axe from "axe-core";
import { cellToLatLng } from "h3-js";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { Database, eventually, Relay } from "../../test/e2e/rig.js";
import { Palette } from "../src/colour.js";
import { Browser, type Watched } from "./browser.js";
import { isDrawn, shows, totalOf } from "./match.js";

const DIST = new URL("../dist/", import.meta.url).pathname;
const SHOTS = new URL("../shots/", import.meta.url).pathname;
const PARIS = "871fb4662ffffff";

const browser = new Browser();
let database: Database;
let relay: Relay;
const open: Watched[] = [];

beforeAll(async () => {
  database = await Database.create("teams_e2e");
  await fillMany("cup");
  relay = await Relay.start("teams_e2e", [`--map-dir=${DIST}`]);
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

/** 40 teams: the biggest is "Team 39". Each has a country and a cell of its own, where it leads. */
async function fillMany(match: string) {
  await database.rows(`SELECT bulk_increment(jsonb_agg(jsonb_build_object('match_id', $1::text, 'team_choice', 'Team ' || team, 'votes', 100 + team,
      'country_code', (ARRAY['FR', 'DE', 'ES', 'IT', 'PL', 'GB', 'SE', 'AT'])[1 + team % 8], 'h3_index', h3_from_lat_lng(40 + team / 2.0, 2 + team % 12, 7))))
    FROM generate_series(0, 39) AS team`, [match]);
  await database.settle();
}

const teams = (page: Page) => page.locator(".score .teams .name").allTextContents();

const swatches = (page: Page) => page.evaluate(() => Object.fromEntries([...document.querySelectorAll<HTMLElement>(".score .teams li")].map((line) =>
  [line.querySelector(".name")!.textContent, line.querySelector<HTMLElement>(".swatch")!.style.background])));

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

test("of 40 teams the score names the first, the others fold into one line, and any can be found", async () => {
  const page = await show(`${relay.url}/?match=cup`);
  await shows(page, await totalOf(database, "cup"));
  expect(await teams(page)).toEqual([...Array.from({ length: 8 }, (_, i) => `Team ${39 - i}`), "32 others"]);
  const rest = await database.value<number>("SELECT (s.total_votes - (SELECT sum(v.value::bigint) FROM (SELECT value FROM jsonb_each_text(s.votes) ORDER BY value::bigint DESC LIMIT 8) v))::float8 FROM get_realtime_stats('cup') s");
  expect(Number(await page.locator(".rest [data-votes]").getAttribute("data-votes"))).toBe(rest);
  await isDrawn(page, 2);
  expect(await page.locator(".legend [data-others]").getAttribute("data-others")).toBe("32");
  const section = page.locator("section.score");
  await section.getByRole("button", { name: "Show all 40" }).click();
  expect((await teams(page)).length).toBe(40);
  await section.getByRole("button", { name: "Show fewer" }).click();
  await page.getByRole("searchbox", { name: "Find a team" }).fill("TEAM 3");
  expect(await teams(page)).toEqual([...Array.from({ length: 10 }, (_, i) => `Team ${39 - i}`), "Team 3"]);
  await page.getByRole("searchbox", { name: "Find a team" }).fill("nobody");
  await page.getByText("No team is called so.").waitFor();
  expect(await serious(page)).toEqual([]);
});

test("colours stay a team's own while the ranking moves; the others are one grey", async () => {
  await fillMany("moves");
  const page = await show(`${relay.url}/?match=moves`);
  await shows(page, await totalOf(database, "moves"));
  await page.locator("section.score").getByRole("button", { name: "Show all 40" }).click();
  const before = await swatches(page);
  const grey = "rgb(169, 174, 182)";
  const own = Object.keys(before).filter((team) => before[team] !== grey);
  expect(own.length).toBe(8);
  expect(new Set(own.map((team) => before[team])).size).toBe(8);
  // The smallest takes the lead. It has a colour at once, and seven teams keep theirs.
  await database.rows("SELECT record_vote('moves', 'Team 0', $1::text, 'FR', 1000)", [PARIS]);
  await database.settle();
  await shows(page, await totalOf(database, "moves"));
  const after = await swatches(page);
  expect(after["Team 0"]).not.toBe(grey);
  const kept = own.filter((team) => after[team] === before[team]);
  expect(kept.length).toBe(7);
  expect(Object.keys(after).filter((team) => after[team] !== grey).length).toBe(8);
});

test("one team's share by hexagon, chosen by keyboard alone; the address says so", async () => {
  const page = await show(`${relay.url}/?match=cup&z=3.4&lat=49&lng=8`, { isCalm: true });
  await isDrawn(page, 3);
  const first = page.locator(".score .teams button").first();
  await page.getByRole("searchbox", { name: "Find a team" }).focus();
  await page.keyboard.press("Tab");
  expect(await first.evaluate((button) => button === document.activeElement)).toBe(true);
  await page.keyboard.press("Enter");
  await page.locator(".legend[data-team='Team 39']").waitFor();
  expect(new URL(page.url()).searchParams.get("team")).toBe("Team 39");
  const palette = new Palette([], "light", new Map([["Team 39", 0]]));
  const cells = await database.rows<{ place: string; share: number }>(
    `SELECT h3_index AS place, coalesce((votes->>'Team 39')::float8, 0) / total_votes AS share FROM get_match_aggregates('cup', resolution => 3)`);
  const levels = new Map<string, Set<number>>();
  // Hexagons follow the choice by a frame or two. Then a colour stands for one step of the share; without votes there is a colour of its own.
  const isDrawnSo = async () => {
    levels.clear();
    for (const { place, share } of cells) {
      const [lat, lng] = cellToLatLng(place);
      const colour = await page.evaluate(([lat, lng]) => {
        const { base, overlay } = window.voteMap!;
        const { x, y } = base.project([lng!, lat!]);
        if (x < 320 || y < 20 || x > base.getCanvas().clientWidth - 20 || y > base.getCanvas().clientHeight - 20) return null;
        const info = overlay.pickObject({ x, y });
        if (!info) return null;
        const { getFillColor } = info.layer!.props as unknown as { getFillColor: (object: unknown, info: object) => number[] };
        return getFillColor(info.object, { index: info.index }).join(" ");
      }, [lat, lng] as const);
      if (colour !== null) levels.set(colour, (levels.get(colour) ?? new Set()).add(Math.min(4, Math.ceil(share * 5) - 1)));
    }
    return [...levels.values()].every((steps) => steps.size === 1) && levels.get(palette.tie.join(" "))?.has(-1);
  };
  await eventually(() => `hexagons show the share, not ${JSON.stringify([...levels].map(([colour, steps]) => [colour, ...steps]))}`, isDrawnSo);
  expect(levels.size).toBeGreaterThan(1);
  await page.screenshot({ path: `${SHOTS}one-team.png` });
  await page.reload();
  await page.locator(".legend[data-team='Team 39']").waitFor();
  await page.getByRole("button", { name: "Show who leads" }).click();
  await page.locator(".legend .ramps").waitFor();
  expect(new URL(page.url()).searchParams.get("team")).toBeNull();
});

test("long names, and names from right to left, stay in their place", async () => {
  const long = `The ${"very ".repeat(24)}long name`;
  await database.rows("SELECT record_vote('scripts', 'الهلال السعودي', $1::text, 'SA', 5), record_vote('scripts', $2, $1::text, 'FR', 3)", [PARIS, long]);
  await database.settle();
  const page = await show(`${relay.url}/?match=scripts`);
  await shows(page, 8);
  expect(await page.locator(".headline").textContent()).toBe("الهلال السعودي leads by 2 votes (25.0 points)");
  const name = page.locator(".score .teams .name", { hasText: "very" });
  const height = async () => (await name.boundingBox())!.height;
  const before = await height();
  await page.getByRole("button", { name: /^The very/ }).focus();
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Tab");
  expect(await height()).toBeGreaterThan(before * 2);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(1_440);
});

test("in German, by the reader's language or on demand", async () => {
  await database.rows("SELECT record_vote('sprache', 'home', $1::text, 'DE', 12345), record_vote('sprache', 'away', $1::text, 'DE', 12344)", [PARIS]);
  await database.settle();
  for (const [query, locale] of [["", "de-DE"], ["&lang=de", "en-US"]] as const) {
    const page = await show(`${relay.url}/?match=sprache${query}`, { locale });
    await shows(page, 24_689);
    expect(await page.locator(".headline").textContent()).toBe("home führt mit 1 Stimme Vorsprung (weniger als 0,1 Punkte)");
    expect(await page.evaluate(() => [document.documentElement.lang.slice(0, 2), document.documentElement.dir])).toEqual(["de", "ltr"]);
    expect(await page.locator("[data-total]").textContent()).toBe("24.689");
    expect(await page.locator("tr[data-country=DE] th").textContent()).toBe("Deutschland");
    await browser.close();
  }
});

test("a lead that points do not show is told in votes", async () => {
  await database.rows("SELECT record_vote('huge', 'home', $1::text, 'FR', 5000001), record_vote('huge', 'away', $1::text, 'FR', 5000000)", [PARIS]);
  await database.settle();
  const page = await show(`${relay.url}/?match=huge`);
  await shows(page, 10_000_001);
  expect(await page.locator(".headline").textContent()).toBe("home leads by 1 vote (less than 0.1 points)");
  expect(await page.title()).toBe("home +1 vote · huge");
  expect(await page.locator("tr[data-country=FR] .share").textContent()).toBe("+1 vote");
});

test("offline: what is shown turns grey, says how old it is, and comes back", async () => {
  const page = await show(`${relay.url}/?match=cup`);
  await shows(page, await totalOf(database, "cup"));
  await isDrawn(page, 2); // what the map is made of comes after the numbers
  open[0]!.mayFail = true;
  await page.context().setOffline(true);
  // A socket that is open may live on; the relay's end shows that nothing comes through.
  await relay.stop();
  await page.getByRole("alert").filter({ hasText: "You are offline." }).waitFor();
  await page.locator(".page.stale .age").waitFor();
  await page.getByText("Offline", { exact: true }).waitFor();
  expect(await page.locator(".score").evaluate((score) => getComputedStyle(score).filter)).toContain("grayscale");
  await page.screenshot({ path: `${SHOTS}offline.png` });
  relay = await Relay.start("teams_e2e", [`--map-dir=${DIST}`], relay.port);
  await page.context().setOffline(false);
  await page.locator(".pulse.live").waitFor();
  expect(await page.locator(".page.stale").count()).toBe(0);
});

test("without WebGL the numbers stand alone, and the page says so", async () => {
  const page = await show(`${relay.url}/?match=cup`, {
    before: () => {
      const own = HTMLCanvasElement.prototype.getContext as (this: HTMLCanvasElement, kind: string, ...rest: unknown[]) => unknown;
      HTMLCanvasElement.prototype.getContext = function (this: HTMLCanvasElement, kind: string, ...rest: unknown[]) {
        return kind.startsWith("webgl") ? null : own.call(this, kind, ...rest);
      } as typeof HTMLCanvasElement.prototype.getContext;
    },
  });
  open[0]!.mayLose = true;
  await page.getByRole("alert").filter({ hasText: "This browser cannot draw the map: it has no WebGL." }).waitFor();
  await shows(page, await totalOf(database, "cup"));
  expect(await page.locator(".map").count()).toBe(0);
  expect(await page.locator("tr[data-country]").count()).toBe(8);
  expect(await serious(page)).toEqual([]);
  await page.screenshot({ path: `${SHOTS}no-webgl.png` });
});

test("name and score do not wait for the map's code, nor for its failure", async () => {
  const code = readdirSync(`${DIST}assets`).filter((name) => /^Stage-.*\.js$/.test(name));
  expect(code.length).toBe(1);
  const page = await show("about:blank", {}, [relay.url]);
  let release = () => {};
  const held = new Promise<void>((done) => (release = done));
  await page.route(`**/${code[0]}`, async (route) => {
    await held;
    await route.continue();
  });
  await page.goto(`${relay.url}/?match=cup`);
  await shows(page, await totalOf(database, "cup"));
  await page.getByRole("heading", { name: "cup" }).waitFor();
  await page.getByText("Getting the map …").waitFor();
  release();
  await isDrawn(page, 2);
  open[0]!.mayFail = true;
  await page.unroute(`**/${code[0]}`);
  await page.route(`**/${code[0]}`, (route) => route.abort());
  await page.goto(`${relay.url}/?match=cup&again`);
  await page.getByRole("alert").filter({ hasText: "The map could not be loaded." }).waitFor();
  await shows(page, await totalOf(database, "cup"));
  await page.unroute(`**/${code[0]}`);
  await page.getByRole("button", { name: "Try now" }).click();
  await eventually("the map is there", () => page.locator(".map-canvas").isVisible());
});

test("a match that is not open yet says so, and a final one says since when", async () => {
  await database.rows("SELECT open_match('later', ARRAY['home', 'away'], now() + interval '1 day')");
  const page = await show(`${relay.url}/?match=later`);
  await page.locator(".badge.scheduled", { hasText: "Not open yet" }).waitFor();
  await database.rows("SELECT record_vote('over', 'home', $1::text, 'FR', 3)", [PARIS]);
  await database.settle();
  await database.rows("SELECT close_match('over')");
  await page.goto(`${relay.url}/?match=over`);
  await eventually("final", async () => {
    await database.fold();
    return page.locator(".badge.final", { hasText: /^Final since \d{1,2}:\d\d:\d\d\s[AP]M$/ }).isVisible();
  }, 120_000);
});

test("a long list of matches can be searched", async () => {
  await database.rows("SELECT bulk_increment(jsonb_agg(jsonb_build_object('match_id', 'Gruppe ' || i, 'team_choice', 'a', 'votes', 1))) FROM generate_series(1, 9) AS i");
  await database.settle();
  const page = await show(`${relay.url}/`);
  await page.getByRole("searchbox", { name: "Find a match" }).fill("gruppe 7");
  await eventually("one is left", async () => (await page.locator("a.card .title").allTextContents()).join() === "Gruppe 7");
  expect(await page.locator("a.card").textContent()).toContain("a leads by 1 vote · 1 vote");
  expect(await serious(page)).toEqual([]);
});
